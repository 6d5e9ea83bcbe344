package sigma

import "slices"

// A filterSpec is a Sigma filter: which rules it narrows, and what it leaves of their matches.
type filterSpec struct {
	rules []string // ids or names; nothing stands for all rules of the log source
	keep  *expr    // what must hold beside the rule's own condition
	line  int
}

// parseFilter reads the filter section. The specification's example names what is suppressed ("condition: selection"),
// the reference implementation joins the condition to the rule's by and ("condition: not selection"). Both are understood:
// a condition made of nots says what is kept, any other what is suppressed.
func parseFilter(c *compiler, n *node) (*filterSpec, error) {
	if n.kind != nodeMap {
		return nil, n.errorf("filter must be a map, not %s", n.kind)
	}
	f := &filterSpec{line: n.line}
	targets := n.get("rules")
	if targets == nil || len(targets.list()) == 0 {
		return nil, n.errorf("filter has no rules")
	}
	for _, t := range targets.list() {
		if t.kind != nodeString && t.kind != nodeNumber {
			return nil, t.errorf("a filter's rule must be an id or a name")
		}
		if t.text == "any" || t.text == "*" {
			f.rules = nil
			break
		}
		f.rules = append(f.rules, t.text)
	}
	e, err := c.detection(without(n, "rules"))
	if err != nil {
		return nil, err
	}
	f.keep = not(e)
	keeps := true
	for _, cond := range n.get("condition").list() {
		keeps = keeps && keepsForm(n, cond.text)
	}
	if keeps {
		f.keep = e
	}
	return f, nil
}

// keepsForm says whether a condition consists of negated parts.
func keepsForm(n *node, condition string) bool {
	sels := map[string]*expr{}
	var names []string
	for _, k := range n.keys {
		names = append(names, k.text)
		sels[k.text] = leaf(&pred{})
	}
	e, err := parseCondition(condition, names, sels)
	return err == nil && negated(e)
}

func negated(e *expr) bool {
	return e.kind == exprNot || e.kind != exprPred && !slices.ContainsFunc(e.kids, func(k *expr) bool { return !negated(k) })
}

// applyFilters narrows the rules that filters name.
func (s *Set) applyFilters(rules []*Rule, problem func(*Rule, string, ...any)) {
	named := map[string][]*Rule{}
	for _, r := range rules {
		named[r.ID] = append(named[r.ID], r)
		if r.Name != "" && r.Name != r.ID {
			named[r.Name] = append(named[r.Name], r)
		}
	}
	for _, f := range rules {
		if f.filter == nil {
			continue
		}
		targets := rules
		if f.filter.rules != nil {
			targets = nil
			for _, name := range f.filter.rules {
				if named[name] == nil {
					problem(f, "the filter is for the rule %q, which is not loaded", name)
				}
				targets = append(targets, named[name]...)
			}
		}
		for _, r := range targets {
			if r.expr == nil {
				continue
			}
			if !f.Source.covers(r.Source) {
				if f.filter.rules != nil {
					problem(f, "the filter is for %s, its rule %s for %s", f.Source, r.ID, r.Source)
				}
				continue
			}
			if joined := and(r.expr, f.filter.keep); joined.size() <= maxLeaves {
				r.expr = joined
			} else {
				problem(f, "with this filter the rule %s has more than %d tests", r.ID, maxLeaves)
			}
		}
	}
}

// covers says whether every event source of o is one of l.
func (l Logsource) covers(o Logsource) bool {
	return (l.Product == "" || l.Product == o.Product) && (l.Category == "" || l.Category == o.Category) &&
		(l.Service == "" || l.Service == o.Service)
}
