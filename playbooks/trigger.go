package playbooks

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/minewarden/minewarden"
)

// maxOffered bounds the incidents that wait to be looked at; each waits once, however often it changes.
const maxOffered = 20_000

// Stale is how long nothing may have happened about an incident for a trigger to begin a run: an agent that meets its first playbook
// does not begin one for each incident of a year. A person can.
const Stale = ReviewWithin

// whoTrigger is what runs say that no person started.
const whoTrigger = "playbook trigger"

// Offer tells the engine of an incident that is new or has changed. It does not block.
func (e *Engine) Offer(id string) {
	e.mu.Lock()
	full := len(e.offered) >= maxOffered && !e.offered[id]
	if !full {
		e.offered[id] = true
	}
	e.mu.Unlock()
	if full {
		e.config.Log.Error("too many incidents change at once for the playbooks", "incident", id)
		return
	}
	e.poke()
}

// consider watches the incident's deadlines and proposes or starts the playbook that is for it.
func (e *Engine) consider(ctx context.Context, id string) {
	inc, err := e.config.Desk.Incident(ctx, id)
	if err != nil {
		if !errors.Is(err, minewarden.ErrNotFound) && ctx.Err() == nil {
			e.config.Log.Error("an incident cannot be read", "incident", id, "error", err)
		}
		return
	}
	var tighter Deadlines
	for _, r := range e.Runs(id) {
		if !r.State.Ended() && r.State != Proposed {
			tighter = r.Playbook.Deadlines
		}
	}
	if err := e.watch.track(&inc, tighter); err != nil {
		e.config.Log.Error("deadlines are not watched", "incident", id, "error", err)
	}
	if inc.State != minewarden.Open || e.config.Now().Sub(latest(&inc)) > Stale {
		return
	}
	best := e.best(&inc)
	if best == nil {
		return
	}
	state, auto := Proposed, false
	if best.Trigger.Start == Automatic {
		state, auto = Running, true
	}
	if !e.room(&inc, best) {
		return
	}
	why := fmt.Sprintf("severity %s, score %.2f", inc.Severity, inc.Score)
	if _, err := e.start(ctx, &inc, *best, whoTrigger, why, state, auto); err != nil && !errors.Is(err, ErrBusy) { // busy: somebody starts it
		e.config.Log.Error("a playbook is not started", "playbook", best.Name, "incident", id, "error", err)
	}
}

// latest is when something last happened about an incident.
func latest(inc *minewarden.Incident) time.Time {
	return slices.MaxFunc([]time.Time{inc.Opened, inc.Changed, inc.Updated}, time.Time.Compare)
}

// room reports whether the trigger may begin a run: none of the playbook was there before, and what was only proposed for the
// incident gives way.
func (e *Engine) room(inc *minewarden.Incident, p *Playbook) bool {
	var withdraw []Run
	for _, r := range e.Runs(inc.ID) {
		switch {
		case r.Playbook.Name == p.Name && (r.State != Refused || !r.Ended.Before(inc.Changed)):
			return false
		case r.State == Running || r.State == Waiting: // a person or a trigger has chosen
			return false
		case r.State == Proposed:
			withdraw = append(withdraw, r)
		}
	}
	for _, r := range withdraw {
		e.mu.Lock()
		idle := !e.busy[r.ID] && e.runs[r.ID] != nil && e.runs[r.ID].State == Proposed && len(e.runs[r.ID].Outbox) == 0
		if idle {
			delete(e.runs, r.ID)
		}
		e.mu.Unlock()
		if !idle {
			return false
		}
		if err := e.files.remove(r.ID); err != nil {
			e.config.Log.Error("a proposal is not withdrawn", "run", r.ID, "error", err)
		}
	}
	return true
}

// best returns the playbook whose trigger fits the incident best: by programs and rules that it names exactly, then by findings
// that it is for, then the one with the shortest list; nil: none.
func (e *Engine) best(inc *minewarden.Incident) *Playbook {
	var best *Playbook
	var most [3]int
	for _, p := range e.Playbooks() {
		t := &p.Trigger
		if len(t.Rules) == 0 || inc.Severity < t.Severity || inc.Score < t.Score {
			continue
		}
		n := matching(t.Rules, inc)
		if n == 0 || len(t.Programs) > 0 && !runsIn(t.Programs, inc) {
			continue
		}
		exact := 0
		if len(t.Programs) > 0 {
			exact = 1
		}
		for i := range inc.Findings {
			if slices.Contains(t.Rules, inc.Findings[i].Rule) {
				exact++
			}
		}
		if fit := [3]int{exact, n, -len(t.Rules)}; best == nil || slices.Compare(fit[:], most[:]) > 0 {
			best, most = &p, fit
		}
	}
	return best
}
