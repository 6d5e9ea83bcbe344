package evidence

import (
	"archive/tar"
	"errors"
	"fmt"
	"io"
	"os"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"

	"github.com/minewarden/minewarden"
	"github.com/minewarden/minewarden/internal/proc"
	"github.com/minewarden/minewarden/responders/evidence/vault"
)

const (
	maxProcFile = 8 << 20 // of one file of /proc: a process chooses how long its arguments and its list of mappings are
	maxThreads  = 512
)

// procFiles are what is read of /proc/PID. Those that a kernel does not have are not missed.
var procFiles = [...]string{
	"stat", "status", "comm", "cmdline", "environ", "maps", "limits", "cgroup", "mountinfo", "auxv", "io", "sched", "wchan", "syscall", "stack",
	"oom_score_adj", "loginuid", "sessionid", "personality", "uid_map", "gid_map", "smaps_rollup", "timerslack_ns", "attr/current",
	"net/tcp", "net/tcp6", "net/udp", "net/udp6", "net/raw", "net/unix", "net/route", "net/arp",
}

var procLinks = [...]string{
	"exe", "cwd", "root", "ns/mnt", "ns/net", "ns/pid", "ns/user", "ns/uts", "ns/ipc", "ns/cgroup", "ns/time",
}

// process collects what vanishes with a process, but for its whole memory, which takes longest and comes last.
func (c *collector) process(s *proc.Stat) error {
	h, err := openHeld(s)
	if err != nil {
		c.skip(fmt.Sprintf("pid %d %s", s.PID, s.Comm), err)
		if errors.Is(err, proc.ErrGone) {
			c.note(s, "", "ended", 0)
		}
		return nil
	}
	state, let := c.hold(h)
	exe, err := os.Readlink(procPath(s.PID, "exe"))
	if err != nil {
		exe = ""
	}
	var ends []error
	if c.wish.memory != MemoryNone {
		ends = append(ends, c.execMemory(h)) // first: reading it asks nobody
	}
	ends = append(ends, c.facts(h), c.executable(h, exe), c.mapped(h), c.opened(h))
	used := uint64(0)
	if now, err := proc.ReadStat(s.PID); err == nil && now.Start == h.Start {
		used = now.CPU - h.CPU
		if state != "running" && used > 0 {
			state = "running" // somebody let it go on meanwhile
		}
	} else {
		state = "ended"
	}
	c.note(s, exe, state, used)
	return errors.Join(append(ends, let(), h.Close())...)
}

func (c *collector) note(s *proc.Stat, exe, state string, used uint64) {
	c.m.Processes = append(c.m.Processes, vault.Process{
		Key: minewarden.ProcessKey{Boot: c.wish.boot, PID: s.PID, Start: s.Start}, Name: text(s.Comm), Exe: text(exe), State: state, Ticks: used,
	})
}

func procPath(pid int32, name string) string { return "/proc/" + strconv.Itoa(int(pid)) + "/" + name }

// same reports whether the pid is still the held process's: a pidfd keeps the pid, but not the process.
func same(h *proc.Handle) error {
	now, err := proc.ReadStat(h.PID)
	if err == nil && now.Start != h.Start {
		err = proc.ErrGone
	}
	return err
}

// facts collects the texts of /proc, the open files and the sockets, as one archive.
func (c *collector) facts(h *proc.Handle) error {
	s := source{what: "process", name: fmt.Sprintf("/proc/%d", h.PID), ext: "tar", pid: h.PID}
	return c.part(s, func(w io.Writer) error {
		t := tar.NewWriter(w)
		add := func(name string, b []byte) error {
			err := t.WriteHeader(&tar.Header{Typeflag: tar.TypeReg, Name: name, Mode: 0o400, Size: int64(len(b)), ModTime: c.now()})
			if err == nil {
				_, err = t.Write(b)
			}
			return err
		}
		for _, name := range procFiles {
			b, err := readBounded(procPath(h.PID, name))
			if err != nil && !absent(err) {
				c.skip(fmt.Sprintf("%s of pid %d", name, h.PID), err)
			}
			if err == nil || len(b) > 0 {
				if err := add(name, b); err != nil {
					return err
				}
			}
		}
		var links strings.Builder
		for _, name := range procLinks {
			if to, err := os.Readlink(procPath(h.PID, name)); err == nil {
				fmt.Fprintf(&links, "%s %s\n", name, text(to))
			}
		}
		if err := add("links", []byte(links.String())); err != nil {
			return err
		}
		if err := add("threads", threads(h.PID)); err != nil {
			return err
		}
		files, sockets := c.descriptors(h)
		if err := add("files.jsonl", files); err != nil {
			return err
		}
		if err := add("sockets.jsonl", sockets); err != nil {
			return err
		}
		if err := t.Close(); err != nil {
			return err
		}
		return same(h)
	})
}

// absent reports that a file of /proc is not there, or that this kind of process has none.
func absent(err error) bool {
	return errors.Is(err, os.ErrNotExist) || errors.Is(err, unix.EINVAL) || errors.Is(err, unix.EACCES) || errors.Is(err, unix.ENOSYS)
}

// readBounded reads at most maxProcFile bytes; what is longer is cut, which a reader of the archive sees by its size.
func readBounded(path string) ([]byte, error) {
	f, err := os.OpenFile(path, os.O_RDONLY|unix.O_NONBLOCK|unix.O_NOCTTY, 0)
	if err != nil {
		return nil, err
	}
	b, err := io.ReadAll(io.LimitReader(f, maxProcFile))
	return b, errors.Join(err, f.Close())
}

func threads(pid int32) []byte {
	all, err := proc.Threads(pid)
	if err != nil {
		return []byte(err.Error() + "\n")
	}
	var b strings.Builder
	for i := range all {
		if i == maxThreads {
			fmt.Fprintf(&b, "and %d more\n", len(all)-i)
			break
		}
		fmt.Fprintf(&b, "%d %c %d ticks %q\n", all[i].PID, all[i].State, all[i].CPU, all[i].Comm)
	}
	return []byte(b.String())
}
