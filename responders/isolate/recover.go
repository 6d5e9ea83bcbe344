package isolate

import (
	"context"
	"fmt"
	"time"

	"github.com/minewarden/minewarden"
	"github.com/minewarden/minewarden/internal/proc"
)

// The phases of an action, in order.
const (
	phaseIntent = "intent" // from here on anything may have been touched
	phaseRules  = "rules"  // of controllers: Rules stand, or may stand
	phaseDone   = "done"   // there is a receipt
	phaseUndone = "undone" // by somebody, or by itself
)

// keepJournal is how long the journal of an action with no effect left is kept, so that it is not done twice.
const keepJournal = 30 * 24 * time.Hour

// record is a line of the journal.
type record struct {
	Phase   string              `json:"phase"`
	At      time.Time           `json:"at"`
	Boot    string              `json:"boot,omitempty"`
	Action  *minewarden.Action  `json:"action,omitempty"`
	Scope   *Scope              `json:"scope,omitempty"`
	Until   time.Time           `json:"until,omitzero"`
	End     time.Duration       `json:"end,omitempty"` // Until, since boot
	Rules   map[string]string   `json:"rules,omitempty"`
	Receipt *minewarden.Receipt `json:"receipt,omitempty"`
	By      string              `json:"by,omitempty"`
}

// summary is what the lines of one action say together.
type summary struct {
	action  *minewarden.Action
	scope   *Scope
	boot    string
	began   time.Time
	last    time.Time
	until   time.Time
	end     time.Duration
	rules   map[string]string
	receipt *minewarden.Receipt
	undone  bool
}

func summarize(lines []record) summary {
	var s summary
	for i := range lines {
		l := &lines[i]
		s.last = l.At
		switch l.Phase {
		case phaseIntent:
			s.action, s.scope, s.boot, s.began, s.until, s.end = l.Action, l.Scope, l.Boot, l.At, l.Until, l.End
		case phaseRules:
			s.rules = l.Rules
		case phaseDone:
			s.receipt = l.Receipt
		case phaseUndone:
			s.undone = true
			if s.receipt != nil && s.receipt.Undone.IsZero() {
				s.receipt.Undone, s.receipt.UndoneBy = l.At, l.By
			}
		}
	}
	return s
}

// left is how long an action lasts from now on: by the clock that never jumps while the machine ran on, else by the wall's.
func (r *Responder) left(s *summary, boot string) time.Duration {
	if s.boot == boot && s.end > 0 {
		return s.end - r.mono()
	}
	return min(s.until.Sub(r.now()), s.until.Sub(s.began)) // a clock that was set back makes nothing last longer
}

// interrupted is the receipt of an action that was not finished.
func (s *summary) interrupted(now time.Time, result string) *minewarden.Receipt {
	return &minewarden.Receipt{
		Action: *s.action, Started: s.began, Done: now, Who: s.action.Params[ParamWho], Why: s.action.Params[ParamWhy], Result: result,
	}
}

// mend puts one action right, and returns its receipt. The caller holds mu.
func (r *Responder) mend(id string, lines []record) (*minewarden.Receipt, error) {
	s := summarize(lines)
	boot, err := proc.Boot()
	if err != nil {
		return nil, err
	}
	now := r.now()
	switch {
	case s.action == nil: // killed before its first line was whole: nothing was touched
		return nil, r.journal.Remove(id)
	case s.receipt == nil: // the table that it may have left is removed after this
		receipt := s.interrupted(now, "interrupted: the host is not isolated")
		r.log.Warn("mended an interrupted action", "action", id, "result", receipt.Result)
		return receipt, r.note(id, record{Phase: phaseDone, At: now, Receipt: receipt})
	case s.undone || !s.receipt.OK:
		if now.Sub(s.last) > keepJournal {
			return s.receipt, r.journal.Remove(id)
		}
		return s.receipt, nil
	}
	by := byRestart
	left := r.left(&s, boot)
	if left <= 0 {
		by = byExpiry
	}
	if !r.config.Survive || left <= 0 {
		s.receipt.Undone, s.receipt.UndoneBy = now, by
		return s.receipt, r.note(id, record{Phase: phaseUndone, At: now, By: by})
	}
	return s.receipt, r.restore(id, &s, left)
}

// restore isolates again by an action that stands. There is no moment at which the old rules are gone and the new ones not there.
func (r *Responder) restore(id string, s *summary, left time.Duration) error {
	if err := s.scope.check(); err != nil {
		return fmt.Errorf("restore action %s: %w", id, err)
	}
	h := hold{s.action.Incident, r.now().Add(left), r.mono() + left, *s.receipt}
	if r.active != nil {
		r.active.holds[id] = h
		return nil
	}
	s.scope.Devices = nil // others may be there now
	remarks, err := s.scope.devices()
	if err != nil {
		return fmt.Errorf("restore action %s: %w", id, err)
	}
	i := &isolation{
		scope: s.scope, blind: !s.scope.managed(), holds: map[string]hold{id: h}, since: s.began, confirmed: r.mono(), by: "the start",
	}
	if err := r.raise(i, r.timeout(left)); err != nil {
		return fmt.Errorf("restore action %s: %w", id, err)
	}
	i.weak = append(i.weak, remarks...)
	r.active = i
	if _, err := sever(i.scope); err != nil {
		i.weak = append(i.weak, "not all connections could be ended: "+err.Error())
	}
	return nil
}

// Records returns the receipts of actions that no incident asked for.
func (r *Responder) Records(ctx context.Context) ([]minewarden.Receipt, error) {
	return r.journal.Receipts(ctx, func(_ string, lines []record) (*minewarden.Receipt, error) {
		if s := summarize(lines); s.receipt != nil && s.action != nil && s.action.Incident == "" {
			return s.receipt, nil
		}
		return nil, nil
	})
}
