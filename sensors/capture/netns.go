package capture

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"runtime"
	"strconv"

	"golang.org/x/sys/unix"
)

// maxNamespaces bounds the network namespaces listened in: each costs a ring.
const maxNamespaces = 63

// followNamespaces opens a ring in each network namespace that a process is in, and closes those that no process is in any
// more: an open ring would keep a namespace alive.
func (l *live) followNamespaces() {
	now := networkNamespaces()
	own, err := ownNamespace()
	if err != nil {
		l.env.Log.Warn("network namespaces cannot be told apart", "error", err)
		return
	}
	delete(now, own)
	kept := l.rings[:1]
	used := map[uint16]bool{}
	for _, r := range l.rings[1:] {
		if _, there := now[r.netns]; !there {
			if err := r.close(); err != nil {
				l.env.Log.Warn("close the ring of a namespace", "error", err)
			}
			continue
		}
		delete(now, r.netns)
		used[r.id] = true
		kept = append(kept, r)
	}
	l.rings = kept
	for inode := range l.skips {
		if _, there := now[inode]; !there {
			delete(l.skips, inode)
		}
	}
	for inode, path := range now {
		if l.skips[inode] {
			continue
		}
		id := uint16(1)
		for used[id] {
			id++
		}
		if id > maxNamespaces {
			l.skips[inode] = true
			l.env.Log.Warn("a network namespace is not listened in: there are too many", "limit", maxNamespaces)
			continue
		}
		r, err := openRingIn(path, l.cfg, max(l.cfg.BufferMiB/8, 1), id)
		if err != nil {
			l.skips[inode] = true
			l.env.Log.Warn("a network namespace is not listened in", "namespace", path, "error", err)
			continue
		}
		r.netns = inode
		used[id] = true
		l.rings = append(l.rings, r)
	}
}

// networkNamespaces returns a path to each network namespace by inode.
func networkNamespaces() map[uint64]string {
	all := map[uint64]string{}
	procs, err := os.ReadDir("/proc")
	if err != nil {
		return all
	}
	for _, p := range procs {
		if pid, err := strconv.Atoi(p.Name()); err != nil || pid == os.Getpid() {
			continue
		}
		path := "/proc/" + p.Name() + "/ns/net"
		if inode, err := inodeOf(path); err == nil { // a process that ended has none
			all[inode] = path
		}
	}
	return all
}

// ownNamespace asks the thread, not the process: the process's first thread may have been left in another namespace.
func ownNamespace() (uint64, error) { return inodeOf("/proc/thread-self/ns/net") }

func inodeOf(path string) (uint64, error) {
	var st unix.Stat_t
	if err := unix.Stat(path, &st); err != nil {
		return 0, &fs.PathError{Op: "stat", Path: path, Err: err}
	}
	return st.Ino, nil
}

// openRingIn opens a ring in another namespace. It does so on a thread of its own, which ends with it.
func openRingIn(path string, cfg Config, mib int, id uint16) (*ring, error) {
	type result struct {
		r   *ring
		err error
	}
	done := make(chan result)
	go func() {
		runtime.LockOSThread() // and never unlocked: the thread must not be used again
		ns, err := os.Open(path)
		if err != nil {
			done <- result{nil, err}
			return
		}
		if err = unix.Setns(int(ns.Fd()), unix.CLONE_NEWNET); err != nil {
			done <- result{nil, errors.Join(fmt.Errorf("enter %s: %w", path, err), ns.Close())}
			return
		}
		cfg.Interfaces = nil
		r, err := openRing(cfg, mib, id)
		done <- result{r, errors.Join(err, ns.Close())}
	}()
	got := <-done
	return got.r, got.err
}
