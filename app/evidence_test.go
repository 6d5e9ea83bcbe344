package app

import (
	"log/slog"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/minewarden/minewarden"
	"github.com/minewarden/minewarden/config"
	"github.com/minewarden/minewarden/console"
	"github.com/minewarden/minewarden/incidents"
	"github.com/minewarden/minewarden/internal/proc"
	"github.com/minewarden/minewarden/internal/sensortest"
	"github.com/minewarden/minewarden/responders/evidence"
	"github.com/minewarden/minewarden/store/mem"
)

// TestEvidence collects a process that runs, through the desk, as the API and the command do.
func TestEvidence(t *testing.T) {
	sensortest.Root(t)
	cmd := exec.Command("sleep", "60")
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { cmd.Process.Kill(); cmd.Wait() })
	stat, err := proc.ReadStat(int32(cmd.Process.Pid))
	if err != nil {
		t.Fatal(err)
	}
	boot, err := BootID()
	if err != nil {
		t.Fatal(err)
	}
	cfg := config.Default()
	cfg.Data = t.TempDir()
	r, err := evidence.New(minewarden.Env{Data: filepath.Join(cfg.Data, "responders", evidence.Name)})
	if err != nil {
		t.Fatal(err)
	}
	st := new(mem.Store)
	rule := minewarden.Rule{ID: "pow/randomx", Severity: minewarden.Critical}
	keeper := incidents.NewKeeper(st, incidents.Config{Host: "h", Rules: []minewarden.Rule{rule}}, nil, nil)
	d := &Desk{log: slog.New(slog.DiscardHandler), store: st, keeper: keeper, responders: []minewarden.Responder{r}}
	p := &minewarden.Process{Key: minewarden.ProcessKey{Boot: boot, PID: stat.PID, Start: stat.Start}, Name: "sleep", Exe: "/usr/bin/sleep"}
	id := keeper.Finding(&minewarden.Finding{
		Time: time.Now(), Rule: rule.ID, Subject: minewarden.ProcessSubject(p), Process: p, Confidence: 0.99, Evidence: []minewarden.Evidence{{Key: "k", Value: "v"}},
	})
	if _, err := d.Collect(t.Context(), id, console.Collect{Path: "relative"}, "user a", "test"); err == nil {
		t.Error("a relative path was taken")
	}
	receipt, err := d.Collect(t.Context(), id, console.Collect{Memory: "whole", Hold: true}, "user a", "test")
	if err != nil || !receipt.OK || receipt.Who != "user a" {
		t.Fatalf("%+v %v", receipt, err)
	}
	all, err := d.Evidence(t.Context())
	if err != nil || len(all) != 1 || all[0].State != "sealed" || all[0].Incident != id || all[0].Processes != 1 || all[0].Memory != "whole" || all[0].Why != "test" {
		t.Fatalf("%+v %v", all, err)
	}
	for n := 2; n < 4; n++ { // each look is in the chain of custody
		v, err := d.VerifyEvidence(t.Context(), all[0].ID, "user b")
		if err != nil || !v.OK || len(v.Custody) != n-1 {
			t.Fatalf("%+v %v", v, err)
		}
	}
	v, err := Vault(cfg)
	if err != nil {
		t.Fatal(err)
	}
	parts, err := filepath.Glob(filepath.Join(v.Dir, all[0].ID, "*.zst"))
	if err != nil || len(parts) == 0 {
		t.Fatalf("%v %v", parts, err)
	}
	if err := os.Chmod(parts[0], 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(parts[0], []byte("x"), 0o600); err != nil {
		t.Fatal(err)
	}
	if v, err := d.VerifyEvidence(t.Context(), all[0].ID, "user b"); err != nil || v.OK || !strings.Contains(v.Faults[0], "bytes") {
		t.Errorf("%+v %v", v, err)
	}
	for _, id := range []string{"../../etc", "", "nothing"} {
		if _, err := d.VerifyEvidence(t.Context(), id, "user b"); err == nil {
			t.Errorf("%q was found", id)
		}
	}
	inc, err := d.Incident(t.Context(), id)
	if err != nil || len(inc.Actions) != 1 {
		t.Errorf("%d actions: %v", len(inc.Actions), err)
	}
}
