package logfile

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"slices"
	"strings"
	"time"

	"github.com/fsnotify/fsnotify"

	"github.com/minewarden/minewarden"
	"github.com/minewarden/minewarden/internal/logs"
)

const (
	printLen  = 256              // of a file's beginning, to know it again
	keepOld   = 30 * time.Second // a rotated file is read on until it was quiet for so long
	maxOld    = 8                // rotated files that are still read, of one log
	maxDone   = 32               // rotated files of one log that are remembered
	batch     = 4096             // lines of a file in one round, so that others get their turn
	saveEvery = time.Second
)

// follower reads the files that grow.
type follower struct {
	sensor  *sensor
	emit    minewarden.Emit
	state   *state
	watcher *fsnotify.Watcher
	files   map[string]*file
	dirs    map[string]bool
	warned  map[string]bool
	saved   time.Time
	unsaved error // why the state could not be written the last time
}

// file is a log by its path: what is open under it now, and what was until it was rotated.
type file struct {
	path string
	cur  *part
	old  []*part
	done []mark // rotated files that were read to their end
	dec  *logs.Decoder
}

type identity struct{ dev, ino uint64 }

func (f *follower) warnOnce(msg string, args ...any) {
	key := fmt.Sprint(append([]any{msg}, args...)...)
	if f.warned[key] || len(f.warned) > 1000 {
		return
	}
	if f.warned == nil {
		f.warned = map[string]bool{}
	}
	f.warned[key] = true
	f.sensor.env.Log.Warn(msg, args...)
}

// add begins to follow a log where it was left, or, never seen, at its end when first.
func (f *follower) add(path string, first bool) {
	now := f.sensor.env.Now()
	p, err := openPart(path, 0, now)
	if err != nil {
		if !errors.Is(err, fs.ErrNotExist) {
			f.warnOnce("a log cannot be read", "error", err)
		}
		return
	}
	if pr, ok := f.state.prints[p.id]; ok && pr.n > 0 && !first && fingerprint(p.f, pr.n) == pr.sum {
		// It was read under another name.
		if err := p.f.Close(); err != nil {
			f.warnOnce("closing a log failed", "error", err)
		}
		return
	}
	l := &file{path: path, cur: p, dec: &logs.Decoder{Now: f.sensor.env.Now, Location: time.Local, Mapping: f.sensor.cfg.mapping(path), Fault: func(err error) {
		f.warnOnce("a log has a part that cannot be read", "path", path, "error", err)
	}}}
	f.files[path] = l
	left, known := f.state.Files[path]
	if !known {
		if st, err := p.f.Stat(); err == nil && first && !f.sensor.cfg.FromStart {
			p.off = lastLine(p.f, st.Size())
			p.safe = p.off
		}
		return
	}
	l.done = left.Done
	f.resume(l, left.Open, now)
}

// resume finds the files that were read when the sensor ended, under whatever name they are now, and those that came and went
// since then.
func (f *follower) resume(l *file, open []mark, now time.Time) {
	beside := f.openSiblings(l.path, now)
	var since time.Time
	for _, m := range open {
		if m.fits(l.cur) {
			l.cur.at(m)
			f.closeParts(beside)
			return // what was rotated before was read before, or is in l.old
		}
		found := -1
		for i, q := range beside {
			if q != nil && m.fits(q) {
				found = i
				break
			}
			if q != nil && found < 0 && m.Len > 0 && m.begins(q) && m.fitsSize(q) {
				found = i // a copy
			}
		}
		if found < 0 {
			f.warnOnce("a log was rotated while minewarden did not run, and its rest is gone: what was written between is not read", "path", l.path)
			f.lost(l.path)
			continue
		}
		beside[found].at(m)
		if t := beside[found].last; t.After(since) {
			since = t
		}
		l.old = append(l.old, beside[found])
		beside[found] = nil
	}
	if !since.IsZero() {
		beside = f.unread(l, beside, since)
	}
	f.closeParts(beside)
}

func (f *follower) openSiblings(path string, now time.Time) []*part {
	var all []*part
	for _, name := range siblings(path) {
		if p, err := openPart(name, 0, now); err == nil {
			all = append(all, p)
		}
	}
	return all
}

func (f *follower) closeParts(all []*part) {
	for _, p := range all {
		if p == nil {
			continue
		}
		if err := p.f.Close(); err != nil {
			f.warnOnce("closing a log failed", "error", err)
		}
	}
}

// unread takes from beside the files that were made and rotated away between two looks: written to no earlier than since, and
// never read. They follow the old ones. It returns the rest.
func (f *follower) unread(l *file, beside []*part, since time.Time) []*part {
	slices.SortStableFunc(beside, func(a, b *part) int {
		if a == nil || b == nil {
			return 0
		}
		return a.last.Compare(b.last)
	})
	for i, p := range beside {
		if p == nil || p.last.Before(since) || f.followed(p.id) || slices.ContainsFunc(l.old, func(o *part) bool { return o.id == p.id }) ||
			slices.ContainsFunc(l.done, func(m mark) bool { return m.is(p) }) {
			continue
		}
		l.old = append(l.old, p)
		beside[i] = nil
	}
	return beside
}

// lost says that lines are missing whose number nobody knows.
func (f *follower) lost(path string) {
	f.emit(minewarden.Event{Time: f.sensor.env.Now(), Data: &minewarden.Lost{N: 1, Where: "log " + path}})
}

// round reads all that is new.
func (f *follower) round(ctx context.Context) error {
	for more := true; more && ctx.Err() == nil; {
		more = false
		for _, l := range f.files {
			again, err := f.one(ctx, l)
			if err != nil {
				return err
			}
			more = more || again
		}
		err := f.save(false)
		if err != nil && f.unsaved == nil { // a full disk is no reason to stop looking
			f.sensor.env.Log.Error("where logs were left is not kept; after a restart some lines are read again", "error", err)
		}
		f.unsaved = err
	}
	return nil
}

// one reads what is new of one log; true: there is more.
func (f *follower) one(ctx context.Context, l *file) (more bool, err error) {
	now := f.sensor.env.Now()
	kept := l.old[:0]
	for _, p := range l.old {
		again, err := f.read(ctx, l, p, true)
		if err != nil {
			return false, err
		}
		more = more || again
		if !again && now.Sub(p.grew) > keepOld {
			f.finish(l, p)
			continue
		}
		kept = append(kept, p)
	}
	l.old = kept
	if more {
		return true, nil // in order: the old before the new
	}
	if l.cur != nil {
		again, err := f.read(ctx, l, l.cur, false)
		if err != nil || again {
			return again, err
		}
		if l.dec.Waiting() && now.Sub(l.cur.grew) > settle {
			l.dec.Flush(f.out)
			l.cur.safe = l.cur.off
		}
	}
	return f.rotated(l, now)
}

// rotated looks whether another file stands under the log's name.
func (f *follower) rotated(l *file, now time.Time) (bool, error) {
	_, id, err := stat(os.Stat(l.path))
	if err != nil {
		return false, nil //nolint:nilerr // between renaming and making anew there is none
	}
	if l.cur != nil && l.cur.id == id {
		return false, nil
	}
	p, err := openPart(l.path, 0, now)
	if err != nil {
		if !errors.Is(err, fs.ErrNotExist) {
			f.warnOnce("a log cannot be read", "error", err)
		}
		return false, nil
	}
	if l.cur != nil {
		l.cur.grew = now
		l.old = append(l.old, l.cur)
		f.closeParts(f.unread(l, f.openSiblings(l.path, now), l.cur.last))
		for len(l.old) > maxOld && l.old[0].off == sizeOf(l.old[0]) {
			f.finish(l, l.old[0])
			l.old = l.old[1:]
		}
	}
	l.cur = p
	return true, nil
}

// finish closes a rotated file that was read to its end, and remembers it.
func (f *follower) finish(l *file, p *part) {
	l.done = append(l.done, f.state.mark(p))
	l.done = l.done[max(len(l.done)-maxDone, 0):]
	f.closeParts([]*part{p})
}

func (f *follower) followed(id identity) bool {
	for _, l := range f.files {
		if l.cur != nil && l.cur.id == id {
			return true
		}
	}
	return false
}

func (f *follower) out(t time.Time, rec *minewarden.Record) {
	f.emit(minewarden.Event{Time: t, Data: rec})
}

// read emits the lines of a part from where it was left; true: there are more. The last line waits for its end, except in an
// old part, to which nothing was written for a while.
func (f *follower) read(ctx context.Context, l *file, p *part, old bool) (more bool, err error) {
	st, err := p.f.Stat()
	if err != nil {
		return false, fmt.Errorf("look at log %s: %w", l.path, err)
	}
	size := st.Size()
	now := f.sensor.env.Now()
	if size < p.off || p.off > 0 && !st.ModTime().Equal(p.last) && f.replaced(p) {
		f.sensor.env.Log.Info("a log was truncated; it is read from its beginning", "path", l.path)
		f.copied(l, p, now)
		p.off, p.safe, p.discard = 0, 0, false
		delete(f.state.prints, p.id)
	}
	if size == p.off {
		return false, nil
	}
	lines := logs.NewLines(io.NewSectionReader(p.f, p.off, size-p.off))
	for n := 0; ; n++ {
		if n == batch || ctx.Err() != nil {
			return ctx.Err() == nil, nil
		}
		line, took, ended, cut, err := lines.Next()
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			return false, fmt.Errorf("read log %s: %w", l.path, err)
		}
		if !ended && !cut && (!old || now.Sub(p.grew) < settle) {
			break
		}
		p.grew = now
		if p.discard {
			p.discard = !ended
		} else {
			if cut {
				f.warnOnce("a log has a line that is too long; its rest is left out", "path", l.path, "limit", logs.MaxLine)
			}
			p.discard = !ended && cut
			if err := l.dec.Line(line, f.out); err != nil {
				f.warnOnce("a log has a line that cannot be read", "path", l.path, "error", err)
				f.out(now, &minewarden.Record{Source: "text", Message: strings.ToValidUTF8(string(line), "\uFFFD")})
			}
		}
		p.off += took
		if !l.dec.Waiting() {
			p.safe = p.off
		}
	}
	p.last = st.ModTime()
	f.state.print(p)
	return false, nil
}

// replaced reports whether the beginning of a file is not what it was: truncated, and already longer again.
func (f *follower) replaced(p *part) bool {
	m, ok := f.state.prints[p.id]
	return ok && m.n > 0 && fingerprint(p.f, m.n) != m.sum
}

// copied looks for the copy that was made of a log before it was truncated: it holds lines that were not read yet.
func (f *follower) copied(l *file, p *part, now time.Time) {
	m := f.state.known(p)
	beside := f.openSiblings(l.path, now)
	for i, q := range beside {
		if q.id != p.id && m.Len > 0 && m.begins(q) && m.fitsSize(q) && !slices.ContainsFunc(l.done, func(d mark) bool { return d.is(q) }) {
			q.at(m)
			l.old = append(l.old, q)
			beside[i] = nil
			break
		}
	}
	f.closeParts(beside)
}

// stop emits what waits and keeps where everything was left.
func (f *follower) stop() error {
	var errs []error
	for _, l := range f.files {
		l.dec.Flush(f.out)
		for _, p := range append(l.old, l.cur) {
			if p != nil {
				p.safe = p.off
			}
		}
	}
	errs = append(errs, f.save(true))
	for _, l := range f.files {
		for _, p := range append(l.old, l.cur) {
			if p != nil {
				errs = append(errs, p.f.Close())
			}
		}
	}
	return errors.Join(errs...)
}
