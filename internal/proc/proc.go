// Package proc reads and holds single processes of this machine: by pidfd, and never by a bare pid, for those are used
// again.
package proc

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"os"
	"strconv"
	"strings"
	"time"

	"golang.org/x/sys/unix"
)

// ErrGone says that the process ended, or that its pid is another one's now.
var ErrGone = errors.New("process is gone")

// A Stat is what /proc/PID/stat says.
type Stat struct {
	PID     int32
	PPID    int32
	Session int32
	Comm    string
	State   byte   // R S D T t Z X I
	Start   uint64 // 1/100 s after boot
	CPU     uint64 // user and system, 1/100 s
	Threads int
	Kernel  bool // a kernel thread
}

// Dead reports whether nothing of the process can run any more. A first thread that ended leaves the others running.
func (s *Stat) Dead() bool { return (s.State == 'Z' || s.State == 'X') && s.Threads <= 1 }

const (
	maxSmall   = 64 << 10   // of a /proc file that should be small
	pfKthread  = 0x00200000 // include/linux/sched.h
	maxThreads = 64 << 10
)

// ReadStat reads the stat of pid.
func ReadStat(pid int32) (Stat, error) { return readStat("/proc/" + strconv.Itoa(int(pid)) + "/stat") }

func readStat(path string) (Stat, error) {
	b, err := ReadSmall(path)
	if err != nil {
		if errors.Is(err, os.ErrNotExist) || errors.Is(err, unix.ESRCH) {
			err = fmt.Errorf("%w: %w", ErrGone, err)
		}
		return Stat{}, err
	}
	s, err := ParseStat(b)
	if err != nil {
		return Stat{}, fmt.Errorf("parse %s: %w", path, err)
	}
	return s, nil
}

// ParseStat parses the content of /proc/PID/stat. The name in it is the process's own choice and may hold anything.
func ParseStat(b []byte) (Stat, error) {
	open, end := bytes.IndexByte(b, '('), bytes.LastIndexByte(b, ')')
	if open < 1 || end < open {
		return Stat{}, fmt.Errorf("no name in %q", b)
	}
	f := strings.Fields(string(b[end+1:])) // f[0] is field 3
	if len(f) < 20 || len(f[0]) != 1 {
		return Stat{}, fmt.Errorf("%d fields after the name, want 20", len(f))
	}
	var err error
	num := func(s string, bits int) uint64 {
		n, e := strconv.ParseInt(s, 10, bits)
		if e != nil && bits == 64 {
			u, e2 := strconv.ParseUint(s, 10, 64)
			n, e = int64(u), e2
		}
		err = errors.Join(err, e)
		return uint64(n)
	}
	s := Stat{
		PID: int32(num(strings.TrimSpace(string(b[:open])), 32)), Comm: string(b[open+1 : end]), State: f[0][0], PPID: int32(num(f[1], 32)),
		Session: int32(num(f[3], 32)), Kernel: num(f[6], 64)&pfKthread != 0, CPU: num(f[11], 64) + num(f[12], 64),
		Threads: int(num(f[17], 32)), Start: num(f[19], 64),
	}
	return s, err
}

// ReadSmall reads a file of at most 64 KiB; what is longer is cut.
func ReadSmall(path string) ([]byte, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	b, err := io.ReadAll(io.LimitReader(f, maxSmall))
	return b, errors.Join(err, f.Close())
}

// Boot returns this boot's id.
func Boot() (string, error) {
	b, err := ReadSmall("/proc/sys/kernel/random/boot_id")
	return strings.TrimSpace(string(b)), err
}

// All reads the stat of every process, by pid. One that ends meanwhile is left out.
func All() (map[int32]Stat, error) {
	d, err := os.Open("/proc")
	if err != nil {
		return nil, fmt.Errorf("list processes: %w", err)
	}
	names, err := d.Readdirnames(-1)
	if err = errors.Join(err, d.Close()); err != nil {
		return nil, fmt.Errorf("list processes: %w", err)
	}
	all := make(map[int32]Stat, len(names))
	for _, name := range names {
		if name[0] < '1' || name[0] > '9' {
			continue
		}
		s, err := readStat("/proc/" + name + "/stat")
		if errors.Is(err, ErrGone) {
			continue
		}
		if err != nil {
			return nil, fmt.Errorf("list processes: %w", err)
		}
		all[s.PID] = s
	}
	return all, nil
}

// Threads reads the stat of every thread of pid.
func Threads(pid int32) ([]Stat, error) {
	dir := "/proc/" + strconv.Itoa(int(pid)) + "/task"
	d, err := os.Open(dir)
	if errors.Is(err, os.ErrNotExist) {
		return nil, fmt.Errorf("threads of pid %d: %w", pid, ErrGone)
	}
	if err != nil {
		return nil, fmt.Errorf("threads of pid %d: %w", pid, err)
	}
	names, err := d.Readdirnames(maxThreads)
	if errors.Is(err, io.EOF) {
		err = nil
	}
	if err = errors.Join(err, d.Close()); err != nil && !errors.Is(err, unix.ENOENT) && !errors.Is(err, unix.ESRCH) {
		return nil, fmt.Errorf("threads of pid %d: %w", pid, err)
	}
	all := make([]Stat, 0, len(names))
	for _, name := range names {
		s, err := readStat(dir + "/" + name + "/stat")
		if errors.Is(err, ErrGone) {
			continue
		}
		if err != nil {
			return nil, fmt.Errorf("threads of pid %d: %w", pid, err)
		}
		all = append(all, s)
	}
	return all, nil
}

// A Handle holds one process: its pid cannot become another's under it. Close it.
type Handle struct {
	Stat // as it was when it was opened
	fd   int
}

// Open holds pid if it started at start; 0 stands for any. Of another or none the error wraps ErrGone.
func Open(pid int32, start uint64) (*Handle, error) {
	fd, err := unix.PidfdOpen(int(pid), 0)
	if errors.Is(err, unix.ESRCH) || errors.Is(err, unix.EINVAL) {
		err = ErrGone // EINVAL: the pid is a thread's now
	}
	if err != nil {
		return nil, fmt.Errorf("hold pid %d: %w", pid, err)
	}
	h := &Handle{fd: fd}
	// Read after the pidfd was opened: if the process that is there now started when it should, it is the held one.
	h.Stat, err = ReadStat(pid)
	if err == nil && start != 0 && h.Start != start {
		err = ErrGone
	}
	if err != nil {
		return nil, errors.Join(fmt.Errorf("hold pid %d: %w", pid, err), h.Close())
	}
	return h, nil
}

// Close lets go of the process.
func (h *Handle) Close() error { return unix.Close(h.fd) }

// Signal sends sig; the error wraps ErrGone if the process has ended.
func (h *Handle) Signal(sig unix.Signal) error {
	err := unix.PidfdSendSignal(h.fd, sig, nil, 0)
	if errors.Is(err, unix.ESRCH) {
		err = ErrGone
	}
	if err != nil {
		return fmt.Errorf("send %s to pid %d: %w", unix.SignalName(sig), h.PID, err)
	}
	return nil
}

// WaitExit returns whether the process ended within d. A zombie has ended.
func (h *Handle) WaitExit(d time.Duration) (bool, error) {
	deadline := time.Now().Add(d)
	for {
		fds := []unix.PollFd{{Fd: int32(h.fd), Events: unix.POLLIN}}
		n, err := unix.Poll(fds, int(max(time.Until(deadline), 0)/time.Millisecond))
		if err == unix.EINTR {
			continue
		}
		if err != nil {
			return false, fmt.Errorf("wait for pid %d: %w", h.PID, err)
		}
		return n > 0, nil
	}
}

// Still reports that no thread of pid can run user code or start another process now: each is stopped or dead, is held by a freezer, or
// waits for what vfork made. A process that is gone is still.
func Still(pid int32, frozen bool) (bool, error) {
	if frozen { // a frozen v2 cgroup shows parked threads as S
		return true, nil
	}
	return each(pid, func(t *Stat) bool {
		// One that sleeps in the kernel stops before it runs user code, but may be on its way through fork.
		return standing(t.State) || t.State == 'D' && inVfork(pid, t.PID)
	})
}

// Blocked is Still, but takes every thread that sleeps in the kernel until a device or a lock lets it go for one that stands.
func Blocked(pid int32) (bool, error) {
	return each(pid, func(t *Stat) bool { return standing(t.State) || t.State == 'D' })
}

func standing(state byte) bool { return strings.IndexByte("TtZXx", state) >= 0 }

// each reports that all threads of pid are as ok says. Of a process that is gone they are.
func each(pid int32, ok func(*Stat) bool) (bool, error) {
	threads, err := Threads(pid)
	if errors.Is(err, ErrGone) {
		return true, nil
	}
	if err != nil {
		return false, err
	}
	for i := range threads {
		if !ok(&threads[i]) {
			return false, nil
		}
	}
	return true, nil
}

// inVfork reports that a thread waits until what it made by vfork runs a program of its own: that child is there already, and no other can
// come. Any other wait within fork is for something deeper. Who may not ask the kernel is told no.
func inVfork(pid, tid int32) bool {
	at, err := os.ReadFile("/proc/" + strconv.Itoa(int(pid)) + "/task/" + strconv.Itoa(int(tid)) + "/wchan")
	if err != nil {
		return false
	}
	switch string(at) {
	case "kernel_clone", "_do_fork", "wait_for_vfork_done":
		return true
	}
	return false
}

// Stopped reports whether a signal stopped pid: one of its threads stands, and none runs.
func Stopped(pid int32) (bool, error) {
	threads, err := Threads(pid)
	if errors.Is(err, ErrGone) {
		return false, nil
	}
	stopped := false
	for _, t := range threads {
		switch t.State {
		case 'T':
			stopped = true
		case 'R', 'S':
			return false, err
		}
	}
	return stopped, err
}

// CPU sums what the threads of pid used, in 1/100 s.
func CPU(pid int32) (uint64, error) {
	s, err := ReadStat(pid)
	if errors.Is(err, ErrGone) {
		return 0, nil
	}
	return s.CPU, err
}
