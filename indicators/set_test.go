package indicators_test

import (
	"encoding/hex"
	"fmt"
	"math/rand/v2"
	"net/netip"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/minewarden/minewarden"
	"github.com/minewarden/minewarden/indicators"
)

// plainSet says what a Set has to, in the plainest way.
type plainSet struct {
	listed  map[[2]string]minewarden.Indicator
	allowed map[[2]string]bool
	order   [][2]string
}

func (p *plainSet) add(i minewarden.Indicator) {
	k := [2]string{i.Type, i.Value}
	old, ok := p.listed[k]
	if !ok {
		p.order = append(p.order, k)
	}
	if !ok || i.Confidence > old.Confidence || (i.Confidence == old.Confidence && i.Expires.IsZero()) {
		p.listed[k] = i
	}
}

func (p *plainSet) get(typ, value string) (minewarden.Indicator, bool) {
	i, ok := p.listed[[2]string{typ, value}]
	return i, ok && (i.Expires.IsZero() || now.Before(i.Expires))
}

func (p *plainSet) name(name string) (out minewarden.Indicator) {
	for rest := name; ; {
		if p.allowed[[2]string{indicators.Domain, rest}] {
			return minewarden.Indicator{}
		}
		if i, ok := p.get(indicators.Domain, rest); ok && out.Value == "" {
			out = i
		}
		_, rest, _ = strings.Cut(rest, ".")
		if !strings.Contains(rest, ".") {
			return out
		}
	}
}

func (p *plainSet) addr(a netip.Addr, port uint16) minewarden.Indicator {
	full := netip.AddrPortFrom(a, port).String()
	if p.allowed[[2]string{indicators.IP, a.String()}] || p.allowed[[2]string{indicators.Endpoint, full}] {
		return minewarden.Indicator{}
	}
	best, bits := minewarden.Indicator{}, -1
	for k := range p.allowed {
		if pfx, err := netip.ParsePrefix(k[1]); k[0] == indicators.CIDR && err == nil && pfx.Contains(a) {
			return best
		}
	}
	if i, ok := p.get(indicators.Endpoint, full); ok {
		return i
	}
	if i, ok := p.get(indicators.IP, a.String()); ok {
		return i
	}
	for k := range p.listed {
		pfx, err := netip.ParsePrefix(k[1])
		if i, ok := p.get(k[0], k[1]); k[0] == indicators.CIDR && err == nil && ok && pfx.Contains(a) && pfx.Bits() > bits {
			best, bits = i, pfx.Bits()
		}
	}
	return best
}

// same builds both from numbers and compares what they say to everything that was put in, and to what is near it.
func same(t *testing.T, seed uint64, many, expected int) {
	t.Helper()
	r := rand.New(rand.NewPCG(seed, 1))
	name := func() string {
		labels := make([]string, 2+r.IntN(3))
		for i := range labels {
			labels[i] = fmt.Sprint(r.IntN(1 + many/8))
		}
		return strings.Join(labels, ".") + ".example"
	}
	addr := func() netip.Addr {
		if r.IntN(4) == 0 {
			return netip.AddrFrom16([16]byte{0x20, 1, 0xd, 0xb8, 15: byte(r.Uint32()), 14: byte(r.Uint32())})
		}
		return netip.AddrFrom4([4]byte{192, 0, byte(r.IntN(8)), byte(r.Uint32())})
	}
	value := func() (string, string) {
		a := addr()
		switch r.IntN(8) {
		case 0:
			return indicators.IP, a.String()
		case 1:
			return indicators.Endpoint, netip.AddrPortFrom(a, uint16(3333+r.IntN(2))).String()
		case 2:
			return indicators.CIDR, netip.PrefixFrom(a, a.BitLen()-r.IntN(12)).Masked().String()
		case 3:
			return indicators.SHA256, hex.EncodeToString([]byte(fmt.Sprintf("%032d", r.IntN(many))))
		}
		return indicators.Domain, name()
	}
	b := indicators.NewBuilder(expected)
	p := &plainSet{listed: map[[2]string]minewarden.Indicator{}, allowed: map[[2]string]bool{}}
	for range many {
		i := minewarden.Indicator{Source: fmt.Sprint("s", r.IntN(3)), Confidence: float64(r.IntN(5)) / 4}
		i.Type, i.Value = value()
		if r.IntN(3) == 0 {
			i.Expires = now.Add(time.Duration(r.IntN(200)-100) * time.Minute)
		}
		if r.IntN(30) == 0 {
			if p.allowed[[2]string{i.Type, i.Value}] = true; !b.Allow(i.Type, i.Value) {
				t.Fatal("full")
			}
			continue
		}
		if p.add(i); !b.Add(i) {
			t.Fatal("full")
		}
	}
	s := b.Set()
	got := map[[2]string]minewarden.Indicator{}
	var order [][2]string
	for i := range s.All {
		got[[2]string{i.Type, i.Value}] = i
		order = append(order, [2]string{i.Type, i.Value})
	}
	if diff := cmp.Diff(p.listed, got); diff != "" {
		t.Errorf("all (-want +got):\n%s", diff)
	}
	if diff := cmp.Diff(p.order, order); diff != "" {
		t.Errorf("order of all (-want +got):\n%s", diff)
	}
	allowed := map[[2]string]bool{}
	for i := range s.Allowances {
		allowed[[2]string{i.Type, i.Value}] = true
	}
	if diff := cmp.Diff(p.allowed, allowed); diff != "" {
		t.Errorf("allowed (-want +got):\n%s", diff)
	}
	check := func(what string, want minewarden.Indicator, hit indicators.Hit, ok bool) {
		t.Helper()
		if ok != (want.Value != "") || (ok && !cmp.Equal(want, hit.Indicator())) {
			t.Errorf("%s: %v %+v, want %+v", what, ok, hit, want)
		}
	}
	ask := func(typ, v string) {
		switch typ {
		case indicators.Domain:
			for _, q := range []string{v, "www." + v, "a.b.c." + v, "x" + v, v[1:]} {
				hit, ok := s.Name(q, now)
				check(q, p.name(q), hit, ok)
			}
		case indicators.SHA256:
			want, _ := p.get(typ, v)
			if p.allowed[[2]string{typ, v}] || !now.Before(want.Expires) && !want.Expires.IsZero() {
				want = minewarden.Indicator{}
			}
			hit, ok := s.Exact(typ, v, now)
			check(v, want, hit, ok)
		}
	}
	for _, k := range p.order {
		ask(k[0], k[1])
	}
	for range min(many, 300) {
		ask(value())
		a, port := addr(), uint16(3333+r.IntN(3))
		hit, ok := s.Addr(a, port, now)
		check(netip.AddrPortFrom(a, port).String(), p.addr(a, port), hit, ok)
	}
}

func TestSameAsPlain(t *testing.T) {
	for i, many := range []int{1, 30, 1000, 6000} {
		same(t, uint64(i), many, many) // as many as were expected
		same(t, uint64(i), many, 0)    // the table has to grow
	}
}

func FuzzSameAsPlain(f *testing.F) {
	f.Add(uint64(1), uint16(100), uint16(0))
	f.Fuzz(func(t *testing.T, seed uint64, many, expected uint16) { same(t, seed, 1+int(many)%500, int(expected)) })
}

// TestAllowWins: what is below an allowed value is not met, however closely it is listed.
func TestAllowWins(t *testing.T) {
	s := build(t, "pool.example\na.spared.example\n192.0.2.1\n192.0.2.0/28\n", "spared.example", "192.0.2.0/24")
	for _, name := range []string{"spared.example", "a.spared.example", "x.a.spared.example"} {
		if hit, ok := s.Name(name, now); ok {
			t.Errorf("Name(%q) met %v", name, hit.Indicator())
		}
	}
	if hit, ok := s.Addr(netip.MustParseAddr("192.0.2.1"), 0, now); ok {
		t.Errorf("an address in an allowed network met %v", hit.Indicator())
	}
}

// TestStaleNetwork: a network that is no longer listed does not hide the one around it.
func TestStaleNetwork(t *testing.T) {
	s := build(t, "value,expires\n192.0.2.0/28,2026-01-01\n192.0.2.0/24,\n")
	if got := value(s.Addr(netip.MustParseAddr("192.0.2.1"), 0, now)); got != "192.0.2.0/24" {
		t.Errorf("met %q", got)
	}
}
