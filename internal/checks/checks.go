// Package checks writes down what an audit of files and hosts found, on top of internal/verdict: with lines and columns,
// a pass only where nothing failed, and no more failures of one rule than a person reads.
package checks

import (
	"encoding/json"
	"fmt"
	"time"

	"github.com/minewarden/minewarden"
	"github.com/minewarden/minewarden/internal/verdict"
)

// MaxFindings bounds the failures kept of one rule on one target; the rest is counted.
const MaxFindings = 200

// A Sheet collects the checks of one target. It is used by one goroutine.
type Sheet struct {
	b      *verdict.Builder
	target minewarden.Target
	found  map[string]int
	order  []string
}

// New starts the sheet of target for the auditor named product with these rules.
func New(product string, target minewarden.Target, now func() time.Time, rules []minewarden.Rule) *Sheet {
	var t time.Time
	if now != nil {
		t = now()
	}
	return &Sheet{b: verdict.New(product, target, t, rules), target: target, found: map[string]int{}}
}

// File is the subject that lies at line and column of a file; 0 is unknown.
func (s *Sheet) File(path string, line, column int) minewarden.Subject {
	if line > 0 && s.target.Kind == minewarden.TargetFile && s.target.Line > 1 {
		line += s.target.Line - 1
	}
	return minewarden.Subject{Type: minewarden.SubjectFile, ID: path, Line: line, Column: column}
}

// Fail writes down a proven failure.
func (s *Sheet) Fail(rule string, subject minewarden.Subject, proof string, repair *minewarden.Repair, evidence ...minewarden.Evidence) {
	s.Possible(rule, verdict.Proven, subject, proof, repair, evidence...)
}

// Possible writes down a failure that the facts allow but do not prove; confidence is below verdict.Proven.
func (s *Sheet) Possible(rule string, confidence float64, subject minewarden.Subject, proof string, repair *minewarden.Repair, evidence ...minewarden.Evidence) {
	if s.found[rule] == 0 {
		s.order = append(s.order, rule)
	}
	s.found[rule]++
	if s.found[rule] > MaxFindings {
		return
	}
	s.b.Fail(verdict.Claim{Rule: rule, Subject: subject, Proof: proof, Confidence: confidence, Evidence: evidence, Repair: repair})
}

// Pass writes down that rule was looked at and holds. After a failure of the same rule it writes nothing.
func (s *Sheet) Pass(rule, proof string) {
	if s.found[rule] == 0 {
		s.b.Pass(rule, proof)
	}
}

// Unknown writes down that rule could not be looked at, and why.
func (s *Sheet) Unknown(rule, why string) { s.b.Unknown(rule, why) }

// NotApplicable writes down that the question does not arise, and why.
func (s *Sheet) NotApplicable(rule, why string) { s.b.NotApplicable(rule, why) }

// Rest writes down why the rules that nothing was said of were not looked at.
func (s *Sheet) Rest(status minewarden.Status, why string, rules ...string) {
	s.b.Rest(status, why, rules...)
}

// Version sets the version that the target tells.
func (s *Sheet) Version(v string) { s.b.Version(v) }

// Failed tells how often rule failed so far.
func (s *Sheet) Failed(rule string) int { return s.found[rule] }

// Verdict returns what was written down.
func (s *Sheet) Verdict() minewarden.Verdict {
	for _, rule := range s.order {
		if n := s.found[rule]; n > MaxFindings {
			s.b.Unknown(rule, fmt.Sprintf("%d more failures of this rule are not listed", n-MaxFindings))
		}
	}
	return s.b.Verdict()
}

// Set is an edit that gives key the value.
func Set(path string, format minewarden.Format, value any, key ...string) minewarden.Edit {
	raw, err := json.Marshal(value)
	if err != nil {
		panic("checks: a repair's value cannot be written as JSON: " + err.Error()) // values are constants of the program
	}
	return minewarden.Edit{Path: path, Format: format, Op: minewarden.EditSet, Key: key, Value: raw}
}

// Delete is an edit that takes key away.
func Delete(path string, format minewarden.Format, key ...string) minewarden.Edit {
	return minewarden.Edit{Path: path, Format: format, Op: minewarden.EditDelete, Key: key}
}

// Evidence pairs keys and values.
func Evidence(kv ...string) []minewarden.Evidence {
	var out []minewarden.Evidence
	for i := 0; i+1 < len(kv); i += 2 {
		if kv[i+1] != "" {
			out = append(out, minewarden.Evidence{Key: kv[i], Value: kv[i+1]})
		}
	}
	return out
}
