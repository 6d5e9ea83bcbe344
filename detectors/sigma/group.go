package sigma

import (
	"cmp"
	"slices"
)

// A group is all rules of one log source, compiled. It is immutable.
//
// Every test has a number. The first ones, the atoms, are texts that a field equals, starts with, ends with or contains:
// one pass over the field answers them all. Each rule hangs on atoms of which one is true whenever the rule matches; a rule
// that has none is always looked at. A rule is a program of jumps over tests.
type group struct {
	source Logsource
	rules  []*Rule
	entry  []int32 // per rule: its first instruction, or yes or no
	prog   []instr

	preds   []*pred
	field   []int32 // per test
	ref     []int32 // per test: the field of a fieldref, or -1
	atoms   int32   // tests below this number are atoms
	unit    []int32 // per atom: the unit that answers it
	units   []unit
	eager   []int32   // units with atoms on which rules hang; the others are run when asked
	hang    [][]int32 // per atom: the rules that hang on it
	always  []int32
	useAll  bool // some test looks at everything the event says
	hanging int  // the number of rules that hang on atoms
}

// A unit answers atoms of one field.
type unit struct {
	field int32
	table *table
	auto  *automaton
}

// An instr tests and jumps. A target below 0 is the verdict.
type instr struct{ test, then, other int32 }

const (
	yes int32 = -1
	no  int32 = -2
)

// groupBuilder holds what is needed only while a group is built.
type groupBuilder struct {
	g      *group
	ids    map[string]int32
	fields func(string) int32
	cost   []float64 // per test: how often it is true, guessed
}

func newGroup(source Logsource, rules []*Rule, fields func(string) int32) *group {
	b := &groupBuilder{g: &group{source: source, rules: rules}, ids: map[string]int32{}, fields: fields}
	var atoms, others []*pred
	seen := map[string]bool{}
	for _, r := range rules {
		r.expr.walk(func(p *pred) {
			if k := p.key(); !seen[k] {
				seen[k] = true
				if p.indexed() {
					atoms = append(atoms, p)
				} else {
					others = append(others, p)
				}
			}
		})
	}
	b.g.atoms = int32(len(atoms))
	b.g.preds = append(atoms, others...)
	for i, p := range b.g.preds {
		b.ids[p.key()] = int32(i)
		b.g.field = append(b.g.field, fields(p.field))
		ref := int32(-1)
		if p.op == opFieldRef {
			ref = fields(p.ref)
		}
		b.g.ref = append(b.g.ref, ref)
		b.g.useAll = b.g.useAll || p.field == ""
		b.cost = append(b.cost, guess(p))
	}
	b.g.hang = make([][]int32, len(atoms))
	for i, r := range rules {
		e := b.normal(r.expr, false)
		b.g.entry = append(b.g.entry, b.emit(e, yes, no))
		if e.cover == nil {
			b.g.always = append(b.g.always, int32(i))
			continue
		}
		b.g.hanging++
		for _, atom := range e.cover {
			b.g.hang[atom] = append(b.g.hang[atom], int32(i))
		}
	}
	b.addUnits()
	return b.g
}

func (e *expr) walk(visit func(*pred)) {
	if e.kind == exprPred {
		visit(e.pred)
		return
	}
	for _, k := range e.kids {
		k.walk(visit)
	}
}

// A norm is an expression with its nots moved to the tests.
type norm struct {
	kind  exprKind // exprPred, exprAnd or exprOr
	neg   bool
	test  int32
	kids  []*norm
	cover []int32 // atoms of which one is true whenever this is; nil: none known
	rare  float64 // how often one of cover is true, guessed
	work  float64 // what it costs to test, guessed
}

func (b *groupBuilder) normal(e *expr, neg bool) *norm {
	switch {
	case e.kind == exprPred:
		id := b.ids[e.pred.key()]
		n := &norm{kind: exprPred, neg: neg, test: id, work: 1}
		if id >= b.g.atoms {
			n.work = 20
		} else if !neg {
			n.cover, n.rare = []int32{id}, b.cost[id]
		}
		return n
	case e.kind == exprNot:
		return b.normal(e.kids[0], !neg)
	}
	n := &norm{kind: e.kind}
	if neg { // not (a and b) is (not a) or (not b)
		n.kind = exprAnd + exprOr - e.kind
	}
	for _, k := range e.kids {
		kid := b.normal(k, neg)
		n.work += kid.work
		if kid.kind == n.kind {
			n.kids = append(n.kids, kid.kids...)
		} else {
			n.kids = append(n.kids, kid)
		}
	}
	if n.kind == exprAnd {
		n.coverAnd()
	} else {
		n.coverOr()
	}
	return n
}

// coverAnd takes the rarest cover of a part, and puts parts that are cheap to test or likely to fail first.
func (n *norm) coverAnd() {
	for _, k := range n.kids {
		if k.cover != nil && (n.cover == nil || k.rare < n.rare) {
			n.cover, n.rare = k.cover, k.rare
		}
	}
	slices.SortStableFunc(n.kids, func(x, y *norm) int { return cmp.Compare(x.weight(), y.weight()) })
}

func (n *norm) weight() float64 {
	if n.cover == nil {
		return n.work
	}
	return n.work * (0.1 + n.rare)
}

// coverOr needs a cover of every part.
func (n *norm) coverOr() {
	for _, k := range n.kids {
		if k.cover == nil {
			n.cover = nil
			break
		}
		n.cover = append(n.cover, k.cover...)
		n.rare += k.rare
	}
	slices.Sort(n.cover)
	n.cover = slices.Compact(n.cover)
	slices.SortStableFunc(n.kids, func(x, y *norm) int { return cmp.Compare(x.work, y.work) })
}

// emit appends the program of n, which ends at then or other, and returns where it starts.
func (b *groupBuilder) emit(n *norm, then, other int32) int32 {
	switch n.kind {
	case exprPred:
		if n.neg {
			then, other = other, then
		}
		b.g.prog = append(b.g.prog, instr{n.test, then, other})
		return int32(len(b.g.prog) - 1)
	case exprAnd:
		for _, k := range slices.Backward(n.kids) {
			then = b.emit(k, then, other)
		}
		return then
	default:
		for _, k := range slices.Backward(n.kids) {
			other = b.emit(k, then, other)
		}
		return other
	}
}

// addUnits builds, for each field, a table and an automaton over its atoms. Those that no rule hangs on are kept apart, so
// that they are run only for events that reach a rule which asks.
func (b *groupBuilder) addUnits() {
	g := b.g
	type lits struct{ exact, prefix, suffix, contains []literal }
	type unitKey struct {
		field int32
		eager bool
	}
	byField := map[unitKey]*lits{}
	var order []unitKey
	for i := range g.atoms {
		p := g.preds[i]
		k := unitKey{g.field[i], len(g.hang[i]) > 0}
		l := byField[k]
		if l == nil {
			l = &lits{}
			byField[k] = l
			order = append(order, k)
		}
		lit := literal{p.lit, i}
		switch p.op {
		case opEqual:
			l.exact = append(l.exact, lit)
		case opPrefix:
			l.prefix = append(l.prefix, lit)
		case opSuffix:
			l.suffix = append(l.suffix, lit)
		default:
			l.contains = append(l.contains, lit)
		}
	}
	g.unit = make([]int32, g.atoms)
	add := func(u unit, eager bool, parts ...[]literal) {
		id := int32(len(g.units))
		g.units = append(g.units, u)
		if eager {
			g.eager = append(g.eager, id)
		}
		for _, p := range parts {
			for _, l := range p {
				g.unit[l.id] = id
			}
		}
	}
	for _, k := range order {
		l := byField[k]
		if len(l.exact)+len(l.prefix)+len(l.suffix) > 0 {
			add(unit{field: k.field, table: newTable(l.exact, l.prefix, l.suffix)}, k.eager, l.exact, l.prefix, l.suffix)
		}
		if len(l.contains) > 0 {
			add(unit{field: k.field, auto: newAutomaton(l.contains)}, k.eager, l.contains)
		}
	}
}
