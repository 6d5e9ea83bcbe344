package sigma

import (
	"regexp/syntax"
	"slices"
	"unicode/utf8"
)

// Regular expressions are the dearest tests: most of these functions find out, when a rule is compiled, what must be in a
// value for an expression to match at all. All that is found is necessary, never sufficient.

const (
	maxForms  = 48 // texts of which one must be there
	maxFormed = 32 // bytes of such a text
	minRun    = 8  // shorter runs are in everything
)

// quick is what a value must have, beside texts, for an expression to match.
type quick struct {
	minLen int
	run    int // so many bytes of class in a row; 0: not needed
	class  *[256]bool
	whole  *syntax.Regexp // the expression is but this class, at least run times: no machine is needed
}

// match looks for the run of a class that is the whole expression.
func (q *quick) match(s string) bool {
	n := 0
	for _, r := range s {
		if !inClass(q.whole, r) {
			n = 0
		} else if n++; n >= q.run {
			return true
		}
	}
	return false
}

func inClass(re *syntax.Regexp, r rune) bool {
	switch re.Op {
	case syntax.OpAnyChar:
		return true
	case syntax.OpAnyCharNotNL:
		return r != '\n'
	}
	for i := 0; i+1 < len(re.Rune); i += 2 {
		if re.Rune[i] <= r && r <= re.Rune[i+1] {
			return true
		}
	}
	return false
}

func (q *quick) may(s string) bool {
	if len(s) < q.minLen {
		return false
	}
	if q.run == 0 || q.class == nil {
		return true
	}
	// The last byte of a possible run first: most are ruled out without looking at the rest.
	for end := q.run - 1; end < len(s); {
		i := end
		for i > end-q.run && q.class[s[i]] {
			i--
		}
		if i == end-q.run {
			return true
		}
		end = i + q.run
	}
	return false
}

// prefilter returns a test for texts of which one is in every match, or nil, and the rest of what is needed.
func prefilter(field, pattern string) (*expr, quick) {
	parsed, err := syntax.Parse(pattern, syntax.Perl)
	if err != nil {
		return nil, quick{}
	}
	q := quick{minLen: shortestMatch(parsed, 0)}
	if sub := parsed.Sub; parsed.Op == syntax.OpRepeat && parsed.Min > 0 &&
		(sub[0].Op == syntax.OpAnyChar || sub[0].Op == syntax.OpAnyCharNotNL || sub[0].Op == syntax.OpCharClass) {
		return nil, quick{minLen: q.minLen, run: parsed.Min, whole: sub[0]}
	}
	findRun(parsed, &q, 0)
	var all []*expr
	for _, set := range needs(parsed, 0) {
		kids := make([]*expr, len(set))
		for i, f := range set {
			kids[i] = leaf(&pred{field: field, op: opContains, lit: f})
		}
		all = append(all, or(kids...))
	}
	if len(all) == 0 {
		return nil, q
	}
	return and(all...), q
}

// shortestMatch returns a lower bound of the length of a match in bytes.
func shortestMatch(re *syntax.Regexp, depth int) int {
	if depth > 200 {
		return 0
	}
	const enough = 1 << 16
	switch re.Op {
	case syntax.OpLiteral:
		return len(re.Rune)
	case syntax.OpCharClass, syntax.OpAnyChar, syntax.OpAnyCharNotNL:
		return 1
	case syntax.OpCapture, syntax.OpPlus:
		return shortestMatch(re.Sub[0], depth+1)
	case syntax.OpRepeat:
		return min(re.Min*shortestMatch(re.Sub[0], depth+1), enough)
	case syntax.OpConcat:
		n := 0
		for _, sub := range re.Sub {
			n = min(n+shortestMatch(sub, depth+1), enough)
		}
		return n
	case syntax.OpAlternate:
		n := enough
		for _, sub := range re.Sub {
			n = min(n, shortestMatch(sub, depth+1))
		}
		return n
	default:
		return 0
	}
}

// findRun looks for the longest class{n,} that every match has.
func findRun(re *syntax.Regexp, q *quick, depth int) {
	if depth > 200 {
		return
	}
	switch re.Op {
	case syntax.OpCapture, syntax.OpPlus:
		findRun(re.Sub[0], q, depth+1)
	case syntax.OpConcat:
		for _, sub := range re.Sub {
			findRun(sub, q, depth+1)
		}
	case syntax.OpRepeat:
		sub := re.Sub[0]
		if re.Min < minRun || re.Min <= q.run || sub.Op != syntax.OpCharClass {
			return
		}
		var class [256]bool
		for i := 0; i+1 < len(sub.Rune); i += 2 {
			if sub.Rune[i+1] >= utf8.RuneSelf {
				return // runs are counted in bytes
			}
			for r := sub.Rune[i]; r <= sub.Rune[i+1]; r++ {
				class[r] = true
			}
		}
		q.run, q.class = re.Min, &class
	}
}

// needs returns sets of folded texts: of each set, one is in every match. The rarest set is first.
func needs(re *syntax.Regexp, depth int) [][]string {
	if depth > 100 {
		return nil
	}
	switch re.Op {
	case syntax.OpCapture, syntax.OpPlus:
		return needs(re.Sub[0], depth+1)
	case syntax.OpRepeat:
		if re.Min > 0 {
			return needs(re.Sub[0], depth+1)
		}
	case syntax.OpLiteral, syntax.OpCharClass:
		return addSet(nil, forms(re))
	case syntax.OpConcat:
		return needsOfConcat(re, depth)
	case syntax.OpAlternate:
		var all []string
		for _, sub := range re.Sub {
			got := needs(sub, depth+1)
			if len(got) == 0 || len(all)+len(got[0]) > maxForms {
				return nil
			}
			all = append(all, got[0]...)
		}
		slices.Sort(all)
		return addSet(nil, slices.Compact(all))
	}
	return nil
}

func needsOfConcat(re *syntax.Regexp, depth int) [][]string {
	var sets [][]string
	run := []string{""} // the texts that can stand right before the next part
	flush := func() {
		sets = addSet(sets, run)
		run = []string{""}
	}
	for _, sub := range re.Sub {
		for sub.Op == syntax.OpCapture {
			sub = sub.Sub[0]
		}
		switch sub.Op {
		case syntax.OpEmptyMatch, syntax.OpBeginLine, syntax.OpEndLine, syntax.OpBeginText, syntax.OpEndText,
			syntax.OpWordBoundary, syntax.OpNoWordBoundary:
			continue
		}
		inner, open := sub, false
		if sub.Op == syntax.OpPlus || sub.Op == syntax.OpRepeat && sub.Min > 0 {
			inner, open = sub.Sub[0], true
		}
		f := forms(inner)
		if f == nil {
			flush()
			for _, set := range needs(sub, depth+1) {
				sets = addSet(sets, set)
			}
			continue
		}
		if joined := cross(run, f); joined != nil {
			run = joined
		} else {
			flush()
			run = f
		}
		if open { // what is before it and what is after it touch its first and its last copy
			flush()
			run = f
		}
	}
	flush()
	return sets
}

// forms returns all folded texts that an expression of one literal or one small class matches, or nil.
func forms(re *syntax.Regexp) []string {
	switch re.Op {
	case syntax.OpLiteral:
		var b []byte
		for _, r := range re.Rune {
			if r == utf8.RuneError || r >= utf8.RuneSelf && re.Flags&syntax.FoldCase != 0 {
				return nil // such letters have more forms than two
			}
			b = utf8.AppendRune(b, foldRune(r))
		}
		return []string{string(b)}
	case syntax.OpCharClass:
		var out []string
		for i := 0; i+1 < len(re.Rune); i += 2 {
			if re.Rune[i+1]-re.Rune[i] > 2*maxForms || len(out) > 2*maxForms {
				return nil
			}
			for r := re.Rune[i]; r <= re.Rune[i+1]; r++ {
				if r == utf8.RuneError {
					return nil
				}
				out = append(out, string(foldRune(r)))
			}
		}
		slices.Sort(out)
		if out = slices.Compact(out); len(out) == 0 || len(out) > 10 {
			return nil
		}
		return out
	}
	return nil
}

func cross(a, b []string) []string {
	if len(a)*len(b) > maxForms || len(a[0])+len(b[0]) > maxFormed {
		return nil
	}
	out := make([]string, 0, len(a)*len(b))
	for _, x := range a {
		for _, y := range b {
			out = append(out, x+y)
		}
	}
	return out
}

const maxSets = 4

// addSet puts a set among others, rarest first. A set with an empty text says nothing.
func addSet(sets [][]string, set []string) [][]string {
	if len(set) == 0 || slices.Contains(set, "") {
		return sets
	}
	at := len(sets)
	for i, other := range sets {
		if slices.Equal(other, set) {
			return sets
		}
		if at == len(sets) && often(set) < often(other) {
			at = i
		}
	}
	sets = slices.Insert(sets, at, set)
	return sets[:min(len(sets), maxSets)]
}

func often(set []string) float64 {
	sum := 0.0
	for _, s := range set {
		sum += guess(&pred{op: opContains, lit: s})
	}
	return sum
}
