package evidence

import (
	"fmt"

	"golang.org/x/sys/unix"
)

const (
	// reserve is the part of a file system that is never filled: 1/reserve of it stays free.
	reserve = 10
	// askEvery is after how many bytes the file system is asked again: others write too.
	askEvery = 8 << 20
)

// space bounds what a collection writes.
type space struct {
	dir   string
	left  int64 // of the collection's own bound
	bound int64
	asked int64 // bytes that may be written before the file system is asked again
	full  error // once full it stays full, so that a collection ends in one way
}

// take allows n bytes, or says why not.
func (s *space) take(n int64) error {
	if s.full != nil {
		return s.full
	}
	if n > s.left {
		s.full = fmt.Errorf("%w: the collection would be larger than %s", errStop, human(s.bound))
		return s.full
	}
	if s.asked < n {
		free, total, err := statfs(s.dir)
		if err != nil {
			return err
		}
		if free-max(n, askEvery) < total/reserve {
			s.full = fmt.Errorf("%w: the last %d %% of the file system of %s are not filled (%s of %s are free)", errStop, 100/reserve, s.dir, human(free), human(total))
			return s.full
		}
		s.asked = max(n, askEvery)
	}
	s.asked -= n
	s.left -= n
	return nil
}

// statfs returns how many bytes are free for others than root, and how many the file system has.
func statfs(dir string) (free, total int64, err error) {
	var st unix.Statfs_t
	if err := unix.Statfs(dir, &st); err != nil {
		return 0, 0, fmt.Errorf("free space of %s: %w", dir, err)
	}
	bs := st.Frsize
	if bs == 0 {
		bs = st.Bsize
	}
	return int64(st.Bavail) * bs, int64(st.Blocks) * bs, nil
}
