package playbooks

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/minewarden/minewarden"
)

// grace is how long an action may take past its timeout to return; then the run goes on without it.
const grace = 10 * time.Second

// advance takes a run as far as it goes without a person. Only the worker that took the run calls it.
func (e *Engine) advance(ctx context.Context, id string) {
	r, err := e.Get(id)
	if err != nil {
		return // it was withdrawn
	}
	e.mu.Lock()
	crashed := e.crashed[id]
	delete(e.crashed, id)
	e.mu.Unlock()
	for {
		// What the last step changed is in the audit trail before the next begins.
		if e.flush(ctx, &r) != nil {
			return
		}
		if r.State != Running || ctx.Err() != nil {
			return
		}
		if r.Next >= len(r.Steps) {
			now := e.config.Now()
			r.State, r.Ended = Done, now
			r.tell(now, r.Who, "playbook.end", "all steps are behind it", nil)
		} else if err := e.step(ctx, &r, crashed); err != nil {
			return
		}
		crashed = false
		if e.save(ctx, &r) != nil {
			return
		}
	}
}

// flush tells the audit trail what it may not have yet.
func (e *Engine) flush(ctx context.Context, r *Run) error {
	if len(r.Outbox) == 0 {
		return nil
	}
	for _, ev := range r.Outbox {
		if e.config.Audit == nil {
			break
		}
		if err := e.insist(ctx, "the audit trail takes no events; a run of a playbook waits", r.ID, func() error { return e.config.Audit(ctx, ev) }); err != nil {
			return err
		}
	}
	r.Outbox = nil
	if r.State == Running { // the next save is near
		return nil
	}
	return e.save(ctx, r)
}

// step takes the step that the run is at one state further. It returns an error only where the agent ends.
func (e *Engine) step(ctx context.Context, r *Run, crashed bool) error {
	s, sr := &r.Playbook.Steps[r.Next], &r.Steps[r.Next]
	now := e.config.Now()
	if sr.Started.IsZero() {
		sr.Started = now
	}
	switch sr.State {
	case StepPending:
		inc, err := e.config.Desk.Incident(ctx, r.Incident)
		if err != nil {
			return e.end(r, StepFailed, fmt.Sprintf("the incident cannot be read: %v", err))
		}
		if ok, why := s.When.holds(&inc, r); !ok {
			return e.end(r, StepSkipped, why)
		}
		if s.Kind == ByHand {
			e.wait(r, "a person does it, and says so then")
			return nil
		}
		actions, refused, err := e.plan(ctx, r, s)
		switch {
		case err != nil:
			return e.end(r, StepFailed, err.Error())
		case len(actions) == 0 && len(refused) > 0:
			return e.end(r, StepRefused, strings.Join(refused, "; "))
		case len(actions) == 0:
			return e.end(r, StepSkipped, fmt.Sprintf("responder %s has nothing to %s", s.Action.Responder, s.Action.Op))
		}
		if why, ask := e.asks(r, s); ask {
			sr.Shown = actions
			e.wait(r, why)
			return nil
		}
		e.begin(r, actions)
	case StepApproved:
		actions, refused, err := e.plan(ctx, r, s)
		switch {
		case err != nil:
			return e.end(r, StepFailed, err.Error())
		case len(actions) == 0 && len(refused) > 0:
			return e.end(r, StepRefused, strings.Join(refused, "; "))
		case len(actions) == 0:
			return e.end(r, StepSkipped, fmt.Sprintf("responder %s has nothing to %s any more", s.Action.Responder, s.Action.Op))
		case !within(actions, sr.Shown):
			sr.Shown = actions
			e.wait(r, "what would be done has changed since it was approved: look again")
			return nil
		}
		e.begin(r, actions)
	case StepDoing:
		return e.do(ctx, r, s, sr, crashed)
	case StepWaiting: // its state was saved, that of the run was not
		r.State = Waiting
	default: // it has ended; the place of the run was not saved
		e.next(r)
	}
	return nil
}

// begin puts the actions into the run. They are on disk before they are done.
func (e *Engine) begin(r *Run, actions []minewarden.Action) {
	sr := &r.Steps[r.Next]
	attempt := 1
	for i := range sr.Actions {
		attempt = max(attempt, sr.Actions[i].Attempt+1)
	}
	for _, a := range actions {
		sr.Actions = append(sr.Actions, Act{Attempt: attempt, Action: a})
	}
	sr.State, sr.Shown = StepDoing, nil
	r.tell(e.config.Now(), r.Who, "playbook.begin", "", map[string]string{"step": sr.ID, "actions": ids(actions)})
}

func ids(actions []minewarden.Action) string {
	var out []string
	for _, a := range actions {
		out = append(out, a.ID)
	}
	return strings.Join(out, " ")
}

// plan returns what the responder would do for the step, and what it refuses to.
func (e *Engine) plan(ctx context.Context, r *Run, s *Step) (actions []minewarden.Action, refused []string, err error) {
	ctx, cancel := context.WithTimeout(ctx, s.timeout())
	defer cancel()
	planned, err := e.config.Desk.Plan(ctx, r.Incident, s.Action.Responder)
	if err != nil {
		return nil, nil, fmt.Errorf("plan: %w", err)
	}
	for _, a := range s.Action.picks(planned) {
		if len(a.Blast) == 0 && len(a.Refused) > 0 {
			refused = append(refused, a.Refused...)
			continue
		}
		actions = append(actions, a)
	}
	return actions, refused, nil
}

func (s *Step) timeout() time.Duration {
	if s.Timeout > 0 {
		return time.Duration(s.Timeout)
	}
	return DefaultTimeout
}

// within reports whether each action is one of those shown, by what it does to whom.
func within(actions, shown []minewarden.Action) bool {
	for _, a := range actions {
		if !slices.ContainsFunc(shown, func(b minewarden.Action) bool {
			return a.Op == b.Op && a.Target.Type == b.Target.Type && a.Target.ID == b.Target.ID
		}) {
			return false
		}
	}
	return true
}

// do does the actions of a step that have no outcome yet, one after the other, each saved before the next.
func (e *Engine) do(ctx context.Context, r *Run, s *Step, sr *StepRun, crashed bool) error {
	for i := range sr.Actions {
		a := &sr.Actions[i]
		if !a.Ended.IsZero() {
			continue
		}
		receipt, err, late := e.act(ctx, r, s, a.Action)
		a.Ended = e.config.Now()
		if receipt.Action.ID != "" {
			a.Receipt = &receipt
		}
		if err != nil {
			a.Error = cut(err.Error())
		}
		if a.ok() {
			r.tell(a.Ended, r.who(sr), "playbook.action", receipt.Result, map[string]string{"step": sr.ID, "action": a.Action.ID, "op": a.Action.Op, "ok": "true"})
			if err := e.save(ctx, r); err != nil {
				return err
			}
			continue
		}
		if !late && crashed && a.Attempt < maxAttempts {
			return e.again(ctx, r, s, sr, a)
		}
		state := StepFailed
		if late {
			state = StepTimeout
		}
		r.tell(a.Ended, r.who(sr), "playbook.action", a.outcome(), map[string]string{"step": sr.ID, "action": a.Action.ID, "op": a.Action.Op, "ok": "false"})
		return e.end(r, state, a.outcome())
	}
	var results []string
	for i := range sr.Actions {
		if a := &sr.Actions[i]; a.ok() {
			results = append(results, a.Receipt.Result)
		}
	}
	return e.end(r, StepDone, strings.Join(results, "; "))
}

// again plans an action anew that the death of the agent kept from being done: its responder has taken back what was half done.
func (e *Engine) again(ctx context.Context, r *Run, s *Step, sr *StepRun, a *Act) error {
	a.Again = true
	r.tell(a.Ended, r.who(sr), "playbook.action", "the agent died meanwhile; planned anew: "+a.outcome(), map[string]string{"step": sr.ID, "action": a.Action.ID, "op": a.Action.Op, "ok": "false"})
	actions, refused, err := e.plan(ctx, r, s)
	if err != nil {
		return e.end(r, StepFailed, err.Error())
	}
	actions = slices.DeleteFunc(actions, func(n minewarden.Action) bool {
		return slices.ContainsFunc(sr.Actions, func(o Act) bool {
			return !o.Again && o.Action.Target.ID == n.Target.ID && o.Action.Target.Type == n.Target.Type
		})
	})
	if len(actions) > 0 {
		e.begin(r, actions)
		return nil
	}
	if len(refused) > 0 {
		return e.end(r, StepRefused, strings.Join(refused, "; "))
	}
	if slices.ContainsFunc(sr.Actions, func(o Act) bool { return !o.Again }) {
		return nil // the others of the step
	}
	return e.end(r, StepSkipped, "nothing is left to do")
}

func (a *Act) outcome() string {
	if a.Error != "" {
		return a.Error
	}
	if a.Receipt != nil {
		return a.Receipt.Result
	}
	return "no outcome"
}

// who says in whose name a step is done: of who approved it, else of who started the run.
func (r *Run) who(sr *StepRun) string {
	for _, d := range slices.Backward(sr.Decisions) {
		if d.Decision == Approve {
			return d.Who
		}
	}
	return r.Who
}

// act does one action. It does not wait for ever: late says that the timeout has passed, and then the outcome is not known.
func (e *Engine) act(ctx context.Context, r *Run, s *Step, a minewarden.Action) (receipt minewarden.Receipt, err error, late bool) {
	type outcome struct {
		receipt minewarden.Receipt
		err     error
	}
	// The end of the agent does not cut an action in two.
	limit, cancel := context.WithTimeout(context.WithoutCancel(ctx), s.timeout())
	done := make(chan outcome, 1)
	who, why := r.who(r.step(s.ID)), fmt.Sprintf("playbook %s, step %s, run %s", r.Playbook.Name, s.ID, r.ID)
	go func() {
		defer cancel()
		receipt, err := e.config.Desk.Do(limit, a, who, why)
		done <- outcome{receipt, err}
	}()
	over := time.NewTimer(s.timeout() + grace)
	defer over.Stop()
	select {
	case o := <-done:
		late = errors.Is(o.err, context.DeadlineExceeded)
		return o.receipt, o.err, late
	case <-over.C:
		return minewarden.Receipt{}, fmt.Errorf("not back %s after its timeout of %s; if it ends, incident %s shows how", grace, Duration(s.timeout()), r.Incident), true
	}
}

// wait leaves the run to a person.
func (e *Engine) wait(r *Run, why string) {
	sr := &r.Steps[r.Next]
	sr.State, sr.Note, r.State = StepWaiting, why, Waiting
	r.tell(e.config.Now(), r.Who, "playbook.wait", why, map[string]string{"step": sr.ID})
}

// end gives the step its last state and takes the run to the next, or to its end. It always returns nil, for its callers to return.
func (e *Engine) end(r *Run, state StepState, why string) error {
	sr := &r.Steps[r.Next]
	sr.State, sr.Note, sr.Ended, sr.Shown = state, cut(why), e.config.Now(), nil
	r.tell(sr.Ended, r.who(sr), "playbook.step", sr.Note, map[string]string{"step": sr.ID, "state": string(state)})
	if s := &r.Playbook.Steps[r.Next]; state == StepDone && s.Meets != "" {
		if err := e.Met(r.Incident, s.Meets, r.who(sr)); err != nil {
			e.config.Log.Error("a deadline that was met is not saved", "incident", r.Incident, "deadline", s.Meets, "error", err)
		}
	}
	e.next(r)
	return nil
}

// next moves on from a step that has ended.
func (e *Engine) next(r *Run) {
	s, sr := &r.Playbook.Steps[r.Next], &r.Steps[r.Next]
	if sr.State == StepDone || sr.State == StepSkipped || s.OnFailure == Continue {
		r.Next++
		return
	}
	if i := slices.IndexFunc(r.Playbook.Steps, func(o Step) bool { return o.ID == s.OnFailure }); i > r.Next {
		for j := r.Next + 1; j < i; j++ {
			r.Steps[j].State, r.Steps[j].Note = StepSkipped, fmt.Sprintf("step %s came to %s", sr.ID, sr.State)
		}
		r.Next = i
		return
	}
	r.State, r.Ended = Failed, e.config.Now()
	r.tell(r.Ended, r.Who, "playbook.end", fmt.Sprintf("step %s: %s", sr.ID, sr.State), nil)
}
