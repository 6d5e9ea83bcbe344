package flowfilter

import (
	"math/rand/v2"
	"net/netip"
	"testing"

	"github.com/minewarden/minewarden"
)

func TestFilter(t *testing.T) {
	random := rand.New(rand.NewPCG(1, 2))
	key := func() minewarden.FlowKey {
		end := func() netip.AddrPort {
			return netip.AddrPortFrom(netip.AddrFrom4([4]byte{10, 0, 0, byte(random.Uint32())}), uint16(random.Uint32()))
		}
		return minewarden.FlowKey{Proto: "tcp", Client: end(), Server: end()}
	}
	var f Filter
	in := map[minewarden.FlowKey]bool{}
	for range 4000 {
		k := key()
		if !in[k] {
			in[k] = true
			f.Add(&k)
		}
	}
	for k := range in {
		if !f.May(&k) {
			t.Fatalf("%v is missed", k)
		}
	}
	wrong := 0
	for range 10000 {
		if k := key(); f.May(&k) && !in[k] {
			wrong++
		}
	}
	if wrong > 4000 {
		t.Errorf("of 10000 others %d are not told apart", wrong)
	}
	for k := range in {
		f.Remove(&k)
	}
	if f != (Filter{}) {
		t.Error("it is not empty after all were removed")
	}
}
