package sigma

import (
	"math"
	"strconv"
	"strings"
	"time"
)

const (
	maxCorrelated  = 64                  // rules of one correlation: their presence is a bit set
	maxGroupBy     = 16                  // fields
	maxSpan        = 31 * 24 * time.Hour // of one correlation
	maxChain       = 8                   // correlations of correlations
	maxWindow      = 10_000              // matches kept of one group; a rule that counts further cannot run
	maxGroups      = 10_000              // groups kept of one correlation; the one longest silent goes first
	maxTotal       = 200_000             // matches kept of one correlation in all groups
	maxGroupValue  = 256                 // bytes of one value of a group's key
	maxPercentiles = 1000                // values kept where a percentile is asked
)

// A correlation says which matches of other rules, close in time and alike in some fields, are a match of their own.
type correlation struct {
	kind       string
	names      []string // of the rules, as written
	groupBy    []string
	span       time.Duration
	bounds     []bound
	fields     []string // whose values are counted or summed
	percentile float64
	aliases    map[string]map[string]string // alias, then rule name or id, then field
	generate   bool
	line       int

	members []member
	level   int // 0: of detections only
}

// A member is one of the rules, with the fields to read from its events.
type member struct {
	rule   *Rule
	keys   []int32
	values []int32
}

type bound struct {
	word string
	num  float64
}

func (b bound) holds(v float64) bool {
	switch b.word {
	case "gt":
		return v > b.num
	case "gte":
		return v >= b.num
	case "lt":
		return v < b.num
	case "lte":
		return v <= b.num
	case "eq":
		return v == b.num
	default:
		return v != b.num
	}
}

func (c *correlation) holds(v float64) bool {
	for _, b := range c.bounds {
		if !b.holds(v) {
			return false
		}
	}
	return true
}

// atEnd says that the condition can be judged only when the time span is over: "fewer than 5 in an hour".
func (c *correlation) atEnd() bool {
	for _, b := range c.bounds {
		if b.word != "gt" && b.word != "gte" {
			return true
		}
	}
	return false
}

func parseCorrelation(n, generate *node) (*correlation, error) {
	if n.kind != nodeMap {
		return nil, n.errorf("correlation must be a map, not %s", n.kind)
	}
	c := &correlation{kind: n.str("type"), line: n.line, aliases: map[string]map[string]string{}}
	if g := n.get("generate"); g != nil {
		generate = g
	}
	c.generate = generate != nil && generate.text == "true"
	for _, r := range n.get("rules").list() {
		c.names = append(c.names, r.text)
	}
	for _, g := range n.get("group-by").list() {
		if g.kind != nodeNull {
			c.groupBy = append(c.groupBy, g.text)
		}
	}
	if len(c.names) == 0 || len(c.names) > maxCorrelated {
		return nil, n.errorf("a correlation needs 1 to %d rules, not %d", maxCorrelated, len(c.names))
	}
	if len(c.groupBy) > maxGroupBy {
		return nil, n.errorf("group-by has %d fields; at most %d are kept", len(c.groupBy), maxGroupBy)
	}
	var err error
	if c.span, err = parseSpan(n); err != nil {
		return nil, err
	}
	if a := n.get("aliases"); a != nil && a.kind == nodeMap {
		for i, k := range a.keys {
			c.aliases[k.text] = map[string]string{}
			if a.items[i].kind != nodeMap {
				return nil, a.items[i].errorf("the alias %q must be a map of rule names to fields", k.text)
			}
			for j, rule := range a.items[i].keys {
				c.aliases[k.text][rule.text] = a.items[i].items[j].text
			}
		}
	}
	return c, c.parseBounds(n)
}

func (c *correlation) parseBounds(n *node) error {
	cond := n.get("condition")
	if cond != nil && cond.kind != nodeMap {
		return cond.errorf("the condition of a correlation must be a map such as gte: 10, not %s", cond.kind)
	}
	if cond != nil {
		for i, k := range cond.keys {
			v := cond.items[i]
			switch k.text {
			case "gt", "gte", "lt", "lte", "eq", "neq":
				num, err := strconv.ParseFloat(v.text, 64)
				if err != nil || math.IsNaN(num) || math.IsInf(num, 0) {
					return v.errorf("%s: %q is not a number", k.text, v.text)
				}
				c.bounds = append(c.bounds, bound{k.text, num})
			case "field":
				for _, f := range v.list() {
					c.fields = append(c.fields, f.text)
				}
			case "percentile":
				num, err := strconv.ParseFloat(v.text, 64)
				if err != nil || !(num > 0 && num <= 100) {
					return v.errorf("percentile: %q is not above 0 and at most 100", v.text)
				}
				c.percentile = num
			default:
				return k.errorf("unknown condition %q: use gt, gte, lt, lte, eq, neq, field or percentile", k.text)
			}
		}
	}
	counts := c.kind == "event_count" || c.kind == "value_count"
	switch c.kind {
	case "event_count":
	case "temporal", "temporal_ordered":
		if len(c.bounds) == 0 {
			c.bounds = []bound{{"gte", float64(len(c.names))}}
		}
	case "value_count", "value_sum", "value_avg", "value_percentile", "value_median":
		if len(c.fields) == 0 {
			return n.errorf("%s needs a field in its condition", c.kind)
		}
		if c.kind == "value_median" {
			c.kind, c.percentile = "value_percentile", 50
		}
		if c.kind == "value_percentile" && c.percentile == 0 {
			c.percentile = 95
		}
	case "":
		return n.errorf("the correlation has no type")
	default:
		return n.errorf("unknown correlation type %q", c.kind)
	}
	if len(c.bounds) == 0 {
		return n.errorf("%s needs a condition with a number", c.kind)
	}
	for _, b := range c.bounds {
		if counts && b.num > maxWindow-1 {
			return n.errorf("%s %v: at most %d matches of a group are kept", b.word, b.num, maxWindow)
		}
	}
	return nil
}

func parseSpan(n *node) (time.Duration, error) {
	span := n.get("timespan")
	if span == nil {
		span = n.get("timeframe")
	}
	if span == nil {
		return 0, n.errorf("the correlation has no timespan")
	}
	units := map[byte]time.Duration{'s': time.Second, 'm': time.Minute, 'h': time.Hour, 'd': 24 * time.Hour, 'w': 7 * 24 * time.Hour}
	text := strings.TrimSpace(span.text)
	if len(text) < 2 || len(text) > 9 || units[text[len(text)-1]] == 0 {
		return 0, span.errorf("timespan %q is not a number with s, m, h or d", span.text)
	}
	v, err := strconv.ParseUint(text[:len(text)-1], 10, 32)
	if err != nil || v == 0 {
		return 0, span.errorf("timespan %q is not a number with s, m, h or d", span.text)
	}
	d := time.Duration(v) * units[text[len(text)-1]]
	if d > maxSpan {
		return 0, span.errorf("timespan %q: at most %d days are kept", span.text, maxSpan/(24*time.Hour))
	}
	return d, nil
}

// graph says, for each rule, which correlations wait for it.
type graph map[*Rule][]edge

type edge struct {
	to     *Rule
	member int
}

// correlate finds the rules that correlations name, and drops correlations that cannot run.
func (s *Set) correlate(problem func(*Rule, string, ...any)) {
	named := map[string]*Rule{}
	for _, r := range s.Rules() {
		if r.Name != "" && named[r.Name] == nil {
			named[r.Name] = r
		}
	}
	for _, r := range s.Rules() {
		named[r.ID] = r
	}
	state := map[*Rule]int{} // 1: being looked at, 2: runs, 3: does not
	var visit func(r *Rule, depth int) bool
	visit = func(r *Rule, depth int) bool {
		switch {
		case r.correlation == nil || state[r] == 2:
			return true
		case state[r] == 3:
			return false
		case state[r] == 1 || depth > maxChain:
			problem(r, "correlations wait for one another in a circle, or in a chain longer than %d", maxChain)
			return false
		}
		state[r] = 1
		c := *r.correlation
		r.correlation = &c
		c.members = nil
		ok := true
		for _, name := range c.names {
			target := named[name]
			if target == nil {
				problem(r, "the correlation is about the rule %q, which is not loaded", name)
				ok = false
				continue
			}
			if !visit(target, depth+1) {
				problem(r, "the correlation is about the rule %q, which cannot run", name)
				ok = false
				continue
			}
			if target.correlation != nil {
				c.level = max(c.level, target.correlation.level+1)
			}
			c.members = append(c.members, s.member(&c, target))
		}
		state[r] = 2
		if !ok {
			state[r] = 3
		}
		return ok
	}
	s.graph = graph{}
	kept := s.correlations[:0:0]
	for _, r := range s.correlations {
		if visit(r, 0) {
			kept = append(kept, r)
		}
	}
	s.correlations = kept
	loud := map[*Rule]bool{}
	for _, r := range kept {
		for i, m := range r.correlation.members {
			s.graph[m.rule] = append(s.graph[m.rule], edge{r, i})
			m.rule.silent = true
			loud[m.rule] = loud[m.rule] || r.correlation.generate
		}
	}
	for r := range loud {
		r.silent = !loud[r]
	}
}

func (s *Set) member(c *correlation, r *Rule) member {
	resolve := func(name string) int32 {
		if a := c.aliases[name]; a != nil {
			if field, ok := a[r.Name]; ok && r.Name != "" {
				name = field
			} else if field, ok := a[r.ID]; ok {
				name = field
			}
		}
		return s.field(name)
	}
	m := member{rule: r}
	for _, g := range c.groupBy {
		m.keys = append(m.keys, resolve(g))
	}
	for _, f := range c.fields {
		m.values = append(m.values, resolve(f))
	}
	return m
}
