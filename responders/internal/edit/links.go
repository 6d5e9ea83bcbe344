package edit

import (
	"errors"
	"fmt"
	"path/filepath"

	"golang.org/x/sys/unix"
)

// A Link is a symbolic link.
type Link struct {
	Path   string        `json:"path"`
	Target string        `json:"target"`
	UID    uint32        `json:"uid"`
	GID    uint32        `json:"gid"`
	Atime  unix.Timespec `json:"atime"`
	Mtime  unix.Timespec `json:"mtime"`
	// Dir is when its directory was last changed, Left the same after the link was taken away.
	Dir  unix.Timespec `json:"dir"`
	Left unix.Timespec `json:"left"`
}

// ReadLink returns the link at path; ErrRefused is wrapped where there is something else.
func (r Root) ReadLink(path string) (Link, error) {
	dir, err := r.openDir(filepath.Dir(path))
	if err != nil {
		return Link{}, err
	}
	l, err := readLink(dir, filepath.Base(path))
	l.Path = path
	var st unix.Stat_t
	if err == nil {
		if err = unix.Fstat(dir, &st); err == nil {
			l.Dir = st.Mtim
		}
	}
	if err != nil {
		err = fmt.Errorf("read link %s: %w", path, err)
	}
	return l, errors.Join(err, unix.Close(dir))
}

func readLink(dir int, name string) (Link, error) {
	var st unix.Stat_t
	if err := unix.Fstatat(dir, name, &st, unix.AT_SYMLINK_NOFOLLOW); err != nil {
		return Link{}, err
	}
	if st.Mode&unix.S_IFMT != unix.S_IFLNK {
		return Link{}, fmt.Errorf("%w: it is no symbolic link", ErrRefused)
	}
	buf := make([]byte, unix.PathMax)
	n, err := unix.Readlinkat(dir, name, buf)
	if err != nil {
		return Link{}, err
	}
	return Link{Target: string(buf[:n]), UID: st.Uid, GID: st.Gid, Atime: st.Atim, Mtime: st.Mtim}, nil
}

// Unlink takes the link away if it still leads where it did, and returns when its directory was changed by that. It is
// renamed first, so that what was put in its place meanwhile is not lost.
func (r Root) Unlink(l Link, id string) (unix.Timespec, error) {
	dir, err := r.openDir(filepath.Dir(l.Path))
	if err != nil {
		return unix.Timespec{}, err
	}
	name, tmp := filepath.Base(l.Path), hidden(id)
	err = dropHidden(dir, tmp)
	if err == nil {
		err = unix.Renameat2(dir, name, dir, tmp, unix.RENAME_NOREPLACE)
		if err == nil {
			var now Link
			now, err = readLink(dir, tmp)
			if err == nil && now.Target != l.Target {
				err = ErrChanged
			}
			if err != nil {
				err = errors.Join(err, unix.Renameat2(dir, tmp, dir, name, unix.RENAME_NOREPLACE))
			} else {
				err = errors.Join(unix.Unlinkat(dir, tmp, 0), unix.Fsync(dir))
			}
		}
	}
	var st unix.Stat_t
	if err == nil {
		err = unix.Fstat(dir, &st)
	}
	if err != nil {
		err = fmt.Errorf("take the link %s away: %w", l.Path, err)
	}
	return st.Mtim, errors.Join(err, unix.Close(dir))
}

// Symlink puts the link back with owner and times. One that is there already as it was is no error; another is.
func (r Root) Symlink(l Link, id string) error {
	dir, err := r.openDir(filepath.Dir(l.Path))
	if err != nil {
		return err
	}
	name, tmp := filepath.Base(l.Path), hidden(id)
	now, err := readLink(dir, name)
	switch {
	case err == nil && now.Target == l.Target:
		return unix.Close(dir)
	case err == nil || errors.Is(err, ErrRefused):
		err = errors.New("something else stands there now: move it away first")
	case errors.Is(err, unix.ENOENT):
		err = dropHidden(dir, tmp)
		if err == nil {
			err = unix.Symlinkat(l.Target, dir, tmp)
		}
		if err == nil {
			err = unix.Fchownat(dir, tmp, int(l.UID), int(l.GID), unix.AT_SYMLINK_NOFOLLOW)
		}
		if err == nil {
			err = unix.UtimesNanoAt(dir, tmp, []unix.Timespec{l.Atime, l.Mtime}, unix.AT_SYMLINK_NOFOLLOW)
		}
		if err == nil {
			err = unix.Renameat2(dir, tmp, dir, name, unix.RENAME_NOREPLACE)
		}
		err = errors.Join(err, unix.Fsync(dir))
	}
	if err != nil {
		err = fmt.Errorf("put the link %s back: %w", l.Path, err)
	}
	return errors.Join(err, unix.Close(dir))
}
