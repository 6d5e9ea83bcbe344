package minewarden

import (
	"slices"
	"strings"
	"time"
)

// State is where an incident stands.
type State string

// The states, in order; a closed incident is opened again by a new finding about its subject.
const (
	Open      State = "open"
	Contained State = "contained"
	Closed    State = "closed"
)

// Verdicts of a person about an incident.
const (
	TruePositive  = "true_positive"
	FalsePositive = "false_positive"
	Authorised    = "authorised" // it was mining, or looked like it, and somebody was allowed to
)

// Verdicts are all of them.
var Verdicts = [...]string{TruePositive, FalsePositive, Authorised}

// An Incident is all findings about one subject and its lineage, joined: what people and responders act on. Of all types
// only it changes.
type Incident struct {
	ID       string    `json:"id"`
	Subject  Subject   `json:"subject"`
	State    State     `json:"state"`
	Severity Severity  `json:"severity"` // of its worst finding
	Score    float64   `json:"score"`    // joint confidence, 0 to 1
	Opened   time.Time `json:"opened"`
	Updated  time.Time `json:"updated"`
	Changed  time.Time `json:"changed,omitzero"` // when State last changed
	Host     string    `json:"host,omitempty"`
	Assignee string    `json:"assignee,omitempty"` // the person who works on it; empty: nobody yet
	Verdict  string    `json:"verdict,omitempty"`  // what a person found it to be: one of Verdicts; empty: nobody said yet
	// Root is the key that its ID is made from: what findings must share to join, as "process boot/pid@start".
	Root string `json:"root,omitempty"`
	// Members are the processes that belong to it, by key, oldest first; responders act on these and their children.
	Members  []Member          `json:"members,omitempty"`
	Findings []IncidentFinding `json:"findings"` // oldest first; repeats are counted, not kept
	Actions  []Receipt         `json:"actions,omitempty"`
	Notes    []Note            `json:"notes,omitempty"`
	Impact   Impact            `json:"impact,omitzero"`
	More     int               `json:"more,omitempty"` // findings that came after Findings was full: counted, not kept
	Related  []Relation        `json:"related,omitempty"`
}

// FalsePositive reports whether the incident was closed as no attack: by its verdict, or because the note of who closed it begins
// with "false positive".
func (inc *Incident) FalsePositive() bool {
	if inc.State != Closed || inc.Verdict == TruePositive {
		return false
	}
	if inc.Verdict == FalsePositive {
		return true
	}
	for _, n := range slices.Backward(inc.Notes) {
		if n.Time.Equal(inc.Changed) {
			const says = "false positive"
			return len(n.Text) >= len(says) && strings.EqualFold(n.Text[:len(says)], says)
		}
	}
	return false
}

// A Member is a process of an incident.
type Member struct {
	Key       ProcessKey `json:"key"`
	Parent    ProcessKey `json:"parent,omitzero"`
	Name      string     `json:"name"`
	Exe       string     `json:"exe,omitempty"`
	Args      []string   `json:"args,omitempty"`
	UID       *uint32    `json:"uid,omitempty"` // of its program; nil where an older agent wrote the incident
	Container Container  `json:"container,omitzero"`
	Cgroup    string     `json:"cgroup,omitempty"`
	SHA256    string     `json:"sha256,omitempty"`
	Package   string     `json:"package,omitempty"`
	Since     time.Time  `json:"since,omitzero"`  // when it became a member
	Exited    time.Time  `json:"exited,omitzero"` // zero: it still ran when last heard of
	// Severity is that of the worst finding about the process itself; zero for those that belong to it by descent.
	Severity Severity `json:"severity,omitempty"`
	// Before says that it ran before the agent did.
	Before bool `json:"before,omitempty"`
	// Weak says that only findings below medium are about it: responders leave it alone while another member is not weak.
	Weak bool `json:"weak,omitempty"`
}

// An IncidentFinding is a finding as an incident keeps it: with its rule's text, for rules may change later.
type IncidentFinding struct {
	Time       time.Time  `json:"time"` // first seen
	Last       time.Time  `json:"last"` // last seen
	Count      int        `json:"count"`
	Rule       string     `json:"rule"`
	Title      string     `json:"title"`
	Severity   Severity   `json:"severity"`
	Technique  []string   `json:"technique,omitempty"`
	Confidence float64    `json:"confidence"` // highest
	Subject    Subject    `json:"subject"`
	Lineage    string     `json:"lineage,omitempty"`
	Evidence   []Evidence `json:"evidence"` // of the most confident
	Advice     string     `json:"advice,omitempty"`
}

// A Relation is another incident that this one has to do with. The incident itself stands for what was closed and came back.
type Relation struct {
	Incident string    `json:"incident"`
	Time     time.Time `json:"time"`
	Why      string    `json:"why"`
	// Back says that this incident is the other one come back after it was contained or closed: its severity is one step higher
	// than that of its findings.
	Back bool `json:"back,omitempty"`
}

// A Note is what a person wrote.
type Note struct {
	Time time.Time `json:"time"`
	Who  string    `json:"who"`
	Text string    `json:"text"`
}

// Impact is what an incident's processes cost the machine, as far as it was measured while they ran.
type Impact struct {
	Since    time.Time     `json:"since,omitzero"` // begin of the first measurement
	Until    time.Time     `json:"until,omitzero"` // end of the last
	CPU      time.Duration `json:"cpu"`            // ns of processor time that the members used
	Measured time.Duration `json:"measured"`       // ns of wall time in which they were seen to use any
	Host     time.Duration `json:"host"`           // ns of processor time that the whole machine used in Measured
	Stalled  time.Duration `json:"stalled"`        // ns of Measured in which some task waited for a processor (PSI)
	CPUs     int           `json:"cpus"`           // of the machine
	Joules   float64       `json:"joules"`         // of the processor packages (RAPL), by the members' part in Host; 0: not measured
}
