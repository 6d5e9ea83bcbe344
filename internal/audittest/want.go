package audittest

import (
	"encoding/json"
	"fmt"
	"strings"
	"testing"

	"github.com/minewarden/minewarden"
)

// Want fails the test when the checks of a rule do not hold the wanted status among them, or hold a failure where none is
// wanted.
func Want(tb testing.TB, v minewarden.Verdict, want map[string]minewarden.Status) {
	tb.Helper()
	if !v.Applies {
		tb.Error("the audit says that it does not apply")
	}
	for rule, status := range want {
		var got []string
		found, failed := false, false
		for _, c := range v.Checks {
			if c.Rule == rule {
				found = found || c.Status == status
				failed = failed || c.Finding != nil
				got = append(got, fmt.Sprintf("%s: %s", c.Status, c.Proof))
			}
		}
		clean := status != minewarden.StatusFail && status != minewarden.StatusPossible
		if !found || (clean && failed) {
			tb.Errorf("%s: got [%s], want %s", rule, strings.Join(got, " | "), status)
		}
	}
}

// NothingFrom fails the test for every finding of at least min.
func NothingFrom(tb testing.TB, v minewarden.Verdict, rules []minewarden.Rule, min minewarden.Severity) {
	tb.Helper()
	severity := map[string]minewarden.Severity{}
	for _, r := range rules {
		severity[r.ID] = r.Severity
	}
	for _, c := range v.Checks {
		if c.Finding != nil && severity[c.Rule] >= min {
			tb.Errorf("%s (%s) at %v: %s", c.Rule, severity[c.Rule], c.Subject, c.Proof)
		}
	}
}

// NoSecret fails the test when secret shows anywhere in the verdict.
func NoSecret(tb testing.TB, v minewarden.Verdict, secret string) {
	tb.Helper()
	b, err := json.Marshal(v)
	if err != nil {
		tb.Fatal(err)
	}
	if all := string(b) + fmt.Sprintf("%+v", v) + fmt.Sprint(v.Findings()); strings.Contains(all, secret) {
		tb.Error("the secret shows in the verdict")
	}
}

// Statuses lists rule and status of every check, for a test to print or compare.
func Statuses(v minewarden.Verdict) []string {
	var out []string
	for _, c := range v.Checks {
		out = append(out, c.Rule+" "+string(c.Status))
	}
	return out
}

// CompleteRules fails the test when a rule lacks what a person needs, or breaks the form of ids.
func CompleteRules(tb testing.TB, name string, rules []minewarden.Rule) {
	tb.Helper()
	seen := map[string]bool{}
	for _, r := range rules {
		if seen[r.ID] || !strings.HasPrefix(r.ID, name+"/") || r.Title == "" || r.Advice == "" || r.Why == "" || len(r.Technique) == 0 {
			tb.Errorf("rule %+v: twice, not under %s/, or without title, advice, why or technique", r, name)
		}
		seen[r.ID] = true
	}
}
