package logs

import (
	"errors"
	"fmt"
	"strconv"
	"strings"
	"unicode/utf16"
	"unicode/utf8"

	"github.com/minewarden/minewarden"
)

const (
	maxJSONDepth = 64
	maxPaths     = 20_000 // joined names that are kept
)

// A flattener reads JSON objects to fields in their order. It keeps the joined names that it met.
type flattener struct {
	paths  map[string]string
	s      string
	i      int
	path   []byte
	fields []minewarden.Field
	cut    bool
}

var errJSON = errors.New("is no JSON object")

// flatten reads one object. Names are paths joined by dots; an element of a list has the name of its list; null has no field.
func (f *flattener) flatten(s string) ([]minewarden.Field, error) {
	f.s, f.i, f.path, f.fields, f.cut = s, 0, f.path[:0], nil, false
	f.fields = make([]minewarden.Field, 0, 16)
	f.space()
	if f.i >= len(s) || s[f.i] != '{' {
		return nil, errJSON
	}
	if err := f.value(0); err != nil {
		return nil, err
	}
	f.space()
	if f.i != len(s) {
		return nil, fmt.Errorf("there is more behind the JSON object, at byte %d", f.i)
	}
	return f.fields, nil
}

func (f *flattener) space() {
	for f.i < len(f.s) {
		switch f.s[f.i] {
		case ' ', '\t', '\r', '\n':
			f.i++
		default:
			return
		}
	}
}

func (f *flattener) wrong() error { return fmt.Errorf("JSON is wrong at byte %d", f.i) }

func (f *flattener) add(v string) {
	if len(f.fields) >= MaxFields {
		f.cut = true
		return
	}
	name, ok := f.paths[string(f.path)]
	if !ok {
		name = string(f.path)
		if f.paths == nil {
			f.paths = map[string]string{}
		}
		if len(f.paths) < maxPaths {
			f.paths[name] = name
		}
	}
	f.fields = append(f.fields, minewarden.Field{Name: name, Value: v})
}

func (f *flattener) value(depth int) error {
	if depth > maxJSONDepth {
		return errors.New("JSON is nested too deep")
	}
	f.space()
	if f.i >= len(f.s) {
		return f.wrong()
	}
	switch c := f.s[f.i]; c {
	case '{':
		return f.object(depth)
	case '[':
		return f.list(depth)
	case '"':
		v, err := f.text()
		if err == nil {
			f.add(v)
		}
		return err
	default:
		start := f.i
		for f.i < len(f.s) && strings.IndexByte(" \t\r\n,]}:\"{[", f.s[f.i]) < 0 {
			f.i++
		}
		switch v := f.s[start:f.i]; {
		case v == "null":
		case v == "true" || v == "false":
			f.add(v)
		case v != "" && (v[0] == '-' || v[0] >= '0' && v[0] <= '9'):
			f.add(v)
		default:
			f.i = start
			return f.wrong()
		}
		return nil
	}
}

func (f *flattener) object(depth int) error {
	f.i++
	base := len(f.path)
	for n := 0; ; n++ {
		f.space()
		if f.i < len(f.s) && f.s[f.i] == '}' && n == 0 {
			break
		}
		if f.i >= len(f.s) || f.s[f.i] != '"' {
			return f.wrong()
		}
		key, err := f.text()
		if err != nil {
			return err
		}
		f.space()
		if f.i >= len(f.s) || f.s[f.i] != ':' {
			return f.wrong()
		}
		f.i++
		if base > 0 {
			f.path = append(f.path, '.')
		}
		f.path = append(f.path, key...)
		if err := f.value(depth + 1); err != nil {
			return err
		}
		f.path = f.path[:base]
		f.space()
		if f.i < len(f.s) && f.s[f.i] == ',' {
			f.i++
			continue
		}
		if f.i < len(f.s) && f.s[f.i] == '}' {
			break
		}
		return f.wrong()
	}
	f.i++
	return nil
}

func (f *flattener) list(depth int) error {
	f.i++
	for n := 0; ; n++ {
		f.space()
		if f.i < len(f.s) && f.s[f.i] == ']' && n == 0 {
			break
		}
		if err := f.value(depth + 1); err != nil {
			return err
		}
		f.space()
		if f.i < len(f.s) && f.s[f.i] == ',' {
			f.i++
			continue
		}
		if f.i < len(f.s) && f.s[f.i] == ']' {
			break
		}
		return f.wrong()
	}
	f.i++
	return nil
}

// text reads a string. Without escapes it is a part of the line.
func (f *flattener) text() (string, error) {
	f.i++
	start := f.i
	for f.i < len(f.s) {
		switch f.s[f.i] {
		case '"':
			v := f.s[start:f.i]
			f.i++
			return v, nil
		case '\\':
			return f.escaped(start)
		}
		f.i++
	}
	return "", f.wrong()
}

func (f *flattener) escaped(start int) (string, error) {
	b := append([]byte(nil), f.s[start:f.i]...)
	for f.i < len(f.s) {
		c := f.s[f.i]
		f.i++
		switch {
		case c == '"':
			return string(b), nil
		case c != '\\':
			b = append(b, c)
			continue
		case f.i >= len(f.s):
			return "", f.wrong()
		}
		c = f.s[f.i]
		f.i++
		switch c {
		case 'n':
			b = append(b, '\n')
		case 't':
			b = append(b, '\t')
		case 'r':
			b = append(b, '\r')
		case 'b':
			b = append(b, '\b')
		case 'f':
			b = append(b, '\f')
		case '"', '\\', '/':
			b = append(b, c)
		case 'u':
			r, ok := f.hex4()
			if !ok {
				return "", f.wrong()
			}
			if utf16.IsSurrogate(r) {
				if strings.HasPrefix(f.s[f.i:], `\u`) {
					at := f.i
					f.i += 2
					low, ok := f.hex4()
					if pair := utf16.DecodeRune(r, low); ok && pair != utf8.RuneError {
						b = utf8.AppendRune(b, pair)
						continue
					}
					f.i = at
				}
				r = utf8.RuneError
			}
			b = utf8.AppendRune(b, r)
		default:
			return "", f.wrong()
		}
	}
	return "", f.wrong()
}

func (f *flattener) hex4() (rune, bool) {
	if f.i+4 > len(f.s) {
		return 0, false
	}
	v, err := strconv.ParseUint(f.s[f.i:f.i+4], 16, 16)
	if err != nil {
		return 0, false
	}
	f.i += 4
	return rune(v), true
}
