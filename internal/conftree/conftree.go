// Package conftree reads configuration in HCL (1 and 2), JSON and INI into one kind of tree, in which every value knows its
// file, line and column.
package conftree

import (
	"fmt"
	"strconv"
	"strings"
)

// Limits of one file. The largest configuration seen in use is a few hundred KiB.
const (
	MaxSize  = 4 << 20
	maxDepth = 100
)

// Kind is what a node is.
type Kind uint8

// The kinds. Unknown is an expression that needs a variable or function: Text is its source.
const (
	Null Kind = iota
	Object
	List
	String
	Number
	Bool
	Unknown
)

// A Node is one value.
type Node struct {
	Kind   Kind
	Text   string // of String, Number, Bool, Unknown
	Fields []Field
	Items  []*Node
	File   string
	Line   int // from 1
	Column int // from 1
}

// A Field is one entry of an object. Keys may repeat, as HCL blocks do.
type Field struct {
	Key   string
	Value *Node
}

// An Error is a text that cannot be read, and where.
type Error struct {
	File         string
	Line, Column int
	Message      string
}

func (e *Error) Error() string {
	return fmt.Sprintf("%s:%d:%d: %s", e.File, e.Line, e.Column, e.Message)
}

// All returns every value at path, in file order. Lists of objects on the way are looked into, for JSON writes repeated
// blocks so.
func (n *Node) All(path ...string) []*Node {
	if n == nil {
		return nil
	}
	if len(path) == 0 {
		return []*Node{n}
	}
	var out []*Node
	switch n.Kind {
	case Object:
		for _, f := range n.Fields {
			if f.Key == path[0] {
				out = append(out, f.Value.All(path[1:]...)...)
			}
		}
	case List:
		for _, i := range n.Items {
			if i.Kind == Object || i.Kind == List {
				out = append(out, i.All(path...)...)
			}
		}
	}
	return out
}

// Get returns the last value at path, which is the one in force; nil when there is none.
func (n *Node) Get(path ...string) *Node {
	all := n.All(path...)
	if len(all) == 0 {
		return nil
	}
	return all[len(all)-1]
}

// Last returns the last value at path of several files, read in the order in which they count.
func Last(trees []*Node, path ...string) *Node {
	for i := len(trees) - 1; i >= 0; i-- {
		if n := trees[i].Get(path...); n != nil {
			return n
		}
	}
	return nil
}

// Bool returns the value as a boolean; known is false for nil and for what is none.
func (n *Node) Bool() (value, known bool) {
	if n == nil {
		return false, false
	}
	switch strings.ToLower(strings.TrimSpace(n.Text)) {
	case "true", "1", "yes", "on", "t":
		return true, n.Kind != Unknown
	case "false", "0", "no", "off", "f", "":
		return false, n.Kind != Unknown && n.Kind != Object && n.Kind != List
	}
	return false, false
}

// True tells a value that is set and true.
func (n *Node) True() bool { v, ok := n.Bool(); return ok && v }

// Str returns the text of a value, "" for nil.
func (n *Node) Str() string {
	if n == nil {
		return ""
	}
	return n.Text
}

// Int returns the value as a number.
func (n *Node) Int() (int, bool) {
	if n == nil {
		return 0, false
	}
	i, err := strconv.Atoi(n.Text)
	return i, err == nil
}

// Strings returns a list's texts, or a single value's.
func (n *Node) Strings() []string {
	switch {
	case n == nil || n.Kind == Null || n.Kind == Object:
		return nil
	case n.Kind == List:
		out := make([]string, 0, len(n.Items))
		for _, i := range n.Items {
			out = append(out, i.Text)
		}
		return out
	}
	return []string{n.Text}
}

// Keys returns the keys of an object, or of a list of objects.
func (n *Node) Keys() []string {
	if n == nil {
		return nil
	}
	var out []string
	for _, f := range n.Fields {
		out = append(out, f.Key)
	}
	for _, i := range n.Items {
		out = append(out, i.Keys()...)
	}
	return out
}

// Any returns plain values: map[string]any, []any, string, bool, float64. Of repeated keys a list is made.
func (n *Node) Any() any {
	if n == nil {
		return nil
	}
	switch n.Kind {
	case Object:
		m := map[string]any{}
		for _, f := range n.Fields {
			v := f.Value.Any()
			if old, ok := m[f.Key]; ok {
				if l, ok := old.([]any); ok {
					m[f.Key] = append(l, v)
				} else {
					m[f.Key] = []any{old, v}
				}
				continue
			}
			m[f.Key] = v
		}
		return m
	case List:
		out := make([]any, len(n.Items))
		for i, x := range n.Items {
			out[i] = x.Any()
		}
		return out
	case Bool:
		return n.Text == "true"
	case Number:
		if f, err := strconv.ParseFloat(n.Text, 64); err == nil {
			return f
		}
	case Null:
		return nil
	}
	return n.Text
}
