package app

import (
	"runtime"
	"testing"
)

func TestMemoryLimit(t *testing.T) {
	for alive, want := range map[uint64]int64{0: maxMemory, 20 << 20: maxMemory, 25 << 20: maxMemory, 40 << 20: 64 << 20, 200 << 20: 264 << 20} {
		if got := memoryLimit(alive); got != want {
			t.Errorf("with %d MiB alive: %d MiB", alive>>20, got>>20)
		}
	}
	held := make([]byte, 8<<20)
	runtime.GC()
	if n := alive(); n < uint64(len(held)) {
		t.Errorf("%d bytes are alive", n)
	}
	runtime.KeepAlive(held)
}

func TestAfterEachCollection(t *testing.T) {
	called := make(chan struct{}, 100)
	afterEachCollection(func() { called <- struct{}{} })
	for range 3 {
		runtime.GC()
		<-called
	}
}
