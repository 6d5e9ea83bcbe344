package ebpf

import (
	"time"

	"golang.org/x/sys/unix"

	"github.com/minewarden/minewarden"
)

// tick is the unit of ProcessKey.Start in the kernel's nanoseconds.
const tickNanos = uint64(time.Second) / minewarden.TicksPerSecond

// A clock turns nanoseconds after boot into the time of day. It is made anew about every second, since the time of day can be set.
type clock struct{ boot time.Time }

func newClock() clock {
	return clock{time.Now().Add(-time.Duration(bootNow())).Round(0)}
}

func (c clock) at(sinceBoot uint64) time.Time { return c.boot.Add(time.Duration(sinceBoot)) }

// bootNow returns nanoseconds after boot, suspend included: the clock of process start times.
func bootNow() uint64 {
	var ts unix.Timespec
	if err := unix.ClockGettime(unix.CLOCK_BOOTTIME, &ts); err != nil {
		panic(err) // every kernel that loads the programs has this clock
	}
	return uint64(ts.Nano())
}

func key(tgid uint32, start uint64) minewarden.ProcessKey {
	return minewarden.ProcessKey{PID: int32(tgid), Start: start / tickNanos}
}
