package app_test

import (
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/klauspost/compress/zstd"

	"github.com/minewarden/minewarden"
	"github.com/minewarden/minewarden/internal/proc"
	"github.com/minewarden/minewarden/responders/evidence"
	"github.com/minewarden/minewarden/responders/evidence/vault"
)

// TestEvidenceOfAContainer asks a real engine: what it was told to run, what was changed in it, what it wrote.
func TestEvidenceOfAContainer(t *testing.T) {
	d := startDocker(t)
	d.must(image(t), "import", "-", "load")
	id, pid := d.run("--label", "note=<b>\x1b[31m")
	stat, err := proc.ReadStat(int32(pid))
	if err != nil {
		t.Fatal(err)
	}
	dropped := filepath.Join("/proc", strconv.Itoa(pid), "root", "dropped")
	if err := os.WriteFile(dropped, []byte("miner"), 0o755); err != nil {
		t.Fatal(err)
	}
	r, err := evidence.New(minewarden.Env{Data: t.TempDir(), Decode: func(into any) error {
		c := into.(*evidence.Config)
		c.Docker, c.Logs = d.socket, nil
		return nil
	}})
	if err != nil {
		t.Fatal(err)
	}
	inc := minewarden.Incident{ID: "i", Opened: time.Now(), Updated: time.Now(), Members: []minewarden.Member{{
		Key: minewarden.ProcessKey{PID: stat.PID, Start: stat.Start}, Container: minewarden.Container{Runtime: "docker", ID: id},
	}}}
	actions, err := r.Plan(t.Context(), inc)
	if err != nil || len(actions) != 1 {
		t.Fatalf("%+v %v", actions, err)
	}
	receipt, err := r.Do(t.Context(), actions[0])
	if err != nil || !receipt.OK {
		t.Fatalf("%+v %v", receipt, err)
	}
	report, err := vault.Verify(t.Context(), receipt.State["dir"], nil)
	if err != nil || !report.OK() {
		t.Fatalf("%+v %v", report.Faults, err)
	}
	found := map[string]string{}
	dec, err := zstd.NewReader(nil)
	if err != nil {
		t.Fatal(err)
	}
	defer dec.Close()
	for _, p := range report.Manifest.Parts {
		b, err := os.ReadFile(filepath.Join(receipt.State["dir"], p.File))
		if err == nil {
			b, err = dec.DecodeAll(b, nil)
		}
		if err != nil {
			t.Fatal(p.File, err)
		}
		found[p.What+" "+p.Source] = string(b)
	}
	for name, want := range map[string]string{
		"container configuration of " + id: `"/server"`,
		"container changed files of " + id: `"/dropped"`,
		"container processes of " + id:     "Titles",
		"executable /server":               "\x7fELF",
	} {
		if !strings.Contains(found[name], want) {
			t.Errorf("%s: %.200q; skipped: %+v", name, found[name], report.Manifest.Skipped)
		}
	}
}
