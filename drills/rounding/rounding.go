// Package rounding changes the floating-point rounding mode as RandomX does: through all four modes, with denormals flushed to
// zero, at full speed. It hashes nothing.
package rounding

import (
	"context"
	"runtime"
	"time"

	"github.com/minewarden/minewarden/drills/drill"
)

const (
	name    = "rounding"
	lasts   = 25 * time.Second // the rule wants 20 seconds of CPU behind it
	turns   = 20000            // of the loop in one mode: some 50 µs, so that the scheduler meets every mode
	threads = 2
)

// Drill is the drill.
func Drill() drill.Drill {
	return drill.Drill{
		Name: name, Title: "a loop that goes through all rounding modes, as RandomX does", Technique: []string{"T1496.001"}, Rules: []string{"pow/randomx"}, Run: run, Child: child,
	}
}

func run(ctx context.Context, _ drill.Env) error {
	return drill.Wait(ctx, drill.Command(ctx, name, drill.Self, "drill"))
}

func child([]string) error {
	done := make(chan struct{})
	end := time.Now().Add(lasts)
	for range threads {
		go func() {
			runtime.LockOSThread() // the mode belongs to the thread
			defer func() { done <- struct{}{} }()
			for mode := uint32(0); time.Now().Before(end); mode++ {
				spin(mode&3, turns)
			}
		}()
	}
	for range threads {
		<-done
	}
	return nil
}
