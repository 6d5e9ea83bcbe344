package drills

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"os/exec"
	"path/filepath"
	"testing"
	"time"

	"github.com/minewarden/minewarden"
)

func TestMain(m *testing.M) {
	if handled, err := Child(os.Args[1:]); handled {
		if err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(2)
		}
		return
	}
	os.Exit(m.Run())
}

// Every drill ends when it is interrupted, and leaves nothing behind but what is in its own directory.
func TestInterrupted(t *testing.T) {
	for _, d := range All() {
		t.Run(d.Name, func(t *testing.T) {
			if d.Name == "chain" {
				if _, err := exec.LookPath("curl"); err != nil {
					if _, err := exec.LookPath("wget"); err != nil {
						t.Skip("needs curl or wget")
					}
				}
			}
			ctx, cancel := context.WithTimeout(t.Context(), 1500*time.Millisecond)
			defer cancel()
			if err := d.Run(ctx, Env{Dir: t.TempDir(), Log: slog.New(slog.DiscardHandler)}); errors.Is(err, minewarden.ErrUnsupported) {
				t.Skip(err)
			} else if err != nil {
				t.Error(err)
			}
			if left, err := filepath.Glob("/var/tmp/minewarden-drill-*"); err != nil || len(left) > 0 {
				t.Errorf("left behind: %v, %v", left, err)
			}
		})
	}
}

// A marker that some other process was started with does not make this one a drill.
func TestMarkerOfAnother(t *testing.T) {
	for _, marker := range []string{"", "memfd", "memfd:", "memfd:1", "nothing:x", fmt.Sprintf("memfd:%d", os.Getpid())} {
		t.Setenv("MINEWARDEN_DRILL", marker)
		if handled, err := Child(nil); handled || err != nil {
			t.Errorf("%q: %v, %v", marker, handled, err)
		}
	}
	t.Setenv("MINEWARDEN_DRILL", fmt.Sprintf("nothing:%d", os.Getppid()))
	if handled, err := Child(nil); !handled || err == nil {
		t.Errorf("a drill that does not exist: %v, %v", handled, err)
	}
}
