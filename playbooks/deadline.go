package playbooks

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/minewarden/minewarden"
)

// maxTracked bounds the incidents whose deadlines are kept.
const maxTracked = 10_000

// levels are the percents of a deadline at which somebody is told.
var levels = [...]int{50, 80, 100}

// A Due is a deadline of an incident.
type Due struct {
	Incident string    `json:"incident"`
	What     string    `json:"what"` // isolated, report, review; of a run's step: "step RUN/STEP"
	From     time.Time `json:"from"`
	Due      time.Time `json:"due"`
	Met      time.Time `json:"met,omitzero"`
	By       string    `json:"by,omitempty"`   // who met it
	Told     int       `json:"told,omitempty"` // percent that was told of
	State    string    `json:"state"`          // running, missed, met, late (met after it was due), dropped
}

// stateAt fills in State.
func (d Due) stateAt(now time.Time) Due {
	switch {
	case d.State == "dropped":
	case !d.Met.IsZero() && d.Met.After(d.Due):
		d.State = "late"
	case !d.Met.IsZero():
		d.State = "met"
	case now.After(d.Due):
		d.State = "missed"
	default:
		d.State = "running"
	}
	return d
}

// level returns the highest of levels that is reached at now.
func (d *Due) level(now time.Time) int {
	whole, part := d.Due.Sub(d.From), now.Sub(d.From)
	reached := 0
	for _, l := range levels {
		if whole <= 0 || part >= whole/100*time.Duration(l) {
			reached = l
		}
	}
	return reached
}

// An Escalation says that a deadline comes near or was missed. After a crash the same one may come again, with the same ID.
type Escalation struct {
	ID       string              `json:"id"`
	Time     time.Time           `json:"time"`
	Incident string              `json:"incident"`
	Host     string              `json:"host,omitempty"`
	Subject  minewarden.Subject  `json:"subject,omitzero"`
	Severity minewarden.Severity `json:"severity"`
	What     string              `json:"what"`
	Due      time.Time           `json:"due"`
	Percent  int                 `json:"percent"` // 50, 80; 100: missed
	Message  string              `json:"message"`
	Jump     string              `json:"jump,omitempty"` // the clock was set just now, by this much: the deadline may not be what it seems
}

// tracked is what is kept of an incident with deadlines.
type tracked struct {
	Incident string              `json:"incident"`
	Host     string              `json:"host,omitempty"`
	Subject  minewarden.Subject  `json:"subject"`
	Severity minewarden.Severity `json:"severity"`
	From     time.Time           `json:"from"`
	Closed   time.Time           `json:"closed,omitzero"`
	Dues     []Due               `json:"dues"`
}

// deadlines are those of all incidents.
type deadlines struct {
	files files[tracked]
	mu    sync.Mutex
	all   map[string]*tracked
}

func newDeadlines(dir string) (*deadlines, error) {
	d := &deadlines{files: files[tracked]{dir}, all: map[string]*tracked{}}
	all, err := d.files.load()
	for id, t := range all {
		if t.Incident == id {
			d.all[id] = &t
		}
	}
	return d, err
}

// track takes up an incident that has deadlines, or what changed about it.
func (d *deadlines) track(inc *minewarden.Incident, tighter Deadlines) error {
	d.mu.Lock()
	defer d.mu.Unlock()
	t := d.all[inc.ID]
	if t == nil {
		if inc.Severity < minewarden.High || inc.State == minewarden.Closed {
			return nil
		}
		if len(d.all) >= maxTracked && !d.forget() {
			return fmt.Errorf("deadlines of incident %s are not watched: %d incidents are, which is the most", inc.ID, maxTracked)
		}
		t = &tracked{Incident: inc.ID, From: inc.Opened}
	}
	old, err := clone(*t)
	if err != nil {
		return err
	}
	t.Host, t.Subject, t.Severity = inc.Host, inc.Subject, inc.Severity
	if !t.Closed.IsZero() && inc.State != minewarden.Closed { // it was opened again: all begins anew
		t.From, t.Closed, t.Dues = inc.Changed, time.Time{}, nil
	}
	for _, x := range []struct {
		what   string
		within time.Duration
		tight  Duration
	}{{Isolated, IsolatedWithin, tighter.Isolated}, {Report, ReportWithin, tighter.Report}, {Review, ReviewWithin, tighter.Review}} {
		within := x.within
		if x.tight > 0 {
			within = min(within, time.Duration(x.tight))
		}
		due := t.From.Add(within)
		i := slices.IndexFunc(t.Dues, func(o Due) bool { return o.What == x.what })
		if i < 0 {
			t.Dues = append(t.Dues, Due{Incident: inc.ID, What: x.what, From: t.From, Due: due})
		} else if due.Before(t.Dues[i].Due) {
			t.Dues[i].Due = due
		}
	}
	if inc.State != minewarden.Open {
		t.meet(Isolated, inc.Changed, "incident "+string(inc.State))
	}
	if inc.State == minewarden.Closed {
		t.Closed = inc.Changed
		if inc.FalsePositive() {
			for i := range t.Dues {
				if t.Dues[i].Met.IsZero() {
					t.Dues[i].State = "dropped"
				}
			}
		}
	}
	if equal(old, *t) && d.all[inc.ID] != nil {
		return nil
	}
	if err := d.files.put(inc.ID, *t); err != nil {
		if d.all[inc.ID] != nil {
			*t = old
		}
		return err
	}
	d.all[inc.ID] = t
	return nil
}

func equal(a, b tracked) bool {
	return a.Host == b.Host && a.Subject == b.Subject && a.Severity == b.Severity && a.From.Equal(b.From) && a.Closed.Equal(b.Closed) &&
		slices.EqualFunc(a.Dues, b.Dues, func(x, y Due) bool {
			return x.What == y.What && x.Due.Equal(y.Due) && x.Met.Equal(y.Met) && x.Told == y.Told && x.State == y.State
		})
}

// meet reports whether that changed anything.
func (t *tracked) meet(what string, at time.Time, by string) bool {
	for i := range t.Dues {
		if d := &t.Dues[i]; d.What == what && d.Met.IsZero() {
			d.Met, d.By, d.State = at, by, ""
			return true
		}
	}
	return false
}

// over reports whether nothing of it can be missed any more.
func (t *tracked) over() bool {
	return !t.Closed.IsZero() && !slices.ContainsFunc(t.Dues, func(d Due) bool { return d.Met.IsZero() && d.State != "dropped" && d.Told < 100 })
}

// forget makes room: the one that was closed first goes.
func (d *deadlines) forget() bool {
	var first *tracked
	for _, t := range d.all {
		if t.over() && (first == nil || t.Closed.Before(first.Closed)) {
			first = t
		}
	}
	if first == nil || d.files.remove(first.Incident) != nil {
		return false
	}
	delete(d.all, first.Incident)
	return true
}

// near returns what is to be told of at now, and remembers it once told has been called for all of it.
func (d *deadlines) near(now time.Time, jump string) (out []Escalation) {
	d.mu.Lock()
	defer d.mu.Unlock()
	for _, t := range d.all {
		for i := range t.Dues {
			due := &t.Dues[i]
			l := due.level(now)
			if !due.Met.IsZero() || due.State == "dropped" || l <= due.Told {
				continue
			}
			out = append(out, escalation(t, due, l, now, jump))
		}
	}
	slices.SortFunc(out, func(a, b Escalation) int { return strings.Compare(a.ID, b.ID) })
	return out
}

func escalation(t *tracked, d *Due, percent int, now time.Time, jump string) Escalation {
	e := Escalation{
		ID: fmt.Sprintf("%s/%s/%d/%d", t.Incident, d.What, d.From.Unix(), percent), Time: now, Incident: t.Incident, Host: t.Host, Subject: t.Subject,
		Severity: t.Severity, What: d.What, Due: d.Due, Percent: percent, Jump: jump,
	}
	if percent >= 100 {
		e.Message = fmt.Sprintf("incident %s: %s was due at %s and is not done", t.Incident, d.What, d.Due.UTC().Format(time.RFC3339))
	} else {
		e.Message = fmt.Sprintf("incident %s: %s is due at %s, %d%% of the time is gone", t.Incident, d.What, d.Due.UTC().Format(time.RFC3339), percent)
	}
	if jump != "" {
		e.Message += "; the clock was set by " + jump + " just now"
	}
	return e
}

// told remembers that an escalation went out.
func (d *deadlines) told(e Escalation) error {
	d.mu.Lock()
	defer d.mu.Unlock()
	t := d.all[e.Incident]
	if t == nil {
		return nil
	}
	for i := range t.Dues {
		if t.Dues[i].What == e.What {
			t.Dues[i].Told = max(t.Dues[i].Told, e.Percent)
		}
	}
	return d.files.put(t.Incident, *t)
}

// Met says that a deadline of an incident was met: isolated, report or review. The first who says so counts.
func (e *Engine) Met(incident, what, who string) error {
	e.watch.mu.Lock()
	defer e.watch.mu.Unlock()
	t := e.watch.all[incident]
	if t == nil || !t.meet(what, e.config.Now(), who) {
		return nil
	}
	return e.watch.files.put(incident, *t)
}

// Deadlines returns those of an incident, or of all where it is empty, the next due first; those of steps that wait among them.
func (e *Engine) Deadlines(incident string) []Due {
	now := e.config.Now()
	var out []Due
	e.watch.mu.Lock()
	for id, t := range e.watch.all {
		if incident == "" || id == incident {
			for _, d := range t.Dues {
				out = append(out, d.stateAt(now))
			}
		}
	}
	e.watch.mu.Unlock()
	e.mu.Lock()
	for _, r := range e.runs {
		if incident == "" || r.Incident == incident {
			for _, d := range r.dues() {
				out = append(out, d.stateAt(now))
			}
		}
	}
	e.mu.Unlock()
	slices.SortFunc(out, func(a, b Due) int {
		if d := a.Due.Compare(b.Due); d != 0 {
			return d
		}
		return strings.Compare(a.Incident+a.What, b.Incident+b.What)
	})
	return out
}

// dues are the deadlines of steps that have not ended.
func (r *Run) dues() (out []Due) {
	if r.State != Running && r.State != Waiting {
		return nil
	}
	for i := r.Next; i < len(r.Steps); i++ {
		if s := &r.Steps[i]; !s.Due.IsZero() && s.Ended.IsZero() {
			out = append(out, Due{Incident: r.Incident, What: "step " + r.ID + "/" + s.ID, From: r.Opened, Due: s.Due, Told: s.Told})
		}
	}
	return out
}

// tick looks at the clock and at all deadlines.
func (e *Engine) tick() {
	now, by, err := e.clock.look()
	if err != nil {
		e.config.Log.Error("the state of the clock is not saved", "error", err)
	}
	jump := ""
	if by != 0 {
		jump = signed(by)
		e.config.Log.Warn("the clock was set; deadlines go by the new time", "by", jump)
		e.jump(now, jump)
	}
	for _, x := range e.watch.near(now, jump) {
		e.escalate(x)
		if err := e.watch.told(x); err != nil {
			e.config.Log.Error("that a deadline was told of is not saved", "incident", x.Incident, "error", err)
		}
	}
	e.stepsNear(now, jump)
	e.prune(now)
}

func (e *Engine) escalate(x Escalation) {
	e.config.Log.Warn("deadline", "incident", x.Incident, "what", x.What, "percent", x.Percent, "due", x.Due)
	if e.config.Escalate != nil {
		e.config.Escalate(x)
	}
}

// jump writes into every run that is under way that the clock was set.
func (e *Engine) jump(now time.Time, by string) {
	e.change(func(r *Run) bool {
		if r.State != Running && r.State != Waiting {
			return false
		}
		if len(r.Jumps) < 100 {
			r.Jumps = append(r.Jumps, Jump{At: now, By: by})
		}
		r.tell(now, "agent", "playbook.clock", "the clock was set by "+by, nil)
		return true
	})
}

// stepsNear tells of deadlines of steps.
func (e *Engine) stepsNear(now time.Time, jump string) {
	e.change(func(r *Run) bool {
		changed := false
		for _, d := range r.dues() {
			if l := d.level(now); l > d.Told {
				t := &tracked{Incident: r.Incident, Severity: minewarden.High}
				e.escalate(escalation(t, &d, l, now, jump))
				_, id, _ := strings.Cut(d.What, "/")
				r.step(id).Told, changed = l, true
			}
		}
		return changed
	})
}

// change applies f to all runs that no worker has, and saves those for which it returns true. The others are looked at next time.
func (e *Engine) change(f func(*Run) bool) {
	e.mu.Lock()
	var idle []string
	for id, r := range e.runs {
		if !e.busy[id] && !r.State.Ended() {
			idle = append(idle, id)
		}
	}
	slices.Sort(idle)
	e.mu.Unlock()
	for _, id := range idle {
		e.mu.Lock()
		if e.busy[id] || e.runs[id] == nil {
			e.mu.Unlock()
			continue
		}
		e.busy[id] = true
		r := e.copyOf(e.runs[id])
		e.mu.Unlock()
		if f(&r) {
			if err := e.put(&r); err != nil {
				e.config.Log.Error("a run of a playbook is not saved", "run", id, "error", err)
			}
			e.mu.Lock()
			e.enqueue(id) // for its outbox
			e.mu.Unlock()
		}
		e.release(id)
	}
}

// prune forgets runs that ended long ago, and the first of those that ended when there are too many.
func (e *Engine) prune(now time.Time) {
	e.mu.Lock()
	var ended []*Run
	for _, r := range e.runs {
		if r.State.Ended() && !e.busy[r.ID] && len(r.Outbox) == 0 {
			ended = append(ended, r)
		}
	}
	slices.SortFunc(ended, func(a, b *Run) int { return a.Ended.Compare(b.Ended) })
	over := max(0, len(e.runs)-maxRuns*9/10)
	e.mu.Unlock()
	var errs []error
	for i, r := range ended {
		if i >= over && now.Sub(r.Ended) < keepRuns {
			break
		}
		e.mu.Lock()
		delete(e.runs, r.ID)
		e.mu.Unlock()
		errs = append(errs, e.files.remove(r.ID))
	}
	if err := errors.Join(errs...); err != nil {
		e.config.Log.Error("old runs of playbooks are not removed", "error", err)
	}
}
