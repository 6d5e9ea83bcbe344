package audittest

import (
	"context"
	"slices"
	"testing"
	"time"

	"github.com/minewarden/minewarden"
)

// A File is one file that an audit is shown, and the rules that it breaks, sorted.
type File struct {
	Name  string // of the case
	Path  string
	Text  string
	Fails []string
	Line  int // of the first failure; 0: not looked at
}

// Files shows each file to the auditor that newAuditor makes. Every rule of the auditor must be broken by one of them and pass on
// another, except those in elsewhere, which other tests hold.
func Files(t *testing.T, newAuditor func(minewarden.Env) (minewarden.Auditor, error), files []File, elsewhere ...string) {
	t.Helper()
	made, err := newAuditor(minewarden.Env{Now: func() time.Time { return time.Unix(1_700_000_000, 0) }})
	if err != nil {
		t.Fatal(err)
	}
	a, ok := made.(minewarden.FileAuditor)
	if !ok {
		t.Fatal("it audits no files")
	}
	broken, passed := map[string]bool{}, map[string]bool{}
	for _, f := range files {
		t.Run(f.Name, func(t *testing.T) {
			head := f.Text[:min(len(f.Text), minewarden.ClaimHead)]
			if !a.Claims(f.Path, []byte(head)) {
				t.Fatal("it does not claim the file")
			}
			v, err := a.Audit(context.Background(), minewarden.Target{Kind: minewarden.TargetFile, Name: f.Path, Path: f.Path, Data: []byte(f.Text)})
			if err != nil {
				t.Fatal(err)
			}
			if !v.Applies {
				t.Fatal("it says that it does not apply")
			}
			var got []string
			line := 0
			for _, c := range v.Checks {
				switch {
				case c.Finding != nil:
					got = append(got, c.Rule)
					broken[c.Rule] = true
					if c.Subject.Line < 1 || c.Subject.ID != f.Path || c.Proof == "" {
						t.Errorf("%s has no place or no proof: %+v", c.Rule, c)
					}
					if line == 0 {
						line = c.Subject.Line
					}
				case c.Status == minewarden.StatusPass:
					passed[c.Rule] = true
				}
			}
			slices.Sort(got)
			got = slices.Compact(got)
			if !slices.Equal(got, f.Fails) {
				t.Errorf("got %q, want %q", got, f.Fails)
			}
			if f.Line != 0 && line != f.Line {
				t.Errorf("the first is on line %d, want %d", line, f.Line)
			}
		})
	}
	for _, r := range a.Rules() {
		if slices.Contains(elsewhere, r.ID) {
			continue
		}
		if !broken[r.ID] {
			t.Errorf("no file breaks %s", r.ID)
		}
	}
	CompleteRules(t, a.Info().Name, a.Rules())
}
