package ebpf

import (
	"bufio"
	"errors"
	"fmt"
	"io/fs"
	"net"
	"net/netip"
	"os"
	"os/exec"
	"runtime"
	"strings"
	"syscall"
	"testing"
	"time"
	"unsafe"

	"golang.org/x/sys/unix"

	"github.com/minewarden/minewarden"
)

// roleEnv makes the test binary do one thing as a process of its own: the sensor leaves out what its own process asks.
const roleEnv = "MINEWARDEN_EBPF_TEST_ROLE"

func TestMain(m *testing.M) {
	role, args, _ := strings.Cut(os.Getenv(roleEnv), " ")
	if role == "" {
		os.Exit(m.Run())
	}
	if err := roles()[role](args); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

func roles() map[string]func(string) error {
	return map[string]func(string) error{
		"flip": flip, "flip and stay": flipAndStay, "tune": tune, "reach": reach, "burn": burn, "storm": storm, "threads": threadsBurn, "ips": func(string) error { return nil },
	}
}

// play starts the test binary in a role. It is stopped, if it still runs, at the end of the test.
func play(t *testing.T, role string) *exec.Cmd {
	t.Helper()
	cmd := exec.Command("/proc/self/exe")
	cmd.Env = append(os.Environ(), roleEnv+"="+role)
	cmd.Stderr = t.Output()
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if cmd.ProcessState == nil {
			_ = cmd.Process.Kill()
			_ = cmd.Wait()
		}
	})
	return cmd
}

func finish(t *testing.T, cmd *exec.Cmd) int {
	t.Helper()
	if err := cmd.Wait(); err != nil {
		t.Fatalf("%s: %v", cmd, err)
	}
	return cmd.Process.Pid
}

const flips = 25

// flip does what a JIT compiler with W^X does.
func flip(string) error {
	mem, err := unix.Mmap(-1, 0, 1<<16, unix.PROT_READ|unix.PROT_WRITE, unix.MAP_PRIVATE|unix.MAP_ANON)
	if err != nil {
		return err
	}
	for range flips {
		if err := unix.Mprotect(mem, unix.PROT_READ|unix.PROT_EXEC); err != nil {
			return err
		}
		if err := unix.Mprotect(mem, unix.PROT_READ|unix.PROT_WRITE); err != nil {
			return err
		}
	}
	return nil
}

func TestProtect(t *testing.T) {
	w := start(t, nil)
	pid := finish(t, play(t, "flip"))
	waitData(w, "flips", func(p *minewarden.Process, _ *minewarden.Protect) bool {
		var sum uint32
		for _, d := range of[*minewarden.Protect](w, pid) {
			sum += d.Flips
			if d.WX || d.Len != 1<<16 {
				t.Fatalf("got %+v", d)
			}
		}
		if sum > 2*flips {
			t.Fatalf("%d flips, want %d", sum, 2*flips)
		}
		return sum == 2*flips
	})
}

const watchdog = "/proc/sys/kernel/nmi_watchdog" // not every kernel lets root write it

func tune(string) error {
	if err := unix.Setpriority(unix.PRIO_PROCESS, 0, 7); err != nil {
		return fmt.Errorf("nice: %w", err)
	}
	var set unix.CPUSet
	set.Set(0)
	if err := unix.SchedSetaffinity(0, &set); err != nil {
		return fmt.Errorf("affinity: %w", err)
	}
	attr := unix.SchedAttr{Size: unix.SizeofSchedAttr, Policy: unix.SCHED_IDLE}
	if err := unix.SchedSetAttr(0, &attr, 0); err != nil {
		return fmt.Errorf("policy: %w", err)
	}
	mem, err := unix.Mmap(-1, 0, 3<<20, unix.PROT_READ|unix.PROT_WRITE, unix.MAP_PRIVATE|unix.MAP_ANON)
	if err != nil {
		return err
	}
	if err := unix.Mlock(mem); err != nil {
		return fmt.Errorf("mlock: %w", err)
	}
	if err := unix.Munmap(mem); err != nil {
		return err
	}
	// Opened for writing, never written.
	for _, path := range []string{"/proc/sys/vm/nr_hugepages", watchdog, "/proc/self/oom_score_adj"} {
		f, err := os.OpenFile(path, os.O_WRONLY, 0)
		if path == watchdog && errors.Is(err, fs.ErrPermission) {
			continue
		}
		if err != nil {
			return err
		}
		if err := f.Close(); err != nil {
			return err
		}
	}
	if f, err := os.Open("/dev/cpu/0/msr"); err == nil {
		return f.Close()
	}
	return nil
}

func TestTune(t *testing.T) {
	w := start(t, nil)
	pid := finish(t, play(t, "tune"))
	f, noWatchdog := os.OpenFile(watchdog, os.O_WRONLY, 0)
	if noWatchdog == nil {
		f.Close()
	}
	for _, want := range []minewarden.Tune{
		{What: "nice", Value: "7"},
		{What: "affinity", Value: "0"},
		{What: "policy", Value: "idle"},
		{What: "mlock", Value: "3145728"},
		{What: "hugepages", Value: "nr_hugepages"},
		{What: "watchdog"},
		{What: "oom_score"},
		{What: "msr"},
	} {
		if want.What == "watchdog" && noWatchdog != nil {
			continue
		}
		waitData(w, want.What, func(p *minewarden.Process, d *minewarden.Tune) bool {
			return p.Key.PID == int32(pid) && d.What == want.What && (want.What == "msr" || *d == want)
		})
	}
}

// reach reads and stops its own child in every way.
func reach(string) error {
	runtime.LockOSThread() // a tracer is a thread
	child := exec.Command("/bin/sleep", "60")
	if err := child.Start(); err != nil {
		return err
	}
	defer func() {
		_ = child.Process.Kill()
		_ = child.Wait()
	}()
	pid := child.Process.Pid
	fmt.Println(pid)
	buf := make([]byte, 1)
	local := []unix.Iovec{{Base: &buf[0], Len: 1}}
	// The address is of this process; whether the child has it too does not matter to who looks on.
	if _, err := unix.ProcessVMReadv(pid, local, []unix.RemoteIovec{{Base: 0, Len: 0}}, 0); err != nil {
		return fmt.Errorf("process_vm_readv: %w", err)
	}
	if _, err := unix.ProcessVMWritev(pid, local, []unix.RemoteIovec{{Base: 0, Len: 0}}, 0); err != nil {
		return fmt.Errorf("process_vm_writev: %w", err)
	}
	f, err := os.OpenFile(fmt.Sprintf("/proc/%d/mem", pid), os.O_RDWR, 0)
	if err != nil {
		return err
	}
	if err := f.Close(); err != nil {
		return err
	}
	if err := unix.PtraceAttach(pid); err != nil {
		return fmt.Errorf("attach: %w", err)
	}
	var status unix.WaitStatus
	if _, err := unix.Wait4(pid, &status, 0, nil); err != nil {
		return err
	}
	if err := unix.PtraceDetach(pid); err != nil {
		return fmt.Errorf("detach: %w", err)
	}
	return unix.PtraceSeize(pid)
}

func TestAccess(t *testing.T) {
	w := start(t, nil)
	cmd := exec.Command("/proc/self/exe")
	cmd.Env = append(os.Environ(), roleEnv+"=reach")
	cmd.Stderr = t.Output()
	out, err := cmd.Output()
	if err != nil {
		t.Fatal(err)
	}
	var target int32
	if _, err := fmt.Fscan(bufio.NewReader(strings.NewReader(string(out))), &target); err != nil {
		t.Fatal(err)
	}
	for _, how := range accessNames[1:] {
		_, d := waitData(w, how, func(p *minewarden.Process, d *minewarden.Access) bool {
			return p.Key.PID == int32(cmd.Process.Pid) && d.How == how
		})
		if d.Target.PID != target {
			t.Errorf("%s: target is %s, want pid %d", how, d.Target, target)
		}
		if strings.HasPrefix(how, "ptrace") && d.Target.Start == 0 {
			t.Errorf("%s: target without its start", how)
		}
	}
}

func TestConnect(t *testing.T) {
	w := start(t, nil)
	me := int32(os.Getpid())
	listener, err := net.Listen("tcp4", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	open := listener.Addr().(*net.TCPAddr).AddrPort()

	// A port that nobody listens on, as it was just given back.
	other, err := net.Listen("tcp", "[::1]:0")
	if err != nil {
		t.Fatal(err)
	}
	shut := other.Addr().(*net.TCPAddr).AddrPort()
	if err := other.Close(); err != nil {
		t.Fatal(err)
	}
	is := func(remote netip.AddrPort, result string) func(*minewarden.Process, *minewarden.Connect) bool {
		return func(p *minewarden.Process, c *minewarden.Connect) bool {
			return p.Key.PID == me && c.Remote == remote && c.Result == result
		}
	}

	t.Run("accepted", func(t *testing.T) { // not blocking, as the Go runtime does
		w.t = t
		conn, err := net.Dial("tcp", open.String())
		if err != nil {
			t.Fatal(err)
		}
		defer conn.Close()
		_, c := waitData(w, "connect", is(open, "ok"))
		if c.Proto != "tcp" || c.Local.String() != conn.LocalAddr().String() || c.Socket == 0 {
			t.Errorf("got %+v, want local %s", c, conn.LocalAddr())
		}
	})
	t.Run("refused", func(t *testing.T) {
		w.t = t
		if conn, err := net.Dial("tcp", shut.String()); err == nil {
			conn.Close()
			t.Fatal("somebody listens there now")
		}
		waitData(w, "connect", is(shut, "ECONNREFUSED"))
	})
	t.Run("blocking, refused", func(t *testing.T) {
		w.t = t
		before := len(of[*minewarden.Connect](w, int(me)))
		fd, err := unix.Socket(unix.AF_INET, unix.SOCK_STREAM|unix.SOCK_CLOEXEC, 0)
		if err != nil {
			t.Fatal(err)
		}
		defer unix.Close(fd)
		to := netip.AddrPortFrom(netip.MustParseAddr("127.0.0.9"), shut.Port())
		err = unix.Connect(fd, &unix.SockaddrInet4{Port: int(to.Port()), Addr: to.Addr().As4()})
		if err != unix.ECONNREFUSED {
			t.Fatalf("connect: %v", err)
		}
		waitData(w, "connect", is(to, "ECONNREFUSED"))
		// What comes later comes after: so a second event of the same call would be here by now.
		conn, err := net.Dial("udp", "127.0.0.1:9")
		if err != nil {
			t.Fatal(err)
		}
		conn.Close()
		_, c := waitData(w, "udp", is(netip.MustParseAddrPort("127.0.0.1:9"), "ok"))
		if c.Proto != "udp" {
			t.Errorf("got %+v", c)
		}
		if n := len(of[*minewarden.Connect](w, int(me))) - before; n != 2 {
			t.Errorf("%d events of two connections", n)
		}
	})
	t.Run("no route", func(t *testing.T) {
		w.t = t
		done := make(chan error)
		go func() {
			runtime.LockOSThread() // and never unlocked: the thread ends with its own network
			done <- func() error {
				if err := unix.Unshare(unix.CLONE_NEWNET); err != nil {
					return err
				}
				fd, err := unix.Socket(unix.AF_INET, unix.SOCK_STREAM|unix.SOCK_CLOEXEC, 0)
				if err != nil {
					return err
				}
				defer unix.Close(fd)
				if err := unix.Connect(fd, &unix.SockaddrInet4{Port: 3333, Addr: [4]byte{192, 0, 2, 1}}); err != unix.ENETUNREACH {
					return fmt.Errorf("connect: %w", err)
				}
				return nil
			}()
		}()
		if err := <-done; err != nil {
			t.Fatal(err)
		}
		waitData(w, "connect", is(netip.MustParseAddrPort("192.0.2.1:3333"), "ENETUNREACH"))
	})
	t.Run("no answer", func(t *testing.T) {
		w.t = t
		// A full queue of a listener that accepts nobody leaves first packets unanswered.
		fd, err := unix.Socket(unix.AF_INET, unix.SOCK_STREAM|unix.SOCK_CLOEXEC, 0)
		if err != nil {
			t.Fatal(err)
		}
		defer unix.Close(fd)
		if err := unix.Bind(fd, &unix.SockaddrInet4{Addr: [4]byte{127, 0, 0, 7}}); err != nil {
			t.Fatal(err)
		}
		if err := unix.Listen(fd, 0); err != nil {
			t.Fatal(err)
		}
		name, err := unix.Getsockname(fd)
		if err != nil {
			t.Fatal(err)
		}
		to := name.(*unix.SockaddrInet4)
		for range 4 {
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
		waitData(w, "connect without result", is(remote, ""))
	})
}

func TestHidden(t *testing.T) {
	k := mustLoad(t)
	child := exec.Command("/bin/sleep", "60")
	if err := child.Start(); err != nil {
		t.Fatal(err)
	}
	defer func() {
		_ = child.Process.Kill()
		_ = child.Wait()
	}()
	hide := liveKey(int32(child.Process.Pid))
	empty := t.TempDir()
	r := &run{kernel: k}
	before, err := r.missing(map[minewarden.ProcessKey]bool{hide: true})
	if err != nil || before[hide] {
		t.Fatalf("hidden although it is not: %v, %v", before, err)
	}

	type result struct {
		found map[minewarden.ProcessKey]bool
		err   error
	}
	results := make(chan result)
	go func() {
		runtime.LockOSThread() // and never unlocked: the thread ends with its own mounts
		var res result
		defer func() { results <- res }()
		if res.err = unix.Unshare(unix.CLONE_NEWNS); res.err != nil {
			return
		}
		if res.err = unix.Mount("", "/", "", unix.MS_REC|unix.MS_PRIVATE, ""); res.err != nil {
			return
		}
		if res.err = unix.Mount(empty, fmt.Sprintf("/proc/%d", hide.PID), "", unix.MS_BIND, ""); res.err != nil {
			return
		}
		res.found, res.err = r.missing(nil)
		if res.err == nil {
			res.found, res.err = r.missing(res.found)
		}
	}()
	res := <-results
	if res.err != nil {
		t.Fatal(res.err)
	}
	if len(res.found) != 1 || !res.found[hide] {
		t.Errorf("got %v, want %s alone", res.found, hide)
	}
}

// storm asks for many connections that leave no packet, paced.
func storm(args string) error {
	var count, perSecond int
	if _, err := fmt.Sscan(args, &count, &perSecond); err != nil {
		return err
	}
	fd, err := unix.Socket(unix.AF_INET, unix.SOCK_DGRAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return err
	}
	to := unix.RawSockaddrInet4{Family: unix.AF_INET, Port: 0x0900, Addr: [4]byte{127, 0, 0, 1}}
	begin := time.Now()
	for n := range count {
		if _, _, errno := syscall.RawSyscall(unix.SYS_CONNECT, uintptr(fd), uintptr(unsafe.Pointer(&to)), unix.SizeofSockaddrInet4); errno != 0 {
			return errno
		}
		if n%500 == 499 {
			time.Sleep(time.Until(begin.Add(time.Duration(n) * time.Second / time.Duration(perSecond))))
		}
	}
	return unix.Close(fd)
}

func losses(w *watch) (n uint64) {
	for _, l := range of[*minewarden.Lost](w, 0) {
		n += l.N
	}
	return n
}

// TestStorm holds the sensor to losing nothing at 50,000 events a second.
func TestStorm(t *testing.T) {
	const count = 100_000
	w := start(t, nil)
	pid := finish(t, play(t, fmt.Sprintf("storm %d 50000", count)))
	waitData(w, "exit of the storm", func(p *minewarden.Process, _ *minewarden.Exit) bool { return p.Key.PID == int32(pid) })
	if got := len(of[*minewarden.Connect](w, pid)); got != count {
		t.Errorf("%d of %d connections seen", got, count)
	}
	if n := losses(w); n != 0 {
		t.Errorf("%d events lost", n)
	}
}

// TestLoss overruns a ring that is far too small: all that is not seen must be counted.
func TestLoss(t *testing.T) {
	const count = 50_000
	w := start(t, func(c *Config) { c.RingKiB = 4 })
	pid := finish(t, play(t, fmt.Sprintf("storm %d 1000000", count)))
	waitData(w, "losses", func(_ *minewarden.Process, l *minewarden.Lost) bool {
		return strings.Contains(l.Where, "connect") && int(losses(w))+len(of[*minewarden.Connect](w, pid)) >= count
	})
	if got := len(of[*minewarden.Connect](w, pid)); got >= count {
		t.Errorf("%d of %d connections seen through a ring of 4 KiB", got, count)
	}
}
