// Package incidents joins findings into incidents: what one attack did, in one story.
//
// The Correlator is pure: no I/O, no clock but the findings' own, no goroutines. The Keeper runs one beside a store, and
// never makes the pipeline wait.
package incidents

import (
	"crypto/sha256"
	"encoding/hex"
	"slices"
	"strings"
	"time"

	"github.com/minewarden/minewarden"
)

// The bounds of memory. What does not fit any more is counted, and the incident says so.
const (
	maxIncidents = 10_000
	maxFindings  = 200 // of one incident; repeats do not count
	maxMembers   = 256 // of one incident
	maxRecent    = 50_000
	maxEvidence  = 32
	maxValue     = 1 << 10 // bytes of one value of evidence
	maxFiles     = 64      // of one incident
	maxReceipts  = 256
	maxNotes     = 1000
)

// fileJoin is how long after an incident's last finding the same file still joins another process to it.
const fileJoin = 24 * time.Hour

// Config is what a Correlator needs to know.
type Config struct {
	Host  string            // of findings that do not name one
	Rules []minewarden.Rule // of all detectors; a finding of an unknown rule counts as informational
	// Rule finds those that are not among Rules because they change while the agent runs; nil: there are none. It must be fast.
	Rule func(id string) (minewarden.Rule, bool)
	// Suppress says that a finding is known and of no interest, and why. It is called for each finding: it must be fast.
	Suppress func(f *minewarden.Finding, r minewarden.Rule) (reason string, suppressed bool)
}

// A Correlator joins findings. It is not safe for concurrent use.
type Correlator struct {
	config  Config
	rules   map[string]minewarden.Rule
	all     map[string]*story // by incident id
	procs   map[minewarden.ProcessKey]*story
	joins   map[string]*story // by join key: "process …", "container …", "file …", "sha256 …", "flow …"
	dirty   map[string]*story // changed since Changed
	watch   map[string]*story // what must not come back, by mark: "wallet …", "sha256 …", "file …", "lineage …"
	stats   Stats
	machine machine
}

// Stats count what happened to findings.
type Stats struct {
	Findings   uint64 // all
	Suppressed uint64
	Repeats    uint64 // of one that its incident has
	Overflow   uint64 // counted in an incident, not kept
	Forgotten  uint64 // incidents that left memory because there were too many; the store has them
}

// story is an incident with what only the Correlator needs.
type story struct {
	inc     minewarden.Incident
	fresh   bool           // made here and not yet compared with the store
	index   map[string]int // finding by rule and subject
	members map[minewarden.ProcessKey]int
	born    map[minewarden.ProcessKey]bool // members only because their parent is one
	keys    []string                       // in joins
	known   []minewarden.ProcessKey        // in procs
	files   int
	marks   []string // in watch

	counted   uint64    // HostUsage events in Impact
	costSaved time.Time // when Impact was last saved
}

// New returns an empty Correlator.
func New(c Config) *Correlator {
	co := &Correlator{
		config: c, rules: make(map[string]minewarden.Rule, len(c.Rules)), all: map[string]*story{},
		procs: map[minewarden.ProcessKey]*story{}, joins: map[string]*story{}, dirty: map[string]*story{}, watch: map[string]*story{},
	}
	for _, r := range c.Rules {
		co.rules[r.ID] = r
	}
	return co
}

// Stats returns the counts so far.
func (c *Correlator) Stats() Stats { return c.stats }

// Len returns how many incidents are in memory.
func (c *Correlator) Len() int { return len(c.all) }

// ID returns the id of the incident on host whose findings share root: the same on every start, so that a replay or a crash
// makes no second one.
func ID(host, root string) string {
	sum := sha256.Sum256([]byte(host + "\x00" + root))
	return hex.EncodeToString(sum[:8])
}

// Finding joins f and returns the id of its incident; "" when it was suppressed. It keeps nothing of f that may change.
func (c *Correlator) Finding(f *minewarden.Finding) string {
	c.stats.Findings++
	rule, ok := c.rules[f.Rule]
	if !ok && c.config.Rule != nil {
		rule, ok = c.config.Rule(f.Rule)
	}
	if !ok {
		rule = minewarden.Rule{ID: f.Rule, Title: f.Rule}
	}
	if c.config.Suppress != nil {
		if _, yes := c.config.Suppress(f, rule); yes {
			c.stats.Suppressed++
			return ""
		}
	}
	s := c.find(f)
	if s == nil {
		s = c.open(f, rule)
	}
	c.add(s, f, rule)
	return s.inc.ID
}

// open makes the incident that f begins.
func (c *Correlator) open(f *minewarden.Finding, rule minewarden.Rule) *story {
	host := f.Subject.Host
	if host == "" {
		host = c.config.Host
	}
	root := rootOf(f)
	id := ID(host, root)
	if s := c.all[id]; s != nil {
		return s
	}
	if len(c.all) >= maxIncidents {
		c.forget()
	}
	s := &story{fresh: true, inc: minewarden.Incident{
		ID: id, Subject: f.Subject, State: minewarden.Open, Severity: rule.Severity, Opened: f.Time,
		Updated: f.Time, Changed: f.Time, Host: host, Root: root,
	}}
	s.reindex()
	c.all[id] = s
	c.join(s, root)
	return s
}

// strong reports whether a rule is evidence on its own.
func strong(sev minewarden.Severity) bool { return sev >= minewarden.Medium }

func (c *Correlator) add(s *story, f *minewarden.Finding, rule minewarden.Rule) {
	inc := &s.inc
	isNew := c.addMember(s, f, rule)
	i, have := s.index[findingKey(f.Rule, &f.Subject)]
	switch {
	case have:
		k := &inc.Findings[i]
		later := f.Time.After(k.Last)
		if !later && f.Confidence <= k.Confidence {
			return // seen before: a replay, or the same one by another way
		}
		if later {
			c.stats.Repeats++
			k.Count++
			k.Last = f.Time
		}
		if f.Confidence > k.Confidence {
			k.Confidence, k.Evidence = f.Confidence, bounded(f.Evidence)
		}
	case len(inc.Findings) >= maxFindings && !c.makeRoom(s, rule.Severity):
		c.stats.Overflow++
		inc.More++
	default:
		kept := minewarden.IncidentFinding{
			Time: f.Time, Last: f.Time, Count: 1, Rule: f.Rule, Title: rule.Title, Severity: rule.Severity,
			Technique: rule.Technique, Confidence: f.Confidence, Subject: f.Subject, Evidence: bounded(f.Evidence), Advice: rule.Advice,
		}
		if f.Process != nil {
			kept.Lineage = f.Process.Lineage()
		}
		at, _ := slices.BinarySearchFunc(inc.Findings, kept.Time, func(k minewarden.IncidentFinding, t time.Time) int {
			if k.Time.After(t) {
				return 1
			}
			return -1 // after those of the same time
		})
		inc.Findings = slices.Insert(inc.Findings, at, kept)
		s.reindexFindings()
	}
	c.indexFiles(s, f)
	if f.Time.After(inc.Updated) {
		inc.Updated = f.Time
	}
	if f.Time.Before(inc.Opened) {
		inc.Opened = f.Time
	}
	if !have {
		c.cameBack(s, f, rule)
	}
	s.rate()
	s.title()
	c.advance(s, f, rule, isNew)
	c.touch(s)
}

// advance opens again what a new finding shows to go on.
func (c *Correlator) advance(s *story, f *minewarden.Finding, rule minewarden.Rule, isNew bool) {
	inc := &s.inc
	if inc.State == minewarden.Open || !f.Time.After(inc.Changed) {
		return
	}
	// Of what is frozen, findings still arrive that were on their way; somebody new is not frozen.
	if inc.State == minewarden.Contained && !(isNew && strong(rule.Severity)) {
		return
	}
	c.returned(s, f)
	inc.State, inc.Changed = minewarden.Open, f.Time
	c.unmark(s)
}

// makeRoom drops the least of the findings for one of severity sev.
func (c *Correlator) makeRoom(s *story, sev minewarden.Severity) bool {
	least := 0
	for i := range s.inc.Findings {
		a, b := &s.inc.Findings[i], &s.inc.Findings[least]
		if a.Severity < b.Severity || a.Severity == b.Severity && a.Confidence < b.Confidence {
			least = i
		}
	}
	if s.inc.Findings[least].Severity >= sev {
		return false
	}
	s.inc.More += s.inc.Findings[least].Count
	c.stats.Overflow += uint64(s.inc.Findings[least].Count)
	s.inc.Findings = slices.Delete(slices.Clone(s.inc.Findings), least, least+1)
	s.reindexFindings()
	return true
}

// title gives the incident the subject that a person should look at: the one of the worst finding; the first of equals.
func (s *story) title() {
	var best *minewarden.IncidentFinding
	for i := range s.inc.Findings {
		f := &s.inc.Findings[i]
		if best == nil || f.Severity > best.Severity || f.Severity == best.Severity && f.Confidence > best.Confidence {
			best = f
		}
	}
	if best != nil {
		s.inc.Subject = best.Subject
	}
}

func (c *Correlator) touch(s *story) {
	c.dirty[s.inc.ID] = s
}

// Changed returns copies of the incidents that changed since the last call, and calls them saved.
func (c *Correlator) Changed() []minewarden.Incident {
	out := make([]minewarden.Incident, 0, len(c.dirty))
	for _, s := range c.dirty {
		out = append(out, s.copy())
	}
	clear(c.dirty)
	slices.SortFunc(out, func(a, b minewarden.Incident) int {
		if d := a.Updated.Compare(b.Updated); d != 0 {
			return d
		}
		return strings.Compare(a.ID, b.ID)
	})
	return out
}

// Get returns a copy of an incident.
func (c *Correlator) Get(id string) (minewarden.Incident, bool) {
	s, ok := c.all[id]
	if !ok {
		return minewarden.Incident{}, false
	}
	return s.copy(), true
}

// copy shares what is never changed in place.
func (s *story) copy() minewarden.Incident {
	inc := s.inc
	inc.Members = slices.Clone(inc.Members)
	inc.Findings = slices.Clone(inc.Findings)
	inc.Actions = slices.Clone(inc.Actions)
	inc.Notes = slices.Clone(inc.Notes)
	inc.Related = slices.Clone(inc.Related)
	return inc
}

func (s *story) reindex() {
	s.reindexFindings()
	s.members = make(map[minewarden.ProcessKey]int, len(s.inc.Members))
	for i := range s.inc.Members {
		s.members[s.inc.Members[i].Key] = i
	}
}

func (s *story) reindexFindings() {
	s.index = make(map[string]int, len(s.inc.Findings))
	for i := range s.inc.Findings {
		s.index[findingKey(s.inc.Findings[i].Rule, &s.inc.Findings[i].Subject)] = i
	}
}

func findingKey(rule string, s *minewarden.Subject) string {
	return rule + "\x00" + s.Type + "\x00" + s.ID
}

// bounded copies evidence, for the finding is its detector's.
func bounded(evidence []minewarden.Evidence) []minewarden.Evidence {
	out := slices.Clone(evidence[:min(len(evidence), maxEvidence)])
	for i := range out {
		if len(out[i].Value) > maxValue {
			out[i].Value = strings.ToValidUTF8(out[i].Value[:maxValue], "") + "…"
		}
	}
	return out
}
