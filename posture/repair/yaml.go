package repair

import (
	"bytes"
	"encoding/json"
	"fmt"
	"maps"
	"reflect"
	"slices"
	"strings"
	"unicode/utf8"

	"github.com/goccy/go-yaml/token"

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

func (y *yamlEditor) put(n *yamltree.Node, p *yamltree.Pair) ([]byte, error) {
	if equalYAML(n, y.value) {
		return y.data, nil
	}
	text, err := renderYAML(y.value)
	if err != nil {
		return nil, err
	}
	if n.Kind == yamltree.Null && p != nil {
		return y.fill(p, nil)
	}
	if n.Kind == yamltree.Seq && !n.Flow && p != nil && len(n.Items) > 0 {
		return y.putBlockList(n, p, text)
	}
	from, to, err := y.span(n)
	if err != nil {
		return nil, err
	}
	if to == from {
		return nil, fmt.Errorf("%w: the value is not where it was read", ErrByHand)
	}
	if isAnchored(y.data, from) {
		return nil, fmt.Errorf("%w: the value has an anchor or a tag, others may use it", ErrByHand)
	}
	return splice(y.data, from, to, text), nil
}

func isAnchored(data []byte, at int) bool {
	start := bytes.LastIndexByte(data[:at], '\n') + 1
	f := strings.Fields(string(data[start:at]))
	return len(f) > 0 && (f[len(f)-1][0] == '&' || f[len(f)-1][0] == '!') || at < len(data) && data[at] == '*'
}

// putBlockList replaces a list that is written one element a line.
func (y *yamlEditor) putBlockList(n *yamltree.Node, p *yamltree.Pair, text string) ([]byte, error) {
	from, err := y.offset(p.Line, p.Column)
	if err != nil {
		return nil, err
	}
	start, _, _ := y.lineSpan(p.Line)
	colon := bytes.IndexByte(y.data[from:], ':')
	if colon < 0 {
		return nil, fmt.Errorf("%w: no colon after %s", ErrByHand, p.Key)
	}
	if list, ok := y.value.([]any); ok && len(list) > 0 {
		// Elements that stay keep their lines, with their comments.
		keep := y.data
		var gone []int
		at := 0
		for i, item := range n.Items {
			if at < len(list) && equalYAML(item, list[at]) {
				at++
			} else {
				gone = append(gone, i)
			}
		}
		if at == len(list) {
			for _, i := range slices.Backward(gone) {
				s, e, err := y.itemSpan(n, i)
				if err != nil {
					return nil, err
				}
				keep = splice(keep, s, e, "")
			}
			return keep, nil
		}
	}
	_, end, err := y.itemSpan(n, len(n.Items)-1)
	if err != nil || start > from {
		return nil, fmt.Errorf("%w: the list has no lines of its own", ErrByHand)
	}
	return splice(y.data, from+colon+1, end, " "+text+newline(y.data)), nil
}

func (y *yamlEditor) lineSpan(line int) (start, end int, ok bool) {
	if line < 1 || line > len(y.lines) {
		return 0, 0, false
	}
	start, end = y.lines[line-1], len(y.data)
	if line < len(y.lines) {
		end = y.lines[line]
	}
	return start, end, true
}

// blockEnd is the offset of the first line below line that is indented less than column, and is not empty or a comment
// inside; trailing comments and empty lines stay with what follows.
func (y *yamlEditor) blockEnd(line, column int, dash bool) int {
	_, end, _ := y.lineSpan(line)
	for l := line + 1; l <= len(y.lines); l++ {
		s, e, _ := y.lineSpan(l)
		text := y.data[s:e]
		body := bytes.TrimLeft(text, " ")
		if len(bytes.TrimSpace(body)) == 0 || body[0] == '#' {
			continue
		}
		indent := len(text) - len(body)
		if indent < column-1 || indent == column-1 && !(dash && body[0] == '-') || bytes.HasPrefix(text, []byte("---")) || bytes.HasPrefix(text, []byte("...")) {
			break
		}
		end = e
	}
	return end
}

func (y *yamlEditor) cutPair(n *yamltree.Node, p *yamltree.Pair) ([]byte, error) {
	if n.Flow {
		return y.cutFlow(p)
	}
	from, err := y.offset(p.Line, p.Column)
	if err != nil {
		return nil, err
	}
	start := y.lines[p.Line-1]
	if len(n.Pairs) == 1 {
		return nil, fmt.Errorf("%w: %s is alone in its map", ErrByHand, p.Key)
	}
	// A list may stand at its key's own column; its dashes belong to it.
	end := y.blockEnd(p.Line, p.Column, p.Value.Kind == yamltree.Seq && !p.Value.Flow)
	if before := string(y.data[start:from]); strings.TrimSpace(before) != "" {
		// "- key: v" begins a list element: the next key moves up to the dash.
		if strings.Trim(before, " -") != "" || end >= len(y.data) {
			return nil, fmt.Errorf("%w: %s shares its line", ErrByHand, p.Key)
		}
		next := end
		for next < len(y.data) && y.data[next] == ' ' {
			next++
		}
		if next-end != from-start || y.data[next] == '#' {
			return nil, fmt.Errorf("%w: %s begins a list element", ErrByHand, p.Key)
		}
		return splice(y.data, from, next, ""), nil
	}
	return splice(y.data, start, end, ""), nil
}

func (y *yamlEditor) cutFlow(p *yamltree.Pair) ([]byte, error) {
	from, err := y.offset(p.Line, p.Column)
	if err != nil {
		return nil, err
	}
	_, to, err := y.span(p.Value)
	if err != nil {
		return nil, err
	}
	return cutComma(y.data, from, to), nil
}

// cutComma takes an element of a flow collection away, with the comma after it or else before it.
func cutComma(data []byte, from, to int) []byte {
	rest := bytes.TrimLeft(data[to:], " ")
	if bytes.HasPrefix(rest, []byte(",")) {
		to = len(data) - len(bytes.TrimLeft(rest[1:], " "))
	} else if before := bytes.TrimRight(data[:from], " "); bytes.HasSuffix(before, []byte(",")) {
		from = len(before) - 1
	}
	return splice(data, from, to, "")
}

func (y *yamlEditor) itemSpan(n *yamltree.Node, i int) (start, end int, err error) {
	item := n.Items[i]
	line := item.Line
	start, stop, ok := y.lineSpan(line)
	if !ok {
		return 0, 0, fmt.Errorf("%w: element %d has no line", ErrByHand, i)
	}
	text := y.data[start:stop]
	body := bytes.TrimLeft(text, " ")
	if len(body) == 0 || body[0] != '-' {
		return 0, 0, fmt.Errorf("%w: element %d does not begin its line", ErrByHand, i)
	}
	return start, y.blockEnd(line, len(text)-len(body)+1, false), nil
}

func (y *yamlEditor) cutItem(n *yamltree.Node, i int) ([]byte, error) {
	if n.Flow {
		from, to, err := y.span(n.Items[i])
		if err != nil {
			return nil, err
		}
		return cutComma(y.data, from, to), nil
	}
	start, end, err := y.itemSpan(n, i)
	if err != nil {
		return nil, err
	}
	if len(n.Items) == 1 { // an empty block would read as null: the list becomes []
		trimmed := bytes.TrimRight(y.data[:start], " \t\r\n")
		if !bytes.HasSuffix(trimmed, []byte(":")) {
			return nil, fmt.Errorf("%w: the list would be empty", ErrByHand)
		}
		return splice(y.data, len(trimmed), end, " []"+newline(y.data)), nil
	}
	return splice(y.data, start, end, ""), nil
}

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
