package minewarden

import (
	"encoding/json"
	"fmt"
	"time"
)

// Severity is how bad a finding is if it is true. How sure we are is Finding.Confidence.
type Severity uint8

// The severities, in rising order.
const (
	Informational Severity = iota
	Low
	Medium
	High
	Critical
)

var severityNames = [...]string{"info", "low", "medium", "high", "critical"}

// String returns the name used in JSON and on the command line.
func (s Severity) String() string {
	if int(s) < len(severityNames) {
		return severityNames[s]
	}
	return fmt.Sprintf("severity(%d)", uint8(s))
}

// MarshalText writes the name.
func (s Severity) MarshalText() ([]byte, error) { return []byte(s.String()), nil }

// UnmarshalText reads a name as String writes it.
func (s *Severity) UnmarshalText(text []byte) error {
	v, err := ParseSeverity(string(text))
	if err == nil {
		*s = v
	}
	return err
}

// ParseSeverity reads a name as String writes it.
func ParseSeverity(name string) (Severity, error) {
	for i, n := range severityNames {
		if n == name {
			return Severity(i), nil
		}
	}
	return 0, fmt.Errorf("unknown severity %q: use info, low, medium, high or critical", name)
}

// Subject types.
const (
	SubjectProcess   = "process"   // ID is boot/pid@start, never a bare pid
	SubjectContainer = "container" // ID is the runtime's full id
	SubjectFlow      = "flow"      // ID is "tcp CLIENT > SERVER"
	SubjectFile      = "file"      // ID is the path
	SubjectURL       = "url"
	SubjectHost      = "host"
	SubjectService   = "service"
	SubjectAccount   = "account"
)

// A Subject is what a finding is about.
type Subject struct {
	Type   string `json:"type"`
	ID     string `json:"id"`
	Name   string `json:"name,omitempty"`
	PID    int32  `json:"pid,omitempty"`
	Host   string `json:"host,omitempty"`
	Client string `json:"client,omitempty"` // of a flow, as "10.0.0.2:40478"
	Server string `json:"server,omitempty"` // of a flow
	Line   int    `json:"line,omitempty"`   // of a file, from 1
	Column int    `json:"column,omitempty"` // of a file, from 1
}

// Evidence is one fact that a person can check.
type Evidence struct {
	Key   string `json:"key"`
	Value string `json:"value"`
}

// A Finding is one claim about one subject, with the evidence a person needs to check it.
type Finding struct {
	Time       time.Time
	Rule       string // a Rule.ID
	Subject    Subject
	Confidence float64    // 0 to 1, calibrated by bench/: of claims at 0.9, nine in ten are true
	Evidence   []Evidence // at least one
	Process    *Process   // who did it, where known: incidents join by its lineage
	Input      string     // the file as given on the command line, for replay and for audits of files
}

// findingJSON is the line that scripts read: stable, only ever added to.
type findingJSON struct {
	Time       time.Time  `json:"time"`
	Rule       string     `json:"rule"`
	Title      string     `json:"title"`
	Severity   Severity   `json:"severity"`
	Confidence float64    `json:"confidence"`
	Technique  []string   `json:"technique"`
	Subject    Subject    `json:"subject"`
	Evidence   []Evidence `json:"evidence"`
	Process    *Process   `json:"process,omitempty"`
	Input      string     `json:"input,omitempty"`
	Advice     string     `json:"advice"`
}

// MarshalFinding returns f as one line of JSON, with what r always says of it.
func MarshalFinding(f Finding, r Rule) ([]byte, error) {
	technique := r.Technique
	if technique == nil {
		technique = []string{}
	}
	return json.Marshal(findingJSON{
		Time: f.Time, Rule: f.Rule, Title: r.Title, Severity: r.Severity, Confidence: f.Confidence, Technique: technique,
		Subject: f.Subject, Evidence: f.Evidence, Process: f.Process, Input: f.Input, Advice: r.Advice,
	})
}

// ProcessSubject names p as the subject of a finding on host.
func ProcessSubject(p *Process) Subject {
	return Subject{Type: SubjectProcess, ID: p.Key.String(), Name: p.Name, PID: p.Key.PID}
}
