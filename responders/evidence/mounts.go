package evidence

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"os"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"
)

// answers are the file systems on which a read can wait for a program, or for another machine, for ever: a process that does not
// want to be looked at mounts one.
var answers = [...]string{"fuse", "nfs", "cifs", "smb", "9p", "ceph", "afs", "virtiofs"}

// waits returns the devices of such file systems, by what a process and the agent see mounted.
func waits(pid int32) (slow, known map[uint64]bool) {
	slow, known = map[uint64]bool{}, map[uint64]bool{}
	for _, path := range [...]string{"/proc/self/mountinfo", procPath(pid, "mountinfo")} {
		f, err := os.Open(path)
		if err != nil {
			continue // what is not known is not waited for
		}
		parseMounts(f, slow, known)
		if f.Close() != nil {
			continue
		}
	}
	return slow, known
}

func parseMounts(r io.Reader, slow, known map[uint64]bool) {
	lines := bufio.NewScanner(io.LimitReader(r, maxProcFile))
	lines.Buffer(nil, 1<<20)
	for lines.Scan() {
		left, right, ok := strings.Cut(lines.Text(), " - ")
		l, t := strings.Fields(left), strings.Fields(right)
		if !ok || len(l) < 5 || len(t) < 1 {
			continue
		}
		major, minor, _ := strings.Cut(l[2], ":")
		a, err1 := strconv.ParseUint(major, 10, 32)
		b, err2 := strconv.ParseUint(minor, 10, 32)
		if errors.Join(err1, err2) != nil {
			continue
		}
		dev := unix.Mkdev(uint32(a), uint32(b))
		known[dev] = true
		for _, s := range answers {
			if strings.HasPrefix(t[0], s) && t[0] != "fuseblk" {
				slow[dev] = true
			}
		}
	}
}

// status is what can be told of a file without asking its file system, where that would have to ask somebody else.
type status struct {
	unix.Statx_t
	dev uint64
}

func (s *status) regular() bool { return s.Mode&unix.S_IFMT == unix.S_IFREG }

func statusOf(path string) (*status, error) {
	s := &status{}
	if err := unix.Statx(unix.AT_FDCWD, path, unix.AT_STATX_DONT_SYNC|unix.AT_NO_AUTOMOUNT, unix.STATX_BASIC_STATS, &s.Statx_t); err != nil {
		return nil, fmt.Errorf("stat %s: %w", path, err)
	}
	s.dev = unix.Mkdev(s.Dev_major, s.Dev_minor)
	return s, nil
}

var errWaits = errors.New("it is on a file system that asks a program or another machine, which need not answer")

// mayRead says whether reading what a link of /proc leads to can hang.
func (c *collector) mayRead(pid int32, link, name string) (*status, error) {
	s, err := statusOf(link)
	if err != nil {
		return nil, err
	}
	slow, known := waits(pid)
	memory := strings.HasPrefix(name, "/memfd:") || strings.HasPrefix(name, "/SYSV") || strings.HasPrefix(name, "/dev/zero")
	if slow[s.dev] || !known[s.dev] && !memory {
		return s, errWaits
	}
	return s, nil
}
