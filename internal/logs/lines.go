package logs

import (
	"bufio"
	"errors"
	"io"
)

// Lines reads lines of any length from a reader and keeps MaxLine bytes of each.
type Lines struct {
	r   *bufio.Reader
	buf []byte
}

// NewLines returns Lines of r.
func NewLines(r io.Reader) *Lines { return &Lines{r: bufio.NewReaderSize(r, 64<<10)} }

// Next returns the next line without its end, valid until the next call; how many bytes it took; whether its end was there; and
// whether it was longer than MaxLine, so that the rest is missing. At the end it returns io.EOF, with a line that has no end
// before that.
func (l *Lines) Next() (line []byte, size int64, ended, cut bool, err error) {
	l.buf = l.buf[:0]
	for {
		part, err := l.r.ReadSlice('\n')
		size += int64(len(part))
		if errors.Is(err, bufio.ErrBufferFull) || err == nil && len(l.buf) > 0 || err != nil && len(l.buf) > 0 {
			if room := MaxLine - len(l.buf); len(part) > room {
				l.buf, cut = append(l.buf, part[:max(room, 0)]...), true
			} else {
				l.buf = append(l.buf, part...)
			}
			if errors.Is(err, bufio.ErrBufferFull) {
				continue
			}
			part = l.buf
		}
		switch {
		case err == nil:
			return trimEnd(part), size, true, cut, nil
		case errors.Is(err, io.EOF) && size > 0:
			return part, size, false, cut, nil
		default:
			return nil, size, false, false, err
		}
	}
}

func trimEnd(b []byte) []byte {
	if n := len(b); n > 0 && b[n-1] == '\n' {
		b = b[:n-1]
	}
	if n := len(b); n > 0 && b[n-1] == '\r' {
		b = b[:n-1]
	}
	return b
}
