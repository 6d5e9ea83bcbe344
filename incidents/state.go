package incidents

import (
	"fmt"
	"slices"
	"time"

	"github.com/minewarden/minewarden"
)

// containing are operations after which an incident's processes do no more harm.
var containing = []string{"freeze", "kill", "isolate", "stop", "pause"}

// AddReceipt records what an action did; with a receipt of the same action id, it replaces that one. The incident becomes
// contained by an action that stopped it, and open again when none of these stands any more.
func (c *Correlator) AddReceipt(id string, r minewarden.Receipt) error {
	s := c.all[id]
	if s == nil {
		return fmt.Errorf("receipt of action %s: incident %s: %w", r.Action.ID, id, minewarden.ErrNotFound)
	}
	if !s.addReceipt(r) {
		return nil
	}
	at := r.Done
	if r.Undone.After(at) {
		at = r.Undone
	}
	if at.After(s.inc.Updated) {
		s.inc.Updated = at
	}
	if s.inc.State != minewarden.Closed && slices.Contains(containing, r.Action.Op) && r.OK {
		state := minewarden.Open
		if slices.ContainsFunc(s.inc.Actions, stands) {
			state = minewarden.Contained
		}
		if state != s.inc.State {
			s.inc.State, s.inc.Changed = state, at
			c.mark(s)
		}
	}
	c.touch(s)
	return nil
}

func stands(r minewarden.Receipt) bool {
	return r.OK && r.Undone.IsZero() && slices.Contains(containing, r.Action.Op)
}

// addReceipt reports whether that changed anything.
func (s *story) addReceipt(r minewarden.Receipt) bool {
	for i := range s.inc.Actions {
		if s.inc.Actions[i].Action.ID == r.Action.ID {
			old := &s.inc.Actions[i]
			if old.OK == r.OK && old.Done.Equal(r.Done) && old.Undone.Equal(r.Undone) {
				return false
			}
			actions := slices.Clone(s.inc.Actions)
			actions[i] = r
			s.inc.Actions = actions
			return true
		}
	}
	if len(s.inc.Actions) >= maxReceipts { // the oldest that holds nothing goes
		i := max(slices.IndexFunc(s.inc.Actions, func(r minewarden.Receipt) bool { return !stands(r) }), 0)
		s.inc.Actions = slices.Delete(slices.Clone(s.inc.Actions), i, i+1)
	}
	s.inc.Actions = append(s.inc.Actions, r)
	return true
}

// Close ends an incident; who says so, and why, becomes a note. A finding later than at opens it again.
func (c *Correlator) Close(id, who, why string, at time.Time) error {
	s := c.all[id]
	if s == nil {
		return fmt.Errorf("close incident %s: %w", id, minewarden.ErrNotFound)
	}
	if s.inc.State != minewarden.Closed {
		s.inc.State, s.inc.Changed = minewarden.Closed, at
		c.mark(s)
	}
	return c.Note(id, minewarden.Note{Time: at, Who: who, Text: why})
}

// Reopen says that an incident that was closed is not over after all.
func (c *Correlator) Reopen(id, who, why string, at time.Time) error {
	s := c.all[id]
	if s == nil {
		return fmt.Errorf("reopen incident %s: %w", id, minewarden.ErrNotFound)
	}
	if s.inc.State == minewarden.Closed {
		s.inc.State, s.inc.Changed = minewarden.Open, at
		if slices.ContainsFunc(s.inc.Actions, stands) {
			s.inc.State = minewarden.Contained
		}
		c.mark(s)
	}
	return c.Note(id, minewarden.Note{Time: at, Who: who, Text: why})
}

// Assign says who works on an incident; an empty name: nobody. It returns who did before.
func (c *Correlator) Assign(id, name string, at time.Time) (before string, err error) {
	s := c.all[id]
	if s == nil {
		return "", fmt.Errorf("assign incident %s: %w", id, minewarden.ErrNotFound)
	}
	before = s.inc.Assignee
	if before == name {
		return before, nil
	}
	s.inc.Assignee = name
	if at.After(s.inc.Updated) {
		s.inc.Updated = at
	}
	c.touch(s)
	return before, nil
}

// Note adds what a person wrote.
func (c *Correlator) Note(id string, n minewarden.Note) error {
	s := c.all[id]
	if s == nil {
		return fmt.Errorf("note on incident %s: %w", id, minewarden.ErrNotFound)
	}
	if len(s.inc.Notes) >= maxNotes {
		return fmt.Errorf("note on incident %s: it has %d already", id, maxNotes)
	}
	s.inc.Notes = append(s.inc.Notes, n)
	if n.Time.After(s.inc.Updated) {
		s.inc.Updated = n.Time
	}
	c.touch(s)
	return nil
}

// Judge keeps what a person found an incident to be; who says so, and why, becomes a note.
func (c *Correlator) Judge(id, verdict, who, why string, at time.Time) error {
	s := c.all[id]
	if s == nil {
		return fmt.Errorf("judge incident %s: %w", id, minewarden.ErrNotFound)
	}
	if !slices.Contains(minewarden.Verdicts[:], verdict) {
		return fmt.Errorf("judge incident %s: %q is no verdict", id, verdict)
	}
	s.inc.Verdict = verdict
	return c.Note(id, minewarden.Note{Time: at, Who: who, Text: "judged " + verdict + ": " + why})
}
