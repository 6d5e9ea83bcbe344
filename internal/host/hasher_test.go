package host

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"testing"

	"github.com/minewarden/minewarden"
)

// run starts the program and returns its key; it is killed at the test's end.
func run(t *testing.T, name string, args ...string) minewarden.ProcessKey {
	t.Helper()
	cmd := exec.Command(name, args...)
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := cmd.Process.Kill(); err != nil {
			t.Error(err)
		}
		if err := cmd.Wait(); err == nil {
			t.Error("a killed process ended well")
		}
	})
	start, err := StartOf("/proc/" + itoa(cmd.Process.Pid))
	if err != nil {
		t.Fatal(err)
	}
	return minewarden.ProcessKey{PID: int32(cmd.Process.Pid), Start: start}
}

func itoa(n int) string { return strconv.Itoa(n) }

func TestHasher(t *testing.T) {
	sleep, err := exec.LookPath("sleep")
	if err != nil {
		t.Fatal(err)
	}
	content, err := os.ReadFile(sleep)
	if err != nil {
		t.Fatal(err)
	}
	sum := sha256.Sum256(content)
	want := hex.EncodeToString(sum[:])

	gone := filepath.Join(t.TempDir(), "gone")
	if err := os.WriteFile(gone, content, 0o755); err != nil {
		t.Fatal(err)
	}
	keys := []minewarden.ProcessKey{run(t, sleep, "60"), run(t, gone, "60"), run(t, sleep, "61")}
	if err := os.Remove(gone); err != nil {
		t.Fatal(err)
	}

	ctx, cancel := context.WithCancel(t.Context())
	got := map[minewarden.ProcessKey]*minewarden.Image{}
	h := NewHasher("/proc", NewPackages(os.DirFS("/")), func(k minewarden.ProcessKey, img *minewarden.Image) {
		if got[k] = img; len(got) == len(keys) {
			cancel()
		}
	})
	stale := keys[0]
	stale.Start++
	h.Request(stale, sleep)
	h.Request(minewarden.ProcessKey{PID: 1 << 30}, "nobody")
	for i, k := range keys {
		h.Request(k, []string{sleep, gone, sleep}[i])
	}
	h.Run(ctx)

	for i, k := range keys {
		if got[k] == nil || got[k].SHA256 != want || got[k].Size != int64(len(content)) {
			t.Errorf("process %d: got %+v, want %s", i, got[k], want)
		}
	}
	if got[keys[0]].Modified {
		t.Errorf("%s counts as changed", sleep)
	}
	if h.order.Len() != 2 {
		t.Errorf("%d contents kept, want 2: the third process runs the file of the first", h.order.Len())
	}
	if _, failed, _ := h.Losses(); failed != 2 {
		t.Errorf("%d failures counted, want 2", failed)
	}
}

func TestHasherDropsAndCounts(t *testing.T) {
	h := NewHasher("/proc", nil, nil)
	for range hashQueue + 7 {
		h.Request(minewarden.ProcessKey{PID: 1}, "x")
	}
	if dropped, _, _ := h.Losses(); dropped != 7 {
		t.Errorf("%d dropped, want 7", dropped)
	}
}

func TestCgroupsOfThisKernelsTree(t *testing.T) {
	dir := t.TempDir()
	deep := filepath.Join(dir, "sys/fs/cgroup/system.slice/docker-"+id1+".scope")
	if err := os.MkdirAll(deep, 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(dir, "sys/fs/cgroup/cgroup.procs"), nil, 0o644); err != nil {
		t.Fatal(err)
	}
	c := NewCgroups(os.DirFS(dir), clock())
	want := strings.TrimPrefix(deep, filepath.Join(dir, "sys/fs/cgroup"))
	if got := c.Path(inode(t, deep)); got != want {
		t.Errorf("got %q, want %q", got, want)
	}
	if got := c.Path(inode(t, filepath.Join(dir, "sys/fs/cgroup"))); got != "/" {
		t.Errorf("root: got %q", got)
	}
	later := filepath.Join(dir, "sys/fs/cgroup/later")
	if err := os.Mkdir(later, 0o755); err != nil {
		t.Fatal(err)
	}
	if got := c.Path(inode(t, later)); got != "/later" {
		t.Errorf("made since: got %q", got)
	}
	if got := c.Path(1 << 60); got != "" {
		t.Errorf("unknown: got %q", got)
	}
}

func FuzzStatStart(f *testing.F) {
	f.Add([]byte("1 (a) b) S 0 1 1 0 -1 4194560 1 2 3 4 5 6 7 8 20 0 1 0 77 1 2"))
	f.Fuzz(func(t *testing.T, text []byte) {
		if n, err := statStart(text); err != nil && n != 0 && !strings.Contains(err.Error(), "range") {
			t.Errorf("%d with %v", n, err)
		}
	})
}
