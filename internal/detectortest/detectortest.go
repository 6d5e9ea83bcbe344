// Package detectortest holds detectors to their recordings: each testdata/{attack,benign}-NAME.txtar is a comment that says
// where the recording comes from, the events as `-- events.jsonl --`, and the findings as `-- want --`, one JSON object a line.
//
// "go test -update" writes want anew; read the diff.
package detectortest

import (
	"bytes"
	"encoding/json"
	"flag"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/rogpeppe/go-internal/txtar"

	"github.com/minewarden/minewarden"
	"github.com/minewarden/minewarden/internal/recording"
	"github.com/minewarden/minewarden/pipeline"
)

var update = flag.Bool("update", false, "write the want sections of recordings anew")

// want is the part of a finding that a recording pins down.
type want struct {
	Time       time.Time             `json:"time"`
	Rule       string                `json:"rule"`
	Subject    minewarden.Subject    `json:"subject"`
	Confidence float64               `json:"confidence"`
	Evidence   []minewarden.Evidence `json:"evidence"`
}

// Run replays every recording in testdata through a detector that make returns afresh each time. There must be at least one
// attack, each with a finding, and one benign, none with a finding of medium or more.
func Run(t *testing.T, make func(minewarden.Env) (minewarden.Detector, error)) {
	t.Helper()
	files, err := filepath.Glob("testdata/*.txtar")
	if err != nil {
		t.Fatal(err)
	}
	kinds := map[string]int{}
	for _, file := range files {
		name := strings.TrimSuffix(filepath.Base(file), ".txtar")
		kind, _, _ := strings.Cut(name, "-")
		kinds[kind]++
		t.Run(name, func(t *testing.T) { one(t, file, kind, make) })
	}
	if kinds["attack"] == 0 || kinds["benign"] == 0 {
		t.Errorf("testdata has %d attack and %d benign recordings: want at least one of each", kinds["attack"], kinds["benign"])
	}
}

func one(t *testing.T, file, kind string, make func(minewarden.Env) (minewarden.Detector, error)) {
	ar, err := txtar.ParseFile(file)
	if err != nil {
		t.Fatal(err)
	}
	if len(bytes.TrimSpace(ar.Comment)) == 0 {
		t.Errorf("%s does not say where the recording comes from", file)
	}
	det, err := make(minewarden.Env{})
	if err != nil {
		t.Fatal(err)
	}
	var events []byte
	wantAt := -1
	for i, f := range ar.Files {
		switch f.Name {
		case "events.jsonl":
			events = f.Data
		case "want":
			wantAt = i
		}
	}
	if len(events) == 0 {
		t.Fatalf("%s has no events.jsonl", file)
	}
	got := replay(t, det, events, kind)
	if *update {
		data := encode(t, got)
		if wantAt < 0 {
			ar.Files = append(ar.Files, txtar.File{Name: "want", Data: data})
		} else {
			ar.Files[wantAt].Data = data
		}
		if err := os.WriteFile(file, txtar.Format(ar), 0o644); err != nil {
			t.Fatal(err)
		}
		return
	}
	if wantAt < 0 {
		t.Fatalf("%s has no want section; write it with go test -update and read it", file)
	}
	if diff := cmp.Diff(string(ar.Files[wantAt].Data), string(encode(t, got))); diff != "" {
		t.Errorf("findings differ (-want +got):\n%s", diff)
	}
}

func replay(t *testing.T, det minewarden.Detector, events []byte, kind string) []want {
	t.Helper()
	rules := map[string]minewarden.Rule{}
	for _, r := range det.Rules() {
		rules[r.ID] = r
	}
	var got []want
	pipe := pipeline.New(pipeline.Options{
		Boot: "boot", Host: recording.Host{}, Detectors: []minewarden.Detector{det},
		Finding: func(f minewarden.Finding) {
			r, ok := rules[f.Rule]
			switch {
			case !ok:
				t.Errorf("finding cites rule %q, which Rules does not list", f.Rule)
			case len(f.Evidence) == 0:
				t.Errorf("finding of %s has no evidence", f.Rule)
			case f.Confidence <= 0 || f.Confidence > 1:
				t.Errorf("finding of %s has confidence %v", f.Rule, f.Confidence)
			case kind == "benign" && r.Severity >= minewarden.Medium:
				t.Errorf("false alarm: %s (%s) about %s: %v", f.Rule, r.Severity, f.Subject.ID, f.Evidence)
			}
			got = append(got, want{f.Time.UTC(), f.Rule, f.Subject, f.Confidence, f.Evidence})
		},
	})
	for ev, err := range recording.Read(bytes.NewReader(events)) {
		if err != nil {
			t.Fatal(err)
		}
		pipe.Observe(ev)
	}
	pipe.Flush()
	if kind == "attack" && len(got) == 0 {
		t.Error("missed: no finding")
	}
	return got
}

func encode(t *testing.T, got []want) []byte {
	t.Helper()
	var b bytes.Buffer
	enc := json.NewEncoder(&b)
	enc.SetEscapeHTML(false)
	for _, w := range got {
		if err := enc.Encode(w); err != nil {
			t.Fatal(err)
		}
	}
	return b.Bytes()
}
