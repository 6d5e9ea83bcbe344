package sigma

const maxLeaves = 200_000 // tests of one rule after windash and base64offset made theirs

type exprKind uint8

const (
	exprPred exprKind = iota
	exprAnd
	exprOr
	exprNot
)

// An expr is a condition over tests of one event. Parts are shared: a selection that two branches name is one value.
type expr struct {
	kind exprKind
	kids []*expr
	pred *pred
}

func leaf(p *pred) *expr { return &expr{kind: exprPred, pred: p} }

func and(kids ...*expr) *expr {
	if len(kids) == 1 {
		return kids[0]
	}
	return &expr{kind: exprAnd, kids: kids}
}

func or(kids ...*expr) *expr {
	if len(kids) == 1 {
		return kids[0]
	}
	return &expr{kind: exprOr, kids: kids}
}

func not(e *expr) *expr {
	if e.kind == exprNot {
		return e.kids[0]
	}
	return &expr{kind: exprNot, kids: []*expr{e}}
}

// size returns the number of tests with shared parts counted as often as they are used, at most just over maxLeaves.
func (e *expr) size() int {
	if e.kind == exprPred {
		return 1
	}
	n := 0
	for _, k := range e.kids {
		if n += k.size(); n > maxLeaves {
			return n
		}
	}
	return n
}
