package quarantine

import (
	"context"
	"errors"
	"fmt"
	"os"

	"golang.org/x/sys/unix"
)

// hidden is the name that a file has between its own and none.
func hidden(id string) string { return ".minewarden-" + id }

// unlink takes the name away, if it still means the file that is open. It is renamed first: then nobody can swap it between
// the look and the unlink.
func (f *file) unlink(id string) error {
	fail := func(err error) error { return fmt.Errorf("take %q away: %w", f.f.Name(), err) }
	if err := f.setFlags(0); err != nil {
		return fail(err)
	}
	if err := unix.Renameat2(f.dir, f.name, f.dir, hidden(id), unix.RENAME_NOREPLACE); err != nil {
		return fail(errors.Join(err, f.setFlags(f.meta.Flags)))
	}
	var st unix.Stat_t
	err := unix.Fstatat(f.dir, hidden(id), &st, unix.AT_SYMLINK_NOFOLLOW)
	if err == nil && (st.Dev != f.meta.Dev || st.Ino != f.meta.Ino) {
		err = errors.New("another file was put in its place: plan again")
	}
	if err != nil {
		return fail(errors.Join(err, unix.Renameat2(f.dir, hidden(id), f.dir, f.name, unix.RENAME_NOREPLACE)))
	}
	if err := unix.Unlinkat(f.dir, hidden(id), 0); err != nil {
		return fail(errors.Join(err, unix.Renameat2(f.dir, hidden(id), f.dir, f.name, unix.RENAME_NOREPLACE)))
	}
	if err := unix.Fsync(f.dir); err != nil {
		return fail(err)
	}
	return nil
}

// setFlags sets the flags that keep even root from changing a file.
func (f *file) setFlags(flags uint32) error { return setFlags(int(f.f.Fd()), f.meta.Flags, flags) }

// setFlags does nothing where the file has none and shall have none.
func setFlags(fd int, had, flags uint32) error {
	if had == 0 && flags == 0 {
		return nil
	}
	all, err := unix.IoctlGetUint32(fd, unix.FS_IOC_GETFLAGS)
	if err == nil {
		err = unix.IoctlSetPointerInt(fd, unix.FS_IOC_SETFLAGS, int(all&^uint32(keepFlags)|flags))
	}
	if err != nil {
		return fmt.Errorf("set file flags %#x: %w", flags, err)
	}
	return nil
}

// finishUnlink completes unlink after a crash, under whichever name the file has.
func finishUnlink(t *target, id string) error {
	dir, name, err := openDir(t)
	if err != nil {
		return err
	}
	defer func() { _ = unix.Close(dir) }() // its changes are synced below
	for _, n := range []string{hidden(id), name} {
		fd, err := unix.Openat(dir, n, unix.O_RDONLY|unix.O_NOFOLLOW|unix.O_NONBLOCK|unix.O_NOCTTY|unix.O_CLOEXEC, 0)
		if errors.Is(err, unix.ENOENT) || errors.Is(err, unix.ELOOP) {
			continue
		}
		if err != nil {
			return fmt.Errorf("open %q: %w", n, err)
		}
		f := &file{f: os.NewFile(uintptr(fd), n), dir: -1, name: n}
		var st unix.Stat_t
		if err = unix.Fstat(fd, &st); err == nil && st.Dev == t.Dev && st.Ino == t.Ino {
			f.dir, f.meta = dir, meta{Dev: st.Dev, Ino: st.Ino}
			if flags, ferr := unix.IoctlGetUint32(fd, unix.FS_IOC_GETFLAGS); ferr == nil {
				f.meta.Flags = flags & keepFlags
			}
			if n == name {
				err = f.unlink(id)
			} else {
				err = errors.Join(unix.Unlinkat(dir, n, 0), unix.Fsync(dir))
			}
		} else if err == nil && n != name { // swapped, and the crash came before it was put back
			err = unix.Renameat2(dir, n, dir, name, unix.RENAME_NOREPLACE)
		}
		if err = errors.Join(err, f.f.Close()); err != nil {
			return err
		}
	}
	return nil
}

// restore puts the content back under the target's name with all that it had. It replaces nothing.
func restore(ctx context.Context, t *target, m *meta, content, id string) (err error) {
	if m == nil {
		return fmt.Errorf("restore %q: the journal does not say what it was like", t.Path)
	}
	defer func() {
		if err != nil {
			err = fmt.Errorf("restore %q: %w", t.Path, err)
		}
	}()
	dir, name, err := openDir(t)
	if err != nil && t.PID != 0 {
		return errors.Join(err, fmt.Errorf("the container is gone; the content is at %s", content))
	}
	if err != nil {
		return err
	}
	defer func() { _ = unix.Close(dir) }() // its changes are synced below
	if back, err := isBack(ctx, dir, name, t, m); err != nil || back {
		return err
	}
	in, err := os.OpenFile(content, os.O_RDONLY|unix.O_NOFOLLOW, 0)
	if err != nil {
		return err
	}
	defer func() { _ = in.Close() }() // it was only read
	if err := unix.Unlinkat(dir, hidden(id), 0); err != nil && !errors.Is(err, unix.ENOENT) {
		return err // of a restore that a crash cut
	}
	fd, err := unix.Openat(dir, hidden(id), unix.O_RDWR|unix.O_CREAT|unix.O_EXCL|unix.O_NOFOLLOW|unix.O_CLOEXEC, 0o600)
	if err != nil {
		return err
	}
	out := os.NewFile(uintptr(fd), t.Path)
	err = fill(ctx, out, in, t, m)
	if err == nil {
		err = unix.Renameat2(dir, hidden(id), dir, name, unix.RENAME_NOREPLACE)
		if errors.Is(err, unix.EEXIST) {
			err = errors.New("another file stands there now: move it away first")
		}
	}
	if err != nil {
		return errors.Join(err, out.Close(), unix.Unlinkat(dir, hidden(id), 0))
	}
	return errors.Join(setFlags(fd, 0, m.Flags), out.Close(), unix.Fsync(dir))
}

// fill gives out its content, then its owner, for that takes rights away, then the rest, the times last.
func fill(ctx context.Context, out, in *os.File, t *target, m *meta) error {
	fd := int(out.Fd())
	sum, err := copyAll(ctx, out, in)
	if err != nil {
		return err
	}
	if sum != t.SHA256 {
		return fmt.Errorf("the copy in quarantine has sha256 %s, want %s: it is not put back", sum, t.SHA256)
	}
	if err := unix.Fchown(fd, int(m.UID), int(m.GID)); err != nil {
		return err
	}
	if err := unix.Fchmod(fd, m.Mode&0o7777); err != nil {
		return err
	}
	for name, value := range m.Xattr {
		if err := unix.Fsetxattr(fd, name, value, 0); err != nil {
			return fmt.Errorf("set %s: %w", name, err)
		}
	}
	if err := unix.UtimesNanoAt(fd, "", []unix.Timespec{m.Atime, m.Mtime}, unix.AT_EMPTY_PATH); err != nil {
		return fmt.Errorf("set times: %w", err)
	}
	return out.Sync()
}

// isBack reports whether the file is there already, as it was.
func isBack(ctx context.Context, dir int, name string, t *target, m *meta) (bool, error) {
	fd, err := unix.Openat(dir, name, unix.O_RDONLY|unix.O_NOFOLLOW|unix.O_NONBLOCK|unix.O_NOCTTY|unix.O_CLOEXEC, 0)
	if errors.Is(err, unix.ENOENT) {
		return false, nil
	}
	other := errors.New("another file stands there now: move it away first")
	if err != nil {
		return false, errors.Join(other, err)
	}
	f := &file{f: os.NewFile(uintptr(fd), t.Path), dir: -1}
	refused, err := f.stat(t, "packaged")
	sum := ""
	if err == nil && refused == "" {
		sum, err = f.hash(ctx)
	}
	if err = errors.Join(err, f.f.Close()); err != nil {
		return false, err
	}
	if refused != "" || sum != t.SHA256 || f.meta.Mode != m.Mode || f.meta.UID != m.UID || f.meta.GID != m.GID {
		return false, other
	}
	return true, nil
}
