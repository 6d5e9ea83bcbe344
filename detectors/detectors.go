// Package detectors lists the detectors. A new one is a folder here and a line in All.
package detectors

import (
	"github.com/minewarden/minewarden"
	"github.com/minewarden/minewarden/detectors/dns"
	"github.com/minewarden/minewarden/detectors/exploit"
	"github.com/minewarden/minewarden/detectors/file"
	"github.com/minewarden/minewarden/detectors/flow"
	"github.com/minewarden/minewarden/detectors/intel"
	"github.com/minewarden/minewarden/detectors/lineage"
	"github.com/minewarden/minewarden/detectors/login"
	"github.com/minewarden/minewarden/detectors/masquerade"
	"github.com/minewarden/minewarden/detectors/persistence"
	"github.com/minewarden/minewarden/detectors/pow"
	"github.com/minewarden/minewarden/detectors/resource"
	"github.com/minewarden/minewarden/detectors/sigma"
	"github.com/minewarden/minewarden/detectors/stratum"
	"github.com/minewarden/minewarden/detectors/tls"
	"github.com/minewarden/minewarden/detectors/windowshost"
)

// A Maker makes a detector from what it may touch.
type Maker = func(minewarden.Env) (minewarden.Detector, error)

// Named is a detector's folder name with its Maker.
type Named struct {
	Name string
	New  Maker
}

// All returns every detector, in the order in which people read about them.
func All() []Named {
	return []Named{
		{"pow", pow.New},
		{"masquerade", masquerade.New},
		{"lineage", lineage.New},
		{"persistence", persistence.New},
		{"resource", resource.New},
		{"file", file.New},
		{"stratum", stratum.New},
		{"login", login.New},
		{"exploit", exploit.New},
		{"tls", tls.New},
		{"flow", flow.New},
		{"intel", intel.New},
		{"windowshost", windowshost.New},
		{"dns", dns.New},
		{"sigma", sigma.New},
	}
}
