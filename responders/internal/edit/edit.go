// Package edit changes files of a host, or of a tree that is mounted or unpacked somewhere, so that it can be taken back to the
// byte: with mode, owner, times, extended attributes and the immutable flag. No link is followed, nothing is changed
// that is not what was looked at, and a reader sees the old file or the new one.
package edit

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
	"strings"
	"time"

	"golang.org/x/sys/unix"
)

// MaxSize is the largest file that is edited, in bytes: what people and miners write into these places has kilobytes.
const MaxSize = 2 << 20

const (
	keepFlags = 0x10 | 0x20 // FS_IMMUTABLE_FL, FS_APPEND_FL of linux/fs.h
	maxXattr  = 64 << 10
	maxNames  = 4096 // of one directory
	lockTime  = 15 * time.Second
)

// ErrChanged is wrapped when a file is not, or not any more, what it was looked at as.
var ErrChanged = errors.New("it was changed meanwhile")

// ErrRefused is wrapped when a file is of a sort that is left alone.
var ErrRefused = errors.New("left alone")

// A Root is a directory as the / of a host. Paths are absolute, as on that host.
type Root struct{ Dir string }

// A Meta is what a file is beside its content.
type Meta struct {
	Mode  uint32            `json:"mode"` // as st_mode
	UID   uint32            `json:"uid"`
	GID   uint32            `json:"gid"`
	Atime unix.Timespec     `json:"atime"`
	Mtime unix.Timespec     `json:"mtime"`
	Xattr map[string][]byte `json:"xattr,omitempty"`
	Flags uint32            `json:"flags,omitempty"` // immutable, append-only
}

// Same reports whether two are equal but for the time of the last access.
func (m *Meta) Same(o *Meta) bool {
	if m.Mode != o.Mode || m.UID != o.UID || m.GID != o.GID || m.Mtime != o.Mtime || m.Flags != o.Flags || len(m.Xattr) != len(o.Xattr) {
		return false
	}
	for k, v := range m.Xattr {
		if w, ok := o.Xattr[k]; !ok || !bytes.Equal(v, w) {
			return false
		}
	}
	return true
}

// A File is a regular file as it was when it was opened. The caller closes it.
type File struct {
	Path string
	Data []byte
	SHA  string // SHA-256 of Data
	Meta Meta

	f        *os.File
	dir      int
	name     string
	dev, ino uint64
}

// Sum returns the SHA-256 of data.
func Sum(data []byte) string {
	s := sha256.Sum256(data)
	return hex.EncodeToString(s[:])
}

// Canonical rewrites the names that every merged-/usr system has as links.
func Canonical(path string) string {
	path = filepath.Clean(path)
	for _, p := range [...][2]string{{"/lib/", "/usr/lib/"}, {"/bin/", "/usr/bin/"}, {"/sbin/", "/usr/sbin/"}, {"/var/run/", "/run/"}} {
		if rest, ok := strings.CutPrefix(path, p[0]); ok {
			return p[1] + rest
		}
	}
	return path
}

// openDir opens a directory below the root without following any link. The caller closes it.
func (r Root) openDir(path string) (int, error) {
	if !filepath.IsAbs(path) || filepath.Clean(path) != path {
		return -1, fmt.Errorf("%q is not a clean absolute path", path)
	}
	root, err := unix.Open(r.Dir, unix.O_PATH|unix.O_DIRECTORY|unix.O_CLOEXEC, 0)
	if err != nil {
		return -1, fmt.Errorf("open the root %s: %w", r.Dir, err)
	}
	defer func() { _ = unix.Close(root) }() // a path handle
	rel := strings.TrimPrefix(path, "/")
	if rel == "" {
		rel = "."
	}
	for range 16 { // EAGAIN: something was renamed meanwhile
		fd, err := unix.Openat2(root, rel, &unix.OpenHow{
			Flags:   unix.O_RDONLY | unix.O_DIRECTORY | unix.O_CLOEXEC,
			Resolve: unix.RESOLVE_IN_ROOT | unix.RESOLVE_NO_SYMLINKS | unix.RESOLVE_NO_MAGICLINKS,
		})
		switch {
		case err == nil:
			return fd, nil
		case errors.Is(err, unix.ELOOP):
			// Where /bin is a link, user bin has no /bin/.ssh all the same: nothing is refused that is not there.
			if fd, err := unix.Openat2(root, rel, &unix.OpenHow{Flags: unix.O_PATH | unix.O_CLOEXEC, Resolve: unix.RESOLVE_IN_ROOT}); err == nil {
				_ = unix.Close(fd) // a path handle
			} else if errors.Is(err, unix.ENOENT) {
				return -1, fmt.Errorf("open %s: %w", path, err)
			}
			return -1, fmt.Errorf("open %s: %w: a symbolic link leads there", path, ErrRefused)
		case !errors.Is(err, unix.EAGAIN) && !errors.Is(err, unix.EINTR):
			return -1, fmt.Errorf("open %s: %w", path, err)
		}
	}
	return -1, fmt.Errorf("open %s: %w", path, unix.EAGAIN)
}

// Names returns what is in a directory, at most 4096 names; more is an error beside them.
func (r Root) Names(path string) ([]string, error) {
	fd, err := r.openDir(path)
	if err != nil {
		return nil, err
	}
	d := os.NewFile(uintptr(fd), path)
	names, err := d.Readdirnames(maxNames + 1)
	if errors.Is(err, io.EOF) {
		err = nil
	}
	if len(names) > maxNames {
		names, err = names[:maxNames], fmt.Errorf("list %s: more than %d names; the others are not looked at", path, maxNames)
	}
	return names, errors.Join(err, d.Close())
}

// Open reads a file. ErrRefused is wrapped for links, for what is no regular file, has several names or is too large.
func (r Root) Open(path string) (*File, error) {
	if path == "/" {
		return nil, fmt.Errorf("open /: %w", ErrRefused)
	}
	if !filepath.IsAbs(path) || filepath.Clean(path) != path {
		return nil, fmt.Errorf("%q is not a clean absolute path", path)
	}
	dir, err := r.openDir(filepath.Dir(path))
	if err != nil {
		return nil, err
	}
	f, err := openAt(dir, filepath.Base(path), path)
	if err != nil {
		return nil, errors.Join(err, unix.Close(dir))
	}
	return f, nil
}

// openAt takes dir over when it returns no error.
func openAt(dir int, name, path string) (*File, error) {
	const flags = unix.O_RDONLY | unix.O_NOFOLLOW | unix.O_NONBLOCK | unix.O_NOCTTY | unix.O_CLOEXEC
	fd, err := unix.Openat(dir, name, flags|unix.O_NOATIME, 0)
	if errors.Is(err, unix.EPERM) {
		fd, err = unix.Openat(dir, name, flags, 0)
	}
	if errors.Is(err, unix.ELOOP) {
		return nil, fmt.Errorf("%s: %w: it is a symbolic link", path, ErrRefused)
	}
	if err != nil {
		return nil, fmt.Errorf("open %s: %w", path, err)
	}
	f := &File{Path: path, f: os.NewFile(uintptr(fd), path), dir: dir, name: name}
	if err := f.read(); err != nil {
		return nil, errors.Join(err, f.f.Close())
	}
	return f, nil
}

// Close ends the handles.
func (f *File) Close() error { return errors.Join(f.f.Close(), unix.Close(f.dir)) }

func (f *File) read() error {
	var before, after unix.Stat_t
	fd := int(f.f.Fd())
	if err := unix.Fstat(fd, &before); err != nil {
		return fmt.Errorf("stat %s: %w", f.Path, err)
	}
	switch {
	case before.Mode&unix.S_IFMT != unix.S_IFREG:
		return fmt.Errorf("%s: %w: it is no regular file", f.Path, ErrRefused)
	case before.Nlink > 1:
		return fmt.Errorf("%s: %w: it has %d more names, which would part from it", f.Path, ErrRefused, before.Nlink-1)
	case before.Size > MaxSize:
		return fmt.Errorf("%s: %w: it has %d bytes, more than the %d that are edited", f.Path, ErrRefused, before.Size, MaxSize)
	}
	var err error
	if f.Data, err = io.ReadAll(io.NewSectionReader(f.f, 0, MaxSize+1)); err != nil {
		return fmt.Errorf("read %s: %w", f.Path, err)
	}
	if err := unix.Fstat(fd, &after); err != nil {
		return fmt.Errorf("stat %s: %w", f.Path, err)
	}
	if len(f.Data) > MaxSize || before.Mtim != after.Mtim || before.Size != after.Size || int64(len(f.Data)) != after.Size {
		return fmt.Errorf("read %s: %w", f.Path, ErrChanged)
	}
	f.SHA, f.dev, f.ino = Sum(f.Data), after.Dev, after.Ino
	f.Meta = Meta{Mode: after.Mode, UID: after.Uid, GID: after.Gid, Atime: after.Atim, Mtime: after.Mtim}
	if f.Meta.Xattr, err = xattrs(fd); err != nil {
		return fmt.Errorf("read extended attributes of %s: %w", f.Path, err)
	}
	if flags, err := unix.IoctlGetUint32(fd, unix.FS_IOC_GETFLAGS); err == nil { // not every file system has them
		f.Meta.Flags = flags & keepFlags
	}
	return nil
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

// setFlags does nothing where the file has none and shall have none.
func setFlags(fd int, had, want uint32) error {
	if had == 0 && want == 0 {
		return nil
	}
	all, err := unix.IoctlGetUint32(fd, unix.FS_IOC_GETFLAGS)
	if err == nil {
		err = unix.IoctlSetPointerInt(fd, unix.FS_IOC_SETFLAGS, int(all&^uint32(keepFlags)|want))
	}
	if err != nil {
		return fmt.Errorf("set file flags %#x: %w", want, err)
	}
	return nil
}

// Lock takes the lock that passwd, useradd and the like take before they change accounts, and returns what gives it back. It
// tries for as long as they do.
func (r Root) Lock(ctx context.Context) (func() error, error) {
	const path = "/etc/.pwd.lock"
	dir, err := r.openDir(filepath.Dir(path))
	if err != nil {
		return nil, err
	}
	fd, err := unix.Openat(dir, filepath.Base(path), unix.O_WRONLY|unix.O_CREAT|unix.O_NOFOLLOW|unix.O_NONBLOCK|unix.O_CLOEXEC, 0o600)
	if err = errors.Join(err, unix.Close(dir)); err != nil {
		return nil, fmt.Errorf("open %s: %w", path, err)
	}
	ctx, cancel := context.WithTimeout(ctx, lockTime)
	defer cancel()
	retry := time.NewTicker(50 * time.Millisecond)
	defer retry.Stop()
	for {
		err := unix.FcntlFlock(uintptr(fd), unix.F_OFD_SETLK, &unix.Flock_t{Type: unix.F_WRLCK})
		if err == nil {
			return func() error { return unix.Close(fd) }, nil
		}
		if !errors.Is(err, unix.EAGAIN) && !errors.Is(err, unix.EACCES) && !errors.Is(err, unix.EINTR) {
			return nil, errors.Join(fmt.Errorf("lock %s: %w", path, err), unix.Close(fd))
		}
		select {
		case <-ctx.Done():
			return nil, errors.Join(fmt.Errorf("lock %s: somebody changes accounts: %w", path, ctx.Err()), unix.Close(fd))
		case <-retry.C:
		}
	}
}

// Stat returns what is at path, links not followed.
func (r Root) Stat(path string) (unix.Stat_t, error) {
	var st unix.Stat_t
	if !filepath.IsAbs(path) || filepath.Clean(path) != path {
		return st, fmt.Errorf("%q is not a clean absolute path", path)
	}
	dir, err := r.openDir(filepath.Dir(path))
	if err != nil {
		return st, err
	}
	name := filepath.Base(path)
	if path == "/" {
		name = "."
	}
	if err = unix.Fstatat(dir, name, &st, unix.AT_SYMLINK_NOFOLLOW); err != nil {
		err = fmt.Errorf("stat %s: %w", path, err)
	}
	return st, errors.Join(err, unix.Close(dir))
}
