// Package isolate cuts this host off from the network, but for the way by which its operator reaches it.
package isolate

import (
	"context"
	_ "embed"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"os"
	"slices"
	"strings"
	"sync"
	"time"

	"golang.org/x/sys/unix"

	"github.com/minewarden/minewarden"
	"github.com/minewarden/minewarden/internal/proc"
	"github.com/minewarden/minewarden/responders/internal/journal"
	"github.com/minewarden/minewarden/responders/internal/sockets"
)

//go:embed README.md
var doc string

// Name is the name of the responder; the operations are what Action.Op says.
const (
	Name    = "isolate"
	Isolate = "isolate"
	Release = "release"
)

// Params of an action that the caller may set before Do: they go into the receipt.
const (
	ParamWho     = "who"
	ParamWhy     = "why"
	ParamExpires = "expires"            // how long, as "2h"; empty: as configured
	ParamBlind   = "without_management" // "yes": isolate although nobody could reach this host any more
)

const (
	paramScope   = "scope"   // JSON: Scope
	paramActions = "actions" // of a release: what it takes back
)

// Responder isolates this host. It is safe for concurrent use.
type Responder struct {
	log     *slog.Logger
	now     func() time.Time
	mono    func() time.Duration // since boot, whatever the wall clock does
	root    fs.FS
	config  Config
	journal journal.Journal[record]
	nft     firewall
	outside *outside
	ping    func(s *Scope) // sends echo requests to the operators

	mu        sync.Mutex
	active    *isolation // nil: not isolated
	onRelease func(minewarden.Receipt)
}

// isolation is what holds now.
type isolation struct {
	scope     *Scope
	holds     map[string]hold // by action
	tables    []*tableSpec    // those that the kernel took
	since     time.Time
	weak      []string // what the kernel did not take
	blind     bool     // nobody can be heard: the agent's life is all that is confirmed
	heard     uint64   // packets from the operator
	confirmed time.Duration
	by        string // how the operator was last heard
	stop      chan struct{}
	done      chan struct{}
}

// hold is one action that wants the host isolated.
type hold struct {
	incident string
	until    time.Time
	end      time.Duration // the same since boot
	receipt  minewarden.Receipt
}

var (
	_ minewarden.Responder = (*Responder)(nil)
	_ minewarden.Undoer    = (*Responder)(nil)
)

// New returns a responder that keeps its journal in env.Data.
func New(env minewarden.Env) (minewarden.Responder, error) {
	r := &Responder{
		log: env.Log, now: env.Now, mono: sinceBoot, root: env.Root, config: DefaultConfig(),
		journal: journal.Journal[record]{Dir: env.Data}, nft: nft{}, ping: ping,
	}
	if r.now == nil {
		r.now = time.Now
	}
	if r.log == nil {
		r.log = slog.New(slog.DiscardHandler)
	}
	if r.root == nil {
		r.root = os.DirFS("/")
	}
	if err := env.Config(&r.config); err != nil {
		return nil, err
	}
	if err := r.config.Validate(); err != nil {
		return nil, err
	}
	r.outside = newOutside(r)
	return r, nil
}

// sinceBoot goes on while the machine sleeps, and never jumps.
func sinceBoot() time.Duration {
	var t unix.Timespec
	if err := unix.ClockGettime(unix.CLOCK_BOOTTIME, &t); err != nil {
		panic("CLOCK_BOOTTIME, which Linux has since 2.6.39: " + err.Error())
	}
	return time.Duration(t.Nano())
}

// Info implements minewarden.Responder.
func (r *Responder) Info() minewarden.Info {
	return minewarden.Info{Name: Name, Title: "cuts this host off from the network, but for its operator", Doc: doc}
}

// OnRelease has f called for each isolation that ends otherwise than by Undo or Closed: by its time, because the operator was not
// heard, or by a release. Call it before the first Do.
func (r *Responder) OnRelease(f func(minewarden.Receipt)) { r.onRelease = f }

// Do implements minewarden.Responder.
func (r *Responder) Do(ctx context.Context, a minewarden.Action) (minewarden.Receipt, error) {
	switch {
	case a.Responder != Name || (a.Op != Isolate && a.Op != Release):
		return minewarden.Receipt{}, fmt.Errorf("action %s: isolate cannot do %q of %q", a.ID, a.Op, a.Responder)
	case a.Op == Release:
		return r.doRelease(ctx, a)
	case a.Params[paramController] != "":
		return r.outside.do(ctx, a)
	}
	w, err := r.read(&a)
	if err != nil {
		return minewarden.Receipt{}, fmt.Errorf("action %s: %w", a.ID, err)
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	// What is about to stand is written down and synced before anything is touched: a full disk refuses here.
	entry, err := r.journal.Begin(a.ID, record{
		Phase: phaseIntent, At: w.started, Boot: w.boot, Action: &a, Scope: w.scope, Until: w.until, End: w.end,
	})
	if errors.Is(err, journal.ErrExists) {
		return r.again(ctx, a)
	}
	if err != nil {
		return minewarden.Receipt{}, fmt.Errorf("action %s: %w", a.ID, err)
	}
	defer func() {
		if err := entry.Close(); err != nil {
			r.log.Warn("close after an action", "action", a.ID, "err", err)
		}
	}()
	receipt := minewarden.Receipt{
		Action: a, Started: w.started, Who: a.Params[ParamWho], Why: a.Params[ParamWhy],
		State: map[string]string{"boot": w.boot, "until": w.until.Format(time.RFC3339Nano)},
	}
	result, err := r.isolate(w)
	receipt.OK, receipt.Result, receipt.Done = err == nil, result, r.now()
	if err != nil {
		receipt.Result = err.Error()
	}
	if noteErr := entry.Append(record{Phase: phaseDone, At: receipt.Done, Receipt: &receipt}); noteErr != nil {
		// Without the line a restart would find it half done and open; that is the safe side, and it is told.
		err = errors.Join(err, fmt.Errorf("it could not be written down that it was done: %w", noteErr))
	}
	if receipt.OK {
		r.active.holds[a.ID] = hold{a.Incident, w.until, w.end, receipt}
		r.keep()
	}
	if err != nil {
		return receipt, fmt.Errorf("action %s: %w", a.ID, err)
	}
	return receipt, nil
}

// work is an action that was read.
type work struct {
	id      string
	boot    string
	scope   *Scope
	blind   bool
	started time.Time
	until   time.Time
	end     time.Duration
}

func (r *Responder) read(a *minewarden.Action) (*work, error) {
	w := &work{id: a.ID, started: r.now(), blind: a.Params[ParamBlind] == "yes", scope: &Scope{}}
	if err := json.Unmarshal([]byte(a.Params[paramScope]), w.scope); err != nil {
		return nil, fmt.Errorf("read what stays: %w", err)
	}
	if err := w.scope.check(); err != nil {
		return nil, err
	}
	lasts, err := r.lasts(a)
	if err != nil {
		return nil, err
	}
	w.until, w.end = w.started.Add(lasts), r.mono()+lasts
	if w.boot, err = proc.Boot(); err != nil {
		return nil, err
	}
	if planned := a.Params["boot"]; planned != "" && planned != w.boot {
		return nil, errors.New("it was planned before this machine was restarted: plan again")
	}
	if !w.blind {
		return w, r.recheck(w.scope)
	}
	return w, nil
}

func (r *Responder) lasts(a *minewarden.Action) (time.Duration, error) {
	text := a.Params[ParamExpires]
	if text == "" {
		return r.config.Expires, nil
	}
	d, err := time.ParseDuration(text)
	if err != nil || d < time.Second || d > maxExpires {
		return 0, fmt.Errorf("expires %q: use a duration between 1s and %s, as 2h", text, maxExpires)
	}
	return d, nil
}

// recheck refuses what would lock everybody out: of the connections that were planned to stay one is still there, or networks
// of operators are configured.
func (r *Responder) recheck(s *Scope) error {
	if !s.managed() {
		return errors.New(noManagement)
	}
	if len(r.config.Management.Peers)+len(s.Probes) > 0 {
		return nil
	}
	d, err := sockets.Open()
	if err != nil {
		return err
	}
	left := false
	err = d.List(sockets.Talking, false, func(k sockets.Socket) {
		far := k.Remote.Addr().WithZone("")
		left = left || (slices.Contains(s.Ports, k.Local.Port()) && slices.Contains(s.Peers, single(far)))
	})
	if err = errors.Join(err, d.Close()); err == nil && !left {
		err = fmt.Errorf("no operator is connected any more: plan again, or set %s to \"yes\"", ParamBlind)
	}
	return err
}

// again answers an action that was begun before: with its receipt, if it has one.
func (r *Responder) again(ctx context.Context, a minewarden.Action) (minewarden.Receipt, error) {
	lines, err := r.journal.Load(a.ID)
	if err != nil {
		return minewarden.Receipt{}, fmt.Errorf("action %s: %w", a.ID, err)
	}
	if s := summarize(lines); s.receipt != nil {
		return *s.receipt, ctx.Err()
	}
	return minewarden.Receipt{}, fmt.Errorf("action %s was interrupted: it is mended at the next start", a.ID)
}

// Undo implements minewarden.Undoer. What another action isolates as well stays isolated. Ended connections stay ended.
func (r *Responder) Undo(ctx context.Context, receipt minewarden.Receipt) error {
	id := receipt.Action.ID
	if _, err := r.end(ctx, id, ""); err != nil {
		return fmt.Errorf("undo action %s: %w", id, err)
	}
	return ctx.Err()
}

// doRelease takes back the actions that were planned.
func (r *Responder) doRelease(ctx context.Context, a minewarden.Action) (minewarden.Receipt, error) {
	receipt := minewarden.Receipt{Action: a, Started: r.now(), Who: a.Params[ParamWho], Why: a.Params[ParamWhy]}
	var errs []error
	n := 0
	for _, id := range strings.Fields(a.Params[paramActions]) {
		over, err := r.end(ctx, id, receipt.Who)
		if err == nil {
			n++
		}
		if over != nil && r.onRelease != nil {
			r.onRelease(*over)
		}
		errs = append(errs, err)
	}
	receipt.Done = r.now()
	err := errors.Join(errs...)
	receipt.OK, receipt.Result = err == nil, fmt.Sprintf("%s taken back", count(n, "isolation"))
	if err != nil {
		receipt.Result = err.Error()
		return receipt, fmt.Errorf("action %s: %w", a.ID, err)
	}
	return receipt, ctx.Err()
}

// held returns the actions that stand for an incident, or all of them, in order.
func (r *Responder) held(incident string) []string {
	r.mu.Lock()
	var ids []string
	if r.active != nil {
		for id, h := range r.active.holds {
			if incident == "" || h.incident == incident {
				ids = append(ids, id)
			}
		}
	}
	r.mu.Unlock()
	ids = append(ids, r.outside.held(incident)...)
	slices.Sort(ids)
	return ids
}

// end lets go one action, and the host with the last of them. One that is not held is released already.
func (r *Responder) end(ctx context.Context, id, by string) (*minewarden.Receipt, error) {
	if r.outside.owns(id) {
		return r.outside.end(ctx, id, by)
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.let(id, by)
}

// let is end under mu; it returns the receipt of what ended.
func (r *Responder) let(id, by string) (*minewarden.Receipt, error) {
	if r.active == nil {
		return nil, nil
	}
	h, ok := r.active.holds[id]
	if !ok {
		return nil, nil
	}
	if len(r.active.holds) == 1 {
		if err := r.nft.remove(); err != nil {
			return nil, err
		}
		close(r.active.stop)
		r.active = nil
	} else {
		delete(r.active.holds, id)
	}
	h.receipt.Undone, h.receipt.UndoneBy = r.now(), by
	return &h.receipt, r.note(id, record{Phase: phaseUndone, At: h.receipt.Undone, By: by})
}

// note adds a line to the journal of an action that was done before.
func (r *Responder) note(id string, line record) error {
	entry, err := r.journal.Resume(id)
	if err != nil {
		return err
	}
	return errors.Join(entry.Append(line), entry.Close())
}
