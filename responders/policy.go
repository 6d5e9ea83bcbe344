package responders

import (
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/minewarden/minewarden"
)

// A Mode says what the agent may do by itself.
type Mode string

// The modes, in rising order.
const (
	Observe Mode = "observe" // nothing
	Contain Mode = "contain" // freeze, which can be undone
	Kill    Mode = "kill"    // freeze, collect evidence, then kill
)

// ParseMode reads a mode as the command line has it.
func ParseMode(s string) (Mode, error) {
	if m := Mode(s); m == Observe || m == Contain || m == Kill {
		return m, nil
	}
	return "", fmt.Errorf("unknown response %q: use observe, contain or kill", s)
}

// The policy's defaults.
const (
	minSeverity = minewarden.High
	minScore    = 0.9              // of ten such incidents nine are true
	coolDown    = 30 * time.Second // between two actions on one incident: time for the first to be recorded
	perMinute   = 10               // more incidents than this at once are a mistake of ours, or need a person
	maxActed    = 10_000
)

// Who is what the policy's receipts say of who acted, with the mode after it.
const Who = "policy "

// A Policy decides what to do about an incident. It does nothing itself. It is not safe for concurrent use.
type Policy struct {
	Mode     Mode
	Severity minewarden.Severity // this or worse; zero: high
	Score    float64             // this or more; zero: 0.9
	CoolDown time.Duration       // zero: 30 s
	Minute   int                 // actions a minute; zero: 10

	acted  map[string]time.Time // by incident
	recent []time.Time          // of the last minute
	warned time.Time
}

// A Decision is what the policy wants done, in this order. Between a freeze and a kill the caller collects evidence.
type Decision struct {
	Ops  []string // of the process responder: "freeze", "kill"; empty: nothing
	Who  string
	Why  string
	Held string // why nothing is done although the incident is grave enough; for the log, once; empty: no reason to tell
}

// Decide says what to do about inc at now. A process that the policy has acted on is never acted on again: who took the first
// action back meant it.
func (p *Policy) Decide(inc *minewarden.Incident, now time.Time) Decision {
	severity, score, cool, limit := or(p.Severity, minSeverity), or(p.Score, minScore), or(p.CoolDown, coolDown), or(p.Minute, perMinute)
	if p.Mode != Contain && p.Mode != Kill || inc.State != minewarden.Open || inc.Severity < severity || inc.Score < score {
		return Decision{}
	}
	last := p.lastAction(inc)
	if !slices.ContainsFunc(inc.Members, func(m minewarden.Member) bool { return !m.Weak && m.Exited.IsZero() && m.Since.After(last) }) {
		return Decision{}
	}
	if now.Sub(p.acted[inc.ID]) < cool {
		return Decision{}
	}
	p.recent = slices.DeleteFunc(p.recent, func(t time.Time) bool { return now.Sub(t) >= time.Minute })
	if len(p.recent) >= limit {
		if now.Sub(p.warned) < time.Minute {
			return Decision{}
		}
		p.warned = now
		return Decision{Held: fmt.Sprintf("%d actions in the last minute: no more are taken without a person; incident %s waits", len(p.recent), inc.ID)}
	}
	p.recent = append(p.recent, now)
	if p.acted == nil || len(p.acted) >= maxActed {
		p.acted = map[string]time.Time{} // of all these only the cool-down is forgotten
	}
	p.acted[inc.ID] = now
	d := Decision{
		Ops: []string{"freeze"}, Who: Who + string(p.Mode),
		Why: fmt.Sprintf("severity %s, score %.2f (needed: %s, %.2f)", inc.Severity, inc.Score, severity, score),
	}
	if p.Mode == Kill {
		d.Ops = append(d.Ops, "kill")
	}
	return d
}

// lastAction returns when the policy last acted on the incident, by its receipts and by memory; zero: never.
func (p *Policy) lastAction(inc *minewarden.Incident) time.Time {
	last := p.acted[inc.ID]
	for i := range inc.Actions {
		if r := &inc.Actions[i]; strings.HasPrefix(r.Who, Who) && r.Done.After(last) {
			last = r.Done
		}
	}
	return last
}

func or[T comparable](v, def T) T {
	var zero T
	if v == zero {
		return def
	}
	return v
}
