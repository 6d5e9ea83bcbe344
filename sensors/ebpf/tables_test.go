package ebpf

import (
	"net/netip"
	"os"
	"os/exec"
	"runtime"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/minewarden/minewarden"
	"github.com/minewarden/minewarden/internal/sensortest"
)

// few is the size of tables that tests fill.
const few = 16

// TestWake needs the kernel to wake who sleeps for the next event, and only then.
func TestWake(t *testing.T) {
	k := mustLoad(t)
	epoll, err := unix.EpollCreate1(unix.EPOLL_CLOEXEC)
	if err != nil {
		t.Fatal(err)
	}
	defer unix.Close(epoll)
	if err := unix.EpollCtl(epoll, unix.EPOLL_CTL_ADD, k.events.FD(), &unix.EpollEvent{Events: unix.EPOLLIN}); err != nil {
		t.Fatal(err)
	}
	if err := k.asleep.Put(uint32(0), uint32(1)); err != nil {
		t.Fatal(err)
	}
	sensortest.Need(t, k.attach(DefaultConfig()))
	if err := exec.Command("/bin/true").Run(); err != nil {
		t.Fatal(err)
	}
	var ready [1]unix.EpollEvent
	for end := time.Now().Add(patience); ; {
		n, err := unix.EpollWait(epoll, ready[:], int(time.Until(end).Milliseconds()))
		if err == unix.EINTR {
			continue
		}
		if n != 1 || err != nil {
			t.Fatalf("the program that started woke nobody: %d, %v", n, err)
		}
		break
	}
	var asleep uint32
	if err := k.asleep.Lookup(uint32(0), &asleep); err != nil || asleep != 0 {
		t.Errorf("the flag is %d after the wake-up, %v: every further event would wake too", asleep, err)
	}
}

// TestManyWaiting opens more connections without an answer than the table holds: each must be told of.
func TestManyWaiting(t *testing.T) {
	w := start(t, func(c *Config) { c.entries = few })
	fd, err := unix.Socket(unix.AF_INET, unix.SOCK_STREAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer unix.Close(fd)
	if err := unix.Bind(fd, &unix.SockaddrInet4{Addr: [4]byte{127, 0, 0, 8}}); err != nil {
		t.Fatal(err)
	}
	if err := unix.Listen(fd, 0); err != nil { // accepts nobody: first packets stay unanswered
		t.Fatal(err)
	}
	name, err := unix.Getsockname(fd)
	if err != nil {
		t.Fatal(err)
	}
	to := name.(*unix.SockaddrInet4)
	const count = 4 * few
	for range count {
		c, err := unix.Socket(unix.AF_INET, unix.SOCK_STREAM|unix.SOCK_CLOEXEC|unix.SOCK_NONBLOCK, 0)
		if err != nil {
			t.Fatal(err)
		}
		defer unix.Close(c)
		if err := unix.Connect(c, to); err != nil && err != unix.EINPROGRESS {
			t.Fatal(err)
		}
	}
	remote := netip.AddrPortFrom(netip.AddrFrom4(to.Addr), uint16(to.Port))
	sockets := map[uint64]bool{}
	waitData(w, "every connection", func(p *minewarden.Process, c *minewarden.Connect) bool {
		if p.Key.PID == int32(os.Getpid()) && c.Remote == remote {
			sockets[c.Socket] = true
		}
		return len(sockets) == count
	})
}

// TestManyFlips fills the table of executable memory: whom it has no place for is counted, and who ends leaves it.
func TestManyFlips(t *testing.T) {
	w := start(t, func(c *Config) { c.entries = few })
	full := func(_ *minewarden.Process, l *minewarden.Lost) bool { return l.Where == lossNames[lostProtect] }
	var stay []*exec.Cmd
	for range 3 * few {
		stay = append(stay, play(t, "flip and stay"))
	}
	waitData(w, "the table is full", full)
	for _, cmd := range stay {
		if err := cmd.Process.Kill(); err != nil {
			t.Fatal(err)
		}
		_ = cmd.Wait() // killed
	}
	// Soon those that ended are gone from the table, and there is a place again.
	later := map[int]bool{}
	for end := time.Now().Add(patience); ; {
		later[finish(t, play(t, "flip"))] = true
		for pid := range later {
			if len(of[*minewarden.Protect](w, pid)) > 0 {
				return
			}
		}
		if time.Now().After(end) {
			t.Fatal("no place in the table although all processes ended")
		}
	}
}

// flipAndStay keeps its place in the table until it is killed.
func flipAndStay(role string) error {
	if err := flip(role); err != nil {
		return err
	}
	return unix.Pause()
}

// threadsBurn computes on more threads than the test's table holds, long enough for each to be kept account of.
func threadsBurn(string) error {
	done := make(chan bool)
	for range 4 * few {
		go func() {
			runtime.LockOSThread()
			var ts unix.Timespec
			for ts.Nano() < 120e6 {
				if unix.ClockGettime(unix.CLOCK_THREAD_CPUTIME_ID, &ts) != nil {
					break
				}
			}
			done <- true
			select {} // the thread stays
		}()
	}
	for range 4 * few {
		<-done
	}
	select {}
}

// TestManyThreads fills the table of threads: who is forgotten is counted.
func TestManyThreads(t *testing.T) {
	w := start(t, func(c *Config) { c.entries = few })
	play(t, "threads")
	waitData(w, "threads were forgotten", func(_ *minewarden.Process, l *minewarden.Lost) bool {
		return strings.HasPrefix(l.Where, "threads") && l.N > 0
	})
}

// TestNoneForgotten lets threads come and go through a table that is large enough.
func TestNoneForgotten(t *testing.T) {
	w := start(t, nil)
	play(t, "threads")
	reports := map[int32]bool{}
	waitData(w, "threads that compute", func(_ *minewarden.Process, d *minewarden.Rounding) bool {
		reports[d.TID] = true
		return len(reports) >= few
	})
	if n := losses(w); n != 0 {
		t.Errorf("%d counted as lost", n)
	}
}
