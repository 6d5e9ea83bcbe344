package quarantine

import (
	"context"
	"errors"
	"fmt"
	"os"
	"time"

	"github.com/minewarden/minewarden"
)

// The phases of an action, in order.
const (
	phaseIntent = "intent" // the file is where it was
	phaseCopied = "copied" // a verified copy is in quarantine; the name may be gone
	phaseDone   = "done"   // there is a receipt
	phaseUndone = "undone"
)

// record is a line of the journal.
type record struct {
	Phase   string              `json:"phase"`
	At      time.Time           `json:"at"`
	Action  *minewarden.Action  `json:"action,omitempty"`
	Target  target              `json:"target,omitzero"`
	Meta    *meta               `json:"meta,omitempty"`
	Receipt *minewarden.Receipt `json:"receipt,omitempty"`
}

type summary struct {
	action  *minewarden.Action
	target  target
	meta    *meta
	began   time.Time
	receipt *minewarden.Receipt
	undone  bool
}

func summarize(lines []record) summary {
	var s summary
	for i := range lines {
		l := &lines[i]
		switch l.Phase {
		case phaseIntent:
			s.action, s.target, s.began = l.Action, l.Target, l.At
		case phaseCopied:
			s.meta = l.Meta
		case phaseDone:
			s.receipt = l.Receipt
		case phaseUndone:
			if s.undone = true; s.receipt != nil {
				s.receipt.Undone = l.At
			}
		}
	}
	return s
}

// An Item is a file in quarantine.
type Item struct {
	Receipt minewarden.Receipt
	Path    string
	SHA256  string
	File    string // where its content is kept; without a mode that could run it
}

// List returns what is in quarantine.
func (r *Responder) List() ([]Item, error) {
	ids, err := r.journal.IDs()
	if err != nil {
		return nil, err
	}
	var items []Item
	for _, id := range ids {
		lines, err := r.journal.Load(id)
		if err != nil {
			return items, err
		}
		if s := summarize(lines); s.receipt != nil && s.receipt.OK && !s.undone {
			items = append(items, Item{*s.receipt, s.target.Path, s.target.SHA256, r.content(id)})
		}
	}
	return items, nil
}

// Recover mends what an agent left that was killed in the middle of an action, and returns the receipts of all: the caller
// adds those that its incidents do not have yet. Call it before the first Do.
func (r *Responder) Recover(ctx context.Context) ([]minewarden.Receipt, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.journal.Receipts(ctx, func(id string, lines []record) (*minewarden.Receipt, error) {
		s := summarize(lines)
		var err error
		if s.receipt == nil {
			s, err = r.mend(ctx, id, s)
		}
		return s.receipt, err
	})
}

// mend ends an action that has no receipt: once a verified copy is there it goes on, else it never was.
func (r *Responder) mend(ctx context.Context, id string, s summary) (summary, error) {
	fail := func(err error) (summary, error) { return s, fmt.Errorf("mend action %s: %w", id, err) }
	if s.action == nil {
		return s, r.journal.Remove(id)
	}
	result, ok := "interrupted before the file was copied; it is where it was", false
	if s.meta == nil {
		if err := remove(r.content(id)); err != nil {
			return fail(err)
		}
	} else {
		sum, err := hashFile(ctx, r.content(id))
		if err != nil || sum != s.target.SHA256 {
			return fail(errors.Join(fmt.Errorf("the copy in quarantine has sha256 %q, want %s", sum, s.target.SHA256), err))
		}
		if !s.target.Exe {
			if err := finishUnlink(&s.target, id); err != nil && !errors.Is(err, os.ErrNotExist) {
				return fail(err)
			}
		}
		result, ok = fmt.Sprintf("interrupted, then completed at the next start: %q is in quarantine", s.target.Path), true
	}
	receipt := receiptOf(s.action, &s.target, s.meta)
	receipt.Started, receipt.Done, receipt.OK, receipt.Result = s.began, r.now(), ok, result
	r.log.Warn("mended an interrupted action", "action", id, "result", result)
	entry, err := r.journal.Resume(id)
	if err == nil {
		err = errors.Join(entry.Append(record{Phase: phaseDone, At: receipt.Done, Receipt: &receipt}), entry.Close())
	}
	if err != nil {
		return fail(err)
	}
	s.receipt = &receipt
	return s, nil
}
