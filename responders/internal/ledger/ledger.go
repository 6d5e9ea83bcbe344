// Package ledger carries out actions once: each is written down before it is begun and when it ended, so that doing one twice is
// doing it once, and that after kill -9 the next start knows what became of it.
package ledger

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/minewarden/minewarden"
	"github.com/minewarden/minewarden/responders/internal/journal"
)

// Params of an action that the caller may set before Do.
const (
	ParamWho = "who"
	ParamWhy = "why"
)

// The phases of an action, in order.
const (
	phaseIntent = "intent" // nothing is changed
	phaseSaved  = "saved"  // what Undo needs is written down; the change may have been made
	phaseDone   = "done"   // there is a receipt
	phaseUndone = "undone"
)

// line is a line of the journal.
type line struct {
	Phase   string              `json:"phase"`
	At      time.Time           `json:"at"`
	Action  *minewarden.Action  `json:"action,omitempty"`
	State   json.RawMessage     `json:"state,omitempty"`
	After   json.RawMessage     `json:"after,omitempty"`
	Receipt *minewarden.Receipt `json:"receipt,omitempty"`
	By      string              `json:"by,omitempty"`
}

// An Outcome is what a change came to.
type Outcome struct {
	Result string            // one line
	Show   map[string]string // for Receipt.State: nothing secret
	After  any               // what Undo needs beside the state, known only after the change; nil: nothing
}

// Work is what a responder does for one action. Do calls save once, before it touches anything. An error of Do says that all
// is as it was; one that cannot be sure asks Look.
type Work interface {
	Do(ctx context.Context, a minewarden.Action, save func(state any) error) (Outcome, error)
	// Look tells whether the change was made by an action that got no further than save, and tidies what it left.
	Look(ctx context.Context, a minewarden.Action, state json.RawMessage) (Outcome, bool, error)
	// Undo takes back a change; one that is taken back already is no error. after is empty where Do was cut short.
	Undo(ctx context.Context, a minewarden.Action, state, after json.RawMessage) error
}

// A Book does the actions of one responder, one at a time, in Dir.
type Book struct {
	Name string // of the responder
	Dir  string
	Now  func() time.Time
	Log  *slog.Logger

	mu sync.Mutex
}

// New returns the book of the responder name in env.Data.
func New(name string, env minewarden.Env) *Book {
	b := &Book{Name: name, Now: env.Now, Log: env.Log}
	if env.Data != "" {
		b.Dir = filepath.Join(env.Data, "journal")
	}
	if b.Now == nil {
		b.Now = time.Now
	}
	if b.Log == nil {
		b.Log = slog.New(slog.DiscardHandler)
	}
	return b
}

func (b *Book) journal() journal.Journal[line] { return journal.Journal[line]{Dir: b.Dir} }

type summary struct {
	action       *minewarden.Action
	began        time.Time
	saved        bool
	state, after json.RawMessage
	receipt      *minewarden.Receipt
	undone       bool
}

func summarize(lines []line) summary {
	var s summary
	for i := range lines {
		l := &lines[i]
		switch l.Phase {
		case phaseIntent:
			s.action, s.began = l.Action, l.At
		case phaseSaved:
			s.state, s.saved = l.State, true
		case phaseDone:
			s.receipt, s.after = l.Receipt, l.After
		case phaseUndone:
			if s.undone = true; s.receipt != nil {
				s.receipt.Undone, s.receipt.UndoneBy = l.At, l.By
			}
		}
	}
	return s
}

// Do does a, or returns the receipt of when it was done.
func (b *Book) Do(ctx context.Context, a minewarden.Action, w Work) (minewarden.Receipt, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if a.Responder != b.Name {
		return minewarden.Receipt{}, fmt.Errorf("action %s is for %q, not for %s", a.ID, a.Responder, b.Name)
	}
	began := b.Now()
	entry, err := b.journal().Begin(a.ID, line{Phase: phaseIntent, At: began, Action: &a})
	if errors.Is(err, journal.ErrExists) {
		s, err := b.load(a.ID)
		if err == nil && s.action != nil && s.action.Op != a.Op {
			err = fmt.Errorf("it was %q then, %q now", s.action.Op, a.Op)
		}
		if err == nil && s.receipt == nil {
			s, err = b.mend(ctx, a.ID, s, w)
		}
		if err != nil {
			return minewarden.Receipt{Action: a}, fmt.Errorf("action %s was begun before: %w", a.ID, err)
		}
		if s.receipt == nil {
			return minewarden.Receipt{Action: a}, fmt.Errorf("action %s: its record was cut short before anything was done: plan again", a.ID)
		}
		return *s.receipt, nil
	}
	if err != nil {
		return minewarden.Receipt{}, fmt.Errorf("action %s: %w", a.ID, err)
	}
	var state json.RawMessage
	out, err := w.Do(ctx, a, func(v any) error {
		raw, err := json.Marshal(v)
		if err != nil {
			return fmt.Errorf("write down what undo needs: %w", err)
		}
		state = raw
		return entry.Append(line{Phase: phaseSaved, At: b.Now(), State: raw})
	})
	if err != nil && state != nil { // it may have happened all the same: an answer was lost, a step failed half way
		seen, done, lookErr := w.Look(context.WithoutCancel(ctx), a, state)
		if lookErr != nil {
			return minewarden.Receipt{Action: a}, errors.Join(fmt.Errorf("action %s: it is not known what became of it; the next start looks again: %w", a.ID, err), lookErr, entry.Close())
		}
		if done {
			b.Log.Warn("an action was done although it told an error", "action", a.ID, "error", err)
			out, err = seen, nil
		}
	}
	r := b.receipt(&a, began, out, err)
	after, merr := marshal(out.After)
	if merr == nil {
		merr = entry.Append(line{Phase: phaseDone, At: r.Done, After: after, Receipt: &r})
	}
	if merr = errors.Join(merr, entry.Close()); merr != nil {
		return r, errors.Join(fmt.Errorf("action %s was done, but not written down", a.ID), merr)
	}
	return r, nil
}

func marshal(v any) (json.RawMessage, error) {
	if v == nil {
		return nil, nil
	}
	return json.Marshal(v)
}

func (b *Book) receipt(a *minewarden.Action, began time.Time, out Outcome, err error) minewarden.Receipt {
	r := minewarden.Receipt{Action: *a, Who: a.Params[ParamWho], Why: a.Params[ParamWhy], Started: began, Done: b.Now(), OK: err == nil, Result: out.Result, State: out.Show}
	if err != nil {
		r.Result = err.Error()
	}
	return r
}

func (b *Book) load(id string) (summary, error) {
	lines, err := b.journal().Load(id)
	return summarize(lines), err
}

// Undo takes back what an action changed.
func (b *Book) Undo(ctx context.Context, r minewarden.Receipt, w Work) error {
	b.mu.Lock()
	defer b.mu.Unlock()
	id := r.Action.ID
	fail := func(err error) error { return fmt.Errorf("undo action %s: %w", id, err) }
	s, err := b.load(id)
	if err != nil {
		return fail(err)
	}
	if s.receipt == nil && s.action != nil {
		if s, err = b.mend(ctx, id, s, w); err != nil {
			return fail(err)
		}
	}
	if s.undone || s.receipt == nil || !s.receipt.OK {
		return nil
	}
	if !s.action.Reversible {
		return fail(errors.New("it cannot be taken back"))
	}
	if err := w.Undo(ctx, *s.action, s.state, s.after); err != nil {
		return fail(err)
	}
	entry, err := b.journal().Resume(id)
	if err == nil {
		err = errors.Join(entry.Append(line{Phase: phaseUndone, At: b.Now(), By: r.UndoneBy}), entry.Close())
	}
	if err != nil {
		return fail(fmt.Errorf("all is as it was, but: %w", err))
	}
	return nil
}

// Recover finds out what became of actions that were cut short, and returns the receipts of all. Call it before the first Do.
func (b *Book) Recover(ctx context.Context, work func(a *minewarden.Action) (Work, error)) ([]minewarden.Receipt, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.journal().Receipts(ctx, func(id string, lines []line) (*minewarden.Receipt, error) {
		s := summarize(lines)
		var err error
		switch {
		case s.action == nil:
			err = b.journal().Remove(id)
		case s.receipt == nil:
			var w Work
			if w, err = work(s.action); err == nil {
				s, err = b.mend(ctx, id, s, w)
			}
		}
		if err != nil {
			return nil, fmt.Errorf("mend action %s: %w", id, err)
		}
		return s.receipt, nil
	})
}

// Records returns the receipts of actions that no incident asked for, the oldest first.
func (b *Book) Records() ([]minewarden.Receipt, error) {
	out, err := b.journal().Receipts(context.Background(), func(_ string, lines []line) (*minewarden.Receipt, error) {
		if s := summarize(lines); s.receipt != nil && s.receipt.Action.Incident == "" {
			return s.receipt, nil
		}
		return nil, nil
	})
	slices.SortFunc(out, func(x, y minewarden.Receipt) int {
		if c := x.Done.Compare(y.Done); c != 0 {
			return c
		}
		return strings.Compare(x.Action.ID, y.Action.ID)
	})
	return out, err
}

// mend ends an action that has no receipt.
func (b *Book) mend(ctx context.Context, id string, s summary, w Work) (summary, error) {
	out, done := Outcome{}, false
	if s.saved {
		var err error
		if out, done, err = w.Look(ctx, *s.action, s.state); err != nil {
			return s, err
		}
	}
	var failed error
	if done {
		out.Result = "interrupted, found done at the next start: " + out.Result
	} else {
		failed = errors.New("interrupted before anything was changed")
	}
	r := b.receipt(s.action, s.began, out, failed)
	b.Log.Warn("mended an interrupted action", "action", id, "result", r.Result)
	after, err := marshal(out.After)
	if err != nil {
		return s, err
	}
	entry, err := b.journal().Resume(id)
	if err == nil {
		err = errors.Join(entry.Append(line{Phase: phaseDone, At: r.Done, After: after, Receipt: &r}), entry.Close())
	}
	if err != nil {
		return s, err
	}
	s.receipt, s.after = &r, after
	return s, nil
}
