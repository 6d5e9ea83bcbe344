// Package quarantine takes files away from where they can run, and puts them back exactly.
package quarantine

import (
	"context"
	"crypto/rand"
	_ "embed"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"sync"
	"time"

	"github.com/minewarden/minewarden"
	"github.com/minewarden/minewarden/responders/internal/journal"
)

//go:embed README.md
var doc string

// Name is the name of the responder; Op is what Action.Op says.
const (
	Name = "quarantine"
	Op   = "quarantine"
)

// Params of an action that the caller may set before Do.
const (
	ParamWho   = "who"
	ParamWhy   = "why"
	ParamForce = "force" // "packaged": also files that belong to a package
)

const paramTarget = "file" // JSON of target

// maxSize bounds what is copied: miners have megabytes.
const maxSize = 1 << 30

// Responder quarantines files in env.Data. It is safe for concurrent use; one action runs at a time.
type Responder struct {
	mu      sync.Mutex
	dir     string
	log     *slog.Logger
	now     func() time.Time
	journal journal.Journal[record]
}

var (
	_ minewarden.Responder = (*Responder)(nil)
	_ minewarden.Undoer    = (*Responder)(nil)
)

// New returns a responder that keeps files and journal in env.Data.
func New(env minewarden.Env) (minewarden.Responder, error) {
	r := &Responder{dir: env.Data, log: env.Log, now: env.Now}
	if env.Data != "" {
		r.journal.Dir = filepath.Join(env.Data, "journal")
	}
	if r.now == nil {
		r.now = time.Now
	}
	if r.log == nil {
		r.log = slog.New(slog.DiscardHandler)
	}
	return r, nil
}

// Info implements minewarden.Responder.
func (r *Responder) Info() minewarden.Info {
	return minewarden.Info{Name: Name, Title: "takes a miner's files away, and puts them back", Doc: doc}
}

// target is a file as it was when the action was planned.
type target struct {
	Path   string `json:"path"`          // in the file system of PID, if that is not 0
	PID    int32  `json:"pid,omitempty"` // whose root, or whose running executable
	Start  uint64 `json:"start,omitempty"`
	Exe    bool   `json:"exe,omitempty"` // there is no file any more: copy what PID runs
	Dev    uint64 `json:"dev"`
	Ino    uint64 `json:"ino"`
	SHA256 string `json:"sha256"`
}

// Plan implements minewarden.Responder: one action for each file.
func (r *Responder) Plan(ctx context.Context, inc minewarden.Incident) ([]minewarden.Action, error) {
	var actions []minewarden.Action
	for _, c := range candidates(&inc) {
		if err := ctx.Err(); err != nil {
			return nil, err
		}
		a := minewarden.Action{
			ID: Op + "-" + rand.Text(), Responder: Name, Op: Op, Incident: inc.ID, Reversible: true,
			Target:  minewarden.Subject{Type: minewarden.SubjectFile, ID: c.Path, Host: inc.Host},
			Summary: fmt.Sprintf("move %q of incident %s into quarantine", c.Path, inc.ID),
		}
		f, refused, err := openTarget(&c, "")
		if errors.Is(err, os.ErrNotExist) {
			continue // gone, or in a container that is
		}
		switch {
		case err != nil:
			a.Refused = []string{fmt.Sprintf("%q: %v", c.Path, err)}
		case refused != "":
			a.Refused = []string{fmt.Sprintf("%q: %s", c.Path, refused)}
			if f, refused, err = openTarget(&c, "packaged"); err != nil || refused != "" { // else somebody may force it
				f = nil
			}
		default:
			a.Blast = []string{describe(&c, f)}
		}
		if f != nil {
			m := f.meta
			c.Dev, c.Ino = m.Dev, m.Ino
			if c.SHA256, err = f.hash(ctx); err != nil {
				a.Refused, a.Blast = append(a.Refused, fmt.Sprintf("%q: %v", c.Path, err)), nil
			}
			if err := f.close(); err != nil {
				return nil, fmt.Errorf("plan for %s: %w", c.Path, err)
			}
		}
		b, err := json.Marshal(c)
		if err != nil {
			return nil, fmt.Errorf("plan for %s: %w", c.Path, err)
		}
		a.Params = map[string]string{paramTarget: string(b)}
		actions = append(actions, a)
	}
	return actions, nil
}

func describe(t *target, f *file) string {
	m := &f.meta
	s := fmt.Sprintf("%q %d bytes, mode %04o, owner %d:%d", t.Path, m.Size, m.Mode&0o7777, m.UID, m.GID)
	if t.Exe {
		s += fmt.Sprintf(", no longer a file: copied from pid %d, which is not touched", t.PID)
	}
	if m.Nlink > 1 && !t.Exe {
		s += fmt.Sprintf(", has %d more names, which stay", m.Nlink-1)
	}
	return s
}

// Do implements minewarden.Responder.
func (r *Responder) Do(ctx context.Context, a minewarden.Action) (minewarden.Receipt, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if a.Responder != Name || a.Op != Op {
		return minewarden.Receipt{}, fmt.Errorf("action %s: quarantine cannot do %q of %q", a.ID, a.Op, a.Responder)
	}
	var t target
	if err := json.Unmarshal([]byte(a.Params[paramTarget]), &t); err != nil {
		return minewarden.Receipt{}, fmt.Errorf("action %s: read its file: %w", a.ID, err)
	}
	started := r.now()
	entry, err := r.journal.Begin(a.ID, record{Phase: phaseIntent, At: started, Action: &a, Target: t})
	if errors.Is(err, journal.ErrExists) {
		lines, err := r.journal.Load(a.ID)
		if err != nil {
			return minewarden.Receipt{}, fmt.Errorf("action %s: %w", a.ID, err)
		}
		s := summarize(lines)
		if s.receipt == nil {
			if s, err = r.mend(ctx, a.ID, s); err != nil {
				return minewarden.Receipt{Action: a}, err
			}
		}
		return *s.receipt, nil
	}
	if err != nil {
		return minewarden.Receipt{}, fmt.Errorf("action %s: %w", a.ID, err)
	}
	m, err := r.take(ctx, entry, &a, &t)
	receipt := receiptOf(&a, &t, m)
	receipt.Started, receipt.Done, receipt.OK = started, r.now(), err == nil
	receipt.Result = fmt.Sprintf("%q is in quarantine, sha256 %s", t.Path, t.SHA256)
	if err != nil {
		receipt.Result = err.Error()
	}
	if err := errors.Join(entry.Append(record{Phase: phaseDone, At: receipt.Done, Receipt: &receipt}), entry.Close()); err != nil {
		return receipt, errors.Join(fmt.Errorf("action %s was done, but not written down", a.ID), err)
	}
	return receipt, nil
}

func receiptOf(a *minewarden.Action, t *target, m *meta) minewarden.Receipt {
	receipt := minewarden.Receipt{Action: *a, Who: a.Params[ParamWho], Why: a.Params[ParamWhy], State: map[string]string{"path": t.Path, "sha256": t.SHA256}}
	if m != nil {
		if b, err := json.Marshal(m); err == nil {
			receipt.State["meta"] = string(b)
		}
	}
	return receipt
}

func (r *Responder) content(id string) string { return filepath.Join(r.dir, "files", id) }

// take copies the file, then takes its name away.
func (r *Responder) take(ctx context.Context, entry *journal.Entry[record], a *minewarden.Action, t *target) (*meta, error) {
	f, refused, err := openTarget(t, a.Params[ParamForce])
	if err != nil {
		return nil, err
	}
	if refused != "" {
		return nil, fmt.Errorf("%q is left alone: %s", t.Path, refused)
	}
	defer func() { _ = f.close() }() // it was only read
	if f.meta.Dev != t.Dev || f.meta.Ino != t.Ino {
		return nil, fmt.Errorf("%q is another file than planned for: plan again", t.Path)
	}
	sum, err := f.copyTo(ctx, r.content(a.ID))
	if err == nil && sum != t.SHA256 {
		err = fmt.Errorf("%q changed since it was planned for: plan again", t.Path)
	}
	if err != nil {
		return nil, errors.Join(err, remove(r.content(a.ID)))
	}
	m := f.meta
	if err := entry.Append(record{Phase: phaseCopied, At: r.now(), Meta: &m}); err != nil {
		return nil, errors.Join(err, remove(r.content(a.ID)))
	}
	if t.Exe {
		return &m, nil
	}
	if err := f.unlink(a.ID); err != nil {
		return nil, errors.Join(err, remove(r.content(a.ID)))
	}
	return &m, nil
}

func remove(path string) error {
	if err := os.Remove(path); err != nil && !errors.Is(err, os.ErrNotExist) {
		return err
	}
	return nil
}

// Undo implements minewarden.Undoer: it puts the file back where it was.
func (r *Responder) Undo(ctx context.Context, receipt minewarden.Receipt) error {
	r.mu.Lock()
	defer r.mu.Unlock()
	id := receipt.Action.ID
	lines, err := r.journal.Load(id)
	if err != nil {
		return fmt.Errorf("undo action %s: %w", id, err)
	}
	s := summarize(lines)
	if s.undone || s.receipt == nil || !s.receipt.OK {
		return nil
	}
	if !s.target.Exe { // what was no file before is none after
		if err := restore(ctx, &s.target, s.meta, r.content(id), id); err != nil {
			return fmt.Errorf("undo action %s: %w", id, err)
		}
	}
	entry, err := r.journal.Resume(id)
	if err == nil {
		err = errors.Join(entry.Append(record{Phase: phaseUndone, At: r.now()}), entry.Close())
	}
	if err == nil && !s.target.Exe {
		err = remove(r.content(id))
	}
	if err != nil {
		return fmt.Errorf("undo action %s: the file is back, but: %w", id, err)
	}
	return nil
}
