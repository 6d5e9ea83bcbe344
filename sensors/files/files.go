// Package files reports what is written where persistence lives, and new programs where anybody may write.
package files

import (
	"context"
	_ "embed"
	"errors"
	"fmt"
	"os"
	"time"

	"github.com/minewarden/minewarden"
	"github.com/minewarden/minewarden/internal/host"
)

//go:embed README.md
var doc string

// Config is the sensor's section of the configuration.
type Config struct {
	// Root is the directory that is taken for the host's /.
	Root string `yaml:"root"`
	// Inotify forgoes fanotify, and with it the knowledge of who wrote.
	Inotify bool `yaml:"inotify"`
}

// Default returns the configuration that New starts from.
func Default() Config { return Config{Root: "/"} }

const (
	headLen       = 64 << 10
	maxWatches    = 8192
	maxDropDirs   = 2048   // of maxWatches, below the directories that everybody may write to
	dropDeep      = 4      // levels below them
	maxBaseline   = 20_000 // files that are reported at the start
	maxPerSecond  = 500    // files looked at in drop places; more are counted as lost
	queued        = 4096   // changes between the kernel's queue and this sensor
	replacesEvery = time.Minute
)

// drops are the directories that everybody may write to.
var drops = [...]string{"tmp", "var/tmp", "dev/shm"}

type sensor struct {
	env minewarden.Env
	cfg Config
}

var _ minewarden.Sensor = (*sensor)(nil)

// New returns the sensor.
func New(env minewarden.Env) (minewarden.Sensor, error) {
	cfg := Default()
	if err := env.Config(&cfg); err != nil {
		return nil, err
	}
	if cfg.Root == "" {
		return nil, errors.New("files: root is empty")
	}
	return &sensor{env: env, cfg: cfg}, nil
}

// Info implements minewarden.Sensor.
func (*sensor) Info() minewarden.Info {
	return minewarden.Info{Name: "files", Title: "writes where persistence lives and programs are dropped", Doc: doc}
}

// Run implements minewarden.Sensor.
func (s *sensor) Run(ctx context.Context, emit minewarden.Emit) (err error) {
	root, err := host.OpenRoot(s.cfg.Root)
	if err != nil {
		return fmt.Errorf("%w: %w", minewarden.ErrUnsupported, err)
	}
	defer func() { err = errors.Join(err, root.Close()) }()
	changes := make(chan change, queued)
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	src, err := openSource(ctx, s.cfg, s.env.Log, changes)
	if err != nil {
		return fmt.Errorf("%w: %w", minewarden.ErrUnsupported, err)
	}
	defer func() {
		cancel() // readers may wait to hand on a change
		err = errors.Join(err, src.close())
	}()
	w := &watch{
		env: s.env, emit: emit, root: root, src: src, self: int32(os.Getpid()),
		dirs: map[string]*dir{}, waiting: map[string]bool{},
	}
	w.places(true)
	w.baseline()
	again := time.NewTicker(replacesEvery) // users come and go, and so do repositories
	defer again.Stop()
	for {
		select {
		case <-ctx.Done():
			return nil
		case err := <-src.failed:
			return err
		case c := <-changes:
			w.change(c)
		case <-again.C:
			w.places(false)
		}
	}
}

// change is one thing that happened in a watched directory.
type change struct {
	dir, name string
	op        string // as in minewarden.Write; "" with lost
	isDir     bool
	pid       int32
	lost      bool // the kernel's queue ran over
}
