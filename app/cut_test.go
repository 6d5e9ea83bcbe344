package app_test

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"

	"github.com/minewarden/minewarden"
	"github.com/minewarden/minewarden/app"
	"github.com/minewarden/minewarden/config"
	"github.com/minewarden/minewarden/internal/proc"
	"github.com/minewarden/minewarden/internal/sensortest"
)

// cutGroup makes this test binary a miner and an agent in contain mode, alone in a network, mounts and the cgroup that it names.
// cutSessions is how many sessions it tries.
const (
	cutGroup    = "MINEWARDEN_TEST_CUT"
	cutSessions = "MINEWARDEN_TEST_CUT_SESSIONS"
)

// cutReport is what it saw.
type cutReport struct {
	Cuts     []time.Duration // from the first byte of mining that was written to the reset that the miner reads
	Uncut    []string        // ways to carry a session in which it was not cut
	Answered int             // submits to which the pool's answer arrived
	Again    string          // what a second connection to the first pool met
	Written  int             // cuts in the audit trail
	Listed   string          // what a connection to an indicator that was added while the agent ran met
}

// TestPoolIsCut lets a client log in to a pool that no list knows, and cuts it. How long that takes is logged, and is in bench/:
//
//	MINEWARDEN_TEST_CUT_SESSIONS=50 go test -count=1 -run TestPoolIsCut -v ./app
func TestPoolIsCut(t *testing.T) {
	sensortest.Root(t)
	mounts, err := proc.CgroupMounts()
	if err != nil {
		t.Fatal(err)
	}
	if mounts.V2 == "" {
		sensortest.Need(t, fmt.Errorf("%w: no v2 cgroup tree", minewarden.ErrUnsupported))
	}
	group, err := os.MkdirTemp(mounts.V2, "minewarden-test-")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := os.Remove(group); err != nil {
			t.Error(err)
		}
	})
	dir, err := os.Open(group)
	if err != nil {
		t.Fatal(err)
	}
	defer dir.Close()
	cmd := exec.Command("/proc/self/exe")
	cmd.Env = append(os.Environ(), cutGroup+"="+group)
	cmd.Stderr = os.Stderr
	cmd.SysProcAttr = &syscall.SysProcAttr{
		Cloneflags: unix.CLONE_NEWNET, Unshareflags: unix.CLONE_NEWNS, Pdeathsig: syscall.SIGKILL, UseCgroupFD: true, CgroupFD: int(dir.Fd()),
	}
	out, err := cmd.Output()
	if err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	var r cutReport
	if err := json.Unmarshal(out, &r); err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	if len(r.Cuts) == 0 || len(r.Uncut) > 0 {
		t.Errorf("%d sessions were cut, and these were not: %q", len(r.Cuts), r.Uncut)
	}
	if r.Answered > 0 {
		t.Errorf("%d submits were answered", r.Answered)
	}
	if r.Written < len(r.Cuts) {
		t.Errorf("the audit trail has %d of %d cuts", r.Written, len(r.Cuts))
	}
	if r.Again != "operation not permitted" {
		t.Errorf("the pool that was cut could be reached again: %q", r.Again)
	}
	if r.Listed != "operation not permitted" {
		t.Errorf("an address that was listed while the agent ran could be reached: %q", r.Listed)
	}
	for i, w := range ways {
		var took []time.Duration
		for k := i; k < len(r.Cuts) && len(r.Uncut) == 0; k += len(ways) {
			took = append(took, r.Cuts[k])
		}
		if slices.Sort(took); len(took) > 0 {
			t.Logf("%s: a median of %s, at most %s", w.name, took[len(took)/2], took[len(took)-1])
		}
	}
	slices.Sort(r.Cuts)
	if n := len(r.Cuts); n > 0 {
		t.Logf("%d sessions cut after a median of %s, at most %s", n, r.Cuts[n/2], r.Cuts[n-1])
	}
}

// pools are addresses of the namespace behind the wire, one a session: what is cut stays blocked.
func poolAddr(i int) string { return fmt.Sprintf("203.0.113.%d", i+1) }

// poolAddr6 is the same over IPv6.
func poolAddr6(i int) string { return fmt.Sprintf("2001:db8::%x", i+1) }

const (
	poolPort  = "3457" // on no list of ports
	dnsPort   = "53"
	minerEnd  = "203.0.113.254/24"
	minerEnd6 = "2001:db8::ffff/64"
	// firstShare is how long the client takes for its first share where that is measured. A loaded machine gets longer: no test may
	// depend on how much else runs.
	firstShare  = 100 * time.Millisecond
	unhurriedly = 5 * firstShare
)

func cutInside(group string) error {
	if err := unix.Mount("", "/", "", unix.MS_REC|unix.MS_PRIVATE, ""); err != nil {
		return fmt.Errorf("make mounts private: %w", err)
	}
	n := len(ways)
	if s := os.Getenv(cutSessions); s != "" {
		var err error
		if n, err = strconv.Atoi(s); err != nil || n < 1 || n > 200 {
			return fmt.Errorf("%s=%q: use 1 to 200", cutSessions, s)
		}
	}
	var answered atomic.Int64
	if err := poolBehindWire(n+2, &answered); err != nil {
		return err
	}
	dir, err := os.MkdirTemp("", "minewarden-cut-")
	if err != nil {
		return err
	}
	defer os.RemoveAll(dir)
	cfg, err := config.Parse([]byte("respond: contain\ndata: " + dir + "\ndisable: [sensors/ebpf, sensors/procfs, sensors/files, sensors/journal, sensors/logfile," +
		" sensors/syslog, responders/process, responders/quarantine]\nresponders:\n  network:\n    cgroup: " + group + "\n"))
	if err != nil {
		return err
	}
	ctx, stop := context.WithCancel(context.Background())
	defer stop()
	ready := make(chan struct{})
	a, err := app.NewAgent(ctx, cfg, slog.New(slog.NewTextHandler(os.Stderr, &slog.HandlerOptions{Level: slog.LevelWarn})), app.Notice{Ready: func([]string) { close(ready) }})
	if err != nil {
		return err
	}
	ended := make(chan error, 1)
	go func() { ended <- a.Run(ctx) }()
	<-ready
	time.Sleep(time.Second) // until the capture listens: the sensor does not say so

	var r cutReport
	for i := range n {
		w := ways[i%len(ways)]
		took, err := mine(w.addr(i), w.open, w.message)
		if err != nil {
			return fmt.Errorf("%s: %w", w.name, err)
		}
		if took > 0 {
			r.Cuts = append(r.Cuts, took)
		} else {
			r.Uncut = append(r.Uncut, w.name)
		}
	}
	r.Answered = int(answered.Load())
	r.Again = dialError(poolAddr(0))
	if err := os.WriteFile(filepath.Join(dir, "indicators", "test.list"), []byte(poolAddr(n)+"\n"), 0o600); err != nil {
		return err
	}
	for deadline := time.Now().Add(10 * time.Second); r.Listed == "" && time.Now().Before(deadline); time.Sleep(50 * time.Millisecond) {
		r.Listed = dialError(poolAddr(n))
	}
	stop()
	if err := errors.Join(<-ended, a.Close()); err != nil {
		return err
	}
	trail, err := os.ReadFile(filepath.Join(dir, "audit-trail.jsonl"))
	if err != nil {
		return err
	}
	r.Written = strings.Count(string(trail), `"what":"action.done"`)
	return json.NewEncoder(os.Stdout).Encode(r)
}

func dialError(addr string) string {
	c, err := net.DialTimeout("tcp", net.JoinHostPort(addr, poolPort), 2*time.Second)
	if err != nil {
		var errno syscall.Errno
		if errors.As(err, &errno) {
			return errno.Error()
		}
		return err.Error()
	}
	c.Close()
	return ""
}

// ways are how a miner reaches its pool.
var ways = []struct {
	name    string
	addr    func(int) string
	open    func(net.Conn) error
	message func(string) []byte
}{
	{"lines", pooled(poolAddr, poolPort), nil, lined},
	{"IPv6", pooled(poolAddr6, poolPort), nil, lined},
	{"port 53", pooled(poolAddr, dnsPort), nil, lined},
	{"SOCKS", pooled(poolAddr, poolPort), asked("\x05\x01\x00", 2, "\x05\x01\x00\x03\x01a\x0d\x05", 10), lined},
	{"WebSocket", pooled(poolAddr, poolPort), asked("GET / HTTP/1.1\r\nHost: a\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Key: x\r\n\r\n", len(upgraded)), framed},
	{"HTTP", pooled(poolAddr, poolPort), nil, posted},
}

const upgraded = "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\r\n"

func pooled(addr func(int) string, port string) func(int) string {
	return func(i int) string { return net.JoinHostPort(addr(i), port) }
}

// asked says and awaits by turns: what, and how many bytes of answer.
func asked(steps ...any) func(net.Conn) error {
	return func(c net.Conn) error {
		for _, s := range steps {
			var err error
			switch s := s.(type) {
			case string:
				_, err = io.WriteString(c, s)
			case int:
				_, err = io.ReadFull(c, make([]byte, s))
			}
			if err != nil {
				return err
			}
		}
		return nil
	}
}

func lined(text string) []byte { return []byte(text + "\n") }

func posted(text string) []byte {
	return fmt.Appendf(nil, "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: %d\r\n\r\n%s\n", len(text)+1, text)
}

// framed is a masked frame whose key is zero, so that the pool here needs not know of frames.
func framed(text string) []byte {
	b := append([]byte{0x81, 0x80 | 126, byte((len(text) + 1) >> 8), byte(len(text) + 1)}, 0, 0, 0, 0)
	return append(append(b, text...), '\n')
}

// mine logs in and submits a share, and returns after how long it was cut; 0: it was not, within two seconds.
func mine(addr string, open func(net.Conn) error, message func(string) []byte) (time.Duration, error) {
	c, err := net.Dial("tcp", addr)
	if err != nil {
		return 0, err
	}
	defer c.Close()
	if open != nil {
		if err := open(c); err != nil {
			return 0, err
		}
	}
	begun := time.Now()
	if _, err := c.Write(message(`{"id":1,"jsonrpc":"2.0","method":"login","params":{"login":"` + wallet + `","pass":"x","agent":"XMRig/6.21.0","algo":["rx/0"]}}`)); err != nil {
		return 0, err
	}
	wait := unhurriedly
	if os.Getenv(cutSessions) != "" {
		wait = firstShare
	}
	share := time.AfterFunc(wait, func() {
		c.Write(message(`{"id":2,"jsonrpc":"2.0","method":"submit","params":{"id":"s1","job_id":"j1","nonce":"0a0b0c0d","result":"` + strings.Repeat("ab", 32) + `"}}`))
	})
	defer share.Stop()
	c.SetReadDeadline(begun.Add(2 * time.Second))
	_, err = io.Copy(io.Discard, c)
	if errors.Is(err, os.ErrDeadlineExceeded) {
		return 0, nil
	}
	return time.Since(begun), nil
}

// wallet has the form of a Monero address.
const wallet = "44AFFq5kSiGBoZ4NMDwYtN18obc8AemS33DBLWs3H7otXft3XjrpDtQGv7SqSsaBYBb98uNbr2VBBEt7f2wfn3RVGQBEP3A"

// poolBehindWire makes a pair of interfaces, moves one end into a namespace of its own, and serves a pool there on n addresses.
func poolBehindWire(n int, answered *atomic.Int64) error {
	pair := &netlink.Veth{LinkAttrs: netlink.LinkAttrs{Name: "wire0"}, PeerName: "wire1"}
	if err := netlink.LinkAdd(pair); err != nil {
		return fmt.Errorf("make a wire: %w", err)
	}
	moved, made := make(chan struct{}), make(chan int, 1)
	served := make(chan error, 1)
	go func() {
		runtime.LockOSThread() // and never unlocked: the thread ends with its namespace
		served <- func() error {
			if err := unix.Unshare(unix.CLONE_NEWNET); err != nil {
				return err
			}
			made <- unix.Gettid()
			<-moved
			if err := addresses("wire1", n); err != nil {
				return err
			}
			for _, port := range []string{poolPort, dnsPort} {
				for _, family := range []string{"tcp4", "tcp6"} {
					l, err := net.Listen(family, ":"+port)
					if err != nil {
						return err
					}
					go pool(l, answered)
				}
			}
			return nil
		}()
		select {} // keeps the thread, and with it the namespace
	}()
	select {
	case err := <-served:
		return err
	case tid := <-made:
		peer, err := netlink.LinkByName("wire1")
		if err != nil {
			return err
		}
		if err := netlink.LinkSetNsPid(peer, tid); err != nil {
			return err
		}
	}
	close(moved)
	if err := <-served; err != nil {
		return fmt.Errorf("the pool's end: %w", err)
	}
	return errors.Join(address("wire0", minerEnd), address("wire0", minerEnd6))
}

func addresses(link string, n int) error {
	for i := range n {
		if err := errors.Join(address(link, poolAddr(i)+"/24"), address(link, poolAddr6(i)+"/64")); err != nil {
			return err
		}
	}
	return nil
}

func address(name, cidr string) error {
	link, err := netlink.LinkByName(name)
	if err != nil {
		return err
	}
	a, err := netlink.ParseAddr(cidr)
	if err != nil {
		return err
	}
	if a.IP.To4() == nil {
		a.Flags = unix.IFA_F_NODAD // usable at once
	}
	if err := netlink.AddrAdd(link, a); err != nil {
		return fmt.Errorf("%s: %w", cidr, err)
	}
	return netlink.LinkSetUp(link)
}

// pool answers at once, and counts the submits that it could answer. It opens a way through SOCKS and to WebSocket where it is
// asked for one.
func pool(l net.Listener, answered *atomic.Int64) {
	for {
		c, err := l.Accept()
		if err != nil {
			return
		}
		go func() {
			defer c.Close()
			if err := serve(c, answered); err != nil {
				return
			}
		}()
	}
}

func serve(c net.Conn, answered *atomic.Int64) error {
	r := bufio.NewReader(c)
	first, err := r.Peek(1)
	if err != nil {
		return err
	}
	if first[0] == 5 {
		for _, step := range []struct {
			read  int
			write string
		}{{3, "\x05\x00"}, {8, "\x05\x00\x00\x01\x00\x00\x00\x00\x00\x00"}} {
			if _, err := r.Discard(step.read); err != nil {
				return err
			}
			if _, err := io.WriteString(c, step.write); err != nil {
				return err
			}
		}
	}
	frames, posts := first[0] == 'G', first[0] == 'P'
	for in := bufio.NewScanner(r); in.Scan(); {
		answer := ""
		switch line := in.Text(); {
		case strings.Contains(line, `"submit"`):
			answer = `{"id":2,"jsonrpc":"2.0","error":null,"result":{"status":"OK"}}` + "\n"
			answered.Add(1)
		case strings.Contains(line, `"login"`):
			answer = `{"id":1,"jsonrpc":"2.0","error":null,"result":{"id":"s1","job":{"blob":"` + strings.Repeat("0f", 76) + `","job_id":"j1","target":"b88d0600","algo":"rx/0"},"status":"OK"}}` + "\n"
		case line == "" && frames:
			answer = upgraded
		}
		switch {
		case answer == "" || answer == upgraded:
		case posts:
			answer = fmt.Sprintf("HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n%s", len(answer), answer)
		case frames:
			answer = string([]byte{0x81, 126, byte(len(answer) >> 8), byte(len(answer))}) + answer
		}
		if _, err := io.WriteString(c, answer); err != nil {
			return err
		}
	}
	return nil
}
