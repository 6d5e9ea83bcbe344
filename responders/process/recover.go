package process

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/minewarden/minewarden"
	"github.com/minewarden/minewarden/internal/proc"
	"golang.org/x/sys/unix"
)

// The phases of an action, in order.
const (
	phaseIntent = "intent" // nothing is touched yet
	phaseStop   = "stop"   // Held is being stopped
	phaseKill   = "kill"   // Held is stopped and being killed
	phaseDone   = "done"   // there is a receipt
	phaseUndone = "undone"
)

// keep is how long the journal of an action with no effect left is kept, so that it is not done twice.
const keep = 30 * 24 * time.Hour

// record is a line of the journal.
type record struct {
	Phase   string              `json:"phase"`
	At      time.Time           `json:"at"`
	Boot    string              `json:"boot,omitempty"`
	Action  *minewarden.Action  `json:"action,omitempty"`
	Held    held                `json:"held,omitzero"`
	Receipt *minewarden.Receipt `json:"receipt,omitempty"`
}

// summary is what the lines of one action say together.
type summary struct {
	action  *minewarden.Action
	boot    string
	began   time.Time
	last    time.Time
	held    held
	killing bool
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
			s.action, s.boot, s.began = l.Action, l.Boot, l.At
		case phaseStop:
			s.held.Stopped = append(s.held.Stopped, l.Held.Stopped...)
			s.held.Cgroups = append(s.held.Cgroups, l.Held.Cgroups...)
		case phaseKill:
			s.killing, s.held = true, l.Held
		case phaseDone:
			s.receipt = l.Receipt
		case phaseUndone:
			s.undone = true
		}
		if s.undone && s.receipt != nil && s.receipt.Undone.IsZero() {
			s.receipt.Undone = l.At
		}
	}
	return s
}

// Recover mends what an agent left that was killed in the middle of an action, and returns the receipts of these and of all
// that stands: the caller adds those that its incidents do not have yet. What was only frozen goes on, for there is no
// receipt that would say who may let it; what was being killed is killed. Call it before the first Do.
func (r *Responder) Recover(ctx context.Context) ([]minewarden.Receipt, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.journal.Receipts(ctx, func(id string, lines []record) (*minewarden.Receipt, error) {
		s := summarize(lines)
		if s.receipt == nil {
			return r.mend(id, s)
		}
		if (s.undone || s.receipt.Action.Op == Kill) && r.now().Sub(s.last) > keep {
			return s.receipt, r.journal.Remove(id)
		}
		return s.receipt, nil
	})
}

// mend ends an action that has no receipt.
func (r *Responder) mend(id string, s summary) (*minewarden.Receipt, error) {
	if s.action == nil { // killed before its first line was whole: nothing was touched
		if err := r.journal.Remove(id); err != nil {
			return nil, fmt.Errorf("mend action %s: %w", id, err)
		}
		return nil, nil
	}
	boot, err := proc.Boot()
	if err != nil {
		return nil, fmt.Errorf("mend action %s: %w", id, err)
	}
	result, ok := "interrupted before anything was stopped", false
	switch {
	case boot != s.boot:
		result = "interrupted by a restart of the machine, which ended all its processes"
	case s.killing:
		if err := finishKill(s.held); err != nil {
			return nil, fmt.Errorf("mend action %s: %w", id, err)
		}
		result, ok = "interrupted, then completed at the next start: all are gone", true
	default:
		n, err := s.held.release()
		if err != nil {
			return nil, fmt.Errorf("mend action %s: %w", id, err)
		}
		if n > 0 {
			result = fmt.Sprintf("interrupted: %d frozen leftovers were let go on at the next start", n)
		}
	}
	receipt := receiptOf(s.action, held{}, s.boot)
	receipt.Started, receipt.Done, receipt.OK, receipt.Result = s.began, r.now(), ok, result
	r.log.Warn("mended an interrupted action", "action", id, "result", result)
	if err := r.note(id, record{Phase: phaseDone, At: receipt.Done, Receipt: &receipt}); err != nil {
		return &receipt, fmt.Errorf("mend action %s: %w", id, err)
	}
	return &receipt, nil
}

func finishKill(h held) error {
	var errs []error
	for _, o := range slices.Backward(h.Stopped) { // as kill does
		p, err := proc.Open(o.PID, o.Start)
		if err == nil {
			err = errors.Join(p.Signal(unix.SIGKILL), p.Close())
		}
		if err != nil && !errors.Is(err, proc.ErrGone) {
			errs = append(errs, err)
		}
	}
	for _, c := range h.Cgroups {
		errs = append(errs, c.Thaw())
	}
	return errors.Join(errs...)
}
