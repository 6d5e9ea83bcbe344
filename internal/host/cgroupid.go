package host

import (
	"io/fs"
	"path"
	"strings"
	"sync"
	"syscall"
	"time"
)

const (
	maxCgroups    = 16384           // directories that are kept; hosts have hundreds
	maxCgroupDeep = 24              // levels that are walked
	cgroupPause   = time.Second / 2 // between two walks, however many ids are unknown
)

// Cgroups finds the path of a v2 cgroup by its id, which is the inode of its directory. It walks the tree when it meets
// an id that it does not know, at most twice a second. It is safe for concurrent use.
type Cgroups struct {
	root fs.FS
	now  func() time.Time

	mu     sync.Mutex
	paths  map[uint64]string
	walked time.Time
}

// NewCgroups reads below root, the host's /. It does no I/O yet.
func NewCgroups(root fs.FS, now func() time.Time) *Cgroups {
	return &Cgroups{root: root, now: now}
}

// Path returns the path of the cgroup below the v2 hierarchy's root, or "" if there is none of that id (any more).
func (c *Cgroups) Path(id uint64) string {
	if id == 0 {
		return ""
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if p, ok := c.paths[id]; ok {
		return p
	}
	now := c.now()
	if since := now.Sub(c.walked); c.paths != nil && since >= 0 && since < cgroupPause {
		return ""
	}
	c.walk()
	c.walked = now
	return c.paths[id]
}

// walk replaces what is known. A cgroup that was removed keeps its path while there is room: its processes' last events
// may still come.
func (c *Cgroups) walk() {
	fresh := make(map[uint64]string, len(c.paths)+16)
	top := unifiedRoot(c.root)
	if top == "" {
		c.paths = fresh
		return
	}
	dirs := []string{top}
	for len(dirs) > 0 && len(fresh) < maxCgroups {
		dir := dirs[0]
		dirs = dirs[1:]
		info, err := fs.Stat(c.root, dir)
		if err != nil {
			continue // removed since it was listed
		}
		if st, ok := info.Sys().(*syscall.Stat_t); ok {
			p := strings.TrimPrefix(dir, top)
			if p == "" {
				p = "/"
			}
			fresh[st.Ino] = p
		}
		if strings.Count(dir, "/") >= maxCgroupDeep {
			continue
		}
		entries, err := fs.ReadDir(c.root, dir)
		if err != nil {
			continue
		}
		for _, e := range entries {
			if e.IsDir() && len(dirs) < maxCgroups {
				dirs = append(dirs, path.Join(dir, e.Name()))
			}
		}
	}
	for id, p := range c.paths {
		if len(fresh) >= maxCgroups {
			break
		}
		if _, ok := fresh[id]; !ok {
			fresh[id] = p
		}
	}
	c.paths = fresh
}

// unifiedRoot returns where the v2 hierarchy is mounted: all of sys/fs/cgroup, or a part of it on hybrid hosts.
func unifiedRoot(root fs.FS) string {
	for _, dir := range [...]string{"sys/fs/cgroup/unified", "sys/fs/cgroup"} {
		if _, err := fs.Stat(root, dir+"/cgroup.procs"); err == nil {
			return dir
		}
	}
	return ""
}
