package minewarden

import (
	"errors"
	"io/fs"
	"log/slog"
	"time"
)

// ErrUnsupported is wrapped, with the reason, by a module that can never work on this host. It is switched off, visibly
// ("minewarden doctor"). Every other error is taken to be passing: the module is started again after a delay.
var ErrUnsupported = errors.New("not supported on this host")

// Info describes a module. It is constant, and says nothing of this host.
type Info struct {
	Name  string // the folder's name
	Title string // one line
	Doc   string // README.md of the folder, embedded, for "minewarden explain NAME"
}

// Env is all that a module may touch outside itself, so that a test can supply all of it. Every module's constructor is
// func New(Env) (T, error), and does no I/O.
type Env struct {
	Log    *slog.Logger           // already carries the module's name; never nil
	Root   fs.FS                  // the host's files, "etc/passwd" without a leading slash; a fixture in tests
	Now    func() time.Time       // the clock; nil for detectors, whose clock is the events'
	Data   string                 // a directory for the module alone, which it makes when it needs it; empty: keep nothing
	Decode func(config any) error // the module's own section of the configuration over its defaults; strict; nil: none
}

// Config fills config, which holds the module's defaults, from the module's section of the configuration.
func (e Env) Config(config any) error {
	if e.Decode == nil {
		return nil
	}
	return e.Decode(config)
}
