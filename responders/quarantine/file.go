package quarantine

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strconv"
	"strings"

	"github.com/minewarden/minewarden/internal/proc"
	"github.com/minewarden/minewarden/responders/internal/journal"
	"golang.org/x/sys/unix"
)

// meta is what a file is beside its content.
type meta struct {
	Dev   uint64            `json:"dev"`
	Ino   uint64            `json:"ino"`
	Size  int64             `json:"size"`
	Mode  uint32            `json:"mode"`
	UID   uint32            `json:"uid"`
	GID   uint32            `json:"gid"`
	Nlink uint64            `json:"nlink"`
	Atime unix.Timespec     `json:"atime"`
	Mtime unix.Timespec     `json:"mtime"`
	Xattr map[string][]byte `json:"xattr,omitempty"`
	Flags uint32            `json:"flags,omitempty"` // immutable, append-only
}

// file is an open file with the open directory that its name is in.
type file struct {
	f    *os.File
	dir  int // -1: none
	name string
	meta meta
}

const (
	keepFlags = 0x10 | 0x20 // FS_IMMUTABLE_FL, FS_APPEND_FL of linux/fs.h
	maxXattr  = 64 << 10
)

func (f *file) close() error {
	err := f.f.Close()
	if f.dir >= 0 {
		err = errors.Join(err, unix.Close(f.dir))
	}
	return err
}

// rootOf opens the root directory that the target's path begins at.
func rootOf(t *target) (int, error) {
	path := "/"
	if t.PID != 0 {
		h, err := proc.Open(t.PID, t.Start)
		if err != nil {
			return -1, errors.Join(err, os.ErrNotExist)
		}
		defer func() { _ = h.Close() }() // held only so that the pid stays the process's
		path = "/proc/" + strconv.Itoa(int(t.PID)) + "/root"
	}
	fd, err := unix.Open(path, unix.O_PATH|unix.O_DIRECTORY|unix.O_CLOEXEC, 0)
	if err != nil {
		return -1, fmt.Errorf("open %s: %w", path, err)
	}
	return fd, nil
}

// openDir opens the directory of the target without following any link, and returns the name in it.
func openDir(t *target) (dir int, name string, err error) {
	if !filepath.IsAbs(t.Path) || filepath.Clean(t.Path) != t.Path || t.Path == "/" {
		return -1, "", fmt.Errorf("%q is not a clean absolute path", t.Path)
	}
	root, err := rootOf(t)
	if err != nil {
		return -1, "", err
	}
	defer func() { _ = unix.Close(root) }() // a path handle
	parent := strings.TrimPrefix(filepath.Dir(t.Path), "/")
	if parent == "" {
		parent = "."
	}
	dir, err = unix.Openat2(root, parent, &unix.OpenHow{
		Flags:   unix.O_RDONLY | unix.O_DIRECTORY | unix.O_CLOEXEC,
		Resolve: unix.RESOLVE_IN_ROOT | unix.RESOLVE_NO_SYMLINKS | unix.RESOLVE_NO_MAGICLINKS,
	})
	if err != nil {
		return -1, "", fmt.Errorf("open the directory of %q: %w", t.Path, err)
	}
	return dir, filepath.Base(t.Path), nil
}

// openTarget opens what the target names, and says why it must be left alone, if it must. A file that it returns is the caller's
// to close.
func openTarget(t *target, force string) (*file, string, error) {
	f := &file{dir: -1}
	if t.Exe {
		h, err := proc.Open(t.PID, t.Start)
		if err != nil {
			return nil, "", errors.Join(err, os.ErrNotExist)
		}
		defer func() { _ = h.Close() }() // held only so that the pid stays the process's
		f.f, err = os.Open("/proc/" + strconv.Itoa(int(t.PID)) + "/exe")
		if err != nil {
			return nil, "", fmt.Errorf("open the executable of pid %d: %w", t.PID, err)
		}
	} else {
		for _, top := range []string{"/proc/", "/sys/", "/dev/"} {
			if strings.HasPrefix(t.Path, top) && !strings.HasPrefix(t.Path, "/dev/shm/") {
				return nil, "it is the kernel's", nil
			}
		}
		dir, name, err := openDir(t)
		if err != nil {
			return nil, "", err
		}
		fd, err := unix.Openat(dir, name, unix.O_RDONLY|unix.O_NOFOLLOW|unix.O_NONBLOCK|unix.O_NOCTTY|unix.O_CLOEXEC, 0)
		if err != nil {
			err = errors.Join(fmt.Errorf("open %q: %w", t.Path, err), unix.Close(dir))
			return nil, "", err
		}
		f.f, f.dir, f.name = os.NewFile(uintptr(fd), t.Path), dir, name
	}
	refused, err := f.stat(t, force)
	if err != nil || refused != "" {
		return nil, refused, errors.Join(err, f.close())
	}
	return f, "", nil
}

// stat reads the metadata, and decides.
func (f *file) stat(t *target, force string) (string, error) {
	fd := int(f.f.Fd())
	var st unix.Stat_t
	if err := unix.Fstat(fd, &st); err != nil {
		return "", fmt.Errorf("stat %q: %w", t.Path, err)
	}
	f.meta = meta{Dev: st.Dev, Ino: st.Ino, Size: st.Size, Mode: st.Mode, UID: st.Uid, GID: st.Gid, Nlink: uint64(st.Nlink), Atime: st.Atim, Mtime: st.Mtim} //nolint:unconvert // its size differs by architecture
	switch {
	case st.Mode&unix.S_IFMT != unix.S_IFREG:
		return "it is no regular file", nil
	case st.Size > maxSize:
		return fmt.Sprintf("it has %d bytes, more than are copied", st.Size), nil
	}
	var own unix.Stat_t // what a drill runs is a copy of the agent, or the agent's own file
	if err := unix.Stat("/proc/self/exe", &own); err != nil {
		return "", fmt.Errorf("look at minewarden's own executable: %w", err)
	}
	if own.Dev == st.Dev && own.Ino == st.Ino {
		return "it is minewarden itself", nil
	}
	if !t.Exe && force != "packaged" {
		pkg, err := packageOf(t)
		if err != nil {
			return "", err
		}
		if pkg != "" {
			return "it belongs to package " + pkg, nil
		}
		if shared(t.Path) {
			return "it holds what others wrote as well: take the miner's lines out instead", nil
		}
	}
	var err error
	if f.meta.Xattr, err = xattrs(fd); err != nil {
		return "", fmt.Errorf("read extended attributes of %q: %w", t.Path, err)
	}
	if flags, err := unix.IoctlGetUint32(fd, unix.FS_IOC_GETFLAGS); err == nil { // not every file system has them
		f.meta.Flags = flags & keepFlags
	}
	return "", nil
}

func xattrs(fd int) (map[string][]byte, error) {
	buf := make([]byte, maxXattr)
	n, err := unix.Flistxattr(fd, buf)
	if errors.Is(err, unix.ENOTSUP) || n == 0 && err == nil {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	out := map[string][]byte{}
	for _, name := range strings.Split(strings.TrimSuffix(string(buf[:n]), "\x00"), "\x00") {
		value := make([]byte, maxXattr)
		n, err := unix.Fgetxattr(fd, name, value)
		if errors.Is(err, unix.ENODATA) {
			continue
		}
		if err != nil {
			return nil, fmt.Errorf("%s: %w", name, err)
		}
		out[name] = bytes.Clone(value[:n])
	}
	return out, nil
}

// copyAll copies, and hashes what it copies, until ctx is done.
func copyAll(ctx context.Context, to io.Writer, from io.Reader) (string, error) {
	h := sha256.New()
	buf := make([]byte, 1<<20)
	var total int64
	for {
		if err := ctx.Err(); err != nil {
			return "", err
		}
		n, err := from.Read(buf)
		if total += int64(n); total > maxSize {
			return "", fmt.Errorf("it grows beyond %d bytes", maxSize)
		}
		h.Write(buf[:n])
		if _, werr := to.Write(buf[:n]); werr != nil {
			return "", werr
		}
		if err == io.EOF {
			return hex.EncodeToString(h.Sum(nil)), nil
		}
		if err != nil {
			return "", err
		}
	}
}

func (f *file) hash(ctx context.Context) (string, error) {
	return copyAll(ctx, io.Discard, io.NewSectionReader(f.f, 0, maxSize+1))
}

func hashFile(ctx context.Context, path string) (string, error) {
	f, err := os.OpenFile(path, os.O_RDONLY|unix.O_NOFOLLOW, 0)
	if err != nil {
		return "", err
	}
	sum, err := copyAll(ctx, io.Discard, f)
	return sum, errors.Join(err, f.Close())
}

// copyTo writes the content to path, which nobody can run, syncs it, and returns the hash of what is on disk.
func (f *file) copyTo(ctx context.Context, path string) (string, error) {
	fail := func(err error) (string, error) { return "", fmt.Errorf("copy %q into quarantine: %w", f.f.Name(), err) }
	if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
		return fail(err)
	}
	out, err := os.OpenFile(path, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o400)
	if err != nil {
		return fail(err)
	}
	sum, err := copyAll(ctx, out, io.NewSectionReader(f.f, 0, maxSize+1))
	if err == nil {
		err = out.Sync()
	}
	if err = errors.Join(err, out.Close()); err == nil {
		err = journal.SyncDir(filepath.Dir(path))
	}
	if err != nil {
		return fail(err)
	}
	again, err := hashFile(ctx, path)
	if err == nil && again != sum {
		err = fmt.Errorf("what was read back differs: sha256 %s, want %s", again, sum)
	}
	if err != nil {
		return fail(err)
	}
	return sum, nil
}
