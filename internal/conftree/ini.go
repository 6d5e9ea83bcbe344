package conftree

import (
	"strings"
)

// ParseINI reads sections of keys, as app.ini and systemd units have them. Keys may repeat. A line that is neither a
// section, a key nor a comment is an error.
func ParseINI(file string, data []byte) (*Node, error) {
	if len(data) > MaxSize {
		return nil, &Error{file, 1, 1, "larger than is read"}
	}
	root := &Node{Kind: Object, File: file, Line: 1, Column: 1}
	section := &Node{Kind: Object, File: file, Line: 1, Column: 1}
	root.Fields = append(root.Fields, Field{"", section})
	lines := strings.Split(strings.TrimPrefix(string(data), "\ufeff"), "\n")
	for i := 0; i < len(lines); i++ {
		at := i + 1
		raw := strings.TrimRight(lines[i], "\r")
		l := strings.TrimSpace(raw)
		if l == "" || l[0] == ';' || l[0] == '#' {
			continue
		}
		if strings.IndexByte(l, 0) >= 0 {
			return nil, &Error{file, at, 1, "a binary file"}
		}
		if l[0] == '[' {
			name, ok := strings.CutSuffix(l, "]")
			if !ok {
				name, _, ok = strings.Cut(l, "]")
			}
			if !ok {
				return nil, &Error{file, at, 1, "a section without its closing bracket"}
			}
			section = &Node{Kind: Object, File: file, Line: at, Column: 1}
			root.Fields = append(root.Fields, Field{strings.TrimSpace(name[1:]), section})
			continue
		}
		sep := strings.IndexAny(l, "=:")
		if sep <= 0 {
			return nil, &Error{file, at, 1, "neither a section, a key nor a comment"}
		}
		key, value := strings.Trim(strings.TrimSpace(l[:sep]), "`\""), strings.TrimSpace(l[sep+1:])
		for strings.HasSuffix(value, "\\") && i+1 < len(lines) {
			i++
			value = strings.TrimSuffix(value, "\\") + " " + strings.TrimSpace(lines[i])
		}
		section.Fields = append(section.Fields, Field{key, &Node{Kind: String, Text: unquoteINI(value), File: file, Line: at, Column: strings.Index(raw, l) + 1}})
	}
	return root, nil
}

func unquoteINI(v string) string {
	if len(v) >= 2 && (v[0] == '"' || v[0] == '`' || v[0] == '\'') {
		if end := strings.IndexByte(v[1:], v[0]); end >= 0 && end+2 == len(v) {
			return v[1 : end+1]
		}
	}
	// A comment after the value begins with a blank before it.
	for _, c := range []string{" ;", " #", "\t;", "\t#"} {
		if i := strings.Index(v, c); i >= 0 {
			v = strings.TrimSpace(v[:i])
		}
	}
	return v
}
