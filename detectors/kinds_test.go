package detectors_test

import (
	"bytes"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/rogpeppe/go-internal/txtar"

	"github.com/minewarden/minewarden"
	"github.com/minewarden/minewarden/detectors"
	"github.com/minewarden/minewarden/internal/recording"
	"github.com/minewarden/minewarden/pipeline"
)

// everything gives a detector events of every kind.
type everything struct{ minewarden.Detector }

func (everything) Kinds() []minewarden.Kind { return minewarden.AllKinds() }

// ticking is everything for a detector that must know that time passes.
type ticking struct {
	everything
	minewarden.Ticker
}

// TestKindsAreEnough holds every detector, over the recordings of all, to the kinds that it names: given the others too, it finds the
// same. What it does not name is never handed to it.
func TestKindsAreEnough(t *testing.T) {
	files, err := filepath.Glob("*/testdata/*.txtar")
	if err != nil {
		t.Fatal(err)
	}
	found := map[string]bool{}
	for _, file := range files {
		ar, err := txtar.ParseFile(file)
		if err != nil {
			t.Fatal(err)
		}
		for _, f := range ar.Files {
			if f.Name != "events.jsonl" {
				continue
			}
			named := replay(t, f.Data, func(d minewarden.Detector) minewarden.Detector { return d })
			all := replay(t, f.Data, func(d minewarden.Detector) minewarden.Detector {
				if tick, ok := d.(minewarden.Ticker); ok {
					return ticking{everything{d}, tick}
				}
				return everything{d}
			})
			if diff := cmp.Diff(named, all); diff != "" {
				t.Errorf("%s: -kinds that are named +every kind:\n%s", file, diff)
			}
			for _, f := range named {
				detector, _, _ := strings.Cut(f.Rule, "/")
				found[detector] = true
			}
		}
	}
	for _, m := range detectors.All() {
		if !found[m.Name] {
			t.Errorf("%s finds nothing in any of %d recordings", m.Name, len(files))
		}
	}
}

func replay(t *testing.T, events []byte, wrap func(minewarden.Detector) minewarden.Detector) []minewarden.Finding {
	t.Helper()
	var dets []minewarden.Detector
	for _, m := range detectors.All() {
		d, err := m.New(minewarden.Env{})
		if err != nil {
			t.Fatal(err)
		}
		dets = append(dets, wrap(d))
	}
	var found []minewarden.Finding
	pipe := pipeline.New(pipeline.Options{
		Boot: "boot", Host: recording.Host{}, Detectors: dets,
		Finding: func(f minewarden.Finding) {
			f.Process = nil // the subject names it
			found = append(found, f)
		},
	})
	for ev, err := range recording.Read(bytes.NewReader(events)) {
		if err != nil {
			t.Fatal(err)
		}
		pipe.Observe(ev)
	}
	pipe.Flush()
	return found
}
