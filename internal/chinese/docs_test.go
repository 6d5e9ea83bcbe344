package chinese_test

import (
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"unicode"

	"github.com/minewarden/minewarden/internal/chinese"
)

// mostMissing is the part of all text of modules' READMEs that may be English still: whoever writes a new paragraph need not know
// Chinese, but somebody must follow.
const mostMissing = 0.4

// TestDocs lists paragraphs without a translation and translations of what is no paragraph any more.
func TestDocs(t *testing.T) {
	keys := map[string]bool{}
	var all, missing int
	for _, catalogue := range []string{"sensors", "detectors", "audits", "responders"} {
		files, err := filepath.Glob(filepath.Join(repository, catalogue, "*", "README.md"))
		if err != nil || len(files) == 0 {
			t.Fatalf("no READMEs of %s: %v", catalogue, err)
		}
		for _, f := range files {
			text, err := os.ReadFile(f)
			if err != nil {
				t.Fatal(err)
			}
			for i, b := range chinese.Blocks(string(text)) {
				if b.Code || i == 0 {
					continue
				}
				keys[b.Key()] = true
				all += len(b.Text)
				if !slices.Contains(chinese.DocKeys(), b.Key()) {
					missing += len(b.Text)
					t.Logf("%s: %s %.60s… has no Chinese", f, b.Key(), b.Text)
				}
			}
		}
	}
	stale := 0
	for _, k := range chinese.DocKeys() {
		if !keys[k] {
			stale++
			t.Logf("docs.tsv: %s translates nothing any more", k)
		}
	}
	if part := float64(missing) / float64(all); part > mostMissing {
		t.Errorf("%.0f %% of the modules' text has no Chinese, at most %.0f %% may: see above", 100*part, 100*mostMissing)
	}
	if stale > len(chinese.DocKeys())/5 {
		t.Errorf("%d of %d translations are of texts that are gone", stale, len(chinese.DocKeys()))
	}
}

func TestDocsForm(t *testing.T) {
	text, err := os.ReadFile("docs.tsv")
	if err != nil {
		t.Fatal(err)
	}
	last := ""
	for line := range strings.Lines(string(text)) {
		key, zh, ok := strings.Cut(strings.TrimSuffix(line, "\n"), "\t")
		if !ok || len(key) != 12 || key <= last || strings.ContainsAny(zh, "\t") || !strings.ContainsFunc(zh, func(r rune) bool { return unicode.Is(unicode.Han, r) }) {
			t.Errorf("%.40q: want a key after the one before, a tab, and Chinese", line)
		}
		if strings.Count(zh, "`")%2 != 0 || strings.Count(zh, "**")%2 != 0 {
			t.Errorf("%s: code or stress is not closed", key)
		}
		last = key
	}
}

func TestBlocks(t *testing.T) {
	const doc = "# x\n\nOne\nparagraph.\n\n- an item\n  goes on\n- another\n\n| a | b |\n|---|---|\n| 1 | 2 |\n\n```\n# code\n```\n"
	var got []string
	for _, b := range chinese.Blocks(doc) {
		if !b.Code {
			got = append(got, b.Lead+b.Text)
		}
	}
	want := []string{"# x", "One paragraph.", "- an item goes on", "- another", "| a | b |", "| 1 | 2 |"}
	if !slices.Equal(got, want) {
		t.Errorf("got %q", got)
	}
	if zh, missing := chinese.Doc("# x\n\n## What it misses\n\nNobody translated this.\n"); zh != "# x\n\n## 会漏掉什么\n\nNobody translated this.\n" || missing != 1 {
		t.Errorf("%q, %d", zh, missing)
	}
}
