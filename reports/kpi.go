package reports

import (
	"iter"
	"slices"
	"time"

	"github.com/minewarden/minewarden"
)

// Month are the figures of one month.
type Month struct {
	Format       string         `json:"format"` // minewarden.report.kpi/1
	Made         time.Time      `json:"made"`
	Version      string         `json:"version"`
	Organization string         `json:"organization,omitempty"`
	Host         string         `json:"host"`
	From         time.Time      `json:"from"`
	To           time.Time      `json:"to"` // exclusive
	Incidents    int            `json:"incidents"`
	Grave        int            `json:"high_or_critical"`
	BySeverity   map[string]int `json:"by_severity"`
	ByRule       []RuleCount    `json:"by_rule"` // the most frequent of medium or more
	Open         int            `json:"open"`
	Detect       Spread         `json:"time_to_detect"`  // from the start of the oldest process to the first finding
	Contain      Spread         `json:"time_to_contain"` // from the first finding to the first action that stopped it; of high or critical
	Close        Spread         `json:"time_to_close"`
	Judged       int            `json:"judged"` // incidents with a verdict
	False        int            `json:"false_positives"`
	Suppressed   uint64         `json:"suppressed_findings"`
	Impact       Impact         `json:"impact"`
	Posture      []Score        `json:"posture"` // trend
}

// RuleCount is how many incidents a rule was seen in.
type RuleCount struct {
	Rule  string `json:"rule"`
	Title string `json:"title"`
	Count int    `json:"count"`
}

// Spread is how long something took. Seconds; N is how many are known.
type Spread struct {
	N      int     `json:"n"`
	Median float64 `json:"median_seconds"`
	P90    float64 `json:"p90_seconds"`
	Max    float64 `json:"max_seconds"`
}

// A Score is the posture at a time.
type Score struct {
	Time  time.Time `json:"time"`
	Score float64   `json:"score"` // 0 to 100
}

// maxRules bounds the table of rules.
const maxRules = 15

// NewMonth makes the figures of the incidents that were opened in [from, to).
func NewMonth(from, to time.Time, all iter.Seq2[minewarden.Incident, error], posture []Score, suppressed uint64, env *Env) (*Month, error) {
	m := &Month{
		Format: "minewarden.report.kpi/1", Made: env.Now.UTC(), Version: env.Version, Organization: env.Config.Organization, Host: env.Host,
		From: from.UTC(), To: to.UTC(), BySeverity: map[string]int{}, Suppressed: suppressed,
	}
	var detect, contain, end []time.Duration
	var costs []minewarden.Impact
	rules := map[string]*RuleCount{}
	for inc, err := range all {
		if err != nil {
			return nil, err
		}
		if inc.Opened.Before(from) || !inc.Opened.Before(to) {
			continue
		}
		m.Incidents++
		m.BySeverity[inc.Severity.String()]++
		if inc.State == minewarden.Open {
			m.Open++
		}
		if inc.Verdict != "" {
			m.Judged++
		}
		if inc.Verdict == minewarden.FalsePositive {
			m.False++
			continue // what was no attack is in no other figure
		}
		costs = append(costs, inc.Impact)
		r := NewIncident(&inc, env)
		if !r.Began.IsZero() {
			detect = append(detect, max(0, r.Detected.Sub(r.Began)))
		}
		if inc.Severity >= minewarden.High {
			m.Grave++
			if !r.Contained.IsZero() {
				contain = append(contain, max(0, r.Contained.Sub(r.Detected)))
			}
		}
		if !r.Closed.IsZero() {
			end = append(end, max(0, r.Closed.Sub(r.Detected)))
		}
		count(rules, &inc)
	}
	m.Detect, m.Contain, m.Close = spread(detect), spread(contain), spread(end)
	m.Impact = ImpactOf(env.Config.Prices, costs...)
	for _, c := range rules {
		m.ByRule = append(m.ByRule, *c)
	}
	slices.SortFunc(m.ByRule, func(a, b RuleCount) int {
		if a.Count != b.Count {
			return b.Count - a.Count
		}
		return compare(a.Rule, b.Rule)
	})
	m.ByRule = m.ByRule[:min(len(m.ByRule), maxRules)]
	for _, s := range posture {
		if !s.Time.Before(from) && s.Time.Before(to) {
			m.Posture = append(m.Posture, s)
		}
	}
	return m, nil
}

func count(rules map[string]*RuleCount, inc *minewarden.Incident) {
	seen := map[string]bool{}
	for i := range inc.Findings {
		f := &inc.Findings[i]
		if f.Severity < minewarden.Medium || seen[f.Rule] {
			continue
		}
		seen[f.Rule] = true
		if rules[f.Rule] == nil {
			if len(rules) >= 4096 {
				continue
			}
			rules[f.Rule] = &RuleCount{Rule: f.Rule, Title: f.Title}
		}
		rules[f.Rule].Count++
	}
}

func compare(a, b string) int {
	switch {
	case a < b:
		return -1
	case a > b:
		return 1
	}
	return 0
}

func spread(all []time.Duration) Spread {
	if len(all) == 0 {
		return Spread{}
	}
	slices.Sort(all)
	at := func(q float64) float64 { return all[min(len(all)-1, int(q*float64(len(all))))].Seconds() }
	return Spread{N: len(all), Median: at(0.5), P90: at(0.9), Max: all[len(all)-1].Seconds()}
}
