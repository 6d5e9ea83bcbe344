package procfs

import (
	"encoding/binary"
	"errors"
	"fmt"
	"strconv"

	"golang.org/x/sys/unix"
)

// tree reads below one directory, a mounted proc or a fixture, into buffers that it uses again. What a method returns is
// valid until the next call.
type tree struct {
	fd      int
	private bool // a mount of our own, over which nothing can be mounted
	buf     []byte
	name    []byte
	dents   []byte
	pids    []int32
}

const (
	smallFile = 16 << 10 // stat, status, loadavg
	maxPids   = 1 << 17  // processes looked at; the rest is counted as lost
)

// openTree opens dir. For the host's own /proc it prefers a fresh mount that no other process sees: it ends with the file
// descriptor.
func openTree(dir string) (*tree, error) {
	t := &tree{fd: -1, buf: make([]byte, smallFile), dents: make([]byte, 32<<10)}
	if dir == "/proc" {
		if fd, err := mountProc(); err == nil {
			t.fd, t.private = fd, true
			return t, nil
		}
	}
	fd, err := unix.Open(dir, unix.O_RDONLY|unix.O_DIRECTORY|unix.O_CLOEXEC, 0)
	if err != nil {
		return nil, fmt.Errorf("open %s: %w", dir, err)
	}
	t.fd = fd
	return t, nil
}

func mountProc() (int, error) {
	fs, err := unix.Fsopen("proc", unix.FSOPEN_CLOEXEC)
	if err != nil {
		return -1, err
	}
	defer unix.Close(fs)
	if err := unix.FsconfigCreate(fs); err != nil {
		return -1, err
	}
	top, err := unix.Fsmount(fs, unix.FSMOUNT_CLOEXEC, unix.MOUNT_ATTR_NOSUID|unix.MOUNT_ATTR_NODEV|unix.MOUNT_ATTR_NOEXEC)
	if err != nil {
		return -1, err
	}
	defer unix.Close(top) // it names the mount but cannot be listed; the directory keeps the mount
	return unix.Openat(top, ".", unix.O_RDONLY|unix.O_DIRECTORY|unix.O_CLOEXEC, 0)
}

func (t *tree) close() error { return unix.Close(t.fd) }

// path builds "PID/name" or "PID/task/TID/name".
func (t *tree) path(pid, tid int32, name string) string {
	t.name = strconv.AppendInt(t.name[:0], int64(pid), 10)
	if tid != 0 {
		t.name = append(t.name, "/task/"...)
		t.name = strconv.AppendInt(t.name, int64(tid), 10)
	}
	if name != "" {
		t.name = append(t.name, '/')
		t.name = append(t.name, name...)
	}
	return string(t.name)
}

// read returns the content of a small file.
func (t *tree) read(path string) ([]byte, error) {
	return t.readInto(t.buf, path)
}

// readInto fills buf with the start of the file; files of proc are made when they are read, at most a page at a time.
func (t *tree) readInto(buf []byte, path string) ([]byte, error) {
	fd, err := unix.Openat(t.fd, path, unix.O_RDONLY|unix.O_CLOEXEC|unix.O_NONBLOCK, 0)
	if err != nil {
		return nil, err
	}
	defer unix.Close(fd)
	n := 0
	for n < len(buf) {
		m, err := unix.Read(fd, buf[n:])
		if err == unix.EINTR { //nolint:errorlint // an errno as it comes from the system call
			continue
		}
		if err != nil {
			return nil, err
		}
		if m == 0 {
			break
		}
		n += m
	}
	return buf[:n], nil
}

// link returns where the symbolic link leads, or "".
func (t *tree) link(path string) string {
	n, err := unix.Readlinkat(t.fd, path, t.buf)
	if err != nil || n <= 0 {
		return ""
	}
	return string(t.buf[:n])
}

// stat of a process, or of a thread where tid is not 0.
func (t *tree) stat(pid, tid int32) (stat, error) {
	text, err := t.read(t.path(pid, tid, "stat"))
	if err != nil {
		return stat{}, err
	}
	return parseStat(text)
}

// list returns the pids that the directory lists, in its order.
func (t *tree) list() ([]int32, error) {
	if _, err := unix.Seek(t.fd, 0, 0); err != nil {
		return nil, fmt.Errorf("list processes: %w", err)
	}
	pids, err := t.numbers(t.fd, t.pids[:0], maxPids)
	t.pids = pids
	return pids, err
}

// threads appends the thread ids of a process, at most limit.
func (t *tree) threads(pid int32, to []int32, limit int) ([]int32, error) {
	return t.numbersOf(t.path(pid, 0, "task"), to, limit)
}

func (t *tree) numbersOf(path string, to []int32, limit int) ([]int32, error) {
	fd, err := unix.Openat(t.fd, path, unix.O_RDONLY|unix.O_DIRECTORY|unix.O_CLOEXEC, 0)
	if err != nil {
		return to, err
	}
	defer unix.Close(fd)
	return t.numbers(fd, to, limit)
}

var errMany = errors.New("more entries than are looked at")

// numbers appends the entries of a directory whose names are numbers.
func (t *tree) numbers(fd int, to []int32, limit int) ([]int32, error) {
	for {
		n, err := unix.Getdents(fd, t.dents)
		if err != nil {
			return to, fmt.Errorf("list directory: %w", err)
		}
		if n <= 0 {
			return to, nil
		}
		for d := t.dents[:n]; len(d) > 19; {
			size := int(binary.NativeEndian.Uint16(d[16:])) // struct linux_dirent64
			if size < 20 || size > len(d) {
				break
			}
			if v, length := number(d[19:size]); length > 0 && length < 10 && d[19+length] == 0 {
				if len(to) >= limit {
					return to, errMany
				}
				to = append(to, int32(v))
			}
			d = d[size:]
		}
	}
}
