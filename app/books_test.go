package app_test

import (
	"log/slog"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/minewarden/minewarden"
	"github.com/minewarden/minewarden/app"
	"github.com/minewarden/minewarden/incidents"
	"github.com/minewarden/minewarden/playbooks"
)

// eventualRun waits until a run of the incident is as wanted.
func eventualRun(t *testing.T, b app.Books, incident string, want func(*playbooks.Run) bool) playbooks.Run {
	t.Helper()
	var last []playbooks.Run
	for deadline := time.Now().Add(60 * time.Second); time.Now().Before(deadline); time.Sleep(100 * time.Millisecond) {
		all, err := b.Runs(t.Context(), incident)
		if err != nil {
			t.Fatal(err)
		}
		for i := range all {
			if want(&all[i]) {
				return all[i]
			}
		}
		last = all
	}
	t.Fatalf("no such run within a minute: %+v", last)
	return playbooks.Run{}
}

// TestPlaybookOfARunningAgent takes a playbook from the trigger to an approval, over kill -9, and hides what comes after.
func TestPlaybookOfARunningAgent(t *testing.T) {
	dir := t.TempDir()
	agent := startAgent(t, dir)
	miner := masquerade(t)
	w, done := work(t, dir)
	defer done()
	inc := incidentOf(t, w, miner.Process.Pid, high)
	b, err := app.OpenBooks(observe(dir))
	if err != nil {
		t.Fatal(err)
	}
	proposed := eventualRun(t, b, inc.ID, func(r *playbooks.Run) bool { return r.State == playbooks.Proposed })
	all, err := b.DryRun(t.Context(), inc.ID, proposed.Playbook.Name)
	if err != nil {
		t.Fatal(err)
	}
	if i := slices.IndexFunc(all, func(p playbooks.Preview) bool { return p.Step.ID == "freeze" }); i < 0 || all[i].Would != "run" || len(all[i].Actions) != 1 {
		t.Fatalf("a dry run says %+v", all)
	}
	if s := state(t, miner.Process.Pid); s == "T" {
		t.Fatal("frozen by a dry run")
	}
	if _, err := b.Start(t.Context(), inc.ID, proposed.Playbook.Name, "user test", "test"); err != nil {
		t.Fatal(err)
	}
	r := eventualRun(t, b, inc.ID, func(r *playbooks.Run) bool { return r.State == playbooks.Waiting })
	if r.ID != proposed.ID || r.Steps[0].State != playbooks.StepDone || r.Steps[0].ID != "freeze" {
		t.Fatalf("%+v", r.Steps)
	}
	if s := state(t, miner.Process.Pid); s != "T" {
		t.Errorf("the miner is in state %s", s)
	}
	if err := agent.Process.Kill(); err != nil {
		t.Fatal(err)
	}
	_ = agent.Wait() // it was killed
	startAgent(t, dir)
	r = eventualRun(t, b, inc.ID, func(r *playbooks.Run) bool { return r.State == playbooks.Waiting })
	for range 20 { // what the others find to do differs by machine; the kill is wanted
		if r.State.Ended() {
			break
		}
		step := r.Steps[r.Next].ID
		decision := playbooks.Refuse
		switch {
		case step == "kill":
			decision = playbooks.Approve
		case r.Playbook.Steps[r.Next].Kind == playbooks.ByHand:
			decision = playbooks.IsDone
		}
		if _, err := b.Decide(t.Context(), r.ID, step, decision, "user test", "test"); err != nil {
			t.Fatal(err)
		}
		r = eventualRun(t, b, inc.ID, func(n *playbooks.Run) bool {
			return n.ID == r.ID && (n.State.Ended() || n.State == playbooks.Waiting && n.Steps[n.Next].ID != step)
		})
	}
	i := slices.IndexFunc(r.Steps, func(s playbooks.StepRun) bool { return s.ID == "kill" })
	if r.State != playbooks.Done || r.Steps[i].State != playbooks.StepDone {
		t.Errorf("%s: %+v", r.State, r.Steps)
	}
	if s := state(t, miner.Process.Pid); s != "Z" {
		t.Errorf("the miner is in state %s", s)
	}
	now, err := w.Incident(t.Context(), inc.ID)
	if err != nil {
		t.Fatal(err)
	}
	for _, op := range []string{"freeze", "kill"} {
		n := 0
		for _, x := range now.Actions {
			if x.Action.Op == op && x.OK {
				n++
			}
		}
		if n != 1 {
			t.Errorf("the incident has %d receipts of %s", n, op)
		}
	}

	h, end, err := app.OpenHider(observe(dir), slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	defer func() {
		if err := end(); err != nil {
			t.Error(err)
		}
	}()
	x, err := h.Suppress(t.Context(), incidents.Suppression{Rule: "masquerade/", Reason: "a test", Who: "user test", Expires: time.Now().Add(time.Hour)})
	if err != nil {
		t.Fatal(err)
	}
	again := masquerade(t)
	for deadline := time.Now().Add(60 * time.Second); ; time.Sleep(100 * time.Millisecond) {
		items, err := h.Suppressions(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		if len(items) == 1 && items[0].ID == x.ID && items[0].Count > 0 {
			break
		}
		if time.Now().After(deadline) {
			t.Fatalf("nothing was suppressed: %+v", items)
		}
	}
	list, err := w.Incidents(t.Context(), minewarden.Query{})
	if err != nil {
		t.Fatal(err)
	}
	for _, inc := range list {
		for _, f := range inc.Findings {
			if int(f.Subject.PID) == again.Process.Pid && strings.HasPrefix(f.Rule, "masquerade/") {
				t.Errorf("a suppressed finding is in incident %s: %+v", inc.ID, f)
			}
		}
	}
}
