package sqlite_test

import (
	"path/filepath"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/minewarden/minewarden"
	"github.com/minewarden/minewarden/store/storetest"
)

func TestOlder(t *testing.T) {
	path := filepath.Join(t.TempDir(), "s.db")
	s := open(t, path)
	for i := range 50 {
		if err := s.Put(t.Context(), storetest.Incident(i)); err != nil {
			t.Fatal(err)
		}
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	older(t, path)
	s = open(t, path)
	n := 0
	for r, err := range s.Rows(t.Context(), minewarden.Query{}) {
		if err != nil {
			t.Fatal(err)
		}
		n++
		inc, err := s.Get(t.Context(), r.ID)
		if diff := cmp.Diff(inc.Row(), r); err != nil || diff != "" {
			t.Fatal(err, diff)
		}
	}
	for text, want := range map[string]int{"x7": 1, "m1": 11, "q": 0} {
		got := 0
		for _, err := range s.Rows(t.Context(), minewarden.Query{Text: text}) {
			if err != nil {
				t.Fatal(err)
			}
			got++
		}
		if got != want {
			t.Errorf("%d rows with %q, want %d", got, text, want)
		}
	}
	var found int
	for _, err := range s.Findings(t.Context(), minewarden.Query{Host: "host-1", States: []minewarden.State{minewarden.Open}}) {
		if err != nil {
			t.Fatal(err)
		}
		found++
	}
	if found != 8 {
		t.Errorf("%d findings of open incidents of a host, want 8", found)
	}
	actions := 0
	for _, err := range s.Receipts(t.Context(), minewarden.Query{}) {
		if err != nil {
			t.Fatal(err)
		}
		actions++
	}
	if n != 50 || actions != 50 {
		t.Errorf("%d rows and %d actions of 50 incidents", n, actions)
	}
	if id, err := s.IncidentOf(t.Context(), "a"); err != nil || id == "" {
		t.Error(id, err)
	}
}
