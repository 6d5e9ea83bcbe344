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
	if len(r.Cuts) == 0 {
		t.Error("no session was cut")
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
	slices.Sort(r.Cuts)
	if n := len(r.Cuts); n > 0 {
		t.Logf("%d sessions cut after a median of %s, at most %s", n, r.Cuts[n/2], r.Cuts[n-1])
	}
}

// pools are addresses of the namespace behind the wire, one a session: what is cut stays blocked.
func poolAddr(i int) string { return fmt.Sprintf("203.0.113.%d", i+1) }

const (
	poolPort = "3457" // on no list of ports
	minerEnd = "203.0.113.254/24"
	// firstShare is how long the client takes for its first share: no miner is as quick.
	firstShare = 100 * time.Millisecond
)

func cutInside(group string) error {
	if err := unix.Mount("", "/", "", unix.MS_REC|unix.MS_PRIVATE, ""); err != nil {
		return fmt.Errorf("make mounts private: %w", err)
	}
	n := 3
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
		took, err := mine(poolAddr(i))
		if err != nil {
			return err
		}
		if took > 0 {
			r.Cuts = append(r.Cuts, took)
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

// mine logs in and submits a share, and returns after how long it was cut; 0: it was not, within two seconds.
func mine(addr string) (time.Duration, error) {
	c, err := net.Dial("tcp", net.JoinHostPort(addr, poolPort))
	if err != nil {
		return 0, err
	}
	defer c.Close()
	begun := time.Now()
	if _, err := io.WriteString(c, `{"id":1,"jsonrpc":"2.0","method":"login","params":{"login":"`+wallet+`","pass":"x","agent":"XMRig/6.21.0","algo":["rx/0"]}}`+"\n"); err != nil {
		return 0, err
	}
	share := time.AfterFunc(firstShare, func() {
		io.WriteString(c, `{"id":2,"jsonrpc":"2.0","method":"submit","params":{"id":"s1","job_id":"j1","nonce":"0a0b0c0d","result":"`+strings.Repeat("ab", 32)+`"}}`+"\n")
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
			l, err := net.Listen("tcp4", ":"+poolPort)
			if err != nil {
				return err
			}
			go pool(l, answered)
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
	return address("wire0", minerEnd)
}

func addresses(link string, n int) error {
	for i := range n {
		if err := address(link, poolAddr(i)+"/24"); err != nil {
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
	if err := netlink.AddrAdd(link, a); err != nil {
		return fmt.Errorf("%s: %w", cidr, err)
	}
	return netlink.LinkSetUp(link)
}

// pool answers at once, and counts the submits that it could answer.
func pool(l net.Listener, answered *atomic.Int64) {
	for {
		c, err := l.Accept()
		if err != nil {
			return
		}
		go func() {
			defer c.Close()
			for in := bufio.NewScanner(c); in.Scan(); {
				answer := `{"id":1,"jsonrpc":"2.0","error":null,"result":{"id":"s1","job":{"blob":"` + strings.Repeat("0f", 76) + `","job_id":"j1","target":"b88d0600","algo":"rx/0"},"status":"OK"}}`
				if strings.Contains(in.Text(), `"submit"`) {
					answer = `{"id":2,"jsonrpc":"2.0","error":null,"result":{"status":"OK"}}`
					answered.Add(1)
				}
				if _, err := io.WriteString(c, answer+"\n"); err != nil {
					return
				}
			}
		}()
	}
}
