package process

import (
	"context"
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/minewarden/minewarden"
	"github.com/minewarden/minewarden/internal/proc"
)

const (
	modeEnv = "MINEWARDEN_TEST_MODE"
	dataEnv = "MINEWARDEN_TEST_DATA"
)

func TestMain(m *testing.M) {
	switch os.Getenv(modeEnv) {
	case "headless":
		headless()
	case "act":
		if err := act(); err != nil {
			fmt.Println("error", err)
			os.Exit(1)
		}
		os.Exit(0)
	}
	os.Exit(m.Run())
}

// headless ends its first thread, while another burns CPU.
func headless() {
	runtime.LockOSThread() // TestMain runs on the first thread
	go func() {
		for end := time.Now().Add(time.Minute); time.Now().Before(end); {
		}
		os.Exit(0)
	}()
	time.Sleep(10 * time.Millisecond)
	syscall.RawSyscall(syscall.SYS_EXIT, 0, 0, 0)
}

func init() { runtime.LockOSThread() } // so that TestMain has the first thread

// act does the action on stdin, as the agent does.
func act() error {
	var a minewarden.Action
	if err := json.NewDecoder(os.Stdin).Decode(&a); err != nil {
		return err
	}
	r, err := New(minewarden.Env{Data: os.Getenv(dataEnv)})
	if err != nil {
		return err
	}
	fmt.Println("ready")
	receipt, err := r.Do(context.Background(), a)
	fmt.Println(receipt.Result)
	return err
}

// start runs a command in a process group of its own, and ends the group after the test.
func start(t *testing.T, cmd *exec.Cmd) proc.Stat {
	t.Helper()
	if cmd.SysProcAttr == nil {
		cmd.SysProcAttr = &syscall.SysProcAttr{}
	}
	cmd.SysProcAttr.Setpgid = true
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := syscall.Kill(-cmd.Process.Pid, syscall.SIGKILL); err != nil && err != syscall.ESRCH {
			t.Error(err)
		}
		if err := cmd.Wait(); err == nil {
			t.Log("a child ended by itself")
		}
	})
	s, err := proc.ReadStat(int32(cmd.Process.Pid))
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func shell(t *testing.T, script string) proc.Stat {
	return start(t, exec.Command("/bin/sh", "-c", script))
}

func boot(t *testing.T) string {
	t.Helper()
	b, err := proc.Boot()
	if err != nil {
		t.Fatal(err)
	}
	return b
}

func incident(t *testing.T, members ...proc.Stat) minewarden.Incident {
	inc := minewarden.Incident{ID: "i1"}
	for _, s := range members {
		inc.Members = append(inc.Members, minewarden.Member{Key: minewarden.ProcessKey{Boot: boot(t), PID: s.PID, Start: s.Start}})
	}
	return inc
}

func responder(t *testing.T, c Config) *Responder {
	t.Helper()
	r, err := New(minewarden.Env{Data: filepath.Join(t.TempDir(), "process"), Decode: func(v any) error { *v.(*Config) = c; return nil }})
	if err != nil {
		t.Fatal(err)
	}
	return r.(*Responder)
}

func plan(t *testing.T, r *Responder, op string, inc minewarden.Incident) minewarden.Action {
	t.Helper()
	actions, err := r.Plan(t.Context(), inc)
	if err != nil {
		t.Fatal(err)
	}
	i := slices.IndexFunc(actions, func(a minewarden.Action) bool { return a.Op == op })
	if i < 0 {
		t.Fatalf("no %s in %v", op, actions)
	}
	return actions[i]
}

func do(t *testing.T, r *Responder, a minewarden.Action) minewarden.Receipt {
	t.Helper()
	receipt, err := r.Do(t.Context(), a)
	if err != nil {
		t.Fatal(err)
	}
	t.Log(receipt.Result)
	return receipt
}

// group returns the processes of the group that leader leads, also those whose parent ended.
func group(t *testing.T, leader int32) []proc.Stat {
	t.Helper()
	all, err := proc.All()
	if err != nil {
		t.Fatal(err)
	}
	var in []proc.Stat
	for _, s := range all {
		if pg, err := syscall.Getpgid(int(s.PID)); err == nil && pg == int(leader) && !s.Dead() {
			in = append(in, s)
		}
	}
	return in
}

// grown waits until all 31 shells of a bomb are there.
func grown(t *testing.T, root proc.Stat) {
	t.Helper()
	eventually(t, "the tree grows", func() bool {
		shells := 0
		for _, s := range group(t, root.PID) {
			if s.Comm == "sh" {
				shells++
			}
		}
		return shells >= 31
	})
}

// eventually polls: what it waits for is the kernel's doing.
func eventually(t *testing.T, what string, ok func() bool) {
	t.Helper()
	for end := time.Now().Add(20 * time.Second); !ok(); time.Sleep(2 * time.Millisecond) {
		if time.Now().After(end) {
			t.Fatalf("%s: not within 20 s", what)
		}
	}
}

func stopped(t *testing.T, s proc.Stat) bool {
	t.Helper()
	is, err := proc.Stopped(s.PID)
	if err != nil {
		t.Fatal(err)
	}
	return is
}

// bomb is a tree of 31 shells, each of which forks all the time.
const bomb = `f() { if [ $1 -gt 0 ]; then f $(($1-1)) & f $(($1-1)) & fi; i=0; while [ $i -lt 6000 ]; do sleep 0.01; i=$((i+1)); done; }; f 4`

func TestFreezeForkingTree(t *testing.T) {
	root := shell(t, bomb)
	grown(t, root)
	r := responder(t, Config{})
	a := plan(t, r, Freeze, incident(t, root))
	if len(a.Blast) < 31 || !strings.Contains(a.Blast[0], fmt.Sprintf("pid %d sh exe /", root.PID)) || !a.Reversible {
		t.Errorf("plan: %d in blast: %q", len(a.Blast), a.Blast[:min(1, len(a.Blast))])
	}
	receipt := do(t, r, a)
	if !receipt.OK {
		t.Fatal(receipt.Result)
	}
	before := group(t, root.PID)
	for _, s := range before {
		if still, err := proc.Still(s.PID, false); err != nil || !still {
			t.Errorf("pid %d %s is not still: %c %v", s.PID, s.Comm, s.State, err)
		}
	}
	time.Sleep(100 * time.Millisecond) // to let a leftover fork
	for _, s := range group(t, root.PID) {
		if !slices.ContainsFunc(before, func(b proc.Stat) bool { return b.PID == s.PID && b.CPU == s.CPU }) {
			t.Errorf("pid %d %s ran or was born after the freeze", s.PID, s.Comm)
		}
	}
	if again := do(t, r, a); !again.Done.Equal(receipt.Done) {
		t.Error("the same action was done twice")
	}
	for range 2 {
		if err := r.Undo(t.Context(), receipt); err != nil {
			t.Fatal(err)
		}
	}
	for _, s := range before {
		eventually(t, fmt.Sprintf("pid %d goes on", s.PID), func() bool { return !stopped(t, s) })
	}
}

func TestKillTree(t *testing.T) {
	root := shell(t, bomb)
	grown(t, root)
	r := responder(t, Config{})
	receipt := do(t, r, plan(t, r, Kill, incident(t, root)))
	if left := group(t, root.PID); !receipt.OK || len(left) > 0 {
		t.Errorf("%s; left: %v", receipt.Result, left)
	}
	if err := r.Undo(t.Context(), receipt); err == nil {
		t.Error("undo of a kill succeeded")
	}
	if actions, err := r.Plan(t.Context(), incident(t, root)); err != nil || len(actions) > 0 {
		t.Errorf("plan for the dead: %v %v", actions, err)
	}
}

func TestUndoLeavesWhatOthersStopped(t *testing.T) {
	root := shell(t, "sleep 60 & sleep 61 & wait")
	var child proc.Stat
	eventually(t, "children that run their program", func() bool {
		all := group(t, root.PID)
		i := slices.IndexFunc(all, func(s proc.Stat) bool { return s.Comm == "sleep" })
		if i < 0 || len(all) != 3 {
			return false
		}
		child = all[i]
		return true
	})
	if err := syscall.Kill(int(child.PID), syscall.SIGSTOP); err != nil {
		t.Fatal(err)
	}
	eventually(t, "stopped", func() bool { return stopped(t, child) })
	r := responder(t, Config{})
	receipt := do(t, r, plan(t, r, Freeze, incident(t, root)))
	if err := r.Undo(t.Context(), receipt); err != nil {
		t.Fatal(err)
	}
	eventually(t, "the root goes on", func() bool { return !stopped(t, root) })
	if !stopped(t, child) {
		t.Error("undo let go on what somebody else had stopped")
	}
}

func TestThreadsWithoutLeader(t *testing.T) {
	cmd := exec.Command(os.Args[0])
	cmd.Env = append(os.Environ(), modeEnv+"=headless")
	root := start(t, cmd)
	eventually(t, "the first thread ends", func() bool {
		s, err := proc.ReadStat(root.PID)
		return err == nil && s.State == 'Z' && s.Threads > 1
	})
	r := responder(t, Config{})
	receipt := do(t, r, plan(t, r, Freeze, incident(t, root)))
	used, err := proc.CPU(root.PID)
	if err != nil || !receipt.OK {
		t.Fatal(receipt.Result, err)
	}
	time.Sleep(50 * time.Millisecond)
	if now, err := proc.CPU(root.PID); err != nil || now != used {
		t.Errorf("a thread ran on: %d ticks, %v", now-used, err)
	}
	if err := r.Undo(t.Context(), receipt); err != nil {
		t.Fatal(err)
	}
	eventually(t, "its thread goes on", func() bool { now, err := proc.CPU(root.PID); return err == nil && now > used })
	if receipt := do(t, r, plan(t, r, Kill, incident(t, root))); !receipt.OK {
		t.Error(receipt.Result)
	}
}

// TestSession finds what forked twice, once the session's leader is in the tree.
func TestSession(t *testing.T) {
	cmd := exec.Command("/bin/sh", "-c", "(sleep 60 &) ; sleep 62")
	cmd.SysProcAttr = &syscall.SysProcAttr{Setsid: true}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	pid := cmd.Process.Pid
	t.Cleanup(func() {
		if err := syscall.Kill(-pid, syscall.SIGKILL); err != nil && err != syscall.ESRCH {
			t.Error(err)
		}
		if err := cmd.Wait(); err == nil {
			t.Error("the shell ended by itself")
		}
	})
	root, err := proc.ReadStat(int32(pid))
	if err != nil {
		t.Fatal(err)
	}
	orphan := func() bool {
		return slices.ContainsFunc(group(t, root.PID), func(s proc.Stat) bool { return s.Comm == "sleep" && s.PPID != root.PID })
	}
	eventually(t, "an orphan", func() bool { return orphan() && len(group(t, root.PID)) == 3 })
	r := responder(t, Config{})
	receipt := do(t, r, plan(t, r, Freeze, incident(t, root)))
	for _, s := range group(t, root.PID) {
		if !stopped(t, s) {
			t.Errorf("pid %d %s runs on", s.PID, s.Comm)
		}
	}
	if err := r.Undo(t.Context(), receipt); err != nil {
		t.Error(err)
	}
}

func TestOtherUser(t *testing.T) {
	if os.Getuid() != 0 {
		t.Skip("needs root")
	}
	cmd := exec.Command("/bin/sleep", "60")
	cmd.SysProcAttr = &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: 65534, Gid: 65534}}
	root := start(t, cmd)
	eventually(t, "exec", func() bool { s, err := proc.ReadStat(root.PID); return err == nil && s.Comm == "sleep" })
	r := responder(t, Config{})
	a := plan(t, r, Freeze, incident(t, root))
	if !strings.Contains(strings.Join(a.Blast, ""), "user nobody") {
		t.Errorf("blast %q does not name the user", a.Blast)
	}
	if receipt := do(t, r, a); !receipt.OK || !stopped(t, root) {
		t.Error(receipt.Result)
	}
}

func TestPIDReuse(t *testing.T) {
	root := shell(t, "sleep 60; :")
	other := root
	other.Start++
	r := responder(t, Config{})
	if actions, err := r.Plan(t.Context(), incident(t, other)); err != nil || len(actions) > 0 {
		t.Errorf("planned for another process with the same pid: %v %v", actions, err)
	}
	a := plan(t, r, Kill, incident(t, root))
	a.Params[paramRoots] = strings.Replace(a.Params[paramRoots], fmt.Sprint(root.Start), fmt.Sprint(other.Start), 1)
	if receipt := do(t, r, a); !strings.Contains(receipt.Result, "no process of it runs") || len(group(t, root.PID)) == 0 {
		t.Errorf("result %q, left %v", receipt.Result, group(t, root.PID))
	}
	if _, err := proc.Open(root.PID, other.Start); err == nil {
		t.Error("held a process by a wrong start time")
	}
	a = plan(t, r, Kill, incident(t, root))
	a.Params[paramRoots] = strings.Replace(a.Params[paramRoots], boot(t), "another-boot", 1)
	if _, err := r.Do(t.Context(), a); err == nil {
		t.Error("did an action of another boot")
	}
}
