package playbooks

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/minewarden/minewarden"
	"github.com/minewarden/minewarden/internal/beat"
)

// The bounds of an engine.
const (
	maxRuns     = 5000
	maxActive   = 1000
	workers     = 4
	maxAttempts = 20 // of one step, each after a crash
	keepRuns    = 90 * 24 * time.Hour
	maxNote     = 4 << 10
)

// ErrChanged is wrapped by Decide when what would be done is not any more what the approver was shown.
var ErrChanged = errors.New("what would be done has changed since it was shown")

// ErrBusy is wrapped where a run is under way already, or at work at this moment.
var ErrBusy = errors.New("it is under way")

// A Desk plans and does what playbooks ask for. Do with the id of an action that was done returns its receipt and does nothing.
type Desk interface {
	Incident(ctx context.Context, id string) (minewarden.Incident, error)
	Plan(ctx context.Context, incident, responder string) ([]minewarden.Action, error) // what that responder alone would do
	Do(ctx context.Context, a minewarden.Action, who, why string) (minewarden.Receipt, error)
}

// Config is what an Engine needs.
type Config struct {
	Dir       string // of its own; empty: New fails
	Desk      Desk
	Playbooks []Playbook
	// Respond is what the agent may do by itself: observe, contain or kill. It bounds runs that no person started.
	Respond string
	// Evidence lets runs that no person started collect evidence under the policy observe, too.
	Evidence bool
	// Audit writes an event down for ever before it returns; an error makes the run wait and try again. Nil: nobody is told.
	Audit func(ctx context.Context, e Event) error
	// Escalate is told of deadlines that come near or are missed; it must not block. Nil: nobody is told.
	Escalate func(Escalation)
	// Changed is told of each run that changed; it must not block. Nil: nobody is told.
	Changed func(Run)
	Log     *slog.Logger
	Now     func() time.Time               // the clock on the wall; nil: time.Now
	Steady  func() (string, time.Duration) // a clock that is never set, with a name that changes when it begins anew; nil: that of the kernel
	Tick    time.Duration                  // between looks at deadlines; zero: 5 s
	Retry   time.Duration                  // after a write that failed; zero: 1 s
}

// An Engine runs playbooks. It is safe for concurrent use. Run must be running for anything to happen.
type Engine struct {
	config Config
	files  files[Run]
	watch  *deadlines
	clock  *clock
	wake   chan struct{}

	mu      sync.Mutex
	books   map[string]Playbook
	runs    map[string]*Run // as they are on disk
	busy    map[string]bool // a worker has it
	crashed map[string]bool // was under way when the agent died, and was not touched since
	queue   []string
	offered map[string]bool
	looking int   // incidents that workers look at
	settled bool  // what was offered at the start was looked at
	ticks   int   // before that
	trouble error // of the last write
}

// New reads what earlier runs left. Files that cannot be read are set aside, and told as an error beside the engine.
func New(c Config) (*Engine, error) {
	if c.Dir == "" {
		return nil, errors.New("playbooks: there is no directory to keep runs in")
	}
	if c.Log == nil {
		c.Log = slog.New(slog.DiscardHandler)
	}
	if c.Now == nil {
		c.Now = time.Now
	}
	if c.Tick == 0 {
		c.Tick = 5 * time.Second
	}
	if c.Retry == 0 {
		c.Retry = time.Second
	}
	e := &Engine{
		config: c, files: files[Run]{filepath.Join(c.Dir, "runs")}, wake: make(chan struct{}, 1), books: map[string]Playbook{},
		runs: map[string]*Run{}, busy: map[string]bool{}, crashed: map[string]bool{}, offered: map[string]bool{},
	}
	for _, p := range c.Playbooks {
		if err := p.Check(); err != nil {
			return nil, fmt.Errorf("playbook %s: %w", p.Name, err)
		}
		e.books[p.Name] = p
	}
	all, bad := e.files.load()
	if all == nil {
		return nil, fmt.Errorf("read runs of playbooks: %w", bad)
	}
	for id, r := range all {
		if err := r.valid(id); err != nil {
			bad = errors.Join(bad, fmt.Errorf("run %s is left alone: %w", id, err))
			continue
		}
		e.runs[id] = &r
		if r.State == Running || len(r.Outbox) > 0 {
			e.crashed[id] = true
			e.queue = append(e.queue, id)
		}
	}
	slices.Sort(e.queue)
	var err error
	if e.clock, err = newClock(c.Dir, c.Now, c.Steady); err != nil {
		bad = errors.Join(bad, err)
	}
	if e.watch, err = newDeadlines(filepath.Join(c.Dir, deadlinesFile)); err != nil {
		bad = errors.Join(bad, err)
	}
	for id, t := range e.watch.all { // whatever became of them since
		if t.Closed.IsZero() {
			e.offered[id] = true
		}
	}
	return e, bad
}

// Run works until ctx is done. An action that has begun is finished first, or runs into its timeout.
func (e *Engine) Run(ctx context.Context) error {
	var all sync.WaitGroup
	for range workers {
		all.Go(func() { e.work(ctx) })
	}
	all.Go(func() { e.watch.keep(ctx, e.config.Log, e.config.Retry) })
	tick := time.NewTimer(beat.Next(time.Now(), e.config.Tick))
	defer tick.Stop()
	e.tick()
	for {
		select {
		case <-ctx.Done():
			all.Wait()
			if err := e.watch.flush(); err != nil {
				return fmt.Errorf("save deadlines: %w", err)
			}
			return nil
		case <-tick.C:
			tick.Reset(beat.Next(time.Now(), e.config.Tick))
			e.tick()
		}
	}
}

func (e *Engine) work(ctx context.Context) {
	for ctx.Err() == nil {
		id, incident := e.take()
		switch {
		case id != "":
			e.advance(ctx, id)
			e.release(id)
		case incident != "":
			e.consider(ctx, incident)
			e.mu.Lock()
			e.looking--
			e.mu.Unlock()
		default:
			select {
			case <-ctx.Done():
				return
			case <-e.wake:
			}
		}
	}
	e.poke() // the next worker looks, too
}

// take returns a run to advance, which nobody else has then, or an incident to look at.
func (e *Engine) take() (run, incident string) {
	e.mu.Lock()
	defer e.mu.Unlock()
	for i, id := range e.queue {
		if !e.busy[id] {
			e.queue = slices.Delete(e.queue, i, i+1)
			e.busy[id] = true
			if len(e.queue) > 0 {
				e.poke()
			}
			return id, ""
		}
	}
	for id := range e.offered {
		delete(e.offered, id)
		e.looking++
		if len(e.offered) > 0 {
			e.poke()
		}
		return "", id
	}
	return "", ""
}

func (e *Engine) release(id string) {
	e.mu.Lock()
	delete(e.busy, id)
	again := slices.Contains(e.queue, id)
	e.mu.Unlock()
	if again {
		e.poke()
	}
}

func (e *Engine) poke() {
	select {
	case e.wake <- struct{}{}:
	default:
	}
}

// enqueue must be called with the lock held.
func (e *Engine) enqueue(id string) {
	if !slices.Contains(e.queue, id) {
		e.queue = append(e.queue, id)
	}
	e.poke()
}

// Playbooks returns what it can run, by name.
func (e *Engine) Playbooks() []Playbook {
	e.mu.Lock()
	defer e.mu.Unlock()
	var all []Playbook
	for _, p := range e.books {
		all = append(all, p)
	}
	slices.SortFunc(all, func(a, b Playbook) int { return strings.Compare(a.Name, b.Name) })
	return all
}

// Playbook returns one by its name.
func (e *Engine) Playbook(name string) (Playbook, error) {
	e.mu.Lock()
	defer e.mu.Unlock()
	p, ok := e.books[name]
	if !ok {
		return p, fmt.Errorf("playbook %q: %w", name, minewarden.ErrNotFound)
	}
	return p, nil
}

// Use replaces the playbooks. Runs that began keep the one that they began with.
func (e *Engine) Use(all []Playbook) {
	e.mu.Lock()
	defer e.mu.Unlock()
	clear(e.books)
	for _, p := range all {
		e.books[p.Name] = p
	}
}

// Runs returns the runs about an incident, or all where it is empty, the newest first.
func (e *Engine) Runs(incident string) []Run {
	e.mu.Lock()
	defer e.mu.Unlock()
	var out []Run
	for _, r := range e.runs {
		if incident == "" || r.Incident == incident {
			out = append(out, e.copyOf(r))
		}
	}
	slices.SortFunc(out, func(a, b Run) int {
		if d := b.Started.Compare(a.Started); d != 0 {
			return d
		}
		return strings.Compare(b.ID, a.ID)
	})
	return out
}

// Get returns one run.
func (e *Engine) Get(id string) (Run, error) {
	e.mu.Lock()
	defer e.mu.Unlock()
	r := e.runs[id]
	if r == nil {
		return Run{}, fmt.Errorf("run %q: %w", id, minewarden.ErrNotFound)
	}
	return e.copyOf(r), nil
}

// Trouble returns why runs cannot be saved at the moment; nil: they can.
func (e *Engine) Trouble() error {
	e.mu.Lock()
	defer e.mu.Unlock()
	return e.trouble
}

func (e *Engine) copyOf(r *Run) Run {
	c, err := clone(*r)
	if err != nil { // cannot be: it was read from JSON or written to it
		e.config.Log.Error("a run cannot be copied", "run", r.ID, "error", err)
		return Run{ID: r.ID, Incident: r.Incident, State: r.State}
	}
	return c
}

// Start begins a run on behalf of a person. There is one run of a playbook for an incident at a time; a proposed one is taken up.
func (e *Engine) Start(ctx context.Context, incident, playbook, who, why string) (Run, error) {
	inc, err := e.config.Desk.Incident(ctx, incident)
	if err != nil {
		return Run{}, err
	}
	p, err := e.Playbook(playbook)
	if err != nil {
		return Run{}, err
	}
	return e.start(ctx, &inc, p, who, why, Running, false)
}

func (e *Engine) start(ctx context.Context, inc *minewarden.Incident, p Playbook, who, why string, state RunState, auto bool) (Run, error) {
	e.mu.Lock()
	n, active := 1, 0
	for _, r := range e.runs {
		if !r.State.Ended() {
			active++
		}
		if r.Incident != inc.ID || r.Playbook.Name != p.Name {
			continue
		}
		n++
		if r.State.Ended() {
			continue
		}
		id := r.ID
		e.mu.Unlock()
		if r.State == Proposed && state == Running {
			return e.Decide(ctx, id, "", Approve, who, why)
		}
		return Run{}, fmt.Errorf("run %s of playbook %s for incident %s is %s: %w", id, p.Name, inc.ID, r.State, ErrBusy)
	}
	for e.runs[runID(inc.ID, p.Name, n)] != nil {
		n++
	}
	id := runID(inc.ID, p.Name, n)
	if active >= maxActive || len(e.runs) >= maxRuns {
		e.mu.Unlock()
		return Run{}, fmt.Errorf("start playbook %s: %d runs are under way and %d are kept: that is the most", p.Name, active, len(e.runs))
	}
	if e.busy[id] {
		e.mu.Unlock()
		return Run{}, fmt.Errorf("run %s of playbook %s for incident %s begins: %w", id, p.Name, inc.ID, ErrBusy)
	}
	e.busy[id] = true
	e.mu.Unlock()
	defer e.release(id)

	now := e.config.Now()
	r := newRun(id, inc, p, now)
	r.State, r.Who, r.Why, r.Auto = state, who, cut(why), auto
	what := "playbook.start"
	if state == Proposed {
		what = "playbook.propose"
	}
	r.tell(now, who, what, r.Why, nil)
	if err := e.put(r); err != nil {
		return Run{}, fmt.Errorf("start playbook %s: %w", p.Name, err)
	}
	e.mu.Lock()
	e.enqueue(id)
	c := e.copyOf(r)
	e.mu.Unlock()
	return c, nil
}

func runID(incident, playbook string, n int) string {
	return fmt.Sprintf("%s-%s-%d", incident, playbook, n)
}

func cut(s string) string {
	s = strings.ToValidUTF8(s, "�")
	if len(s) > maxNote {
		s = strings.ToValidUTF8(s[:maxNote], "") + "…"
	}
	return s
}

// put writes a run once and makes it what others see.
func (e *Engine) put(r *Run) error {
	err := e.files.put(r.ID, *r)
	e.mu.Lock()
	defer e.mu.Unlock()
	e.trouble = err
	if err != nil {
		return err
	}
	c := e.copyOf(r)
	e.runs[r.ID] = &c
	if e.config.Changed != nil {
		e.config.Changed(e.copyOf(r))
	}
	return nil
}

// save writes a run, and goes on trying until ctx is done: nothing is done that is not written down.
func (e *Engine) save(ctx context.Context, r *Run) error {
	return e.insist(ctx, "a run of a playbook is not saved and waits", r.ID, func() error { return e.put(r) })
}

// insist tries again until f succeeds or ctx is done.
func (e *Engine) insist(ctx context.Context, trouble, run string, f func() error) error {
	for wait := e.config.Retry; ; wait = min(2*wait, 30*e.config.Retry) {
		err := f()
		if err == nil {
			return nil
		}
		e.config.Log.Error(trouble, "run", run, "again_in", wait, "error", err)
		t := time.NewTimer(wait)
		select {
		case <-ctx.Done():
			t.Stop()
			return errors.Join(err, ctx.Err())
		case <-t.C:
		}
	}
}
