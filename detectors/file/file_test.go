package file

import (
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/minewarden/minewarden"
	"github.com/minewarden/minewarden/internal/detectortest"
)

func TestRecordings(t *testing.T) { detectortest.Run(t, New) }

// The collected configurations of real miners.
func TestCollected(t *testing.T) {
	dir := "../../../shared/data/artefacts"
	for name, want := range map[string]string{
		"eeche_btc_xmrig_config.json": ruleConfig, "nesfit_cgminer_s0.conf": rulePool, "xmrig_default_config.json": ruleTemplate, "xmrig_doc_api_config.json": ruleConfig, "lines.csv": "",
	} {
		head, err := os.ReadFile(filepath.Join(dir, name))
		if err != nil {
			if os.Getenv("CI") == "true" {
				t.Fatal(err)
			}
			t.Skip(err)
		}
		got := ""
		for _, f := range (detector{}).Observe(&minewarden.Event{Time: time.Unix(1, 0), Data: &minewarden.File{Path: "/x", Mode: 0o100644, Head: head[:min(len(head), 64<<10)]}}) {
			got = f.Rule
		}
		if got != want {
			t.Errorf("%s: %q, want %q", name, got, want)
		}
	}
}

func FuzzHead(f *testing.F) {
	f.Add([]byte(`{"pools":[{"url":"stratum+tcp://a:1","user":"b"}]}`))
	f.Add([]byte("#!/bin/sh\n./x -o stratum+tcp://a:1\n"))
	f.Fuzz(func(t *testing.T, head []byte) {
		for _, found := range (detector{}).Observe(&minewarden.Event{Time: time.Unix(1, 0), Data: &minewarden.File{Path: "/x", Mode: 0o100755, Head: head}}) {
			if len(found.Evidence) == 0 {
				t.Error("no evidence")
			}
		}
	})
}

func BenchmarkHonestJSON(b *testing.B) {
	ev := &minewarden.Event{Data: &minewarden.File{Path: "/x", Head: []byte(`{"name":"x","version":"1.0.0","dependencies":{"generic-pool":"^3"}}`)}}
	b.ReportAllocs()
	for b.Loop() {
		(detector{}).Observe(ev)
	}
}
