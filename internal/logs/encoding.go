package logs

import (
	"bufio"
	"bytes"
	"io"
	"unicode/utf16"
	"unicode/utf8"
)

// UTF8 returns r as UTF-8: PowerShell and the Event Viewer write UTF-16 with a mark at the start.
func UTF8(r io.Reader) io.Reader {
	b := bufio.NewReaderSize(r, 64<<10)
	head, err := b.Peek(3)
	switch {
	case bytes.HasPrefix(head, []byte{0xff, 0xfe}):
		return discard(b, 2, &wideReader{r: b})
	case bytes.HasPrefix(head, []byte{0xfe, 0xff}):
		return discard(b, 2, &wideReader{r: b, big: true})
	case bytes.HasPrefix(head, []byte{0xef, 0xbb, 0xbf}):
		return discard(b, 3, b)
	case err != nil && len(head) == 0:
		return b // it tells its error when it is read
	}
	return b
}

func discard(b *bufio.Reader, n int, r io.Reader) io.Reader {
	if _, err := b.Discard(n); err != nil {
		return b
	}
	return r
}

// wideReader turns UTF-16 into UTF-8.
type wideReader struct {
	r    *bufio.Reader
	big  bool
	out  []byte
	high rune // the first half of a pair
}

func (w *wideReader) Read(p []byte) (int, error) {
	for len(w.out) == 0 {
		if err := w.more(); err != nil {
			return 0, err
		}
	}
	n := copy(p, w.out)
	w.out = w.out[n:]
	return n, nil
}

func (w *wideReader) more() error {
	w.out = w.out[:0]
	for len(w.out) < 4096 {
		var u [2]byte
		if _, err := io.ReadFull(w.r, u[:]); err != nil {
			if len(w.out) > 0 {
				return nil
			}
			if err == io.ErrUnexpectedEOF {
				return io.EOF
			}
			return err
		}
		r := rune(u[0]) | rune(u[1])<<8
		if w.big {
			r = rune(u[1]) | rune(u[0])<<8
		}
		if w.high != 0 {
			pair := utf16.DecodeRune(w.high, r)
			w.high = 0
			w.out = utf8.AppendRune(w.out, pair)
			if pair != utf8.RuneError {
				continue
			}
		}
		if r >= 0xd800 && r < 0xdc00 {
			w.high = r
			continue
		}
		w.out = utf8.AppendRune(w.out, r)
	}
	return nil
}

// IsText reports whether head, the first bytes of a file, is text.
func IsText(head []byte) bool {
	if bytes.HasPrefix(head, []byte{0xff, 0xfe}) || bytes.HasPrefix(head, []byte{0xfe, 0xff}) {
		return true
	}
	odd := 0
	for i := 0; i < len(head); {
		r, n := utf8.DecodeRune(head[i:])
		switch {
		case r == 0:
			return false
		case r == utf8.RuneError && n == 1 || r < ' ' && r != '\n' && r != '\r' && r != '\t' && r != 0x1b && r != 0x1d:
			odd++
		}
		i += n
	}
	return len(head) > 0 && odd*10 <= len(head)
}

// Objects reads JSON objects that are not one a line: spread over several, or in a list.
type Objects struct {
	r   *bufio.Reader
	buf []byte
}

// NewObjects returns Objects of r.
func NewObjects(r io.Reader) *Objects { return &Objects{r: bufio.NewReaderSize(r, 64<<10)} }

// Next returns the next object with line breaks taken out, valid until the next call. One longer than 4 × MaxLine is skipped:
// cut is true then.
func (o *Objects) Next() (object []byte, cut bool, err error) {
	o.buf = o.buf[:0]
	depth, in, escaped := 0, false, false
	for {
		c, err := o.r.ReadByte()
		if err != nil {
			return nil, false, err
		}
		if depth == 0 && c != '{' {
			continue
		}
		switch {
		case escaped:
			escaped = false
		case in && c == '\\':
			escaped = true
		case c == '"':
			in = !in
		case in:
		case c == '{':
			depth++
		case c == '}':
			depth--
		case c == '\n' || c == '\r':
			c = ' '
		}
		if len(o.buf) < 4*MaxLine {
			o.buf = append(o.buf, c)
		} else {
			cut = true
		}
		if depth == 0 {
			return o.buf, cut, nil
		}
	}
}
