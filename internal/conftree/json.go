package conftree

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"sort"
)

// ParseJSON reads one JSON value.
func ParseJSON(file string, data []byte) (*Node, error) {
	if len(data) > MaxSize {
		return nil, &Error{file, 1, 1, "larger than is read"}
	}
	data = bytes.TrimPrefix(data, []byte("\xef\xbb\xbf"))
	r := &jsonReader{file: file, data: data, dec: json.NewDecoder(bytes.NewReader(data))}
	r.dec.UseNumber()
	for i, c := range data {
		if c == '\n' {
			r.lines = append(r.lines, i)
		}
	}
	n, err := r.value(0)
	if err != nil {
		return nil, r.fail(err)
	}
	if _, err := r.dec.Token(); !errors.Is(err, io.EOF) {
		return nil, r.fail(errors.New("more text after the value"))
	}
	return n, nil
}

type jsonReader struct {
	file  string
	data  []byte
	dec   *json.Decoder
	lines []int // offsets of line ends
}

func (r *jsonReader) fail(err error) error {
	at := int(r.dec.InputOffset())
	var se *json.SyntaxError
	if errors.As(err, &se) {
		at = int(se.Offset) - 1
	}
	if errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) {
		err, at = errors.New("the text ends too early"), len(r.data)
	}
	line, col := r.pos(at)
	return &Error{r.file, line, col, err.Error()}
}

func (r *jsonReader) pos(offset int) (line, col int) {
	i := sort.SearchInts(r.lines, offset)
	start := 0
	if i > 0 {
		start = r.lines[i-1] + 1
	}
	return i + 1, offset - start + 1
}

// here is where the next token begins.
func (r *jsonReader) here() *Node {
	at := int(r.dec.InputOffset())
	for at < len(r.data) && bytes.IndexByte([]byte(" \t\r\n,:"), r.data[at]) >= 0 {
		at++
	}
	line, col := r.pos(at)
	return &Node{File: r.file, Line: line, Column: col}
}

func (r *jsonReader) value(depth int) (*Node, error) {
	if depth > maxDepth {
		return nil, errors.New("nested too deeply")
	}
	n := r.here()
	tok, err := r.dec.Token()
	if err != nil {
		return nil, err
	}
	switch t := tok.(type) {
	case string:
		n.Kind, n.Text = String, t
	case json.Number:
		n.Kind, n.Text = Number, t.String()
	case bool:
		n.Kind, n.Text = Bool, fmt.Sprint(t)
	case nil:
		n.Kind = Null
	case json.Delim:
		switch t {
		case '{':
			n.Kind = Object
			for r.dec.More() {
				key := r.here()
				k, err := r.dec.Token()
				if err != nil {
					return nil, err
				}
				name, ok := k.(string)
				if !ok {
					return nil, errors.New("a key must be a string")
				}
				v, err := r.value(depth + 1)
				if err != nil {
					return nil, err
				}
				if v.Kind != Object && v.Kind != List {
					v.Line, v.Column = key.Line, key.Column
				}
				n.Fields = append(n.Fields, Field{name, v})
			}
		case '[':
			n.Kind = List
			for r.dec.More() {
				v, err := r.value(depth + 1)
				if err != nil {
					return nil, err
				}
				n.Items = append(n.Items, v)
			}
		default:
			return nil, fmt.Errorf("unexpected %v", t)
		}
		if _, err := r.dec.Token(); err != nil {
			return nil, err
		}
	}
	return n, nil
}
