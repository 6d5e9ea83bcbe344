package app

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"time"

	"github.com/minewarden/minewarden"
	"github.com/minewarden/minewarden/config"
	"github.com/minewarden/minewarden/drills"
	"github.com/minewarden/minewarden/indicators"
	"github.com/minewarden/minewarden/internal/host"
	"github.com/minewarden/minewarden/pipeline"
	"github.com/minewarden/minewarden/sensors/files"
	"github.com/minewarden/minewarden/sensors/walk"
)

// Drilled says how a drill went.
type Drilled struct {
	Drill string        `json:"drill"`
	Title string        `json:"title"`
	Seen  bool          `json:"seen"`
	Rule  string        `json:"rule,omitempty"`  // the first that saw it
	After time.Duration `json:"after,omitempty"` // ns since the drill began
	Error string        `json:"error,omitempty"` // it could not run
	// Unsupported says that it can never run on this host; Error says why.
	Unsupported bool `json:"unsupported,omitempty"`
}

const (
	settle    = 2 * time.Second        // for the sensors to see what exists, before the first drill
	lookEvery = 500 * time.Millisecond // at the files of drills that only write files
	lateness  = 5 * time.Second        // how long after its end a drill can still be seen
	drillDir  = "minewarden-drill-"
)

// Drill runs drills one after the other beside sensors and detectors of its own, and tells done how each went.
func Drill(ctx context.Context, cfg *config.Config, log *slog.Logger, list []drills.Drill, done func(Drilled)) error {
	if err := sweepDrills(); err != nil {
		return err
	}
	makers, err := NewMakers(cfg, log)
	if err != nil {
		return err
	}
	dets, _, err := makers.Detectors()
	if err != nil {
		return err
	}
	watch, err := liveSensors(cfg, log)
	if err != nil {
		return err
	}
	boot, err := BootID()
	if err != nil {
		return err
	}
	e := &examiner{}
	pipe := pipeline.New(pipeline.Options{Log: log, Boot: boot, HostName: HostName(), Host: newThisHost(), Detectors: dets, Finding: e.live})
	runner := pipeline.NewRunner(pipe, log, time.Now, watch)
	watching, stop := context.WithCancel(context.WithoutCancel(ctx))
	var all sync.WaitGroup
	all.Go(func() { runner.Run(watching) })
	defer all.Wait()
	defer stop()
	pause(ctx, settle)
	for _, d := range list {
		if ctx.Err() != nil {
			return ctx.Err()
		}
		done(drillOne(ctx, makers, d, e))
	}
	return ctx.Err()
}

func drillOne(ctx context.Context, makers *Makers, d drills.Drill, e *examiner) Drilled {
	res := Drilled{Drill: d.Name, Title: d.Title}
	dir, err := os.MkdirTemp("", fmt.Sprintf("%s%d-", drillDir, os.Getpid()))
	if err != nil {
		res.Error = err.Error()
		return res
	}
	defer func() {
		if err := os.RemoveAll(dir); err != nil {
			makers.log.Warn("the drill's directory stays", "error", err)
		}
	}()
	ctx, cancel := context.WithTimeout(ctx, 30*time.Second)
	defer cancel()
	e.expect(d.Rules, dir)
	ended := make(chan error, 1)
	go func() { ended <- d.Run(ctx, drills.Env{Dir: dir, Log: makers.log}) }()
	look := time.NewTicker(lookEvery)
	defer look.Stop()
	var late <-chan time.Time
	var watching sync.WaitGroup
	defer watching.Wait()
	defer cancel()
	watched := false
	for {
		select {
		case err := <-ended:
			if err != nil {
				res.Error, res.Unsupported = err.Error(), errors.Is(err, minewarden.ErrUnsupported)
			}
			if e.seen() != "" || err != nil {
				res.Rule, res.After = e.result()
				res.Seen = res.Rule != ""
				return res
			}
			late = time.After(lateness)
		case <-look.C:
			if entries, err := os.ReadDir(dir); err == nil && len(entries) > 0 && !watched {
				watched = true
				watching.Go(func() {
					if err := watchAt(ctx, makers, dir, e); err != nil {
						makers.log.Debug("watch the drill's files", "error", err)
					}
				})
			}
			if err := lookAt(ctx, makers, dir, e); err != nil {
				makers.log.Debug("look at the drill's files", "error", err)
			}
			if e.seen() == "" || e.whole && late == nil {
				continue
			}
			cancel() // seen: the drill need not go on
			if late != nil {
				res.Rule, res.After = e.result()
				res.Seen = true
				return res
			}
		case <-late:
			return res
		}
	}
}

// lookAt scans the drill's private root, as scan --root would, and reads the captures in it, as replay would.
func lookAt(ctx context.Context, makers *Makers, dir string, e *examiner) (err error) {
	entries, err := os.ReadDir(dir)
	if err != nil || len(entries) == 0 {
		return err
	}
	dets, _, err := makers.Detectors()
	if err != nil {
		return err
	}
	root, err := host.OpenRoot(dir)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, root.Close()) }()
	env := env(makers.cfg, makers.log, "sensors", "walk")
	env.Root = root
	w, err := walk.New(env)
	if err != nil {
		return err
	}
	pipe := pipeline.New(pipeline.Options{Log: makers.log, Detectors: dets, Finding: e.file})
	if err := w.Run(ctx, pipe.Observe); err != nil {
		return err
	}
	pipe.Flush()
	set, err := indicators.Load("")
	if err != nil {
		return err
	}
	captures, err := filepath.Glob(filepath.Join(dir, "*.pcap"))
	for _, path := range captures { // of a network of the drill's own, which no sensor of the host sees
		for _, f := range replayOne(ctx, makers, set, path).Findings {
			e.file(f)
		}
	}
	return err
}

// watchAt reports what is written in the drill's private root until ctx ends, as the sensor of the host's files would.
func watchAt(ctx context.Context, makers *Makers, dir string, e *examiner) error {
	dets, _, err := makers.Detectors()
	if err != nil {
		return err
	}
	env := env(makers.cfg, makers.log, "sensors", "files")
	env.Decode = func(into any) error {
		if c, ok := into.(*files.Config); ok {
			c.Root, c.Inotify = dir, true
		}
		return nil
	}
	s, err := files.New(env)
	if err != nil {
		return err
	}
	pipe := pipeline.New(pipeline.Options{Log: makers.log, Detectors: dets, Finding: e.file})
	if err := s.Run(ctx, pipe.Observe); err != nil {
		return err
	}
	pipe.Flush()
	return nil
}

// An examiner waits for the finding that sees the drill which runs.
type examiner struct {
	// whole lets a drill that was seen go on to its end, so that a person can act on it.
	whole bool
	told  func(rule string, after time.Duration) // of the finding, as it comes; must not block

	mu    sync.Mutex
	rules []string
	dir   string
	begun time.Time
	rule  string
	after time.Duration
}

func (e *examiner) expect(rules []string, dir string) {
	e.mu.Lock()
	defer e.mu.Unlock()
	e.rules, e.dir, e.begun, e.rule, e.after = rules, dir, time.Now(), "", 0
}

// rest ends the wait.
func (e *examiner) rest() { e.expect(nil, "") }

// live takes a finding of the sensors: it counts when it is about a process that this one started.
func (e *examiner) live(f minewarden.Finding) {
	e.mu.Lock()
	waits, dir := len(e.rules) > 0, e.dir
	e.mu.Unlock()
	if !waits {
		return
	}
	me := int32(os.Getpid())
	own := dir != "" && strings.Contains(f.Subject.ID, dir)
	if f.Process != nil {
		own = own || f.Process.Ancestor(func(p *minewarden.Process) bool { return p.Key.PID == me }) != nil
	}
	if own {
		e.file(f)
	}
}

// file takes a finding of a look at the drill's directory.
func (e *examiner) file(f minewarden.Finding) {
	e.mu.Lock()
	defer e.mu.Unlock()
	if e.rule == "" && slices.Contains(e.rules, f.Rule) {
		e.rule, e.after = f.Rule, time.Since(e.begun)
		if e.told != nil {
			e.told(e.rule, e.after)
		}
	}
}

func (e *examiner) seen() string { rule, _ := e.result(); return rule }

func (e *examiner) result() (string, time.Duration) {
	e.mu.Lock()
	defer e.mu.Unlock()
	return e.rule, e.after
}

// sweepDrills removes directories of drills whose process was killed.
func sweepDrills() error {
	var old []string
	for _, parent := range [...]string{os.TempDir(), "/var/tmp"} {
		found, err := filepath.Glob(filepath.Join(parent, drillDir+"*"))
		if err != nil {
			return err
		}
		old = append(old, found...)
	}
	var errs []error
	for _, dir := range old {
		pid, _, _ := strings.Cut(strings.TrimPrefix(filepath.Base(dir), drillDir), "-")
		n, err := strconv.Atoi(pid)
		if err != nil || !errors.Is(syscall.Kill(n, 0), syscall.ESRCH) {
			continue
		}
		errs = append(errs, os.RemoveAll(dir))
	}
	return errors.Join(errs...)
}

func pause(ctx context.Context, d time.Duration) {
	select {
	case <-time.After(d):
	case <-ctx.Done():
	}
}
