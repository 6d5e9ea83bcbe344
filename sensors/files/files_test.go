package files

import (
	"context"
	"encoding/binary"
	"log/slog"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/minewarden/minewarden"
	"github.com/minewarden/minewarden/internal/host"
	"github.com/minewarden/minewarden/internal/sensortest"
)

// stage is a private host on which the sensor works while a shell of its own does things.
type stage struct {
	t      *testing.T
	dir    string
	events chan minewarden.Event
	shell  *exec.Cmd
	in     interface{ Write([]byte) (int, error) }
}

func open(t *testing.T, inotify bool) *stage {
	t.Helper()
	s := &stage{t: t, dir: t.TempDir(), events: make(chan minewarden.Event, 10000)}
	for _, d := range []string{"etc/cron.d", "etc/systemd/system", "home/ann", "tmp", "root"} {
		if err := os.MkdirAll(filepath.Join(s.dir, d), 0o755); err != nil {
			t.Fatal(err)
		}
	}
	if err := os.WriteFile(filepath.Join(s.dir, "etc/cron.d/old"), []byte("old job"), 0o644); err != nil {
		t.Fatal(err)
	}
	sensor, err := New(minewarden.Env{
		Log: slog.New(slog.DiscardHandler), Root: os.DirFS(s.dir), Now: time.Now,
		Decode: func(c any) error {
			if cfg, ok := c.(*Config); ok {
				cfg.Root, cfg.Inotify = s.dir, inotify
			}
			return nil
		},
	})
	if err != nil {
		t.Fatal(err)
	}
	s.shell = exec.Command("sh")
	s.shell.Dir = s.dir
	in, err := s.shell.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	s.in = in
	if err := s.shell.Start(); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error, 1)
	go func() { done <- sensor.Run(ctx, func(e minewarden.Event) { s.events <- e }) }()
	t.Cleanup(func() {
		cancel()
		if err := <-done; err != nil {
			t.Error(err)
		}
		if err := in.Close(); err != nil {
			t.Error(err)
		}
		if err := s.shell.Wait(); err != nil {
			t.Error(err)
		}
	})
	f := next[*minewarden.File](s, "/etc/cron.d/old", "")
	if !f.data.Existing || string(f.data.Head) != "old job" {
		t.Errorf("existing file: %+v", f.data)
	}
	return s
}

func (s *stage) do(command string) {
	s.t.Helper()
	if _, err := s.in.Write([]byte(command + "\n")); err != nil {
		s.t.Fatal(err)
	}
}

type seen[D minewarden.Data] struct {
	data D
	who  *minewarden.Process
}

// next waits for a Write or a File of that path.
func next[D minewarden.Data](s *stage, path, op string) seen[D] {
	s.t.Helper()
	limit := time.After(20 * time.Second)
	for {
		select {
		case e := <-s.events:
			d, ok := e.Data.(D)
			switch data := e.Data.(type) {
			case *minewarden.Write:
				ok = ok && data.Path == path && data.Op == op
			case *minewarden.File:
				ok = ok && data.Path == path
			case *minewarden.Lost:
				s.t.Errorf("lost: %+v", data)
			}
			if ok {
				return seen[D]{d, e.Process}
			}
		case <-limit:
			s.t.Fatalf("no %T of %s %s in 20 s", *new(D), path, op)
		}
	}
}

func TestWrites(t *testing.T) {
	for _, inotify := range []bool{false, true} {
		t.Run(map[bool]string{false: "fanotify", true: "inotify"}[inotify], func(t *testing.T) {
			if !inotify {
				sensortest.Root(t)
			}
			s := open(t, inotify)
			who := func(p *minewarden.Process) {
				t.Helper()
				switch {
				case inotify && p != nil:
					t.Errorf("inotify knows who: %v", p.Key)
				case !inotify && (p == nil || int(p.Key.PID) != s.shell.Process.Pid || p.Key.Start == 0):
					t.Errorf("who wrote: got %+v, want pid %d", p, s.shell.Process.Pid)
				}
			}
			s.do("echo '* * * * * root /tmp/x' > etc/cron.d/new")
			w := next[*minewarden.Write](s, "/etc/cron.d/new", "modify")
			who(w.who)
			for string(w.data.Head) != "* * * * * root /tmp/x\n" { // inotify may tell of the truncation first
				w = next[*minewarden.Write](s, "/etc/cron.d/new", "modify")
			}

			// A directory that is made later, and a file in it at once.
			s.do("mkdir -p home/ann/.ssh && echo key > home/ann/.ssh/authorized_keys; echo no > home/ann/.ssh/known_hosts")
			next[*minewarden.Write](s, "/home/ann/.ssh/authorized_keys", "create")
			s.do("echo key2 >> home/ann/.ssh/authorized_keys")
			for w = next[*minewarden.Write](s, "/home/ann/.ssh/authorized_keys", "modify"); string(w.data.Head) != "key\nkey2\n"; {
				w = next[*minewarden.Write](s, "/home/ann/.ssh/authorized_keys", "modify")
			}

			s.do("mkdir etc/systemd/system/a.service.d; echo x > etc/systemd/system/a.service.d/o.conf")
			next[*minewarden.Write](s, "/etc/systemd/system/a.service.d/o.conf", "create")

			s.do("echo > tmp/noise; printf '{\"pools\": []}' > tmp/config.json; mkdir -p tmp/a; printf '#!/bin/sh\\n' > tmp/a/run")
			f := next[*minewarden.File](s, "/tmp/config.json", "")
			for len(f.data.Head) == 0 {
				f = next[*minewarden.File](s, "/tmp/config.json", "")
			}
			next[*minewarden.File](s, "/tmp/a/run", "")

			s.do("mv etc/cron.d/new etc/cron.d/newer; rm etc/cron.d/old")
			next[*minewarden.Write](s, "/etc/cron.d/new", "rename")
			next[*minewarden.Write](s, "/etc/cron.d/newer", "create")
			next[*minewarden.Write](s, "/etc/cron.d/old", "delete")

			// A whole home that did not exist.
			s.do("mkdir home/bob; echo evil > home/bob/.bashrc")
			next[*minewarden.Write](s, "/home/bob/.bashrc", "create")
		})
	}
}

func TestNoiseIsNotReported(t *testing.T) {
	f := &minewarden.File{Mode: 0o644, Head: []byte("ordinary text")}
	if suspicious(f) {
		t.Error("ordinary text is suspicious")
	}
	f.Head = []byte(`{"POOLS":[]}`)
	if !suspicious(f) {
		t.Error("a miner's configuration is not suspicious")
	}
}

func TestOverflowIsReported(t *testing.T) {
	var all []minewarden.Event
	dirRoot := t.TempDir()
	root, err := host.OpenRoot(dirRoot)
	if err != nil {
		t.Fatal(err)
	}
	defer root.Close()
	ctx, cancel := context.WithCancel(t.Context())
	src, err := openSource(ctx, Config{Root: dirRoot, Inotify: true}, slog.New(slog.DiscardHandler), make(chan change, 1))
	if err != nil {
		t.Fatal(err)
	}
	w := &watch{
		env: minewarden.Env{Log: slog.New(slog.DiscardHandler), Now: time.Now}, root: root, src: src,
		emit: func(e minewarden.Event) { all = append(all, e) }, dirs: map[string]*dir{}, waiting: map[string]bool{},
	}
	w.change(change{lost: true})
	cancel()
	if err := src.close(); err != nil {
		t.Error(err)
	}
	if len(all) == 0 || all[0].Data.Kind() != minewarden.KindLost {
		t.Errorf("got %v", all)
	}
}

func fanEventBytes(mask uint64, name string) []byte {
	ne := binary.NativeEndian
	info := make([]byte, 20+8)
	info[0] = unix.FAN_EVENT_INFO_TYPE_DFID_NAME
	ne.PutUint32(info[12:], 8)
	info = append(append(info, name...), 0)
	ne.PutUint16(info[2:], uint16(len(info)))
	e := make([]byte, 24)
	e[4] = unix.FANOTIFY_METADATA_VERSION
	ne.PutUint16(e[6:], 24)
	ne.PutUint64(e[8:], mask)
	e = append(e, info...)
	ne.PutUint32(e, uint32(len(e)))
	return e
}

func FuzzParseFan(f *testing.F) {
	f.Add(fanEventBytes(unix.FAN_CREATE, "name"))
	f.Add(append(fanEventBytes(unix.FAN_DELETE, "a"), fanEventBytes(unix.FAN_Q_OVERFLOW, "")...))
	f.Fuzz(func(t *testing.T, data []byte) {
		for _, e := range parseFan(data) {
			if strings.ContainsRune(e.name, 0) || len(e.name) > len(data) {
				t.Errorf("name %q", e.name)
			}
		}
	})
}
