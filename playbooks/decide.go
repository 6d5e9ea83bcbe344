package playbooks

import (
	"context"
	"fmt"
	"slices"
	"time"

	"github.com/minewarden/minewarden"
)

const (
	takeWait  = 3 * time.Second // for a run that is busy while it waits for a person
	takePause = 20 * time.Millisecond
)

// unchanging are operations that change nothing on the machine: they run by themselves under any policy.
var unchanging = []Pick{
	{Responder: "recovery", Op: "verify-package"},
	{Responder: "recovery", Op: "check-unit"},
	{Responder: "credentials", Op: "rotate-credentials"},
}

// asks reports whether the step waits for an approval, and why.
func (e *Engine) asks(r *Run, s *Step) (why string, ask bool) {
	switch {
	case s.Kind == ByApproval:
		return "it waits for an approval", true
	case !r.Auto: // a person started it and saw what it would do
		return "", false
	case slices.Contains(unchanging, Pick{Responder: s.Action.Responder, Op: s.Action.Op}):
		return "", false
	case e.config.Respond == "kill":
		return "", false
	case e.config.Respond == "contain":
		if s.Action.Op == "kill" {
			return "the policy contain does not kill without an approval", true
		}
		return "", false
	case s.Action.Responder == "evidence" && s.Action.Op == "collect" && e.config.Evidence:
		return "", false
	}
	return "the policy observe changes nothing without an approval", true
}

// Decide records what a person decides: of a step that waits, or, with an empty step, of a run that is proposed. Approve does the
// step; Refuse does not, and the run goes on as after a failure; IsDone says that a manual step was done.
func (e *Engine) Decide(ctx context.Context, run, step, decision, who, note string) (Run, error) {
	r, err := e.claim(ctx, run)
	if err != nil {
		return Run{}, err
	}
	defer e.release(run)

	if err := e.decide(ctx, &r, step, decision, who, cut(note)); err != nil {
		return Run{}, err
	}
	if err := e.put(&r); err != nil {
		return Run{}, fmt.Errorf("run %s: %w", run, err)
	}
	e.mu.Lock()
	e.enqueue(run)
	e.mu.Unlock()
	return r, nil
}

// claim makes a run busy. One that waits for a person is at work only while its news are told: a decision is not refused for that.
func (e *Engine) claim(ctx context.Context, run string) (Run, error) {
	e.mu.Lock()
	defer e.mu.Unlock()
	for left := takeWait; ; left -= takePause {
		r := e.runs[run]
		if r == nil {
			return Run{}, fmt.Errorf("run %q: %w", run, minewarden.ErrNotFound)
		}
		if !e.busy[run] {
			e.busy[run] = true
			return e.copyOf(r), nil
		}
		if left <= 0 || r.State != Waiting && r.State != Proposed {
			return Run{}, fmt.Errorf("run %s: try again in a moment: %w", run, ErrBusy)
		}
		e.mu.Unlock()
		select {
		case <-ctx.Done():
		case <-time.After(takePause):
		}
		e.mu.Lock()
		if err := ctx.Err(); err != nil {
			return Run{}, fmt.Errorf("run %s: %w", run, err)
		}
	}
}

func (e *Engine) decide(ctx context.Context, r *Run, step, decision, who, note string) error {
	now := e.config.Now()
	if step == "" {
		if r.State != Proposed {
			return fmt.Errorf("run %s is %s, not proposed", r.ID, r.State)
		}
		switch decision {
		case Approve:
			r.State, r.Who, r.Why, r.Auto, r.Started = Running, who, note, false, now
			r.tell(now, who, "playbook.start", note, nil)
		case Refuse:
			r.State, r.Ended = Refused, now
			r.tell(now, who, "playbook.refuse", note, nil)
		default:
			return fmt.Errorf("a proposed run takes approve or refuse, not %q", decision)
		}
		return nil
	}
	if r.State != Waiting || r.Next >= len(r.Steps) || r.Steps[r.Next].ID != step {
		return fmt.Errorf("run %s does not wait for step %q: it is %s", r.ID, step, r.at())
	}
	s, sr := &r.Playbook.Steps[r.Next], &r.Steps[r.Next]
	want := Approve
	if s.Kind == ByHand {
		want = IsDone
	}
	if decision != want && decision != Refuse {
		return fmt.Errorf("step %s takes %s or refuse, not %q", step, want, decision)
	}
	if decision == Approve {
		if err := e.recheck(ctx, r, s, sr); err != nil {
			return err
		}
	}
	sr.Decisions = append(sr.Decisions, Decision{Time: now, Who: who, Decision: decision, Note: note})
	r.tell(now, who, "playbook."+decision, note, map[string]string{"step": step})
	r.State = Running
	switch decision {
	case Approve:
		sr.State, sr.Note = StepApproved, ""
	case IsDone:
		return e.end(r, StepDone, note)
	case Refuse:
		return e.end(r, StepRefused, note)
	}
	return nil
}

// recheck plans again, so that nobody approves what is not there any more. A changed plan is shown, and asked for anew.
func (e *Engine) recheck(ctx context.Context, r *Run, s *Step, sr *StepRun) error {
	actions, _, err := e.plan(ctx, r, s)
	if err != nil {
		return fmt.Errorf("run %s, step %s: %w", r.ID, s.ID, err)
	}
	if within(actions, sr.Shown) {
		return nil
	}
	sr.Shown = actions
	if err := e.put(r); err != nil {
		return fmt.Errorf("run %s: %w", r.ID, err)
	}
	return fmt.Errorf("run %s, step %s: %w: look at it and approve again", r.ID, s.ID, ErrChanged)
}

// at says where a run is, for people.
func (r *Run) at() string {
	if r.Next < len(r.Steps) && !r.State.Ended() {
		return fmt.Sprintf("%s at step %s", r.State, r.Steps[r.Next].ID)
	}
	return string(r.State)
}

// A Preview is what a run would do with a step as things are now.
type Preview struct {
	Step    Step                `json:"step"`
	Would   string              `json:"would"` // run, wait, skip, refuse, fail
	Why     string              `json:"why,omitempty"`
	Actions []minewarden.Action `json:"actions,omitempty"`
}

// DryRun returns what each step of a playbook would do about the incident. It changes nothing. Steps are taken to be done when
// later ones depend on it.
func (e *Engine) DryRun(ctx context.Context, incident, playbook string, auto bool) ([]Preview, error) {
	inc, err := e.config.Desk.Incident(ctx, incident)
	if err != nil {
		return nil, err
	}
	p, err := e.Playbook(playbook)
	if err != nil {
		return nil, err
	}
	r := newRun("dry", &inc, p, e.config.Now())
	r.Auto = auto
	var out []Preview
	for i := range p.Steps {
		s, sr := &p.Steps[i], &r.Steps[i]
		v := Preview{Step: *s, Would: "run"}
		sr.State = StepDone
		holds, why := s.When.holds(&inc, r)
		switch {
		case !holds:
			v.Would, v.Why, sr.State = "skip", why, StepSkipped
		case s.Kind == ByHand:
			v.Would, v.Why = "wait", "a person does it"
		default:
			actions, refused, err := e.plan(ctx, r, s)
			v.Actions = actions
			switch {
			case err != nil:
				v.Would, v.Why, sr.State = "fail", err.Error(), StepFailed
			case len(actions) == 0 && len(refused) > 0:
				v.Would, v.Why, sr.State = "refuse", refused[0], StepRefused
			case len(actions) == 0:
				v.Would, v.Why, sr.State = "skip", fmt.Sprintf("responder %s has nothing to %s now", s.Action.Responder, s.Action.Op), StepSkipped
			default:
				if why, ask := e.asks(r, s); ask {
					v.Would, v.Why = "wait", why
				}
			}
		}
		out = append(out, v)
	}
	return out, nil
}
