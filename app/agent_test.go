package app_test

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/minewarden/minewarden"
	"github.com/minewarden/minewarden/app"
	"github.com/minewarden/minewarden/config"
	"github.com/minewarden/minewarden/internal/sensortest"
)

// agentDir makes this test binary an agent on that data directory, so that a test can kill it.
const agentDir = "MINEWARDEN_TEST_AGENT"

func TestMain(m *testing.M) {
	if dir := os.Getenv(agentDir); dir != "" {
		if err := beAgent(dir); err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(2)
		}
		return
	}
	if group := os.Getenv(cutGroup); group != "" {
		if err := cutInside(group); err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(2)
		}
		return
	}
	if dir := os.Getenv(packetsDir); dir != "" {
		if err := packetsInside(dir); err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(2)
		}
		return
	}
	os.Exit(m.Run())
}

func beAgent(dir string) error {
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGTERM)
	defer stop()
	a, err := app.NewAgent(ctx, observe(dir), slog.New(slog.NewTextHandler(os.Stderr, nil)), app.Notice{
		Ready: func([]string) { fmt.Println("ready") },
	})
	if err != nil {
		return err
	}
	return errors.Join(a.Run(ctx), a.Close())
}

func observe(dir string) *config.Config {
	cfg := config.Default()
	cfg.Data = dir
	return cfg
}

// startAgent runs an agent in a process of its own and waits until it watches.
func startAgent(t *testing.T, dir string) *exec.Cmd {
	t.Helper()
	cmd := exec.Command(os.Args[0])
	cmd.Env = append(os.Environ(), agentDir+"="+dir)
	cmd.Stderr = os.Stderr
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if cmd.ProcessState == nil {
			cmd.Process.Kill()
			cmd.Wait()
		}
	})
	line, err := bufio.NewReader(out).ReadString('\n')
	if line != "ready\n" {
		t.Fatalf("the agent said %q, %v", line, err)
	}
	return cmd
}

// masquerade runs a copy of sleep that claims to be a kernel thread: quick and certain to be found.
func masquerade(t *testing.T) *exec.Cmd {
	t.Helper()
	sleep, err := exec.LookPath("sleep")
	if err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(t.TempDir(), "kworker-test")
	b, err := os.ReadFile(sleep)
	if err == nil {
		err = os.WriteFile(path, b, 0o755)
	}
	if err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command(path, "120")
	cmd.Args[0] = "[kworker/u9:7]"
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { cmd.Process.Kill(); cmd.Wait() })
	return cmd
}

// incidentOf waits for the incident that the process belongs to.
func incidentOf(t *testing.T, w app.Work, pid int, want func(*minewarden.Incident) bool) minewarden.Incident {
	t.Helper()
	for deadline := time.Now().Add(60 * time.Second); time.Now().Before(deadline); time.Sleep(100 * time.Millisecond) {
		all, err := w.Incidents(t.Context(), minewarden.Query{})
		if err != nil {
			t.Fatal(err)
		}
		for _, inc := range all {
			has := slices.ContainsFunc(inc.Members, func(m minewarden.Member) bool { return int(m.Key.PID) == pid })
			if has && want(&inc) {
				return inc
			}
		}
	}
	t.Fatalf("no such incident of process %d within a minute", pid)
	return minewarden.Incident{}
}

func high(inc *minewarden.Incident) bool { return inc.Severity >= minewarden.High }

func do(t *testing.T, w app.Work, id, op string) minewarden.Receipt {
	t.Helper()
	actions, err := w.Plan(t.Context(), id)
	if err != nil {
		t.Fatal(err)
	}
	i := slices.IndexFunc(actions, func(a minewarden.Action) bool { return a.Op == op })
	if i < 0 {
		t.Fatalf("the plan has no %s: %+v", op, actions)
	}
	r, err := w.Do(t.Context(), actions[i], "user test", "test")
	if err != nil {
		t.Fatal(err)
	}
	return r
}

func state(t *testing.T, pid int) string {
	t.Helper()
	b, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	if err != nil {
		t.Fatal(err)
	}
	return strings.Fields(string(b[strings.LastIndexByte(string(b), ')')+1:]))[0]
}

func work(t *testing.T, dir string) (app.Work, func()) {
	t.Helper()
	w, done, err := app.OpenWork(t.Context(), observe(dir), slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	return w, func() {
		if err := done(); err != nil {
			t.Error(err)
		}
	}
}

func TestIncidentsAndActionsSurviveKill(t *testing.T) {
	sensortest.Root(t)
	dir := t.TempDir()
	agent := startAgent(t, dir)
	miner := masquerade(t)
	w, done := work(t, dir)
	first := incidentOf(t, w, miner.Process.Pid, high)
	do(t, w, first.ID, "freeze")
	if s := state(t, miner.Process.Pid); s != "T" {
		t.Errorf("state %s after freeze, want T", s)
	}
	done()
	if err := agent.Process.Kill(); err != nil {
		t.Fatal(err)
	}
	agent.Wait()

	agent = startAgent(t, dir)
	w, done = work(t, dir)
	second := incidentOf(t, w, miner.Process.Pid, high)
	if second.ID != first.ID {
		t.Errorf("incident %s became %s: the same process must stay the same incident", first.ID, second.ID)
	}
	if len(second.Actions) != 1 || !second.Actions[0].OK || !second.Actions[0].Undone.IsZero() {
		t.Fatalf("actions after the kill: %+v, want the freeze", second.Actions)
	}
	if second.State != minewarden.Contained {
		t.Errorf("state %s after the kill, want contained", second.State)
	}
	if _, err := w.Undo(t.Context(), second.ID, "", "user test", "a test"); err != nil {
		t.Error(err)
	}
	if s := state(t, miner.Process.Pid); s == "T" {
		t.Error("still stopped after undo")
	}
	done()

	if err := agent.Process.Signal(syscall.SIGTERM); err != nil {
		t.Fatal(err)
	}
	if err := agent.Wait(); err != nil {
		t.Errorf("the agent ended with %v", err)
	}
	if _, err := os.Stat(filepath.Join(dir, "control.sock")); err == nil {
		t.Error("the control socket was left behind")
	}

	// Without an agent the same desk works on the data alone.
	w, done = work(t, dir)
	defer done()
	closed, err := w.Close(t.Context(), first.ID[:8], "user test", "it was a test")
	if err != nil || closed.State != minewarden.Closed {
		t.Errorf("close: %v, state %s", err, closed.State)
	}
	if all, err := w.Incidents(t.Context(), minewarden.Query{Text: first.ID}); err != nil || len(all) != 1 {
		t.Errorf("%d incidents with the id, %v; want one", len(all), err)
	}
}

func TestTwoAgentsDoNotShareData(t *testing.T) {
	sensortest.Root(t)
	dir := t.TempDir()
	startAgent(t, dir)
	_, err := app.NewAgent(t.Context(), observe(dir), slog.New(slog.DiscardHandler), app.Notice{})
	if err == nil || !strings.Contains(err.Error(), "another minewarden is using it") {
		t.Errorf("error %v, want one that says who has the data", err)
	}
}

func TestRealMinerBecomesAnIncident(t *testing.T) {
	sensortest.Root(t)
	bin := filepath.Join(t.TempDir(), "nginx") // its name plays no part
	if out, err := exec.Command("gcc", "-O2", "-pthread", "-o", bin, "../internal/workloads/randomx.c", "-lrandomx", "-lstdc++", "-lm").CombinedOutput(); err != nil {
		sensortest.Need(t, fmt.Errorf("%w: librandomx-dev and gcc: %s", minewarden.ErrUnsupported, out))
	}
	dir := t.TempDir()
	startAgent(t, dir)
	miner := exec.Command(bin, "90", "1", "jit", "aes")
	miner.Stderr = io.Discard
	if err := miner.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { miner.Process.Kill(); miner.Wait() })
	w, done := work(t, dir)
	defer done()
	inc := incidentOf(t, w, miner.Process.Pid, func(inc *minewarden.Incident) bool { return inc.Severity == minewarden.Critical })
	if !slices.ContainsFunc(inc.Findings, func(f minewarden.IncidentFinding) bool { return f.Rule == "pow/randomx" }) {
		t.Errorf("no pow/randomx among the findings of %s", inc.ID)
	}
	do(t, w, inc.ID, "freeze")
	before := ticks(t, miner.Process.Pid)
	time.Sleep(500 * time.Millisecond)
	if after := ticks(t, miner.Process.Pid); after != before {
		t.Errorf("the frozen miner used %d ticks of processor time", after-before)
	}
}

// ticks returns the processor time that a process has used, all threads, in 1/100 s.
func ticks(t *testing.T, pid int) (sum int) {
	t.Helper()
	b, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	if err != nil {
		t.Fatal(err)
	}
	f := strings.Fields(string(b[strings.LastIndexByte(string(b), ')')+1:]))
	var u, s int
	if _, err := fmt.Sscan(f[11]+" "+f[12], &u, &s); err != nil {
		t.Fatal(err)
	}
	return u + s
}
