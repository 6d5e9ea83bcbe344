// Package login sees passwords being guessed, in the logs of sshd, PAM, sudo, Windows and web servers, and above all the
// success after it and what that session does.
package login

import (
	_ "embed"
	"time"

	"github.com/minewarden/minewarden"
)

//go:embed README.md
var doc string

// Bounds of memory. A counter takes about 250 bytes, with many peers 1.3 KiB.
const (
	maxSources  = 8192
	maxNetworks = 4096
	maxAccounts = 4096
)

type detector struct {
	sources  *table // by address or local user
	networks *table
	accounts *table // by host and user
	conns    connections
	guests   guests
	acts     [maxActs]act // of sessions whose login was not read yet
	nextAct  int
	found    []minewarden.Finding
}

var _ minewarden.Detector = (*detector)(nil)

// New returns the detector.
func New(minewarden.Env) (minewarden.Detector, error) { return newDetector(), nil }

func newDetector() *detector {
	return &detector{
		sources: newTable(maxSources), networks: newTable(maxNetworks), accounts: newTable(maxAccounts),
		conns: connections{by: map[connectionKey]*connection{}}, guests: guests{by: map[int32]*guest{}},
	}
}

// Info implements minewarden.Detector.
func (*detector) Info() minewarden.Info {
	return minewarden.Info{Name: "login", Title: "guessed passwords, the success after it and what follows", Doc: doc}
}

// Rules implements minewarden.Detector.
func (*detector) Rules() []minewarden.Rule { return rules[:] }

// Kinds implements minewarden.Detector.
func (*detector) Kinds() []minewarden.Kind {
	return []minewarden.Kind{minewarden.KindRecord, minewarden.KindExec, minewarden.KindWrite}
}

// Observe implements minewarden.Detector.
func (d *detector) Observe(ev *minewarden.Event) []minewarden.Finding {
	d.found = nil
	switch x := ev.Data.(type) {
	case *minewarden.Record:
		var a attempt
		if a.read(x) && d.conns.settle(&a, ev.Time) {
			d.judge(&a, ev.Time)
		}
	case *minewarden.Exec:
		if ev.Process != nil && !x.Existing {
			d.ran(ev, x)
		}
	case *minewarden.Write:
		if ev.Process != nil && !x.Existing {
			d.wrote(ev, x)
		}
	}
	return d.found
}

func (d *detector) judge(a *attempt, now time.Time) {
	switch a.out {
	case failed, tried:
		if a.n > 0 {
			d.fail(a, now)
		}
	case accepted:
		d.accept(a, now)
	}
}
