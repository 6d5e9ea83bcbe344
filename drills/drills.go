// Package drills lists the drills: harmless emulations of what attackers do, so that anyone can see on a machine of their own that
// it is noticed. A new one is a folder here and a line in All.
package drills

import (
	"fmt"
	"os"
	"strconv"
	"strings"

	"github.com/minewarden/minewarden/drills/authorizedkeys"
	"github.com/minewarden/minewarden/drills/chain"
	"github.com/minewarden/minewarden/drills/cron"
	"github.com/minewarden/minewarden/drills/cryptonight"
	"github.com/minewarden/minewarden/drills/drill"
	"github.com/minewarden/minewarden/drills/kworker"
	"github.com/minewarden/minewarden/drills/memfd"
	"github.com/minewarden/minewarden/drills/rounding"
	"github.com/minewarden/minewarden/drills/stratum"
)

// A Drill is one technique.
type Drill = drill.Drill

// Env is what a drill may touch.
type Env = drill.Env

// All returns every drill, in the order in which they run.
func All() []Drill {
	return []Drill{rounding.Drill(), cryptonight.Drill(), kworker.Drill(), memfd.Drill(), chain.Drill(), cron.Drill(), authorizedkeys.Drill(), stratum.Drill()}
}

// Child does what this process was started for, where a drill started it. The program calls it before anything else, with its
// arguments without the first; where handled is true it does nothing else and ends.
func Child(args []string) (handled bool, err error) {
	name, parent, ok := strings.Cut(os.Getenv(drill.Marker), ":")
	if !ok || parent != strconv.Itoa(os.Getppid()) {
		return false, nil
	}
	for _, d := range All() {
		if d.Name == name && d.Child != nil {
			return true, d.Child(args)
		}
	}
	return true, fmt.Errorf("%s=%s names no drill with a child", drill.Marker, name)
}
