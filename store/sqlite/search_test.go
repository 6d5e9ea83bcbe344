package sqlite_test

import (
	"path/filepath"
	"strings"
	"testing"
	"unicode/utf8"

	"github.com/minewarden/minewarden"
	"github.com/minewarden/minewarden/store/sqlite"
	"github.com/minewarden/minewarden/store/storetest"
)

// FuzzSearch holds a search to find every text that holds what is searched, whatever the letters.
func FuzzSearch(f *testing.F) {
	for _, seed := range [][2]string{
		{"kdevtmpfsi", "vt"}, {"Ünïcode ſtraße İi", "İ"}, {"語語", "語"}, {"a\x00b\"'*", "\"'"}, {"x_%y", "_%"}, {"e\u0301\u0301\u0301e", "\u0301\u0301"}, {"\u0600\u200d\u200d\u200d", "\u200d\u200d\u200d"},
	} {
		f.Add(seed[0], seed[1])
	}
	s, err := sqlite.Open(f.Context(), filepath.Join(f.TempDir(), "s.db"), sqlite.Options{})
	if err != nil {
		f.Fatal(err)
	}
	f.Cleanup(func() {
		if err := s.Close(); err != nil {
			f.Error(err)
		}
	})
	f.Fuzz(func(t *testing.T, name, text string) {
		if len(name) > 1000 || len(text) > 300 || text == "" {
			return
		}
		inc := storetest.Incident(1)
		inc.Subject.Name = name
		if err := s.Put(t.Context(), inc); err != nil {
			t.Fatal(err)
		}
		// What comes back is what was put only where it was text.
		want := utf8.ValidString(name) && utf8.ValidString(text) && strings.Contains(name, text)
		found := false
		for r, err := range s.Rows(t.Context(), minewarden.Query{Text: text}) {
			if err != nil {
				t.Fatalf("search %q: %v", text, err)
			}
			found = r.ID == inc.ID
		}
		if want && !found {
			t.Errorf("%q is not found in %q", text, name)
		}
	})
}
