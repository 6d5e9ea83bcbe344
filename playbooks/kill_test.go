package playbooks_test

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/minewarden/minewarden"
	"github.com/minewarden/minewarden/audittrail"
	"github.com/minewarden/minewarden/internal/proc"
	"github.com/minewarden/minewarden/internal/sensortest"
	"github.com/minewarden/minewarden/playbooks"
	"github.com/minewarden/minewarden/responders/evidence"
	"github.com/minewarden/minewarden/responders/process"
	"github.com/minewarden/minewarden/responders/quarantine"
)

const (
	agentEnv   = "MINEWARDEN_TEST_AGENT"   // the data directory of an agent that the test binary is to be
	momentsEnv = "MINEWARDEN_KILL_MOMENTS" // how often the agent is killed; 24 where it says nothing
)

func TestMain(m *testing.M) {
	if data := os.Getenv(agentEnv); data != "" {
		if err := agent(data); err != nil {
			fmt.Println("error", err)
			os.Exit(1)
		}
		os.Exit(0)
	}
	os.Exit(m.Run())
}

// killing is the playbook that ends the miner; holding leaves it frozen and waits for a person.
const (
	killing = `playbook: killing
title: all of it
steps:
  - {id: freeze, title: freeze, kind: automatic, action: {responder: process, op: freeze}}
  - {id: evidence, title: evidence, kind: automatic, action: {responder: evidence, op: collect}}
  - {id: quarantine, title: quarantine, kind: automatic, action: {responder: quarantine, op: quarantine}}
  - {id: kill, title: kill, kind: automatic, action: {responder: process, op: kill}}
`
	holding = `playbook: holding
title: until somebody decides
steps:
  - {id: evidence, title: evidence, kind: automatic, action: {responder: evidence, op: collect}}
  - {id: quarantine, title: quarantine, kind: automatic, action: {responder: quarantine, op: quarantine}}
  - {id: freeze, title: freeze, kind: automatic, action: {responder: process, op: freeze}}
  - {id: decide, title: decide, kind: manual}
`
)

// machine is a desk with real responders, as the agent has them, over a directory.
type machine struct {
	data       string
	responders []minewarden.Responder
}

func openMachine(data string) (*machine, error) {
	m := &machine{data: data}
	for _, x := range []struct {
		name string
		make func(minewarden.Env) (minewarden.Responder, error)
	}{{process.Name, process.New}, {evidence.Name, evidence.New}, {quarantine.Name, quarantine.New}} {
		r, err := x.make(minewarden.Env{Data: filepath.Join(data, "responders", x.name), Now: time.Now, Log: slog.New(slog.DiscardHandler)})
		if err != nil {
			return nil, err
		}
		m.responders = append(m.responders, r)
	}
	return m, nil
}

// mend is what an agent does first.
func (m *machine) mend(ctx context.Context) ([]minewarden.Receipt, error) {
	var all []minewarden.Receipt
	for _, r := range m.responders {
		rec, ok := r.(interface {
			Recover(context.Context) ([]minewarden.Receipt, error)
		})
		if !ok {
			continue
		}
		receipts, err := rec.Recover(ctx)
		if err != nil {
			return nil, err
		}
		all = append(all, receipts...)
	}
	return all, nil
}

func (m *machine) Incident(context.Context, string) (inc minewarden.Incident, err error) {
	b, err := os.ReadFile(filepath.Join(m.data, "incident.json"))
	if err == nil {
		err = json.Unmarshal(b, &inc)
	}
	return inc, err
}

func (m *machine) responder(name string) (minewarden.Responder, error) {
	for _, r := range m.responders {
		if r.Info().Name == name {
			return r, nil
		}
	}
	return nil, fmt.Errorf("there is no responder %s", name)
}

func (m *machine) Plan(ctx context.Context, incident, responder string) ([]minewarden.Action, error) {
	inc, err := m.Incident(ctx, incident)
	if err != nil {
		return nil, err
	}
	r, err := m.responder(responder)
	if err != nil {
		return nil, err
	}
	return r.Plan(ctx, inc)
}

func (m *machine) Do(ctx context.Context, a minewarden.Action, who, why string) (minewarden.Receipt, error) {
	r, err := m.responder(a.Responder)
	if err != nil {
		return minewarden.Receipt{}, err
	}
	return r.Do(ctx, a)
}

func books() ([]playbooks.Playbook, error) {
	var all []playbooks.Playbook
	for _, text := range []string{killing, holding} {
		p, err := playbooks.Parse([]byte(text))
		if err != nil {
			return nil, err
		}
		all = append(all, p)
	}
	return all, nil
}

// agent starts as an agent does: the responders mend, the engine goes on. It ends when the run does.
func agent(data string) (err error) {
	ctx := context.Background()
	m, err := openMachine(data)
	if err != nil {
		return err
	}
	fmt.Println("ready")
	if _, err := m.mend(ctx); err != nil {
		return err
	}
	trail, err := audittrail.Open(data, audittrail.Options{})
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, trail.Close()) }()
	all, err := books()
	if err != nil {
		return err
	}
	changed := make(chan playbooks.Run, 1000)
	e, err := playbooks.New(playbooks.Config{
		Dir: filepath.Join(data, "playbooks"), Desk: m, Playbooks: all, Respond: "observe", Changed: func(r playbooks.Run) { changed <- r },
		Audit: func(_ context.Context, ev playbooks.Event) error {
			ev.Detail["event"] = ev.ID
			return trail.Append(audittrail.Entry{Who: ev.Who, Via: "agent", What: ev.What, Target: ev.Target, Why: ev.Why, Detail: ev.Detail})
		},
	})
	if err != nil {
		return err
	}
	ctx, stop := context.WithCancel(ctx)
	defer stop()
	ended := make(chan error, 1)
	go func() { ended <- e.Run(ctx) }()
	if len(e.Runs("")) == 0 {
		if _, err := e.Start(ctx, "i1", os.Getenv("MINEWARDEN_TEST_BOOK"), "user test", "a miner"); err != nil {
			return err
		}
	}
	over := func(r playbooks.Run) bool {
		return len(r.Outbox) == 0 && (r.State.Ended() || r.State == playbooks.Waiting)
	}
	if r := e.Runs(""); !over(r[0]) {
		for r := range changed {
			if over(r) {
				break
			}
		}
	}
	stop()
	return <-ended
}

// miner is a tree of processes of a program that no package brought, which the incident is about.
type miner struct {
	exe  string
	text []byte
	root proc.Stat
	cg   proc.Cgroup
	stop func()
}

func startMiner(t *testing.T, kind string, mounts proc.Mounts) *miner {
	t.Helper()
	text, err := os.ReadFile("/bin/dash")
	if err != nil {
		t.Fatal(err)
	}
	m := &miner{exe: filepath.Join(t.TempDir(), "xmrig"), text: append(text, strconv.Itoa(rand.Int())...)}
	if err := os.WriteFile(m.exe, m.text, 0o755); err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command(m.exe, "-c", "read go; work() { while :; do sleep 0.05; done; }; work & work & work & wait")
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	in, err := cmd.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	gone := make(chan struct{})
	go func() { _ = cmd.Wait(); close(gone) }() // it is killed in one way or another
	if c := map[string]proc.Cgroup{"v1": {Dir: mounts.V1}, "v2": {Dir: mounts.V2, V2: true}}[kind]; c.Dir != "" {
		if c.Dir, err = os.MkdirTemp(c.Dir, "minewarden-test-"); err != nil {
			t.Logf("no %s cgroup: %v", kind, err)
		} else {
			m.cg = c
			if err := os.WriteFile(filepath.Join(c.Dir, "cgroup.procs"), []byte(strconv.Itoa(cmd.Process.Pid)), 0); err != nil {
				t.Fatal(err)
			}
		}
	}
	m.stop = func() {
		_ = syscall.Kill(-cmd.Process.Pid, syscall.SIGKILL) // gone already, most often
		if m.cg.Dir != "" {
			if err := m.cg.Thaw(); err != nil {
				t.Error(err)
			}
		}
		<-gone
		if m.cg.Dir != "" {
			eventually(t, "the cgroup is empty", func() bool { return os.Remove(m.cg.Dir) == nil })
		}
	}
	if _, err := in.Write([]byte("go\n")); err != nil {
		t.Fatal(err)
	}
	if m.root, err = proc.ReadStat(int32(cmd.Process.Pid)); err != nil {
		t.Fatal(err)
	}
	eventually(t, "the miner has children", func() bool { return len(m.alive(t)) >= 4 })
	return m
}

// alive returns the processes of the miner's group that are no zombies.
func (m *miner) alive(t *testing.T) []proc.Stat {
	t.Helper()
	all, err := proc.All()
	if err != nil {
		t.Fatal(err)
	}
	var out []proc.Stat
	for _, s := range all {
		if group, err := syscall.Getpgid(int(s.PID)); err == nil && group == int(m.root.PID) && s.State != 'Z' && s.State != 'X' {
			out = append(out, s)
		}
	}
	return out
}

// still reports whether none of the miner's processes runs.
func (m *miner) still(t *testing.T) bool {
	if m.cg.Dir != "" {
		if frozen, err := m.cg.Frozen(); err == nil && frozen {
			return true
		}
	}
	for _, s := range m.alive(t) {
		if s.State != 'T' {
			return false
		}
	}
	return true
}

func eventually(t *testing.T, what string, f func() bool) {
	t.Helper()
	for deadline := time.Now().Add(20 * time.Second); !f(); time.Sleep(2 * time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatalf("not within 20 s: %s", what)
		}
	}
}

// launch starts the agent, and kills it after a while; zero: never. It reports whether the agent came to its end.
func launch(t *testing.T, data, book string, after time.Duration) bool {
	t.Helper()
	cmd := exec.Command(os.Args[0])
	cmd.Env = append(os.Environ(), agentEnv+"="+data, "MINEWARDEN_TEST_BOOK="+book)
	var errs bytes.Buffer
	cmd.Stderr = &errs
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	lines := bufio.NewScanner(out)
	if !lines.Scan() || lines.Text() != "ready" {
		t.Fatalf("the agent did not start: %q", lines.Text())
	}
	if after > 0 {
		kill := time.AfterFunc(after, func() { _ = cmd.Process.Kill() }) // it may have ended
		defer kill.Stop()
	}
	var said []string
	for lines.Scan() {
		said = append(said, lines.Text())
	}
	err = cmd.Wait()
	var exit *exec.ExitError
	if errors.As(err, &exit) && exit.Sys().(syscall.WaitStatus).Signal() == syscall.SIGKILL {
		return false
	}
	if err != nil {
		t.Fatalf("the agent: %v: %s %s", err, said, &errs)
	}
	return true
}

func moments(t *testing.T) int {
	n, err := strconv.Atoi(os.Getenv(momentsEnv))
	if os.Getenv(momentsEnv) == "" {
		return 24
	}
	if err != nil {
		t.Fatal(err)
	}
	return n
}

// TestKilledAtAnyMoment kills an agent at random moments of playbooks over real processes and files, and starts it again. Each
// step was then done once or not at all, nothing stands still without a record of it, and the audit trail has every event.
func TestKilledAtAnyMoment(t *testing.T) {
	sensortest.Root(t)
	mounts, err := proc.CgroupMounts()
	if err != nil {
		t.Fatal(err)
	}
	kinds := []string{"", "v1", "v2"}
	whole := map[string]time.Duration{}
	for _, book := range []string{"killing", "holding"} { // how long it takes undisturbed
		began := time.Now()
		if once(t, book, "", mounts, 0) != 0 {
			t.Fatal("killed, and nobody did")
		}
		whole[book] = time.Since(began)
	}
	kills := 0
	for i := 0; kills < moments(t); i++ {
		book := []string{"killing", "holding"}[i%2]
		kills += once(t, book, kinds[i/2%3], mounts, whole[book])
		if t.Failed() {
			t.Fatalf("case %d: %s in a cgroup of kind %q", i, book, kinds[i/2%3])
		}
	}
	t.Logf("killed at %d moments of runs that take %v", kills, whole)
}

// once is one miner, one run and its kills; it returns how many there were.
func once(t *testing.T, book, kind string, mounts proc.Mounts, within time.Duration) (kills int) {
	data := t.TempDir()
	m := startMiner(t, kind, mounts)
	defer m.stop()
	boot, err := proc.Boot()
	if err != nil {
		t.Fatal(err)
	}
	key := minewarden.ProcessKey{Boot: boot, PID: m.root.PID, Start: m.root.Start}
	inc := minewarden.Incident{
		ID: "i1", State: minewarden.Open, Severity: minewarden.Critical, Score: 0.99, Opened: time.Now(), Changed: time.Now(),
		Subject:  minewarden.Subject{Type: minewarden.SubjectProcess, ID: key.String(), PID: key.PID, Name: "xmrig"},
		Members:  []minewarden.Member{{Key: key, Name: "xmrig", Exe: m.exe, Severity: minewarden.Critical}},
		Findings: []minewarden.IncidentFinding{{Rule: "pow/randomx", Severity: minewarden.Critical, Subject: minewarden.Subject{Type: minewarden.SubjectProcess, ID: key.String()}}},
	}
	b, err := json.Marshal(inc)
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(data, "incident.json"), b, 0o600); err != nil {
		t.Fatal(err)
	}
	if within > 0 {
		for range 1 + rand.IntN(2) {
			if launch(t, data, book, 1+rand.N(within)) {
				break
			}
			kills++
		}
	}
	if !launch(t, data, book, 0) {
		t.Fatal("the agent was killed by somebody else")
	}
	check(t, m, data, book)
	return kills
}

func check(t *testing.T, m *miner, data, book string) {
	t.Helper()
	files, err := filepath.Glob(filepath.Join(data, "playbooks", "runs", "*"))
	if err != nil || len(files) != 1 {
		t.Fatalf("runs: %v %v", files, err)
	}
	var r playbooks.Run
	b, err := os.ReadFile(files[0])
	if err == nil {
		err = json.Unmarshal(b, &r)
	}
	if err != nil {
		t.Fatal(err)
	}
	var desc []string
	attempts := 0
	for _, s := range r.Steps {
		desc = append(desc, s.ID+":"+string(s.State)+" "+s.Note)
		done := 0
		for _, a := range s.Actions {
			attempts++
			if a.Receipt != nil && a.Receipt.OK {
				done++
			}
		}
		if want := map[bool]int{true: 1, false: 0}[s.State == playbooks.StepDone && s.ID != "decide"]; done != want {
			t.Errorf("step %s is %s and has %d actions that were done", s.ID, s.State, done)
		}
		if s.ID != "decide" && s.State != playbooks.StepDone {
			t.Errorf("step %s came to %s: %s", s.ID, s.State, s.Note)
		}
	}
	// What the responders know they did is what the run says, no more.
	mach, err := openMachine(data)
	if err != nil {
		t.Fatal(err)
	}
	receipts, err := mach.mend(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	stands := map[string]int{}
	for _, x := range receipts {
		if x.OK && x.Undone.IsZero() {
			stands[x.Action.Op]++
		}
	}
	want := map[string]int{"freeze": 1, "collect": 1, "quarantine": 1}
	if book == "killing" {
		want["kill"] = 1
	}
	for op, n := range want {
		if stands[op] != n {
			t.Errorf("%s was done %d times, want %d", op, stands[op], n)
		}
	}
	if kept, err := filepath.Glob(filepath.Join(data, "responders", "quarantine", "files", "*")); err != nil || len(kept) != 1 {
		t.Errorf("quarantine holds %v, %v", kept, err)
	}
	if _, err := os.Lstat(m.exe); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("the miner's file: %v", err)
	}
	trailHas(t, data, &r)
	if book == "killing" {
		if left := m.alive(t); len(left) > 0 {
			t.Errorf("%d processes are left", len(left))
		}
	} else {
		eventually(t, "the miner stands still", func() bool { return m.still(t) })
		for _, x := range receipts { // the record is enough to take all of it back
			if u, ok := responderOf(t, mach, x).(minewarden.Undoer); ok && x.OK && x.Undone.IsZero() && x.Action.Reversible {
				if err := u.Undo(t.Context(), x); err != nil {
					t.Errorf("undo %s: %v", x.Action.Op, err)
				}
			}
		}
		eventually(t, "the miner goes on", func() bool { return !m.still(t) })
		if b, err := os.ReadFile(m.exe); err != nil || !bytes.Equal(b, m.text) {
			t.Errorf("the miner's file is not back as it was: %v", err)
		}
	}
	if t.Failed() {
		t.Logf("%d attempts: %s", attempts, strings.Join(desc, " | "))
	}
}

func responderOf(t *testing.T, m *machine, r minewarden.Receipt) minewarden.Responder {
	t.Helper()
	x, err := m.responder(r.Action.Responder)
	if err != nil {
		t.Fatal(err)
	}
	return x
}

// trailHas looks for every event of the run in a trail that is whole.
func trailHas(t *testing.T, data string, r *playbooks.Run) {
	t.Helper()
	rep, err := audittrail.Verify(data, audittrail.Check{})
	if err != nil || rep.Broken != nil {
		t.Errorf("the audit trail is broken: %v %v", rep.Broken, err)
	}
	entries, err := audittrail.List(data, audittrail.Query{})
	if err != nil {
		t.Fatal(err)
	}
	seen := map[string]bool{}
	for _, e := range entries {
		seen[e.Detail["event"]] = true
	}
	if r.Seq == 0 || len(r.Outbox) > 0 {
		t.Errorf("%d events, of which %d were not told", r.Seq, len(r.Outbox))
	}
	for i := 1; i <= r.Seq; i++ {
		if id := fmt.Sprintf("%s/%d", r.ID, i); !seen[id] {
			t.Errorf("the audit trail has no event %s", id)
		}
	}
}
