package procfs

import (
	"bytes"
	"errors"
	"io/fs"
	"strings"

	"golang.org/x/sys/unix"

	"github.com/minewarden/minewarden"
	"github.com/minewarden/minewarden/internal/host"
)

// maxArgs bounds what is kept of a command line, in bytes.
const maxArgs = 4096

// describe returns what runs in the process of s. Fields that may not be read stay empty: of other users' processes
// without root, and of some (pid 1 in a sandbox) even with it.
func (t *tree) describe(s stat) *minewarden.Exec {
	pid := s.pid
	e := &minewarden.Exec{Name: string(s.name), Kernel: s.flags&kernelThread != 0}
	if text, err := t.read(t.path(pid, 0, "status")); err == nil {
		e.UID, e.GID = firstID(text, "Uid:"), firstID(text, "Gid:")
	}
	if text, err := t.read(t.path(pid, 0, "cgroup")); err == nil {
		e.Cgroup = host.ParseCgroup(bytes.NewReader(text))
	}
	if e.Kernel {
		return e
	}
	if text, err := t.readInto(t.buf[:maxArgs], t.path(pid, 0, "cmdline")); err == nil {
		e.Args, e.ArgsTruncated = splitArgs(text), len(text) == maxArgs
	}
	e.Exe, e.Memfd, e.Deleted = exeName(t.link(t.path(pid, 0, "exe")))
	e.Cwd = t.link(t.path(pid, 0, "cwd"))
	var st unix.Stat_t
	if err := unix.Fstatat(t.fd, t.path(pid, 0, "exe"), &st, 0); err == nil {
		e.Inode = minewarden.Inode{Dev: uint64(st.Dev), Ino: st.Ino, Mtime: st.Mtim.Nano()}
	}
	if text, err := t.read(t.path(pid, 0, "environ")); err == nil {
		e.Preload = variable(text, "LD_PRELOAD=")
	}
	e.Filename, e.Script = e.Exe, scriptOf(e.Exe, e.Args)
	return e
}

// exeName splits what /proc/PID/exe says.
func exeName(link string) (exe string, memfd, deleted bool) {
	exe, deleted = strings.CutSuffix(link, " (deleted)")
	if name, ok := strings.CutPrefix(exe, "/memfd:"); ok {
		return "memfd:" + name, true, false
	}
	return exe, false, deleted
}

// splitArgs splits at NUL bytes. A process may have overwritten its arguments: then there may be none.
func splitArgs(text []byte) []string {
	text = bytes.TrimRight(text, "\x00")
	if len(text) == 0 {
		return nil
	}
	return strings.Split(string(text), "\x00")
}

// scriptOf returns the script that an interpreter runs: its first argument that is no option, where it is a path.
func scriptOf(exe string, args []string) string {
	base := exe[strings.LastIndexByte(exe, '/')+1:]
	known := false
	for _, name := range [...]string{"sh", "bash", "dash", "ash", "busybox", "zsh", "ksh", "python", "perl", "ruby", "node", "php", "lua", "tclsh"} {
		if rest, ok := strings.CutPrefix(base, name); ok && strings.Trim(rest, "0123456789.") == "" {
			known = true
			break
		}
	}
	if !known {
		return ""
	}
	for _, a := range args[min(1, len(args)):] {
		switch {
		case a == "-c" || a == "-e" || a == "-m":
			return ""
		case strings.HasPrefix(a, "-"):
		case strings.Contains(a, "/"):
			return a
		default:
			return ""
		}
	}
	return ""
}

// firstID returns the first number of a line of status: of "Uid:" the real user.
func firstID(text []byte, label string) uint32 {
	n, _ := lineNumber(text, label)
	return uint32(n)
}

// lineNumber returns the first number of the line that begins with label.
func lineNumber(text []byte, label string) (uint64, bool) {
	for line := range bytes.Lines(text) {
		if rest, ok := bytes.CutPrefix(line, []byte(label)); ok {
			n, length := number(bytes.TrimLeft(rest, " \t"))
			return n, length > 0
		}
	}
	return 0, false
}

// variable returns the value of an environment variable.
func variable(environ []byte, name string) string {
	for len(environ) > 0 {
		entry, rest, _ := bytes.Cut(environ, []byte{0})
		if value, ok := bytes.CutPrefix(entry, []byte(name)); ok {
			return string(value)
		}
		environ = rest
	}
	return ""
}

// gone tells whether an error means that the process ended.
func gone(err error) bool {
	return errors.Is(err, fs.ErrNotExist) || errors.Is(err, unix.ESRCH)
}
