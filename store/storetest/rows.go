package storetest

import (
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/minewarden/minewarden"
)

func lister(t *testing.T, s minewarden.Store) minewarden.Lister {
	t.Helper()
	l, ok := s.(minewarden.Lister)
	if !ok {
		t.Skip("this store lists whole incidents only")
	}
	return l
}

// rows holds lists to what the whole incidents say.
func rows(t *testing.T, s minewarden.Store) {
	l := lister(t, s)
	for i := range 30 {
		put(t, s, Incident(i))
	}
	changed := Incident(4)
	changed.State, changed.Assignee, changed.More = minewarden.Closed, "ada", 7
	put(t, s, changed)
	for name, q := range map[string]minewarden.Query{
		"all": {}, "page": {Limit: 7}, "state": {States: []minewarden.State{minewarden.Closed}}, "text": {Text: "power/"}, "rule": {Rule: "lineage/", Severity: minewarden.High},
	} {
		var want, got []minewarden.IncidentRow
		for inc, err := range s.Incidents(t.Context(), q) {
			if err != nil {
				t.Fatal(err)
			}
			want = append(want, inc.Row())
		}
		for r, err := range l.Rows(t.Context(), q) {
			if err != nil {
				t.Fatal(err)
			}
			got = append(got, r)
		}
		if diff := cmp.Diff(want, got); diff != "" || len(want) == 0 {
			t.Errorf("%s: %d rows %s", name, len(want), diff)
		}
	}
	want := minewarden.Counts{}
	for inc, err := range s.Incidents(t.Context(), minewarden.Query{}) {
		if err != nil {
			t.Fatal(err)
		}
		if want[inc.State] == nil {
			want[inc.State] = map[minewarden.Severity]int{}
		}
		want[inc.State][inc.Severity]++
	}
	got, err := l.Counts(t.Context())
	if diff := cmp.Diff(want, got); err != nil || diff != "" {
		t.Errorf("counts: %v %s", err, diff)
	}
}

func receipts(t *testing.T, s minewarden.Store) {
	l := lister(t, s)
	for i := range 10 {
		inc := Incident(i)
		inc.Actions[0].Done = Epoch.Add(time.Duration(i/3) * time.Minute) // several at once
		put(t, s, inc)
	}
	fewer := Incident(9)
	fewer.Actions = nil
	put(t, s, fewer)
	undone := Incident(8)
	undone.Actions[0].Done, undone.Actions[0].Undone = Epoch.Add(time.Hour), Epoch.Add(2*time.Hour)
	put(t, s, undone)
	var got []string
	for q := (minewarden.Query{Limit: 4}); ; {
		n := 0
		for r, err := range l.Receipts(t.Context(), q) {
			if err != nil {
				t.Fatal(err)
			}
			if n++; r.Action.Incident == undone.ID && r.Undone.IsZero() {
				t.Error("an old receipt is listed")
			}
			got = append(got, r.Action.Incident)
			q.After = r.Cursor()
		}
		if n < 4 {
			break
		}
	}
	want := []string{"i00008", "i00006", "i00007", "i00003", "i00004", "i00005", "i00000", "i00001", "i00002"}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
}
