package isolate

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"os"
	"os/exec"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/fstest"
	"time"

	"github.com/minewarden/minewarden"
	"github.com/minewarden/minewarden/internal/sensortest"
	"github.com/minewarden/minewarden/responders/isolate/isolatetest"
)

// TestMain runs root's tests in a network of their own: nothing of the machine's is touched.
func TestMain(m *testing.M) {
	fuzzing := slices.ContainsFunc(os.Args, func(a string) bool {
		return strings.HasPrefix(a, "-test.fuzz") && !strings.HasPrefix(a, "-test.fuzzcachedir")
	})
	if os.Getenv(victim) != "" {
		os.Exit(beVictim())
	}
	if isolatetest.Enclosed() {
		if err := isolatetest.Loopback(); err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
	}
	if os.Geteuid() != 0 || fuzzing || isolatetest.Enclosed() {
		os.Exit(m.Run())
	}
	code, err := isolatetest.Enclose()
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	os.Exit(code)
}

const soon = 300 * time.Millisecond // long after an answer within one machine

func lab(t testing.TB) *isolatetest.Lab {
	t.Helper()
	sensortest.Root(t)
	if !isolatetest.Enclosed() {
		t.Fatal("not in a network of its own: run it without -fuzz")
	}
	l, err := isolatetest.New()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := l.Close(); err != nil {
			t.Error(err)
		}
	})
	return l
}

func responder(t testing.TB, change func(*Config)) *Responder {
	t.Helper()
	k, err := New(minewarden.Env{
		Log: slog.New(slog.NewTextHandler(t.Output(), nil)), Root: fstest.MapFS{"etc/resolv.conf": {Data: []byte("nameserver 10.77.2.2\nnameserver 127.0.0.53\n")}},
		Data: t.TempDir(), Decode: func(c any) error {
			if change != nil {
				change(c.(*Config))
			}
			return nil
		},
	})
	if err != nil {
		t.Fatal(err)
	}
	r := k.(*Responder)
	t.Cleanup(func() {
		if err := r.Close(); err != nil {
			t.Error(err)
		}
	})
	return r
}

func serve(t testing.TB, s *isolatetest.Space, addr string) {
	t.Helper()
	c, err := s.Serve(addr)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.Close() })
}

func dial(t testing.TB, s *isolatetest.Space, network, addr string) net.Conn {
	t.Helper()
	c, err := s.Dial(network, addr, isolatetest.Wait)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.Close() })
	if err := isolatetest.Echo(c, isolatetest.Wait); err != nil {
		t.Fatal(addr, err)
	}
	return c
}

// ruleset is all of nftables, byte for byte.
func ruleset(t testing.TB, args ...string) string {
	t.Helper()
	out, err := exec.Command("nft", append(args, "list", "ruleset")...).CombinedOutput()
	if err != nil {
		t.Fatalf("nft: %v: %s", err, out)
	}
	return string(out)
}

// foreign is a firewall as hosts have it.
const foreign = `table ip filter {
	set known {
		type ipv4_addr
		elements = { 192.0.2.1 }
	}
	chain input {
		type filter hook input priority filter; policy accept;
		ct state established,related accept
		tcp dport 25 drop
	}
	chain forward {
		type filter hook forward priority filter; policy accept;
		ip daddr 192.0.2.0/24 drop
	}
}
table inet nat {
	chain post {
		type nat hook postrouting priority srcnat;
		oifname "out9" masquerade
	}
}
`

func loadForeign(t testing.TB) {
	t.Helper()
	cmd := exec.Command("nft", "-f", "-")
	cmd.Stdin = strings.NewReader(foreign)
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("nft: %v: %s", err, out)
	}
	t.Cleanup(func() {
		if out, err := exec.Command("nft", "flush", "ruleset").CombinedOutput(); err != nil {
			t.Errorf("nft: %v: %s", err, out)
		}
	})
}

func incident() minewarden.Incident {
	return minewarden.Incident{ID: "inc-1", State: minewarden.Open, Severity: minewarden.Critical, Host: "web-1"}
}

func planned(t testing.TB, r *Responder) minewarden.Action {
	t.Helper()
	actions, err := r.Plan(t.Context(), incident())
	if err != nil || len(actions) == 0 || actions[0].Op != Isolate {
		t.Fatal(actions, err)
	}
	return actions[0]
}

func isolated(t testing.TB, r *Responder) minewarden.Receipt {
	t.Helper()
	receipt, err := r.Do(t.Context(), planned(t, r))
	if err != nil || !receipt.OK {
		t.Fatal(receipt.Result, err)
	}
	return receipt
}

// attempt is one way of talking, and who does it.
type attempt struct {
	name    string
	from    *isolatetest.Space
	network string
	to      string
}

func attempts(l *isolatetest.Lab) []attempt {
	return []attempt{
		{"host to outside", isolatetest.Host(), "tcp", isolatetest.Outside4 + ":80"},
		{"host to outside by IPv6", isolatetest.Host(), "tcp", "[" + isolatetest.Outside6 + "]:80"},
		{"host to outside by UDP", isolatetest.Host(), "udp", isolatetest.Outside4 + ":80"},
		{"host to outside by UDP and IPv6", isolatetest.Host(), "udp", "[" + isolatetest.Outside6 + "]:80"},
		{"host to the operator", isolatetest.Host(), "tcp", isolatetest.Operator4 + ":80"},
		{"outside to host", l.Outside, "tcp", isolatetest.HostOutside4 + ":80"},
		{"outside to sshd", l.Outside, "tcp", isolatetest.HostOutside4 + ":22"},
		{"outside to host by UDP", l.Outside, "udp", isolatetest.HostOutside4 + ":80"},
		{"operator to another port", l.Operator, "tcp", isolatetest.Host4 + ":80"},
		{"operator to another port by IPv6", l.Operator, "tcp", "[" + isolatetest.Host6 + "]:80"},
		{"operator through the host", l.Operator, "tcp", isolatetest.Container4 + ":80"},
		{"container to outside", l.Container, "tcp", isolatetest.Outside4 + ":80"},
		{"container to outside by IPv6", l.Container, "tcp", "[" + isolatetest.Outside6 + "]:80"},
		{"container to outside by UDP", l.Container, "udp", isolatetest.Outside4 + ":80"},
		{"container to host", l.Container, "tcp", isolatetest.HostBridge4 + ":80"},
		{"container to container", l.Container, "tcp", isolatetest.Neighbour4 + ":80"},
		{"outside to container", l.Outside, "tcp", isolatetest.Container4 + ":80"},
		{"macvlan to outside", l.Macvlan, "tcp", isolatetest.Outside4 + ":80"},
		{"outside to macvlan", l.Outside, "tcp", isolatetest.Macvlan4 + ":80"},
	}
}

func services(t testing.TB, l *isolatetest.Lab) {
	for _, s := range []*isolatetest.Space{isolatetest.Host(), l.Operator, l.Outside, l.Container, l.Neighbour, l.Macvlan} {
		serve(t, s, ":80")
	}
	serve(t, isolatetest.Host(), ":22")
}

func together(list []attempt, f func(attempt)) {
	var all sync.WaitGroup
	for _, a := range list {
		all.Go(func() { f(a) })
	}
	all.Wait()
}

// TestIsolate: what talks is cut, what is new does not begin, the operator stays, and all comes back.
func TestIsolate(t *testing.T) {
	l := lab(t)
	loadForeign(t)
	services(t, l)
	r := responder(t, nil)
	operator4, operator6 := dial(t, l.Operator, "tcp", isolatetest.Host4+":22"), dial(t, l.Operator, "tcp", "["+isolatetest.Host6+"]:22")
	loop := dial(t, isolatetest.Host(), "tcp", "127.0.0.1:80")
	var mu sync.Mutex
	flows := map[string]net.Conn{}
	together(attempts(l), func(a attempt) {
		if strings.HasSuffix(a.to, ":22") { // who is logged in is an operator
			return
		}
		c := dial(t, a.from, a.network, a.to)
		mu.Lock()
		flows[a.name] = c
		mu.Unlock()
	})
	if t.Failed() {
		t.FailNow()
	}
	before := ruleset(t)
	a := planned(t, r)
	if got := ruleset(t); got != before {
		t.Fatalf("the plan changed the rules:\n%s", got)
	}
	blast, stays := strings.Join(a.Blast, "\n"), strings.Join(a.Refused, "\n")
	for _, want := range []string{flows["host to outside"].LocalAddr().String(), "br0 (2 ports)", "chain inward", "ends by itself", fmt.Sprintf("pid %d", os.Getpid())} {
		if !strings.Contains(blast, want) {
			t.Errorf("the plan does not show %q:\n%s", want, blast)
		}
	}
	for _, want := range []string{operator4.LocalAddr().String(), operator6.LocalAddr().String()} {
		if !strings.Contains(stays, want) || strings.Contains(blast, "ends tcp "+want) {
			t.Errorf("the plan does not keep %s:\n%s", want, stays)
		}
	}
	begun := time.Now()
	receipt, err := r.Do(t.Context(), a)
	t.Log("isolated after", time.Since(begun), receipt.Result)
	if err != nil || !receipt.OK {
		t.Fatal(receipt.Result, err)
	}
	if again, err := r.Do(t.Context(), a); err != nil || again.Result != receipt.Result {
		t.Errorf("twice is not the same as once: %q, %v", again.Result, err)
	}
	if strings.Contains(receipt.Result, ";") {
		t.Errorf("this kernel should have it all: %s", receipt.Result)
	}
	cut(t, l, flows)
	for _, c := range []net.Conn{operator4, operator6, loop} {
		if err := isolatetest.Echo(c, isolatetest.Wait); err != nil {
			t.Errorf("%s does not stay: %v", c.RemoteAddr(), err)
		}
	}
	for _, to := range []string{isolatetest.Host4 + ":22", "[" + isolatetest.Host6 + "]:22"} {
		if err := l.Operator.Reach("tcp", to, isolatetest.Wait); err != nil {
			t.Errorf("the operator cannot log in again: %v", err)
		}
	}
	state, err := r.State()
	if err != nil || !state.Isolated || state.Dropped == 0 || !slices.Equal(state.Actions, []string{a.ID}) {
		t.Errorf("state %+v, %v", state, err)
	}
	for range 2 {
		if err := r.Undo(t.Context(), receipt); err != nil {
			t.Fatal(err)
		}
	}
	if got := ruleset(t); got != before {
		t.Errorf("release did not restore the rules:\n%s\nwant\n%s", got, before)
	}
	passes(t, l)
	for _, c := range []net.Conn{operator4, operator6} {
		if err := isolatetest.Echo(c, isolatetest.Wait); err != nil {
			t.Errorf("%s does not stay: %v", c.RemoteAddr(), err)
		}
	}
}

// cut checks that none of flows goes on, and that nothing new begins.
func cut(t *testing.T, l *isolatetest.Lab, flows map[string]net.Conn) {
	t.Helper()
	together(attempts(l), func(a attempt) {
		if c := flows[a.name]; c != nil {
			if err := isolatetest.Echo(c, soon); err == nil {
				t.Errorf("%s: the flow goes on", a.name)
			}
		}
		if err := a.from.Reach(a.network, a.to, soon); err == nil {
			t.Errorf("%s: a new flow begins", a.name)
		}
	})
	// Sockets of the host are ended, not only starved.
	if c := flows["host to outside"]; c != nil {
		var timeout net.Error
		if _, err := c.Read(make([]byte, 1)); err == nil || (errors.As(err, &timeout) && timeout.Timeout()) {
			if _, err := c.Write([]byte("x")); err == nil {
				t.Error("a connection of this host was not ended")
			}
		}
	}
}

func passes(t *testing.T, l *isolatetest.Lab) {
	t.Helper()
	together(attempts(l), func(a attempt) {
		if err := a.from.Reach(a.network, a.to, isolatetest.Wait); err != nil {
			t.Errorf("%s: %v", a.name, err)
		}
	})
}

// TestRulesAreThePlan: what the plan shows, given to nft, is what Do made.
func TestRulesAreThePlan(t *testing.T) {
	l := lab(t)
	services(t, l)
	r := responder(t, func(c *Config) {
		c.DNS, c.Allow = dnsResolvers, []string{"10.9.0.0/16", "tcp/10.8.0.1:443", "udp/[fd00::/16]:514", "fd00:1::5"}
		c.Management.Peers = []string{"10.77.0.0/16", "fd77::/32"}
		c.Management.Probe = []string{"10.77.1.2:80", "[fd77:1::2]:80"}
	})
	dial(t, l.Operator, "tcp", isolatetest.Host4+":22")
	dial(t, l.Operator, "tcp", "["+isolatetest.Host6+"]:22")
	a := planned(t, r)
	receipt, err := r.Do(t.Context(), a)
	if err != nil {
		t.Fatal(err)
	}
	list := func() string { return withoutPackets(ruleset(t, "-s")) }
	did := list()
	if err := r.Undo(t.Context(), receipt); err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command("nft", "-f", "-")
	cmd.Stdin = strings.NewReader(a.Params["rules"])
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("nft does not take the rules of the plan: %v: %s\n%s", err, out, a.Params["rules"])
	}
	defer exec.Command("nft", "flush", "ruleset").Run()
	if want := list(); did != want {
		t.Errorf("Do made\n%s\nthe plan says\n%s", did, want)
	}
}

// withoutPackets leaves out what differs from one moment to the next.
func withoutPackets(s string) string {
	var out bytes.Buffer
	for line := range strings.Lines(s) {
		f := strings.Fields(line)
		for i := 0; i < len(f); i++ {
			if i > 0 && f[i-1] == "packets" || i > 0 && f[i-1] == "bytes" {
				f[i] = "N"
			}
			if f[i] == "expires" {
				f[i+1] = "T"
				if strings.HasSuffix(s, ",") {
					f[i+1] += ","
				}
			}
		}
		out.WriteString(strings.Join(f, " ") + "\n")
	}
	return out.String()
}

func TestRefusals(t *testing.T) {
	l := lab(t)
	services(t, l)
	t.Run("no operator", func(t *testing.T) {
		r := responder(t, nil)
		a := planned(t, r)
		if !strings.Contains(strings.Join(a.Refused, "\n"), noManagement) {
			t.Errorf("the plan does not say that it would be refused: %s", a.Refused)
		}
		before := ruleset(t)
		if _, err := r.Do(t.Context(), a); err == nil || ruleset(t) != before {
			t.Fatalf("locked everybody out: %v", err)
		}
		a.Params[ParamBlind] = "yes"
		receipt, err := r.Do(t.Context(), a)
		if err != nil {
			t.Fatal(err)
		}
		if err := l.Operator.Reach("tcp", isolatetest.Host4+":22", soon); err == nil {
			t.Error("somebody can log in")
		}
		if err := r.Undo(t.Context(), receipt); err != nil {
			t.Fatal(err)
		}
	})
	t.Run("the operator left", func(t *testing.T) {
		r := responder(t, nil)
		c := dial(t, l.Operator, "tcp", isolatetest.Host4+":22")
		a := planned(t, r)
		c.Close()
		for range 100 { // the host's end closes when it has read it
			if err := r.recheck(&Scope{Ports: []uint16{22}, Peers: mustScope(t, a).Peers}); err != nil {
				break
			}
			time.Sleep(10 * time.Millisecond)
		}
		if _, err := r.Do(t.Context(), a); err == nil {
			t.Fatal("locked everybody out")
		}
	})
	t.Run("not an operator's network", func(t *testing.T) {
		r := responder(t, func(c *Config) { c.Management.Peers = []string{"192.0.2.0/24"} })
		stranger := dial(t, l.Outside, "tcp", isolatetest.HostOutside4+":22")
		a := planned(t, r)
		receipt, err := r.Do(t.Context(), a)
		if err != nil {
			t.Fatal(err)
		}
		if err := isolatetest.Echo(stranger, soon); err == nil {
			t.Error("a stranger's session goes on")
		}
		if err := r.Undo(t.Context(), receipt); err != nil {
			t.Fatal(err)
		}
	})
	t.Run("another boot", func(t *testing.T) {
		r := responder(t, nil)
		dial(t, l.Operator, "tcp", isolatetest.Host4+":22")
		a := planned(t, r)
		a.Params["boot"] = "another"
		if _, err := r.Do(t.Context(), a); err == nil {
			t.Error("an action of another boot was done")
		}
	})
	t.Run("a stored action that was changed", func(t *testing.T) {
		r := responder(t, nil)
		dial(t, l.Operator, "tcp", isolatetest.Host4+":22")
		for _, scope := range []string{`{`, `{"ports":[22],"devices":["a\"; flush ruleset"]}`, `{"ports":[22],"peers":["0.0.0.0/0"]}`, `{"ports":[]}`, `{"ports":[22],"flows":["1.2.3.4:0"]}`} {
			a := planned(t, r)
			a.Params[paramScope] = scope
			if _, err := r.Do(t.Context(), a); err == nil {
				t.Errorf("%s was taken", scope)
			}
		}
	})
}

func mustScope(t *testing.T, a minewarden.Action) *Scope {
	t.Helper()
	s := &Scope{}
	if err := json.Unmarshal([]byte(a.Params[paramScope]), s); err != nil {
		t.Fatal(err)
	}
	return s
}
