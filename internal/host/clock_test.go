package host

import (
	"os"
	"syscall"
	"testing"
	"time"
)

// clock returns a clock that goes on by a second each time it is asked.
func clock() func() time.Time {
	now := time.Unix(1_800_000_000, 0)
	return func() time.Time { now = now.Add(time.Second); return now }
}

func inode(t *testing.T, path string) uint64 {
	t.Helper()
	info, err := os.Stat(path)
	if err != nil {
		t.Fatal(err)
	}
	st, ok := info.Sys().(*syscall.Stat_t)
	if !ok {
		t.Fatal("no inode")
	}
	return st.Ino
}
