// Package sensors lists the sensors. A new one is a folder here and a line in All.
package sensors

import (
	"github.com/minewarden/minewarden"
	"github.com/minewarden/minewarden/sensors/capture"
	"github.com/minewarden/minewarden/sensors/ebpf"
	"github.com/minewarden/minewarden/sensors/files"
	"github.com/minewarden/minewarden/sensors/journal"
	"github.com/minewarden/minewarden/sensors/logfile"
	"github.com/minewarden/minewarden/sensors/procfs"
	"github.com/minewarden/minewarden/sensors/syslog"
)

// A Maker makes a sensor from what it may touch.
type Maker = func(minewarden.Env) (minewarden.Sensor, error)

// Named is a sensor's folder name with its Maker.
type Named struct {
	Name string
	New  Maker
}

// All returns every sensor, in the order in which people read about them.
func All() []Named {
	return []Named{
		{"ebpf", ebpf.New},
		{"procfs", procfs.New},
		{"files", files.New},
		{"capture", capture.New},
		{"journal", journal.New},
		{"logfile", logfile.New},
		{"syslog", syslog.New},
	}
}
