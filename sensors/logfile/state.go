package logfile

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"
	"slices"
	"syscall"
)

const maxState = 4 << 20

// state is what is kept over a restart: where each log was left.
type state struct {
	dir    string
	Files  map[string]left `json:"files"`
	prints map[identity]printed
}

// left is what of a log was open, in the order of reading, and which of its rotated files need no more reading.
type left struct {
	Open []mark `json:"open"`
	Done []mark `json:"done,omitempty"`
}

type printed struct {
	n   int64
	sum uint32
}

// mark is where a log was left, and how to know the file again.
type mark struct {
	Dev     uint64 `json:"dev"`
	Ino     uint64 `json:"ino"`
	Offset  int64  `json:"offset"`
	Discard bool   `json:"discard,omitempty"`
	Print   uint32 `json:"print"` // checksum of the first PrintLen bytes
	Len     int64  `json:"print_len"`
}

// loadState reads where logs were left. A state that is damaged, as a power cut leaves it, is told and begun anew: logs are then read from
// where they end.
func loadState(dir string, log *slog.Logger) (*state, error) {
	s := &state{dir: dir, Files: map[string]left{}, prints: map[identity]printed{}}
	if dir == "" {
		return s, nil
	}
	b, err := os.ReadFile(filepath.Join(dir, "state.json"))
	if errors.Is(err, fs.ErrNotExist) {
		return s, nil
	}
	if err != nil {
		return nil, fmt.Errorf("read where logs were left: %w", err)
	}
	if len(b) > maxState {
		err = fmt.Errorf("it has more than %d bytes", maxState)
	} else {
		err = json.Unmarshal(b, s)
	}
	if err != nil {
		log.Error("where logs were left is damaged; they are read from their ends", "file", filepath.Join(dir, "state.json"), "error", err)
		s.Files = nil
	}
	if s.Files == nil {
		s.Files = map[string]left{}
	}
	return s, nil
}

// inode is the file's number; the log may be rotated under its name.
func inode(st os.FileInfo) identity {
	if sys, ok := st.Sys().(*syscall.Stat_t); ok {
		return identity{uint64(sys.Dev), sys.Ino}
	}
	return identity{}
}

// print keeps how a file begins. A file is known by more of its beginning as it grows.
func (s *state) print(p *part) {
	m := s.prints[p.id]
	if n := min(p.off, printLen); n > m.n {
		if len(s.prints) > 4*maxFiles {
			clear(s.prints)
		}
		s.prints[p.id] = printed{n, fingerprint(p.f, n)}
	}
}

// mark says where a part was left.
func (s *state) mark(p *part) mark {
	s.print(p)
	return s.known(p)
}

// known is mark, without looking at the file, which may have been truncated.
func (s *state) known(p *part) mark {
	pr := s.prints[p.id]
	return mark{p.id.dev, p.id.ino, p.safe, p.discard, pr.sum, pr.n}
}

// is reports whether the part is the same file.
func (m *mark) is(p *part) bool { return m.Dev == p.id.dev && m.Ino == p.id.ino && m.begins(p) }

// begins reports whether the part begins as the file did: a copy does.
func (m *mark) begins(p *part) bool {
	return m.Len > 0 && fingerprint(p.f, m.Len) == m.Print || m.Offset == 0
}

func (m *mark) fitsSize(p *part) bool {
	st, err := p.f.Stat()
	return err == nil && st.Size() >= m.Offset
}

// fits reports whether the file can be read on from the mark.
func (m *mark) fits(p *part) bool { return m.is(p) && m.fitsSize(p) }

// save writes the state, at most once a second.
func (f *follower) save(force bool) error {
	now := f.sensor.env.Now()
	if f.state.dir == "" || !force && now.Sub(f.saved) < saveEvery {
		return f.unsaved
	}
	f.saved = now
	changed := force || f.unsaved != nil
	for path, l := range f.files {
		now := left{Done: l.done}
		for _, p := range append(slices.Clone(l.old), l.cur) {
			now.Open = append(now.Open, f.state.mark(p))
		}
		if was := f.state.Files[path]; !slices.Equal(was.Open, now.Open) || !slices.Equal(was.Done, now.Done) {
			f.state.Files[path], changed = now, true
		}
	}
	if !changed {
		return nil
	}
	b, err := json.Marshal(f.state)
	if err != nil {
		return err
	}
	if err := os.MkdirAll(f.state.dir, 0o700); err != nil {
		return fmt.Errorf("keep where logs were left: %w", err)
	}
	name := filepath.Join(f.state.dir, "state.json")
	if err := os.WriteFile(name+".new", b, 0o600); err != nil {
		return fmt.Errorf("keep where logs were left: %w", err)
	}
	if err := os.Rename(name+".new", name); err != nil {
		return fmt.Errorf("keep where logs were left: %w", err)
	}
	return nil
}

func sizeOf(p *part) int64 {
	st, err := p.f.Stat()
	if err != nil {
		return p.off
	}
	return st.Size()
}
