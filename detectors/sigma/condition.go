package sigma

import (
	"fmt"
	"strings"
)

const (
	maxConditionBytes = 64 << 10
	maxConditionDepth = 64
)

// parseCondition reads a condition over the named selections: names, not, and, or, brackets, "1 of", "any of" and
// "all of" with "them" or a pattern. A name that starts with "_" is not among "them".
func parseCondition(text string, names []string, sels map[string]*expr) (*expr, error) {
	if len(text) > maxConditionBytes {
		return nil, fmt.Errorf("the condition has %d bytes; at most %d are read", len(text), maxConditionBytes)
	}
	p := conditionParser{names: names, sels: sels}
	if err := p.split(text); err != nil {
		return nil, err
	}
	if len(p.tokens) == 0 {
		return nil, fmt.Errorf("the condition is empty")
	}
	e, err := p.or(0)
	if err != nil {
		return nil, err
	}
	if p.pos < len(p.tokens) {
		return nil, fmt.Errorf("condition: %q is not expected after %q", p.tokens[p.pos], p.tokens[p.pos-1])
	}
	return e, nil
}

type conditionParser struct {
	tokens []string
	pos    int
	names  []string
	sels   map[string]*expr
}

func (p *conditionParser) split(text string) error {
	for i := 0; i < len(text); {
		switch c := text[i]; {
		case c == ' ' || c == '\t' || c == '\n' || c == '\r':
			i++
		case c == '(' || c == ')':
			p.tokens = append(p.tokens, text[i:i+1])
			i++
		case c == '|':
			return fmt.Errorf("condition: aggregations after | were removed from Sigma: use a correlation rule")
		case nameByte(c):
			j := i
			for j < len(text) && nameByte(text[j]) {
				j++
			}
			p.tokens = append(p.tokens, text[i:j])
			i = j
		default:
			return fmt.Errorf("condition: %q is not expected", text[i:i+1])
		}
	}
	return nil
}

func nameByte(c byte) bool {
	return c == '_' || c == '*' || c == '?' || c == '-' || c == '.' || c >= '0' && c <= '9' || c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z' || c >= 0x80
}

func (p *conditionParser) peek() string {
	if p.pos < len(p.tokens) {
		return strings.ToLower(p.tokens[p.pos])
	}
	return ""
}

func (p *conditionParser) or(depth int) (*expr, error) { return p.chain("or", depth, p.and) }

func (p *conditionParser) and(depth int) (*expr, error) { return p.chain("and", depth, p.unary) }

func (p *conditionParser) chain(word string, depth int, next func(int) (*expr, error)) (*expr, error) {
	first, err := next(depth)
	if err != nil {
		return nil, err
	}
	kids := []*expr{first}
	for p.peek() == word {
		p.pos++
		e, err := next(depth)
		if err != nil {
			return nil, err
		}
		kids = append(kids, e)
	}
	if word == "or" {
		return or(kids...), nil
	}
	return and(kids...), nil
}

func (p *conditionParser) unary(depth int) (*expr, error) {
	if depth > maxConditionDepth {
		return nil, fmt.Errorf("condition: more than %d levels of brackets and nots", maxConditionDepth)
	}
	if p.pos >= len(p.tokens) {
		return nil, fmt.Errorf("condition: it ends where a name is expected")
	}
	token := p.tokens[p.pos]
	p.pos++
	switch word := strings.ToLower(token); word {
	case "not":
		e, err := p.unary(depth + 1)
		if err != nil {
			return nil, err
		}
		return not(e), nil
	case "(":
		e, err := p.or(depth + 1)
		if err != nil {
			return nil, err
		}
		if p.peek() != ")" {
			return nil, fmt.Errorf("condition: a closing bracket is missing")
		}
		p.pos++
		return e, nil
	case ")", "and", "or":
		return nil, fmt.Errorf("condition: %q is not expected", token)
	default:
		if p.peek() == "of" {
			return p.of(word)
		}
		return p.name(token)
	}
}

func (p *conditionParser) name(token string) (*expr, error) {
	if e := p.sels[token]; e != nil {
		return e, nil
	}
	if strings.ContainsAny(token, "*?") { // written so by some authors, meant as "1 of"
		if found := p.find(token); len(found) > 0 {
			return or(found...), nil
		}
	}
	return nil, fmt.Errorf("condition: there is no selection %q", token)
}

func (p *conditionParser) of(quantity string) (*expr, error) {
	p.pos++ // "of"
	if p.pos >= len(p.tokens) {
		return nil, fmt.Errorf("condition: it ends after %q", quantity+" of")
	}
	pattern := p.tokens[p.pos]
	p.pos++
	if pattern == "(" || pattern == ")" {
		return nil, fmt.Errorf("condition: %q needs a name, a pattern or them", quantity+" of")
	}
	found := p.find(pattern)
	if len(found) == 0 {
		return nil, fmt.Errorf("condition: no selection has a name like %q", pattern)
	}
	switch quantity {
	case "1", "any":
		return or(found...), nil
	case "all":
		return and(found...), nil
	default:
		return nil, fmt.Errorf("condition: %q is not part of Sigma: use 1 of, any of or all of", quantity+" of")
	}
}

func (p *conditionParser) find(pattern string) []*expr {
	var found []*expr
	them := strings.EqualFold(pattern, "them")
	g := newGlob(globParts(pattern, false))
	for _, name := range p.names {
		if them && name[:min(1, len(name))] != "_" || !them && g.match(name) {
			found = append(found, p.sels[name])
		}
	}
	return found
}
