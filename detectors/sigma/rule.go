package sigma

import (
	"fmt"
	"slices"
	"strings"

	"github.com/minewarden/minewarden"
)

// A Rule is one detection rule, correlation rule or filter, as its author wrote it.
type Rule struct {
	ID, Name, Title, Description string
	Status                       string
	Level                        minewarden.Severity
	Technique                    []string // ATT&CK ids of the tags
	Source                       Logsource
	File                         string
	Line                         int

	expr        *expr        // of a detection
	correlation *correlation // of a correlation rule
	filter      *filterSpec  // of a filter
	fields      []string     // the rule's own fields, in the order of first use: the evidence of a finding
	silent      bool         // only a correlation wants its matches
}

// A Logsource says which events a rule is for. An empty part stands for all.
type Logsource struct{ Product, Category, Service string }

// String returns "product/category/service" with * for an empty part.
func (l Logsource) String() string {
	part := func(s string) string {
		if s == "" {
			return "*"
		}
		return s
	}
	return part(l.Product) + "/" + part(l.Category) + "/" + part(l.Service)
}

// A Problem says why a rule cannot run, or what of a file could not be read.
type Problem struct {
	File      string
	Line, Col int
	Rule      string // id or title; empty: the whole file
	Reason    string
}

// String returns "file:line:col: rule: reason".
func (p Problem) String() string {
	where := fmt.Sprintf("%s:%d:%d: ", p.File, p.Line, p.Col)
	if p.Rule != "" {
		where += p.Rule + ": "
	}
	return where + p.Reason
}

var severities = map[string]minewarden.Severity{
	"informational": minewarden.Informational, "low": minewarden.Low, "medium": minewarden.Medium,
	"high": minewarden.High, "critical": minewarden.Critical,
}

// parseFile reads all rules of one file. A rule that cannot run is a problem; the others of the file still count.
func parseFile(name string, text []byte, placeholders map[string][]string) ([]*Rule, []Problem) {
	docs, err := parseYAML(text)
	if err != nil {
		return nil, []Problem{problemOf(name, "", err)}
	}
	docs, err = expandActions(docs)
	if err != nil {
		return nil, []Problem{problemOf(name, "", err)}
	}
	var rules []*Rule
	var problems []Problem
	for _, doc := range docs {
		if doc.kind == nodeNull {
			continue // an empty document, as after a last "---"
		}
		r, err := parseRule(doc, placeholders)
		if err != nil {
			label := doc.str("id")
			if label == "" {
				label = doc.str("title")
			}
			problems = append(problems, problemOf(name, label, err))
			continue
		}
		r.File = name
		rules = append(rules, r)
	}
	return rules, problems
}

func problemOf(file, rule string, err error) Problem {
	p := Problem{File: file, Line: 1, Col: 1, Rule: rule, Reason: err.Error()}
	if where, ok := err.(*placed); ok { //nolint:errorlint // at and errorf never wrap one in another
		p.Line, p.Col = where.line, where.col
	}
	return p
}

// expandActions resolves the collections of Sigma 1: "action: global" gives its keys to all that follow, "reset" ends
// that, "repeat" is the document before with the keys of this one.
func expandActions(docs []*node) ([]*node, error) {
	var out []*node
	var global, last *node
	for _, doc := range docs {
		if doc.kind == nodeNull {
			continue
		}
		if doc.kind != nodeMap {
			return nil, doc.errorf("a rule must be a map, not %s", doc.kind)
		}
		action := doc.get("action")
		if action == nil {
			last = merge(global, doc)
			out = append(out, last)
			continue
		}
		switch action.text {
		case "global":
			global = merge(global, without(doc, "action"))
		case "reset":
			global = nil
		case "repeat":
			if last == nil {
				return nil, action.errorf("action repeat has no rule before it")
			}
			last = merge(last, without(doc, "action"))
			out = append(out, last)
		default:
			return nil, action.errorf("unknown action %q: use global, reset or repeat", action.text)
		}
		if len(out) > maxNodes/100 {
			return nil, action.errorf("more than %d rules in one file", maxNodes/100)
		}
	}
	return out, nil
}

func without(n *node, key string) *node {
	out := &node{kind: nodeMap, line: n.line, col: n.col}
	for i, k := range n.keys {
		if k.text != key {
			out.keys, out.items = append(out.keys, k), append(out.items, n.items[i])
		}
	}
	return out
}

// merge returns base with over laid over it, maps into maps.
func merge(base, over *node) *node {
	if base == nil || base.kind != nodeMap || over.kind != nodeMap {
		return over
	}
	out := &node{kind: nodeMap, line: over.line, col: over.col}
	for i, k := range base.keys {
		v := base.items[i]
		if o := over.get(k.text); o != nil {
			v = merge(v, o)
		}
		out.keys, out.items = append(out.keys, k), append(out.items, v)
	}
	for i, k := range over.keys {
		if base.get(k.text) == nil {
			out.keys, out.items = append(out.keys, k), append(out.items, over.items[i])
		}
	}
	return out
}

func parseRule(doc *node, placeholders map[string][]string) (*Rule, error) {
	r := &Rule{
		ID: doc.str("id"), Name: doc.str("name"), Title: doc.str("title"), Description: doc.str("description"),
		Status: doc.str("status"), Level: minewarden.Medium, Line: doc.line,
	}
	if level := doc.get("level"); level != nil && level.kind != nodeNull {
		v, ok := severities[strings.ToLower(level.text)]
		if !ok {
			return nil, level.errorf("unknown level %q: use informational, low, medium, high or critical", level.text)
		}
		r.Level = v
	}
	for _, tag := range doc.get("tags").list() {
		if id, ok := strings.CutPrefix(strings.ToLower(tag.text), "attack.t"); ok && id != "" && id[0] >= '0' && id[0] <= '9' {
			r.Technique = append(r.Technique, "T"+id)
		}
	}
	if r.ID == "" {
		r.ID = r.Name
	}
	if r.ID == "" {
		r.ID = strings.Join(strings.Fields(strings.ToLower(r.Title)), "-")
	}
	if r.ID == "" {
		return nil, doc.errorf("the rule has no id, name or title")
	}
	if len(r.ID) > 256 || len(r.Title) > 1024 {
		return nil, doc.errorf("id or title is longer than any person reads")
	}
	if r.Title == "" {
		r.Title = r.ID
	}
	if source := doc.get("logsource"); source != nil {
		r.Source = Logsource{
			strings.ToLower(source.str("product")), strings.ToLower(source.str("category")), strings.ToLower(source.str("service")),
		}
	}
	c := &compiler{placeholders: placeholders}
	var err error
	switch {
	case doc.get("correlation") != nil:
		r.correlation, err = parseCorrelation(doc.get("correlation"), doc.get("generate"))
	case doc.get("filter") != nil:
		r.filter, err = parseFilter(c, doc.get("filter"))
	case doc.get("detection") != nil:
		r.expr, err = c.detection(doc.get("detection"))
		r.fields = c.fields
	default:
		err = doc.errorf("the rule has no detection, correlation or filter")
	}
	return r, err
}

// detection compiles the selections of a detection section and joins them by its condition.
func (c *compiler) detection(det *node) (*expr, error) {
	if det.kind != nodeMap {
		return nil, det.errorf("detection must be a map of selections, not %s", det.kind)
	}
	sels := map[string]*expr{}
	var names []string
	var conditions []*node
	for i, key := range det.keys {
		switch key.text {
		case "condition":
			conditions = det.items[i].list()
		case "timeframe": // belonged to the aggregations of Sigma 1, which are refused by name
		default:
			e, err := c.selection(det.items[i], 0)
			if err != nil {
				return nil, err
			}
			sels[key.text] = e
			names = append(names, key.text)
		}
	}
	if len(conditions) == 0 {
		return nil, det.errorf("detection has no condition")
	}
	var alternatives []*expr
	for _, cond := range conditions {
		if cond.kind == nodeList || cond.kind == nodeMap || cond.kind == nodeNull {
			return nil, cond.errorf("a condition must be a text, not %s", cond.kind)
		}
		e, err := parseCondition(cond.text, names, sels)
		if err != nil {
			return nil, at(cond.line, cond.col, err)
		}
		alternatives = append(alternatives, e)
	}
	e := or(alternatives...)
	if n := e.size(); n > maxLeaves {
		return nil, det.errorf("the condition has %d tests; at most %d are run", n, maxLeaves)
	}
	return e, nil
}

// selection compiles a map (all of), a list of maps (any of) or a list of keywords (any of).
func (c *compiler) selection(n *node, depth int) (*expr, error) {
	switch n.kind {
	case nodeMap:
		var all []*expr
		for i, key := range n.keys {
			e, err := c.item(key, n.items[i])
			if err != nil {
				return nil, err
			}
			all = append(all, e)
		}
		if len(all) == 0 {
			return nil, n.errorf("a selection without a field matches everything")
		}
		return and(all...), nil
	case nodeList:
		if len(n.items) == 0 {
			return nil, n.errorf("an empty list selects nothing")
		}
		if depth > 4 {
			return nil, n.errorf("lists within lists within lists")
		}
		var anyOf []*expr
		for _, item := range n.items {
			e, err := c.selection(item, depth+1)
			if err != nil {
				return nil, err
			}
			anyOf = append(anyOf, e)
		}
		return or(anyOf...), nil
	default: // one keyword
		return c.item(&node{kind: nodeString, line: n.line, col: n.col}, n)
	}
}

// want notes that the rule names a field.
func (c *compiler) want(field string) {
	if field != "" && !slices.Contains(c.fields, field) && len(c.fields) < 64 {
		c.fields = append(c.fields, field)
	}
}
