// Package verdict builds what an audit says: every check with its status, proof, finding and repair, worded alike.
package verdict

import (
	"fmt"
	"time"

	"github.com/minewarden/minewarden"
)

// Confidence of findings. Proven is what a harmless question or the configuration itself showed; Possible is what the
// facts allow without proving it. Both are named in each finding's evidence.
const (
	Proven   = 0.99
	Possible = 0.5
	Weak     = 0.3
)

const (
	// maxChecks bounds a verdict, whatever the target holds.
	maxChecks = 10_000
	// MaxFailures bounds the failures kept of one rule on one target: more than a person reads. The rest is counted.
	MaxFailures = 200
)

// A Builder collects the checks of one target. It is used by one goroutine.
type Builder struct {
	v      minewarden.Verdict
	target minewarden.Target
	now    time.Time
	rules  map[string]bool
	order  []string
	failed map[string]int
	lost   int
}

// New returns a builder for target. rules are the auditor's; a check of any other rule panics, for it is a mistake in the
// auditor, not in the target. Without a clock findings have no time.
func New(product string, target minewarden.Target, now func() time.Time, rules []minewarden.Rule) *Builder {
	b := &Builder{v: minewarden.Verdict{Applies: true, Product: product}, target: target, rules: make(map[string]bool, len(rules)), failed: map[string]int{}}
	if now != nil {
		b.now = now()
	}
	for _, r := range rules {
		b.rules[r.ID] = true
		b.order = append(b.order, r.ID)
	}
	return b
}

// Version sets the version that the target tells.
func (b *Builder) Version(v string) { b.v.Version = v }

// Subject is what the checks are about when they name nothing nearer.
func (b *Builder) Subject() minewarden.Subject {
	switch b.target.Kind {
	case minewarden.TargetService:
		return minewarden.Subject{Type: minewarden.SubjectService, ID: b.target.URL, Name: b.v.Product}
	case minewarden.TargetFile:
		return minewarden.Subject{Type: minewarden.SubjectFile, ID: b.target.Path, Name: b.v.Product}
	default:
		return minewarden.Subject{Type: minewarden.SubjectHost, ID: b.target.Name, Name: b.v.Product}
	}
}

// File is the subject that lies at line and column of a file; 0 is unknown. The lines of a fragment are counted from where
// it begins in the file around it.
func (b *Builder) File(path string, line, column int) minewarden.Subject {
	if line > 0 && b.target.Kind == minewarden.TargetFile && b.target.Line > 1 {
		line += b.target.Line - 1
	}
	return minewarden.Subject{Type: minewarden.SubjectFile, ID: path, Line: line, Column: column}
}

// Pass says that rule was looked at and holds. After a failure of the same rule it says nothing.
func (b *Builder) Pass(rule, proof string) {
	if b.failed[rule] == 0 {
		b.add(rule, minewarden.StatusPass, b.Subject(), proof)
	}
}

// Unknown says that rule could not be looked at, and why.
func (b *Builder) Unknown(rule, why string) {
	b.add(rule, minewarden.StatusUnknown, b.Subject(), why)
}

// NotApplicable says that the question does not arise, and why.
func (b *Builder) NotApplicable(rule, why string) {
	b.add(rule, minewarden.StatusNotApplicable, b.Subject(), why)
}

// A Claim is a check that failed, or may have.
type Claim struct {
	Rule       string
	Subject    minewarden.Subject // zero: the target
	Proof      string             // one sentence
	Confidence float64            // 0: Proven. Below Proven the status is possible
	Evidence   []minewarden.Evidence
	Repair     *minewarden.Repair
}

// Fail adds a claim.
func (b *Builder) Fail(c Claim) {
	status, how := minewarden.StatusFail, "proven"
	if c.Confidence == 0 {
		c.Confidence = Proven
	}
	if c.Confidence < Proven {
		status, how = minewarden.StatusPossible, "possible"
	}
	if c.Subject == (minewarden.Subject{}) {
		c.Subject = b.Subject()
	}
	if b.failed[c.Rule]++; b.failed[c.Rule] > MaxFailures {
		return
	}
	check := b.add(c.Rule, status, c.Subject, c.Proof)
	if check == nil {
		return
	}
	ev := append([]minewarden.Evidence{{Key: "verdict", Value: how}, {Key: "known_by", Value: c.Proof}}, c.Evidence...)
	for i := range ev {
		ev[i].Value = Clip(ev[i].Value)
	}
	check.Finding = &minewarden.Finding{
		Time: b.now, Rule: c.Rule, Subject: c.Subject, Confidence: c.Confidence, Evidence: ev, Input: b.target.Name,
	}
	check.Repair = c.Repair
}

// Prove adds a claim that is proven.
func (b *Builder) Prove(rule string, subject minewarden.Subject, proof string, repair *minewarden.Repair, evidence ...minewarden.Evidence) {
	b.Fail(Claim{Rule: rule, Subject: subject, Proof: proof, Evidence: evidence, Repair: repair})
}

// Suspect adds a claim that the facts allow without proving it.
func (b *Builder) Suspect(rule string, confidence float64, subject minewarden.Subject, proof string, repair *minewarden.Repair, evidence ...minewarden.Evidence) {
	b.Fail(Claim{Rule: rule, Subject: subject, Proof: proof, Confidence: confidence, Evidence: evidence, Repair: repair})
}

// Failed tells how often rule failed so far.
func (b *Builder) Failed(rule string) int { return b.failed[rule] }

func (b *Builder) add(rule string, status minewarden.Status, subject minewarden.Subject, proof string) *minewarden.Check {
	if !b.rules[rule] {
		panic(fmt.Sprintf("audit %s has no rule %q", b.v.Product, rule))
	}
	if len(b.v.Checks) >= maxChecks {
		b.lost++
		return nil
	}
	b.v.Checks = append(b.v.Checks, minewarden.Check{Rule: rule, Status: status, Subject: subject, Proof: Clip(proof)})
	return &b.v.Checks[len(b.v.Checks)-1]
}

// Rest gives every rule that no check spoke of yet the same status and reason, so that nothing looks safe by being left
// out. With rules, only those.
func (b *Builder) Rest(status minewarden.Status, why string, rules ...string) {
	seen := map[string]bool{}
	for _, c := range b.v.Checks {
		seen[c.Rule] = true
	}
	if len(rules) == 0 {
		rules = b.order
	}
	for _, r := range rules {
		if !seen[r] {
			b.add(r, status, b.Subject(), why)
		}
	}
}

// Spoke tells whether a check of rule was added.
func (b *Builder) Spoke(rule string) bool {
	for _, c := range b.v.Checks {
		if c.Rule == rule {
			return true
		}
	}
	return false
}

// Verdict returns what was collected.
func (b *Builder) Verdict() minewarden.Verdict {
	for _, rule := range b.order {
		if n := b.failed[rule]; n > MaxFailures {
			b.Unknown(rule, fmt.Sprintf("%d more failures of this rule are not listed", n-MaxFailures))
			b.failed[rule] = MaxFailures
		}
	}
	if b.lost > 0 {
		last := &b.v.Checks[len(b.v.Checks)-1]
		*last = minewarden.Check{
			Rule: last.Rule, Status: minewarden.StatusUnknown, Subject: b.Subject(),
			Proof: fmt.Sprintf("%d more checks than the limit of %d were left out", b.lost+1, maxChecks),
		}
	}
	return b.v
}

// maxText bounds one evidence value in bytes: the target writes it.
const maxText = 1000

// Clip cuts s to what a report can hold and replaces control characters, for the target may have written it for a
// terminal.
func Clip(s string) string {
	cut := len(s) > maxText
	if cut {
		s = s[:maxText]
	}
	out := make([]rune, 0, len(s))
	for _, r := range s {
		if (r < ' ' && r != '\n' && r != '\t') || (r >= 0x7f && r < 0xa0) || (r >= 0x202a && r <= 0x202e) || (r >= 0x2066 && r <= 0x2069) {
			r = '\uFFFD'
		}
		out = append(out, r)
	}
	if cut {
		return string(out) + "…"
	}
	return string(out)
}
