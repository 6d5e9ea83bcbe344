package evidence

import (
	"errors"
	"fmt"
	"io"
	"os"
	"strconv"
	"strings"
	"syscall"
	"time"

	"golang.org/x/sys/unix"

	"github.com/minewarden/minewarden/internal/proc"
	"github.com/minewarden/minewarden/responders/evidence/vault"
)

// executable collects what a process runs: by /proc/PID/exe, which leads to the file also when it has no name any more.
func (c *collector) executable(h *proc.Handle, exe string) error {
	return c.copyOf(h, "executable", procPath(h.PID, "exe"), exe)
}

// copyOf makes a part of the file behind a link of /proc, once for each file.
func (c *collector) copyOf(h *proc.Handle, what, link, name string) error {
	_, err := c.mayRead(h.PID, link, name)
	var f *os.File
	var meta *vault.Meta
	if err == nil {
		f, meta, err = openRegular(link)
	}
	if err == nil {
		if err = same(h); err != nil {
			err = errors.Join(err, f.Close())
		}
	}
	if err != nil {
		if !errors.Is(err, os.ErrNotExist) || same(h) == nil {
			c.skip(fmt.Sprintf("%s %s of pid %d", what, name, h.PID), err)
		}
		return nil
	}
	return c.copyFile(source{what: what, name: name, pid: h.PID, sums: true, meta: meta}, f)
}

// copyFile makes a part of f, if no part has that file yet, and closes it.
func (c *collector) copyFile(s source, f *os.File) error {
	id := fileID{s.meta.Dev, s.meta.Ino}
	if first, ok := c.seen[id]; ok {
		if first != s.name {
			c.skip(s.what+" "+s.name, fmt.Errorf("it is the same file as %s, which is collected", first))
		}
		return f.Close()
	}
	before := len(c.m.Parts)
	err := c.part(s, func(w io.Writer) error { _, err := io.CopyBuffer(w, reader{f}, make([]byte, 256<<10)); return err })
	if len(c.m.Parts) > before {
		c.seen[id] = s.name
	}
	return errors.Join(err, f.Close())
}

// reader hides WriteTo of a file, which would not use our buffer.
type reader struct{ io.Reader }

// openRegular opens a path if it is, or leads to, a regular file. It waits for nothing: not for the other end of a FIFO.
func openRegular(path string) (*os.File, *vault.Meta, error) {
	return regular(os.OpenFile(path, os.O_RDONLY|unix.O_NONBLOCK|unix.O_NOCTTY|unix.O_CLOEXEC, 0))
}

func regular(f *os.File, err error) (*os.File, *vault.Meta, error) {
	if err != nil {
		return nil, nil, err
	}
	fi, err := f.Stat()
	if err == nil && !fi.Mode().IsRegular() {
		err = fmt.Errorf("it is no regular file: %s", fi.Mode())
	}
	if err != nil {
		return nil, nil, errors.Join(err, f.Close())
	}
	return f, metaOf(fi), nil
}

func metaOf(fi os.FileInfo) *vault.Meta {
	m := &vault.Meta{Size: fi.Size(), Mtime: fi.ModTime().UTC(), Mode: uint32(fi.Mode().Perm())}
	if st, ok := fi.Sys().(*syscall.Stat_t); ok {
		m.Mode, m.UID, m.GID, m.Dev, m.Ino, m.Links = st.Mode, st.Uid, st.Gid, st.Dev, st.Ino, uint64(st.Nlink) //nolint:unconvert // its size differs by architecture
		m.Ctime = time.Unix(st.Ctim.Unix()).UTC()
	}
	return m
}

// mapped collects executable mappings of files that have no name any more: libraries that were deleted after they were loaded.
func (c *collector) mapped(h *proc.Handle) error {
	f, err := os.Open(procPath(h.PID, "maps"))
	if err != nil {
		c.skip(fmt.Sprintf("mappings of pid %d", h.PID), err)
		return nil
	}
	all, err := parseMaps(f)
	if err = errors.Join(err, f.Close()); err != nil {
		c.skip(fmt.Sprintf("some mappings of pid %d", h.PID), err)
	}
	for n, i := 0, 0; i < len(all) && n < maxDeleted; i++ {
		m := &all[i]
		if !m.executable() || m.inode == 0 || m.named() || m.device() {
			continue
		}
		link := procPath(h.PID, fmt.Sprintf("map_files/%x-%x", m.start, m.end))
		if st, err := statusOf(link); err != nil || !st.regular() || c.has(st) {
			continue // shared anonymous memory is in the memory's part
		}
		n++
		if err := c.copyOf(h, "mapped", link, m.path); err != nil {
			return err
		}
	}
	return nil
}

func (c *collector) has(s *status) bool {
	_, seen := c.seen[fileID{s.dev, s.Ino}]
	return seen
}

// opened collects what a process has open that has no name any more: whoever deletes a file that runs, keeps it so.
func (c *collector) opened(h *proc.Handle) error {
	fds, err := listFDs(h.PID)
	if err != nil {
		c.skip(fmt.Sprintf("open files of pid %d", h.PID), err)
		return nil
	}
	n := 0
	for _, fd := range fds {
		link := procPath(h.PID, "fd/"+strconv.Itoa(fd))
		if st, err := statusOf(link); err != nil || !st.regular() || st.Nlink != 0 || c.has(st) {
			continue
		}
		if n++; n > maxDeleted {
			c.skip(fmt.Sprintf("more open files of pid %d", h.PID), fmt.Errorf("more than %d have no name", maxDeleted))
			return nil
		}
		name, err := os.Readlink(link)
		if err != nil {
			continue // closed meanwhile
		}
		if err := c.copyOf(h, "deleted", link, name); err != nil {
			return err
		}
	}
	return nil
}

// files collects the files that findings name: persistence, configurations, droppers.
func (c *collector) files() error {
	for _, path := range c.wish.targets.Files {
		if kernels(path) {
			continue
		}
		f, err := openBelow("/", path)
		f, meta, err := regular(f, err)
		if err != nil {
			c.skip("file "+path, err)
			continue
		}
		if err := c.copyFile(source{what: "file", name: path, sums: true, meta: meta}, f); err != nil {
			return err
		}
	}
	return nil
}

// openBelow opens a path as it is seen from root: links lead to where they would lead there, none into /proc.
func openBelow(root, path string) (*os.File, error) {
	dir, err := unix.Open(root, unix.O_PATH|unix.O_DIRECTORY|unix.O_CLOEXEC, 0)
	if err != nil {
		return nil, fmt.Errorf("open %s: %w", root, err)
	}
	fd, err := unix.Openat2(dir, strings.TrimPrefix(path, "/"), &unix.OpenHow{
		Flags: unix.O_RDONLY | unix.O_NONBLOCK | unix.O_NOCTTY | unix.O_CLOEXEC, Resolve: unix.RESOLVE_IN_ROOT | unix.RESOLVE_NO_MAGICLINKS,
	})
	if closeErr := unix.Close(dir); err == nil && closeErr != nil {
		return nil, errors.Join(closeErr, unix.Close(fd))
	}
	if err != nil {
		return nil, &os.PathError{Op: "open", Path: path, Err: err}
	}
	return os.NewFile(uintptr(fd), path), nil
}
