// Package authorizedkeys adds a login key in a root of its own, where no sshd looks.
package authorizedkeys

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
	return drill.Drill{Name: "authorized_keys", Title: "a login key that is added", Technique: []string{"T1098.004"}, Rules: []string{"persistence/key", "persistence/intruder", "persistence/service"}, Run: run}
}

// key is no key: its body is cut.
const key = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIA minewarden-drill\n"

func run(ctx context.Context, env drill.Env) error {
	path := filepath.Join(env.Dir, "root/.ssh/authorized_keys")
	if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
		return fmt.Errorf("make %s: %w", filepath.Dir(path), err)
	}
	// The file is there first, as on most machines: it is the new line that counts, and who watches must be watching.
	for _, text := range []string{"# nobody\n", "# nobody\n" + key} {
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			return fmt.Errorf("write the key: %w", err)
		}
		select {
		case <-ctx.Done():
		case <-time.After(2 * time.Second):
		}
	}
	return os.RemoveAll(filepath.Join(env.Dir, "root"))
}
