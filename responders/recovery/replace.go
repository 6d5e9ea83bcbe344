package recovery

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"golang.org/x/sys/unix"

	"github.com/minewarden/minewarden/responders/internal/journal"
)

// meta is what a file is beside its content.
type meta struct {
	Dev   uint64            `json:"dev,omitempty"`
	Ino   uint64            `json:"ino,omitempty"`
	Size  int64             `json:"size,omitempty"`
	Mode  uint32            `json:"mode"` // with the kind of file
	UID   uint32            `json:"uid"`
	GID   uint32            `json:"gid"`
	Links uint64            `json:"links,omitempty"`
	Atime unix.Timespec     `json:"atime"`
	Mtime unix.Timespec     `json:"mtime"`
	Xattr map[string][]byte `json:"xattr,omitempty"`
	Flags uint32            `json:"flags,omitempty"` // immutable, append-only
	Link  string            `json:"link,omitempty"`  // where a symbolic link leads
}

const (
	keepFlags = 0x10 | 0x20 // FS_IMMUTABLE_FL, FS_APPEND_FL of linux/fs.h
	maxXattr  = 64 << 10
)

// A spot is the open directory of a path, and the name in it.
type spot struct {
	dir  int
	name string
	path string
}

func (t tree) spot(path string) (*spot, error) {
	if !filepath.IsAbs(path) || filepath.Clean(path) != path || path == "/" {
		return nil, fmt.Errorf("%q is not a clean absolute path", path)
	}
	dir, err := t.openat(filepath.Dir(path), unix.O_RDONLY|unix.O_DIRECTORY, unix.RESOLVE_NO_SYMLINKS)
	if err != nil {
		return nil, err
	}
	return &spot{dir, filepath.Base(path), path}, nil
}

func (s *spot) close() error { return unix.Close(s.dir) }

// look returns what is at the spot; nil: nothing. Only files and symbolic links are dealt with.
func (s *spot) look(name string) (*meta, error) {
	st, err := statAt(s.dir, name, s.path)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	switch st.Mode & unix.S_IFMT {
	case unix.S_IFLNK:
		buf := make([]byte, 4096)
		n, err := unix.Readlinkat(s.dir, name, buf)
		if err != nil {
			return nil, &os.PathError{Op: "readlink", Path: s.path, Err: err}
		}
		m := metaOfStat(&st.Stat_t)
		m.Link = string(buf[:n])
		return m, nil
	case unix.S_IFREG:
	default:
		return nil, fmt.Errorf("%s: neither a file nor a link: %w", s.path, errKind)
	}
	f, m, err := s.open(name)
	if err != nil {
		return nil, err
	}
	return m, f.Close()
}

func (s *spot) open(name string) (*os.File, *meta, error) {
	fd, err := unix.Openat(s.dir, name, unix.O_RDONLY|unix.O_NOFOLLOW|unix.O_NONBLOCK|unix.O_NOCTTY|unix.O_CLOEXEC, 0)
	if err != nil {
		return nil, nil, &os.PathError{Op: "open", Path: s.path, Err: err}
	}
	f := os.NewFile(uintptr(fd), s.path)
	m, err := metaOf(fd)
	if err == nil && m.Mode&unix.S_IFMT != unix.S_IFREG {
		err = fmt.Errorf("%s: %w", s.path, errKind)
	}
	if err != nil {
		return nil, nil, errors.Join(err, f.Close())
	}
	return f, m, nil
}

func metaOfStat(st *unix.Stat_t) *meta {
	return &meta{
		Dev: st.Dev, Ino: st.Ino, Size: st.Size, Mode: st.Mode, UID: st.Uid, GID: st.Gid, Links: uint64(st.Nlink), Atime: st.Atim, Mtime: st.Mtim, //nolint:unconvert // its size differs by architecture
	}
}

func metaOf(fd int) (*meta, error) {
	var st unix.Stat_t
	if err := unix.Fstat(fd, &st); err != nil {
		return nil, err
	}
	m := metaOfStat(&st)
	if st.Mode&unix.S_IFMT != unix.S_IFREG {
		return m, nil
	}
	var err error
	if m.Xattr, err = xattrs(fd); err != nil {
		return nil, fmt.Errorf("read extended attributes: %w", err)
	}
	if flags, err := unix.IoctlGetUint32(fd, unix.FS_IOC_GETFLAGS); err == nil { // not every file system has them
		m.Flags = flags & keepFlags
	}
	return m, nil
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
	for name := range strings.SplitSeq(strings.TrimSuffix(string(buf[:n]), "\x00"), "\x00") {
		value := make([]byte, maxXattr)
		k, err := unix.Fgetxattr(fd, name, value)
		if errors.Is(err, unix.ENODATA) {
			continue
		}
		if err != nil {
			return nil, fmt.Errorf("%s: %w", name, err)
		}
		out[name] = bytes.Clone(value[:k])
	}
	return out, nil
}

// same reports whether o is the very file that m was, unchanged.
func (m *meta) same(o *meta) bool {
	if m == nil || o == nil {
		return m == nil && o == nil
	}
	return m.Dev == o.Dev && m.Ino == o.Ino && m.Size == o.Size && m.Mode == o.Mode && m.Mtime == o.Mtime && m.Link == o.Link
}

// apply gives an open file what m says. The flags come with setFlags, last.
func (m *meta) apply(fd int) error {
	if err := unix.Fchown(fd, int(m.UID), int(m.GID)); err != nil {
		return fmt.Errorf("owner: %w", err)
	}
	if err := unix.Fchmod(fd, m.Mode&0o7777); err != nil { // after the owner, which takes set-id away
		return fmt.Errorf("mode: %w", err)
	}
	for name, value := range m.Xattr {
		if err := unix.Fsetxattr(fd, name, value, 0); err != nil {
			return fmt.Errorf("attribute %s: %w", name, err)
		}
	}
	times := []unix.Timespec{m.Atime, m.Mtime}
	if err := unix.UtimesNanoAt(unix.AT_FDCWD, fmt.Sprintf("/proc/self/fd/%d", fd), times, 0); err != nil {
		return fmt.Errorf("times: %w", err)
	}
	return nil
}

func (s *spot) setFlags(name string, want uint32) error {
	fd, err := unix.Openat(s.dir, name, unix.O_RDONLY|unix.O_NOFOLLOW|unix.O_NONBLOCK|unix.O_CLOEXEC, 0)
	if err != nil {
		return err
	}
	flags, err := unix.IoctlGetUint32(fd, unix.FS_IOC_GETFLAGS)
	switch {
	case err != nil && want == 0:
		err = nil // a file system without flags
	case err == nil && flags&keepFlags != want:
		err = unix.IoctlSetPointerInt(fd, unix.FS_IOC_SETFLAGS, int(flags&^keepFlags|want))
	}
	return errors.Join(err, unix.Close(fd))
}

func hidden(id string) string { return ".minewarden-" + id + "~" }

// stage makes a file beside the spot, under a name of ours, and returns its content's SHA-256 and its inode.
func (s *spot) stage(ctx context.Context, id string, from content) (string, *meta, error) {
	fd, err := unix.Openat(s.dir, hidden(id), unix.O_RDWR|unix.O_CREAT|unix.O_EXCL|unix.O_NOFOLLOW|unix.O_CLOEXEC, 0o600)
	if err != nil {
		return "", nil, &os.PathError{Op: "create", Path: filepath.Join(filepath.Dir(s.path), hidden(id)), Err: err}
	}
	f := os.NewFile(uintptr(fd), hidden(id))
	h := sha256.New()
	m, err := from(ctx, io.MultiWriter(f, h))
	if err == nil {
		err = m.apply(fd)
	}
	var got *meta
	if err == nil {
		err = f.Sync()
	}
	if err == nil {
		got, err = metaOf(fd)
	}
	if err = errors.Join(err, f.Close()); err != nil {
		return "", nil, errors.Join(err, s.drop(id))
	}
	return hex.EncodeToString(h.Sum(nil)), got, nil
}

// drop removes what was staged, if it is there.
func (s *spot) drop(id string) error {
	if err := s.setFlags(hidden(id), 0); err != nil && !errors.Is(err, unix.ENOENT) && !errors.Is(err, unix.ELOOP) {
		return err
	}
	if err := unix.Unlinkat(s.dir, hidden(id), 0); err != nil && !errors.Is(err, unix.ENOENT) {
		return &os.PathError{Op: "remove", Path: filepath.Join(filepath.Dir(s.path), hidden(id)), Err: err}
	}
	return nil
}

// swap gives the name to what is staged, and the hidden name to what had it, if that is old still; nil: nothing had it. What had the
// name is removed with drop. Whoever changes it meanwhile loses nothing.
func (s *spot) swap(id string, old *meta) error {
	if old == nil {
		err := unix.Renameat2(s.dir, hidden(id), s.dir, s.name, unix.RENAME_NOREPLACE)
		if err != nil {
			return &os.PathError{Op: "put in place", Path: s.path, Err: err}
		}
		return unix.Fsync(s.dir)
	}
	if old.Flags != 0 {
		if err := s.setFlags(s.name, 0); err != nil {
			return &os.PathError{Op: "clear the flags of", Path: s.path, Err: err}
		}
	}
	if err := unix.Renameat2(s.dir, hidden(id), s.dir, s.name, unix.RENAME_EXCHANGE); err != nil {
		return errors.Join(&os.PathError{Op: "put in place", Path: s.path, Err: err}, s.setFlags(s.name, old.Flags))
	}
	now, err := s.look(hidden(id))
	if err == nil && !now.same(old) {
		err = fmt.Errorf("%s: %w", s.path, errChanged)
	}
	if err != nil {
		return errors.Join(err, unix.Renameat2(s.dir, hidden(id), s.dir, s.name, unix.RENAME_EXCHANGE), s.setFlags(s.name, old.Flags))
	}
	return unix.Fsync(s.dir)
}

// errChanged is wrapped where a file is not what was planned for, or not what was left.
var errChanged = errors.New("somebody changed it meanwhile: plan again")

// keep copies what is at the spot to path, which nobody can run, and returns its SHA-256.
func (s *spot) keep(ctx context.Context, old *meta, path string) (string, error) {
	if old == nil || old.Link != "" {
		return "", nil // all of it is in the journal
	}
	f, m, err := s.open(s.name)
	if err != nil {
		return "", err
	}
	defer func() { _ = f.Close() }() // it was only read
	if !m.same(old) {
		return "", fmt.Errorf("%s: %w", s.path, errChanged)
	}
	if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
		return "", err
	}
	out, err := os.OpenFile(path, os.O_WRONLY|os.O_CREATE|os.O_TRUNC|unix.O_NOFOLLOW, 0o400)
	if err != nil {
		return "", err
	}
	h := sha256.New()
	_, err = io.Copy(io.MultiWriter(out, h), &bounded{ctx: ctx, r: f, left: maxFile})
	if err == nil {
		err = out.Sync()
	}
	if err = errors.Join(err, out.Close()); err == nil {
		err = journal.SyncDir(filepath.Dir(path))
	}
	return hex.EncodeToString(h.Sum(nil)), err
}

// putLink stages a symbolic link.
func (s *spot) putLink(id string, m *meta) error {
	if err := unix.Symlinkat(m.Link, s.dir, hidden(id)); err != nil {
		return &os.PathError{Op: "link", Path: s.path, Err: err}
	}
	if err := unix.Fchownat(s.dir, hidden(id), int(m.UID), int(m.GID), unix.AT_SYMLINK_NOFOLLOW); err != nil {
		return &os.PathError{Op: "own", Path: s.path, Err: err}
	}
	return unix.UtimesNanoAt(s.dir, hidden(id), []unix.Timespec{m.Atime, m.Mtime}, unix.AT_SYMLINK_NOFOLLOW)
}
