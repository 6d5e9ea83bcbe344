// Package sensortest decides when a test may be skipped because the machine cannot run it. It is the only place that skips
// tests of the kernel, so that a skip which should have been a run is found.
package sensortest

import (
	"errors"
	"os"
	"testing"

	"github.com/minewarden/minewarden"
)

// Need continues when err is nil. When err says that this host does not support what the test needs, the test is skipped,
// unless the host should have it: in CI, and for root on a kernel with type information, a skip is a failure. Every other
// error is a failure.
func Need(t testing.TB, err error) {
	t.Helper()
	switch {
	case err == nil:
	case !errors.Is(err, minewarden.ErrUnsupported):
		t.Fatal(err)
	case mustRun():
		t.Fatalf("this host should support it: %v", err)
	default:
		t.Skip(err)
	}
}

// Root skips the test unless it runs as root. In CI that is a failure.
func Root(t testing.TB) {
	t.Helper()
	if os.Geteuid() == 0 {
		return
	}
	if inCI() {
		t.Fatal("needs root, which CI should have")
	}
	t.Skip("needs root")
}

func inCI() bool { return os.Getenv("CI") == "true" }

func mustRun() bool {
	if inCI() {
		return true
	}
	_, err := os.Stat("/sys/kernel/btf/vmlinux")
	return err == nil && os.Geteuid() == 0
}
