package pipeline

import (
	"net/netip"
	"slices"

	"github.com/minewarden/minewarden"
)

// country puts the country of the other end on an event. A recording may hold it already.
func (p *Pipeline) country(ev *minewarden.Event) {
	if ev.Country != "" {
		return
	}
	switch d := ev.Data.(type) {
	case *minewarden.Connect:
		ev.Country = p.opt.Country(d.Remote.Addr())
	case *minewarden.Flow:
		ev.Country = p.opt.Country(d.Key.Server.Addr())
	}
}

// land adds the countries of both ends to a finding about a flow, where they are known and it does not tell them itself.
func (p *Pipeline) land(f *minewarden.Finding) {
	if slices.ContainsFunc(f.Evidence, func(e minewarden.Evidence) bool { return e.Key == "country" }) {
		return
	}
	added := false
	add := func(key, end string) {
		at, err := netip.ParseAddrPort(end)
		if err != nil {
			return // a subject made elsewhere may name an end otherwise
		}
		code := p.opt.Country(at.Addr())
		if code == "" {
			return
		}
		if !added {
			f.Evidence, added = slices.Clone(f.Evidence), true
		}
		f.Evidence = append(f.Evidence, minewarden.Evidence{Key: key, Value: code})
	}
	add("country", f.Subject.Server)
	add("client_country", f.Subject.Client)
}
