package recovery

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"time"

	"golang.org/x/sys/unix"

	"github.com/minewarden/minewarden"
)

// The phases of a restore, in order.
const (
	phaseIntent = "intent" // the file is what it was
	phaseKept   = "kept"   // Old is kept, New is staged; one of them has the name
	phaseDone   = "done"
	phaseUndone = "undone"
)

// record is a line of the journal.
type record struct {
	Phase   string              `json:"phase"`
	At      time.Time           `json:"at"`
	Action  *minewarden.Action  `json:"action,omitempty"`
	Target  target              `json:"target,omitzero"`
	Old     *meta               `json:"old,omitempty"` // nil: nothing had the name
	OldSum  string              `json:"old_sum,omitempty"`
	New     *meta               `json:"new,omitempty"`
	NewSum  string              `json:"new_sum,omitempty"`
	Receipt *minewarden.Receipt `json:"receipt,omitempty"`
}

type summary struct {
	action  *minewarden.Action
	target  target
	began   time.Time
	kept    bool
	old     *meta
	oldSum  string
	placed  *meta
	newSum  string
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
		case phaseKept:
			s.kept, s.old, s.oldSum, s.placed, s.newSum = true, l.Old, l.OldSum, l.New, l.NewSum
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

// Recover ends what an agent left that was killed while it restored a file, and returns the receipts of all restores. Call it before
// the first Do.
func (r *Responder) Recover(ctx context.Context) ([]minewarden.Receipt, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.journal.Receipts(ctx, func(id string, lines []record) (*minewarden.Receipt, error) {
		s := summarize(lines)
		var err error
		if s.receipt == nil {
			s, err = r.mend(id, s)
		}
		return s.receipt, err
	})
}

// mend ends a restore that has no receipt: one whose file got its name is done, any other never was.
func (r *Responder) mend(id string, s summary) (summary, error) {
	fail := func(err error) (summary, error) { return s, fmt.Errorf("mend action %s: %w", id, err) }
	if s.action == nil {
		return s, r.journal.Remove(id)
	}
	at, err := r.root.spot(s.target.Path)
	if err != nil {
		return fail(err)
	}
	defer func() { _ = at.close() }() // what it holds is synced
	now, err := at.look(at.name)
	if err != nil {
		return fail(err)
	}
	receipt := minewarden.Receipt{
		Action: *s.action, Started: s.began, Done: r.now(), Who: s.action.Params[ParamWho], Why: s.action.Params[ParamWhy],
		Result: "interrupted before the file was replaced; it is what it was", State: map[string]string{"path": s.target.Path, "sha256": s.newSum},
	}
	if s.kept && now.same(s.placed) {
		receipt.OK, receipt.Result = true, fmt.Sprintf("interrupted, then completed at the next start: %q is as in %s again", s.target.Path, s.target.origin())
	} else {
		if now != nil && s.target.Old != nil && now.same(s.target.Old) && s.target.Old.Link == "" {
			if err := at.setFlags(at.name, s.target.Old.Flags); err != nil {
				return fail(err)
			}
		}
		if err := remove(r.old(id)); err != nil {
			return fail(err)
		}
	}
	if err := at.drop(id); err != nil {
		return fail(err)
	}
	r.log.Warn("mended an interrupted action", "action", id, "result", receipt.Result)
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

// fromKept gives what was kept, as it was.
func fromKept(path, want string, m *meta) content {
	return func(ctx context.Context, w io.Writer) (*meta, error) {
		f, _, err := openFile(path)
		if err != nil {
			return nil, fmt.Errorf("read what was kept: %w", err)
		}
		h := sha256.New()
		_, err = io.Copy(io.MultiWriter(w, h), &bounded{ctx: ctx, r: f, left: maxFile})
		if err = errors.Join(err, f.Close()); err != nil {
			return nil, fmt.Errorf("read what was kept: %w", err)
		}
		if got := hex.EncodeToString(h.Sum(nil)); got != want {
			return nil, fmt.Errorf("what was kept in %s has sha256 %s, want %s", path, got, want)
		}
		return m, nil
	}
}

func unixRename(s *spot, from, to string) error {
	if err := unix.Renameat2(s.dir, from, s.dir, to, unix.RENAME_NOREPLACE); err != nil {
		return fmt.Errorf("rename %s to %s beside %s: %w", from, to, s.path, err)
	}
	return nil
}
