package chinese

import (
	"slices"
	"strings"
	"testing"
	"unicode"
)

// TestLines holds the table to its form, which Rule does not check.
func TestLines(t *testing.T) {
	var ids []string
	for line := range strings.Lines(text) {
		f := strings.Split(strings.TrimSuffix(line, "\n"), "\t")
		if len(f) != 3 {
			t.Fatalf("%q: %d fields, want id, title and advice", line, len(f))
		}
		ids = append(ids, f[0])
		for _, s := range f {
			if s == "" || s != strings.TrimSpace(s) || strings.ContainsFunc(s, unicode.IsControl) || strings.ContainsRune(s, unicode.ReplacementChar) {
				t.Errorf("%s: %q is empty, or has what is no text at its ends or in it", f[0], s)
			}
		}
		if !strings.ContainsFunc(f[1], han) || strings.HasSuffix(f[1], "。") {
			t.Errorf("%s: title %q is not Chinese, or ends as a sentence", f[0], f[1])
		}
	}
	if !slices.IsSorted(ids) || len(slices.Compact(slices.Clone(ids))) != len(ids) {
		t.Error("lines are not sorted by id, or one is there twice")
	}
	if !slices.Equal(ids, IDs()) {
		t.Errorf("%d lines, %d entries", len(ids), len(IDs()))
	}
}

func han(r rune) bool { return unicode.Is(unicode.Han, r) }

func TestRule(t *testing.T) {
	title, advice, ok := Rule("stratum/login")
	if want := "客户端登录矿池"; title != want || !strings.Contains(advice, "阻断矿池") || !ok {
		t.Errorf("%q, %q, %t; want %q", title, advice, ok, want)
	}
	if title, advice, ok := Rule("sigma/of-an-operator"); ok || title+advice != "" {
		t.Errorf("%q, %q, %t of a rule that nobody translated", title, advice, ok)
	}
}
