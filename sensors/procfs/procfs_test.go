package procfs

import (
	"context"
	"log/slog"
	"net"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/minewarden/minewarden"
)

func env() minewarden.Env {
	return minewarden.Env{Log: slog.New(slog.DiscardHandler), Root: os.DirFS("/"), Now: time.Now}
}

// record runs the sensor until enough is true of what it emitted, or the test's time is over.
func record(t *testing.T, change func(*Config), enough func([]minewarden.Event) bool) []minewarden.Event {
	t.Helper()
	e := env()
	e.Decode = func(c any) error {
		if cfg, ok := c.(*Config); ok {
			cfg.Interval, cfg.Poll = 100*time.Millisecond, 20*time.Millisecond
			change(cfg)
		}
		return nil
	}
	s, err := New(e)
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), 30*time.Second)
	defer cancel()
	var all []minewarden.Event
	if err := s.Run(ctx, func(ev minewarden.Event) {
		if all = append(all, ev); enough(all) {
			cancel()
		}
	}); err != nil {
		t.Fatal(err)
	}
	if ctx.Err() == context.DeadlineExceeded {
		t.Errorf("not seen among %d events in 30 s", len(all))
	}
	return all
}

func last[D minewarden.Data](all []minewarden.Event, pid int) (d D, ok bool) {
	ev := all[len(all)-1]
	d, ok = ev.Data.(D)
	return d, ok && (pid == 0 || ev.Process != nil && int(ev.Process.Key.PID) == pid)
}

func TestBusyThreadsAreReported(t *testing.T) {
	stop := make(chan struct{})
	var wg sync.WaitGroup
	wg.Go(func() {
		runtime.LockOSThread()
		for spin := 0; ; spin++ {
			if spin&0xffff == 0 && closed(stop) {
				return
			}
		}
	})
	defer wg.Wait()
	defer close(stop)
	var usage *minewarden.Usage
	record(t, func(*Config) {}, func(all []minewarden.Event) bool {
		u, ok := last[*minewarden.Usage](all, os.Getpid())
		if ok && len(u.Threads) > 0 {
			usage = u
		}
		return usage != nil
	})
	if usage == nil {
		t.Fatal("own use was not reported")
	}
	if usage.CPU < 2*tick || usage.Interval <= 0 || usage.RSS == 0 || usage.Tasks < 2 {
		t.Errorf("got %+v", usage)
	}
	if usage.Threads[0].CPU <= 0 {
		t.Errorf("busiest thread used nothing: %+v", usage.Threads)
	}
}

func TestMemoryOfTheBusy(t *testing.T) {
	stop := make(chan struct{})
	var wg sync.WaitGroup
	wg.Go(func() {
		for spin := 0; ; spin++ {
			if spin&0xffff == 0 && closed(stop) {
				return
			}
		}
	})
	defer wg.Wait()
	defer close(stop)
	record(t, func(*Config) {}, func(all []minewarden.Event) bool {
		m, ok := last[*minewarden.Memory](all, os.Getpid())
		return ok && len(m.Regions) > 0 && slices.IsSortedFunc(m.Regions, func(a, b uint64) int { return int(int64(b) - int64(a)) })
	})
}

func TestProgramsAreFoundByPolling(t *testing.T) {
	sh, err := exec.LookPath("sh")
	if err != nil {
		t.Fatal(err)
	}
	script := filepath.Join(t.TempDir(), "job.sh")
	if err := os.WriteFile(script, []byte("read line\n"), 0o755); err != nil {
		t.Fatal(err)
	}
	var cmd *exec.Cmd
	var stdin interface{ Close() error }
	defer func() {
		if cmd != nil {
			if err := cmd.Wait(); err == nil {
				t.Log("ended well")
			}
		}
	}()
	var seen *minewarden.Exec
	existing := false
	record(t, func(c *Config) { c.Processes = true }, func(all []minewarden.Event) bool {
		if cmd == nil { // what exists is reported before anything else: start only now
			cmd = exec.Command(sh, script)
			cmd.Env = append(os.Environ(), "LD_PRELOAD=/nonexistent.so")
			if stdin, err = cmd.StdinPipe(); err != nil {
				t.Error(err)
			}
			if err := cmd.Start(); err != nil {
				t.Error(err)
			}
		}
		if e, ok := last[*minewarden.Exec](all, os.Getpid()); ok && e.Existing {
			existing = true
		}
		if e, ok := last[*minewarden.Exec](all, cmd.Process.Pid); ok && e.Script == script {
			seen = e
			if err := stdin.Close(); err != nil {
				t.Error(err)
			}
		}
		_, exited := last[*minewarden.Exit](all, cmd.Process.Pid)
		return exited && seen != nil
	})
	if !existing {
		t.Error("this process was not reported as existing")
	}
	if seen == nil {
		t.Fatal("the script was not seen")
	}
	if seen.Parent.PID != int32(os.Getpid()) || seen.Parent.Start == 0 || seen.Preload != "/nonexistent.so" || seen.Cwd == "" || seen.Inode.Ino == 0 {
		t.Errorf("got %+v", seen)
	}
}

func TestConnectionIsReported(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	c, err := net.Dial("tcp", l.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	remote := netip.MustParseAddrPort(l.Addr().String())
	n := 0
	record(t, func(c *Config) { c.Processes = true }, func(all []minewarden.Event) bool {
		d, ok := last[*minewarden.Connect](all, os.Getpid())
		if ok && d.Local == remote {
			t.Error("the accepting side is reported as outgoing")
		}
		if ok && d.Remote == remote {
			n++
		}
		return n > 0
	})
}

func TestSnapshot(t *testing.T) {
	all, err := Snapshot(env(), "/proc")
	if err != nil {
		t.Fatal(err)
	}
	for _, ev := range all {
		if e, ok := ev.Data.(*minewarden.Exec); ok && ev.Process.Key.PID == int32(os.Getpid()) {
			if !e.Existing || len(e.Args) == 0 || e.Exe == "" {
				t.Errorf("got %+v", e)
			}
			return
		}
	}
	t.Errorf("this process is not among %d events", len(all))
}

func TestNoProc(t *testing.T) {
	e := env()
	e.Decode = func(c any) error {
		if cfg, ok := c.(*Config); ok {
			cfg.Proc = filepath.Join(t.TempDir(), "none")
		}
		return nil
	}
	s, err := New(e)
	if err != nil {
		t.Fatal(err)
	}
	if err := s.Run(t.Context(), func(minewarden.Event) {}); err == nil {
		t.Error("no error where there is no /proc")
	}
}

// BenchmarkLook measures one look at this host: with every process, and as on an idle host.
func BenchmarkLook(b *testing.B) {
	for _, programs := range []bool{false, true} {
		name := map[bool]string{false: "usage", true: "programs"}[programs]
		b.Run(name, func(b *testing.B) {
			s := &sensor{env: env(), cfg: Default()}
			s.cfg.Processes = programs
			w, err := s.watch(func(minewarden.Event) {})
			if err != nil {
				b.Fatal(err)
			}
			defer w.tree.close()
			if err := w.look(); err != nil {
				b.Fatal(err)
			}
			b.ReportAllocs()
			for b.Loop() {
				w.full = time.Time{} // every process
				if err := w.look(); err != nil {
					b.Fatal(err)
				}
			}
			b.ReportMetric(float64(len(w.known)), "processes")
		})
	}
	b.Run("idle", func(b *testing.B) {
		t, err := openTree("/proc")
		if err != nil {
			b.Fatal(err)
		}
		defer t.close()
		buf := make([]byte, 64<<10)
		for b.Loop() {
			if _, err := t.readInto(buf, "stat"); err != nil {
				b.Fatal(err)
			}
		}
	})
}

// closed reports whether c was closed.
func closed(c <-chan struct{}) bool {
	select {
	case <-c:
		return true
	default:
		return false
	}
}
