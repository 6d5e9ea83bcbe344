package conftree

import (
	"sort"
	"strings"

	"github.com/hashicorp/hcl/v2"
	"github.com/hashicorp/hcl/v2/hclsyntax"
	"github.com/zclconf/go-cty/cty"
)

// ParseHCL reads HCL 2, and the HCL 1 that Nomad and Consul read for their agents, where keys in blocks may be quoted.
// Variables with defaults are put in; what else is not constant becomes Unknown with its source text.
func ParseHCL(file string, data []byte) (*Node, error) {
	if len(data) > MaxSize {
		return nil, &Error{file, 1, 1, "larger than is read"}
	}
	if line := tooDeep(data); line > 0 {
		return nil, &Error{file, line, 1, "nested too deeply"}
	}
	r := &hclReader{file: file, src: data}
	f, diags := hclsyntax.ParseConfig(data, file, hcl.InitialPos)
	if diags.HasErrors() {
		plain, names := unquoteKeys(data)
		if len(names) > 0 {
			if f2, d2 := hclsyntax.ParseConfig(plain, file, hcl.InitialPos); !d2.HasErrors() {
				f, diags, r.names, r.src = f2, nil, names, plain
			}
		}
	}
	if diags.HasErrors() {
		e := &Error{file, 1, 1, diags[0].Summary}
		for _, d := range diags {
			if d.Severity == hcl.DiagError {
				e.Message = strings.TrimSuffix(d.Summary, ".") + ": " + d.Detail
				if d.Subject != nil {
					e.Line, e.Column = d.Subject.Start.Line, d.Subject.Start.Column
				}
				break
			}
		}
		return nil, e
	}
	body, ok := f.Body.(*hclsyntax.Body)
	if !ok {
		return nil, &Error{file, 1, 1, "not an HCL file"}
	}
	r.context(body)
	return r.body(body, hcl.Range{Start: hcl.InitialPos}), nil
}

type hclReader struct {
	file  string
	src   []byte
	names map[int]string // the real names of keys that were quoted, by byte offset
	ctx   *hcl.EvalContext
}

// tooDeep returns the line at which nesting passes what a recursive parser should be given, or 0.
func tooDeep(data []byte) int {
	depth, unary, line := 0, 0, 1
	for _, c := range data {
		switch c {
		case '\n':
			line++
			unary = 0
			continue
		case '{', '[', '(':
			depth++
		case '}', ']', ')':
			depth = max(depth-1, 0)
		}
		switch c {
		case '!', '-', '?', ':':
			unary++
		case ' ', '\t', '$', '%', '"', '~':
		default:
			unary = 0
		}
		if depth > maxDepth || unary > 1000 {
			return line
		}
	}
	return 0
}

// unquoteKeys replaces "some.key" = by an identifier of the same length, so that every position stays true.
func unquoteKeys(data []byte) ([]byte, map[int]string) {
	tokens, _ := hclsyntax.LexConfig(data, "", hcl.InitialPos)
	out := append([]byte(nil), data...)
	names := map[int]string{}
	for i := 0; i+3 < len(tokens); i++ {
		if tokens[i].Type != hclsyntax.TokenOQuote || tokens[i+1].Type != hclsyntax.TokenQuotedLit || tokens[i+2].Type != hclsyntax.TokenCQuote || tokens[i+3].Type != hclsyntax.TokenEqual {
			continue
		}
		start, end := tokens[i].Range.Start.Byte, tokens[i+2].Range.End.Byte
		names[start] = string(tokens[i+1].Bytes)
		for j := start; j < end; j++ {
			out[j] = 'q'
		}
	}
	return out, names
}

// context makes the values of variables with a default, and of locals made of them, known.
func (r *hclReader) context(body *hclsyntax.Body) {
	vars, locals := map[string]cty.Value{}, map[string]cty.Value{}
	for _, b := range body.Blocks {
		if b.Type != "variable" || len(b.Labels) != 1 {
			continue
		}
		if d := b.Body.Attributes["default"]; d != nil {
			if v, diags := d.Expr.Value(nil); !diags.HasErrors() {
				vars[b.Labels[0]] = v
			}
		}
	}
	r.ctx = &hcl.EvalContext{Variables: map[string]cty.Value{"var": object(vars)}}
	for _, b := range body.Blocks {
		if b.Type != "locals" {
			continue
		}
		for name, a := range b.Body.Attributes {
			if v, diags := a.Expr.Value(r.ctx); !diags.HasErrors() {
				locals[name] = v
			}
		}
	}
	r.ctx.Variables["local"] = object(locals)
}

func object(m map[string]cty.Value) cty.Value {
	if len(m) == 0 {
		return cty.EmptyObjectVal
	}
	return cty.ObjectVal(m)
}

func (r *hclReader) at(rng hcl.Range) *Node {
	return &Node{File: r.file, Line: rng.Start.Line, Column: rng.Start.Column}
}

func (r *hclReader) name(n string, at hcl.Pos) string {
	if real, ok := r.names[at.Byte]; ok {
		return real
	}
	return n
}

func (r *hclReader) body(b *hclsyntax.Body, at hcl.Range) *Node {
	n := r.at(at)
	n.Kind = Object
	type entry struct {
		pos   int
		field Field
	}
	var es []entry
	for name, a := range b.Attributes {
		v := r.expr(a.Expr, 0)
		v.Line, v.Column = a.NameRange.Start.Line, a.NameRange.Start.Column
		es = append(es, entry{a.NameRange.Start.Byte, Field{r.name(name, a.NameRange.Start), v}})
	}
	for _, blk := range b.Blocks {
		v := r.body(blk.Body, blk.TypeRange)
		for i := len(blk.Labels) - 1; i >= 0; i-- {
			outer := r.at(blk.TypeRange)
			outer.Kind = Object
			outer.Fields = []Field{{blk.Labels[i], v}}
			v = outer
		}
		es = append(es, entry{blk.TypeRange.Start.Byte, Field{blk.Type, v}})
	}
	sort.Slice(es, func(i, j int) bool { return es[i].pos < es[j].pos })
	for _, e := range es {
		n.Fields = append(n.Fields, e.field)
	}
	return n
}

func (r *hclReader) expr(e hclsyntax.Expression, depth int) *Node {
	n := r.at(e.Range())
	switch x := e.(type) {
	case *hclsyntax.ObjectConsExpr:
		n.Kind = Object
		for _, item := range x.Items {
			key := r.key(item.KeyExpr)
			n.Fields = append(n.Fields, Field{key, r.expr(item.ValueExpr, depth+1)})
		}
		return n
	case *hclsyntax.TupleConsExpr:
		n.Kind = List
		for _, item := range x.Exprs {
			n.Items = append(n.Items, r.expr(item, depth+1))
		}
		return n
	}
	v, diags := e.Value(r.ctx)
	if diags.HasErrors() || !v.IsWhollyKnown() {
		n.Kind = Unknown
		n.Text = r.source(e.Range())
		return n
	}
	r.value(n, v, depth)
	return n
}

func (r *hclReader) key(e hclsyntax.Expression) string {
	if real, ok := r.names[e.Range().Start.Byte]; ok {
		return real
	}
	if v, diags := e.Value(r.ctx); !diags.HasErrors() && v.Type() == cty.String && v.IsKnown() && !v.IsNull() {
		return v.AsString()
	}
	return r.source(e.Range())
}

func (r *hclReader) value(n *Node, v cty.Value, depth int) {
	switch t := v.Type(); {
	case v.IsNull():
		n.Kind = Null
	case t == cty.String:
		n.Kind, n.Text = String, v.AsString()
	case t == cty.Bool:
		n.Kind, n.Text = Bool, "false"
		if v.True() {
			n.Text = "true"
		}
	case t == cty.Number:
		n.Kind, n.Text = Number, v.AsBigFloat().Text('f', -1)
	case depth > maxDepth:
		n.Kind = Unknown
	case t.IsObjectType() || t.IsMapType():
		n.Kind = Object
		for it := v.ElementIterator(); it.Next(); {
			k, e := it.Element()
			c := &Node{File: n.File, Line: n.Line, Column: n.Column}
			r.value(c, e, depth+1)
			n.Fields = append(n.Fields, Field{k.AsString(), c})
		}
	case t.IsTupleType() || t.IsListType() || t.IsSetType():
		n.Kind = List
		for it := v.ElementIterator(); it.Next(); {
			_, e := it.Element()
			c := &Node{File: n.File, Line: n.Line, Column: n.Column}
			r.value(c, e, depth+1)
			n.Items = append(n.Items, c)
		}
	default:
		n.Kind = Unknown
	}
}

func (r *hclReader) source(rng hcl.Range) string {
	if rng.Start.Byte < 0 || rng.End.Byte > len(r.src) || rng.Start.Byte > rng.End.Byte {
		return ""
	}
	return string(r.src[rng.Start.Byte:rng.End.Byte])
}
