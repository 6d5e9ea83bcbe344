package app

import (
	"os"
	"path/filepath"
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

func TestHasV1(t *testing.T) {
	for text, want := range map[string]bool{"0::/user.slice\n": false, "5:devices:/docker/1\n0::/\n": true, "1:name=systemd:/x\n": true, "": false} {
		file := filepath.Join(t.TempDir(), "cgroup")
		if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		if got := hasV1(file); got != want {
			t.Errorf("%q: %v, want %v", text, got, want)
		}
	}
	// What the process itself says wins where there are v1 hierarchies.
	h := newThisHost()
	h.v1 = true
	if got := h.CgroupPath(1); got != "" {
		t.Errorf("the id of a v2 cgroup leads to %q", got)
	}
}
