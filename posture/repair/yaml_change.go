package repair

import (
	"bytes"
	"fmt"
	"slices"
	"strings"

	"github.com/minewarden/minewarden/internal/yamltree"
)

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
