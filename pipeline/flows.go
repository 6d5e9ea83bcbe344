package pipeline

import (
	"net/netip"

	"github.com/minewarden/minewarden"
)

// maxFlows is how many connections are remembered with the process that opened them; the oldest goes first.
const maxFlows = 8192

// flows knows who opened a connection, so that what is seen on the wire carries its process.
type flows struct {
	by   map[ends]*minewarden.Process
	ring []ends // in order of entry, written round
	next int
}

type ends struct {
	local, remote netip.AddrPort
	udp           bool
}

func (f *flows) learn(c *minewarden.Connect, p *minewarden.Process) {
	if p == nil || !c.Local.IsValid() || c.Local.Port() == 0 {
		return
	}
	k := ends{plain(c.Local), plain(c.Remote), c.Proto == "udp"}
	if f.by == nil {
		f.by = make(map[ends]*minewarden.Process)
	}
	if _, known := f.by[k]; !known {
		if len(f.ring) < maxFlows {
			f.ring = append(f.ring, k)
		} else {
			delete(f.by, f.ring[f.next])
			f.ring[f.next] = k
			f.next = (f.next + 1) % maxFlows
		}
	}
	f.by[k] = p
}

// who returns the process of this host that has the flow, at whichever end; nil where unknown.
func (f *flows) who(k minewarden.FlowKey) *minewarden.Process {
	if len(f.by) == 0 {
		return nil
	}
	client, server, udp := plain(k.Client), plain(k.Server), k.Proto == "udp"
	if p := f.by[ends{client, server, udp}]; p != nil {
		return p
	}
	return f.by[ends{server, client, udp}]
}

func plain(a netip.AddrPort) netip.AddrPort {
	return netip.AddrPortFrom(a.Addr().Unmap().WithZone(""), a.Port())
}

// flowOf returns the flow that an event of the wire is about.
func flowOf(d minewarden.Data) (minewarden.FlowKey, bool) {
	switch d := d.(type) {
	case *minewarden.Flow:
		return d.Key, true
	case *minewarden.Stream:
		return d.Key, true
	case *minewarden.DNS:
		return d.Key, true
	case *minewarden.TLS:
		return d.Key, true
	case *minewarden.HTTP:
		return d.Key, true
	case *minewarden.SSH:
		return d.Key, true
	}
	return minewarden.FlowKey{}, false
}
