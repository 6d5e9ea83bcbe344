// Package responders lists the responders. A new one is a folder here and a line in All.
package responders

import (
	"github.com/minewarden/minewarden"
	"github.com/minewarden/minewarden/responders/credentials"
	"github.com/minewarden/minewarden/responders/evidence"
	"github.com/minewarden/minewarden/responders/isolate"
	"github.com/minewarden/minewarden/responders/network"
	"github.com/minewarden/minewarden/responders/process"
	"github.com/minewarden/minewarden/responders/quarantine"
	"github.com/minewarden/minewarden/responders/recovery"
	"github.com/minewarden/minewarden/responders/repair"
	"github.com/minewarden/minewarden/responders/source"
)

// A Maker makes a responder from what it may touch.
type Maker = func(minewarden.Env) (minewarden.Responder, error)

// Named is a responder's folder name with its Maker.
type Named struct {
	Name string
	New  Maker
}

// All returns every responder, in the order in which people read about them.
func All() []Named {
	return []Named{
		{process.Name, process.New},
		{evidence.Name, evidence.New},
		{network.Name, network.New},
		{isolate.Name, isolate.New},
		{quarantine.Name, quarantine.New},
		{recovery.Name, recovery.New},
		{source.Name, source.New},
		{credentials.Name, credentials.New},
		{repair.Name, repair.New},
	}
}
