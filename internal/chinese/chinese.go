// Package chinese holds the titles and advice of rules in Simplified Chinese. English stays with the rule itself: a test of the
// catalogue fails when a rule comes without a translation, or a translation outlives its rule.
package chinese

import (
	_ "embed"
	"maps"
	"slices"
	"strings"
	"sync"
)

// text is by line: id, title, advice, with a tab between.
//
//go:embed rules.tsv
var text string

type entry struct{ title, advice string }

var entries = sync.OnceValue(func() map[string]entry {
	all := map[string]entry{}
	for line := range strings.Lines(text) {
		id, rest, _ := strings.Cut(strings.TrimSuffix(line, "\n"), "\t")
		title, advice, _ := strings.Cut(rest, "\t")
		all[id] = entry{title, advice}
	}
	return all
})

// Rule returns what a rule says in Simplified Chinese. Rules that operators bring have no translation.
func Rule(id string) (title, advice string, ok bool) {
	e, ok := entries()[id]
	return e.title, e.advice, ok
}

// IDs returns the rules that have a translation, sorted.
func IDs() []string { return slices.Sorted(maps.Keys(entries())) }
