package logfile

import (
	"errors"
	"fmt"
	"hash/crc32"
	"io"
	"os"
	"path/filepath"
	"strings"
	"time"

	"golang.org/x/sys/unix"
)

// part is one open file.
type part struct {
	f       *os.File
	id      identity
	off     int64 // of the next line
	safe    int64 // as off, but nothing before it waits for more
	discard bool  // the rest of a line that was cut is still to come
	grew    time.Time
	last    time.Time // its time of change, when it was read
}

func openPart(path string, at int64, now time.Time) (*part, error) {
	// Not blocking: a pipe under that name must not stop everything.
	f, err := os.OpenFile(path, os.O_RDONLY|unix.O_NONBLOCK|unix.O_NOCTTY, 0)
	if err != nil {
		return nil, err
	}
	st, id, err := stat(f.Stat())
	if err == nil && !st.Mode().IsRegular() {
		err = errors.New("is no regular file")
	}
	if err != nil {
		return nil, errors.Join(fmt.Errorf("open log %s: %w", path, err), f.Close())
	}
	return &part{f: f, id: id, off: at, safe: at, grew: now, last: st.ModTime()}, nil
}

func stat(st os.FileInfo, err error) (os.FileInfo, identity, error) {
	if err != nil {
		return nil, identity{}, err
	}
	return st, inode(st), nil
}

func (p *part) at(m mark) { p.off, p.safe, p.discard = m.Offset, m.Offset, m.Discard }

// lastLine returns where the last line begins that has no end yet, or size.
func lastLine(f *os.File, size int64) int64 {
	buf := make([]byte, 64<<10)
	at := max(size-int64(len(buf)), 0)
	n, err := f.ReadAt(buf[:size-at], at)
	if err != nil && !errors.Is(err, io.EOF) {
		return size
	}
	for i := n - 1; i >= 0; i-- {
		if buf[i] == '\n' {
			return at + int64(i) + 1
		}
	}
	return size
}

// siblings are the files beside a log that it may have been rotated to.
func siblings(path string) []string {
	patterns := []string{escapePattern(path) + ".*", escapePattern(path) + "-*"}
	if ext := filepath.Ext(path); ext != "" { // name-2026.log
		base := escapePattern(strings.TrimSuffix(path, ext))
		patterns = append(patterns, base+".*"+ext, base+"-*"+ext)
	}
	var names []string
	for _, p := range patterns {
		more, err := filepath.Glob(p)
		if err != nil {
			continue // what is escaped is no bad pattern
		}
		names = append(names, more...)
	}
	var plain []string
	for _, n := range names {
		if !compressed(n) && n != path {
			plain = append(plain, n)
		}
	}
	return plain[:min(len(plain), 64)]
}

func escapePattern(s string) string {
	return strings.NewReplacer(`\`, `\\`, "*", `\*`, "?", `\?`, "[", `\[`).Replace(s)
}

// fingerprint sums the first n bytes.
func fingerprint(f *os.File, n int64) uint32 {
	b := make([]byte, n)
	got, err := f.ReadAt(b, 0)
	if err != nil && !errors.Is(err, io.EOF) {
		return 0
	}
	return crc32.ChecksumIEEE(b[:got])
}
