package responders

import (
	"fmt"
	"slices"
	"testing"
	"time"

	"github.com/minewarden/minewarden"
)

var t0 = time.Date(2026, 11, 21, 20, 0, 0, 0, time.UTC)

func grave(id string) minewarden.Incident {
	return minewarden.Incident{
		ID: id, State: minewarden.Open, Severity: minewarden.Critical, Score: 0.95,
		Members: []minewarden.Member{{Key: minewarden.ProcessKey{PID: 7, Start: 1}, Since: t0.Add(-time.Second)}},
	}
}

func TestDecide(t *testing.T) {
	for name, c := range map[string]struct {
		mode   Mode
		change func(*minewarden.Incident)
		want   []string
	}{
		"contain":    {Contain, func(*minewarden.Incident) {}, []string{"freeze"}},
		"kill":       {Kill, func(*minewarden.Incident) {}, []string{"freeze", "kill"}},
		"observe":    {Observe, func(*minewarden.Incident) {}, nil},
		"zero":       {"", func(*minewarden.Incident) {}, nil},
		"medium":     {Kill, func(i *minewarden.Incident) { i.Severity = minewarden.Medium }, nil},
		"unsure":     {Kill, func(i *minewarden.Incident) { i.Score = 0.89 }, nil},
		"contained":  {Kill, func(i *minewarden.Incident) { i.State = minewarden.Contained }, nil},
		"closed":     {Kill, func(i *minewarden.Incident) { i.State = minewarden.Closed }, nil},
		"no process": {Kill, func(i *minewarden.Incident) { i.Members = nil }, nil},
		"weak only":  {Kill, func(i *minewarden.Incident) { i.Members[0].Weak = true }, nil},
		"ended":      {Kill, func(i *minewarden.Incident) { i.Members[0].Exited = t0 }, nil},
		"undone by hand": {Kill, func(i *minewarden.Incident) {
			i.Actions = []minewarden.Receipt{{Who: Who + "kill", Done: t0, Undone: t0}}
		}, nil},
		"by a person": {Kill, func(i *minewarden.Incident) { i.Actions = []minewarden.Receipt{{Who: "user root", Done: t0}} }, []string{"freeze", "kill"}},
		"a new one since": {Contain, func(i *minewarden.Incident) {
			i.Actions = []minewarden.Receipt{{Who: Who + "contain", Done: t0.Add(-time.Minute)}}
		}, []string{"freeze"}},
	} {
		inc := grave("i")
		c.change(&inc)
		p := Policy{Mode: c.mode}
		if d := p.Decide(&inc, t0.Add(time.Second)); !slices.Equal(d.Ops, c.want) || (len(d.Ops) > 0) != (d.Why != "") {
			t.Errorf("%s: %+v", name, d)
		}
	}
}

func TestNeverTwice(t *testing.T) {
	p, inc := Policy{Mode: Contain}, grave("i")
	if d := p.Decide(&inc, t0); len(d.Ops) != 1 {
		t.Fatal(d)
	}
	if d := p.Decide(&inc, t0.Add(time.Hour)); len(d.Ops) != 0 {
		t.Errorf("again: %+v", d)
	}
	inc.Members = append(inc.Members, minewarden.Member{Key: minewarden.ProcessKey{PID: 8}, Since: t0.Add(5 * time.Second)})
	if d := p.Decide(&inc, t0.Add(10*time.Second)); len(d.Ops) != 0 {
		t.Errorf("while cooling down: %+v", d)
	}
	if d := p.Decide(&inc, t0.Add(time.Minute)); len(d.Ops) != 1 {
		t.Errorf("a new process: %+v", d)
	}
}

func TestRate(t *testing.T) {
	p, acted, told := Policy{Mode: Contain}, 0, 0
	for i := range 100 {
		inc := grave(fmt.Sprint(i))
		d := p.Decide(&inc, t0.Add(time.Duration(i)*10*time.Millisecond))
		acted += len(d.Ops)
		if d.Held != "" {
			told++
		}
	}
	if acted != perMinute || told != 1 {
		t.Errorf("%d actions, told %d times", acted, told)
	}
	inc := grave("99")
	if d := p.Decide(&inc, t0.Add(2*time.Minute)); len(d.Ops) != 1 {
		t.Errorf("a minute later: %+v", d)
	}
}

func TestParseMode(t *testing.T) {
	if m, err := ParseMode("contain"); m != Contain || err != nil {
		t.Error(m, err)
	}
	if _, err := ParseMode("nuke"); err == nil {
		t.Error("taken")
	}
}
