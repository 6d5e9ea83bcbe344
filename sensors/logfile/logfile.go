// Package logfile reads logs that are text: whole files for a replay, and live, as they grow.
package logfile

import (
	"context"
	_ "embed"
	"errors"
	"fmt"
	"io/fs"
	"path/filepath"
	"sort"
	"time"

	"github.com/fsnotify/fsnotify"

	"github.com/minewarden/minewarden"
	"github.com/minewarden/minewarden/internal/beat"
	"github.com/minewarden/minewarden/internal/logs"
)

//go:embed README.md
var doc string

// Config is the section "logfile" of the configuration.
type Config struct {
	Files []string `yaml:"files"` // paths or patterns; empty: the usual places
	// FromStart reads a file that was never seen from its beginning. A file that appears later always is.
	FromStart bool   `yaml:"from_start"`
	JSON      []JSON `yaml:"json"` // files of JSON lines whose fields need other names
}

// JSON is a set of files with a mapping of fields.
type JSON struct {
	Files   []string     `yaml:"files"`
	Mapping logs.Mapping `yaml:"mapping"`
}

// usual are the places of logs. Those that journald holds as well are left to it.
var usual = [...]struct {
	pattern string
	journal bool
}{
	{"/var/log/auth.log", true},
	{"/var/log/secure", true},
	{"/var/log/syslog", true},
	{"/var/log/messages", true},
	{"/var/log/audit/audit.log", false},
	{"/var/log/nginx/*.log", false},
	{"/var/log/apache2/*.log", false},
	{"/var/log/httpd/*_log", false},
	{"/var/log/kubernetes/audit*.log", false},
	{"/var/log/gitea/gitea.log", false},
	{"/var/lib/gitea/log/gitea.log", false},
	{"/var/log/nomad*.log", false},
	{"/var/log/consul*.log", false},
}

const (
	// pause is how long the sensor waits without word from the kernel: files on some mounts give none.
	pause = time.Second
	// settle is how long records that belong together may wait for each other.
	settle = 2 * time.Second
	// maxFiles bounds the files that are followed.
	maxFiles = 1024
	// again is how often patterns are looked up.
	again = 10 * time.Second
)

type sensor struct {
	env minewarden.Env
	cfg Config
}

var _ minewarden.Sensor = (*sensor)(nil)

// New returns the sensor that follows logs.
func New(env minewarden.Env) (minewarden.Sensor, error) {
	var cfg Config
	if err := env.Config(&cfg); err != nil {
		return nil, err
	}
	for _, p := range cfg.patterns(true) {
		if _, err := filepath.Match(p, ""); err != nil {
			return nil, fmt.Errorf("logfile: pattern %q: %w", p, err)
		}
	}
	return &sensor{env, cfg}, nil
}

// Info implements minewarden.Sensor.
func (*sensor) Info() minewarden.Info {
	return minewarden.Info{Name: "logfile", Title: "logs that are text, as they grow", Doc: doc}
}

// Patient implements the pipeline's wish to know that this sensor may be made to wait: what it has not read stays in the file.
func (*sensor) Patient() bool { return true }

func (c *Config) patterns(journal bool) []string {
	var all []string
	for _, set := range c.JSON {
		all = append(all, set.Files...)
	}
	all = append(all, c.Files...)
	if len(c.Files) == 0 {
		for _, u := range usual {
			if !journal || !u.journal {
				all = append(all, u.pattern)
			}
		}
	}
	return all
}

// mapping returns how the JSON of a file is read; nil: by its shape.
func (c *Config) mapping(path string) *logs.Mapping {
	for i := range c.JSON {
		for _, p := range c.JSON[i].Files {
			if ok, err := filepath.Match(p, path); ok && err == nil {
				return &c.JSON[i].Mapping
			}
		}
	}
	return nil
}

// Run implements minewarden.Sensor.
func (s *sensor) Run(ctx context.Context, emit minewarden.Emit) (err error) {
	st, err := loadState(s.env.Data, s.env.Log)
	if err != nil {
		return err
	}
	watcher, err := fsnotify.NewWatcher()
	if err != nil {
		return fmt.Errorf("watch for logs: %w", err)
	}
	defer func() { err = errors.Join(err, watcher.Close()) }()
	f := &follower{sensor: s, emit: emit, state: st, watcher: watcher, files: map[string]*file{}, dirs: map[string]bool{}}
	defer func() { err = errors.Join(err, f.stop()) }()
	f.find(true)
	tick := time.NewTimer(beat.Next(time.Now(), pause))
	defer tick.Stop()
	looked := s.env.Now()
	for {
		if err := f.round(ctx); err != nil {
			return err
		}
		if ctx.Err() != nil {
			return nil
		}
		select {
		case <-ctx.Done():
			return nil
		case ev := <-watcher.Events:
			if ev.Has(fsnotify.Create) {
				f.find(false)
			}
			f.drain()
		case err := <-watcher.Errors:
			s.env.Log.Warn("watching logs: some changes were not told; files are looked at every second", "error", err)
		case <-tick.C:
			tick.Reset(beat.Next(time.Now(), pause))
			if now := s.env.Now(); now.Sub(looked) >= again {
				looked = now
				f.find(false)
			}
		}
	}
}

// drain takes what else the kernel told: one round looks at every file anyway.
func (f *follower) drain() {
	for range 1024 {
		select {
		case ev := <-f.watcher.Events:
			if ev.Has(fsnotify.Create) {
				f.find(false)
			}
		default:
			return
		}
	}
}

// find opens files that match and are not followed yet. At the first look, files that were never seen are read from their end.
func (f *follower) find(first bool) {
	patterns := f.sensor.cfg.patterns(hasJournal())
	for _, p := range patterns {
		names, err := filepath.Glob(p)
		if err != nil {
			continue // New looked at every pattern
		}
		sort.Strings(names)
		for _, name := range names {
			if f.files[name] != nil || compressed(name) {
				continue
			}
			if len(f.files) >= maxFiles {
				f.warnOnce("more logs than can be followed", "limit", maxFiles)
				return
			}
			f.add(name, first)
		}
		dir := filepath.Dir(p)
		if !f.dirs[dir] && len(f.dirs) < maxFiles {
			if err := f.watcher.Add(dir); err == nil {
				f.dirs[dir] = true
			} else if !errors.Is(err, fs.ErrNotExist) {
				f.warnOnce("a directory of logs cannot be watched; it is looked at every second", "dir", dir, "error", err)
			}
		}
	}
}

func compressed(name string) bool {
	switch filepath.Ext(name) {
	case ".gz", ".xz", ".zst", ".bz2", ".lz4":
		return true
	}
	return false
}

// hasJournal reports whether journald keeps a journal on this host.
func hasJournal() bool {
	for _, p := range [...]string{"/var/log/journal/*/*.journal", "/run/log/journal/*/*.journal"} {
		if names, err := filepath.Glob(p); err == nil && len(names) > 0 {
			return true
		}
	}
	return false
}
