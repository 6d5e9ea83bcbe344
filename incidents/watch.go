package incidents

import (
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/minewarden/minewarden"
)

const (
	// watchFor is how long after it was contained or closed an incident's wallets, files and ways of starting are watched for.
	watchFor = 72 * time.Hour
	// settled is how long after it was contained or closed what is found of an incident was still on its way, or was missed.
	settled    = time.Minute
	maxMarks   = 64 // of one incident
	maxRelated = 50
	watchman   = "minewarden" // who writes that it came back
)

// mark begins to watch for what would show that an incident came back; while it is open there is nothing to watch for.
func (c *Correlator) mark(s *story) {
	c.unmark(s)
	if s.inc.State == minewarden.Open {
		return
	}
	add := func(keys []string) {
		for _, k := range keys {
			if len(s.marks) < maxMarks && !slices.Contains(s.marks, k) {
				s.marks = append(s.marks, k)
				c.watch[k] = s
			}
		}
	}
	for i := range s.inc.Findings {
		f := &s.inc.Findings[i]
		add(marksOf(f.Rule, f.Severity, &f.Subject, f.Evidence, f.Lineage))
	}
	for i := range s.inc.Members {
		m := &s.inc.Members[i]
		if m.Package != "" || m.Weak || slices.Contains(shells, base(m.Exe)) {
			continue
		}
		add(fileMarks(m.Exe, m.SHA256))
	}
}

func (c *Correlator) unmark(s *story) {
	for _, k := range s.marks {
		if c.watch[k] == s {
			delete(c.watch, k)
		}
	}
	s.marks = nil
}

// marksOf returns what a finding is known again by.
func marksOf(rule string, severity minewarden.Severity, subject *minewarden.Subject, evidence []minewarden.Evidence, lineage string) []string {
	var out []string
	for _, e := range evidence {
		switch {
		case e.Key == "wallet" && e.Value != "":
			out = append(out, "wallet "+e.Value)
		case e.Key == "sha256" && len(e.Value) == 64:
			out = append(out, "sha256 "+strings.ToLower(e.Value))
		}
	}
	if family, _, _ := strings.Cut(rule, "/"); subject.Type == minewarden.SubjectFile && (strong(severity) || family == "persistence" || family == "file") {
		out = append(out, "file "+subject.ID)
	}
	if strong(severity) && strings.Count(lineage, " > ") >= 2 { // a service and its shell at least: a program alone says little
		out = append(out, "lineage "+rule+" "+lineage)
	}
	return out
}

func fileMarks(exe, sha256 string) []string {
	var out []string
	if exe != "" && !inMemory(exe) {
		out = append(out, "file "+exe)
	}
	if sha256 != "" {
		out = append(out, "sha256 "+strings.ToLower(sha256))
	}
	return out
}

// cameBack links s to the incidents that f shows to have come back as s.
func (c *Correlator) cameBack(s *story, f *minewarden.Finding, rule minewarden.Rule) {
	if len(c.watch) == 0 {
		return
	}
	lineage := ""
	if f.Process != nil {
		lineage = f.Process.Lineage()
	}
	keys := marksOf(f.Rule, rule.Severity, &f.Subject, f.Evidence, lineage)
	if p := f.Process; p != nil && p.Package == "" && strong(rule.Severity) && !slices.Contains(shells, base(p.Exe)) {
		keys = append(keys, fileMarks(p.Exe, p.SHA256)...)
	}
	for _, k := range keys {
		old := c.watch[k]
		if old == nil || old == s || old.inc.FalsePositive() {
			continue
		}
		if since := f.Time.Sub(old.inc.Changed); since < 0 || since > watchFor {
			continue
		}
		what, value, _ := strings.Cut(k, " ")
		why := fmt.Sprintf("came back: the same %s (%.200s) as in incident %s, which was %s %s before", what, value, old.inc.ID, old.inc.State, f.Time.Sub(old.inc.Changed).Round(time.Second))
		if !s.relate(minewarden.Relation{Incident: old.inc.ID, Time: f.Time, Why: why, Back: true}) {
			continue
		}
		s.say(f.Time, why)
		if old.relate(minewarden.Relation{Incident: s.inc.ID, Time: f.Time, Why: fmt.Sprintf("came back as incident %s: the same %s", s.inc.ID, what)}) {
			old.say(f.Time, fmt.Sprintf("came back as incident %s: the same %s (%.200s)", s.inc.ID, what, value))
		}
		c.touch(old)
	}
}

// returned says of an incident that f opens again that it came back.
func (c *Correlator) returned(s *story, f *minewarden.Finding) {
	since := f.Time.Sub(s.inc.Changed)
	if s.inc.FalsePositive() || since > watchFor || since < settled {
		return
	}
	why := fmt.Sprintf("came back %s after it was %s: %s", since.Round(time.Second), s.inc.State, f.Rule)
	s.relate(minewarden.Relation{Incident: s.inc.ID, Time: f.Time, Why: why, Back: true})
	s.say(f.Time, why)
	s.rate()
}

// relate reports whether the relation is new.
func (s *story) relate(r minewarden.Relation) bool {
	if len(s.inc.Related) >= maxRelated || slices.ContainsFunc(s.inc.Related, func(o minewarden.Relation) bool { return o.Incident == r.Incident && o.Back == r.Back }) {
		return false
	}
	s.inc.Related = append(s.inc.Related, r)
	return true
}

// say writes a note, if there is room beside those of people.
func (s *story) say(at time.Time, text string) {
	if len(s.inc.Notes) < maxNotes/2 {
		s.inc.Notes = append(s.inc.Notes, minewarden.Note{Time: at, Who: watchman, Text: text})
	}
}

// rate gives the incident the severity and score of its findings; one that came back is one step worse.
func (s *story) rate() {
	s.inc.Severity, s.inc.Score = Score(s.inc.Findings)
	if slices.ContainsFunc(s.inc.Related, func(r minewarden.Relation) bool { return r.Back }) {
		s.inc.Severity = min(s.inc.Severity+1, minewarden.Critical)
	}
}
