// Package playbooks runs what is to be done about an incident as a list of steps: those that run by themselves, those that wait
// for an approval, and those that a person does. A run is on disk before and after every step, so that after kill -9 it goes on
// at the exact step, and what it did is done once or not at all.
//
// The package knows no responder: whoever runs it hands over a Desk that plans and does.
package playbooks

import (
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/minewarden/minewarden"
)

// A Playbook says what is to be done about incidents of one kind. Its form as text is described in README.md.
type Playbook struct {
	Name        string    `yaml:"playbook" json:"name"`
	Title       string    `yaml:"title" json:"title"`
	Description string    `yaml:"description,omitempty" json:"description,omitempty"`
	Technique   []string  `yaml:"technique,omitempty" json:"technique,omitempty"` // ATT&CK ids
	Trigger     Trigger   `yaml:"trigger,omitempty" json:"trigger,omitzero"`
	Deadlines   Deadlines `yaml:"deadlines,omitempty" json:"deadlines,omitzero"`
	Steps       []Step    `yaml:"steps" json:"steps"`
}

// A Trigger says for which incidents a playbook is proposed.
type Trigger struct {
	Rules    []string            `yaml:"rules,omitempty" json:"rules,omitempty"`       // of one of its findings; ending in "/": all of that prefix. None: never proposed
	Programs []string            `yaml:"programs,omitempty" json:"programs,omitempty"` // one of these is in a lineage of the incident, by name; none: any
	Severity minewarden.Severity `yaml:"severity,omitempty" json:"severity,omitempty"`
	Score    float64             `yaml:"score,omitempty" json:"score,omitempty"`
	Start    Start               `yaml:"start,omitempty" json:"start,omitempty"`
}

// Start says what a trigger does.
type Start string

// The ways to start.
const (
	Propose   Start = "propose"   // a person starts it; the default
	Automatic Start = "automatic" // it starts by itself, as far as the agent's policy allows
)

// Deadlines are times after the incident was opened. Zero: that of every grave incident.
type Deadlines struct {
	Isolated Duration `yaml:"isolated,omitempty" json:"isolated,omitempty"`
	Report   Duration `yaml:"report,omitempty" json:"report,omitempty"`
	Review   Duration `yaml:"review,omitempty" json:"review,omitempty"`
}

// The deadlines of an incident, by name.
const (
	Isolated = "isolated"
	Report   = "report"
	Review   = "review"
)

// The deadlines of every incident of high severity or more.
const (
	IsolatedWithin = 30 * time.Minute
	ReportWithin   = 24 * time.Hour
	ReviewWithin   = 72 * time.Hour
)

// A Kind says who does a step.
type Kind string

// The kinds of steps.
const (
	ByItself   Kind = "automatic"
	ByApproval Kind = "approval" // the agent, after a person said yes to what it shows
	ByHand     Kind = "manual"   // a person, who then says that it is done
)

// A Step is one thing to do.
type Step struct {
	ID          string   `yaml:"id" json:"id"`
	Title       string   `yaml:"title" json:"title"`
	Description string   `yaml:"description,omitempty" json:"description,omitempty"`
	Kind        Kind     `yaml:"kind" json:"kind"`
	Action      *Pick    `yaml:"action,omitempty" json:"action,omitempty"`
	When        *When    `yaml:"when,omitempty" json:"when,omitempty"`
	Timeout     Duration `yaml:"timeout,omitempty" json:"timeout,omitempty"`       // of an action; zero: DefaultTimeout
	OnFailure   string   `yaml:"on-failure,omitempty" json:"on_failure,omitempty"` // stop, continue, or the id of a later step; empty: stop
	Deadline    Duration `yaml:"deadline,omitempty" json:"deadline,omitempty"`     // after the incident was opened
	Meets       string   `yaml:"meets,omitempty" json:"meets,omitempty"`           // the incident's deadline that is met by doing the step
	// WithoutEvidence allows a kill that no step before it collects evidence for.
	WithoutEvidence bool `yaml:"without-evidence,omitempty" json:"without_evidence,omitempty"`
}

// What a step does after a failure, when it is not the id of a later step.
const (
	Stop     = "stop"
	Continue = "continue"
)

// DefaultTimeout is how long an action may take that says nothing else.
const DefaultTimeout = 2 * time.Minute

// A Pick chooses from what a responder plans for the incident.
type Pick struct {
	Responder string `yaml:"responder" json:"responder"`
	Op        string `yaml:"op" json:"op"`
	Target    string `yaml:"target,omitempty" json:"target,omitempty"` // only targets whose id or name begins with it
}

// picks returns those of planned that the step wants.
func (p *Pick) picks(planned []minewarden.Action) []minewarden.Action {
	var out []minewarden.Action
	for _, a := range planned {
		if a.Responder == p.Responder && a.Op == p.Op && (strings.HasPrefix(a.Target.ID, p.Target) || strings.HasPrefix(a.Target.Name, p.Target)) {
			out = append(out, a)
		}
	}
	return out
}

// When says for which incidents a step is for. Of several conditions all must hold.
type When struct {
	Severity  minewarden.Severity `yaml:"severity,omitempty" json:"severity,omitempty"`   // this or worse
	Score     float64             `yaml:"score,omitempty" json:"score,omitempty"`         // this or more
	Rules     []string            `yaml:"rules,omitempty" json:"rules,omitempty"`         // one of its findings is of one of these; ending in "/": a prefix
	Container *bool               `yaml:"container,omitempty" json:"container,omitempty"` // a process of it runs in a container, or none does
	Done      []string            `yaml:"done,omitempty" json:"done,omitempty"`           // these steps were done
	NotDone   []string            `yaml:"not-done,omitempty" json:"not_done,omitempty"`   // these were not
}

// holds reports whether the condition holds, or which part of it does not.
func (w *When) holds(inc *minewarden.Incident, r *Run) (bool, string) {
	if w == nil {
		return true, ""
	}
	switch {
	case inc.Severity < w.Severity:
		return false, fmt.Sprintf("the incident is %s, not %s", inc.Severity, w.Severity)
	case inc.Score < w.Score:
		return false, fmt.Sprintf("the score is %.2f, below %.2f", inc.Score, w.Score)
	case len(w.Rules) > 0 && matching(w.Rules, inc) == 0:
		return false, "no finding of " + strings.Join(w.Rules, ", ")
	}
	if w.Container != nil {
		inside := slices.ContainsFunc(inc.Members, func(m minewarden.Member) bool { return m.Container.ID != "" })
		if inside != *w.Container {
			return false, map[bool]string{true: "it runs in a container", false: "it runs in no container"}[inside]
		}
	}
	for _, id := range w.Done {
		if r.step(id).State != StepDone {
			return false, fmt.Sprintf("step %s was not done", id)
		}
	}
	for _, id := range w.NotDone {
		if r.step(id).State == StepDone {
			return false, fmt.Sprintf("step %s was done", id)
		}
	}
	return true, ""
}

// matching returns how many of the incident's findings are of the rules.
func matching(rules []string, inc *minewarden.Incident) int {
	n := 0
	for i := range inc.Findings {
		if slices.ContainsFunc(rules, func(r string) bool { return ruleMatches(r, inc.Findings[i].Rule) }) {
			n++
		}
	}
	return n
}

// runsIn reports whether one of programs is in a lineage of the incident, or is a member.
func runsIn(programs []string, inc *minewarden.Incident) bool {
	for i := range inc.Findings {
		for name := range strings.SplitSeq(inc.Findings[i].Lineage, " > ") {
			if slices.Contains(programs, name) {
				return true
			}
		}
	}
	return slices.ContainsFunc(inc.Members, func(m minewarden.Member) bool {
		return slices.Contains(programs, m.Name) || slices.Contains(programs, m.Exe[strings.LastIndexByte(m.Exe, '/')+1:])
	})
}

func ruleMatches(pattern, rule string) bool {
	return pattern == rule || strings.HasSuffix(pattern, "/") && strings.HasPrefix(rule, pattern)
}

// Duration is a time.Duration that is written as "30m" or "72h".
type Duration time.Duration

// String writes whole hours and minutes short.
func (d Duration) String() string {
	s := time.Duration(d).String()
	if strings.HasSuffix(s, "m0s") {
		s = strings.TrimSuffix(s, "0s")
	}
	if strings.HasSuffix(s, "h0m") {
		s = strings.TrimSuffix(s, "0m")
	}
	return s
}

// MarshalText writes what UnmarshalText reads.
func (d Duration) MarshalText() ([]byte, error) { return []byte(d.String()), nil }

// UnmarshalText reads as time.ParseDuration does; it must be more than nothing.
func (d *Duration) UnmarshalText(text []byte) error {
	v, err := time.ParseDuration(string(text))
	if err != nil {
		return fmt.Errorf("%q is no time: write it as 30m or 72h", text)
	}
	if v <= 0 || v > MaxDuration {
		return fmt.Errorf("%q: want more than nothing and at most %s", text, Duration(MaxDuration))
	}
	*d = Duration(v)
	return nil
}

// MaxDuration bounds deadlines and timeouts.
const MaxDuration = 90 * 24 * time.Hour

// clone returns a copy that shares nothing.
func clone[T any](v T) (out T, err error) {
	b, err := json.Marshal(v)
	if err == nil {
		err = json.Unmarshal(b, &out)
	}
	return out, err
}
