package pipeline

import (
	"net/netip"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/minewarden/minewarden"
)

// teller claims something about every flow, with evidence that it keeps.
type teller struct{ evidence []minewarden.Evidence }

func (*teller) Info() minewarden.Info    { return minewarden.Info{Name: "teller"} }
func (*teller) Rules() []minewarden.Rule { return nil }
func (*teller) Kinds() []minewarden.Kind { return []minewarden.Kind{minewarden.KindFlow} }
func (t *teller) Observe(ev *minewarden.Event) []minewarden.Finding {
	return []minewarden.Finding{{Subject: minewarden.FlowSubject(ev.Data.(*minewarden.Flow).Key), Evidence: t.evidence}}
}

func TestCountry(t *testing.T) {
	in := map[string]string{"203.0.113.7": "NL", "198.51.100.1": "FR"}
	own := append(make([]minewarden.Evidence, 0, 8), minewarden.Evidence{Key: "port", Value: "443"})
	var events []string
	var found []minewarden.Finding
	p := New(Options{
		Detectors: []minewarden.Detector{&teller{own}}, Country: func(a netip.Addr) string { return in[a.String()] },
		Tap: []func(*minewarden.Event){func(ev *minewarden.Event) { events = append(events, ev.Country) }}, Finding: func(f minewarden.Finding) { found = append(found, f) },
	})
	flow := func(client, server string) minewarden.Data {
		return &minewarden.Flow{Key: minewarden.FlowKey{Proto: "tcp", Client: netip.MustParseAddrPort(client), Server: netip.MustParseAddrPort(server)}}
	}
	p.Observe(minewarden.Event{Data: flow("198.51.100.1:1", "203.0.113.7:443")})
	p.Observe(minewarden.Event{Data: flow("10.0.0.1:1", "192.0.2.1:443")})
	p.Observe(minewarden.Event{Data: flow("10.0.0.1:1", "192.0.2.1:443"), Country: "SE"})
	p.Observe(minewarden.Event{Data: &minewarden.Connect{Remote: netip.MustParseAddrPort("203.0.113.7:443")}})
	if diff := cmp.Diff([]string{"NL", "", "SE", "NL"}, events); diff != "" {
		t.Errorf("countries of events (-want +got):\n%s", diff)
	}
	want := [][]minewarden.Evidence{{{Key: "port", Value: "443"}, {Key: "country", Value: "NL"}, {Key: "client_country", Value: "FR"}}, {{Key: "port", Value: "443"}}, {{Key: "port", Value: "443"}}}
	for i, f := range found {
		if diff := cmp.Diff(want[i], f.Evidence); diff != "" {
			t.Errorf("evidence of finding %d (-want +got):\n%s", i, diff)
		}
	}
	if len(found) != len(want) || own[:2][1] != (minewarden.Evidence{}) {
		t.Errorf("%d findings; the detector's own evidence is now %v", len(found), own[:2])
	}
}
