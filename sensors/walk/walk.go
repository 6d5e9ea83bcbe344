// Package walk looks once at the files where miners and their ways back in are found.
package walk

import (
	"context"
	_ "embed"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"os"
	"path"
	"runtime"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/minewarden/minewarden"
	"github.com/minewarden/minewarden/internal/host"
)

//go:embed README.md
var doc string

// Config is the sensor's section of the configuration.
type Config struct {
	// Paths are looked at instead of the usual places, each with all below it.
	Paths []string `yaml:"paths"`
	// MaxFile is how many bytes of one file are searched.
	MaxFile int64 `yaml:"max_file"`
	// Budget ends the walk. The likeliest places come first, and what is left is counted.
	Budget time.Duration `yaml:"budget"`
}

// Default returns the configuration that New starts from.
func Default() Config { return Config{MaxFile: 64 << 20, Budget: 15 * time.Second} }

const (
	maxEntries = 200_000   // of one directory
	maxFiles   = 5_000_000 // of one walk
	maxDeep    = 64
	shallow    = 3       // levels of homes that are looked at before the rest of them
	maxOnce    = 1 << 20 // files that are remembered so that none is reported twice
)

// A Walker is the sensor. Unlike others it ends by itself.
type Walker struct {
	env  minewarden.Env
	cfg  Config
	self os.FileInfo // of the running program; nil: not known

	files, bytes, events atomic.Uint64
	mu                   sync.Mutex
	skipped              map[string]uint64
}

var _ minewarden.Sensor = (*Walker)(nil)

// New returns the sensor. Env.Root should be a host.Root: other file systems may follow links out of a mounted disk and
// block on a pipe that takes a file's place.
func New(env minewarden.Env) (minewarden.Sensor, error) {
	cfg := Default()
	if err := env.Config(&cfg); err != nil {
		return nil, err
	}
	if cfg.MaxFile < headLen || cfg.Budget <= 0 {
		return nil, fmt.Errorf("walk: max_file %d must be at least %d, budget %v above zero", cfg.MaxFile, headLen, cfg.Budget)
	}
	for i, p := range cfg.Paths {
		cfg.Paths[i] = strings.TrimPrefix(path.Clean("/"+p), "/")
		if cfg.Paths[i] == "" {
			cfg.Paths[i] = "."
		}
	}
	return &Walker{env: env, cfg: cfg, skipped: map[string]uint64{}}, nil
}

// Info implements minewarden.Sensor.
func (*Walker) Info() minewarden.Info {
	return minewarden.Info{Name: "walk", Title: "files where miners are found, once", Doc: doc}
}

// Counts is how far a walk came.
type Counts struct {
	Files   uint64            // looked at
	Bytes   uint64            // searched
	Events  uint64            // reported
	Skipped map[string]uint64 // what was not looked at, by reason
}

// Counts may be called while Run works.
func (w *Walker) Counts() Counts {
	w.mu.Lock()
	defer w.mu.Unlock()
	return Counts{w.files.Load(), w.bytes.Load(), w.events.Load(), maps.Clone(w.skipped)}
}

func (w *Walker) skip(reason string, n uint64) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.skipped[reason] += n
}

// job is one file to look at.
type job struct {
	name  string
	place bool // persistence lives here: always reported
	drop  bool // an unpackaged program here is always reported
	owned bool // a file of a package here is not looked at
	later bool // what lies deep is looked at after everything else
}

// Run implements minewarden.Sensor. It returns when everything was looked at.
func (w *Walker) Run(ctx context.Context, emit minewarden.Emit) error {
	if w.env.Root == nil {
		return errors.New("walk: no root to look at")
	}
	ctx, cancel := context.WithTimeoutCause(ctx, w.cfg.Budget, errBudget)
	defer cancel()
	var one sync.Mutex
	ordered := func(e minewarden.Event) {
		one.Lock()
		defer one.Unlock()
		w.events.Add(1)
		emit(e)
	}
	if self, err := os.Stat("/proc/self/exe"); err == nil {
		w.self = self
	}
	packages := host.NewPackages(w.env.Root)
	if err := packages.Load(); err != nil {
		w.env.Log.Warn("package database could not be read", "err", err)
	}
	m, s := newMatcher(words[:]), newSieve(words[:])
	jobs := make(chan job, 1024)
	var workers sync.WaitGroup
	for range max(2, runtime.NumCPU()) {
		workers.Go(func() {
			l := newLooker(w, m, s, packages, ordered)
			for j := range jobs {
				if ctx.Err() != nil {
					w.skip(reasonTime, 1)
					continue
				}
				l.look(j)
			}
		})
	}
	t := &tour{w: w, jobs: jobs, once: map[string]bool{}, mounts: foreign(w.env.Root)}
	t.all(ctx)
	close(jobs)
	workers.Wait()
	c := w.Counts()
	w.env.Log.Info("files were looked at", "files", c.Files, "bytes", c.Bytes, "reported", c.Events, "skipped", c.Skipped)
	if err := ctx.Err(); err != nil && !errors.Is(context.Cause(ctx), errBudget) {
		return nil //nolint:nilerr // the caller ended it
	}
	return nil
}

var errBudget = errors.New("the walk's time is over")

const (
	reasonTime    = "out of time"
	reasonMany    = "too many entries"
	reasonDeep    = "too deep"
	reasonForeign = "other file system"
	reasonSpecial = "pipe, socket or device"
	reasonRead    = "unreadable"
	reasonLarge   = "rest of a large file"
	reasonSelf    = "this program itself"
)

// tour goes through the directories.
type tour struct {
	w      *Walker
	jobs   chan<- job
	once   map[string]bool
	mounts map[string]bool
	files  int
	later  []string // directories for the end of the walk
}

// all visits the places, the likeliest first.
func (t *tour) all(ctx context.Context) {
	if len(t.w.cfg.Paths) > 0 {
		for _, p := range t.w.cfg.Paths {
			t.visit(ctx, p, job{drop: true}, maxDeep)
		}
		return
	}
	for _, p := range host.Places(t.w.env.Root) {
		t.place(ctx, p)
	}
	for _, dir := range [...]string{"tmp", "var/tmp", "dev/shm"} {
		t.visit(ctx, dir, job{drop: true}, maxDeep)
	}
	for _, dir := range [...]string{"usr/bin", "usr/sbin", "bin", "sbin", "usr/local/bin", "usr/local/sbin", "usr/games"} {
		t.visit(ctx, dir, job{drop: true, owned: true}, maxDeep)
	}
	for _, dir := range [...]string{".", "etc", "usr", "usr/lib", "usr/share", "var", "var/lib", "var/log", "var/spool", "lib"} {
		t.hidden(ctx, dir)
	}
	t.visit(ctx, "run", job{drop: true}, maxDeep)
	for _, dir := range [...]string{"var/www", "usr/share/nginx", "srv"} {
		t.visit(ctx, dir, job{}, maxDeep)
	}
	for _, home := range host.Homes(t.w.env.Root) {
		t.visit(ctx, home, job{later: true}, maxDeep)
	}
	t.visit(ctx, "opt", job{later: true}, maxDeep)
	for _, dir := range t.later { // tool chains and caches, mostly: hundreds of thousands of files
		t.descend(ctx, dir, job{}, maxDeep-shallow)
	}
}

// place queues the files of a place of persistence; there, links count as what they lead to.
func (t *tour) place(ctx context.Context, p host.Place) {
	entries, ok := t.list(p.Dir)
	if !ok {
		return
	}
	for _, e := range entries {
		name := path.Join(p.Dir, e.Name())
		switch {
		case e.IsDir():
			if p.Deep > 0 {
				t.place(ctx, host.Place{Dir: name, Deep: p.Deep - 1})
			}
		case p.Has(e.Name()):
			t.queue(ctx, name, job{place: true})
		}
	}
}

// hidden visits what begins with a dot in a directory where nothing should.
func (t *tour) hidden(ctx context.Context, dir string) {
	entries, ok := t.list(dir)
	if !ok {
		return
	}
	for _, e := range entries {
		if !strings.HasPrefix(e.Name(), ".") {
			continue
		}
		name := path.Join(dir, e.Name())
		if e.IsDir() {
			t.visit(ctx, name, job{drop: true}, maxDeep)
		} else if e.Type().IsRegular() {
			t.queue(ctx, name, job{drop: true})
		}
	}
}

// visit queues the files of a directory and of all below it. Links are not followed.
func (t *tour) visit(ctx context.Context, dir string, how job, deep int) {
	if info, err := lstat(t.w.env.Root, dir); err != nil || !info.IsDir() {
		if err == nil && info.Mode().IsRegular() {
			t.queue(ctx, dir, how)
		}
		return
	}
	t.descend(ctx, dir, how, deep)
}

func (t *tour) descend(ctx context.Context, dir string, how job, deep int) {
	switch {
	case ctx.Err() != nil:
		t.w.skip(reasonTime, 1)
		return
	case deep == 0:
		t.w.skip(reasonDeep, 1)
		return
	case t.mounts[dir]:
		t.w.skip(reasonForeign, 1)
		return
	}
	if how.later && deep == maxDeep-shallow && len(t.later) < maxOnce {
		t.later = append(t.later, dir)
		return
	}
	entries, ok := t.list(dir)
	if !ok {
		return
	}
	for _, e := range entries {
		name := path.Join(dir, e.Name())
		switch kind := e.Type(); {
		case kind.IsRegular():
			j := how
			j.drop = j.drop || strings.HasPrefix(e.Name(), ".")
			t.queue(ctx, name, j)
		case kind.IsDir():
			j := how
			j.drop = j.drop || strings.HasPrefix(e.Name(), ".") && deep > maxDeep-8
			t.descend(ctx, name, j, deep-1)
		case kind&fs.ModeSymlink == 0:
			t.w.skip(reasonSpecial, 1)
		}
	}
}

func (t *tour) list(dir string) ([]fs.DirEntry, bool) {
	f, err := t.w.env.Root.Open(dir)
	if err != nil {
		if !errors.Is(err, fs.ErrNotExist) {
			t.w.skip(reasonRead, 1)
		}
		return nil, false
	}
	defer f.Close()
	d, ok := f.(fs.ReadDirFile)
	if !ok {
		return nil, false
	}
	entries, err := d.ReadDir(maxEntries)
	if err != nil && len(entries) == 0 {
		if !isEnd(err) {
			t.w.skip(reasonRead, 1)
		}
		return nil, false
	}
	if len(entries) == maxEntries {
		t.w.skip(reasonMany, 1)
	}
	return entries, true
}

func (t *tour) queue(ctx context.Context, name string, j job) {
	if t.once[name] {
		return
	}
	if t.files++; t.files > maxFiles {
		t.w.skip(reasonMany, 1)
		return
	}
	if j.place && len(t.once) < maxOnce { // other places do not overlap much
		t.once[name] = true
	}
	j.name = name
	select {
	case t.jobs <- j:
	case <-ctx.Done():
		t.w.skip(reasonTime, 1)
	}
}
