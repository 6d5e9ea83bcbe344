// Package alerts tells other systems what happens to incidents: chat, mail, syslog, SNMP, a SIEM. What is to be told is kept on
// disk until it was taken, in order, for each output on its own: one that is down holds up no other.
package alerts

import (
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"strings"
	"time"

	"github.com/minewarden/minewarden"
	"github.com/minewarden/minewarden/internal/terminal"
)

// Kinds of alerts.
const (
	Opened    = "incident.opened"
	Worse     = "incident.worse"     // its severity rose
	Contained = "incident.contained" // it was stopped
	Reopened  = "incident.reopened"  // what stopped it does no more, or it came back
	Closed    = "incident.closed"
	Done      = "action.done"
	Failed    = "action.failed"
	Undone    = "action.undone"
	Deadline  = "deadline" // one is near or was missed
	Health    = "health"   // of the agent: a sensor is off, events are lost
	Test      = "test"
)

// kinds are those that a configuration may name; a beginning up to the dot names all below it.
var kinds = []string{Opened, Worse, Contained, Reopened, Closed, Done, Failed, Undone, Deadline, Health, Test}

// An Alert is one thing to tell. It is self-contained: it may be sent days later.
type Alert struct {
	// ID is the same for the same thing, however often it is sent: receivers can leave out what they have.
	ID       string                      `json:"id"`
	Time     time.Time                   `json:"time"`
	Kind     string                      `json:"kind"`
	Severity minewarden.Severity         `json:"severity"`
	Host     string                      `json:"host"`
	Text     string                      `json:"text"` // one line for people
	Incident *Summary                    `json:"incident,omitempty"`
	Finding  *minewarden.IncidentFinding `json:"finding,omitempty"` // the worst one
	Action   *minewarden.Receipt         `json:"action,omitempty"`
	Link     string                      `json:"link,omitempty"` // to the console
}

// A Summary is what an alert says of its incident.
type Summary struct {
	ID        string              `json:"id"`
	State     minewarden.State    `json:"state"`
	Severity  minewarden.Severity `json:"severity"`
	Score     float64             `json:"score"`
	Opened    time.Time           `json:"opened"`
	Updated   time.Time           `json:"updated"`
	Subject   minewarden.Subject  `json:"subject"`
	Rules     []string            `json:"rules"`
	Technique []string            `json:"technique,omitempty"`
	Findings  int                 `json:"findings"`
	Assignee  string              `json:"assignee,omitempty"`
}

// maxText bounds one line for people; maxNames the lists of a summary.
const (
	maxText  = 600
	maxNames = 32
)

// summary is taken from an incident; worst is the finding it is named after, nil without any.
func summary(inc *minewarden.Incident) (s *Summary, worst *minewarden.IncidentFinding) {
	s = &Summary{
		ID: inc.ID, State: inc.State, Severity: inc.Severity, Score: inc.Score, Opened: inc.Opened, Updated: inc.Updated, Subject: inc.Subject,
		Findings: len(inc.Findings) + inc.More, Assignee: inc.Assignee, Rules: []string{},
	}
	for i := range inc.Findings {
		f := &inc.Findings[i]
		if worst == nil || f.Severity > worst.Severity || (f.Severity == worst.Severity && f.Confidence > worst.Confidence) {
			worst = f
		}
		s.Rules = addName(s.Rules, f.Rule)
		for _, t := range f.Technique {
			s.Technique = addName(s.Technique, t)
		}
	}
	return s, worst
}

func addName(list []string, name string) []string {
	for _, have := range list {
		if have == name {
			return list
		}
	}
	if len(list) == maxNames {
		return list
	}
	return append(list, name)
}

// ofIncident is what is told of an incident's state.
func ofIncident(kind string, inc *minewarden.Incident, at time.Time) Alert {
	s, worst := summary(inc)
	what := "something"
	if worst != nil {
		what = worst.Title
	}
	who := inc.Subject.Name
	if inc.Subject.PID != 0 {
		who += fmt.Sprintf(" (pid %d)", inc.Subject.PID)
	}
	if who == "" {
		who = inc.Subject.ID
	}
	verb := map[string]string{Opened: "new", Worse: "worse", Contained: "stopped", Reopened: "open again", Closed: "closed"}[kind]
	return Alert{
		ID:   id(inc.ID, kind, inc.Severity.String(), inc.Changed.UTC().Format(time.RFC3339Nano)),
		Time: at, Kind: kind, Severity: inc.Severity, Host: inc.Host, Incident: s, Finding: worst,
		Text: line("%s, %s, %.0f%% sure: %s: %s on %s; incident %s", verb, inc.Severity, 100*inc.Score, what, who, inc.Host, inc.ID),
	}
}

func ofAction(kind string, inc *minewarden.Incident, r *minewarden.Receipt) Alert {
	s, _ := summary(inc)
	at, verb := r.Done, "done"
	switch kind {
	case Failed:
		verb = "FAILED"
	case Undone:
		at, verb = r.Undone, "taken back by "+r.UndoneBy
	}
	return Alert{
		ID: id(inc.ID, kind, r.Action.ID), Time: at, Kind: kind, Severity: inc.Severity, Host: inc.Host, Incident: s, Action: r,
		Text: line("%s: %s: %s (%s, because: %s) on %s; incident %s", verb, r.Action.Summary, r.Result, r.Who, r.Why, inc.Host, inc.ID),
	}
}

// Notice makes an alert that is about no change of an incident: a deadline, the agent's health. key makes it the same as an earlier one.
func Notice(kind, key, host, text string, severity minewarden.Severity, at time.Time) Alert {
	return Alert{ID: id(kind, host, key), Time: at, Kind: kind, Severity: severity, Host: host, Text: line("%s on %s", text, host)}
}

func id(parts ...string) string {
	sum := sha256.Sum256([]byte(strings.Join(parts, "\x00")))
	return hex.EncodeToString(sum[:16])
}

// line is one safe line: names in it are written by attackers.
func line(format string, args ...any) string {
	s := terminal.Safe(fmt.Sprintf(format, args...))
	if len(s) > maxText {
		s = strings.ToValidUTF8(s[:maxText], "") + "…"
	}
	return s
}

// wants reports whether a list of kinds, or of their beginnings, has kind. An empty one has all.
func wants(list []string, kind string) bool {
	for _, k := range list {
		if k == kind || strings.HasPrefix(kind, k+".") {
			return true
		}
	}
	return len(list) == 0
}
