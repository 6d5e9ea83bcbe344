package edit

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"

	"golang.org/x/sys/unix"
)

// hidden is the name beside the file's own that an action uses. It ends like what editors leave, which cron and run-parts skip.
func hidden(id string) string { return ".minewarden-" + id + "~" }

// DirTime returns when the directory of path was last changed.
func (r Root) DirTime(path string) (unix.Timespec, error) {
	dir, err := r.openDir(filepath.Dir(path))
	if err != nil {
		return unix.Timespec{}, err
	}
	var st unix.Stat_t
	err = unix.Fstat(dir, &st)
	return st.Mtim, errors.Join(err, unix.Close(dir))
}

// SetDirTime gives the directory of path the time want, if it has the time left: then nobody but us changed it.
func (r Root) SetDirTime(path string, left, want unix.Timespec) error {
	dir, err := r.openDir(filepath.Dir(path))
	if err != nil {
		return err
	}
	var st unix.Stat_t
	if err = unix.Fstat(dir, &st); err == nil && st.Mtim == left {
		err = unix.UtimesNanoAt(dir, "", []unix.Timespec{st.Atim, want}, unix.AT_EMPTY_PATH)
	}
	return errors.Join(err, unix.Close(dir))
}

// Replace gives the file's name to a new file with data and what m says, in one step. Times in m are set only when times
// is true. If the name means another file by then, or the file another content, all is put back and ErrChanged is wrapped.
func (f *File) Replace(id string, data []byte, m Meta, times bool) (err error) {
	defer func() {
		if err != nil {
			err = fmt.Errorf("change %s: %w", f.Path, err)
		}
	}()
	out, err := create(f.dir, id, f.Path, data, m, times)
	if err != nil {
		return err
	}
	tmp := hidden(id)
	drop := func(err error) error { return errors.Join(err, out.Close(), unix.Unlinkat(f.dir, tmp, 0)) }
	fd := int(f.f.Fd())
	if err := setFlags(fd, f.Meta.Flags, 0); err != nil {
		return drop(err)
	}
	if err := f.check(f.name); err != nil {
		return drop(errors.Join(err, setFlags(fd, 0, f.Meta.Flags)))
	}
	err = unix.Renameat2(f.dir, tmp, f.dir, f.name, unix.RENAME_EXCHANGE)
	if errors.Is(err, unix.EINVAL) || errors.Is(err, unix.ENOSYS) { // a file system that cannot: the look above is all there is
		if err = unix.Renameat(f.dir, tmp, f.dir, f.name); err == nil {
			return errors.Join(setFlags(int(out.Fd()), 0, m.Flags), out.Close(), unix.Fsync(f.dir))
		}
	}
	if err != nil {
		return drop(errors.Join(err, setFlags(fd, 0, f.Meta.Flags)))
	}
	if err := f.check(tmp); err != nil {
		err = errors.Join(err, unix.Renameat2(f.dir, tmp, f.dir, f.name, unix.RENAME_EXCHANGE), setFlags(fd, 0, f.Meta.Flags))
		return drop(err)
	}
	return errors.Join(setFlags(int(out.Fd()), 0, m.Flags), out.Close(), unix.Unlinkat(f.dir, tmp, 0), unix.Fsync(f.dir))
}

// check looks whether name means the very file that was read, unchanged.
func (f *File) check(name string) error {
	var st unix.Stat_t
	if err := unix.Fstatat(f.dir, name, &st, unix.AT_SYMLINK_NOFOLLOW); err != nil {
		return errors.Join(ErrChanged, err)
	}
	if st.Dev != f.dev || st.Ino != f.ino || st.Mtim != f.Meta.Mtime || st.Size != int64(len(f.Data)) || st.Mode != f.Meta.Mode || st.Uid != f.Meta.UID || st.Gid != f.Meta.GID || st.Nlink != 1 {
		return ErrChanged
	}
	return nil
}

// create writes a file under the action's hidden name: content, then the owner, for that takes rights away, then the rest.
func create(dir int, id, path string, data []byte, m Meta, times bool) (*os.File, error) {
	tmp := hidden(id)
	if err := dropHidden(dir, tmp); err != nil {
		return nil, err
	}
	fd, err := unix.Openat(dir, tmp, unix.O_RDWR|unix.O_CREAT|unix.O_EXCL|unix.O_NOFOLLOW|unix.O_CLOEXEC, 0o600)
	if err != nil {
		return nil, fmt.Errorf("write beside %s: %w", path, err)
	}
	out := os.NewFile(uintptr(fd), path)
	if err := fill(out, data, m, times); err != nil {
		return nil, errors.Join(err, out.Close(), unix.Unlinkat(dir, tmp, 0))
	}
	return out, nil
}

func fill(out *os.File, data []byte, m Meta, times bool) error {
	fd := int(out.Fd())
	if _, err := out.Write(data); err != nil {
		return err
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
	if times {
		if err := unix.UtimesNanoAt(fd, "", []unix.Timespec{m.Atime, m.Mtime}, unix.AT_EMPTY_PATH); err != nil {
			return fmt.Errorf("set times: %w", err)
		}
	}
	return out.Sync()
}

// dropHidden removes what an action that was cut short left under its hidden name.
func dropHidden(dir int, name string) error {
	fd, err := unix.Openat(dir, name, unix.O_RDONLY|unix.O_NOFOLLOW|unix.O_NONBLOCK|unix.O_NOCTTY|unix.O_CLOEXEC, 0)
	if errors.Is(err, unix.ENOENT) {
		return nil
	}
	if err == nil {
		if flags, ferr := unix.IoctlGetUint32(fd, unix.FS_IOC_GETFLAGS); ferr == nil {
			err = setFlags(fd, flags&keepFlags, 0)
		}
		err = errors.Join(err, unix.Close(fd))
	}
	if err != nil && !errors.Is(err, unix.ELOOP) {
		return fmt.Errorf("remove %s: %w", name, err)
	}
	if err := unix.Unlinkat(dir, name, 0); err != nil {
		return fmt.Errorf("remove %s: %w", name, err)
	}
	return nil
}

// Tidy removes what an action that was cut short left beside path.
func (r Root) Tidy(path, id string) error {
	dir, err := r.openDir(filepath.Dir(path))
	if err != nil {
		return err
	}
	return errors.Join(dropHidden(dir, hidden(id)), unix.Close(dir))
}

// Chmod gives the file other permission bits and nothing else.
func (f *File) Chmod(mode uint32) error {
	fd := int(f.f.Fd())
	err := f.check(f.name)
	if err == nil {
		err = setFlags(fd, f.Meta.Flags, 0)
	}
	if err == nil {
		err = errors.Join(unix.Fchmod(fd, mode&0o7777), setFlags(fd, 0, f.Meta.Flags), f.f.Sync())
	}
	if err != nil {
		return fmt.Errorf("chmod %s: %w", f.Path, err)
	}
	return nil
}

// SetMeta gives the file the flags of m, where a change that was cut short took them.
func (f *File) SetMeta(m Meta) error {
	if err := setFlags(int(f.f.Fd()), f.Meta.Flags, m.Flags); err != nil {
		return fmt.Errorf("restore %s: %w", f.Path, err)
	}
	return nil
}

// DirBack makes change, which touches the directory of path, and gives the directory the time want if before it had the time
// left, which an earlier change of ours gave it: then nobody else added or removed a name in between.
func (r Root) DirBack(path string, left, want unix.Timespec, change func() error) error {
	was, err := r.DirTime(path)
	if err != nil {
		return err
	}
	if err := change(); err != nil {
		return err
	}
	if was != left || left == (unix.Timespec{}) {
		return nil
	}
	now, err := r.DirTime(path)
	if err != nil {
		return err
	}
	return r.SetDirTime(path, now, want)
}
