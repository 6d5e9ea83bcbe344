package sigma

import (
	"errors"
	"strings"
	"unicode"
	"unicode/utf8"
)

var (
	errWild   = errors.New("a value with wildcards cannot be encoded")
	errDashes = errors.New("more dashes than windash is willing to vary")
)

// A part of a pattern is a text, or one wildcard.
type part struct {
	lit  string
	wild byte // 0, '*' or '?'
}

// globParts splits a pattern at its wildcards. Where escapes hold, a backslash before a wildcard or a backslash takes the
// meaning from it; before anything else it is a backslash.
func globParts(s string, escapes bool) []part {
	var parts []part
	var lit []byte
	flush := func() {
		if len(lit) > 0 {
			parts = append(parts, part{lit: string(lit)})
			lit = nil
		}
	}
	for i := 0; i < len(s); i++ {
		switch c := s[i]; {
		case escapes && c == '\\' && i+1 < len(s) && (s[i+1] == '*' || s[i+1] == '?' || s[i+1] == '\\'):
			i++
			lit = append(lit, s[i])
		case c == '*' || c == '?':
			flush()
			if c == '*' && len(parts) > 0 && parts[len(parts)-1].wild == '*' {
				continue
			}
			parts = append(parts, part{wild: c})
		default:
			lit = append(lit, c)
		}
	}
	flush()
	return parts
}

// stringExpr compiles a text with its position to the cheapest test that says the same.
func stringExpr(field, position string, cased bool, parts []part) *expr {
	star := part{wild: '*'}
	if position == "contains" || position == "endswith" || field == "" && position == "" {
		parts = append([]part{star}, parts...)
	}
	if position == "contains" || position == "startswith" || field == "" && position == "" {
		parts = append(parts, star)
	}
	parts = joinParts(parts)
	var e *expr
	switch {
	case len(parts) == 0:
		e = leaf(&pred{field: field, op: opEqual})
	case len(parts) == 1 && parts[0].wild == 0:
		e = leaf(&pred{field: field, op: opEqual, lit: parts[0].lit})
	case len(parts) == 1 && parts[0].wild == '*':
		return leaf(&pred{field: field, op: opExists})
	case len(parts) == 2 && parts[0].wild == 0 && parts[1].wild == '*':
		e = leaf(&pred{field: field, op: opPrefix, lit: parts[0].lit})
	case len(parts) == 2 && parts[0].wild == '*' && parts[1].wild == 0:
		e = leaf(&pred{field: field, op: opSuffix, lit: parts[1].lit})
	case len(parts) == 3 && parts[0].wild == '*' && parts[1].wild == 0 && parts[2].wild == '*':
		e = leaf(&pred{field: field, op: opContains, lit: parts[1].lit})
	}
	if e != nil {
		p := e.pred
		if !cased {
			p.lit = fold(p.lit)
			return e
		}
		need := *p
		need.lit = fold(p.lit)
		p.cased = true
		return and(leaf(&need), e)
	}
	return globExpr(field, cased, parts)
}

// globExpr tests a pattern with wildcards within: first that its texts are there, which the index knows, then their order.
func globExpr(field string, cased bool, parts []part) *expr {
	var kids []*expr
	for i, p := range parts {
		if p.wild != 0 {
			continue
		}
		need := &pred{field: field, op: opContains, lit: fold(p.lit)}
		switch {
		case i == 0:
			need.op = opPrefix
		case i == len(parts)-1:
			need.op = opSuffix
		}
		kids = append(kids, leaf(need))
	}
	key := make([]string, len(parts))
	for i, p := range parts {
		if !cased {
			parts[i].lit = fold(p.lit)
		}
		key[i] = parts[i].lit + "\x00" + string(rune(p.wild))
	}
	kids = append(kids, leaf(&pred{field: field, op: opGlob, cased: cased, lit: strings.Join(key, "\x01"), glob: newGlob(parts)}))
	return and(kids...)
}

// joinParts removes what concatenation left: texts side by side and stars side by side.
func joinParts(parts []part) []part {
	var out []part
	for _, p := range parts {
		if n := len(out); n > 0 && p.wild == '*' && out[n-1].wild == '*' {
			continue
		} else if n > 0 && p.wild == 0 && out[n-1].wild == 0 {
			out[n-1].lit += p.lit
			continue
		}
		if p.wild != 0 || p.lit != "" {
			out = append(out, p)
		}
	}
	return out
}

// A glob matches a whole text. It takes time linear in the text for each star, never exponential.
type glob struct{ parts []part }

func newGlob(parts []part) *glob { return &glob{parts} }

func (g *glob) match(s string) bool {
	p, i := 0, 0
	star, mark := -1, 0
	for {
		if p == len(g.parts) {
			if i == len(s) {
				return true
			}
		} else {
			switch part := g.parts[p]; part.wild {
			case '*':
				if p == len(g.parts)-1 {
					return true
				}
				star, mark = p, i
				p++
				continue
			case '?':
				if i < len(s) {
					_, w := utf8.DecodeRuneInString(s[i:])
					p, i = p+1, i+w
					continue
				}
			default:
				if strings.HasPrefix(s[i:], part.lit) {
					p, i = p+1, i+len(part.lit)
					continue
				}
			}
		}
		if star < 0 || mark >= len(s) {
			return false
		}
		// The last star takes one character more, or all up to where the text after it is next found.
		_, w := utf8.DecodeRuneInString(s[mark:])
		mark += w
		if next := g.parts[star+1]; next.wild == 0 {
			skip := strings.Index(s[mark:], next.lit)
			if skip < 0 {
				return false
			}
			mark += skip
		}
		p, i = star+1, mark
	}
}

// fold returns s in the form in which texts are compared without case: lower case, invalid UTF-8 kept as it is.
func fold(s string) string {
	return string(appendFold(nil, s))
}

func appendFold(dst []byte, s string) []byte {
	for i := 0; i < len(s); i++ {
		c := s[i]
		if c >= utf8.RuneSelf {
			return appendFoldSlow(dst, s[i:])
		}
		if 'A' <= c && c <= 'Z' {
			c += 'a' - 'A'
		}
		dst = append(dst, c)
	}
	return dst
}

func appendFoldSlow(dst []byte, s string) []byte {
	for i := 0; i < len(s); {
		r, w := utf8.DecodeRuneInString(s[i:])
		if r == utf8.RuneError && w == 1 {
			dst = append(dst, s[i])
		} else {
			dst = utf8.AppendRune(dst, foldRune(r))
		}
		i += w
	}
	return dst
}

func foldRune(r rune) rune {
	if r == 'ſ' { // the one letter whose lower case is not that of its upper case's ASCII form
		return 's'
	}
	return unicode.ToLower(r)
}
