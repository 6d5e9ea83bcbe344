package network

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/netip"
	"os"
	"os/exec"
	"slices"
	"strings"
	"syscall"
	"testing"
	"testing/fstest"
	"time"

	"github.com/google/nftables"

	"github.com/minewarden/minewarden"
	"github.com/minewarden/minewarden/indicators"
	"github.com/minewarden/minewarden/internal/proc"
	"github.com/minewarden/minewarden/internal/sensortest"
	"github.com/minewarden/minewarden/responders/internal/sockets"
)

const (
	pool    = "198.51.100.1"
	pool2   = "198.51.100.2"
	other   = "203.0.113.7"
	intern  = "10.99.0.2"
	pool6   = "2001:db8::7"
	waiting = 5 * time.Second
)

// responder returns one on the test's cgroup. The test's own addresses stand for foreign ones.
func responder(t testing.TB, change func(*Config)) *Responder {
	t.Helper()
	sensortest.Root(t)
	if os.Getenv(inside) == "" {
		t.Fatal("not in namespaces of its own: run it without -fuzz")
	}
	r := &Responder{
		log: slog.New(slog.NewTextHandler(t.Output(), nil)), now: time.Now, root: fstest.MapFS{"etc/resolv.conf": {Data: []byte("nameserver 203.0.113.7\n")}}, config: DefaultConfig(),
		resolve: func(context.Context, string) ([]netip.Addr, error) { return nil, errors.New("no resolver") },
	}
	r.config.Cgroup, r.config.Namespaces, r.config.Management = os.Getenv(inside), false, []uint16{2222}
	r.foreign = func(a netip.Addr) bool { return !a.IsLoopback() }
	r.journal.Dir = t.TempDir()
	r.config.Pins = t.TempDir() + "/pins"
	if change != nil {
		change(&r.config)
	}
	t.Cleanup(func() {
		if err := r.Close(); err != nil {
			t.Error(err)
		}
	})
	return r
}

// both opens r and needs both lines.
func both(t testing.TB, r *Responder) {
	t.Helper()
	r.mu.Lock()
	defer r.mu.Unlock()
	if err := r.open(); err != nil {
		sensortest.Need(t, err)
	}
	if r.kernel == nil || (r.firewall == nil && r.config.Firewall) {
		t.Fatalf("kernel %v, firewall %v", r.kernel, r.firewall)
	}
}

// serve accepts connections and echoes.
func serve(t testing.TB, addr string) string {
	t.Helper()
	l, err := net.Listen("tcp", addr)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { l.Close() })
	go func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			go func() {
				defer c.Close()
				buf := make([]byte, 512)
				for {
					n, err := c.Read(buf)
					if err != nil {
						return
					}
					if _, err := c.Write(buf[:n]); err != nil {
						return
					}
				}
			}()
		}
	}()
	return l.Addr().String()
}

func dial(addr string) (net.Conn, error) { return net.DialTimeout("tcp", addr, waiting) }

func dialed(t testing.TB, addr string) net.Conn {
	t.Helper()
	c, err := dial(addr)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.Close() })
	if err := echo(c); err != nil {
		t.Fatal(err)
	}
	return c
}

func echo(c net.Conn) error {
	if err := c.SetDeadline(time.Now().Add(waiting)); err != nil {
		return err
	}
	if _, err := c.Write([]byte("x")); err != nil {
		return err
	}
	_, err := c.Read(make([]byte, 1))
	return err
}

func refused(t testing.TB, addr string) {
	t.Helper()
	c, err := dial(addr)
	if !errors.Is(err, syscall.EPERM) {
		if c != nil {
			c.Close()
		}
		t.Errorf("connect %s: %v, want EPERM", addr, err)
	}
}

func open(t testing.TB, addr string) {
	t.Helper()
	c, err := dial(addr)
	if err != nil {
		t.Errorf("connect %s: %v, want it open", addr, err)
		return
	}
	c.Close()
}

func do(t testing.TB, r *Responder, targets ...string) minewarden.Receipt {
	t.Helper()
	a, err := r.PlanBlock(targets, 0)
	if err != nil {
		t.Fatal(err)
	}
	receipt, err := r.Do(t.Context(), a)
	if err != nil || !receipt.OK {
		t.Fatal(receipt.Result, err)
	}
	return receipt
}

func TestBlock(t *testing.T) {
	for _, tt := range []struct {
		name, target, addr, spared string
	}{
		{"address", pool, pool + ":0", pool2 + ":0"},
		{"network", "198.51.100.0/24", pool2 + ":0", intern + ":0"},
		{"endpoint", pool + ":3333", pool + ":3333", pool + ":0"},
		{"port", ":5555", intern + ":5555", intern + ":0"},
		{"IPv6", pool6, "[" + pool6 + "]:0", pool + ":0"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			r := responder(t, nil)
			both(t, r)
			addr, spared := serve(t, tt.addr), serve(t, tt.spared)
			cut, keeps := dialed(t, addr), dialed(t, spared)
			a, err := r.PlanBlock([]string{tt.target}, 0)
			if err != nil {
				t.Fatal(err)
			}
			if blast := strings.Join(a.Blast, "\n"); !strings.Contains(blast, fmt.Sprintf("pid %d", os.Getpid())) || strings.Contains(blast, keeps.LocalAddr().String()) {
				t.Errorf("blast does not show who talks there now:\n%s", blast)
			}
			open(t, addr) // the plan changes nothing
			receipt, err := r.Do(t.Context(), a)
			if err != nil || !receipt.OK {
				t.Fatal(receipt.Result, err)
			}
			refused(t, addr)
			open(t, spared)
			if err := echo(cut); err == nil {
				t.Error("the established connection goes on")
			}
			if err := echo(keeps); err != nil {
				t.Errorf("another connection was ended: %v", err)
			}
			if again, err := r.Do(t.Context(), a); err != nil || again.Result != receipt.Result {
				t.Errorf("twice is not the same as once: %q, %v", again.Result, err)
			}
			for range 2 {
				if err := r.Undo(t.Context(), receipt); err != nil {
					t.Fatal(err)
				}
			}
			open(t, addr)
			if len(r.table.items) != 0 || r.firewall.count != 0 {
				t.Errorf("undo left %v, %d", r.table.items, r.firewall.count)
			}
		})
	}
}

func TestUDP(t *testing.T) {
	r := responder(t, nil)
	both(t, r)
	l, err := net.ListenPacket("udp4", pool+":0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	do(t, r, pool)
	from, err := net.ListenPacket("udp4", "0.0.0.0:0")
	if err != nil {
		t.Fatal(err)
	}
	defer from.Close()
	if _, err := from.WriteTo([]byte("x"), l.LocalAddr()); !errors.Is(err, syscall.EPERM) {
		t.Errorf("sendto: %v, want EPERM", err)
	}
	if c, err := net.Dial("udp4", l.LocalAddr().String()); !errors.Is(err, syscall.EPERM) {
		if c != nil {
			c.Close()
		}
		t.Errorf("connect: %v, want EPERM", err)
	}
}

// TestTwoReasons keeps blocking what another action blocks as well.
func TestTwoReasons(t *testing.T) {
	r := responder(t, nil)
	both(t, r)
	addr := serve(t, pool+":0")
	one, two := do(t, r, pool), do(t, r, pool)
	if err := r.Undo(t.Context(), one); err != nil {
		t.Fatal(err)
	}
	refused(t, addr)
	if err := r.Undo(t.Context(), two); err != nil {
		t.Fatal(err)
	}
	open(t, addr)
}

// TestExpiry is ended by the kernel's clock, without help.
func TestExpiry(t *testing.T) {
	r := responder(t, func(c *Config) { c.Firewall = false })
	both(t, r)
	addr := serve(t, pool+":0")
	a, err := r.PlanBlock([]string{pool}, time.Second)
	if err != nil {
		t.Fatal(err)
	}
	if !strings.Contains(a.Summary, " for 1s") {
		t.Errorf("summary: %s", a.Summary)
	}
	receipt, err := r.Do(t.Context(), a)
	if err != nil {
		t.Fatal(err)
	}
	refused(t, addr)
	r.mu.Lock() // the sweep cannot run: it is the kernel that lets go
	for begun := time.Now(); ; {
		c, err := dial(addr)
		if err == nil {
			c.Close()
			break
		}
		if time.Since(begun) > waiting {
			r.mu.Unlock()
			t.Fatal("it never expired")
		}
		time.Sleep(10 * time.Millisecond)
	}
	r.mu.Unlock()
	if now := time.Now(); now.Before(receipt.Started.Add(time.Second)) {
		t.Errorf("expired early, after %s", now.Sub(receipt.Started))
	}
	eventually(t, "the action is noted as expired", func() bool {
		lines, err := r.journal.Load(a.ID)
		s := summarize(lines)
		return err == nil && s.undone && s.receipt.UndoneBy == "expiry"
	})
}

func eventually(t testing.TB, what string, ok func() bool) {
	t.Helper()
	for begun := time.Now(); time.Since(begun) < waiting; time.Sleep(5 * time.Millisecond) {
		if ok() {
			return
		}
	}
	t.Fatal("never: " + what)
}

func TestProtected(t *testing.T) {
	r := responder(t, func(c *Config) { c.Protect = []string{"198.51.100.2", "bank.example"} })
	both(t, r)
	ssh := serve(t, intern+":2222")
	_ = dialed(t, ssh) // somebody is logged in from intern, the address that the kernel picks
	for target, want := range map[string]string{
		"127.0.0.1": "loopback", "127.1.2.3:3333": "loopback", "::1": "loopback", "169.254.169.254": "link-local", "224.0.0.1": "multicast",
		other: "DNS server", pool2: "configuration", intern: "logged in",
	} {
		a, err := r.PlanBlock([]string{target}, 0)
		if err != nil {
			t.Fatal(err)
		}
		if len(a.Refused) != 1 || !strings.Contains(a.Refused[0], want) {
			t.Errorf("%s: refused %q, want %q", target, a.Refused, want)
		}
		a.Params[paramItems] = mustItems(t, target) // as if it had been planned before
		if receipt, err := r.Do(t.Context(), a); err == nil || receipt.OK {
			t.Errorf("%s was blocked: %s", target, receipt.Result)
		}
	}
	// A network is blocked around what is protected.
	addr, spared := serve(t, pool+":0"), serve(t, pool2+":0")
	keeps := dialed(t, spared)
	do(t, r, "198.51.100.0/24")
	refused(t, addr)
	open(t, spared)
	if err := echo(keeps); err != nil {
		t.Errorf("a protected connection was ended: %v", err)
	}
	for _, wide := range []string{"0.0.0.0/0", "0.0.0.0/1", "::/0", ":0", "two words", "192.0.2.1/7"} {
		if _, err := r.PlanBlock([]string{wide}, 0); err == nil {
			t.Errorf("%q can be planned", wide)
		}
	}
}

func mustItems(t *testing.T, target string) string {
	t.Helper()
	i, _, err := ParseTarget(target)
	if err != nil {
		t.Fatal(err)
	}
	b, err := json.Marshal([]Item{i})
	if err != nil {
		t.Fatal(err)
	}
	return string(b)
}

// TestOffline takes the network from a tree of processes and from nobody else.
func TestOffline(t *testing.T) {
	r := responder(t, nil)
	both(t, r)
	addr := serve(t, pool+":0")
	host, port, err := net.SplitHostPort(addr)
	if err != nil {
		t.Fatal(err)
	}
	// A grandchild holds a connection, and tries another for each line it reads.
	cmd := exec.Command("/bin/bash", "-c", `bash -c 'exec 3<>/dev/tcp/$0/$1; echo open; while read -r _; do if (exec 4<>/dev/tcp/$0/$1) 2>/dev/null; then echo yes; else echo no; fi; done' $0 $1; true`, host, port)
	in, err := cmd.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	if err := cmd.Start(); err != nil {
		t.Skip("needs bash: ", err)
	}
	t.Cleanup(func() {
		in.Close()
		_ = cmd.Wait() // killed or ended: both are fine
	})
	line := func() string {
		b := make([]byte, 16)
		n, err := out.Read(b)
		if err != nil {
			t.Fatal(err)
		}
		return strings.TrimSpace(string(b[:n]))
	}
	ask := func() string {
		if _, err := in.Write([]byte("go\n")); err != nil {
			t.Fatal(err)
		}
		return line()
	}
	if line() != "open" || ask() != "yes" {
		t.Fatal("the child cannot connect")
	}
	s, err := proc.ReadStat(int32(cmd.Process.Pid))
	if err != nil {
		t.Fatal(err)
	}
	me, err := proc.ReadStat(int32(os.Getpid()))
	if err != nil {
		t.Fatal(err)
	}
	inc := minewarden.Incident{ID: "i", Members: []minewarden.Member{
		{Key: minewarden.ProcessKey{PID: s.PID, Start: s.Start}, Severity: minewarden.High},
		{Key: minewarden.ProcessKey{PID: me.PID, Start: me.Start}, Severity: minewarden.Medium},
	}}
	actions, err := r.Plan(t.Context(), inc)
	if err != nil || len(actions) != 1 || actions[0].Op != Offline {
		t.Fatalf("%v %v", actions, err)
	}
	if !slices.ContainsFunc(actions[0].Blast, func(b string) bool { return strings.Contains(b, "> "+addr) }) {
		t.Errorf("blast %q does not show the connection", actions[0].Blast)
	}
	receipt, err := r.Do(t.Context(), actions[0])
	if err != nil || !strings.Contains(receipt.Result, "1 connections ended") {
		t.Fatal(receipt.Result, err)
	}
	if got := ask(); got != "no" {
		t.Errorf("the child connects: %s", got)
	}
	open(t, addr)
	if err := r.Undo(t.Context(), receipt); err != nil {
		t.Fatal(err)
	}
	if got := ask(); got != "yes" {
		t.Errorf("undone, but the child connects not: %s", got)
	}
}

// TestSelfIsNeverCutOff refuses a tree that the agent is in.
func TestSelfIsNeverCutOff(t *testing.T) {
	r := responder(t, nil)
	me, err := proc.ReadStat(int32(os.Getppid()))
	if err != nil {
		t.Fatal(err)
	}
	actions, err := r.Plan(t.Context(), minewarden.Incident{ID: "i", Members: []minewarden.Member{{Key: minewarden.ProcessKey{PID: me.PID, Start: me.Start}, Severity: minewarden.Critical}}})
	if err != nil || len(actions) != 1 || !strings.Contains(strings.Join(actions[0].Refused, "\n"), "minewarden") {
		t.Fatalf("%+v %v", actions, err)
	}
}

func TestPlanOfFindings(t *testing.T) {
	items, names := destinations(&minewarden.Incident{Findings: []minewarden.IncidentFinding{
		{Rule: "stratum/login", Severity: minewarden.High, Subject: minewarden.Subject{Type: minewarden.SubjectFlow, Server: pool + ":3333"}},
		{Rule: "stratum/login", Severity: minewarden.High, Subject: minewarden.Subject{Type: minewarden.SubjectFlow, Server: intern + ":3333"}},
		{Rule: "tls/shape", Severity: minewarden.Low, Subject: minewarden.Subject{Server: "192.0.2.9:443"}},
		{Rule: "sigma/x", Severity: minewarden.High, Subject: minewarden.Subject{Server: "192.0.2.10:443"}},
		{Rule: "dns/pool", Severity: minewarden.Medium, Evidence: []minewarden.Evidence{{Key: "pool", Value: "pool.example:3333"}, {Key: "pool", Value: "a sentence"}}},
	}})
	if got, want := fmt.Sprint(items, names), "["+pool+" "+intern+":3333] [pool.example]"; got != want {
		t.Errorf("got %s, want %s", got, want)
	}
}

func guard(t testing.TB, r *Responder, list string, allow ...string) *Guard {
	t.Helper()
	b := indicators.NewBuilder(16)
	if err := indicators.Read(strings.NewReader(list), indicators.Defaults{Source: "t", Confidence: 0.9}, b.Add, func(e *indicators.LineError) { t.Error(e) }); err != nil {
		t.Fatal(err)
	}
	for _, a := range allow {
		typ, v, err := indicators.Normal("", a)
		if err != nil || !b.Allow(typ, v) {
			t.Fatal(err)
		}
	}
	g, err := r.Guard(b.Set())
	if err != nil {
		t.Fatal(err)
	}
	return g
}

func TestGuardRefusesIndicators(t *testing.T) {
	r := responder(t, nil)
	both(t, r)
	addr, spared, end := serve(t, pool+":0"), serve(t, pool2+":0"), serve(t, intern+":3333")
	old := dialed(t, addr)
	g := guard(t, r, "198.51.100.0/24\n"+intern+":3333\n127.0.0.1\n", pool2)
	refused(t, addr)
	refused(t, end)
	open(t, spared)
	open(t, serve(t, intern+":0"))
	open(t, serve(t, "127.0.0.1:0"))
	if echo(old) == nil {
		t.Error("a connection to an indicator that existed before goes on")
	}
	counts, err := g.Refused()
	if err != nil || counts["address"] == 0 || counts["endpoint"] == 0 {
		t.Errorf("refused %v, %v", counts, err)
	}
	b := indicators.NewBuilder(1)
	b.Add(minewarden.Indicator{Type: indicators.Endpoint, Value: intern + ":3333", Confidence: 0.9})
	if err := g.Replace(b.Set()); err != nil {
		t.Fatal(err)
	}
	open(t, addr)
	refused(t, end)
	if err := g.Stop(); err != nil {
		t.Fatal(err)
	}
	open(t, end)
}

func TestGuardFollowsNames(t *testing.T) {
	r := responder(t, nil)
	both(t, r)
	g := guard(t, r, "value,confidence\npool.example,0.9\nweak.example,0.3\n")
	tell := func(name string, aliases []string, addr string) {
		t.Helper()
		if err := g.ObserveDNS(name, aliases, []netip.Addr{netip.MustParseAddr(addr)}, time.Minute); err != nil {
			t.Fatal(err)
		}
	}
	one, two, private, six := serve(t, pool+":0"), serve(t, pool2+":0"), serve(t, intern+":0"), serve(t, "["+pool6+"]:0")
	early := dialed(t, one)
	tell("weak.example", nil, pool)
	open(t, one)
	r.follow.benign = nil
	tell("EU.pool.example.", nil, "::ffff:"+pool)
	refused(t, one)
	if echo(early) == nil {
		t.Error("a connection that was quicker than the answer goes on")
	}
	tell("www.site.example", nil, pool2) // shared with a name that nobody lists
	tell("pool.example", nil, pool2)
	open(t, two)
	if g.Shared() == 0 {
		t.Error("the shared address is not counted")
	}
	tell("pool.example", nil, intern) // whoever owns the name may point it anywhere
	open(t, private)
	tell("cdn.site.example", []string{"x.pool.example"}, pool6)
	refused(t, six)
}

// TestBlockedNameIsFollowed blocks what a name is answered before and after the block.
func TestBlockedNameIsFollowed(t *testing.T) {
	r := responder(t, nil)
	both(t, r)
	g := guard(t, r, "other.example\n")
	one, two := serve(t, pool+":0"), serve(t, pool2+":0")
	if err := g.ObserveDNS("a.named.example", nil, []netip.Addr{netip.MustParseAddr(pool)}, 0); err != nil {
		t.Fatal(err)
	}
	open(t, one)
	receipt := do(t, r, "named.example")
	refused(t, one)
	if err := g.ObserveDNS("b.named.example", nil, []netip.Addr{netip.MustParseAddr(pool2)}, 0); err != nil {
		t.Fatal(err)
	}
	refused(t, two)
	if err := r.Undo(t.Context(), receipt); err != nil {
		t.Fatal(err)
	}
	open(t, one)
	open(t, two)
}

func flowOf(c net.Conn) minewarden.FlowKey {
	return minewarden.FlowKey{Proto: "tcp", Client: c.LocalAddr().(*net.TCPAddr).AddrPort(), Server: c.RemoteAddr().(*net.TCPAddr).AddrPort()}
}

func TestCut(t *testing.T) {
	r := responder(t, nil)
	both(t, r)
	g := guard(t, r, "pool.example\n")
	addr := serve(t, pool+":0")
	c, sibling := dialed(t, addr), dialed(t, addr)
	receipt, err := g.Cut(t.Context(), "inc", flowOf(c), "stratum/login")
	if err != nil || !receipt.OK || receipt.Action.Incident != "inc" {
		t.Fatalf("%+v %v", receipt, err)
	}
	if echo(c) == nil || echo(sibling) == nil {
		t.Error("a connection goes on")
	}
	refused(t, addr)
	if again, err := g.Cut(t.Context(), "inc", flowOf(c), "stratum/job"); err != nil || again.Action.ID != "" {
		t.Errorf("cut twice: %+v %v", again, err)
	}
	if err := r.Undo(t.Context(), receipt); err != nil {
		t.Fatal(err)
	}
	open(t, addr)
	c = dialed(t, addr) // who took it back meant it, also after a restart
	if again, err := g.Cut(t.Context(), "inc", flowOf(c), "stratum/login"); err != nil || again.Action.ID != "" || echo(c) != nil {
		t.Errorf("cut again: %+v %v", again, err)
	}
	next := responder(t, nil)
	next.journal.Dir = r.journal.Dir
	if _, err := next.Recover(t.Context()); err != nil || len(next.pardoned) != 1 {
		t.Errorf("forgotten at the restart: %v %v", next.pardoned, err)
	}

	// On loopback only the flow itself is ended.
	addr = serve(t, "127.0.0.1:0")
	c, sibling = dialed(t, addr), dialed(t, addr)
	if receipt, err = g.Cut(t.Context(), "inc", flowOf(c), "stratum/login"); err != nil || len(receipt.Action.Refused) != 1 {
		t.Fatalf("%+v %v", receipt, err)
	}
	if echo(c) == nil || echo(sibling) != nil {
		t.Error("not exactly the flow was ended")
	}
	open(t, addr)

	addr = serve(t, intern+":2222")
	c = dialed(t, addr)
	if _, err = g.Cut(t.Context(), "inc", flowOf(c), "stratum/login"); err == nil || echo(c) != nil {
		t.Errorf("a management connection was cut: %v", err)
	}
}

// TestOtherNamespace ends a connection inside a container's network.
func TestOtherNamespace(t *testing.T) {
	r := responder(t, nil)
	both(t, r)
	cmd := exec.Command("/bin/bash", "-c", `ip addr add `+pool+`/24 dev lo && ip link set lo up && exec python3 -c '
import socket,sys
l=socket.create_server(("`+pool+`",3333)); c=socket.create_connection(("`+pool+`",3333)); print(c.getsockname()[1],flush=True)
try: print("end" if c.recv(1)==b"" else "data")
except OSError: print("reset")
'`)
	cmd.SysProcAttr = &syscall.SysProcAttr{Cloneflags: syscall.CLONE_NEWNET, Pdeathsig: syscall.SIGKILL}
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Skip("needs bash, ip and python3: ", err)
	}
	t.Cleanup(func() { _ = cmd.Process.Kill(); _ = cmd.Wait() }) // ended already is fine
	var port uint16
	if _, err := fmt.Fscan(out, &port); err != nil {
		t.Skip("needs bash, ip and python3: ", err)
	}
	// Only the namespace of that process is looked at, not those of the whole host.
	ended := 0
	key := minewarden.FlowKey{Client: netip.AddrPortFrom(netip.MustParseAddr(pool), port), Server: netip.MustParseAddrPort(pool + ":3333")}
	err = sockets.InNamespace(fmt.Sprintf("/proc/%d/ns/net", cmd.Process.Pid), func(d *sockets.Diag) error {
		s, ok, err := d.Find(6, key.Client, key.Server)
		if err == nil && ok {
			ok, err = d.Destroy(&s)
		}
		if ok {
			ended++
		}
		return err
	})
	if err != nil || ended != 1 {
		t.Fatal(ended, err)
	}
	var how string
	if _, err := fmt.Fscan(out, &how); err != nil || how != "reset" {
		t.Errorf("the client saw %q, %v", how, err)
	}
}

// TestNothingStays: without persist, both lines are gone with their holder; the next start enforces again what stands.
func TestNothingStays(t *testing.T) {
	r := responder(t, nil)
	both(t, r)
	addr := serve(t, pool+":0")
	receipt := do(t, r, pool)
	refused(t, addr)
	if err := r.Close(); err != nil {
		t.Fatal(err)
	}
	open(t, addr)
	if n := tables(t); n != 0 {
		t.Errorf("%d tables are left", n)
	}
	next := responder(t, nil)
	next.journal.Dir = r.journal.Dir
	receipts, err := next.Recover(t.Context())
	if err != nil || len(receipts) != 1 || receipts[0].Action.ID != receipt.Action.ID {
		t.Fatal(receipts, err)
	}
	refused(t, addr)
	if err := next.Undo(t.Context(), receipt); err != nil {
		t.Fatal(err)
	}
	open(t, addr)
}

// holding makes this process one that blocks the pool until it is killed.
const holding = "MINEWARDEN_TEST_HOLD"

func holdPool() error {
	r := &Responder{log: slog.New(slog.DiscardHandler), now: time.Now, root: fstest.MapFS{}, config: DefaultConfig(), foreign: func(netip.Addr) bool { return true }}
	r.config.Cgroup, r.config.Namespaces, r.config.Pins = os.Getenv(inside), false, os.Getenv(holding)
	s, err := r.newShield()
	if err == nil {
		err = r.open()
	}
	if err == nil {
		err = r.enforce(s, []Item{address(netip.MustParseAddr(pool))}, hold{owner: "test"})
	}
	if err == nil {
		fmt.Println("held")
	}
	return err
}

// TestKilled leaves nothing behind after SIGKILL.
func TestKilled(t *testing.T) {
	both(t, responder(t, func(c *Config) { c.Firewall = false })) // this host can
	addr := serve(t, pool+":0")
	cmd := exec.Command("/proc/self/exe")
	cmd.Env = append(os.Environ(), holding+"="+t.TempDir()+"/pins")
	cmd.Stderr = os.Stderr
	cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	var word string
	if _, err := fmt.Fscan(out, &word); err != nil || word != "held" {
		t.Fatal(word, err, cmd.Process.Kill(), cmd.Wait())
	}
	refused(t, addr)
	if n := tables(t); n != 1 {
		t.Errorf("%d tables, want 1", n)
	}
	if err := cmd.Process.Kill(); err != nil {
		t.Fatal(err)
	}
	if err := cmd.Wait(); err == nil {
		t.Fatal("it ended by itself")
	}
	eventually(t, "the pool is open again", func() bool {
		c, err := net.DialTimeout("tcp", addr, time.Second)
		return err == nil && c.Close() == nil
	})
	eventually(t, "the table is gone", func() bool { return tables(t) == 0 })
}

func tables(t *testing.T) int {
	t.Helper()
	c, err := nftables.New()
	if err != nil {
		t.Fatal(err)
	}
	list, err := c.ListTables()
	if err != nil {
		t.Fatal(err)
	}
	return len(list)
}

func TestPersist(t *testing.T) {
	pins := bpffs(t)
	persist := func(c *Config) { c.Persist, c.Pins = true, pins }
	r := responder(t, persist)
	both(t, r)
	addr, two := serve(t, pool+":0"), serve(t, pool2+":0")
	do(t, r, pool)
	receipt := do(t, r, pool2)
	if err := r.Close(); err != nil {
		t.Fatal(err)
	}
	refused(t, addr) // the agent is gone

	// One action was undone by an agent that died before it could: the next start puts the pins right.
	if err := r.note(receipt.Action.ID, record{Phase: phaseUndone, At: time.Now()}); err != nil {
		t.Fatal(err)
	}
	next := responder(t, persist)
	next.journal.Dir = r.journal.Dir
	if _, err := next.Recover(t.Context()); err != nil {
		t.Fatal(err)
	}
	refused(t, addr)
	open(t, two)
	if err := next.Close(); err != nil {
		t.Fatal(err)
	}

	plain := responder(t, func(c *Config) { c.Pins = pins })
	if _, err := plain.Recover(t.Context()); err != nil {
		t.Fatal(err)
	}
	open(t, addr)
	if _, err := os.Stat(pins); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("pins are left: %v", err)
	}
}

// TestInterrupted lets go what has no receipt.
func TestInterrupted(t *testing.T) {
	r := responder(t, nil)
	a, err := r.PlanBlock([]string{pool}, 0)
	if err != nil {
		t.Fatal(err)
	}
	entry, err := r.journal.Begin(a.ID, record{Phase: phaseIntent, At: time.Now(), Action: &a})
	if err != nil {
		t.Fatal(err)
	}
	if err := errors.Join(entry.Append(record{Phase: phaseBlock, Items: []Item{address(netip.MustParseAddr(pool))}, Until: time.Now().Add(time.Hour)}), entry.Close()); err != nil {
		t.Fatal(err)
	}
	receipts, err := r.Recover(t.Context())
	if err != nil || len(receipts) != 1 || receipts[0].OK {
		t.Fatal(receipts, err)
	}
	if receipt, err := r.Do(t.Context(), a); err != nil || receipt.OK {
		t.Errorf("it was done after all: %v %v", receipt, err)
	}
	open(t, serve(t, pool+":0"))
}

// TestManyAddresses finds all of them in the second line: the kernel loses elements of large messages silently.
func TestManyAddresses(t *testing.T) {
	r := responder(t, nil)
	both(t, r)
	var list []string
	for i := range 5000 {
		list = append(list, fmt.Sprintf("192.0.%d.%d", i/250+1, i%250+1))
	}
	list = append(list, "192.0.128.0/20", "192.0.136.0/21", "192.0.144.0/20", "2001:db8:1::/48")
	do(t, r, list...)
	c, err := nftables.New()
	if err != nil {
		t.Fatal(err)
	}
	got, err := c.GetSetElements(r.firewall.sets["addr4"])
	if err != nil || len(got) != 5000 {
		t.Errorf("%d elements, %v", len(got), err)
	}
	if got, err = c.GetSetElements(r.firewall.sets["net4"]); err != nil || len(got) < 2 {
		t.Errorf("%v, %v", got, err)
	}
}

// TestSecondLine drops what passes the first line, here because nothing is in it.
func TestSecondLine(t *testing.T) {
	for _, tt := range []struct {
		item         Item
		addr, spared string
	}{
		{Item{Kind: Address, Prefix: netip.MustParsePrefix("198.51.100.0/25")}, pool + ":0", intern + ":0"},
		{address(netip.MustParseAddr(pool6)), "[" + pool6 + "]:0", pool + ":0"},
		{endpoint(netip.MustParseAddrPort(pool + ":3333")), pool + ":3333", pool + ":0"},
		{endpoint(netip.MustParseAddrPort("[" + pool6 + "]:3333")), "[" + pool6 + "]:3333", "[" + pool6 + "]:0"},
		{Item{Kind: Port, Port: 5555}, intern + ":5555", intern + ":0"},
	} {
		t.Run(tt.item.String(), func(t *testing.T) {
			r := responder(t, nil)
			both(t, r)
			addr, spared := serve(t, tt.addr), serve(t, tt.spared)
			r.mu.Lock()
			err := r.second([]Item{tt.item})
			r.mu.Unlock()
			if err != nil {
				t.Fatal(err)
			}
			if c, err := net.DialTimeout("tcp", addr, 300*time.Millisecond); err == nil {
				c.Close()
				t.Error("a packet passes the second line")
			}
			open(t, spared)
			if tt.item.Kind != Port {
				return
			}
			// A client whose own port is the blocked one is answered.
			d := net.Dialer{Timeout: waiting, LocalAddr: &net.TCPAddr{IP: net.ParseIP(pool), Port: 5555}}
			c, err := d.Dial("tcp", spared)
			if err != nil {
				t.Fatal(err)
			}
			if err := c.(*net.TCPConn).SetLinger(0); err != nil { // the port is free at once
				t.Error(err)
			}
			c.Close()
		})
	}
}
