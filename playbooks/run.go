package playbooks

import (
	"errors"
	"fmt"
	"time"

	"github.com/minewarden/minewarden"
)

// A RunState is where a run stands.
type RunState string

// The states of a run. The last three are ends.
const (
	Proposed RunState = "proposed" // a person may start it or refuse it
	Running  RunState = "running"
	Waiting  RunState = "waiting" // for a person
	Done     RunState = "done"
	Failed   RunState = "failed" // a step failed that ends it
	Refused  RunState = "refused"
)

// Ended reports whether nothing more happens.
func (s RunState) Ended() bool { return s == Done || s == Failed || s == Refused }

// A StepState is where a step of a run stands.
type StepState string

// The states of a step. Those after doing are ends.
const (
	StepPending  StepState = "pending"
	StepWaiting  StepState = "waiting"  // for a person's approval or hand
	StepApproved StepState = "approved" // and about to be done
	StepDoing    StepState = "doing"    // its actions are on disk; some may be done
	StepDone     StepState = "done"
	StepSkipped  StepState = "skipped" // its condition does not hold, or there is nothing to do
	StepRefused  StepState = "refused" // by a person, or by the responder, which protects all of its targets
	StepFailed   StepState = "failed"
	StepTimeout  StepState = "timeout"
)

// A Run is a playbook at work on an incident, or what it did. It holds the playbook as it was when the run began.
type Run struct {
	ID       string    `json:"id"`
	Incident string    `json:"incident"`
	Playbook Playbook  `json:"playbook"`
	State    RunState  `json:"state"`
	Who      string    `json:"who"` // started it
	Why      string    `json:"why"`
	Auto     bool      `json:"auto,omitempty"` // no person started it: the agent's policy bounds what it does
	Opened   time.Time `json:"opened"`         // when the incident was: deadlines count from here
	Started  time.Time `json:"started"`
	Ended    time.Time `json:"ended,omitzero"`
	Next     int       `json:"next"` // index of the step it is at
	Steps    []StepRun `json:"steps"`
	Jumps    []Jump    `json:"jumps,omitempty"`  // of the clock while it ran
	Seq      int       `json:"seq"`              // events so far
	Outbox   []Event   `json:"outbox,omitempty"` // events that may not be in the audit trail yet
}

// A StepRun is what became of a step.
type StepRun struct {
	ID        string              `json:"id"`
	State     StepState           `json:"state"`
	Note      string              `json:"note,omitempty"` // why it is so, for people
	Started   time.Time           `json:"started,omitzero"`
	Ended     time.Time           `json:"ended,omitzero"`
	Shown     []minewarden.Action `json:"shown,omitempty"` // what the approver is asked for
	Actions   []Act               `json:"actions,omitempty"`
	Decisions []Decision          `json:"decisions,omitempty"`
	Due       time.Time           `json:"due,omitzero"`
	Told      int                 `json:"told,omitempty"` // percent of its deadline that was told of
}

// An Act is an action and its outcome. It is on disk before the action is done.
type Act struct {
	Attempt int                 `json:"attempt"`
	Action  minewarden.Action   `json:"action"`
	Receipt *minewarden.Receipt `json:"receipt,omitempty"`
	Error   string              `json:"error,omitempty"`
	Ended   time.Time           `json:"ended,omitzero"`  // zero: not done yet, or not known to be
	Again   bool                `json:"again,omitempty"` // it came to nothing because the agent died: another attempt follows
}

// ok reports whether the action was done. One that was done and could not be recorded has an error beside.
func (a *Act) ok() bool { return a.Receipt != nil && a.Receipt.OK }

// A Decision is what a person said about a step.
type Decision struct {
	Time     time.Time `json:"time"`
	Who      string    `json:"who"`
	Decision string    `json:"decision"`
	Note     string    `json:"note,omitempty"`
}

// What a person can decide.
const (
	Approve = "approve"
	Refuse  = "refuse"
	IsDone  = "done" // a manual step was done
)

// A Jump says that the clock was set while a run was under way: its times before and after do not compare.
type Jump struct {
	At time.Time `json:"at"` // by the clock after the jump
	By string    `json:"by"` // as "+72h"; backwards: "-5m"
}

// An Event is a line for the audit trail. After a crash the same event may be told again: its ID is then the same.
type Event struct {
	ID     string            `json:"id"`
	Time   time.Time         `json:"time"`
	Who    string            `json:"who"`
	What   string            `json:"what"` // as "playbook step done"
	Target string            `json:"target"`
	Why    string            `json:"why,omitempty"`
	Detail map[string]string `json:"detail,omitempty"`
}

// step returns the step with the id, or an empty one.
func (r *Run) step(id string) *StepRun {
	for i := range r.Steps {
		if r.Steps[i].ID == id {
			return &r.Steps[i]
		}
	}
	return &StepRun{}
}

func newRun(id string, inc *minewarden.Incident, p Playbook, now time.Time) *Run {
	r := &Run{ID: id, Incident: inc.ID, Playbook: p, State: Running, Opened: inc.Opened, Started: now}
	for _, s := range p.Steps {
		sr := StepRun{ID: s.ID, State: StepPending}
		if s.Deadline > 0 {
			sr.Due = inc.Opened.Add(time.Duration(s.Deadline))
		}
		r.Steps = append(r.Steps, sr)
	}
	return r
}

// tell adds an event that goes to the audit trail with the next save.
func (r *Run) tell(now time.Time, who, what, why string, detail map[string]string) {
	if detail == nil {
		detail = map[string]string{}
	}
	r.Seq++
	detail["incident"], detail["playbook"] = r.Incident, r.Playbook.Name
	r.Outbox = append(r.Outbox, Event{
		ID: fmt.Sprintf("%s/%d", r.ID, r.Seq), Time: now, Who: who, What: what, Target: "run " + r.ID, Why: why, Detail: detail,
	})
}

// valid says what is wrong with a run that was read from disk.
func (r *Run) valid(id string) error {
	switch {
	case r.ID != id:
		return fmt.Errorf("it says that it is run %q", r.ID)
	case len(r.Steps) != len(r.Playbook.Steps):
		return errors.New("its steps are not those of its playbook")
	case r.Next < 0 || r.Next > len(r.Steps):
		return fmt.Errorf("it is at step %d of %d", r.Next, len(r.Steps))
	}
	for i := range r.Steps {
		if r.Steps[i].ID != r.Playbook.Steps[i].ID {
			return errors.New("its steps are not those of its playbook")
		}
	}
	return r.Playbook.Check()
}
