package sigma

import (
	"errors"
	"fmt"
	"strings"

	"github.com/goccy/go-yaml/ast"
	"github.com/goccy/go-yaml/parser"
)

// The bounds of one rule file. The largest file of SigmaHQ has 40 KiB and 6 levels.
const (
	maxFileBytes = 4 << 20 // a list of 100,000 hashes fits
	maxNodes     = 400_000 // values of one file after aliases were followed
	maxDepth     = 32      // levels of maps and lists
)

type nodeKind uint8

const (
	nodeNull nodeKind = iota
	nodeBool
	nodeNumber
	nodeString
	nodeList
	nodeMap
)

func (k nodeKind) String() string {
	return [...]string{"nothing", "a truth value", "a number", "a text", "a list", "a map"}[k]
}

// A node is one YAML value with its place in the file.
type node struct {
	kind  nodeKind
	text  string // of a scalar
	line  int
	col   int
	keys  []*node // of a map, in the order of the file
	items []*node // values of a map, or elements of a list
}

func (n *node) get(key string) *node {
	if n == nil || n.kind != nodeMap {
		return nil
	}
	for i, k := range n.keys {
		if k.text == key {
			return n.items[i]
		}
	}
	return nil
}

// str returns the text of a scalar under key, or nothing.
func (n *node) str(key string) string {
	v := n.get(key)
	if v == nil || v.kind == nodeList || v.kind == nodeMap {
		return ""
	}
	return v.text
}

// list returns n's elements, n itself where it is one value, or nothing.
func (n *node) list() []*node {
	switch {
	case n == nil:
		return nil
	case n.kind == nodeList:
		return n.items
	default:
		return []*node{n}
	}
}

// parseYAML returns the documents of a file. It is bounded in size, depth and number of values, and an error names the
// line.
func parseYAML(text []byte) (docs []*node, err error) {
	if len(text) > maxFileBytes {
		return nil, at(1, 1, fmt.Errorf("the file has %d bytes; at most %d are read", len(text), maxFileBytes))
	}
	if line := tooDeep(text); line > 0 {
		return nil, at(line, 1, fmt.Errorf("more than %d levels of nesting", maxDepth))
	}
	// The YAML library is third-party code on hostile input: its panic is an error of the file, not of the program.
	defer func() {
		if r := recover(); r != nil {
			docs, err = nil, at(1, 1, fmt.Errorf("read YAML: %v", r))
		}
	}()
	file, err := parser.ParseBytes(text, 0, parser.AllowDuplicateMapKey())
	if err != nil {
		return nil, yamlError(err)
	}
	for _, doc := range file.Docs {
		if doc == nil || doc.Body == nil {
			continue
		}
		r := reader{anchors: map[string]ast.Node{}}
		n, err := r.read(doc.Body, 0)
		if err != nil {
			return nil, err
		}
		docs = append(docs, n)
	}
	return docs, nil
}

// tooDeep returns the line at which brackets, or dashes of one line, nest deeper than any rule does, or 0. The YAML library
// recurses, so this has to be known before it is called.
func tooDeep(text []byte) int {
	depth, line, dashes, head := 0, 1, 0, true
	for i, c := range text {
		switch c {
		case '\n':
			line, dashes, head = line+1, 0, true
		case '[', '{':
			if depth++; depth > 8*maxDepth { // brackets within texts count too, hence the factor
				return line
			}
			head = false
		case ']', '}':
			depth = max(depth-1, 0)
			head = false
		case '-', '?', ':':
			if head && (i+1 >= len(text) || text[i+1] == ' ' || text[i+1] == '\t' || text[i+1] == '\n') {
				if dashes++; dashes > maxDepth {
					return line
				}
			} else if c != ':' {
				head = false
			}
		case ' ', '\t':
		case '&', '*', '!':
			if dashes++; dashes > 8*maxDepth {
				return line
			}
		default:
			head = false
		}
	}
	return 0
}

// placed is an error with its place in the file.
type placed struct {
	line, col int
	err       error
}

func (p *placed) Error() string { return p.err.Error() }
func (p *placed) Unwrap() error { return p.err }

func at(line, col int, err error) error {
	var p *placed
	if errors.As(err, &p) {
		return err
	}
	return &placed{line, col, err}
}

func (n *node) errorf(format string, args ...any) error {
	return &placed{n.line, n.col, fmt.Errorf(format, args...)}
}

func yamlError(err error) error {
	text, line, col := err.Error(), 1, 1
	// The library's text is "[line:col] reason\n source excerpt"; its error types are internal.
	if _, scanErr := fmt.Sscanf(text, "[%d:%d]", &line, &col); scanErr == nil {
		_, text, _ = strings.Cut(text, "] ")
	}
	text, _, _ = strings.Cut(text, "\n")
	return &placed{line, col, fmt.Errorf("read YAML: %s", text)}
}

type reader struct {
	anchors map[string]ast.Node
	nodes   int
}

func (r *reader) read(in ast.Node, depth int) (*node, error) {
	n := &node{line: 1, col: 1}
	if tk := in.GetToken(); tk != nil && tk.Position != nil {
		n.line, n.col = tk.Position.Line, tk.Position.Column
	}
	if r.nodes++; r.nodes > maxNodes {
		return nil, n.errorf("more than %d values", maxNodes)
	}
	if depth > maxDepth {
		return nil, n.errorf("more than %d levels of nesting", maxDepth)
	}
	switch v := in.(type) {
	case *ast.NullNode:
		n.kind = nodeNull
	case *ast.BoolNode:
		n.kind, n.text = nodeBool, "false"
		if v.Value {
			n.text = "true"
		}
	case *ast.IntegerNode:
		n.kind, n.text = nodeNumber, fmt.Sprint(v.Value)
	case *ast.FloatNode, *ast.InfinityNode, *ast.NanNode:
		n.kind, n.text = nodeNumber, in.GetToken().Value
	case *ast.StringNode:
		n.kind, n.text = nodeString, v.Value
	case *ast.LiteralNode:
		n.kind = nodeString
		if v.Value != nil {
			n.text = v.Value.Value
		}
	case *ast.TagNode:
		if v.Value == nil {
			return n, nil
		}
		got, err := r.read(v.Value, depth+1)
		if err == nil && v.Start != nil && v.Start.Value == "!!str" && got.kind < nodeString {
			got.kind = nodeString
		}
		return got, err
	case *ast.AnchorNode:
		if v.Name != nil && v.Value != nil {
			r.anchors[v.Name.String()] = v.Value
		}
		if v.Value == nil {
			return n, nil
		}
		return r.read(v.Value, depth+1)
	case *ast.AliasNode:
		target := r.anchors[v.Value.String()]
		if target == nil {
			return nil, n.errorf("alias *%s has no anchor", v.Value.String())
		}
		return r.read(target, depth+1)
	case *ast.SequenceNode:
		n.kind = nodeList
		for _, item := range v.Values {
			got, err := r.read(item, depth+1)
			if err != nil {
				return nil, err
			}
			n.items = append(n.items, got)
		}
	case *ast.MappingNode:
		n.kind = nodeMap
		if len(v.Values) > 0 {
			if tk := v.Values[0].Key.GetToken(); tk != nil && tk.Position != nil {
				n.line, n.col = tk.Position.Line, tk.Position.Column
			}
		}
		for _, pair := range v.Values {
			if err := r.pair(n, pair, depth); err != nil {
				return nil, err
			}
		}
	case *ast.MappingValueNode:
		n.kind = nodeMap
		return n, r.pair(n, v, depth)
	default:
		return nil, n.errorf("a YAML %s has no meaning in a rule", in.Type())
	}
	return n, nil
}

func (r *reader) pair(n *node, pair *ast.MappingValueNode, depth int) error {
	if pair.Key == nil || pair.Value == nil {
		return n.errorf("a map entry has no key or no value")
	}
	if pair.Key.IsMergeKey() {
		merged, err := r.read(pair.Value, depth+1)
		if err != nil {
			return err
		}
		for i, k := range merged.keys {
			if n.get(k.text) == nil {
				n.keys, n.items = append(n.keys, k), append(n.items, merged.items[i])
			}
		}
		return nil
	}
	var inner ast.Node = pair.Key
	if mk, ok := inner.(*ast.MappingKeyNode); ok && mk.Value != nil {
		inner = mk.Value
	}
	key, err := r.read(inner, depth+1)
	if err != nil {
		return err
	}
	if key.kind == nodeList || key.kind == nodeMap {
		return key.errorf("a key must be one value, not %s", key.kind)
	}
	if n.get(key.text) != nil && len(n.keys) < 1000 {
		return key.errorf("the key %q is here twice", key.text)
	}
	value, err := r.read(pair.Value, depth+1)
	if err != nil {
		return err
	}
	if value.kind == nodeNull {
		value.line, value.col = key.line, key.col
	}
	n.keys, n.items = append(n.keys, key), append(n.items, value)
	return nil
}
