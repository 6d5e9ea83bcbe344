// Package cryptonight walks through a scratchpad of 2 MiB as the CryptoNight family does: an AES round and a wide multiplication at
// addresses that depend on the results. It starts from nothing, ends in nothing and hashes nothing.
package cryptonight

import (
	"context"
	"fmt"
	"runtime"
	"time"

	"github.com/minewarden/minewarden"
	"github.com/minewarden/minewarden/drills/drill"
)

const (
	name  = "cryptonight"
	lasts = 25 * time.Second
	pad   = 2 << 20 // bytes
	turns = 1 << 16 // of the loop without a look at the clock: a few milliseconds
)

// Drill is the drill.
func Drill() drill.Drill {
	return drill.Drill{
		Name: name, Title: "a walk through 2 MiB with AES and wide multiplications, as CryptoNight's", Technique: []string{"T1496.001"}, Rules: []string{"pow/cryptonight"},
		Run: run, Child: child,
	}
}

func run(ctx context.Context, _ drill.Env) error {
	if !supported() {
		return fmt.Errorf("%w: this drill is written for amd64 with AES instructions, not for this %s", minewarden.ErrUnsupported, runtime.GOARCH)
	}
	return drill.Wait(ctx, drill.Command(ctx, name, drill.Self, "drill"))
}

func child([]string) error {
	if !supported() {
		return minewarden.ErrUnsupported
	}
	var (
		memory = make([]uint64, pad/8)
		state  = [4]uint64{1, 2, 3, 4}
	)
	for end := time.Now().Add(lasts); time.Now().Before(end); {
		walk(&memory[0], &state, turns)
	}
	return nil
}
