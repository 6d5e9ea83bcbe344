package playbooks

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/minewarden/minewarden"
)

// desk is a fake: it does what it is told to, and remembers.
type desk struct {
	mu      sync.Mutex
	inc     minewarden.Incident
	targets []string // of each op
	fail    map[string]string
	protect map[string]bool
	slow    map[string]time.Duration
	done    map[string]int // by action id
	plans   int
	ops     []string
}

func (d *desk) Incident(_ context.Context, id string) (minewarden.Incident, error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if id != d.inc.ID {
		return minewarden.Incident{}, minewarden.ErrNotFound
	}
	return d.inc, nil
}

func (d *desk) Plan(_ context.Context, incident, responder string) ([]minewarden.Action, error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if responder == "missing" {
		return nil, errors.New("there is no responder missing")
	}
	var all []minewarden.Action
	for _, op := range []string{"freeze", "kill", "collect", "quarantine", "verify-package"} {
		for _, t := range d.targets {
			d.plans++
			a := minewarden.Action{
				ID: fmt.Sprintf("%s-%d", op, d.plans), Responder: responder, Op: op, Incident: incident,
				Target: minewarden.Subject{Type: "process", ID: t}, Blast: []string{t},
			}
			if d.protect[op] {
				a.Blast, a.Refused = nil, []string{"protected: " + t}
			}
			all = append(all, a)
		}
	}
	return all, nil
}

func (d *desk) Do(ctx context.Context, a minewarden.Action, who, why string) (minewarden.Receipt, error) {
	d.mu.Lock()
	wait := d.slow[a.Op]
	d.mu.Unlock()
	if wait > 0 {
		select {
		case <-ctx.Done():
			return minewarden.Receipt{}, ctx.Err()
		case <-time.After(wait):
		}
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	r := minewarden.Receipt{Action: a, Who: who, Why: why, OK: true, Result: a.Op + " of " + a.Target.ID}
	if bad := d.fail[a.Op]; bad != "" {
		r.OK, r.Result = false, bad
		return r, nil
	}
	if d.done[a.ID] == 0 {
		d.ops = append(d.ops, a.Op+" "+a.Target.ID)
	}
	d.done[a.ID]++
	return r, nil
}

func (d *desk) did() []string {
	d.mu.Lock()
	defer d.mu.Unlock()
	return slices.Clone(d.ops)
}

func newDesk() *desk {
	return &desk{
		inc:     minewarden.Incident{ID: "i1", State: minewarden.Open, Severity: minewarden.Critical, Score: 0.99, Opened: time.Now(), Changed: time.Now()},
		targets: []string{"t1"}, fail: map[string]string{}, protect: map[string]bool{}, slow: map[string]time.Duration{}, done: map[string]int{},
	}
}

// bench is an engine with its desk and what it told.
type bench struct {
	*Engine
	desk   *desk
	events []Event
	esc    []Escalation
	stop   func()
	mu     sync.Mutex
}

func start(t *testing.T, dir string, d *desk, text string, more ...func(*Config)) *bench {
	t.Helper()
	p, err := Parse([]byte(text))
	if err != nil {
		t.Fatal(err)
	}
	b := &bench{desk: d}
	c := Config{
		Dir: dir, Desk: d, Playbooks: []Playbook{p}, Respond: "observe",
		Audit: func(_ context.Context, e Event) error {
			b.mu.Lock()
			defer b.mu.Unlock()
			b.events = append(b.events, e)
			return nil
		},
		Escalate: func(e Escalation) {
			b.mu.Lock()
			defer b.mu.Unlock()
			b.esc = append(b.esc, e)
		},
		Steady: func() (string, time.Duration) { return "boot", time.Since(epoch) }, Tick: 30 * time.Second,
	}
	for _, m := range more {
		m(&c)
	}
	if b.Engine, err = New(c); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan error)
	go func() { ended <- b.Engine.Run(ctx) }()
	b.stop = sync.OnceFunc(func() {
		cancel()
		if err := <-ended; err != nil {
			t.Error(err)
		}
	})
	return b
}

func (b *bench) told() []Event {
	b.mu.Lock()
	defer b.mu.Unlock()
	return slices.Clone(b.events)
}

func (b *bench) escalated() []Escalation {
	b.mu.Lock()
	defer b.mu.Unlock()
	return slices.Clone(b.esc)
}

var epoch = time.Now()

func (b *bench) run(t *testing.T) Run {
	t.Helper()
	r, err := b.Start(t.Context(), "i1", "x", "user ann", "because")
	if err != nil {
		t.Fatal(err)
	}
	synctest.Wait()
	r, err = b.Get(r.ID)
	if err != nil {
		t.Fatal(err)
	}
	return r
}

func (b *bench) decide(t *testing.T, r Run, step, decision string) Run {
	t.Helper()
	if _, err := b.Decide(t.Context(), r.ID, step, decision, "user bob", "yes"); err != nil {
		t.Fatal(err)
	}
	synctest.Wait()
	r, err := b.Get(r.ID)
	if err != nil {
		t.Fatal(err)
	}
	return r
}

func states(r Run) string {
	var out []string
	for _, s := range r.Steps {
		out = append(out, s.ID+":"+string(s.State))
	}
	return string(r.State) + " " + strings.Join(out, " ")
}

const three = head + `steps:
  - {id: a, title: a, kind: automatic, action: {responder: process, op: freeze}}
  - {id: e, title: e, kind: automatic, action: {responder: evidence, op: collect}}
  - {id: b, title: b, kind: approval, action: {responder: process, op: kill}}
  - {id: c, title: c, kind: manual, meets: report}
`

func TestSteps(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := start(t, t.TempDir(), newDesk(), three)
		defer b.stop()
		r := b.run(t)
		if got := states(r); got != "waiting a:done e:done b:waiting c:pending" {
			t.Fatal(got)
		}
		if len(r.Steps[2].Shown) != 1 {
			t.Errorf("the approver is shown %v", r.Steps[2].Shown)
		}
		if _, err := b.Start(t.Context(), "i1", "x", "user ann", ""); err == nil {
			t.Error("a second run of the same playbook began")
		}
		if _, err := b.Decide(t.Context(), r.ID, "c", IsDone, "user bob", ""); err == nil {
			t.Error("a step was done before its turn")
		}
		if _, err := b.Decide(t.Context(), r.ID, "b", IsDone, "user bob", ""); err == nil {
			t.Error("an approval was given by saying done")
		}
		r = b.decide(t, r, "b", Approve)
		if got := states(r); got != "waiting a:done e:done b:done c:waiting" {
			t.Fatal(got)
		}
		if d := r.Steps[2].Decisions; len(d) != 1 || d[0].Who != "user bob" || d[0].Note != "yes" || d[0].Time.IsZero() {
			t.Errorf("the approval is recorded as %+v", d)
		}
		if who := r.Steps[2].Actions[0].Receipt.Who; who != "user bob" {
			t.Errorf("the kill was done in the name of %s", who)
		}
		r = b.decide(t, r, "c", IsDone)
		if got := states(r); got != "done a:done e:done b:done c:done" {
			t.Fatal(got)
		}
		var whats []string
		seen := map[string]bool{}
		for _, e := range b.told() {
			whats = append(whats, e.What)
			if seen[e.ID] || e.Detail["incident"] != "i1" {
				t.Errorf("event %+v", e)
			}
			seen[e.ID] = true
		}
		want := "playbook.start playbook.begin playbook.action playbook.step playbook.begin playbook.action playbook.step playbook.wait " +
			"playbook.approve playbook.begin playbook.action playbook.step playbook.wait playbook.done playbook.step playbook.end"
		if got := strings.Join(whats, " "); got != want {
			t.Errorf("audit trail:\n got %s\nwant %s", got, want)
		}
		if r2 := b.run(t); r2.ID == r.ID {
			t.Error("a new run after the end has the old id")
		}
	})
}

func TestFailures(t *testing.T) {
	const s = head + `steps:
  - {id: a, title: a, kind: automatic, action: {responder: process, op: freeze}%s}
  - {id: b, title: b, kind: automatic, action: {responder: process, op: quarantine}, when: {done: [a]}}
  - {id: c, title: c, kind: automatic, action: {responder: process, op: collect}, when: {not-done: [a]}}
`
	for name, c := range map[string]struct {
		more  string
		spoil func(*desk)
		want  string
	}{
		"fails":             {"", func(d *desk) { d.fail["freeze"] = "no permission" }, "failed a:failed b:pending c:pending"},
		"continues":         {", on-failure: continue", func(d *desk) { d.fail["freeze"] = "no" }, "done a:failed b:skipped c:done"},
		"goes on elsewhere": {", on-failure: c", func(d *desk) { d.fail["freeze"] = "no" }, "done a:failed b:skipped c:done"},
		"refused":           {"", func(d *desk) { d.protect["freeze"] = true }, "failed a:refused b:pending c:pending"},
		"nothing to do":     {"", func(d *desk) { d.targets = nil }, "done a:skipped b:skipped c:skipped"},
		"timeout":           {", timeout: 5s", func(d *desk) { d.slow["freeze"] = time.Hour }, "failed a:timeout b:pending c:pending"},
		"two targets":       {"", func(d *desk) { d.targets = []string{"t1", "t2"} }, "done a:done b:done c:skipped"},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				d := newDesk()
				c.spoil(d)
				b := start(t, t.TempDir(), d, fmt.Sprintf(s, c.more))
				defer b.stop()
				r := b.run(t)
				time.Sleep(time.Minute)
				synctest.Wait()
				r, err := b.Get(r.ID)
				if err != nil {
					t.Fatal(err)
				}
				if got := states(r); got != c.want {
					t.Errorf("got  %s\nwant %s", got, c.want)
				}
				if !r.State.Ended() || r.Ended.IsZero() {
					t.Error("the run has not ended")
				}
			})
		})
	}
}

// TestResume starts an engine on what a crash left between an action and the word that it was done.
func TestResume(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		dir := t.TempDir()
		d := newDesk()
		b := start(t, dir, d, three)
		r := b.run(t)
		b.stop()
		// As after a crash between Do and its save: the action is on disk without an outcome.
		run, err := readJSON[Run](filepath.Join(dir, "runs", r.ID+".json"))
		if err != nil {
			t.Fatal(err)
		}
		run.State, run.Next = Running, 0
		run.Steps[0].State, run.Steps[0].Actions[0].Receipt, run.Steps[0].Actions[0].Ended = StepDoing, nil, time.Time{}
		run.Steps[1], run.Steps[2] = StepRun{ID: "e", State: StepPending}, StepRun{ID: "b", State: StepPending}
		if err := (files[Run]{filepath.Join(dir, "runs")}).put(run.ID, run); err != nil {
			t.Fatal(err)
		}
		first := run.Steps[0].Actions[0].Action.ID
		b = start(t, dir, d, three)
		defer b.stop()
		synctest.Wait()
		if r, err = b.Get(r.ID); err != nil {
			t.Fatal(err)
		}
		if got := states(r); got != "waiting a:done e:done b:waiting c:pending" {
			t.Fatal(got)
		}
		if len(r.Steps[0].Actions) != 1 || r.Steps[0].Actions[0].Action.ID != first || d.done[first] != 2 {
			t.Errorf("resumed with %+v, asked %d times", r.Steps[0].Actions, d.done[first])
		}
		if strings.Join(d.did(), ",") != "freeze t1,collect t1,collect t1" { // the fake's second collect is a new action
			t.Errorf("done: %v", d.did())
		}
	})
}

// TestInterrupted resumes an action whose responder took it back at the start: it is planned anew, once.
func TestInterrupted(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		dir, d := t.TempDir(), newDesk()
		b := start(t, dir, d, three)
		r := b.run(t)
		b.stop()
		run, err := readJSON[Run](filepath.Join(dir, "runs", r.ID+".json"))
		if err != nil {
			t.Fatal(err)
		}
		run.State, run.Next = Running, 0
		run.Steps[0] = StepRun{ID: "a", State: StepDoing, Actions: []Act{{Attempt: 1, Action: run.Steps[0].Actions[0].Action}}}
		run.Steps[1], run.Steps[2] = StepRun{ID: "e", State: StepPending}, StepRun{ID: "b", State: StepPending}
		if err := (files[Run]{filepath.Join(dir, "runs")}).put(run.ID, run); err != nil {
			t.Fatal(err)
		}
		old := run.Steps[0].Actions[0].Action.ID
		mended := &mender{desk: d, id: old}
		b = start(t, dir, d, three, func(c *Config) { c.Desk = mended })
		defer b.stop()
		synctest.Wait()
		if r, err = b.Get(r.ID); err != nil {
			t.Fatal(err)
		}
		a := r.Steps[0].Actions
		if len(a) != 2 || !a[0].Again || a[0].ok() || a[1].Attempt != 2 || !a[1].ok() || r.Steps[0].State != StepDone {
			t.Errorf("%+v", r.Steps[0])
		}
	})
}

// mender answers one action as a responder does that took it back.
type mender struct {
	*desk
	id string
}

func (m *mender) Do(ctx context.Context, a minewarden.Action, who, why string) (minewarden.Receipt, error) {
	if a.ID == m.id {
		return minewarden.Receipt{Action: a, Result: "interrupted before anything was stopped"}, nil
	}
	return m.desk.Do(ctx, a, who, why)
}

func TestApprovalOfWhatChanged(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := start(t, t.TempDir(), newDesk(), three)
		defer b.stop()
		r := b.run(t)
		b.desk.mu.Lock()
		b.desk.targets = []string{"t1", "t2"}
		b.desk.mu.Unlock()
		if _, err := b.Decide(t.Context(), r.ID, "b", Approve, "user bob", ""); !errors.Is(err, ErrChanged) {
			t.Fatalf("got %v, want that the plan changed", err)
		}
		if r, _ = b.Get(r.ID); len(r.Steps[2].Shown) != 2 {
			t.Errorf("shown: %v", r.Steps[2].Shown)
		}
		r = b.decide(t, r, "b", Approve)
		if got := states(r); got != "waiting a:done e:done b:done c:waiting" || len(r.Steps[2].Actions) != 2 {
			t.Error(got)
		}
		r = b.decide(t, r, "c", Refuse)
		if r.State != Failed {
			t.Error(states(r))
		}
	})
}

func TestTroubleIsWaitedOut(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var full atomic.Bool
		var told atomic.Int32
		full.Store(true)
		b := start(t, t.TempDir(), newDesk(), three, func(c *Config) {
			c.Audit = func(context.Context, Event) error {
				if full.Load() {
					return errors.New("disk full")
				}
				told.Add(1)
				return nil
			}
		})
		defer b.stop()
		r := b.run(t)
		if len(b.desk.did()) != 0 {
			t.Errorf("done without a word in the audit trail: %v", b.desk.did())
		}
		full.Store(false)
		time.Sleep(time.Minute)
		synctest.Wait()
		r, _ = b.Get(r.ID)
		if got := states(r); got != "waiting a:done e:done b:waiting c:pending" || told.Load() != 8 {
			t.Errorf("%s, %d events", got, told.Load())
		}
	})
}

func TestDryRun(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		dir := t.TempDir()
		b := start(t, dir, newDesk(), three)
		defer b.stop()
		all, err := b.DryRun(t.Context(), "i1", "x", false)
		if err != nil {
			t.Fatal(err)
		}
		var got []string
		for _, p := range all {
			got = append(got, p.Step.ID+":"+p.Would)
		}
		if s := strings.Join(got, " "); s != "a:run e:run b:wait c:wait" {
			t.Error(s)
		}
		if len(b.Runs("")) != 0 || len(b.desk.did()) != 0 || len(b.told()) != 0 {
			t.Error("a dry run changed something")
		}
		if files, _ := os.ReadDir(filepath.Join(dir, "runs")); len(files) != 0 {
			t.Errorf("a dry run left %v", files)
		}
	})
}

func TestTrigger(t *testing.T) {
	const auto = head + `trigger: {rules: [pow/], severity: high, start: %s}
steps:
  - {id: v, title: v, kind: automatic, action: {responder: recovery, op: verify-package}}
  - {id: e, title: e, kind: automatic, action: {responder: evidence, op: collect}}
  - {id: a, title: a, kind: automatic, action: {responder: process, op: freeze}}
  - {id: k, title: k, kind: automatic, action: {responder: process, op: kill}}
`
	for name, c := range map[string]struct {
		start, respond string
		evidence       bool
		want           string
	}{
		"proposed":          {"propose", "kill", false, "proposed v:pending e:pending a:pending k:pending"},
		"observe":           {"automatic", "observe", false, "waiting v:done e:waiting a:pending k:pending"},
		"observe, evidence": {"automatic", "observe", true, "waiting v:done e:done a:waiting k:pending"},
		"contain":           {"automatic", "contain", false, "waiting v:done e:done a:done k:waiting"},
		"kill":              {"automatic", "kill", false, "done v:done e:done a:done k:done"},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				d := newDesk()
				d.inc.Findings = []minewarden.IncidentFinding{{Rule: "pow/randomx"}}
				b := start(t, t.TempDir(), d, fmt.Sprintf(auto, c.start), func(e *Config) { e.Respond, e.Evidence = c.respond, c.evidence })
				defer b.stop()
				b.Offer("i1")
				synctest.Wait()
				b.Offer("i1")
				synctest.Wait()
				all := b.Runs("i1")
				if len(all) != 1 || states(all[0]) != c.want {
					t.Fatalf("%d runs, %s\nwant %s", len(all), states(all[0]), c.want)
				}
				if c.start == "propose" {
					if r := b.run(t); r.ID != all[0].ID || r.Who != "user ann" || states(r) != "done v:done e:done a:done k:done" {
						t.Errorf("a person started %s: %s", r.ID, states(r))
					}
				}
			})
		})
	}
}
