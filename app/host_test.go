package app

import (
	"os"
	"strconv"
	"testing"

	"github.com/minewarden/minewarden"
	"github.com/minewarden/minewarden/internal/host"
)

func TestCgroupOfRunningProcess(t *testing.T) {
	dir := "/proc/" + strconv.Itoa(os.Getpid())
	start, err := host.StartOf(dir)
	if err != nil {
		t.Fatal(err)
	}
	f, err := os.Open(dir + "/cgroup")
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	want := host.ParseCgroup(f)
	h := newThisHost()
	key := minewarden.ProcessKey{PID: int32(os.Getpid()), Start: start}
	if got := h.CgroupOf(key); got != want || got == "" {
		t.Errorf("this process is in %q, want %q", got, want)
	}
	key.Start--
	if got := h.CgroupOf(key); got != "" {
		t.Errorf("a process that had this pid before is in %q", got)
	}
}
