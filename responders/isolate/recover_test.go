package isolate

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/google/nftables"
	"golang.org/x/sys/unix"

	"github.com/minewarden/minewarden"
	"github.com/minewarden/minewarden/internal/proc"
	"github.com/minewarden/minewarden/responders/internal/journal"
	"github.com/minewarden/minewarden/responders/internal/sockets"
	"github.com/minewarden/minewarden/responders/isolate/isolatetest"
)

// victim has the test's program isolate the host it runs on and wait to be killed; its value is what it shall do, as JSON.
const victim = "MINEWARDEN_TEST_VICTIM"

type orders struct {
	Data    string
	Confirm time.Duration
	Survive bool
	Stop    string // "rules": between the rules and the receipt
}

func beVictim() int {
	var o orders
	if err := json.Unmarshal([]byte(os.Getenv(victim)), &o); err != nil || !isolatetest.Enclosed() {
		fmt.Println("not for this:", err)
		return 1
	}
	k, err := New(minewarden.Env{Log: slog.New(slog.NewTextHandler(os.Stderr, nil)), Data: o.Data, Decode: func(c any) error {
		c.(*Config).Survive = o.Survive
		return nil
	}})
	if err != nil {
		fmt.Println(err)
		return 1
	}
	r := k.(*Responder)
	r.config.Confirm = o.Confirm // shorter than anybody may configure
	if o.Stop == "rules" {
		r.nft = &waits{firewall: r.nft}
	}
	a, err := r.PlanIsolate(incident())
	if err == nil {
		_, err = r.Do(context.Background(), a)
	}
	fmt.Println("done", err)
	select {}
}

// waits stands still before its second table.
type waits struct {
	firewall
	n int
}

func (w *waits) apply(t *tableSpec, timeout time.Duration, anew bool) error {
	if w.n++; w.n == 2 {
		fmt.Println("done <nil>")
		select {}
	}
	return w.firewall.apply(t, timeout, anew)
}

// killed runs a victim until it has isolated the host, and kills it.
func killed(t *testing.T, o orders) {
	t.Helper()
	b, err := json.Marshal(o)
	if err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command("/proc/self/exe")
	cmd.Env = append(os.Environ(), victim+"="+string(b))
	cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	cmd.Stderr = t.Output()
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	line, err := bufio.NewReader(out).ReadString('\n')
	if err != nil || line != "done <nil>\n" {
		t.Fatal(line, err)
	}
	if err := errors.Join(cmd.Process.Kill(), ignoreKilled(cmd.Wait())); err != nil {
		t.Fatal(err)
	}
}

func ignoreKilled(err error) error {
	var exit *exec.ExitError
	if errors.As(err, &exit) {
		return nil
	}
	return err
}

// opens waits until the outside can be reached again, and returns after how long.
func opens(t *testing.T, within time.Duration) time.Duration {
	t.Helper()
	begun := time.Now()
	for time.Since(begun) < within {
		if isolatetest.Host().Reach("tcp", isolatetest.Outside4+":80", 100*time.Millisecond) == nil {
			return time.Since(begun)
		}
	}
	t.Fatalf("still isolated after %s", within)
	return 0
}

func closed(t *testing.T, l *isolatetest.Lab) {
	t.Helper()
	if err := isolatetest.Host().Reach("tcp", isolatetest.Outside4+":80", soon); err == nil {
		t.Error("not isolated")
	}
	if err := l.Container.Reach("tcp", isolatetest.Outside4+":80", soon); err == nil {
		t.Error("the container is not isolated")
	}
}

// TestKilled: nobody winds the switch up, so the kernel opens; the next start removes what is left.
func TestKilled(t *testing.T) {
	l := lab(t)
	loadForeign(t)
	services(t, l)
	dial(t, l.Operator, "tcp", isolatetest.Host4+":22")
	before := ruleset(t)
	data := t.TempDir()
	killed(t, orders{Data: data, Confirm: 1500 * time.Millisecond})
	closed(t, l)
	if took := opens(t, 10*time.Second); took < 200*time.Millisecond {
		t.Errorf("opened %s after the kill", took)
	}
	passes(t, l)
	r := responder(t, nil)
	r.journal.Dir = data
	receipts, err := r.Recover(t.Context())
	if err != nil || len(receipts) != 1 || receipts[0].UndoneBy != byRestart {
		t.Errorf("%+v, %v", receipts, err)
	}
	if got := ruleset(t); got != before {
		t.Errorf("left behind:\n%s", got)
	}
}

// TestKilledHalfWay: with rules and without a receipt, the next start removes them.
func TestKilledHalfWay(t *testing.T) {
	l := lab(t)
	services(t, l)
	dial(t, l.Operator, "tcp", isolatetest.Host4+":22")
	before := ruleset(t)
	data := t.TempDir()
	killed(t, orders{Data: data, Confirm: time.Minute, Stop: "rules"})
	closed(t, l)
	r := responder(t, func(c *Config) { c.Survive = true })
	r.journal.Dir = data
	receipts, err := r.Recover(t.Context())
	if err != nil || len(receipts) != 1 || receipts[0].OK || !strings.Contains(receipts[0].Result, "interrupted") {
		t.Errorf("%+v, %v", receipts, err)
	}
	if got := ruleset(t); got != before {
		t.Errorf("left behind:\n%s", got)
	}
}

// TestSurvive: the isolation stands without the agent, the next start looks after it, and undo ends it.
func TestSurvive(t *testing.T) {
	l := lab(t)
	services(t, l)
	operator := dial(t, l.Operator, "tcp", isolatetest.Host4+":22")
	before := ruleset(t)
	data := t.TempDir()
	killed(t, orders{Data: data, Confirm: time.Second, Survive: true})
	time.Sleep(1500 * time.Millisecond) // longer than confirm
	closed(t, l)
	r := responder(t, func(c *Config) { c.Survive = true })
	r.journal.Dir = data
	receipts, err := r.Recover(t.Context())
	if err != nil || len(receipts) != 1 || !receipts[0].Undone.IsZero() {
		t.Fatalf("%+v, %v", receipts, err)
	}
	closed(t, l)
	if err := isolatetest.Echo(operator, isolatetest.Wait); err != nil {
		t.Errorf("the operator does not stay: %v", err)
	}
	if err := r.Close(); err != nil {
		t.Fatal(err)
	}
	closed(t, l)
	if _, err := r.Recover(t.Context()); err != nil {
		t.Fatal(err)
	}
	if err := r.Undo(t.Context(), receipts[0]); err != nil {
		t.Fatal(err)
	}
	if got := ruleset(t); got != before {
		t.Errorf("left behind:\n%s", got)
	}
	passes(t, l)
}

// TestSilence: an operator who answers keeps it up, one who is gone ends it.
func TestSilence(t *testing.T) {
	l := lab(t)
	services(t, l)
	r := responder(t, nil)
	r.config.Confirm = 1500 * time.Millisecond
	told := make(chan minewarden.Receipt, 10)
	r.OnRelease(func(receipt minewarden.Receipt) { told <- receipt })
	dial(t, l.Operator, "tcp", isolatetest.Host4+":22") // idle: only the answers to echo requests tell
	before := ruleset(t)
	isolated(t, r)
	time.Sleep(2 * time.Second)
	closed(t, l)
	if err := l.Operator.Do(func() error { return isolatetest.Down("eth0") }); err != nil {
		t.Fatal(err)
	}
	opens(t, 10*time.Second)
	select {
	case receipt := <-told: // the kernel opens a moment before the agent sees to the rest
		if receipt.UndoneBy != bySilence {
			t.Errorf("told %+v", receipt)
		}
	case <-time.After(10 * time.Second):
		t.Fatal("nobody was told")
	}
	if got := ruleset(t); got != before {
		t.Errorf("left behind:\n%s", got)
	}
}

func TestConfirmProbeAndBlind(t *testing.T) {
	l := lab(t)
	services(t, l)
	dial(t, l.Operator, "tcp", isolatetest.Host4+":22")
	t.Run("probe", func(t *testing.T) {
		r := responder(t, func(c *Config) { c.Management.Probe = []string{isolatetest.Operator4 + ":80"} })
		r.ping = func(*Scope) {}
		receipt := isolated(t, r)
		if !probe(r.active.scope) {
			t.Error("the probe is cut")
		}
		if probe(&Scope{Probes: []netip.AddrPort{netip.MustParseAddrPort(isolatetest.Outside4 + ":80")}}) {
			t.Error("the outside answers")
		}
		if err := r.Undo(t.Context(), receipt); err != nil {
			t.Fatal(err)
		}
	})
	t.Run("confirm", func(t *testing.T) {
		r := responder(t, nil)
		receipt := isolated(t, r)
		r.Confirm("somebody at the console")
		if s, err := r.State(); err != nil || s.By != "somebody at the console" && s.By != "packets from the operator" {
			t.Errorf("%+v, %v", s, err)
		}
		if err := r.Undo(t.Context(), receipt); err != nil {
			t.Fatal(err)
		}
	})
}

// clock is one that tests move.
type clock struct {
	mu   sync.Mutex
	wall time.Time
	boot time.Duration
}

func (c *clock) now() time.Time {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.wall
}

func (c *clock) mono() time.Duration {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.boot
}

func (c *clock) move(wall, boot time.Duration) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.wall, c.boot = c.wall.Add(wall), c.boot+boot
}

// TestClock: the wall clock may jump; expiry and silence are counted since boot.
func TestClock(t *testing.T) {
	l := lab(t)
	services(t, l)
	dial(t, l.Operator, "tcp", isolatetest.Host4+":22")
	c := &clock{wall: time.Now(), boot: time.Hour}
	r := responder(t, nil)
	r.now, r.mono = c.now, c.mono
	isolated(t, r)
	look := func() {
		r.mu.Lock()
		i := r.active
		if i != nil {
			i.confirmed = c.mono()
		}
		r.mu.Unlock()
		if i != nil {
			r.check(i)
		}
	}
	for _, jump := range []time.Duration{1000 * time.Hour, -5000 * time.Hour} {
		c.move(jump, time.Minute/2)
		look()
		if s, err := r.State(); err != nil || !s.Isolated {
			t.Fatalf("a jump of %s ended it: %v", jump, err)
		}
	}
	c.move(0, 4*time.Hour)
	look()
	if s, err := r.State(); err != nil || s.Isolated {
		t.Errorf("it did not expire: %v", err)
	}
	lines, err := r.journal.IDs()
	if err != nil || len(lines) != 1 {
		t.Fatal(lines, err)
	}
	// Stored, and read after a restart of the machine with a clock that was set back: no longer than it was to last.
	s := summary{boot: "before", began: c.now(), until: c.now().Add(time.Hour)}
	c.move(-48*time.Hour, 0)
	if left := r.left(&s, "now"); left > time.Hour {
		t.Errorf("%s left of an hour", left)
	}
}

// TestTwo: the host stays isolated as long as one of two incidents wants it, and until it is closed.
func TestTwo(t *testing.T) {
	l := lab(t)
	services(t, l)
	dial(t, l.Operator, "tcp", isolatetest.Host4+":22")
	r := responder(t, nil)
	first := isolated(t, r)
	other := incident()
	other.ID = "inc-2"
	a, err := r.PlanIsolate(other)
	if err != nil {
		t.Fatal(err)
	}
	if receipt, err := r.Do(t.Context(), a); err != nil || !receipt.OK {
		t.Fatal(receipt, err)
	}
	actions, err := r.Plan(t.Context(), incident())
	if err != nil || len(actions) != 2 || actions[1].Op != Release || !strings.Contains(actions[1].Params[paramActions], first.Action.ID) {
		t.Fatalf("%+v, %v", actions, err)
	}
	if receipt, err := r.Do(t.Context(), actions[1]); err != nil || !receipt.OK {
		t.Fatal(receipt, err)
	}
	closed(t, l)
	if over, err := r.Closed(t.Context(), "inc-1"); err != nil || len(over) != 0 {
		t.Error(over, err)
	}
	over, err := r.Closed(t.Context(), "inc-2")
	if err != nil || len(over) != 1 || over[0].UndoneBy != byClosed {
		t.Fatal(over, err)
	}
	passes(t, l)
}

// TestFlushed: who flushes the ruleset finds the isolation again.
func TestFlushed(t *testing.T) {
	l := lab(t)
	services(t, l)
	dial(t, l.Operator, "tcp", isolatetest.Host4+":22")
	r := responder(t, nil)
	receipt := isolated(t, r)
	if out, err := exec.Command("nft", "flush", "ruleset").CombinedOutput(); err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	r.check(r.active)
	closed(t, l)
	if err := r.Undo(t.Context(), receipt); err != nil {
		t.Fatal(err)
	}
}

// TestIntruder: the session that the incident came by is no operator's.
func TestIntruder(t *testing.T) {
	v := &view{
		list:  []channel{{local: netip.MustParseAddrPort("10.0.0.1:22"), remote: netip.MustParseAddrPort("10.0.0.2:5")}, {local: netip.MustParseAddrPort("10.0.0.1:22"), remote: netip.MustParseAddrPort("10.0.0.3:6")}},
		ports: []uint16{22},
	}
	v.all = map[int32]proc.Stat{10: {PID: 10, PPID: 1}, 20: {PID: 20, PPID: 10}, 30: {PID: 30, PPID: 20, Start: 300}, 11: {PID: 11, PPID: 1}}
	v.own = map[uint32]int32{1: 10, 2: 11}
	v.socks = []sockets.Socket{{Inode: 1, Local: v.list[0].local, Remote: v.list[0].remote}, {Inode: 2, Local: v.list[1].local, Remote: v.list[1].remote}}
	inc := incident()
	inc.Members = []minewarden.Member{{Key: minewarden.ProcessKey{PID: 30, Start: 300}}}
	v.blame(&inc, "boot")
	r := responder(t, nil)
	s, remarks, err := r.scope(v)
	if err != nil || len(s.Flows) != 1 || s.Flows[0].Port() != 6 || len(s.Peers) != 1 || !strings.Contains(strings.Join(remarks, "\n"), "pid 30") {
		t.Errorf("%+v, %q, %v", s, remarks, err)
	}
}

// faulty is a kernel that lacks something.
type faulty struct {
	firewall
	err  map[nftables.TableFamily]error
	made []nftables.TableFamily
}

func (f *faulty) apply(t *tableSpec, timeout time.Duration, anew bool) error {
	if err := f.err[t.table.Family]; err != nil {
		return fmt.Errorf("make the table: %w", explain(err))
	}
	f.made = append(f.made, t.table.Family)
	return f.firewall.apply(t, timeout, anew)
}

func TestMissingModules(t *testing.T) {
	l := lab(t)
	services(t, l)
	dial(t, l.Operator, "tcp", isolatetest.Host4+":22")
	t.Run("bridge and netdev", func(t *testing.T) {
		r := responder(t, nil)
		r.nft = &faulty{firewall: r.nft, err: map[nftables.TableFamily]error{nftables.TableFamilyBridge: unix.EOPNOTSUPP, nftables.TableFamilyNetdev: unix.ENOENT}}
		receipt := isolated(t, r)
		if !strings.Contains(receipt.Result, "bridge") || !strings.Contains(receipt.Result, "macvlan") {
			t.Errorf("what is missing is not told: %s", receipt.Result)
		}
		closed(t, l)
		if err := r.Undo(t.Context(), receipt); err != nil {
			t.Fatal(err)
		}
	})
	t.Run("nftables", func(t *testing.T) {
		r := responder(t, nil)
		before := ruleset(t)
		r.nft = &faulty{firewall: r.nft, err: map[nftables.TableFamily]error{nftables.TableFamilyINet: unix.EOPNOTSUPP}}
		receipt, err := r.Do(t.Context(), planned(t, r))
		if !errors.Is(err, minewarden.ErrUnsupported) || receipt.OK || ruleset(t) != before {
			t.Errorf("%+v, %v", receipt, err)
		}
	})
}

// TestNoPermission: whoever has no right to nftables is told so, and nothing is changed.
func TestNoPermission(t *testing.T) {
	l := lab(t)
	services(t, l)
	dial(t, l.Operator, "tcp", isolatetest.Host4+":22")
	r := responder(t, nil)
	a := planned(t, r)
	before := ruleset(t)
	err := isolatetest.WithoutNetAdmin(func() error {
		_, err := r.Do(t.Context(), a)
		return err
	})
	if !errors.Is(err, fs.ErrPermission) || ruleset(t) != before {
		t.Error(err)
	}
}

// TestFullDisk: what cannot be written down is not done.
func TestFullDisk(t *testing.T) {
	l := lab(t)
	services(t, l)
	dial(t, l.Operator, "tcp", isolatetest.Host4+":22")
	dir := t.TempDir()
	if err := errors.Join(unix.Mount("", "/", "", unix.MS_REC|unix.MS_PRIVATE, ""), unix.Mount("tmpfs", dir, "tmpfs", 0, "size=64k")); err != nil {
		t.Fatal(err)
	}
	defer unix.Unmount(dir, 0)
	full, err := os.Create(filepath.Join(dir, "full"))
	if err != nil {
		t.Fatal(err)
	}
	for err == nil {
		_, err = full.Write(make([]byte, 4096))
	}
	full.Close()
	r := responder(t, nil)
	r.journal.Dir = dir
	a := planned(t, r)
	before := ruleset(t)
	if _, err := r.Do(t.Context(), a); !errors.Is(err, unix.ENOSPC) || ruleset(t) != before {
		t.Error(err)
	}
	closedNot(t)
	if _, err := r.journal.Load(a.ID); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("left in the journal: %v", err)
	}
}

func closedNot(t *testing.T) {
	t.Helper()
	if err := isolatetest.Host().Reach("tcp", isolatetest.Outside4+":80", isolatetest.Wait); err != nil {
		t.Error(err)
	}
}

func FuzzRecover(f *testing.F) {
	f.Add([]byte(`{"phase":"intent","action":{"id":"a"},"scope":{"ports":[22]},"end":1}` + "\n" + `{"phase":"done","receipt":{"ok":true}}` + "\n"))
	f.Fuzz(func(_ *testing.T, b []byte) {
		lines, err := journal.Parse[record](strings.NewReader(string(b)))
		if err != nil {
			return
		}
		s := summarize(lines)
		if s.scope != nil && s.scope.check() == nil {
			s.scope.Rules(time.Minute)
		}
	})
}
