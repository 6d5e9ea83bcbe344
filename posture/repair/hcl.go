package repair

import (
	"bytes"
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/hashicorp/hcl/v2"
	"github.com/hashicorp/hcl/v2/hclsyntax"
	"github.com/zclconf/go-cty/cty"

	"github.com/minewarden/minewarden"
)

func editHCL(data []byte, e minewarden.Edit, value any) ([]byte, error) {
	f, diags := hclsyntax.ParseConfig(data, e.Path, hcl.InitialPos)
	if diags.HasErrors() {
		return nil, fmt.Errorf("%w: %w", ErrByHand, diags)
	}
	body, ok := f.Body.(*hclsyntax.Body)
	if !ok {
		return nil, fmt.Errorf("%w: not native HCL", ErrByHand)
	}
	h := &hclEditor{data: data, edit: e, value: value}
	return h.body(body, e.Key, nil, 0)
}

type hclEditor struct {
	data  []byte
	edit  minewarden.Edit
	value any
}

func (h *hclEditor) del() bool { return h.edit.Op == minewarden.EditDelete }

// body follows key below b; block is what holds b, nil for the file.
func (h *hclEditor) body(b *hclsyntax.Body, key []string, block *hclsyntax.Block, depth int) ([]byte, error) {
	if depth > maxDepth {
		return nil, fmt.Errorf("nested deeper than %d: %w", maxDepth, ErrByHand)
	}
	if attr := b.Attributes[key[0]]; attr != nil {
		if len(key) == 1 {
			if h.del() {
				return h.cut(attr.SrcRange.Start.Byte, attr.SrcRange.End.Byte), nil
			}
			return h.put(attr.Expr)
		}
		return h.object(attr.Expr, key[1:], depth+1)
	}
	found := matching(b, key)
	if len(found) > 0 {
		rest := key[1+len(found[0].Labels):]
		if len(rest) > 0 {
			if i, isIndex := number(rest[0]); isIndex && found[0].Body.Attributes[rest[0]] == nil {
				if i >= len(found) {
					return h.missing(strings.Join(key, "."))
				}
				found, rest = found[i:i+1], rest[1:]
			}
		}
		if len(rest) == 0 {
			if !h.del() {
				return nil, fmt.Errorf("%w: %s is a block", ErrByHand, key[0])
			}
			r := found[0].Range()
			return h.cut(r.Start.Byte, found[0].CloseBraceRange.End.Byte), nil
		}
		// Of blocks written twice the later one wins in these products, so the value is put where it stands, last first.
		for _, blk := range slices.Backward(found) {
			if has(blk.Body, rest) {
				return h.body(blk.Body, rest, blk, depth+1)
			}
		}
		return h.body(found[0].Body, rest, found[0], depth+1)
	}
	if h.del() {
		return h.data, nil
	}
	return h.insert(b, key, block)
}

func (h *hclEditor) missing(what string) ([]byte, error) {
	if h.del() {
		return h.data, nil
	}
	return nil, fmt.Errorf("%w: there is no %s", ErrByHand, what)
}

func matching(b *hclsyntax.Body, key []string) []*hclsyntax.Block {
	var out []*hclsyntax.Block
	for _, blk := range b.Blocks {
		if blk.Type == key[0] && len(key) > len(blk.Labels) && slices.Equal(blk.Labels, key[1:1+len(blk.Labels)]) {
			if len(out) == 0 || len(out[0].Labels) == len(blk.Labels) {
				out = append(out, blk)
			}
		}
	}
	return out
}

func has(b *hclsyntax.Body, key []string) bool {
	if b.Attributes[key[0]] != nil {
		return true
	}
	for _, blk := range matching(b, key) {
		if rest := key[1+len(blk.Labels):]; len(rest) == 0 || has(blk.Body, rest) {
			return true
		}
	}
	return false
}

// put replaces an expression.
func (h *hclEditor) put(expr hclsyntax.Expression) ([]byte, error) {
	text, err := renderHCL(h.value)
	if err != nil {
		return nil, err
	}
	if v, diags := expr.Value(nil); !diags.HasErrors() && v.IsWhollyKnown() {
		if want, ok := parsed(text); ok && v.Type().Equals(want.Type()) && v.RawEquals(want) {
			return h.data, nil
		}
	}
	r := expr.Range()
	return splice(h.data, r.Start.Byte, r.End.Byte, text), nil
}

func parsed(text string) (cty.Value, bool) {
	expr, diags := hclsyntax.ParseExpression([]byte(text), "", hcl.InitialPos)
	if diags.HasErrors() {
		return cty.NilVal, false
	}
	v, diags := expr.Value(nil)
	return v, !diags.HasErrors()
}

// object follows key into a map written as an expression.
func (h *hclEditor) object(expr hclsyntax.Expression, key []string, depth int) ([]byte, error) {
	obj, ok := expr.(*hclsyntax.ObjectConsExpr)
	if !ok || depth > maxDepth {
		return nil, fmt.Errorf("%w: %s is not a map", ErrByHand, key[0])
	}
	for _, item := range obj.Items {
		name, diags := item.KeyExpr.Value(nil)
		if diags.HasErrors() || name.Type() != cty.String || name.AsString() != key[0] {
			continue
		}
		if len(key) > 1 {
			return h.object(item.ValueExpr, key[1:], depth+1)
		}
		if h.del() {
			return h.cut(item.KeyExpr.Range().Start.Byte, item.ValueExpr.Range().End.Byte), nil
		}
		return h.put(item.ValueExpr)
	}
	if h.del() {
		return h.data, nil
	}
	value := h.value
	for i := len(key) - 1; i > 0; i-- {
		value = map[string]any{key[i]: value}
	}
	text, err := renderHCL(value)
	if err != nil {
		return nil, err
	}
	line := quoteHCL(key[0]) + " = " + text
	open, end := obj.OpenRange.End.Byte, obj.SrcRange.End.Byte-1
	nl := newline(h.data)
	inner := indentAt(h.data, obj.SrcRange.Start.Byte) + step(h.data)
	switch {
	case len(obj.Items) == 0:
		return splice(h.data, open, end, nl+inner+line+nl+indentAt(h.data, obj.SrcRange.Start.Byte)), nil
	case bytes.IndexByte(h.data[open:end], '\n') < 0:
		last := obj.Items[len(obj.Items)-1].ValueExpr.Range().End.Byte
		return splice(h.data, last, last, ", "+line), nil
	}
	first := obj.Items[0].KeyExpr.Range().Start.Byte
	sep := nl
	if at := obj.Items[len(obj.Items)-1].ValueExpr.Range().End.Byte; bytes.HasPrefix(bytes.TrimLeft(h.data[at:], " \t"), []byte(",")) {
		sep = "," + nl
	}
	return splice(h.data, first, first, line+sep+indentAt(h.data, first)), nil
}

// insert writes a new attribute, in new blocks where key is longer.
func (h *hclEditor) insert(b *hclsyntax.Body, key []string, block *hclsyntax.Block) ([]byte, error) {
	text, err := renderHCL(h.value)
	if err != nil {
		return nil, err
	}
	nl, st := newline(h.data), step(h.data)
	if block == nil {
		lines := nested(key, text, "", st, nl)
		lead := ""
		if len(h.data) > 0 && h.data[len(h.data)-1] != '\n' {
			lead = nl
		}
		return splice(h.data, len(h.data), len(h.data), lead+lines), nil
	}
	outer := indentAt(h.data, block.TypeRange.Start.Byte)
	lines := nested(key, text, outer+st, st, nl)
	open, end := block.OpenBraceRange.End.Byte, block.CloseBraceRange.Start.Byte
	if bytes.IndexByte(h.data[open:end], '\n') < 0 { // name { } on one line
		inside := strings.TrimSpace(string(h.data[open:end]))
		if inside != "" {
			inside = outer + st + inside + nl
		}
		return splice(h.data, open, end, nl+inside+lines+outer), nil
	}
	at := bytes.LastIndexByte(h.data[:end], '\n') + 1
	if strings.TrimSpace(string(h.data[at:end])) != "" {
		return splice(h.data, end, end, nl+lines+outer), nil
	}
	return splice(h.data, at, at, lines), nil
}

// nested writes key = text, each outer element as a block. The one label that these products know follows its type.
func nested(key []string, text, indent, step, nl string) string {
	if len(key) == 1 {
		name := key[0]
		if !hclsyntax.ValidIdentifier(name) {
			name = quoteHCL(name)
		}
		return indent + name + " = " + text + nl
	}
	head, rest := key[0], key[1:]
	if labelled(head) && len(rest) > 1 {
		head, rest = head+" "+quoteHCL(rest[0]), rest[1:]
	}
	return indent + head + " {" + nl + nested(rest, text, indent+step, step, nl) + indent + "}" + nl
}

// labelled names the blocks that carry a label in Nomad's and Consul's configuration.
func labelled(block string) bool {
	switch block {
	case "plugin", "host_volume", "host_network", "job", "group", "task", "audit_sink", "sink":
		return true
	}
	return false
}

func step(data []byte) string {
	if s := unit(data); s != "" && len(s) <= 8 {
		return s
	}
	return "  "
}

// cut takes a range away, with its lines when it is alone on them, and with the comma that joined it.
func (h *hclEditor) cut(from, to int) []byte {
	after := to
	for after < len(h.data) && (h.data[after] == ' ' || h.data[after] == '\t') {
		after++
	}
	if after < len(h.data) && h.data[after] == ',' {
		to = after + 1
	}
	if start, end, ok := wholeLines(h.data, from, to); ok {
		return splice(h.data, start, end, "")
	}
	return splice(h.data, from, to, "")
}

func renderHCL(value any) (string, error) {
	switch v := value.(type) {
	case nil:
		return "null", nil
	case bool:
		return fmt.Sprint(v), nil
	case json.Number:
		return v.String(), nil
	case string:
		return quoteHCL(v), nil
	case []any:
		var parts []string
		for _, x := range v {
			t, err := renderHCL(x)
			if err != nil {
				return "", err
			}
			parts = append(parts, t)
		}
		return "[" + strings.Join(parts, ", ") + "]", nil
	case map[string]any:
		var parts []string
		for _, k := range slices.Sorted(maps.Keys(v)) {
			t, err := renderHCL(v[k])
			if err != nil {
				return "", err
			}
			parts = append(parts, quoteHCL(k)+" = "+t)
		}
		return "{ " + strings.Join(parts, ", ") + " }", nil
	}
	return "", fmt.Errorf("%w: a value of type %T", ErrByHand, value)
}

func quoteHCL(s string) string {
	r := strings.NewReplacer(`\`, `\\`, `"`, `\"`, "\n", `\n`, "\r", `\r`, "\t", `\t`, "${", "$${", "%{", "%%{")
	return `"` + r.Replace(s) + `"`
}
