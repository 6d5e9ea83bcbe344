package host

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path"
	"slices"
	"strings"

	"golang.org/x/sys/unix"
)

// Root is a directory as the / of a host: this host's own, a mounted disk, an unpacked image. Symbolic links in it lead to
// where they would lead on that host, and never out of the directory. Opening never blocks on a FIFO, nor does reading.
// It implements fs.ReadLinkFS, fs.ReadDirFS and fs.StatFS.
type Root struct {
	dir *os.File
}

var (
	_ fs.ReadLinkFS = (*Root)(nil)
	_ fs.ReadDirFS  = (*Root)(nil)
	_ fs.StatFS     = (*Root)(nil)
)

// OpenRoot opens dir. It needs Linux 5.6.
func OpenRoot(dir string) (*Root, error) {
	f, err := os.OpenFile(dir, os.O_RDONLY|unix.O_DIRECTORY, 0)
	if err != nil {
		return nil, fmt.Errorf("open root: %w", err)
	}
	r := &Root{f}
	probe, err := r.Open(".")
	if err != nil {
		return nil, errors.Join(fmt.Errorf("open root %s: %w", dir, err), f.Close())
	}
	return r, probe.Close()
}

// Close ends it.
func (r *Root) Close() error { return r.dir.Close() }

func (r *Root) open(op, name string, flags uint64) (*os.File, error) {
	if !fs.ValidPath(name) {
		return nil, &fs.PathError{Op: op, Path: name, Err: fs.ErrInvalid}
	}
	how := unix.OpenHow{Flags: flags | unix.O_CLOEXEC, Resolve: unix.RESOLVE_IN_ROOT | unix.RESOLVE_NO_MAGICLINKS}
	for range 16 { // EAGAIN: something was renamed meanwhile
		fd, err := unix.Openat2(int(r.dir.Fd()), name, &how)
		switch {
		case err == nil:
			return os.NewFile(uintptr(fd), name), nil
		case !errors.Is(err, unix.EAGAIN) && !errors.Is(err, unix.EINTR):
			return nil, &fs.PathError{Op: op, Path: name, Err: err}
		}
	}
	return nil, &fs.PathError{Op: op, Path: name, Err: unix.EAGAIN}
}

// Open implements fs.FS.
func (r *Root) Open(name string) (fs.File, error) {
	f, err := r.open("open", name, unix.O_RDONLY|unix.O_NONBLOCK|unix.O_NOCTTY)
	if err != nil {
		return nil, err
	}
	return rootFile{f, r, name}, nil
}

// rootFile is a file whose entries, if it is a directory, are looked up through the root: os.File would go by name.
type rootFile struct {
	*os.File
	root *Root
	name string
}

// ReadDir implements fs.ReadDirFile.
func (f rootFile) ReadDir(n int) ([]fs.DirEntry, error) {
	entries, err := f.File.ReadDir(n)
	for i, e := range entries {
		entries[i] = rootEntry{e, f.root, path.Join(f.name, e.Name())}
	}
	return entries, err
}

type rootEntry struct {
	fs.DirEntry
	root *Root
	path string
}

// Info implements fs.DirEntry.
func (e rootEntry) Info() (fs.FileInfo, error) { return e.root.Lstat(e.path) }

// Stat implements fs.StatFS.
func (r *Root) Stat(name string) (fs.FileInfo, error) { return r.stat("stat", name, 0) }

// Lstat implements fs.ReadLinkFS.
func (r *Root) Lstat(name string) (fs.FileInfo, error) { return r.stat("lstat", name, unix.O_NOFOLLOW) }

func (r *Root) stat(op, name string, flags uint64) (fs.FileInfo, error) {
	f, err := r.open(op, name, unix.O_PATH|flags)
	if err != nil {
		return nil, err
	}
	info, err := f.Stat()
	return info, errors.Join(err, f.Close())
}

// ReadLink implements fs.ReadLinkFS.
func (r *Root) ReadLink(name string) (string, error) {
	f, err := r.open("readlink", name, unix.O_PATH|unix.O_NOFOLLOW)
	if err != nil {
		return "", err
	}
	defer f.Close()
	buf := make([]byte, unix.PathMax)
	n, err := unix.Readlinkat(int(f.Fd()), "", buf)
	if err != nil {
		return "", &fs.PathError{Op: "readlink", Path: name, Err: err}
	}
	return string(buf[:n]), nil
}

// ReadDir implements fs.ReadDirFS.
func (r *Root) ReadDir(name string) ([]fs.DirEntry, error) {
	f, err := r.open("open", name, unix.O_RDONLY|unix.O_DIRECTORY)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	entries, err := rootFile{f, r, name}.ReadDir(-1)
	slices.SortFunc(entries, func(a, b fs.DirEntry) int { return strings.Compare(a.Name(), b.Name()) })
	return entries, err
}

// ReadHead returns at most limit bytes from the start of a regular file; of anything else it returns an error.
func ReadHead(root fs.FS, name string, limit int64) ([]byte, fs.FileInfo, error) {
	f, err := root.Open(name)
	if err != nil {
		return nil, nil, err
	}
	defer f.Close()
	info, err := f.Stat()
	if err != nil {
		return nil, nil, err
	}
	if !info.Mode().IsRegular() {
		return nil, info, &fs.PathError{Op: "read", Path: name, Err: errNotRegular}
	}
	data, err := io.ReadAll(io.LimitReader(f, limit))
	return data, info, err
}

var errNotRegular = errors.New("not a regular file")

// Dir opens a directory without the right to read it: for watching.
func (r *Root) Dir(name string) (*os.File, error) {
	return r.open("open", name, unix.O_PATH|unix.O_DIRECTORY)
}
