package docker

import (
	"testing"

	mw "github.com/minewarden/minewarden"
	"github.com/minewarden/minewarden/internal/audittest"
)

// TestWritten holds the main verdicts on answers that were written after the product's documentation, for machines without
// the recordings of real servers.
func TestWritten(t *testing.T) {
	for state, want := range map[string]map[string]mw.Status{
		"open": {ruleOpen: mw.StatusFail, ruleCreate: mw.StatusFail},
	} {
		t.Run(state, func(t *testing.T) {
			s := audittest.New(t, "testdata/"+state)
			audittest.Want(t, audit(t, s.URL, mw.ServiceAccess{}), want)
			s.OnlyAllowed(t, audittest.AllowedInREADME(readme))
		})
	}
}
