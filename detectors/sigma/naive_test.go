package sigma

import (
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/minewarden/minewarden"
)

// naive evaluates a rule the way the specification reads: every test on every value, no index, no order.
func naive(m *Matcher, e *expr) bool {
	switch e.kind {
	case exprAnd:
		ok := true
		for _, k := range e.kids {
			ok = naive(m, k) && ok
		}
		return ok
	case exprOr:
		ok := false
		for _, k := range e.kids {
			ok = naive(m, k) || ok
		}
		return ok
	case exprNot:
		return !naive(m, e.kids[0])
	}
	p := e.pred
	values := func(name string) []string {
		var out []string
		if id, ok := m.set.fieldIDs[name]; ok {
			for i := m.head(id); i >= 0; i = m.values[i].next {
				out = append(out, strings.Clone(m.values[i].raw))
			}
		}
		return out
	}
	got := values(p.field)
	switch p.op {
	case opExists:
		return len(got) > 0
	case opAbsent:
		return len(got) == 0
	}
	for _, v := range got {
		if p.op == opFieldRef {
			for _, o := range values(p.ref) {
				if p.cased && p.refers(v, o) || !p.cased && p.refers(fold(v), fold(o)) {
					return true
				}
			}
		} else if p.op == opRegexp {
			if p.re.MatchString(v) {
				return true
			}
		} else if p.meets(v, fold(v)) {
			return true
		}
	}
	return false
}

// compare holds the index to the naive reading for every rule whose source fits, and returns the pairs and the matches.
func compare(t testing.TB, m *Matcher, ev *minewarden.Event) (pairs, matches int) {
	t.Helper()
	var got []string
	for _, r := range m.Match(ev) {
		got = append(got, r.ID)
	}
	if !m.load(ev) {
		return 0, 0
	}
	m.addAll()
	var want []string
	for _, g := range m.groups() {
		for _, r := range g.rules {
			pairs++
			if naive(m, r.expr) {
				want = append(want, r.ID)
			}
		}
	}
	slices.Sort(got)
	slices.Sort(want)
	if !slices.Equal(got, want) {
		t.Errorf("event %s: the index finds %v, a naive reading %v", show(ev), got, want)
	}
	return pairs, len(got)
}

func show(ev *minewarden.Event) string {
	line, err := ev.MarshalJSON()
	if err != nil {
		return err.Error()
	}
	return string(line[:min(len(line), 1500)])
}

// sampleEvents are real Windows events, converted beforehand, where they are, and mixtures of them.
func sampleEvents(t testing.TB) []*minewarden.Event {
	t.Helper()
	dir := os.Getenv("MINEWARDEN_EVENTS")
	if dir == "" {
		t.Skip("MINEWARDEN_EVENTS names no folder with recorded events (*.jsonl)")
	}
	files, err := filepath.Glob(filepath.Join(dir, "*.jsonl"))
	if err != nil {
		t.Fatal(err)
	}
	var events []*minewarden.Event
	for _, f := range files {
		events = append(events, readEvents(t, f, 400)...)
	}
	return events
}

func TestIndexAgreesWithNaiveReading(t *testing.T) {
	events := sampleEvents(t)
	m := sigmaHQ(t, nil).NewMatcher()
	pairs, matches, looked := 0, 0, 0
	for _, ev := range events {
		p, n := compare(t, m, ev)
		pairs, matches, looked = pairs+p, matches+n, looked+m.Looked
		if t.Failed() {
			return
		}
	}
	t.Log(fmt.Sprintf("%d events, %d rule-event pairs, %d matches, %.1f rules looked at an event", len(events), pairs, matches, float64(looked)/float64(len(events))))
}
