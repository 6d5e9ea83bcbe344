package app_test

import (
	"log/slog"
	"maps"
	"regexp"
	"slices"
	"strings"
	"testing"
	"unicode"

	"github.com/google/go-cmp/cmp"

	"github.com/minewarden/minewarden"
	"github.com/minewarden/minewarden/app"
	"github.com/minewarden/minewarden/audits"
	"github.com/minewarden/minewarden/config"
	"github.com/minewarden/minewarden/internal/chinese"
)

// TestEveryRuleIsTranslated holds the Chinese texts to the rules that there are, and to what people type or search for in them.
func TestEveryRuleIsTranslated(t *testing.T) {
	log := slog.New(slog.DiscardHandler)
	_, rules, err := app.Catalogue(config.Default(), log)
	if err != nil {
		t.Fatal(err)
	}
	for _, n := range audits.All() {
		a, err := n.New(minewarden.Env{Log: log})
		if err != nil {
			t.Fatal(err)
		}
		for _, r := range a.Rules() {
			rules[r.ID] = r
		}
	}
	for _, id := range chinese.IDs() {
		if _, ok := rules[id]; !ok {
			t.Errorf("internal/chinese/rules.tsv has %s, which is no rule", id)
		}
	}
	// A rule may come without Chinese: then its English is shown. Whoever knows both adds it.
	for _, id := range slices.Sorted(maps.Keys(rules)) {
		if _, _, ok := chinese.Rule(id); !ok {
			t.Logf("%s has no Chinese yet", id)
		}
	}
	for id, r := range rules {
		title, advice, ok := chinese.Rule(id)
		if !ok {
			continue
		}
		if (strings.TrimSpace(r.Advice) == "") != (advice == "") {
			t.Errorf("%s: advice %q, in Chinese %q", id, r.Advice, advice)
		}
		for _, pair := range [][2]string{{r.Title, title}, {r.Advice, advice}} {
			for _, word := range literals(pair[0]) {
				if !strings.Contains(pair[1], word) {
					t.Errorf("%s: %q of %q is not in %q", id, word, pair[0], pair[1])
				}
			}
		}
	}
}

var (
	quoted = regexp.MustCompile("`[^`]+`")
	spaced = regexp.MustCompile(`[^\s,;()"“”]+`)
)

// literals returns what no translation may change: what stands in backticks, and words that are no prose: options, paths, settings,
// numbers, names with a capital inside.
func literals(text string) []string {
	words := quoted.FindAllString(text, -1)
	for _, w := range spaced.FindAllString(text, -1) {
		w = strings.TrimSuffix(strings.Trim(w, ".:'`"), "'s")
		if w == "" || w == "ACLs" { // the plural is English
			continue
		}
		inner := strings.ContainsFunc(w[1:], unicode.IsUpper)
		if inner || w[0] == '-' || strings.ContainsAny(w, "_=/{}[]@$0123456789") {
			words = append(words, w)
		}
	}
	return words
}

func TestLiterals(t *testing.T) {
	for text, want := range map[string][]string{
		"Look at the program and who started it.":                        nil,
		"Set acl { enabled = true } on port 4646, without -dev.":         {"{", "=", "}", "4646", "-dev"},
		"allow it with `minewarden intel`; see /proc/PID/exe and Git's.": {"`minewarden intel`", "/proc/PID/exe"},
		"put ACLs on; PowerShell's log":                                  {"PowerShell"},
	} {
		if diff := cmp.Diff(want, literals(text)); diff != "" {
			t.Errorf("%s:\n%s", text, diff)
		}
	}
}
