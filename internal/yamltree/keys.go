package yamltree

import (
	"bytes"
	"fmt"
)

// checkKeys refuses text with a map of more keys than the parser reads in good time. It goes by the look of the lines: keys that
// stand at one column without a line further left between them are of one map, and so are those between the braces of one line.
func checkKeys(data []byte) error {
	type level struct{ column, keys int }
	var open []level
	line := 0
	for text := range bytes.Lines(data) {
		line++
		body := bytes.TrimLeft(text, " ")
		column := len(text) - len(body)
		if body = bytes.TrimSpace(body); len(body) == 0 || body[0] == '#' {
			continue
		}
		if bytes.HasPrefix(text, []byte("---")) {
			open = open[:0] // the next document
		}
		for len(open) > 0 && open[len(open)-1].column > column {
			open = open[:len(open)-1]
		}
		if n := flowKeys(body); n > maxKeys {
			return tooManyKeys(line)
		}
		if body[0] == '-' || !beginsWithKey(body) || len(open) >= 64*maxDepth {
			continue
		}
		if len(open) == 0 || open[len(open)-1].column < column {
			open = append(open, level{column, 0})
		}
		top := &open[len(open)-1]
		if top.keys++; top.keys > maxKeys {
			return tooManyKeys(line)
		}
	}
	return nil
}

func tooManyKeys(line int) error {
	return &Error{Line: line, Column: 1, Message: fmt.Sprintf("a map of more than %d keys", maxKeys)}
}

// beginsWithKey tells a line that begins with one word, or a quoted one, and a colon.
func beginsWithKey(body []byte) bool {
	for i, c := range body {
		switch c {
		case ':':
			if i+1 == len(body) || body[i+1] == ' ' || body[i+1] == '\t' {
				return true
			}
		case ' ', '\t':
			return body[0] == '"' || body[0] == '\''
		}
	}
	return false
}

// flowKeys returns the most colons between the braces of one map of the line; those inside quotes do not count.
func flowKeys(body []byte) int {
	if len(body) <= maxKeys {
		return 0
	}
	var counts []int
	most := 0
	quote := byte(0)
	for i := 0; i < len(body); i++ {
		c := body[i]
		switch {
		case quote != 0:
			if c == '\\' && quote == '"' {
				i++
			} else if c == quote {
				quote = 0
			}
		case c == '"' || c == '\'':
			quote = c
		case c == '{' || c == '[':
			if len(counts) < maxDepth {
				counts = append(counts, 0)
			}
		case (c == '}' || c == ']') && len(counts) > 0:
			counts = counts[:len(counts)-1]
		case c == ':' && len(counts) > 0:
			counts[len(counts)-1]++
			most = max(most, counts[len(counts)-1])
		}
	}
	return most
}
