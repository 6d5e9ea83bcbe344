package recovery

import (
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"

	"golang.org/x/sys/unix"
)

// tree is a directory as the / of a host. Links in it lead to where they would on that host, and never out of it.
type tree struct{ dir string }

// errKind is wrapped for what is no regular file.
var errKind = errors.New("it is no regular file")

// stat is what is at a path.
type stat struct{ unix.Stat_t }

func (s *stat) regular() bool { return s.Mode&unix.S_IFMT == unix.S_IFREG }

func (t tree) openat(path string, flags uint64, resolve uint64) (int, error) {
	root, err := unix.Open(t.dir, unix.O_PATH|unix.O_DIRECTORY|unix.O_CLOEXEC, 0)
	if err != nil {
		return -1, &os.PathError{Op: "open", Path: t.dir, Err: err}
	}
	defer func() { _ = unix.Close(root) }() // a path handle
	rel := strings.TrimPrefix(path, "/")
	if rel == "" {
		rel = "."
	}
	fd, err := unix.Openat2(root, rel, &unix.OpenHow{
		Flags: flags | unix.O_CLOEXEC | unix.O_NONBLOCK | unix.O_NOCTTY, Resolve: unix.RESOLVE_IN_ROOT | unix.RESOLVE_NO_MAGICLINKS | resolve,
	})
	if err != nil {
		return -1, &os.PathError{Op: "open", Path: path, Err: err}
	}
	return fd, nil
}

// open opens a regular file. It waits for nothing.
func (t tree) open(path string) (*os.File, error) {
	fd, err := t.openat(path, unix.O_RDONLY, 0)
	if err != nil {
		return nil, err
	}
	f := os.NewFile(uintptr(fd), path)
	fi, err := f.Stat()
	if err == nil && !fi.Mode().IsRegular() {
		err = fmt.Errorf("%s: %w", path, errKind)
	}
	if err != nil {
		return nil, errors.Join(err, f.Close())
	}
	return f, nil
}

// lstat looks at a path whose last part is not followed.
func (t tree) lstat(path string) (*stat, error) {
	dir, name, err := t.openDir(path)
	if err != nil {
		return nil, err
	}
	defer func() { _ = unix.Close(dir) }() // only looked into
	return statAt(dir, name, path)
}

func statAt(dir int, name, path string) (*stat, error) {
	var s stat
	if err := unix.Fstatat(dir, name, &s.Stat_t, unix.AT_SYMLINK_NOFOLLOW); err != nil {
		return nil, &os.PathError{Op: "stat", Path: path, Err: err}
	}
	return &s, nil
}

// openDir opens the directory of path, and returns the name in it.
func (t tree) openDir(path string) (int, string, error) {
	if !filepath.IsAbs(path) || filepath.Clean(path) != path || path == "/" {
		return -1, "", fmt.Errorf("%q is not a clean absolute path", path)
	}
	dir, err := t.openat(filepath.Dir(path), unix.O_RDONLY|unix.O_DIRECTORY, 0)
	return dir, filepath.Base(path), err
}

// canonical resolves links in the directory of path, as the host would.
func (t tree) canonical(path string) (string, error) {
	dir, name, err := t.openDir(path)
	if err != nil {
		return "", err
	}
	defer func() { _ = unix.Close(dir) }() // only asked for its name
	real, err := os.Readlink(fmt.Sprintf("/proc/self/fd/%d", dir))
	if err != nil {
		return "", err
	}
	root, err := filepath.EvalSymlinks(t.dir)
	if err != nil {
		return "", err
	}
	if root != "/" {
		rel, ok := strings.CutPrefix(real, root)
		if !ok || rel != "" && rel[0] != '/' {
			return "", fmt.Errorf("%q leads out of %s", path, root)
		}
		real = rel
	}
	return filepath.Join("/", real, name), nil
}

// names returns what is in a directory.
func (t tree) names(path string) ([]string, error) {
	fd, err := t.openat(path, unix.O_RDONLY|unix.O_DIRECTORY, 0)
	if err != nil {
		return nil, err
	}
	d := os.NewFile(uintptr(fd), path)
	names, err := d.Readdirnames(4 * maxPackages)
	if errors.Is(err, io.EOF) {
		err = nil
	}
	return names, errors.Join(err, d.Close())
}
