package rules_test

import (
	"testing"

	"github.com/minewarden/minewarden/detectors/sigma"
	"github.com/minewarden/minewarden/internal/detectortest"
	"github.com/minewarden/minewarden/rules"
)

func TestRecordings(t *testing.T) { detectortest.Run(t, sigma.New) }

// Every rule must run, and match in some attack recording: the want sections hold it to that.
func TestEveryRuleRuns(t *testing.T) {
	set, err := sigma.Load(nil, sigma.Folder{Name: "rules", FS: rules.FS})
	if err != nil {
		t.Fatal(err)
	}
	for _, p := range set.Problems() {
		t.Error(p)
	}
}
