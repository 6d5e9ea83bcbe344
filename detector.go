package minewarden

import "time"

// A Detector decides whether events show mining. It is a pure function with memory: no I/O, goroutines, locks, or clock
// but the events' own, so a recording replays to the same findings for ever. Observe returns what ev proves, usually nil.
// Calls are sequential and in time order; it takes microseconds, does not keep ev, and its memory is bounded whatever the
// input. It may keep ev.Process and strings of ev: these are immutable. Byte slices of ev it must copy.
type Detector interface {
	Info() Info
	Rules() []Rule // all that its findings can cite
	Kinds() []Kind // all that Observe is given
	Observe(ev *Event) []Finding
}

// A Ticker is a Detector that must also know that time passes; Tick comes about once a second of event time.
type Ticker interface {
	Tick(now time.Time) []Finding
}

// A Rule is what is always true of a finding. Text for people lives here, once.
type Rule struct {
	ID        string // "stratum/login", stable for ever
	Title     string // one line, what was seen
	Advice    string // what the operator does next
	Severity  Severity
	Technique []string // ATT&CK ids
	// Why and References are for audits: why it matters, with the campaign that used it, in a sentence; and what says so,
	// each as "CIS Docker 1.7.0 2.7", "ATT&CK M1018", "D3FEND D3-ACH".
	Why        string
	References []string
}
