package yamltree

import (
	"errors"
	"fmt"
	"strings"
	"testing"
)

func TestPositionsAndValues(t *testing.T) {
	docs, err := Parse([]byte(`# head
kind: Pod
spec: &s
  hostPID: true
  items:
    - a
    - {name: "x y", n: 3}
  script: |
    one
    two
---
kind: Two
<<: {kind: no, extra: yes}
flow: ["a", b]
`))
	if err != nil {
		t.Fatal(err)
	}
	if len(docs) != 2 {
		t.Fatalf("got %d documents, want 2", len(docs))
	}
	pid := docs[0].At("spec", "hostPID")
	if !pid.True() || pid.Line != 4 || pid.Column != 12 {
		t.Errorf("hostPID: %+v", pid)
	}
	item := docs[0].At("spec", "items").Items[1]
	if item.Get("name").Text() != "x y" || item.Line != 7 || item.Column != 7 || !item.Flow {
		t.Errorf("item: %+v", item)
	}
	if s := docs[0].At("spec", "script"); !s.Block || s.Value != "one\ntwo\n" {
		t.Errorf("script: %+v", s)
	}
	if got := docs[1].Get("kind").Text(); got != "Two" {
		t.Errorf("a merged key replaced the written one: %q", got)
	}
	if !docs[1].Get("extra").True() {
		t.Error("merged key is missing")
	}
	if p := docs[1].Pair("flow"); p.Line != 14 || strings.Join(p.Value.Texts(), ",") != "a,b" {
		t.Errorf("flow: %+v", p)
	}
}

func TestAliasIsShared(t *testing.T) {
	docs, err := Parse([]byte("a: &x [1]\nb: &y [*x,*x]\nc: [*y,*y]\n"))
	if err != nil {
		t.Fatal(err)
	}
	c := docs[0].Get("c")
	if len(c.Items) != 2 || c.Items[0] != c.Items[1] {
		t.Error("an alias was copied: a few lines could fill the memory")
	}
}

func TestErrors(t *testing.T) {
	for name, tc := range map[string]struct {
		in   string
		line int
	}{
		"tab":         {"a:\n  b: 1\n\tc: 2\n", 3},
		"open flow":   {"a: 1\nb: [1, 2\n", 2},
		"open quote":  {"a: 1\nb: \"x\n", 2},
		"no anchor":   {"a: 1\nb: *x\n", 2},
		"deep flow":   {strings.Repeat("[", 1<<20), 1},
		"deep dashes": {strings.Repeat("- ", 1<<20), 1},
		"deep brace":  {strings.Repeat("{a: ", 1<<20), 1},
	} {
		t.Run(name, func(t *testing.T) {
			_, err := Parse([]byte(tc.in))
			var e *Error
			if !errors.As(err, &e) {
				t.Fatalf("got %v, want a position", err)
			}
			if e.Line != tc.line || e.Column < 1 {
				t.Errorf("got line %d column %d (%s), want line %d", e.Line, e.Column, e.Message, tc.line)
			}
		})
	}
}

func FuzzParse(f *testing.F) {
	for _, s := range []string{"a: 1\n", "- &x a\n- *x\n", "<<: {a: b}\n", "a: |\n  x\n---\nb: >-\n y\n", "{\"a\": [1, null, true]}", "? a\n: b\n", "&a [*a]", "!!str x", "a: [\n"} {
		f.Add([]byte(s))
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		docs, err := Parse(data)
		if err != nil && docs != nil {
			t.Fatal("documents beside an error")
		}
		for _, d := range docs {
			walk(t, d, 0)
		}
	})
}

func walk(t *testing.T, n *Node, depth int) {
	if n == nil || depth > 3*maxDepth {
		t.Fatal("nil node or a cycle")
	}
	if depth > 6 {
		return
	}
	for _, p := range n.Pairs {
		walk(t, p.Value, depth+1)
	}
	for _, i := range n.Items {
		walk(t, i, depth+1)
	}
}

// TestManyKeys holds that a map which the parser would read for minutes is refused, and that long files of small maps are not.
func TestManyKeys(t *testing.T) {
	var block, flow, small strings.Builder
	flow.WriteString("{")
	for i := range 200_000 {
		fmt.Fprintf(&block, "k%d: 1\n", i)
		fmt.Fprintf(&flow, "\"k%d\": 1, ", i)
	}
	flow.WriteString("\"z\": 1}")
	for range 3000 {
		small.WriteString("---\nkind: A\nspec:\n  a: 1\n  list:\n    - name: x\n      value: \"{\"\n")
	}
	for name, text := range map[string]string{"block": block.String(), "flow": flow.String(), "same key": strings.Repeat("a: &x 1\n", 100_000)} {
		if _, err := Parse([]byte(text)); err == nil || !strings.Contains(err.Error(), "keys") {
			t.Errorf("%s: %v", name, err)
		}
	}
	docs, err := Parse([]byte(small.String()))
	if err != nil || len(docs) != 3000 {
		t.Errorf("%d documents, %v", len(docs), err)
	}
}

// TestHiddenNesting holds that brackets cannot be hidden from the limit, for the parser underneath would end the process.
func TestHiddenNesting(t *testing.T) {
	deep := strings.Repeat("[", 100_000)
	for _, prefix := range []string{"a: ", "a: 'x' ", `a: ["\\", `, `["\"", `, "[a' ", "it's ", "'\n", "[''"} {
		if _, err := Parse([]byte(prefix + deep)); err == nil {
			t.Errorf("%q: no error", prefix)
		}
	}
	if docs, err := Parse([]byte(strings.Repeat("- \"{\"\n- '[it''s'\n", 1000))); err != nil || len(docs) != 1 {
		t.Errorf("brackets in quotes: %v", err)
	}
}
