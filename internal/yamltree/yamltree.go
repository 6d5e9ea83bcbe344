// Package yamltree reads YAML (and so JSON) into a plain tree in which every node knows its line and column. It is what the
// audits of manifests and compose files walk, and what line edits are placed by.
package yamltree

import (
	"errors"
	"fmt"
	"strings"

	"github.com/goccy/go-yaml"
	"github.com/goccy/go-yaml/ast"
	"github.com/goccy/go-yaml/parser"
)

const (
	// MaxSize is the largest text that is parsed, in bytes: the largest object etcd stores is 1.5 MiB.
	MaxSize = 4 << 20
	// maxDepth keeps the recursion of the parser underneath, which has no limit of its own, far from the end of the stack.
	maxDepth = 200
	// maxKeys bounds the keys of one map: the parser underneath takes time by their square, 0.2 s for these and 10 s for 32,000.
	maxKeys = 4000
	// maxNodes bounds the tree of one file.
	maxNodes = 1 << 20
)

// Kind is what a node is.
type Kind uint8

// The kinds.
const (
	Null Kind = iota
	Scalar
	Map
	Seq
)

// A Node is one value. Aliases share the node of their anchor, so the tree is a graph without cycles: a walk must bound
// the number of nodes it visits.
type Node struct {
	Kind   Kind
	Value  string // of a scalar, unquoted
	Str    bool   // of a scalar: a string, not a number or boolean
	Block  bool   // of a scalar: a literal or folded block, whose text begins on the line after Line
	Flow   bool   // of a map or sequence: written in braces or brackets
	Line   int    // from 1
	Column int    // from 1, in characters
	Pairs  []Pair
	Items  []*Node
}

// A Pair is one entry of a map.
type Pair struct {
	Key    string
	Line   int // of the key
	Column int
	Value  *Node
	Merged bool // came in through a merge key: it is not written here
}

// An Error is text that is not YAML, and where.
type Error struct {
	Line, Column int
	Message      string
}

func (e *Error) Error() string {
	return fmt.Sprintf("line %d column %d: %s", e.Line, e.Column, e.Message)
}

// Parse returns the documents of data. What it returns beside an error is nil.
func Parse(data []byte) (docs []*Node, err error) {
	if len(data) > MaxSize {
		return nil, fmt.Errorf("%d bytes are more than the %d that are read", len(data), MaxSize)
	}
	if err := checkDepth(data); err != nil {
		return nil, err
	}
	if err := checkKeys(data); err != nil {
		return nil, err
	}
	// The parser underneath panics on some broken inputs; that is a broken file, not a broken program.
	defer func() {
		if r := recover(); r != nil {
			docs, err = nil, &Error{Line: 1, Column: 1, Message: "not readable as YAML"}
		}
	}()
	f, err := parser.ParseBytes(data, 0, parser.AllowDuplicateMapKey())
	if err != nil {
		var ye yaml.Error
		if errors.As(err, &ye) && ye.GetToken() != nil && ye.GetToken().Position != nil {
			p := ye.GetToken().Position
			return nil, &Error{Line: p.Line, Column: p.Column, Message: ye.GetMessage()}
		}
		message, _, _ := strings.Cut(err.Error(), "\n")
		return nil, &Error{Line: 1, Column: 1, Message: message}
	}
	b := &builder{anchors: map[string]*Node{}}
	for _, d := range f.Docs {
		if d.Body == nil {
			continue
		}
		clear(b.anchors)
		n, err := b.node(d.Body, 0)
		if err != nil {
			return nil, err
		}
		docs = append(docs, n)
	}
	return docs, nil
}

// checkDepth refuses text nested so deeply that a recursive parser could end the process.
func checkDepth(data []byte) error {
	flow, line, column, dashes, leading := 0, 1, 0, 0, true
	// A quote opens where a scalar may begin and closes on its line: what it holds is text. Elsewhere it is an apostrophe.
	quote, before, escaped := byte(0), byte('\n'), false
	for _, c := range data {
		column++
		if c != '\n' && quote != 0 {
			switch {
			case escaped:
				escaped = false
			case c == '\\' && quote == '"':
				escaped = true
			case c == quote:
				quote = 0
			}
			before = c
			continue
		}
		if (c == '"' || c == '\'') && strings.IndexByte("\n:,[{-", before) >= 0 {
			quote, leading, before = c, false, c
			continue
		}
		if c != ' ' {
			before = c
		}
		switch c {
		case '\n':
			line, column, dashes, leading, quote, escaped = line+1, 0, 0, true, 0, false
			continue
		case '[', '{':
			flow++
		case ']', '}':
			flow = max(flow-1, 0)
		}
		if leading {
			switch c {
			case '-', '?', ':':
				dashes++
			case ' ', '\t':
			default:
				leading = false
			}
		}
		// A line of dashes is a separator in many a text; only "- - - -" nests, but both are counted: neither is a manifest.
		if flow > maxDepth || dashes > 4*maxDepth || leading && column > 64*maxDepth {
			return &Error{Line: line, Column: column, Message: "nested too deeply"}
		}
	}
	return nil
}

type builder struct {
	anchors map[string]*Node
	nodes   int
}

func (b *builder) node(n ast.Node, depth int) (*Node, error) {
	b.nodes++
	if b.nodes > maxNodes {
		return nil, fmt.Errorf("more than %d values", maxNodes)
	}
	out := &Node{}
	if n == nil {
		return out, nil
	}
	if t := n.GetToken(); t != nil && t.Position != nil {
		out.Line, out.Column = t.Position.Line, t.Position.Column
	}
	if depth > maxDepth {
		return nil, &Error{Line: out.Line, Column: out.Column, Message: "nested too deeply"}
	}
	switch n := n.(type) {
	case *ast.AnchorNode:
		v, err := b.node(n.Value, depth+1)
		if err != nil {
			return nil, err
		}
		if n.Name != nil {
			b.anchors[n.Name.GetToken().Value] = v
		}
		return v, nil
	case *ast.AliasNode:
		if n.Value != nil {
			if v := b.anchors[n.Value.GetToken().Value]; v != nil {
				return v, nil
			}
		}
		return nil, &Error{Line: out.Line, Column: out.Column, Message: "alias without an anchor"}
	case *ast.TagNode:
		return b.node(n.Value, depth+1)
	case *ast.MappingValueNode:
		out.Kind, out.Flow = Map, n.IsFlowStyle
		return out, b.pair(out, n, depth)
	case *ast.MappingNode:
		out.Kind, out.Flow = Map, n.IsFlowStyle
		if !n.IsFlowStyle && len(n.Values) > 0 {
			if t := n.Values[0].Key.GetToken(); t != nil {
				out.Line, out.Column = t.Position.Line, t.Position.Column
			}
		}
		for _, v := range n.Values {
			if err := b.pair(out, v, depth); err != nil {
				return nil, err
			}
		}
	case *ast.SequenceNode:
		out.Kind, out.Flow = Seq, n.IsFlowStyle
		for _, v := range n.Values {
			item, err := b.node(v, depth+1)
			if err != nil {
				return nil, err
			}
			out.Items = append(out.Items, item)
		}
	case *ast.LiteralNode:
		out.Kind, out.Str, out.Block, out.Value = Scalar, true, true, n.Value.Value
	case *ast.StringNode:
		out.Kind, out.Str, out.Value = Scalar, true, n.Value
	case *ast.NullNode, *ast.CommentNode, *ast.CommentGroupNode, *ast.DirectiveNode:
	default:
		out.Kind = Scalar
		if t := n.GetToken(); t != nil {
			out.Value = t.Value
		}
	}
	return out, nil
}

func (b *builder) pair(out *Node, n *ast.MappingValueNode, depth int) error {
	v, err := b.node(n.Value, depth+1)
	if err != nil {
		return err
	}
	t := n.Key.GetToken()
	if out.Line == 0 || !out.Flow && len(out.Pairs) == 0 {
		out.Line, out.Column = t.Position.Line, t.Position.Column
	}
	if n.Key.IsMergeKey() {
		b.merge(out, v)
		return nil
	}
	key := t.Value
	if s, ok := n.Key.(*ast.StringNode); ok {
		key = s.Value
	}
	p := Pair{Key: key, Line: t.Position.Line, Column: t.Position.Column, Value: v}
	for i, old := range out.Pairs {
		if old.Key == key && old.Merged {
			out.Pairs[i] = p
			return nil
		}
	}
	out.Pairs = append(out.Pairs, p)
	return nil
}

// maxMerged bounds what merge keys may add to one map.
const maxMerged = 1024

func (b *builder) merge(out, from *Node) {
	if from.Kind == Seq {
		for _, item := range from.Items {
			if item.Kind == Map {
				b.merge(out, item)
			}
		}
		return
	}
	for _, p := range from.Pairs {
		if len(out.Pairs) < maxMerged && out.Get(p.Key) == nil {
			p.Merged = true
			out.Pairs = append(out.Pairs, p)
		}
	}
}

// Get returns the value of key, nil if n is no map or has none. Of a key given twice the last counts, as to most readers.
func (n *Node) Get(key string) *Node {
	if p := n.Pair(key); p != nil {
		return p.Value
	}
	return nil
}

// Pair returns the entry of key, or nil.
func (n *Node) Pair(key string) *Pair {
	if n == nil {
		return nil
	}
	for i := len(n.Pairs) - 1; i >= 0; i-- {
		if n.Pairs[i].Key == key {
			return &n.Pairs[i]
		}
	}
	return nil
}

// At follows keys from n; nil when one is missing.
func (n *Node) At(keys ...string) *Node {
	for _, k := range keys {
		if n = n.Get(k); n == nil {
			return nil
		}
	}
	return n
}

// Text returns a scalar's value, "" for everything else.
func (n *Node) Text() string {
	if n == nil || n.Kind != Scalar {
		return ""
	}
	return n.Value
}

// True reports whether n is a true boolean, also as YAML 1.1 and quoted templates spell it.
func (n *Node) True() bool {
	switch strings.ToLower(n.Text()) {
	case "true", "yes", "on":
		return true
	}
	return false
}

// False reports whether n is there and a false boolean.
func (n *Node) False() bool {
	switch strings.ToLower(n.Text()) {
	case "false", "no", "off":
		return true
	}
	return false
}

// Texts returns the scalars of a sequence; of a scalar, itself.
func (n *Node) Texts() []string {
	if n == nil {
		return nil
	}
	if n.Kind == Scalar {
		return []string{n.Value}
	}
	var out []string
	for _, item := range n.Items {
		if item.Kind == Scalar {
			out = append(out, item.Value)
		}
	}
	return out
}
