package network

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"syscall"

	"github.com/minewarden/minewarden"
	"github.com/minewarden/minewarden/internal/proc"
)

const (
	maxRoots = 4096
)

// roots picks the members of this boot that the gravest evidence is about: those with high or critical findings; if there are
// none, those that are not weak.
func roots(inc *minewarden.Incident, boot string, all map[int32]proc.Stat) []proc.Stat {
	var tiers [2][]proc.Stat
	for _, m := range inc.Members {
		s, ok := all[m.Key.PID]
		if (m.Key.Boot != boot && m.Key.Boot != "") || !ok || s.Start != m.Key.Start || m.Weak || s.Dead() {
			continue
		}
		tier := 1
		if m.Severity >= minewarden.High {
			tier = 0
		}
		tiers[tier] = append(tiers[tier], s)
	}
	for _, t := range tiers {
		if len(t) > 0 {
			return t[:min(len(t), maxRoots)]
		}
	}
	return nil
}

// below returns these processes with all their descendants. Each becomes a root of its own in the kernel, so that one whose
// parent ends stays cut off.
func below(roots []proc.Stat, all map[int32]proc.Stat) []proc.Stat {
	children := map[int32][]proc.Stat{}
	for _, s := range all {
		children[s.PPID] = append(children[s.PPID], s)
	}
	seen := map[int32]bool{}
	var out []proc.Stat
	for queue := slices.Clone(roots); len(queue) > 0; {
		s := queue[0]
		queue = queue[1:]
		if seen[s.PID] || s.Dead() {
			continue
		}
		seen[s.PID] = true
		out = append(out, s)
		queue = append(queue, children[s.PID]...)
	}
	return out
}

// vital returns why a process keeps its network; empty: it may lose it.
func vital(pid int32, all map[int32]proc.Stat) string {
	if pid <= 1 {
		return "process 1"
	}
	seen := map[int32]bool{}
	for own := int32(os.Getpid()); own > 1 && !seen[own]; own = all[own].PPID {
		if seen[own] = true; own == pid {
			return "minewarden or what started it"
		}
	}
	if s := all[pid]; s.PPID == 2 || pid == 2 {
		return "a kernel thread"
	}
	return ""
}

// members returns the processes of a tree or cgroup.
func members(i Item, all map[int32]proc.Stat) ([]int32, error) {
	var pids []int32
	switch i.Kind {
	case Tree:
		s, ok := all[i.PID]
		if !ok || s.Start != i.Start {
			return nil, nil
		}
		for _, s := range below([]proc.Stat{s}, all) {
			pids = append(pids, s.PID)
		}
	case Cgroup:
		m, err := proc.CgroupMounts()
		if err != nil || m.V2 == "" {
			return nil, err
		}
		dir, err := cgroupDir(m.V2, i.ID)
		if err != nil || dir == "" {
			return nil, err
		}
		return pids, walkCgroup(dir, &pids)
	}
	return pids, nil
}

func walkCgroup(dir string, pids *[]int32) error {
	return filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
		if errors.Is(err, fs.ErrNotExist) {
			return nil
		}
		if err != nil || !d.IsDir() {
			return err
		}
		in, err := proc.Cgroup{Dir: path, V2: true}.PIDs()
		*pids = append(*pids, in...)
		return err
	})
}

// cgroupDir finds the directory of a cgroup by its inode; empty: it is gone.
func cgroupDir(mount string, id uint64) (string, error) {
	found := ""
	err := filepath.WalkDir(mount, func(path string, d fs.DirEntry, err error) error {
		if err != nil || !d.IsDir() {
			return nil //nolint:nilerr // removed meanwhile
		}
		if info, err := d.Info(); err == nil {
			if st, ok := info.Sys().(*syscall.Stat_t); ok && st.Ino == id {
				found = path
				return fs.SkipAll
			}
		}
		return nil
	})
	if err != nil {
		return "", fmt.Errorf("find cgroup %d: %w", id, err)
	}
	return found, nil
}

// printable keeps a name that a process gave itself from acting on a terminal.
func printable(s string) string {
	q := fmt.Sprintf("%q", s)
	return q[1 : len(q)-1]
}
