package mem

import (
	"slices"
	"strings"
	"time"

	"github.com/minewarden/minewarden"
)

func matchState(inc *minewarden.Incident, q *minewarden.Query) bool {
	return (len(q.States) == 0 || slices.Contains(q.States, inc.State)) && (q.Host == "" || inc.Host == q.Host)
}

func matchIncident(inc *minewarden.Incident, q *minewarden.Query) bool {
	if !matchState(inc, q) || inc.Severity < q.Severity || !within(inc.Updated, q) {
		return false
	}
	if q.Subject != "" && inc.Subject.ID != q.Subject &&
		!slices.ContainsFunc(inc.Findings, func(f minewarden.IncidentFinding) bool { return f.Subject.ID == q.Subject }) {
		return false
	}
	if q.Rule != "" &&
		!slices.ContainsFunc(inc.Findings, func(f minewarden.IncidentFinding) bool { return matchRule(f.Rule, q.Rule) }) {
		return false
	}
	if q.Text == "" || contains(q.Text, inc.ID, inc.Subject.ID, inc.Subject.Name) {
		return true
	}
	for i := range inc.Members {
		if contains(q.Text, inc.Members[i].Name, inc.Members[i].Exe) {
			return true
		}
	}
	for i := range inc.Findings {
		if textOf(&inc.Findings[i], q.Text) {
			return true
		}
	}
	return false
}

func matchFinding(f *minewarden.IncidentFinding, q *minewarden.Query) bool {
	return f.Severity >= q.Severity && within(f.Last, q) && (q.Subject == "" || f.Subject.ID == q.Subject) &&
		(q.Rule == "" || matchRule(f.Rule, q.Rule)) && (q.Text == "" || textOf(f, q.Text))
}

func matchRule(rule, want string) bool {
	return rule == want || strings.HasSuffix(want, "/") && strings.HasPrefix(rule, want)
}

func within(t time.Time, q *minewarden.Query) bool {
	return (q.Since.IsZero() || !t.Before(q.Since)) && (q.Until.IsZero() || t.Before(q.Until))
}

func textOf(f *minewarden.IncidentFinding, text string) bool {
	return contains(text, f.Rule, f.Title, f.Subject.ID, f.Subject.Name, f.Lineage)
}

func contains(text string, in ...string) bool {
	text = lower(text)
	return slices.ContainsFunc(in, func(s string) bool { return strings.Contains(lower(s), text) })
}

// lower folds ASCII only, as SQLite does.
func lower(s string) string {
	return strings.Map(func(r rune) rune {
		if 'A' <= r && r <= 'Z' {
			return r + 'a' - 'A'
		}
		return r
	}, s)
}

// after is the end of the page before.
type after struct {
	set  bool
	time time.Time
	id   string
	seq  int
}

func newAfter(cursor string) (after, error) {
	if cursor == "" {
		return after{}, nil
	}
	t, id, seq, err := minewarden.ParseCursor(cursor)
	return after{true, t, id, seq}, err
}

func (a after) passed(t time.Time, id string, seq int) bool {
	if !a.set || t.Before(a.time) {
		return true
	}
	if t.After(a.time) || id < a.id {
		return false
	}
	return id > a.id || seq > a.seq
}
