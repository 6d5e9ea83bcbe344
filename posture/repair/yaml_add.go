package repair

import (
	"bytes"
	"encoding/json"
	"fmt"
	"maps"
	"reflect"
	"slices"
	"strings"

	"github.com/goccy/go-yaml/token"

	"github.com/minewarden/minewarden/internal/yamltree"
)

// add writes a new key into a map that is there.
func (y *yamlEditor) add(n *yamltree.Node, key []string, _ []*yamltree.Node) ([]byte, error) {
	value := y.value
	if n.Flow || len(n.Pairs) == 0 {
		for i := len(key) - 1; i > 0; i-- {
			value = map[string]any{key[i]: value}
		}
		text, err := renderYAML(map[string]any{key[0]: value})
		if err != nil {
			return nil, err
		}
		from, _, err := y.span(n)
		if err != nil {
			return nil, err
		}
		inner := strings.TrimSuffix(strings.TrimPrefix(text, "{"), "}")
		if len(n.Pairs) > 0 {
			inner += ", "
		}
		return splice(y.data, from+1, from+1, inner), nil
	}
	// Before the first key that is written here, at its column; after "- " that means on a line of its own below.
	first := n.Pairs[0]
	for _, p := range n.Pairs {
		if !p.Merged {
			first = p
			break
		}
	}
	if first.Merged {
		return nil, fmt.Errorf("%w: the map is all merged", ErrByHand)
	}
	text, err := y.block(key, first.Column-1)
	if err != nil {
		return nil, err
	}
	from, err := y.offset(first.Line, first.Column)
	if err != nil {
		return nil, err
	}
	start := y.lines[first.Line-1]
	if strings.TrimSpace(string(y.data[start:from])) == "" {
		end := y.blockEnd(first.Line, first.Column, first.Value.Kind == yamltree.Seq && !first.Value.Flow)
		return y.insertAt(end, text), nil
	}
	end := y.blockEnd(first.Line, first.Column, first.Value.Kind == yamltree.Seq && !first.Value.Flow)
	return y.insertAt(end, text), nil
}

func (y *yamlEditor) insertAt(at int, text string) []byte {
	if at > 0 && y.data[at-1] != '\n' {
		nl := newline(y.data)
		text = nl + strings.TrimSuffix(text, nl)
	}
	return splice(y.data, at, at, text)
}

func (y *yamlEditor) block(key []string, indent int) (string, error) {
	nl := newline(y.data)
	var b strings.Builder
	for i, k := range key {
		name, err := renderYAML(k)
		if err != nil {
			return "", err
		}
		b.WriteString(strings.Repeat(" ", indent+2*i) + name + ":")
		if i < len(key)-1 {
			b.WriteString(nl)
		}
	}
	text, err := renderYAML(y.value)
	if err != nil {
		return "", err
	}
	return b.String() + " " + text + nl, nil
}

// fill gives a key without a value one.
func (y *yamlEditor) fill(p *yamltree.Pair, rest []string) ([]byte, error) {
	from, err := y.offset(p.Line, p.Column)
	if err != nil {
		return nil, err
	}
	_, end, _ := y.lineSpan(p.Line)
	colon := bytes.IndexByte(y.data[from:end], ':')
	if colon < 0 {
		return nil, fmt.Errorf("%w: %s shares its line", ErrByHand, p.Key)
	}
	at := from + colon + 1
	tail := strings.TrimSpace(string(y.data[at:end]))
	if len(rest) > 0 {
		if tail != "" && tail[0] != '#' {
			return nil, fmt.Errorf("%w: %s has a value", ErrByHand, p.Key)
		}
		text, err := y.block(rest, p.Column+1)
		if err != nil {
			return nil, err
		}
		return y.insertAt(end, text), nil
	}
	text, err := renderYAML(y.value)
	if err != nil {
		return nil, err
	}
	if tail == "null" || tail == "~" {
		to := at + bytes.Index(y.data[at:end], []byte(tail)) + len(tail)
		return splice(y.data, at, to, " "+text), nil
	}
	if tail != "" && tail[0] != '#' {
		return nil, fmt.Errorf("%w: %s has a value", ErrByHand, p.Key)
	}
	return splice(y.data, at, at, " "+text), nil
}

// renderYAML writes a value on one line.
func renderYAML(value any) (string, error) {
	switch v := value.(type) {
	case nil:
		return "null", nil
	case bool, json.Number:
		return text(v)
	case string:
		if v == "" || token.IsNeedQuoted(v) || strings.ContainsAny(v, ",[]{}#:") {
			b, err := json.Marshal(v)
			return string(b), err
		}
		return v, nil
	case []any:
		var parts []string
		for _, x := range v {
			t, err := renderYAML(x)
			if err != nil {
				return "", err
			}
			parts = append(parts, t)
		}
		return "[" + strings.Join(parts, ", ") + "]", nil
	case map[string]any:
		var parts []string
		for _, k := range slices.Sorted(maps.Keys(v)) {
			name, err := renderYAML(k)
			if err != nil {
				return "", err
			}
			t, err := renderYAML(v[k])
			if err != nil {
				return "", err
			}
			parts = append(parts, name+": "+t)
		}
		return "{" + strings.Join(parts, ", ") + "}", nil
	}
	return "", fmt.Errorf("%w: a value of type %s", ErrByHand, reflect.TypeOf(value))
}
