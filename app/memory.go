package app

import (
	"runtime"
	"runtime/debug"
	runtimemetrics "runtime/metrics"
)

// The agent shares the machine with the work that it protects: it collects garbage early, and the runtime's own memory stays
// below maxMemory as long as there is any to give back. What is mapped from the binary comes on top, about 20 MiB.
const (
	maxMemory = 44 << 20
	gcPercent = 50
	// overhead is what the runtime has beside the heap.
	overhead = 12 << 20
)

// Frugal makes this process an agent as far as memory goes. Call it before NewAgent, whose reading of rules is what peaks.
func Frugal() {
	debug.SetGCPercent(gcPercent)
	debug.SetMemoryLimit(maxMemory)
	afterEachCollection(func() { debug.SetMemoryLimit(memoryLimit(alive())) })
}

// memoryLimit leaves room for some garbage: with a limit below what is alive, as thousands of incidents are, the runtime does nothing but
// collect.
func memoryLimit(alive uint64) int64 {
	const step = 4 << 20 // so that it seldom changes, for which everything stops
	limit := alive + alive/4 + overhead
	return max(maxMemory, int64((limit+step-1)/step*step))
}

// alive is what the last collection left in the heap.
func alive() uint64 {
	s := []runtimemetrics.Sample{{Name: "/gc/heap/live:bytes"}}
	runtimemetrics.Read(s)
	if s[0].Value.Kind() != runtimemetrics.KindUint64 {
		return 0
	}
	return s[0].Value.Uint64()
}

// afterEachCollection calls f once for each, for as long as the process lives.
func afterEachCollection(f func()) {
	var arm func()
	arm = func() {
		runtime.AddCleanup(new([32]byte), func(struct{}) {
			f()
			arm()
		}, struct{}{})
	}
	arm()
}
