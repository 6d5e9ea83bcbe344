package audittrail

import (
	"bufio"
	"bytes"
	"crypto/ed25519"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"time"

	"golang.org/x/sys/unix"
)

// A Query says which entries List returns. The zero Query means all.
type Query struct {
	Before uint64    // only those with a smaller number; 0: all
	Since  time.Time // only those written then or later
	Who    string    // only those of exactly this one
	What   string    // only those whose What begins with it
	Text   string    // only those with it in any field, whatever the case
	Limit  int       // at most so many; 0: all
}

// file is one log file, as it was when the snapshot was taken.
type file struct {
	name string
	f    *os.File
	size int64
}

// snapshot is what the trail consists of at one moment, while nobody writes.
type snapshot struct {
	files []file
	head  *bytes.Reader     // as it was while no writer was at work; nil: there is none
	key   ed25519.PublicKey // nil: keyErr says why
	err   error             // why there is no key
}

// ErrNone is wrapped where a directory holds no audit trail.
var ErrNone = errors.New("there is no audit trail")

var rotatedPattern = regexp.MustCompile(`^audit-trail-\d{12}\.jsonl$`)

// rotatedFiles returns the names of files put aside, oldest first.
func rotatedFiles(dir string) ([]string, error) {
	entries, err := os.ReadDir(dir)
	if err != nil {
		return nil, fmt.Errorf("list the audit trail: %w", err)
	}
	var names []string
	for _, e := range entries {
		if rotatedPattern.MatchString(e.Name()) {
			names = append(names, e.Name())
		}
	}
	slices.Sort(names)
	return names, nil
}

// take opens the files of dir while no writer is at work; it reads them after that, for entries do not change. The signed head does, and is read at
// once.
func take(dir string) (s *snapshot, err error) {
	lock, err := os.Open(filepath.Join(dir, lockName))
	if errors.Is(err, fs.ErrNotExist) {
		// A copy of a trail has no lock, and no writer.
		if _, statErr := os.Stat(filepath.Join(dir, logName)); statErr != nil {
			return nil, fmt.Errorf("%w in %s", ErrNone, dir)
		}
	} else if err != nil {
		return nil, fmt.Errorf("read the audit trail: %w", err)
	} else {
		defer lock.Close()
		for {
			if err = unix.Flock(int(lock.Fd()), unix.LOCK_SH); !errors.Is(err, unix.EINTR) {
				break
			}
		}
		if err != nil {
			return nil, fmt.Errorf("lock the audit trail: %w", err)
		}
	}
	s = &snapshot{}
	defer func() {
		if err != nil {
			err = errors.Join(fmt.Errorf("read the audit trail: %w", err), s.close())
		}
	}()
	names, err := rotatedFiles(dir)
	if err != nil {
		return nil, err
	}
	for _, name := range append(names, logName) {
		f, err := os.Open(filepath.Join(dir, name))
		if errors.Is(err, fs.ErrNotExist) && name == logName {
			continue // between the two steps of putting a file aside a writer was killed
		}
		if err != nil {
			return nil, err
		}
		s.files = append(s.files, file{name: name, f: f})
		st, err := f.Stat()
		if err != nil {
			return nil, err
		}
		s.files[len(s.files)-1].size = st.Size()
	}
	if len(s.files) == 0 {
		return nil, fmt.Errorf("%w in %s", ErrNone, dir)
	}
	head, err := os.Open(filepath.Join(dir, headName))
	if err == nil {
		var text []byte
		text, err = io.ReadAll(io.LimitReader(head, 2*slotStep))
		s.head = bytes.NewReader(text)
		err = errors.Join(err, head.Close())
	}
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return nil, err
	}
	key, keyErr := readKey(dir)
	if s.err = keyErr; keyErr == nil {
		s.key = public(key)
	}
	return s, nil
}

func (s *snapshot) close() error {
	var errs []error
	for _, f := range s.files {
		errs = append(errs, f.f.Close())
	}
	return errors.Join(errs...)
}

// errTorn is returned for a last line without an end.
var errTorn = errors.New("has no end")

// lines reads a file forward.
type lines struct {
	in  *bufio.Reader
	buf []byte
}

func newLines(r io.Reader) *lines { return &lines{in: bufio.NewReaderSize(r, 64<<10)} }

// next returns the next entry and its length with its end; io.EOF after the last. Any other error is about the line; after
// it the rest is not read.
func (l *lines) next() (Entry, int, error) {
	l.buf = l.buf[:0]
	for {
		part, err := l.in.ReadSlice('\n')
		l.buf = append(l.buf, part...)
		switch {
		case errors.Is(err, bufio.ErrBufferFull) && len(l.buf) <= maxLine:
			continue
		case errors.Is(err, bufio.ErrBufferFull) || len(l.buf) > maxLine+1:
			return Entry{}, len(l.buf), fmt.Errorf("is longer than %d bytes", maxLine)
		case errors.Is(err, io.EOF) && len(l.buf) == 0:
			return Entry{}, 0, io.EOF
		case errors.Is(err, io.EOF):
			return Entry{}, len(l.buf), errTorn
		case err != nil:
			return Entry{}, len(l.buf), fmt.Errorf("cannot be read: %w", err)
		}
		e, err := parse(l.buf[:len(l.buf)-1])
		return e, len(l.buf), err
	}
}

// List returns the entries of dir that q asks for, newest first. It may be called while others append. Lines that are no entries
// are left out: Verify is there to find them.
func List(dir string, q Query) (out []Entry, err error) {
	s, err := take(dir)
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, s.close()) }()
	for i := len(s.files) - 1; i >= 0; i-- {
		f := s.files[i]
		if rest, last := bytes.CutPrefix([]byte(f.name), []byte("audit-trail-")); last && q.Before > 0 {
			var first uint64
			if _, err := fmt.Sscanf(string(rest), "%d.jsonl", &first); err == nil && first >= q.Before {
				continue
			}
		}
		done, err := backward(f, func(e *Entry) bool {
			if q.matches(e) {
				out = append(out, *e)
			}
			return q.Limit > 0 && len(out) >= q.Limit
		})
		if err != nil || done {
			return out, err
		}
	}
	return out, nil
}

// blockSize is what is read at once going backwards.
const blockSize = 256 << 10

// backward calls f with the entries of a file, last first, until it returns true.
func backward(x file, f func(*Entry) bool) (bool, error) {
	var rest []byte // begins in the middle of a line
	ended := false  // the file's last, unfinished line was left out
	for end := x.size; ; {
		if !ended && len(rest) > 0 {
			i := bytes.LastIndexByte(rest, '\n')
			if i >= 0 {
				rest, ended = rest[:i], true
			}
		}
		for ended {
			i := bytes.LastIndexByte(rest, '\n')
			if i < 0 && end > 0 {
				break
			}
			if e, err := parse(rest[i+1:]); err == nil && f(&e) {
				return true, nil
			}
			if i < 0 {
				return false, nil
			}
			rest = rest[:i]
		}
		if end == 0 {
			return false, nil
		}
		if len(rest) > maxLine {
			rest = rest[:0] // no entry is that long: what follows is cut at the next line's end
		}
		from := max(0, end-blockSize)
		block := make([]byte, end-from, end-from+int64(len(rest)))
		if _, err := x.f.ReadAt(block, from); err != nil {
			return false, fmt.Errorf("read %s: %w", x.name, err)
		}
		rest, end = append(block, rest...), from
	}
}

func (q *Query) matches(e *Entry) bool {
	switch {
	case q.Before > 0 && e.Seq >= q.Before, e.Time.Before(q.Since), q.Who != "" && e.Who != q.Who, !strings.HasPrefix(e.What, q.What):
		return false
	case q.Text == "":
		return true
	}
	text := strings.ToLower(q.Text)
	in := func(s string) bool { return strings.Contains(strings.ToLower(s), text) }
	if in(e.Who) || in(e.Via) || in(e.What) || in(e.Target) || in(e.Why) || e.Hash == text {
		return true
	}
	for k, v := range e.Detail {
		if in(k) || in(v) {
			return true
		}
	}
	return false
}
