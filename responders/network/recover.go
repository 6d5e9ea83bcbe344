package network

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/minewarden/minewarden"
	"github.com/minewarden/minewarden/internal/proc"
)

// The phases of an action, in order.
const (
	phaseIntent = "intent" // nothing is touched yet
	phaseBlock  = "block"  // Items are being blocked
	phaseDone   = "done"   // there is a receipt
	phaseUndone = "undone" // by somebody, or because it expired
)

// keep is how long the journal of an action with no effect left is kept, so that it is not done twice.
const keep = 30 * 24 * time.Hour

// record is a line of the journal.
type record struct {
	Phase   string              `json:"phase"`
	At      time.Time           `json:"at"`
	Boot    string              `json:"boot,omitempty"`
	Action  *minewarden.Action  `json:"action,omitempty"`
	Items   []Item              `json:"items,omitempty"`
	Names   []string            `json:"names,omitempty"`
	Until   time.Time           `json:"until,omitzero"`
	Receipt *minewarden.Receipt `json:"receipt,omitempty"`
	Expired bool                `json:"expired,omitempty"`
}

// summary is what the lines of one action say together.
type summary struct {
	action  *minewarden.Action
	boot    string
	began   time.Time
	last    time.Time
	items   []Item
	names   []string
	until   time.Time
	receipt *minewarden.Receipt
	undone  bool
	expired bool
}

func summarize(lines []record) summary {
	var s summary
	for i := range lines {
		l := &lines[i]
		s.last = l.At
		switch l.Phase {
		case phaseIntent:
			s.action, s.boot, s.began = l.Action, l.Boot, l.At
		case phaseBlock:
			s.items, s.names, s.until = append(s.items, l.Items...), append(s.names, l.Names...), l.Until
		case phaseDone:
			s.receipt = l.Receipt
		case phaseUndone:
			s.undone, s.expired = true, l.Expired
			if s.receipt != nil && s.receipt.Undone.IsZero() {
				s.receipt.Undone = l.At
				if l.Expired {
					s.receipt.UndoneBy = "expiry"
				}
			}
		}
	}
	return s
}

// Recover enforces again what stands by the journal, lets go what an agent left that was killed in the middle of an action,
// and returns the receipts of both: the caller adds those that its incidents do not have yet. Call it before the first Do.
func (r *Responder) Recover(ctx context.Context) ([]minewarden.Receipt, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	boot, err := proc.Boot()
	if err != nil {
		return nil, err
	}
	receipts, err := r.journal.Receipts(ctx, func(id string, lines []record) (*minewarden.Receipt, error) { return r.mend(id, boot, lines) })
	if ctx.Err() != nil {
		return receipts, err
	}
	errs := []error{err}
	if r.config.Persist { // pins of an action that has no receipt, or is over
		if err := r.open(); err != nil {
			errs = append(errs, err)
		} else if r.kernel != nil {
			errs = append(errs, r.kernel.reconcile(r.table.items))
		}
	} else {
		errs = append(errs, removePins(r.config.Pins))
	}
	return receipts, errors.Join(errs...)
}

// Records returns what people blocked that no incident asked for. Recover and the journal know the others' incidents.
func (r *Responder) Records(ctx context.Context) ([]minewarden.Receipt, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.journal.Receipts(ctx, func(_ string, lines []record) (*minewarden.Receipt, error) {
		if s := summarize(lines); s.receipt != nil && s.receipt.Action.Incident == "" {
			return s.receipt, nil
		}
		return nil, nil
	})
}

// mend puts one action right, and returns its receipt.
func (r *Responder) mend(id, boot string, lines []record) (*minewarden.Receipt, error) {
	s := summarize(lines)
	now := r.now()
	switch {
	case s.action == nil: // killed before its first line was whole: nothing was touched
		return nil, r.journal.Remove(id)
	case s.receipt == nil:
		w := work{boot: s.boot, started: s.began, until: s.until}
		receipt := w.receipt(s.action, now)
		receipt.Result = "interrupted: nothing is blocked"
		r.log.Warn("mended an interrupted action", "action", id, "result", receipt.Result)
		return &receipt, r.note(id, record{Phase: phaseDone, At: now, Receipt: &receipt})
	case s.undone || !s.receipt.OK:
		if s.undone && !s.expired {
			r.pardon(s.receipt)
		}
		if now.Sub(s.last) > keep {
			return s.receipt, r.journal.Remove(id)
		}
		return s.receipt, nil
	case !now.Before(s.until):
		s.receipt.Undone, s.receipt.UndoneBy = s.until, "expiry"
		return s.receipt, r.note(id, record{Phase: phaseUndone, At: now, Expired: true})
	}
	return s.receipt, r.restore(id, boot, &s)
}

// restore enforces an action again that stands. Processes are of one boot.
func (r *Responder) restore(id, boot string, s *summary) error {
	shield, err := r.newShield()
	if err != nil {
		return fmt.Errorf("restore action %s: %w", id, err)
	}
	var items []Item
	for _, i := range s.items {
		if (i.Kind != Tree && i.Kind != Cgroup) || s.boot == boot {
			items = append(items, i)
		}
	}
	take, refused, err := allowed(shield, items)
	if err != nil {
		return fmt.Errorf("restore action %s: %w", id, err)
	}
	if len(refused) > 0 {
		r.log.Warn("not all of a block could be restored", "action", id, "refused", refused)
	}
	if err := r.open(); err != nil {
		return fmt.Errorf("restore action %s: %w", id, err)
	}
	r.follow.hold(s.names, hold{id, s.until})
	if err := r.enforce(shield, take, hold{id, s.until}); err != nil {
		return fmt.Errorf("restore action %s: %w", id, err)
	}
	if _, err := r.sever(shield, take); err != nil {
		return fmt.Errorf("restore action %s: %w", id, err)
	}
	return nil
}
