// Package sigma runs Sigma rules over live events and logs: detection rules through an index of their rarest texts,
// correlation rules over what they match, filters over both.
package sigma

import (
	_ "embed"
	"fmt"
	"io/fs"
	"strconv"
	"strings"
	"sync/atomic"
	"time"

	"github.com/minewarden/minewarden"
	"github.com/minewarden/minewarden/rules"
)

//go:embed README.md
var doc string

// Config is the section "sigma" of the configuration.
type Config struct {
	Rules        []string            `yaml:"rules"`        // folders of the user, beside the embedded rules
	Embedded     bool                `yaml:"embedded"`     // our own rules
	MinLevel     string              `yaml:"min_level"`    // rules below do not speak
	Placeholders map[string][]string `yaml:"placeholders"` // values for |expand
}

// DefaultConfig is what an empty section means.
func DefaultConfig() Config { return Config{Embedded: true, MinLevel: "info"} }

// Live is the place from which detectors take the rules in force. Whoever watches the rule folders swaps the set; no event
// sees none.
type Live struct{ set atomic.Pointer[Set] }

// NewLive returns a place that holds set.
func NewLive(set *Set) *Live {
	l := &Live{}
	l.Swap(set)
	return l
}

// Set returns the rules in force.
func (l *Live) Set() *Set { return l.set.Load() }

// Swap puts other rules in force, from the next event on.
func (l *Live) Swap(set *Set) { l.set.Store(set) }

type detector struct {
	live    *Live
	min     minewarden.Severity
	matcher *Matcher
	watches map[*Rule]*watch
}

var (
	_ minewarden.Detector = (*detector)(nil)
	_ minewarden.Ticker   = (*detector)(nil)
)

// New returns the detector with our own rules and those of the configured folders.
func New(env minewarden.Env) (minewarden.Detector, error) {
	cfg := DefaultConfig()
	if err := env.Config(&cfg); err != nil {
		return nil, err
	}
	set, err := cfg.Load(env.Root)
	if err != nil {
		return nil, err
	}
	return cfg.Detector(NewLive(set))
}

// Load reads the rules that the configuration asks for, from the host's files at root.
func (c Config) Load(root fs.FS) (*Set, error) {
	var folders []Folder
	if c.Embedded {
		folders = append(folders, Folder{"minewarden", rules.FS})
	}
	for _, dir := range c.Rules {
		if root == nil {
			return nil, fmt.Errorf("read rules of %s: no files are given", dir)
		}
		sub, err := fs.Sub(root, strings.TrimPrefix(dir, "/"))
		if err != nil {
			return nil, fmt.Errorf("read rules of %s: %w", dir, err)
		}
		folders = append(folders, Folder{dir, sub})
	}
	return Load(c.Placeholders, folders...)
}

// Detector returns a detector that takes its rules from live.
func (c Config) Detector(live *Live) (minewarden.Detector, error) {
	level, err := minewarden.ParseSeverity(c.MinLevel)
	if err != nil {
		return nil, fmt.Errorf("sigma: min_level: %w", err)
	}
	d := &detector{live: live, min: level, watches: map[*Rule]*watch{}}
	d.take(live.Set())
	return d, nil
}

func (d *detector) Info() minewarden.Info {
	return minewarden.Info{Name: "sigma", Title: "Sigma rules over live events and logs", Doc: doc}
}

// Rules returns those in force at the moment.
func (d *detector) Rules() []minewarden.Rule {
	var out []minewarden.Rule
	for _, r := range d.live.Set().Rules() {
		out = append(out, r.Public())
	}
	return out
}

// Public returns what is always true of a finding of r.
func (r *Rule) Public() minewarden.Rule {
	advice := "Compare the evidence with what the rule is about, then look at what the same process, user and host did around that time."
	if r.Description != "" {
		advice = strings.Join(strings.Fields(clip(r.Description)), " ") + " " + advice
	}
	return minewarden.Rule{
		ID: "sigma/" + r.ID, Title: strings.Join(strings.Fields(r.Title), " "), Advice: advice, Severity: r.Level, Technique: r.Technique,
	}
}

func (d *detector) Kinds() []minewarden.Kind {
	return []minewarden.Kind{
		minewarden.KindRecord, minewarden.KindExec, minewarden.KindConnect, minewarden.KindWrite, minewarden.KindDNS, minewarden.KindHTTP,
	}
}

// take puts a set in force. Correlations that are word for word the same keep what they counted.
func (d *detector) take(set *Set) {
	d.matcher = set.NewMatcher()
	old := map[string]*watch{}
	for r, w := range d.watches {
		old[r.ID] = w
	}
	d.watches = map[*Rule]*watch{}
	for _, r := range set.correlations {
		w := old[r.ID]
		if w == nil || !w.rule.correlation.same(r.correlation) {
			w = newWatch(r)
		}
		w.rule = r
		d.watches[r] = w
	}
}

func (c *correlation) same(o *correlation) bool {
	say := func(c *correlation) string {
		return fmt.Sprint(c.kind, c.names, c.groupBy, c.span, c.bounds, c.fields, c.percentile, c.aliases)
	}
	return say(c) == say(o)
}

func (d *detector) Observe(ev *minewarden.Event) []minewarden.Finding {
	if set := d.live.Set(); set != d.matcher.set {
		d.take(set)
	}
	var out []minewarden.Finding
	for _, r := range d.matcher.Match(ev) {
		if !r.silent && r.Level >= d.min {
			out = append(out, d.finding(ev, r, d.matcher.evidence(r.fields)))
		}
		out = d.feed(ev, r, out, 0)
	}
	return out
}

// feed tells the correlations that wait for r of its match.
func (d *detector) feed(ev *minewarden.Event, r *Rule, out []minewarden.Finding, depth int) []minewarden.Finding {
	if depth > maxChain {
		return out
	}
	for _, e := range d.matcher.set.graph[r] {
		got, held := d.watches[e.to].add(ev.Time, d.matcher, e.member)
		if !held {
			continue
		}
		if got.loud && !e.to.silent && e.to.Level >= d.min {
			out = append(out, d.finding(ev, e.to, e.to.correlation.evidence(got)))
		}
		out = d.feed(ev, e.to, out, depth+1)
	}
	return out
}

// Tick judges the correlations that can be judged only when their time is over.
func (d *detector) Tick(now time.Time) []minewarden.Finding {
	var out []minewarden.Finding
	for _, r := range d.matcher.set.correlations {
		d.watches[r].tick(now, func(got outcome) {
			if !r.silent && r.Level >= d.min {
				ev := &minewarden.Event{Time: now, Data: &minewarden.Record{}}
				out = append(out, d.finding(ev, r, r.correlation.evidence(got)))
			}
		})
	}
	return out
}

func (c *correlation) evidence(got outcome) []minewarden.Evidence {
	out := []minewarden.Evidence{
		{Key: c.kind, Value: strconv.FormatFloat(got.value, 'g', -1, 64)},
		{Key: "within", Value: c.span.String()},
		{Key: "since", Value: got.first.UTC().Format(time.RFC3339)},
	}
	for i, label := range got.win.labels {
		out = append(out, minewarden.Evidence{Key: c.groupBy[i], Value: label})
	}
	return out
}

// confidence is how often a rule of that level is right, guessed by what its authors mean by the levels: a critical rule
// "should never trigger by accident", a low one is of interest only beside others.
var confidence = [...]float64{minewarden.Informational: 0.2, minewarden.Low: 0.3, minewarden.Medium: 0.5, minewarden.High: 0.75, minewarden.Critical: 0.9}

func (d *detector) finding(ev *minewarden.Event, r *Rule, evidence []minewarden.Evidence) minewarden.Finding {
	f := minewarden.Finding{
		Time: ev.Time, Rule: "sigma/" + r.ID, Confidence: confidence[r.Level], Evidence: evidence, Process: ev.Process,
	}
	rec, isRecord := ev.Data.(*minewarden.Record)
	if len(f.Evidence) == 0 {
		what := ev.Data.Kind().String()
		if isRecord && rec.Message != "" {
			what = clip(rec.Message)
		}
		f.Evidence = []minewarden.Evidence{{Key: "event", Value: what}}
	}
	switch data := ev.Data.(type) {
	case *minewarden.Record:
		f.Subject = hostSubject(data)
	case *minewarden.DNS:
		f.Subject = minewarden.FlowSubject(data.Key)
	case *minewarden.HTTP:
		f.Subject = minewarden.FlowSubject(data.Key)
	case *minewarden.Write:
		f.Subject = minewarden.Subject{Type: minewarden.SubjectFile, ID: data.Path}
	}
	if ev.Process != nil {
		f.Subject = minewarden.ProcessSubject(ev.Process)
	}
	return f
}

// hostSubject names the host that wrote the record.
func hostSubject(r *minewarden.Record) minewarden.Subject {
	host := r.Host
	if host == "" {
		host, _ = r.Field("Computer")
	}
	if host == "" {
		host = "localhost"
	}
	return minewarden.Subject{Type: minewarden.SubjectHost, ID: host, Host: host}
}
