// Package memfd runs a copy of this program that exists in memory only.
package memfd

import (
	"context"
	"fmt"
	"io"
	"os"
	"time"

	"golang.org/x/sys/unix"

	"github.com/minewarden/minewarden/drills/drill"
)

const name = "memfd"

// Drill is the drill.
func Drill() drill.Drill {
	return drill.Drill{
		Name: name, Title: "a program that runs from memory, without a file", Technique: []string{"T1620"}, Rules: []string{"lineage/memory-run", "lineage/service-run", "lineage/service-chain"},
		Run: run, Child: func([]string) error { time.Sleep(5 * time.Second); return nil },
	}
}

func run(ctx context.Context, _ drill.Env) error {
	fd, err := unix.MemfdCreate("drill", unix.MFD_CLOEXEC)
	if err != nil {
		return fmt.Errorf("make a file in memory: %w", err)
	}
	mem := os.NewFile(uintptr(fd), "memfd:drill")
	defer mem.Close()
	self, err := os.Open(drill.Self)
	if err != nil {
		return fmt.Errorf("open this program: %w", err)
	}
	defer self.Close()
	if _, err := io.Copy(mem, self); err != nil {
		return fmt.Errorf("copy this program into memory: %w", err)
	}
	// A file that is open for writing cannot be run, so it is opened again for reading.
	ro, err := os.Open(fmt.Sprintf("/proc/self/fd/%d", fd))
	if err != nil {
		return fmt.Errorf("open the file in memory: %w", err)
	}
	defer ro.Close()
	if err := mem.Close(); err != nil {
		return fmt.Errorf("close the file in memory: %w", err)
	}
	return drill.Wait(ctx, drill.Command(ctx, name, fmt.Sprintf("/proc/%d/fd/%d", os.Getpid(), ro.Fd()), "drill"))
}
