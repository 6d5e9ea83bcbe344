package ebpf

import (
	"bytes"
	"fmt"
	"math"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/cilium/ebpf"

	"github.com/minewarden/minewarden"
	"github.com/minewarden/minewarden/internal/sensortest"
)

func mustLoad(t *testing.T) *kernel {
	t.Helper()
	k, err := load(DefaultConfig())
	sensortest.Need(t, err)
	t.Cleanup(k.Close)
	return k
}

// burn computes until it is killed.
func burn(string) error {
	x := 1.0
	for x > 0 {
		for range 1 << 20 {
			x = math.Sqrt(x*1.0001) + 0.25
		}
	}
	return nil
}

// randomX builds the workload once for all tests that run it.
func randomX(t *testing.T) string {
	t.Helper()
	const source = "../../internal/workloads/randomx.c"
	if _, err := os.Stat("/usr/include/randomx.h"); err != nil {
		sensortest.Need(t, fmt.Errorf("Debian's librandomx-dev is not installed: %w", minewarden.ErrUnsupported))
	}
	bin := filepath.Join(t.TempDir(), "worker")
	out, err := exec.Command("gcc", "-O2", "-o", bin, source, "-lrandomx", "-lpthread").CombinedOutput()
	if err != nil {
		t.Fatalf("build %s: %v\n%s", source, err, out)
	}
	return bin
}

// TestRounding runs real hash loops and looks for what no honest program does.
func TestRounding(t *testing.T) {
	bin := randomX(t)
	w := start(t, nil)
	for _, flags := range []string{"jit", "jit secure", ""} {
		t.Run("randomx "+flags, func(t *testing.T) {
			w.t = t
			cmd := exec.Command(bin, append([]string{"60", "1"}, strings.Fields(flags)...)...)
			if err := cmd.Start(); err != nil {
				t.Fatal(err)
			}
			defer func() {
				_ = cmd.Process.Kill()
				_ = cmd.Wait()
			}()
			pid := cmd.Process.Pid
			waitData(w, "three modes twice each in ten reads", func(*minewarden.Process, *minewarden.Rounding) bool {
				var sum minewarden.Rounding
				for _, d := range of[*minewarden.Rounding](w, pid) {
					sum.Near, sum.Down, sum.Up, sum.Zero = sum.Near+d.Near, sum.Down+d.Down, sum.Up+d.Up, sum.Zero+d.Zero
					sum.FTZ += d.FTZ
				}
				modes := 0
				for _, n := range []uint32{sum.Near, sum.Down, sum.Up, sum.Zero} {
					if n >= 2 {
						modes++
					}
				}
				return modes >= 3 && sum.Reads() >= 10 && sum.FTZ > 0
			})
			_, s := waitData(w, "code", func(p *minewarden.Process, s *minewarden.Sample) bool {
				return p.Key.PID == int32(pid) && len(s.Code) == 256
			})
			if bytes.Equal(s.Code, make([]byte, 256)) {
				t.Error("code is all zero")
			}
			if flags == "jit" {
				waitData(w, "generated code", func(p *minewarden.Process, s *minewarden.Sample) bool {
					return p.Key.PID == int32(pid) && s.Anon
				})
			}
		})
	}
}

// TestProbe needs reads of a thread that nothing but the probe switches often, and never finds another mode in it.
func TestProbe(t *testing.T) {
	w := start(t, nil)
	cmd := play(t, "burn")
	pid := cmd.Process.Pid
	var sum uint32
	waitData(w, "enough reads of an honest thread", func(p *minewarden.Process, d *minewarden.Rounding) bool {
		if p.Key.PID != int32(pid) {
			return false
		}
		if d.Down+d.Up+d.Zero+d.FTZ > 0 {
			t.Fatalf("an honest thread shows %+v", d)
		}
		sum += d.Near
		return sum >= fewReads
	})
	waitData(w, "code", func(p *minewarden.Process, s *minewarden.Sample) bool {
		return p.Key.PID == int32(pid) && !s.Anon && len(s.Code) > 0
	})
}

// TestNothingStays holds Close to what the README promises.
func TestNothingStays(t *testing.T) {
	k, err := load(DefaultConfig())
	sensortest.Need(t, err)
	if err := k.attach(DefaultConfig()); err != nil {
		t.Fatal(err)
	}
	var ids []ebpf.ProgramID
	for _, p := range append(k.tracing, k.clock, k.list) {
		info, err := p.Info()
		if err != nil {
			t.Fatal(err)
		}
		id, ok := info.ID()
		if !ok {
			t.Fatal("a program without a number")
		}
		ids = append(ids, id)
	}
	k.Close()
	for _, id := range ids {
		for end := time.Now().Add(patience); ; { // the kernel frees a little later
			p, err := ebpf.NewProgramFromID(id)
			if err != nil {
				break
			}
			p.Close()
			if time.Now().After(end) {
				t.Fatalf("program %d is still loaded", id)
			}
		}
	}
}
