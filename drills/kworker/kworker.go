// Package kworker runs a copy of this program under the name of a kernel thread.
package kworker

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"time"

	"github.com/minewarden/minewarden/drills/drill"
)

const name = "kworker"

// Drill is the drill.
func Drill() drill.Drill {
	return drill.Drill{
		Name: name, Title: "a program that calls itself [kworker/u8:2]", Technique: []string{"T1036.004", "T1036.005"}, Rules: []string{"masquerade/kernel-thread"},
		Run: run, Child: func([]string) error { time.Sleep(5 * time.Second); return nil },
	}
}

func run(ctx context.Context, env drill.Env) error {
	dir := filepath.Join(env.Dir, "kworker")
	path := filepath.Join(dir, "u8:2")
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return fmt.Errorf("make a place for the copy: %w", err)
	}
	if err := drill.Copy(path); err != nil {
		return fmt.Errorf("copy this program to %s: %w", path, err)
	}
	return drill.Wait(ctx, drill.Command(ctx, name, path, "[kworker/u8:2]"))
}
