// Package journal reads journald's files, without journald: whole ones for a replay, and the host's own as they grow.
package journal

import (
	"context"
	_ "embed"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"time"

	"github.com/fsnotify/fsnotify"

	"github.com/minewarden/minewarden"
	"github.com/minewarden/minewarden/internal/beat"
)

//go:embed README.md
var doc string

// Config is the section "journal" of the configuration.
type Config struct {
	Dirs      []string `yaml:"dirs"`       // folders with *.journal; empty: the host's own
	FromStart bool     `yaml:"from_start"` // at the first start, read what is there already
}

const (
	maxFiles = 512
	pause    = time.Second // between looks when the kernel tells nothing
	again    = 10 * time.Second
	maxKept  = 4096 // journals in the state
)

type sensor struct {
	env minewarden.Env
	cfg Config
}

var (
	_ minewarden.Sensor  = (*sensor)(nil)
	_ minewarden.Patient = (*sensor)(nil)
)

// New returns the sensor that follows the host's journal.
func New(env minewarden.Env) (minewarden.Sensor, error) {
	var cfg Config
	if err := env.Config(&cfg); err != nil {
		return nil, err
	}
	return &sensor{env, cfg}, nil
}

// Info implements minewarden.Sensor.
func (*sensor) Info() minewarden.Info {
	return minewarden.Info{Name: "journal", Title: "journald's files, as they grow", Doc: doc}
}

// Patient implements minewarden.Patient: what is not read stays in the journal.
func (*sensor) Patient() bool { return true }

// Read emits the entries of a journal.
func Read(ctx context.Context, path string, bad func(error), emit minewarden.Emit) (err error) {
	src, err := os.Open(path)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, src.Close()) }()
	f, err := open(src, bad)
	if err != nil {
		return err
	}
	defer f.close()
	err = f.next(func() bool { return ctx.Err() != nil }, func(t time.Time, rec *minewarden.Record) {
		emit(minewarden.Event{Time: t, Data: rec})
	})
	return errors.Join(err, ctx.Err())
}

// place is how far a journal was read.
type place struct {
	Offset int64  `json:"offset"`
	Read   uint64 `json:"read"`
}

// followed is a journal that is open.
type followed struct {
	*file
	src  *os.File
	path string
}

type follower struct {
	*sensor
	emit    minewarden.Emit
	watcher *fsnotify.Watcher
	dirs    map[string]bool
	open    map[string]*followed // by file id
	byPath  map[string]os.FileInfo
	Places  map[string]place // by file id
	saved   time.Time
	dirty   bool
	warned  map[string]bool
}

// Run implements minewarden.Sensor.
func (s *sensor) Run(ctx context.Context, emit minewarden.Emit) (err error) {
	dirs := s.folders()
	if len(dirs) == 0 {
		return fmt.Errorf("%w: there is no journal", minewarden.ErrUnsupported)
	}
	watcher, err := fsnotify.NewWatcher()
	if err != nil {
		return fmt.Errorf("watch the journal: %w", err)
	}
	defer func() { err = errors.Join(err, watcher.Close()) }()
	f := &follower{sensor: s, emit: emit, watcher: watcher, dirs: map[string]bool{}, open: map[string]*followed{}, byPath: map[string]os.FileInfo{}, Places: map[string]place{}, warned: map[string]bool{}}
	known, err := f.load()
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, f.stop()) }()
	f.find(!known && !s.cfg.FromStart)
	tick := time.NewTimer(beat.Next(time.Now(), pause))
	defer tick.Stop()
	looked := s.env.Now()
	for {
		f.round(ctx)
		if err := f.save(false); err != nil {
			f.warn("what is read is seen; after a restart it is read again", err) // a full disk is no reason to stop looking
		}
		select {
		case <-ctx.Done():
			return nil
		case ev := <-watcher.Events:
			if ev.Has(fsnotify.Create) {
				f.find(false)
			}
			for len(watcher.Events) > 0 {
				if ev := <-watcher.Events; ev.Has(fsnotify.Create) {
					f.find(false)
				}
			}
		case err := <-watcher.Errors:
			f.warn("watching the journal", err)
		case <-tick.C:
			tick.Reset(beat.Next(time.Now(), pause))
			if now := s.env.Now(); now.Sub(looked) >= again {
				looked = now
				f.find(false)
			}
		}
	}
}

// folders are those that hold journals. What lies in /run is moved to /var where that is kept, and would be read twice.
func (s *sensor) folders() []string {
	if len(s.cfg.Dirs) > 0 {
		return s.cfg.Dirs
	}
	for _, p := range [...]string{"/var/log/journal/*", "/run/log/journal/*"} {
		names, err := filepath.Glob(p)
		if err != nil || len(names) == 0 {
			continue
		}
		if files, err := filepath.Glob(p + "/*.journal"); err == nil && len(files) > 0 {
			return names
		}
	}
	return nil
}

func (f *follower) warn(what string, err error) {
	key := what + ": " + err.Error()
	if f.warned[key] || len(f.warned) > 1000 {
		return
	}
	f.warned[key] = true
	f.env.Log.Warn("a part of the journal cannot be read", "what", what, "error", err)
}

// find opens journals that are not open yet. With skip those are read from their end.
func (f *follower) find(skip bool) {
	for _, dir := range f.folders() {
		if !f.dirs[dir] {
			if err := f.watcher.Add(dir); err == nil {
				f.dirs[dir] = true
			} else {
				f.warn(dir, err)
			}
		}
		names, err := filepath.Glob(filepath.Join(dir, "*.journal"))
		if err != nil {
			f.warn(dir, err)
			continue
		}
		for _, name := range names {
			st, err := os.Stat(name)
			if err != nil || f.byPath[name] != nil && os.SameFile(st, f.byPath[name]) {
				continue
			}
			if len(f.open) >= maxFiles {
				f.warn(name, errors.New("more journals than can be followed"))
				return
			}
			if len(f.byPath) > 4*maxFiles {
				clear(f.byPath)
			}
			f.byPath[name] = st
			f.add(name, skip)
		}
	}
}

func (f *follower) add(name string, skip bool) {
	src, err := os.Open(name)
	if err != nil {
		if !errors.Is(err, fs.ErrNotExist) {
			f.warn(name, err)
		}
		return
	}
	j, err := open(src, func(err error) { f.warn(name, err) })
	if err != nil {
		// journald may be writing its header: look again.
		delete(f.byPath, name)
		f.warn(name, errors.Join(err, src.Close()))
		return
	}
	id := hex.EncodeToString(j.head.id[:])
	p, known := f.Places[id]
	switch {
	case f.open[id] != nil || known && j.head.archived && p.Read >= j.head.entries: // the same under another name
		j.close()
		if err := src.Close(); err != nil {
			f.warn(name, err)
		}
		return
	case known:
		j.pos, j.read = p.Offset, p.Read
	case skip:
		j.pos, j.read = j.head.tail, j.head.entries
		if _, _, size, err := j.object(j.head.tail); err == nil {
			j.pos += (size + 7) &^ 7
		}
	}
	f.open[id] = &followed{j, src, name}
	f.dirty = true
}

// round reads what is new in every journal.
func (f *follower) round(ctx context.Context) {
	for id, j := range f.open {
		err := j.refresh()
		if err == nil {
			was := j.read
			err = j.next(func() bool { return ctx.Err() != nil }, func(t time.Time, rec *minewarden.Record) {
				f.emit(minewarden.Event{Time: t, Data: rec})
			})
			f.dirty = f.dirty || j.read != was
			if j.missed > 0 {
				f.emit(minewarden.Event{Time: f.env.Now().UTC(), Data: &minewarden.Lost{N: j.missed, Where: "journal"}})
				j.missed = 0
			}
		}
		if err != nil {
			f.warn(j.path, err)
			f.emit(minewarden.Event{Time: f.env.Now().UTC(), Data: &minewarden.Lost{N: max(j.head.entries-min(j.read, j.head.entries), 1), Where: "journal"}})
		}
		if err != nil || j.head.archived && j.read >= j.head.entries {
			f.note(id, j)
			if err != nil {
				p := f.Places[id]
				p.Read = j.head.entries
				f.Places[id] = p
			}
			f.shut(j)
			delete(f.open, id)
		}
	}
}

func (f *follower) note(id string, j *followed) {
	if len(f.Places) >= maxKept {
		for old := range f.Places {
			if f.open[old] == nil {
				delete(f.Places, old)
				break
			}
		}
	}
	f.Places[id] = place{j.pos, j.read}
}

func (f *follower) shut(j *followed) {
	j.close()
	if err := j.src.Close(); err != nil {
		f.warn(j.path, err)
	}
}

func (f *follower) stop() error {
	err := f.save(true)
	for _, j := range f.open {
		f.shut(j)
	}
	return err
}

// load reads the places; known: there were some.
func (f *follower) load() (known bool, err error) {
	if f.env.Data == "" {
		return false, nil
	}
	b, err := os.ReadFile(filepath.Join(f.env.Data, "state.json"))
	if errors.Is(err, fs.ErrNotExist) {
		return false, nil
	}
	if err != nil {
		return false, fmt.Errorf("read how far the journal was read: %w", err)
	}
	if err := json.Unmarshal(b, &f.Places); err != nil {
		f.env.Log.Error("how far the journal was read is damaged; it is read from its end", "file", filepath.Join(f.env.Data, "state.json"), "error", err)
		f.Places = map[string]place{}
		return false, nil
	}
	if f.Places == nil {
		f.Places = map[string]place{}
	}
	return true, nil
}

func (f *follower) save(force bool) error {
	now := f.env.Now()
	if f.env.Data == "" || !force && (!f.dirty || now.Sub(f.saved) < time.Second) {
		return nil
	}
	f.saved, f.dirty = now, false
	for id, j := range f.open {
		f.note(id, j)
	}
	b, err := json.Marshal(f.Places)
	if err != nil {
		return err
	}
	name := filepath.Join(f.env.Data, "state.json")
	err = os.MkdirAll(f.env.Data, 0o700)
	if err == nil {
		err = os.WriteFile(name+".new", b, 0o600)
	}
	if err == nil {
		err = os.Rename(name+".new", name)
	}
	if err != nil {
		f.dirty = true
		return fmt.Errorf("keep how far the journal was read: %w", err)
	}
	return nil
}
