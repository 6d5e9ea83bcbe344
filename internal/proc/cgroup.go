package proc

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"golang.org/x/sys/unix"
)

// A Cgroup is a directory that can stop all processes in it at once.
type Cgroup struct {
	Dir string `json:"dir"` // "/sys/fs/cgroup/…"
	V2  bool   `json:"v2"`
}

// ParseCgroups parses /proc/PID/cgroup: the path by controller; v2's is "".
func ParseCgroups(b []byte) map[string]string {
	paths := map[string]string{}
	for line := range bytes.Lines(b) {
		parts := strings.SplitN(strings.TrimSuffix(string(line), "\n"), ":", 3)
		if len(parts) != 3 {
			continue
		}
		for c := range strings.SplitSeq(parts[1], ",") {
			paths[c] = parts[2]
		}
	}
	return paths
}

// Mounts says where the two freezers are mounted; "" where one is not.
type Mounts struct{ V1, V2 string }

// CgroupMounts finds them.
func CgroupMounts() (Mounts, error) {
	var m Mounts
	f, err := os.Open("/proc/self/mountinfo")
	if err != nil {
		return m, fmt.Errorf("find cgroup mounts: %w", err)
	}
	lines := bufio.NewScanner(f)
	lines.Buffer(nil, maxSmall)
	for lines.Scan() {
		left, right, ok := strings.Cut(lines.Text(), " - ")
		l, r := strings.Fields(left), strings.Fields(right)
		if !ok || len(l) < 5 || len(r) < 3 || l[3] != "/" {
			continue
		}
		switch {
		case r[0] == "cgroup2" && m.V2 == "":
			m.V2 = l[4]
		case r[0] == "cgroup" && m.V1 == "" && strings.Contains(","+r[2]+",", ",freezer,"):
			m.V1 = l[4]
		}
	}
	if err := errors.Join(lines.Err(), f.Close()); err != nil {
		return m, fmt.Errorf("find cgroup mounts: %w", err)
	}
	return m, nil
}

// Freezers returns the cgroups that can freeze pid, the better (v2) first. A root can freeze nothing.
func (m Mounts) Freezers(pid int32) ([]Cgroup, error) {
	b, err := ReadSmall("/proc/" + strconv.Itoa(int(pid)) + "/cgroup")
	if err != nil {
		return nil, fmt.Errorf("cgroups of pid %d: %w", pid, err)
	}
	paths := ParseCgroups(b)
	var out []Cgroup
	for _, c := range []struct {
		mount, path, file string
		v2                bool
	}{{m.V2, paths[""], "cgroup.freeze", true}, {m.V1, paths["freezer"], "freezer.state", false}} {
		if c.mount == "" || len(c.path) < 2 || strings.HasPrefix(c.path, "/..") {
			continue
		}
		dir := filepath.Join(c.mount, c.path)
		if _, err := os.Stat(filepath.Join(dir, c.file)); err == nil {
			out = append(out, Cgroup{Dir: dir, V2: c.v2})
		}
	}
	return out, nil
}

// PIDs returns every process in the cgroup and those below it.
func (c Cgroup) PIDs() ([]int32, error) {
	var pids []int32
	err := filepath.WalkDir(c.Dir, func(path string, d fs.DirEntry, err error) error {
		if err != nil || !d.IsDir() {
			if errors.Is(err, os.ErrNotExist) && path != c.Dir {
				return nil
			}
			return err
		}
		b, err := os.ReadFile(filepath.Join(path, "cgroup.procs"))
		if err != nil && (errors.Is(err, unix.ENODEV) || errors.Is(err, os.ErrNotExist)) && path != c.Dir {
			return nil
		}
		if err != nil {
			return err
		}
		for f := range strings.FieldsSeq(string(b)) {
			n, err := strconv.ParseInt(f, 10, 32)
			if err != nil {
				return err
			}
			pids = append(pids, int32(n)) // 0: of another pid namespace
		}
		return nil
	})
	if err != nil {
		return nil, fmt.Errorf("processes of cgroup %s: %w", c.Dir, err)
	}
	return pids, nil
}

// Frozen reports whether the cgroup itself was told to freeze.
func (c Cgroup) Frozen() (bool, error) {
	file := "freezer.self_freezing"
	if c.V2 {
		file = "cgroup.freeze"
	}
	b, err := os.ReadFile(filepath.Join(c.Dir, file))
	if err != nil {
		return false, fmt.Errorf("freezer of %s: %w", c.Dir, err)
	}
	return strings.TrimSpace(string(b)) == "1", nil
}

// Freeze stops all in it, and returns once the kernel says that they are stopped, or an error after wait.
func (c Cgroup) Freeze(wait time.Duration) error { return c.set(true, wait) }

// Thaw lets all in it go on. A cgroup that is gone is thawed.
func (c Cgroup) Thaw() error {
	err := c.set(false, 0)
	if errors.Is(err, os.ErrNotExist) || errors.Is(err, unix.ENODEV) {
		return nil
	}
	return err
}

func (c Cgroup) set(freeze bool, wait time.Duration) error {
	if err := c.write(freeze); err != nil || !freeze {
		return err
	}
	deadline := time.Now().Add(wait)
	for try := 1; ; try++ {
		done, err := c.stopped()
		if err != nil || done {
			return err
		}
		if time.Now().After(deadline) {
			return fmt.Errorf("freeze %s: not all of its processes stopped within %s", c.Dir, wait)
		}
		time.Sleep(time.Millisecond)
		if c.V2 {
			continue
		}
		// The v1 freezer can miss a process that forks while it freezes: told again it takes it, and from some states it
		// only gets out by way of a short thaw.
		if try%thawEvery == 0 {
			if err := c.write(false); err != nil {
				return err
			}
		}
		if err := c.write(true); err != nil {
			return err
		}
	}
}

// thawEvery is after how many tries, a millisecond each, a v1 freezer is taken to be stuck.
const thawEvery = 16

func (c Cgroup) write(freeze bool) error {
	file, value := "freezer.state", "THAWED"
	switch {
	case c.V2 && freeze:
		file, value = "cgroup.freeze", "1"
	case c.V2:
		file, value = "cgroup.freeze", "0"
	case freeze:
		value = "FROZEN"
	}
	f, err := os.OpenFile(filepath.Join(c.Dir, file), os.O_WRONLY, 0)
	if err == nil {
		_, err = f.WriteString(value)
		err = errors.Join(err, f.Close())
	}
	if err != nil {
		return fmt.Errorf("write %s to %s of %s: %w", value, file, c.Dir, err)
	}
	return nil
}

func (c Cgroup) stopped() (bool, error) {
	file, want := "freezer.state", "FROZEN"
	if c.V2 {
		file, want = "cgroup.events", "frozen 1"
	}
	b, err := os.ReadFile(filepath.Join(c.Dir, file))
	if err != nil {
		return false, fmt.Errorf("freezer of %s: %w", c.Dir, err)
	}
	return strings.Contains(string(b), want), nil
}
