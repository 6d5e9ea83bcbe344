package evidence

import (
	"archive/tar"
	"errors"
	"fmt"
	"io"
	"os"
	"path"
	"time"

	"golang.org/x/sys/unix"
)

const (
	maxEntries = 1 << 20 // of a directory that is collected
	maxDepth   = 128
)

// image collects the path that the operator gave: a directory as an archive, a file or a disk as it is.
func (c *collector) image() error {
	p := c.wish.path
	f, err := openBelow("/", p)
	if err != nil {
		c.skip("image "+p, err)
		return nil
	}
	fi, err := f.Stat()
	if err != nil {
		c.skip("image "+p, err)
		return f.Close()
	}
	s := source{what: "image", name: p, sums: true, meta: metaOf(fi), limit: c.config.MaxSize << 20}
	switch {
	case fi.IsDir():
		s.ext = "tar"
		w := &walker{c: c, dev: s.meta.Dev}
		err = c.part(s, func(out io.Writer) error {
			w.tar = tar.NewWriter(out)
			if err := w.dir(f, ".", 0); err != nil {
				return err
			}
			return w.tar.Close()
		})
	case fi.Mode().IsRegular(), fi.Mode()&os.ModeDevice != 0 && fi.Mode()&os.ModeCharDevice == 0:
		err = c.part(s, func(w io.Writer) error { _, err := io.CopyBuffer(w, reader{f}, make([]byte, 256<<10)); return err })
	default:
		c.skip("image "+p, fmt.Errorf("it is neither a directory nor a file nor a disk: %s", fi.Mode()))
	}
	return errors.Join(err, f.Close())
}

// walker writes a directory into an archive. It stays on its file system, follows no link, and opens nothing but directories and
// regular files.
type walker struct {
	c       *collector
	tar     *tar.Writer
	dev     uint64
	entries int
}

func (w *walker) dir(d *os.File, name string, depth int) error {
	if depth > maxDepth {
		w.c.skip("image directory "+name, fmt.Errorf("it is deeper than %d", maxDepth))
		return nil
	}
	for {
		names, err := d.Readdirnames(1024)
		for _, n := range names {
			if w.entries++; w.entries > maxEntries {
				return fmt.Errorf("%w: there are more than %d files", errStop, maxEntries)
			}
			if err := w.entry(d, n, path.Join(name, n), depth); err != nil {
				return err
			}
		}
		if errors.Is(err, io.EOF) || err == nil && len(names) == 0 {
			return nil
		}
		if err != nil {
			w.c.skip("image directory "+name, err)
			return nil
		}
	}
}

// entry writes one. What cannot be read is written down; only what cannot be written ends the walk.
func (w *walker) entry(d *os.File, base, name string, depth int) error {
	var st unix.Stat_t
	if err := unix.Fstatat(int(d.Fd()), base, &st, unix.AT_SYMLINK_NOFOLLOW); err != nil {
		w.c.skip("image "+name, err)
		return nil
	}
	kind := st.Mode & unix.S_IFMT
	link := ""
	if kind == unix.S_IFLNK {
		buf := make([]byte, maxPath)
		n, err := unix.Readlinkat(int(d.Fd()), base, buf)
		if err != nil {
			w.c.skip("image "+name, err)
			return nil
		}
		link = string(buf[:n])
	}
	if kind != unix.S_IFREG && kind != unix.S_IFDIR {
		_, err := w.header(&st, kind, name, link, 0)
		return err
	}
	fd, err := unix.Openat(int(d.Fd()), base, unix.O_RDONLY|unix.O_NOFOLLOW|unix.O_NONBLOCK|unix.O_NOCTTY|unix.O_CLOEXEC, 0)
	if err != nil {
		w.c.skip("image "+name, err)
		return nil
	}
	f := os.NewFile(uintptr(fd), name)
	if err = unix.Fstat(fd, &st); err == nil && st.Mode&unix.S_IFMT != kind {
		err = errors.New("it became something else")
	}
	switch {
	case err != nil:
		w.c.skip("image "+name, err)
		err = nil
	case kind == unix.S_IFREG:
		err = w.file(f, &st, name)
	case st.Dev != w.dev:
		w.c.skip("image directory "+name, errors.New("it is of another file system"))
	default:
		if _, err = w.header(&st, kind, name+"/", "", 0); err == nil {
			err = w.dir(f, name, depth+1)
		}
	}
	return errors.Join(err, f.Close())
}

// header returns false for what no archive can hold.
func (w *walker) header(st *unix.Stat_t, kind uint32, name, link string, size int64) (bool, error) {
	h := &tar.Header{
		Name: name, Linkname: link, Size: size, Mode: int64(st.Mode & 0o7777), Uid: int(st.Uid), Gid: int(st.Gid),
		ModTime: timeOf(st.Mtim), AccessTime: timeOf(st.Atim), ChangeTime: timeOf(st.Ctim), Format: tar.FormatPAX,
	}
	switch kind {
	case unix.S_IFREG:
		h.Typeflag = tar.TypeReg
	case unix.S_IFDIR:
		h.Typeflag = tar.TypeDir
	case unix.S_IFLNK:
		h.Typeflag = tar.TypeSymlink
	case unix.S_IFIFO:
		h.Typeflag = tar.TypeFifo
	case unix.S_IFCHR, unix.S_IFBLK:
		h.Typeflag = tar.TypeChar
		if kind == unix.S_IFBLK {
			h.Typeflag = tar.TypeBlock
		}
		h.Devmajor, h.Devminor = int64(unix.Major(uint64(st.Rdev))), int64(unix.Minor(uint64(st.Rdev))) //nolint:unconvert // its size differs by architecture
	default:
		w.c.skip("image "+name, errors.New("it is a socket"))
		return false, nil
	}
	err := w.tar.WriteHeader(h)
	if errors.Is(err, tar.ErrHeader) {
		w.c.skip("image "+name, err)
		return false, nil
	}
	return err == nil, err
}

// file writes exactly the size that the header says: what a file loses meanwhile is filled with zeros, and written down.
func (w *walker) file(f *os.File, st *unix.Stat_t, name string) error {
	if ok, err := w.header(st, unix.S_IFREG, name, "", st.Size); err != nil || !ok {
		return err
	}
	n, err := io.CopyBuffer(w.tar, reader{io.LimitReader(f, st.Size)}, make([]byte, 64<<10))
	if n < st.Size && (err == nil || errors.Is(err, unix.EIO)) {
		w.c.skip("image "+name, fmt.Errorf("only %d of its %d bytes could be read; zeros stand for the others", n, st.Size))
		_, err = io.CopyN(w.tar, zeroReader{}, st.Size-n)
	}
	return err
}

type zeroReader struct{}

func (zeroReader) Read(b []byte) (int, error) {
	clear(b)
	return len(b), nil
}

func timeOf(t unix.Timespec) time.Time { return time.Unix(t.Unix()) }
