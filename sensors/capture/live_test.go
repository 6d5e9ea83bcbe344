package capture

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"os/exec"
	"runtime"
	"sync"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/minewarden/minewarden"
	"github.com/minewarden/minewarden/internal/sensortest"
)

// inNamespace runs f on a thread in a network namespace of its own, whose loopback is up.
func inNamespace(t *testing.T, f func() error) {
	t.Helper()
	sensortest.Root(t)
	done := make(chan error)
	go func() {
		runtime.LockOSThread() // never unlocked: the thread ends with the namespace
		err := unix.Unshare(unix.CLONE_NEWNET)
		if err != nil {
			done <- fmt.Errorf("%w: %w", minewarden.ErrUnsupported, err)
			return
		}
		if out, err := exec.Command("ip", "link", "set", "lo", "up").CombinedOutput(); err != nil {
			done <- fmt.Errorf("%s: %w", out, err)
			return
		}
		done <- f()
	}()
	sensortest.Need(t, <-done)
}

func TestLive(t *testing.T) {
	const said = `{"id":1,"method":"login","params":{"login":"x"}}` + "\n"
	inNamespace(t, func() error {
		cfg := Default()
		cfg.Loopback, cfg.BufferMiB = true, 2
		s := &sensor{cfg: cfg, env: minewarden.Env{Now: time.Now, Log: slog.New(slog.DiscardHandler)}}
		ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
		defer cancel()
		ln, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			return err
		}
		go func() {
			c, err := ln.Accept()
			if err == nil {
				_, err = io.Copy(io.Discard, c)
				err = errors.Join(err, c.Close())
			}
			if err != nil {
				t.Error(err)
			}
		}()
		var once sync.Once
		var streams, ends int
		dialed := make(chan error, 1)
		target := ln.Addr().String()
		// The ring is opened on this thread; the connection is made on it too, by the first upkeep's clock.
		s.env.Now = func() time.Time {
			once.Do(func() {
				c, err := net.Dial("tcp", target)
				if err == nil {
					_, err = io.WriteString(c, said)
					err = errors.Join(err, c.Close())
				}
				dialed <- err
			})
			return time.Now()
		}
		err = s.Run(ctx, func(ev minewarden.Event) {
			switch d := ev.Data.(type) {
			case *minewarden.Stream:
				if d.FromClient && string(d.Data) == said && d.Key.Server.String() == target {
					streams++
				}
			case *minewarden.Flow:
				if d.State == minewarden.FlowEnd && d.Key.Server.String() == target {
					ends++
					cancel()
				}
			}
		})
		if streams != 1 || ends != 1 {
			t.Errorf("%d streams and %d ends, want one each", streams, ends)
		}
		return errors.Join(err, <-dialed, ln.Close())
	})
}

func TestNamespaceOfAContainer(t *testing.T) {
	sensortest.Root(t)
	own, err := ownNamespace()
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
	defer cancel()
	cmd := exec.CommandContext(ctx, "unshare", "-n", "bash", "-c", "ip link set lo up; while :; do echo x >/dev/udp/127.0.0.1/9; sleep 0.05; done")
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	defer func() {
		cancel()
		if err := cmd.Wait(); err == nil {
			t.Error("the namespace's process ended by itself")
		}
	}()
	path := fmt.Sprintf("/proc/%d/ns/net", cmd.Process.Pid)
	for inode := own; inode == own; {
		if inode, err = inodeOf(path); err != nil || ctx.Err() != nil {
			t.Fatal(err, ctx.Err())
		}
	}
	if networkNamespaces()[own] == "" {
		t.Error("the namespace of this process is not among those found")
	}
	cfg := Default()
	cfg.Loopback = true
	r, err := openRingIn(path, cfg, 2, 1)
	sensortest.Need(t, err)
	defer func() {
		if err := r.close(); err != nil {
			t.Error(err)
		}
	}()
	heard := false
	limits := defaultLimits()
	limits.own = true
	l := &live{rings: []*ring{r}, engine: newEngine(func(ev minewarden.Event) {
		if f, ok := ev.Data.(*minewarden.Flow); ok && f.Key.Server.Port() == 9 {
			heard = true
		}
	}, limits)}
	for !heard {
		if err := l.wait(time.Second); err != nil || ctx.Err() != nil {
			t.Fatal(err, ctx.Err())
		}
		r.drain(l.engine)
	}
}
