// Package cron writes a crontab that decodes and runs a command, in a root of its own, where no cron looks.
package cron

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"time"

	"github.com/minewarden/minewarden/drills/drill"
)

// Drill is the drill.
func Drill() drill.Drill {
	return drill.Drill{Name: "cron", Title: "a crontab that decodes and runs a command", Technique: []string{"T1053.003"}, Rules: []string{"persistence/code", "persistence/intruder", "persistence/service"}, Run: run}
}

// entry decodes "true".
const entry = "* * * * * root echo dHJ1ZQo= | base64 -d | sh\n"

func run(ctx context.Context, env drill.Env) error {
	path := filepath.Join(env.Dir, "etc/cron.d/minewarden-drill")
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		return fmt.Errorf("make %s: %w", filepath.Dir(path), err)
	}
	if err := os.WriteFile(path, []byte(entry), 0o644); err != nil {
		return fmt.Errorf("write the crontab: %w", err)
	}
	// Sensors read the file after they heard of it.
	select {
	case <-ctx.Done():
	case <-time.After(2 * time.Second):
	}
	return os.RemoveAll(filepath.Join(env.Dir, "etc"))
}
