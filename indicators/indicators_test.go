package indicators_test

import (
	"fmt"
	"net/netip"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/minewarden/minewarden"
	"github.com/minewarden/minewarden/indicators"
)

var now = time.Date(2026, 11, 21, 0, 0, 0, 0, time.UTC)

func TestNormal(t *testing.T) {
	for _, tt := range []struct{ in, typ, want string }{
		{"Pool.Example.COM.", indicators.Domain, "pool.example.com"},
		{"*.pool.example", indicators.Domain, "pool.example"},
		{"pool.example:3333", indicators.Domain, "pool.example"},
		{"pool[.]example[.]org", indicators.Domain, "pool.example.org"},
		{"bücher.example", indicators.Domain, "xn--bcher-kva.example"},
		{"_stratum.pool.example", indicators.Domain, "_stratum.pool.example"},
		{"192.0.2.7", indicators.IP, "192.0.2.7"},
		{"::ffff:192.0.2.7", indicators.IP, "192.0.2.7"},
		{"[2001:DB8::1]", indicators.IP, "2001:db8::1"},
		{"192.0.2.7/24", indicators.CIDR, "192.0.2.0/24"},
		{"192.0.2.7:3333", indicators.Endpoint, "192.0.2.7:3333"},
		{"hxxps://Pool.Example/x#y", indicators.URL, "https://pool.example/x"},
		{strings.Repeat("AB", 32), indicators.SHA256, strings.Repeat("ab", 32)},
	} {
		typ, got, err := indicators.Normal("", tt.in)
		if err != nil || typ != tt.typ || got != tt.want {
			t.Errorf("Normal(%q) = %s %q, %v; want %s %q", tt.in, typ, got, err, tt.typ, tt.want)
		}
	}
	for _, in := range []string{"", "a..b", strings.Repeat("a", 64) + ".b", "x\x00.y", "300.1.2.3/8", "-", "..", "a b.c"} {
		if typ, got, err := indicators.Normal(indicators.Domain, in); err == nil {
			t.Errorf("Normal(%q) = %s %q, want an error", in, typ, got)
		}
	}
}

func read(t *testing.T, text string) (got []minewarden.Indicator, bad []int) {
	t.Helper()
	err := indicators.Read(strings.NewReader(text), indicators.Defaults{Source: "s", Confidence: 0.5}, func(i minewarden.Indicator) bool {
		got = append(got, i)
		return true
	}, func(e *indicators.LineError) { bad = append(bad, e.Line) })
	if err != nil {
		t.Fatal(err)
	}
	return got, bad
}

func values(inds []minewarden.Indicator) (out []string) {
	for _, i := range inds {
		out = append(out, fmt.Sprintf("%s %s %s %.2f", i.Type, i.Value, i.Source, i.Confidence))
	}
	return out
}

func TestRead(t *testing.T) {
	for _, tt := range []struct {
		name, in string
		want     []string
		bad      []int
	}{
		{"plain", "# pools\npool.example\r\n\n192.0.2.1\n198.51.100.0/24 # net\n", []string{"domain pool.example s 0.50", "ip 192.0.2.1 s 0.50", "cidr 198.51.100.0/24 s 0.50"}, nil},
		{"hosts", "127.0.0.1 localhost\n0.0.0.0 a.example b.example\n::1 ip6-localhost\n", []string{"domain a.example s 0.50", "domain b.example s 0.50"}, nil},
		{
			"csv", "type,value,confidence,source\ndomain,Pool.example,90,feed\nip,192.0.2.1,,\n\"url\",\"hxxp://x.example/a,b\",0.1,f\n",
			[]string{"domain pool.example feed 0.90", "ip 192.0.2.1 s 0.50", "url http://x.example/a,b f 0.10"},
			nil,
		},
		{"csv with foreign columns", "id,indicator,label\n1,pool.example,miner\n", []string{"domain pool.example s 0.50"}, nil},
		{"damaged", "good.example\ntwo words\n" + strings.Repeat("x", 100_000) + "\na..b\nlast.example", []string{"domain good.example s 0.50", "domain last.example s 0.50"}, []int{2, 3, 4}},
		{"csv, damaged", "domain,confidence\na.example,0.5\nb.example,much\n,1\n", []string{"domain a.example s 0.50"}, []int{3, 4}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			got, bad := read(t, tt.in)
			if diff := cmp.Diff(tt.want, values(got)); diff != "" {
				t.Errorf("(-want +got):\n%s", diff)
			}
			if diff := cmp.Diff(tt.bad, bad); diff != "" {
				t.Errorf("bad lines (-want +got):\n%s", diff)
			}
		})
	}
}

func build(t *testing.T, list string, allowed ...string) *indicators.Set {
	t.Helper()
	b := indicators.NewBuilder(1)
	got, bad := read(t, list)
	if len(bad) > 0 {
		t.Fatalf("bad lines %v", bad)
	}
	for _, i := range got {
		if !b.Add(i) {
			t.Fatal("full")
		}
	}
	for _, v := range allowed {
		typ, n, err := indicators.Normal("", v)
		if err != nil || !b.Allow(typ, n) {
			t.Fatal(err)
		}
	}
	return b.Set()
}

func value(h indicators.Hit, ok bool) string {
	if !ok {
		return ""
	}
	return h.Indicator().Value
}

func TestLookUps(t *testing.T) {
	s := build(t, "value,expires\npool.example,\nstale.example,2026-01-01\nfresh.example,2027-01-01\n192.0.2.1,\n192.0.2.2:3333,\n198.51.100.0/24,\n2001:db8::/32,\n",
		"web.pool.example", "198.51.100.7", "2001:db8:1::/48")
	for _, tt := range []struct {
		name string
		want string
	}{
		{"pool.example", "pool.example"},
		{"eu.pool.example", "pool.example"},
		{"a.b.eu.pool.example", "pool.example"},
		{"notpool.example", ""},
		{"example", ""},
		{"web.pool.example", ""},
		{"x.web.pool.example", ""},
		{"stale.example", ""},
		{"fresh.example", "fresh.example"},
	} {
		if got := value(s.Name(tt.name, now)); got != tt.want {
			t.Errorf("Name(%q) = %q, want %q", tt.name, got, tt.want)
		}
	}
	for _, tt := range []struct{ addr, want string }{
		{"192.0.2.1:1", "192.0.2.1"},
		{"192.0.2.2:3333", "192.0.2.2:3333"},
		{"192.0.2.2:3334", ""},
		{"198.51.100.9:80", "198.51.100.0/24"},
		{"198.51.100.7:80", ""},
		{"[::ffff:192.0.2.1]:9", "192.0.2.1"},
		{"[2001:db8::5]:9", "2001:db8::/32"},
		{"[2001:db8:1::5]:9", ""},
	} {
		ap := netip.MustParseAddrPort(tt.addr)
		if got := value(s.Addr(ap.Addr(), ap.Port(), now)); got != tt.want {
			t.Errorf("Addr(%s) = %q, want %q", tt.addr, got, tt.want)
		}
	}
}

func TestMatchPutsIndicatorsOnEvents(t *testing.T) {
	s := build(t, "pool.example\n192.0.2.1\n"+strings.Repeat("ab", 32)+"\n")
	for _, tt := range []struct {
		data minewarden.Data
		want []string
	}{
		{&minewarden.DNS{Name: "eu.pool.example", Addrs: []netip.Addr{netip.MustParseAddr("192.0.2.1")}}, []string{"name", "addr"}},
		{&minewarden.TLS{SNI: "Pool.Example"}, []string{"sni"}},
		{&minewarden.HTTP{Host: "pool.example:80"}, []string{"host"}},
		{&minewarden.Connect{Remote: netip.MustParseAddrPort("192.0.2.1:80")}, []string{"remote"}},
		{&minewarden.Image{SHA256: strings.Repeat("ab", 32)}, []string{"sha256"}},
		{&minewarden.Connect{Remote: netip.MustParseAddrPort("192.0.2.9:80")}, nil},
	} {
		var got []string
		for _, m := range s.Match(&minewarden.Event{Time: now, Data: tt.data}) {
			got = append(got, m.Field)
		}
		if diff := cmp.Diff(tt.want, got); diff != "" {
			t.Errorf("%s: fields (-want +got):\n%s", tt.data.Kind(), diff)
		}
	}
}

func FuzzRead(f *testing.F) {
	f.Add("type,value\ndomain,pool.example\n")
	f.Add("0.0.0.0 a.example\n192.0.2.1/24\nhxxp://x[.]y/z\n")
	f.Fuzz(func(t *testing.T, in string) {
		b := indicators.NewBuilder(0)
		var all []minewarden.Indicator
		err := indicators.Read(strings.NewReader(in), indicators.Defaults{Confidence: 1}, func(i minewarden.Indicator) bool {
			all = append(all, i)
			return b.Add(i)
		}, func(*indicators.LineError) {})
		if err != nil {
			t.Fatal(err)
		}
		s := b.Set()
		for _, i := range all {
			if i.Type != indicators.Domain || !i.Expires.IsZero() {
				continue
			}
			if _, ok := s.Name(i.Value, now); !ok {
				t.Errorf("%q was added and is not found", i.Value)
			}
		}
	})
}
