package evidence

import (
	"runtime"
	"time"

	"golang.org/x/sys/unix"
)

const (
	ioIdle       = 3 << 13   // IOPRIO_CLASS_IDLE of linux/ioprio.h
	ioLow        = 2<<13 | 7 // the lowest of IOPRIO_CLASS_BE
	ioWhoProcess = 1         // which here means a thread

	// patience is how long a collection lets everybody else go first. Beside a miner that runs on every core, a thread of nice 19
	// gets 1 % of one.
	patience = 4 * time.Second
	// slow is the progress, in bytes a second, below which it then stops to.
	slow = 100 << 20
)

// thread is the operating system's thread that collects: below everybody else, as long as that gets it anywhere.
type thread struct {
	tid   int
	began time.Time
	eager bool
}

// lower binds the goroutine to a thread, and lowers that. The goroutine must not unlock it: the thread ends with it.
func lower(nice int) *thread {
	runtime.LockOSThread()
	t := &thread{tid: unix.Gettid(), began: time.Now()}
	t.set(nice, ioIdle)
	return t
}

// set is best effort: a container may forbid it, and what is collected is the same.
func (t *thread) set(nice, io int) {
	if err := unix.Setpriority(unix.PRIO_PROCESS, t.tid, nice); err != nil {
		return
	}
	unix.Syscall(unix.SYS_IOPRIO_SET, ioWhoProcess, uintptr(t.tid), uintptr(io)) //nolint:errcheck // best effort
}

// pace is told how many bytes were read so far. A collection that starves is worth nothing: it becomes as others are.
func (t *thread) pace(read int64) {
	if t.eager {
		return
	}
	if d := time.Since(t.began); d > patience && float64(read) < slow*d.Seconds() {
		t.eager = true
		t.set(0, ioLow)
	}
}
