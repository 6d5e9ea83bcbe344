package ebpf

import (
	"runtime"

	"golang.org/x/sys/unix"
)

// startProbe starts the goroutine that wakes on a CPU so that the thread which burns it is switched out and in. It returns
// what stops it and waits for it.
func (r *run) startProbe() (stop func()) {
	r.probes = make(chan int, maxProbesPerTick)
	quit, done := make(chan struct{}), make(chan struct{})
	go func() {
		defer close(done)
		// The thread is bound to CPUs at will. It is never unlocked, so the runtime ends it with the goroutine.
		runtime.LockOSThread()
		for {
			select {
			case <-quit:
				return
			case cpu := <-r.probes:
				if err := wakeOn(cpu, quit); err != nil {
					r.env.Log.Warn("wake on a CPU", "cpu", cpu, "error", err)
				}
			}
		}
	}()
	return func() { close(quit); <-done }
}

func wakeOn(cpu int, quit <-chan struct{}) error {
	var set unix.CPUSet
	set.Set(cpu)
	if err := unix.SchedSetaffinity(0, &set); err != nil {
		return err
	}
	sleep := unix.NsecToTimespec(probeSleep.Nanoseconds())
	for range probeWakes {
		select {
		case <-quit:
			return nil
		default:
		}
		if err := unix.Nanosleep(&sleep, nil); err != nil && err != unix.EINTR {
			return err
		}
	}
	return nil
}
