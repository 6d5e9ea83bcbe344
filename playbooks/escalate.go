package playbooks

import (
	"crypto/sha256"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/minewarden/minewarden"
)

// An Escalation says that a deadline comes near or was missed. After a crash the same one may come again, with the same ID. With More it
// stands for many, and what it says else is of the worst.
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
	More     int                 `json:"more,omitempty"` // deadlines of other incidents, where so many came at once that they are told of together
	Jump     string              `json:"jump,omitempty"` // the clock was set just now, by this much: the deadline may not be what it seems
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

// atOnce is how many deadlines of one percent are told of one by one at one time: nobody reads hundreds, as there may be when an agent
// starts that was away for a week.
const atOnce = 20

// together puts escalations of a percent into one where there are too many.
func together(all []Escalation) (out []Escalation) {
	for _, l := range levels {
		var some []Escalation
		for _, x := range all {
			if x.Percent == l {
				some = append(some, x)
			}
		}
		if len(some) <= atOnce {
			out = append(out, some...)
		} else {
			out = append(out, summary(some))
		}
	}
	return out
}

func summary(all []Escalation) Escalation {
	ids, of := sha256.New(), map[string]bool{}
	worst := &all[0]
	for i := range all {
		x := &all[i]
		fmt.Fprintln(ids, x.ID)
		of[x.Incident] = true
		if x.Severity > worst.Severity || x.Severity == worst.Severity && x.Due.After(worst.Due) {
			worst = x
		}
	}
	s := *worst
	s.ID, s.More = fmt.Sprintf("many/%d/%x", s.Percent, ids.Sum(nil)[:8]), len(all)-1
	what := "were missed"
	if s.Percent < 100 {
		what = fmt.Sprintf("come near, %d%% of the time is gone", s.Percent)
	}
	s.Message = fmt.Sprintf("%d deadlines of %d incidents %s; among the worst: %s", len(all), len(of), what, worst.Message)
	return s
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
	if e.settle() {
		near := e.watch.near(now, jump)
		for _, x := range together(near) {
			e.escalate(x)
		}
		e.watch.told(near)
	}
	e.stepsNear(now, jump)
	e.prune(now)
}

// patience is how many ticks deadlines are silent at most while the incidents of an earlier run of the agent are taken up.
const patience = 12

// settle reports whether the incidents that were there at the start have been looked at: what was missed meanwhile is told at once then.
func (e *Engine) settle() bool {
	e.mu.Lock()
	defer e.mu.Unlock()
	if !e.settled {
		e.ticks++
		e.settled = len(e.offered) == 0 && e.looking == 0 || e.ticks > patience
	}
	return e.settled
}

func (e *Engine) escalate(x Escalation) {
	e.config.Log.Warn("deadline", "incident", x.Incident, "what", x.What, "percent", x.Percent, "due", x.Due)
	if e.config.Escalate != nil {
		e.config.Escalate(x)
	}
}

// jump writes into every run that is under way that the clock was set.
func (e *Engine) jump(now time.Time, by string) {
	e.change(func(r *Run) bool { return r.State == Running || r.State == Waiting }, func(r *Run) bool {
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
	near := func(r *Run) bool {
		return slices.ContainsFunc(e.open(r), func(d Due) bool { return d.level(now) > d.Told })
	}
	e.change(near, func(r *Run) bool {
		changed := false
		for _, d := range e.open(r) {
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

// change applies f to all runs that are wanted and no worker has, and saves those for which it returns true. The others are looked at
// next time. want changes nothing.
func (e *Engine) change(want, f func(*Run) bool) {
	e.mu.Lock()
	var idle []string
	for id, r := range e.runs {
		if !e.busy[id] && !r.State.Ended() && want(r) {
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
