package dns

import (
	"fmt"
	"net/netip"
	"testing"
	"time"

	"github.com/minewarden/minewarden"
	"github.com/minewarden/minewarden/internal/detectortest"
)

func TestRecordings(t *testing.T) { detectortest.Run(t, New) }

func TestRegistered(t *testing.T) {
	for _, tt := range []struct{ name, suffix, want string }{
		{"a.b.example.com", "com", "example.com"}, {"example.com", "com", "example.com"}, {"x.example.co.uk", "co.uk", "example.co.uk"}, {"com", "com", "com"}, {"", "", ""},
	} {
		if got := registered(tt.name, tt.suffix); got != tt.want {
			t.Errorf("registered(%q, %q) = %q, want %q", tt.name, tt.suffix, got, tt.want)
		}
	}
}

func message(i int, name string) *minewarden.DNS {
	return &minewarden.DNS{Key: minewarden.FlowKey{Proto: "udp", Client: netip.AddrPortFrom(netip.AddrFrom4([4]byte{10, byte(i >> 16), byte(i >> 8), byte(i)}), 5000), Server: netip.MustParseAddrPort("10.0.0.1:53")}, Response: true, Name: name, Code: "NXDOMAIN", Type: "TXT"}
}

func TestBounded(t *testing.T) {
	det, err := New(minewarden.Env{})
	if err != nil {
		t.Fatal(err)
	}
	d := det.(*detector)
	for i := range 2 * maxClients {
		d.Observe(&minewarden.Event{Time: time.Unix(int64(i), 0), Data: message(i, "abcdef.com")})
	}
	for i := range 500 {
		d.Observe(&minewarden.Event{Time: time.Unix(int64(i), 0), Data: message(1, fmt.Sprintf("aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa%d.d%d.com", i, i))})
		d.Observe(&minewarden.Event{Time: time.Unix(int64(i), 0), Data: &minewarden.DNS{Key: message(i, "").Key, ID: uint16(i), Name: "p.example"}, Matches: []minewarden.Match{{Indicator: minewarden.Indicator{Confidence: 1}}}})
	}
	if len(d.clients) > maxClients || len(d.pending) > maxPending || len(d.told) > maxTold || len(d.client(message(1, "").Key.Client.Addr(), time.Time{}).parents) > maxParents {
		t.Errorf("%d clients, %d pending, %d told", len(d.clients), len(d.pending), len(d.told))
	}
}

func FuzzName(f *testing.F) {
	f.Add("a..b.co.uk", "\\000.x")
	f.Fuzz(func(t *testing.T, a, b string) {
		det, err := New(minewarden.Env{})
		if err != nil {
			t.Fatal(err)
		}
		for i, n := range []string{a, b, a + "." + b, "." + a + "."} {
			det.Observe(&minewarden.Event{Time: time.Unix(int64(i), 0), Data: message(1, n)})
		}
	})
}

func BenchmarkAnswer(b *testing.B) {
	det, err := New(minewarden.Env{})
	if err != nil {
		b.Fatal(err)
	}
	ok := message(1, "www.example.com")
	ok.Code = "NOERROR"
	ev := &minewarden.Event{Time: time.Unix(1, 0), Data: ok}
	b.ReportAllocs()
	for b.Loop() {
		det.Observe(ev)
	}
}

func BenchmarkMissing(b *testing.B) {
	det, err := New(minewarden.Env{})
	if err != nil {
		b.Fatal(err)
	}
	var evs []*minewarden.Event
	for i := range 512 {
		evs = append(evs, &minewarden.Event{Time: time.Unix(int64(i), 0), Data: message(1, fmt.Sprintf("name%dmore%d.com", i*7919, i))})
	}
	b.ReportAllocs()
	for i := 0; b.Loop(); i++ {
		det.Observe(evs[i%len(evs)])
	}
}
