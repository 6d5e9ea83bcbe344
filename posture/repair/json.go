package repair

import (
	"bytes"
	"encoding/json"
	"fmt"
	"reflect"
	"strings"

	"github.com/minewarden/minewarden"
)

// A jsonNode is a value with its place in the text.
type jsonNode struct {
	kind     byte // '{', '[', or 0 for a scalar
	from, to int
	members  []jsonMember
}

type jsonMember struct {
	name     string
	from     int // of the name's quote; of an element, of the value
	value    *jsonNode
	commaEnd int // offset after the comma that follows, 0 for none
}

type jsonParser struct {
	data []byte
	at   int
}

func parseJSON(data []byte) (*jsonNode, error) {
	if !json.Valid(data) { // also the answer to comments, which the product's parser would refuse as well
		return nil, fmt.Errorf("not valid JSON: %w", ErrByHand)
	}
	p := &jsonParser{data: data}
	p.space()
	return p.value(0)
}

func (p *jsonParser) space() {
	for p.at < len(p.data) && strings.IndexByte(" \t\r\n", p.data[p.at]) >= 0 {
		p.at++
	}
}

func (p *jsonParser) value(depth int) (*jsonNode, error) {
	if depth > maxDepth {
		return nil, fmt.Errorf("nested deeper than %d: %w", maxDepth, ErrByHand)
	}
	n := &jsonNode{from: p.at}
	switch c := p.data[p.at]; c {
	case '{', '[':
		n.kind = c
		p.at++
		for {
			p.space()
			if p.data[p.at] == '}' || p.data[p.at] == ']' {
				p.at++
				break
			}
			if p.data[p.at] == ',' {
				p.at++
				n.members[len(n.members)-1].commaEnd = p.at
				continue
			}
			m := jsonMember{from: p.at}
			if c == '{' {
				start := p.at
				p.str()
				if err := json.Unmarshal(p.data[start:p.at], &m.name); err != nil {
					return nil, err
				}
				p.space()
				p.at++ // the colon
				p.space()
			}
			v, err := p.value(depth + 1)
			if err != nil {
				return nil, err
			}
			m.value = v
			n.members = append(n.members, m)
		}
	case '"':
		p.str()
	default:
		for p.at < len(p.data) && strings.IndexByte(" \t\r\n,]}", p.data[p.at]) < 0 {
			p.at++
		}
	}
	n.to = p.at
	return n, nil
}

func (p *jsonParser) str() {
	for p.at++; p.data[p.at] != '"'; p.at++ {
		if p.data[p.at] == '\\' {
			p.at++
		}
	}
	p.at++
}

// find returns the index of key in n, -1 when it is not there. Of a name given twice the last counts, as to most readers.
func (n *jsonNode) find(key string) int {
	if n.kind == '[' {
		if i, ok := number(key); ok && i < len(n.members) {
			return i
		}
		return -1
	}
	for i := len(n.members) - 1; i >= 0; i-- {
		if n.members[i].name == key {
			return i
		}
	}
	return -1
}

func editJSON(data []byte, e minewarden.Edit, value any) ([]byte, error) {
	if len(bytes.TrimSpace(data)) == 0 {
		data = []byte("{}\n")
	}
	n, err := parseJSON(data)
	if err != nil {
		return nil, err
	}
	for i, key := range e.Key {
		if n.kind == 0 {
			if e.Op == minewarden.EditDelete {
				return data, nil
			}
			return nil, fmt.Errorf("%s is neither an object nor a list: %w", strings.Join(e.Key[:i], "."), ErrByHand)
		}
		at := n.find(key)
		switch {
		case at >= 0 && i < len(e.Key)-1:
			n = n.members[at].value
		case at >= 0 && e.Op == minewarden.EditDelete:
			return removeMember(data, n, at), nil
		case at >= 0:
			v := n.members[at].value
			if sameJSON(data[v.from:v.to], e.Value) {
				return data, nil
			}
			return splice(data, v.from, v.to, renderJSON(value, indentAt(data, v.from), unit(data), newline(data))), nil
		case e.Op == minewarden.EditDelete:
			return data, nil
		default:
			return insertMember(data, n, e.Key[i:], value)
		}
	}
	return data, nil
}

func sameJSON(a, b []byte) bool {
	var x, y any
	return json.Unmarshal(a, &x) == nil && json.Unmarshal(b, &y) == nil && reflect.DeepEqual(x, y)
}

// unit is the file's step of indentation, "" for a file on one line.
func unit(data []byte) string {
	for line := range bytes.Lines(data) {
		trimmed := bytes.TrimLeft(line, " \t")
		if n := len(line) - len(trimmed); n > 0 && len(bytes.TrimSpace(trimmed)) > 0 {
			return string(line[:n])
		}
	}
	if bytes.IndexByte(bytes.TrimSpace(data), '\n') >= 0 || len(bytes.TrimSpace(data)) <= 2 {
		return "  "
	}
	return ""
}

func renderJSON(value any, indent, step, nl string) string {
	compact := func(v any) string {
		var b bytes.Buffer
		enc := json.NewEncoder(&b)
		enc.SetEscapeHTML(false)
		if err := enc.Encode(v); err != nil {
			return "null" // a value that was decoded from JSON encodes
		}
		return strings.TrimSuffix(b.String(), "\n")
	}
	m, ok := value.(map[string]any)
	if !ok || step == "" {
		if list, isList := value.([]any); isList {
			var parts []string
			for _, v := range list {
				parts = append(parts, compact(v))
			}
			return "[" + strings.Join(parts, ", ") + "]"
		}
		return compact(value)
	}
	b, err := json.MarshalIndent(m, indent, step)
	if err != nil {
		return compact(value)
	}
	return strings.ReplaceAll(string(b), "\n", nl)
}

func insertMember(data []byte, n *jsonNode, keys []string, value any) ([]byte, error) {
	if n.kind == '[' {
		if i, ok := number(keys[0]); !ok || i != len(n.members) || len(keys) > 1 {
			return nil, fmt.Errorf("the list has no element %s: %w", keys[0], ErrByHand)
		}
	}
	for i := len(keys) - 1; i > 0; i-- {
		value = map[string]any{keys[i]: value}
	}
	step, nl := unit(data), newline(data)
	indent := indentAt(data, n.from) + step
	multi := step != "" && (bytes.IndexByte(data[n.from:n.to], '\n') >= 0 || len(n.members) == 0)
	text := renderJSON(value, indent, step, nl)
	if n.kind == '{' {
		name := renderJSON(keys[0], "", "", nl)
		text = name + ": " + text
	}
	if len(n.members) == 0 {
		if !multi || n.kind == '[' {
			return splice(data, n.from+1, n.to-1, text), nil
		}
		return splice(data, n.from+1, n.to-1, nl+indent+text+nl+indentAt(data, n.from)), nil
	}
	last := n.members[len(n.members)-1]
	if !multi {
		return splice(data, last.value.to, last.value.to, ", "+text), nil
	}
	return splice(data, last.value.to, last.value.to, ","+nl+indentAt(data, last.from)+text), nil
}

func removeMember(data []byte, n *jsonNode, at int) []byte {
	m := n.members[at]
	from, to := m.from, m.value.to
	if m.commaEnd > 0 {
		to = m.commaEnd
		if start, end, ok := wholeLines(data, from, to); ok {
			return splice(data, start, end, "")
		}
		for to < len(data) && (data[to] == ' ' || data[to] == '\t') {
			to++
		}
		return splice(data, from, to, "")
	}
	if at > 0 { // the last one takes the comma before it along
		from = n.members[at-1].value.to
	}
	if at == 0 {
		from, to = n.from+1, n.to-1
	}
	return splice(data, from, to, "")
}
