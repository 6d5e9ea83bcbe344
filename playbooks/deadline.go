package playbooks

import (
	"cmp"
	"context"
	"fmt"
	"log/slog"
	"maps"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/minewarden/minewarden"
)

// maxTracked bounds the incidents whose deadlines are kept.
const maxTracked = 10_000

// deadlinesFile is the name of their file.
const deadlinesFile = "deadlines.jsonl"

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

// deadlines are those of all incidents. Who reads them never waits for the disk: changes are made in memory and written after that,
// all that there are at once.
type deadlines struct {
	disk  sync.Mutex // held while changes are written, and never together with mu
	write func(changes []change[tracked], all func() []change[tracked]) error

	mu    sync.Mutex
	all   map[string]*tracked // what it points to never changes: a change puts another one in its place
	dirty map[string]bool     // changed since it was written
	wake  chan struct{}
}

func newDeadlines(name string) (*deadlines, error) {
	j := &journal[tracked]{name: name}
	d := &deadlines{write: j.write, dirty: map[string]bool{}, wake: make(chan struct{}, 1)}
	var err error
	d.all, err = j.load()
	for id, t := range d.all {
		if t.Incident != id {
			delete(d.all, id)
		}
	}
	return d, err
}

// set must be called with mu held. flush makes it last.
func (d *deadlines) set(id string, t *tracked) {
	if t == nil {
		delete(d.all, id)
	} else {
		d.all[id] = t
	}
	d.dirty[id] = true
	d.poke()
}

func (d *deadlines) poke() {
	select {
	case d.wake <- struct{}{}:
	default:
	}
}

// flush writes what has changed. After an error it is still to be written.
func (d *deadlines) flush() error {
	d.disk.Lock()
	defer d.disk.Unlock()
	d.mu.Lock()
	var changes []change[tracked]
	for id := range d.dirty {
		changes = append(changes, change[tracked]{id, d.all[id]})
	}
	clear(d.dirty)
	d.mu.Unlock()
	if len(changes) == 0 {
		return nil
	}
	err := d.write(changes, d.kept)
	if err != nil {
		d.mu.Lock()
		for _, c := range changes {
			d.dirty[c.ID] = true
		}
		d.mu.Unlock()
	}
	return err
}

func (d *deadlines) kept() (all []change[tracked]) {
	for _, t := range d.every() {
		all = append(all, change[tracked]{t.Incident, t})
	}
	return all
}

// gather is how long changes wait for others before they are written.
const gather = 200 * time.Millisecond

// keep writes what has changed until ctx is done. The rest is for who calls it.
func (d *deadlines) keep(ctx context.Context, log *slog.Logger, retry time.Duration) {
	for wait := gather; ; {
		select {
		case <-ctx.Done():
			return
		case <-d.wake:
		}
		select {
		case <-ctx.Done():
			return
		case <-time.After(wait):
		}
		err := d.flush()
		if err == nil {
			wait = gather
			continue
		}
		wait = min(max(2*wait, retry), 30*retry)
		log.Error("deadlines are not saved", "again_in", wait, "error", err)
		d.poke()
	}
}

// track takes up an incident that has deadlines, or what changed about it.
func (d *deadlines) track(inc *minewarden.Incident, tighter Deadlines) error {
	d.mu.Lock()
	defer d.mu.Unlock()
	old := d.all[inc.ID]
	t := &tracked{Incident: inc.ID, From: inc.Opened}
	if old != nil {
		t = old.clone()
	} else {
		if inc.Severity < minewarden.High || inc.State == minewarden.Closed {
			return nil
		}
		if len(d.all) >= maxTracked && !d.forget() {
			return fmt.Errorf("deadlines of incident %s are not watched: %d incidents are, which is the most", inc.ID, maxTracked)
		}
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
	if old == nil || !equal(*old, *t) {
		d.set(inc.ID, t)
	}
	return nil
}

func (t *tracked) clone() *tracked {
	c := *t
	c.Dues = slices.Clone(t.Dues)
	return &c
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
	return !slices.ContainsFunc(t.Dues, func(d Due) bool { return d.Met.IsZero() && d.State != "dropped" && d.Told < 100 })
}

// forget makes room: of those that nobody will be told of any more the one that was closed first goes, or else the oldest. It must be
// called with mu held.
func (d *deadlines) forget() bool {
	var first *tracked
	for _, t := range d.all {
		if t.over() && (first == nil || older(t, first)) {
			first = t
		}
	}
	if first == nil {
		return false
	}
	d.set(first.Incident, nil)
	return true
}

func older(a, b *tracked) bool {
	if a.Closed.IsZero() != b.Closed.IsZero() {
		return b.Closed.IsZero()
	}
	if a.Closed.IsZero() {
		return a.From.Before(b.From)
	}
	return a.Closed.Before(b.Closed)
}

// near returns what is to be told of at now. It is returned again until told is called.
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

// told remembers that escalations went out.
func (d *deadlines) told(all []Escalation) {
	d.mu.Lock()
	defer d.mu.Unlock()
	for _, e := range all {
		if d.all[e.Incident] == nil {
			continue
		}
		t := d.all[e.Incident].clone()
		for i := range t.Dues {
			if t.Dues[i].What == e.What {
				t.Dues[i].Told = max(t.Dues[i].Told, e.Percent)
			}
		}
		d.set(e.Incident, t)
	}
}

// of returns what is tracked of some incidents.
func (d *deadlines) of(incidents []string) (out []*tracked) {
	d.mu.Lock()
	defer d.mu.Unlock()
	for _, id := range incidents {
		if t := d.all[id]; t != nil {
			out = append(out, t)
		}
	}
	return out
}

func (d *deadlines) every() []*tracked {
	d.mu.Lock()
	defer d.mu.Unlock()
	return slices.Collect(maps.Values(d.all))
}

// Met says that a deadline of an incident was met: isolated, report or review. The first who says so counts. It is on the disk when Met
// returns.
func (e *Engine) Met(incident, what, who string) error {
	d := e.watch
	d.mu.Lock()
	changed := false
	if d.all[incident] != nil {
		if t := d.all[incident].clone(); t.meet(what, e.config.Now(), who) {
			d.set(incident, t)
			changed = true
		}
	}
	d.mu.Unlock()
	if !changed {
		return nil
	}
	return d.flush()
}

// Deadlines returns those of an incident, or of all where it is empty, the next due first; those of steps that wait among them.
func (e *Engine) Deadlines(incident string) []Due {
	var out []Due
	if incident != "" {
		out = e.DeadlinesOf([]string{incident})
	} else {
		out = e.dues(e.watch.every(), func(*Run) bool { return true })
	}
	slices.SortFunc(out, func(a, b Due) int {
		return cmp.Or(a.Due.Compare(b.Due), strings.Compare(a.Incident, b.Incident), strings.Compare(a.What, b.What))
	})
	return out
}

// DeadlinesOf returns the deadlines of some incidents, in no order: for a page of a list, of which all would be too many.
func (e *Engine) DeadlinesOf(incidents []string) []Due {
	want := make(map[string]bool, len(incidents))
	for _, id := range incidents {
		want[id] = true
	}
	return e.dues(e.watch.of(incidents), func(r *Run) bool { return want[r.Incident] })
}

func (e *Engine) dues(all []*tracked, wanted func(*Run) bool) (out []Due) {
	now := e.config.Now()
	out = make([]Due, 0, 3*len(all))
	for _, t := range all {
		for _, d := range t.Dues {
			out = append(out, d.stateAt(now))
		}
	}
	e.mu.Lock()
	defer e.mu.Unlock()
	for _, r := range e.runs {
		if wanted(r) {
			for _, d := range e.open(r) {
				out = append(out, d.stateAt(now))
			}
		}
	}
	return out
}

// open are the deadlines of a run's steps that are still to be kept.
func (e *Engine) open(r *Run) []Due {
	return slices.DeleteFunc(r.dues(), func(d Due) bool {
		_, id, _ := strings.Cut(d.What, "/")
		i := slices.IndexFunc(r.Playbook.Steps, func(s Step) bool { return s.ID == id })
		return i >= 0 && e.watch.met(r.Incident, r.Playbook.Steps[i].Meets)
	})
}

// met reports whether a deadline of an incident was met already: then no step that would meet it is late.
func (d *deadlines) met(incident, what string) bool {
	d.mu.Lock()
	defer d.mu.Unlock()
	t := d.all[incident]
	return what != "" && t != nil && slices.ContainsFunc(t.Dues, func(x Due) bool { return x.What == what && !x.Met.IsZero() })
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
