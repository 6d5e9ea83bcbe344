package process

import (
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"testing"

	"github.com/minewarden/minewarden/internal/proc"
)

// cgroups makes one cgroup of each kind that this host has, and removes it after the test.
func cgroups(t *testing.T) map[string]proc.Cgroup {
	t.Helper()
	m, err := proc.CgroupMounts()
	if err != nil {
		t.Fatal(err)
	}
	made := map[string]proc.Cgroup{}
	for kind, c := range map[string]proc.Cgroup{"v1": {Dir: m.V1}, "v2": {Dir: m.V2, V2: true}} {
		if c.Dir == "" {
			continue
		}
		c.Dir, err = os.MkdirTemp(c.Dir, "minewarden-test-")
		if err != nil {
			t.Logf("no %s cgroup: %v", kind, err)
			continue
		}
		t.Cleanup(func() {
			if err := c.Thaw(); err != nil {
				t.Error(err)
			}
			var err error
			eventually(t, "remove "+c.Dir, func() bool {
				err = os.Remove(c.Dir)
				return err == nil || errors.Is(err, os.ErrNotExist)
			})
		})
		made[kind] = c
	}
	if len(made) == 0 {
		t.Skip("no freezer cgroup can be made here")
	}
	return made
}

func enter(t *testing.T, c proc.Cgroup, pids ...int32) {
	t.Helper()
	for _, pid := range pids {
		if err := os.WriteFile(filepath.Join(c.Dir, "cgroup.procs"), []byte(strconv.Itoa(int(pid))), 0); err != nil {
			t.Fatal(err)
		}
	}
}

// inside starts a bomb whose every process is in c.
func inside(t *testing.T, c proc.Cgroup) proc.Stat {
	t.Helper()
	cmd := exec.Command("/bin/sh", "-c", "read go; "+bomb)
	in, err := cmd.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	root := start(t, cmd)
	enter(t, c, root.PID)
	if _, err := in.Write([]byte("go\n")); err != nil {
		t.Fatal(err)
	}
	grown(t, root)
	return root
}

func TestFreezeCgroup(t *testing.T) {
	for kind, c := range cgroups(t) {
		t.Run(kind, func(t *testing.T) {
			root := inside(t, c)
			r := responder(t, Config{})
			receipt := do(t, r, plan(t, r, Freeze, incident(t, root)))
			if frozen, err := c.Frozen(); !receipt.OK || err != nil || !frozen || !strings.Contains(receipt.State["held"], c.Dir) {
				t.Fatalf("%s; frozen %t %v; state %s", receipt.Result, frozen, err, receipt.State["held"])
			}
			before := map[int32]uint64{}
			for _, s := range group(t, root.PID) {
				before[s.PID] = s.CPU
				if still, err := proc.Still(s.PID, true); err != nil || !still {
					t.Errorf("pid %d: %c %v", s.PID, s.State, err)
				}
			}
			if err := r.Undo(t.Context(), receipt); err != nil {
				t.Fatal(err)
			}
			if frozen, err := c.Frozen(); err != nil || frozen {
				t.Errorf("still frozen after undo: %v", err)
			}
			eventually(t, "they fork again", func() bool {
				for _, s := range group(t, root.PID) {
					if _, ok := before[s.PID]; !ok {
						return true
					}
				}
				return false
			})
			receipt = do(t, r, plan(t, r, Kill, incident(t, root)))
			if left := group(t, root.PID); !receipt.OK || len(left) > 0 {
				t.Errorf("%s; left %v", receipt.Result, left)
			}
			if frozen, err := c.Frozen(); err != nil || frozen {
				t.Errorf("the cgroup is left frozen: %v", err)
			}
		})
	}
}

// TestSharedCgroup does not freeze a cgroup for the sake of one of its processes.
func TestSharedCgroup(t *testing.T) {
	for kind, c := range cgroups(t) {
		t.Run(kind, func(t *testing.T) {
			root, other := inside(t, c), start(t, exec.Command("/bin/sleep", "60"))
			enter(t, c, other.PID)
			r := responder(t, Config{})
			receipt := do(t, r, plan(t, r, Freeze, incident(t, root)))
			if frozen, err := c.Frozen(); !receipt.OK || err != nil || frozen {
				t.Fatalf("%s; frozen %t %v", receipt.Result, frozen, err)
			}
			for _, s := range group(t, root.PID) {
				if still, err := proc.Still(s.PID, false); err != nil || !still {
					t.Errorf("pid %d: %c %v", s.PID, s.State, err)
				}
			}
			if stopped(t, other) {
				t.Error("the other one was stopped")
			}
		})
	}
}

// TestFrozenByOthers leaves a cgroup frozen that somebody else froze.
func TestFrozenByOthers(t *testing.T) {
	for kind, c := range cgroups(t) {
		t.Run(kind, func(t *testing.T) {
			root := start(t, exec.Command("/bin/sleep", "60"))
			enter(t, c, root.PID)
			if err := c.Freeze(freezeWait); err != nil {
				t.Fatal(err)
			}
			t.Cleanup(func() { // before the process is ended, which it could not be
				if err := c.Thaw(); err != nil {
					t.Error(err)
				}
				eventually(t, "it goes on", func() bool { return !stopped(t, root) })
			})
			r := responder(t, Config{})
			receipt := do(t, r, plan(t, r, Freeze, incident(t, root)))
			if err := r.Undo(t.Context(), receipt); err != nil || !receipt.OK {
				t.Fatal(receipt.Result, err)
			}
			if frozen, err := c.Frozen(); err != nil || !frozen {
				t.Errorf("undo thawed it: %v", err)
			}
		})
	}
}

// TestKillAfterFreeze kills by a second action what a first one froze, and finds the cgroup thawed.
func TestKillAfterFreeze(t *testing.T) {
	for kind, c := range cgroups(t) {
		t.Run(kind, func(t *testing.T) {
			root := inside(t, c)
			r := responder(t, Config{})
			do(t, r, plan(t, r, Freeze, incident(t, root)))
			if frozen, err := c.Frozen(); err != nil || !frozen {
				t.Fatalf("frozen %t, %v", frozen, err)
			}
			do(t, r, plan(t, r, Kill, incident(t, root)))
			if left := group(t, root.PID); len(left) > 0 {
				t.Errorf("%d processes are left", len(left))
			}
			if frozen, err := c.Frozen(); err != nil || frozen {
				t.Errorf("the cgroup would hold what is started in it next: frozen %t, %v", frozen, err)
			}
		})
	}
}
