package repair

import (
	"bytes"
	"fmt"
	"strings"
	"unicode/utf8"

	"github.com/minewarden/minewarden"
	"github.com/minewarden/minewarden/internal/yamltree"
)

// A yamlEditor edits by lines and columns. What it cannot place to the character it leaves to a person.
type yamlEditor struct {
	data  []byte
	lines []int // offset of each line
	edit  minewarden.Edit
	value any
}

// editYAML follows the key from the root. In a file of several documents the first element names one, as "#1".
func editYAML(data []byte, e minewarden.Edit, value any) ([]byte, error) {
	docs, err := yamltree.Parse(data)
	if err != nil {
		return nil, fmt.Errorf("%w: %w", ErrByHand, err)
	}
	key, doc := e.Key, 0
	if strings.HasPrefix(key[0], "#") {
		n, ok := number(key[0][1:])
		if !ok || n >= len(docs) {
			return nil, fmt.Errorf("%w: there is no document %s", ErrByHand, key[0])
		}
		doc, key = n, key[1:]
	} else if len(docs) > 1 {
		return nil, fmt.Errorf("%w: the file has %d documents and the key names none", ErrByHand, len(docs))
	}
	if len(docs) == 0 || len(key) == 0 {
		return nil, fmt.Errorf("%w: the file is empty", ErrByHand)
	}
	y := &yamlEditor{data: data, lines: []int{0}, edit: e, value: value}
	for i, c := range data {
		if c == '\n' {
			y.lines = append(y.lines, i+1)
		}
	}
	out, err := y.follow(docs[doc], key)
	if err != nil || bytes.Equal(out, data) {
		return out, err
	}
	return out, verifyYAML(out, doc, key, e, value)
}

// verifyYAML reads the result again: an edit that was placed wrongly shows here, not in production.
func verifyYAML(out []byte, doc int, key []string, e minewarden.Edit, value any) error {
	docs, err := yamltree.Parse(out)
	if err != nil {
		return fmt.Errorf("%w: the repaired text is not YAML: %w", ErrByHand, err)
	}
	if doc >= len(docs) {
		return fmt.Errorf("%w: the repaired text lost a document", ErrByHand)
	}
	n := docs[doc]
	for _, k := range key {
		if i, ok := number(k); ok && n.Kind == yamltree.Seq {
			if i >= len(n.Items) {
				n = nil
			} else {
				n = n.Items[i]
			}
		} else {
			n = n.Get(k)
		}
		if n == nil {
			break
		}
	}
	if e.Op == minewarden.EditDelete {
		return nil // of a list the next element has moved up; the check is run again anyway
	}
	if n == nil || !equalYAML(n, value) {
		return fmt.Errorf("%w: the repaired text does not hold the value", ErrByHand)
	}
	return nil
}

func equalYAML(n *yamltree.Node, value any) bool {
	switch v := value.(type) {
	case []any:
		if n.Kind != yamltree.Seq || len(n.Items) != len(v) {
			return false
		}
		for i := range v {
			if !equalYAML(n.Items[i], v[i]) {
				return false
			}
		}
		return true
	case map[string]any:
		if n.Kind != yamltree.Map || len(n.Pairs) != len(v) {
			return false
		}
		for k, x := range v {
			if c := n.Get(k); c == nil || !equalYAML(c, x) {
				return false
			}
		}
		return true
	case nil:
		return n.Kind == yamltree.Null
	case string:
		return n.Kind == yamltree.Scalar && n.Str && n.Value == v
	}
	t, err := text(value)
	return err == nil && n.Kind == yamltree.Scalar && !n.Str && n.Value == t
}

func (y *yamlEditor) follow(n *yamltree.Node, key []string) ([]byte, error) {
	del := y.edit.Op == minewarden.EditDelete
	var parents []*yamltree.Node
	for i, k := range key {
		last := i == len(key)-1
		parents = append(parents, n)
		switch n.Kind {
		case yamltree.Map:
			p := n.Pair(k)
			switch {
			case p == nil && del:
				return y.data, nil
			case p == nil:
				return y.add(n, key[i:], parents)
			case p.Merged:
				return nil, fmt.Errorf("%w: %s comes through a merge key", ErrByHand, k)
			case last && del:
				return y.cutPair(n, p)
			case last:
				return y.put(p.Value, p)
			case p.Value.Kind == yamltree.Null:
				return y.fill(p, key[i+1:])
			}
			n = p.Value
		case yamltree.Seq:
			at, ok := number(k)
			if !ok || at >= len(n.Items) {
				if del {
					return y.data, nil
				}
				return nil, fmt.Errorf("%w: the list has no element %s", ErrByHand, k)
			}
			if last && del {
				return y.cutItem(n, at)
			}
			if last {
				return y.put(n.Items[at], nil)
			}
			n = n.Items[at]
		default:
			return nil, fmt.Errorf("%w: %s is neither a map nor a list", ErrByHand, strings.Join(key[:i], "."))
		}
	}
	return y.data, nil
}

// offset of a line and a column counted in characters.
func (y *yamlEditor) offset(line, column int) (int, error) {
	if line < 1 || line > len(y.lines) {
		return 0, fmt.Errorf("%w: no line %d", ErrByHand, line)
	}
	at := y.lines[line-1]
	for c := 1; c < column; c++ {
		if at >= len(y.data) || y.data[at] == '\n' {
			return 0, fmt.Errorf("%w: line %d has no column %d", ErrByHand, line, column)
		}
		_, size := utf8.DecodeRune(y.data[at:])
		at += size
	}
	return at, nil
}

// span returns where a scalar's or a flow collection's text lies.
func (y *yamlEditor) span(n *yamltree.Node) (from, to int, err error) {
	if from, err = y.offset(n.Line, n.Column); err != nil {
		return 0, 0, err
	}
	if n.Kind == yamltree.Scalar && !n.Block {
		return from, from + scalarLen(y.data[from:], n), nil
	}
	if (n.Kind == yamltree.Seq || n.Kind == yamltree.Map) && n.Flow {
		if n := flowLen(y.data[from:]); n > 0 {
			return from, from + n, nil
		}
	}
	return 0, 0, fmt.Errorf("%w: the value spans lines", ErrByHand)
}

// scalarLen is the length of the scalar that data begins with.
func scalarLen(data []byte, n *yamltree.Node) int {
	if len(data) > 0 && (data[0] == '"' || data[0] == '\'') {
		q := data[0]
		for i := 1; i < len(data); i++ {
			switch {
			case data[i] == '\\' && q == '"':
				i++
			case data[i] == q && q == '\'' && i+1 < len(data) && data[i+1] == q:
				i++
			case data[i] == q:
				return i + 1
			}
		}
		return 0
	}
	if bytes.HasPrefix(data, []byte(n.Value)) {
		return len(n.Value)
	}
	return 0
}

func flowLen(data []byte) int {
	depth, quote := 0, byte(0)
	for i := 0; i < len(data); i++ {
		c := data[i]
		switch {
		case quote != 0:
			if c == '\\' && quote == '"' {
				i++
			} else if c == quote {
				quote = 0
			}
		case c == '"' || c == '\'':
			quote = c
		case c == '[' || c == '{':
			depth++
		case c == ']' || c == '}':
			if depth--; depth == 0 {
				return i + 1
			}
		}
	}
	return 0
}
