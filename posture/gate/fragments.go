package gate

import (
	"bytes"
	"path"
	"strings"

	"github.com/minewarden/minewarden/internal/yamltree"
)

// A fragment is a file that another file carries: a ConfigMap's entry, what cloud-init or Ansible writes.
type fragment struct {
	name   string // the path or key under which it will be a file
	data   []byte
	line   int // of its first line in the outer file
	indent int // that the outer file puts before each line
}

const (
	maxFragments = 256 // of one file
	maxVisited   = 100_000
)

// nests reports whether a file may carry others: YAML with a block of text in it.
func nests(name string, head []byte) bool {
	switch strings.ToLower(path.Ext(name)) {
	case ".yaml", ".yml", ".cfg", "":
	default:
		return false
	}
	if !bytes.Contains(head, []byte(": |")) && !bytes.Contains(head, []byte(": >")) {
		return false
	}
	for _, word := range []string{"write_files", "content:", "ConfigMap", "block:", "user-data", "user_data", "userData"} {
		if bytes.Contains(head, []byte(word)) {
			return true
		}
	}
	return false
}

// fragments finds the files that data carries. Data that is not YAML carries none: if it is meant to be, its own audit says so.
func fragments(data []byte) []fragment {
	docs, err := yamltree.Parse(data)
	if err != nil {
		return nil
	}
	f := finder{lines: bytes.Split(data, []byte("\n"))}
	for _, d := range docs {
		if d.Get("kind").Text() == "ConfigMap" || d.Get("kind").Text() == "Secret" {
			for _, section := range []string{"data", "stringData"} {
				if m := d.Get(section); m != nil {
					for _, p := range m.Pairs {
						f.add(p.Key, p.Value)
					}
				}
			}
			continue
		}
		f.walk(d, 0)
	}
	return f.found
}

type finder struct {
	lines   [][]byte
	found   []fragment
	visited int
}

func (f *finder) walk(n *yamltree.Node, depth int) {
	f.visited++
	if n == nil || f.visited > maxVisited || depth > 50 {
		return
	}
	if content := n.Get("content"); content != nil {
		for _, k := range []string{"path", "dest", "destination"} {
			if p := n.Get(k).Text(); p != "" {
				f.add(p, content)
				break
			}
		}
	}
	for _, p := range n.Pairs {
		switch strings.ToLower(p.Key) {
		case "user-data", "user_data", "userdata":
			f.add("user-data", p.Value)
		}
		f.walk(p.Value, depth+1)
	}
	for _, i := range n.Items {
		f.walk(i, depth+1)
	}
}

func (f *finder) add(name string, n *yamltree.Node) {
	if !n.Block || n.Value == "" || len(f.found) >= maxFragments {
		return
	}
	line := n.Line + 1
	for line <= len(f.lines) && len(bytes.TrimSpace(f.lines[line-1])) == 0 {
		line++
	}
	indent := 0
	if line <= len(f.lines) {
		first, _, _ := strings.Cut(strings.TrimLeft(n.Value, "\n"), "\n")
		if at := bytes.Index(f.lines[line-1], []byte(first)); at > 0 {
			indent = at
		}
	}
	// Empty lines at the top are part of the value: they count as lines of the fragment.
	skipped := len(n.Value) - len(strings.TrimLeft(n.Value, "\n"))
	f.found = append(f.found, fragment{name: name, data: []byte(n.Value), line: line - skipped, indent: indent})
}
