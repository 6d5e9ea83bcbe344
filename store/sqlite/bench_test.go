package sqlite_test

import (
	"fmt"
	"path/filepath"
	"testing"
	"time"

	"github.com/minewarden/minewarden"
	"github.com/minewarden/minewarden/store/sqlite"
	"github.com/minewarden/minewarden/store/storetest"
)

// BenchmarkQueries lists pages of 50 out of 10,000 incidents with 100,000 findings, as the console does.
func BenchmarkQueries(b *testing.B) {
	s, err := sqlite.Open(b.Context(), filepath.Join(b.TempDir(), "s.db"), sqlite.Options{})
	if err != nil {
		b.Fatal(err)
	}
	defer func() {
		if err := s.Close(); err != nil {
			b.Error(err)
		}
	}()
	start := time.Now()
	for i := range 10000 {
		inc := storetest.Incident(i)
		for len(inc.Findings) < 10 {
			f := inc.Findings[0]
			f.Rule = fmt.Sprintf("sigma/%04d", (i*7+len(inc.Findings)*131)%1500)
			inc.Findings = append(inc.Findings, f)
		}
		if err := s.Put(b.Context(), inc); err != nil {
			b.Fatal(err)
		}
	}
	b.Logf("filled in %v: %v a put", time.Since(start), time.Since(start)/10000)
	mid := storetest.Incident(5000)
	for name, q := range map[string]minewarden.Query{
		"first page": {}, "deep page": {After: mid.Cursor()}, "state": {States: []minewarden.State{minewarden.Contained}},
		"severity": {Severity: minewarden.Critical}, "host severity state": {Host: "host-1", Severity: minewarden.High, States: []minewarden.State{minewarden.Open}},
		"text rare": {Text: "xm777rig"}, "text everywhere": {Text: "miner"}, "text nowhere": {Text: "no such thing"}, "text short": {Text: "zq"},
		"text and state": {Text: "sigma/0131", States: []minewarden.State{minewarden.Closed}}, "rule": {Rule: "sigma/0131"},
		"rule prefix": {Rule: "power/"}, "rule nowhere": {Rule: "nope/"}, "subject": {Subject: mid.Subject.ID}, "since": {Since: mid.Updated, Until: mid.Updated.Add(time.Minute)},
	} {
		q.Limit = 50
		b.Run("incidents/"+name, func(b *testing.B) {
			for b.Loop() {
				for _, err := range s.Incidents(b.Context(), q) {
					if err != nil {
						b.Fatal(err)
					}
				}
			}
		})
		b.Run("findings/"+name, func(b *testing.B) {
			for b.Loop() {
				for _, err := range s.Findings(b.Context(), q) {
					if err != nil {
						b.Fatal(err)
					}
				}
			}
		})
	}
}
