// Package process stops the processes of an incident: freezes them, kills them, and lets frozen ones go on.
package process

import (
	"context"
	"crypto/rand"
	_ "embed"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"strings"
	"sync"
	"time"

	"github.com/minewarden/minewarden"
	"github.com/minewarden/minewarden/internal/proc"
	"github.com/minewarden/minewarden/responders/internal/journal"
)

//go:embed README.md
var doc string

// Name is the name of the responder; the operations are what Action.Op says.
const (
	Name   = "process"
	Freeze = "freeze"
	Kill   = "kill"
)

// Params of an action that the caller may set before Do: they go into the receipt.
const (
	ParamWho = "who"
	ParamWhy = "why"
)

const (
	paramRoots = "processes" // JSON: the keys that were planned for
	maxRoots   = 4096
)

// Responder stops processes. It is safe for concurrent use; one action runs at a time.
type Responder struct {
	mu      sync.Mutex
	log     *slog.Logger
	now     func() time.Time
	config  Config
	journal journal.Journal[record]
}

var (
	_ minewarden.Responder = (*Responder)(nil)
	_ minewarden.Undoer    = (*Responder)(nil)
)

// New returns a responder that keeps its journal in env.Data.
func New(env minewarden.Env) (minewarden.Responder, error) {
	r := &Responder{log: env.Log, now: env.Now, journal: journal.Journal[record]{Dir: env.Data}}
	if r.now == nil {
		r.now = time.Now
	}
	if r.log == nil {
		r.log = slog.New(slog.DiscardHandler)
	}
	if err := env.Config(&r.config); err != nil {
		return nil, err
	}
	if err := r.config.Validate(); err != nil {
		return nil, err
	}
	return r, nil
}

// Info implements minewarden.Responder.
func (r *Responder) Info() minewarden.Info {
	return minewarden.Info{Name: Name, Title: "freezes and kills the processes of an incident", Doc: doc}
}

// Plan implements minewarden.Responder. It offers freeze and kill of the same processes; none when none of them runs.
func (r *Responder) Plan(ctx context.Context, inc minewarden.Incident) ([]minewarden.Action, error) {
	boot, err := proc.Boot()
	if err != nil {
		return nil, fmt.Errorf("plan for incident %s: %w", inc.ID, err)
	}
	roots := roots(&inc, boot)
	all, err := proc.All()
	if err != nil {
		return nil, fmt.Errorf("plan for incident %s: %w", inc.ID, err)
	}
	t, err := grow(roots, all, r.config.Protect)
	if err != nil {
		return nil, fmt.Errorf("plan for incident %s: %w", inc.ID, err)
	}
	if len(t.take) == 0 && len(t.refused) == 0 {
		return nil, ctx.Err()
	}
	keys, err := json.Marshal(roots)
	if err != nil {
		return nil, fmt.Errorf("plan for incident %s: %w", inc.ID, err)
	}
	var blast []string
	for i := range t.take {
		blast = append(blast, describe(&t.take[i], t.looked[t.take[i].PID]))
	}
	var actions []minewarden.Action
	for _, op := range []string{Freeze, Kill} {
		actions = append(actions, minewarden.Action{
			ID: op + "-" + rand.Text(), Responder: Name, Op: op, Incident: inc.ID, Target: inc.Subject,
			Summary: fmt.Sprintf("%s %s of incident %s", op, count(len(t.take)), inc.ID),
			Blast:   blast, Refused: t.refused, Reversible: op == Freeze, Params: map[string]string{paramRoots: string(keys)},
		})
	}
	return actions, ctx.Err()
}

func count(n int) string {
	if n == 1 {
		return "1 process"
	}
	return fmt.Sprintf("%d processes", n)
}

// roots picks the members of this boot that the gravest evidence is about: those with high or critical findings; if there are
// none, those with medium ones; if there are none of these either, those that are not weak, or else all. What they started comes
// along; what started them, shells and wrappers that no finding is about, does not.
func roots(inc *minewarden.Incident, boot string) []minewarden.ProcessKey {
	var tiers [4][]minewarden.ProcessKey
	for _, m := range inc.Members {
		if (m.Key.Boot != boot && m.Key.Boot != "") || m.Key.PID <= 0 {
			continue
		}
		m.Key.Boot = boot
		tier := 2
		switch {
		case m.Severity >= minewarden.High:
			tier = 0
		case m.Weak:
			tier = 3
		case m.Severity >= minewarden.Medium:
			tier = 1
		}
		tiers[tier] = append(tiers[tier], m.Key)
	}
	for _, keys := range tiers {
		if len(keys) > 0 {
			return keys[:min(len(keys), maxRoots)]
		}
	}
	return nil
}

func describe(s *proc.Stat, d *details) string {
	var b strings.Builder
	fmt.Fprintf(&b, "pid %d %s exe %s", s.PID, printable(s.Comm), printable(d.exe))
	if d.deleted {
		b.WriteString(" (deleted)")
	}
	fmt.Fprintf(&b, " user %s", d.user)
	if d.container != "" {
		fmt.Fprintf(&b, " container %s", d.container[:12])
	}
	if d.cgroup != "" {
		fmt.Fprintf(&b, " cgroup %s", printable(d.cgroup))
	}
	if l := listens(s.PID); len(l) > 0 {
		fmt.Fprintf(&b, " listening on %s", strings.Join(l, ", "))
	}
	return b.String()
}

// Do implements minewarden.Responder.
func (r *Responder) Do(ctx context.Context, a minewarden.Action) (minewarden.Receipt, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if a.Responder != Name || (a.Op != Freeze && a.Op != Kill) {
		return minewarden.Receipt{}, fmt.Errorf("action %s: process cannot do %q of %q", a.ID, a.Op, a.Responder)
	}
	var roots []minewarden.ProcessKey
	if err := json.Unmarshal([]byte(a.Params[paramRoots]), &roots); err != nil {
		return minewarden.Receipt{}, fmt.Errorf("action %s: read its processes: %w", a.ID, err)
	}
	boot, err := proc.Boot()
	if err != nil {
		return minewarden.Receipt{}, fmt.Errorf("action %s: %w", a.ID, err)
	}
	for _, k := range roots {
		if k.Boot != boot {
			return minewarden.Receipt{}, fmt.Errorf("action %s: it was planned before this machine was restarted: plan again", a.ID)
		}
	}
	started := r.now()
	entry, err := r.journal.Begin(a.ID, record{Phase: phaseIntent, At: started, Boot: boot, Action: &a})
	if errors.Is(err, journal.ErrExists) {
		return r.again(a)
	}
	if err != nil {
		return minewarden.Receipt{}, fmt.Errorf("action %s: %w", a.ID, err)
	}
	run := &run{protect: r.config.Protect, roots: roots, entry: entry, now: r.now}
	defer func() {
		if err := errors.Join(run.close(), entry.Close()); err != nil {
			r.log.Warn("close after an action", "action", a.ID, "err", err)
		}
	}()
	result, err := run.do(ctx, a.Op)
	receipt := receiptOf(&a, run.held(), boot)
	receipt.Started, receipt.Done, receipt.OK, receipt.Result = started, r.now(), err == nil, result
	if err != nil {
		receipt.Result = err.Error()
	}
	receipt.Action.Refused = run.refused
	// Without this line the next start thaws what was frozen: a receipt that is not on disk is none.
	if err := entry.Append(record{Phase: phaseDone, At: receipt.Done, Receipt: &receipt}); err != nil {
		return receipt, errors.Join(fmt.Errorf("action %s was done, but not written down", a.ID), err)
	}
	return receipt, nil
}

// again answers an action that was begun before: with its receipt, if it has one.
func (r *Responder) again(a minewarden.Action) (minewarden.Receipt, error) {
	lines, err := r.journal.Load(a.ID)
	if err != nil {
		return minewarden.Receipt{}, fmt.Errorf("action %s: %w", a.ID, err)
	}
	s := summarize(lines)
	if s.receipt != nil {
		return *s.receipt, nil
	}
	receipt, err := r.mend(a.ID, s)
	if receipt == nil {
		receipt = &minewarden.Receipt{Action: a}
	}
	return *receipt, err
}

func receiptOf(a *minewarden.Action, h held, boot string) minewarden.Receipt {
	b, err := json.Marshal(h)
	if err != nil {
		b = []byte("{}") // cannot be: numbers and paths
	}
	return minewarden.Receipt{
		Action: *a, Who: a.Params[ParamWho], Why: a.Params[ParamWhy],
		State: map[string]string{"held": string(b), "boot": boot},
	}
}

// Undo implements minewarden.Undoer: it lets go on exactly what the action stopped.
func (r *Responder) Undo(ctx context.Context, receipt minewarden.Receipt) error {
	r.mu.Lock()
	defer r.mu.Unlock()
	a := &receipt.Action
	if a.Op == Kill {
		return fmt.Errorf("undo action %s: a killed process cannot be brought back", a.ID)
	}
	lines, err := r.journal.Load(a.ID)
	if err != nil && !errors.Is(err, os.ErrNotExist) {
		return fmt.Errorf("undo action %s: %w", a.ID, err)
	}
	if s := summarize(lines); s.undone { // a later action may have stopped the same processes
		return nil
	}
	var h held
	if err := json.Unmarshal([]byte(receipt.State["held"]), &h); err != nil {
		return fmt.Errorf("undo action %s: read its receipt: %w", a.ID, err)
	}
	boot, err := proc.Boot()
	if err != nil {
		return fmt.Errorf("undo action %s: %w", a.ID, err)
	}
	if boot == receipt.State["boot"] { // else a restart has undone it
		if _, err := h.release(); err != nil {
			return fmt.Errorf("undo action %s: %w", a.ID, err)
		}
	}
	err = r.note(a.ID, record{Phase: phaseUndone, At: r.now()})
	if errors.Is(err, os.ErrNotExist) { // a receipt of another data directory
		err = nil
	}
	return errors.Join(err, ctx.Err())
}

// note adds a line to the journal of an action that was done before.
func (r *Responder) note(id string, line record) error {
	entry, err := r.journal.Resume(id)
	if err != nil {
		return err
	}
	return errors.Join(entry.Append(line), entry.Close())
}
