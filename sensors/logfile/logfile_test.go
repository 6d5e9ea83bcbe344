package logfile

import (
	"context"
	"encoding/json"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/minewarden/minewarden"
)

// stage is a sensor on files of its own.
type stage struct {
	t      *testing.T
	dir    string
	data   string
	cfg    Config
	cancel context.CancelFunc
	done   chan error
	events chan minewarden.Event
}

func open(t *testing.T, cfg Config) *stage {
	t.Helper()
	return &stage{t: t, dir: t.TempDir(), data: filepath.Join(t.TempDir(), "state"), cfg: cfg}
}

func (s *stage) start() {
	s.t.Helper()
	cfg := s.cfg
	cfg.Files = nil
	for _, f := range s.cfg.Files {
		cfg.Files = append(cfg.Files, filepath.Join(s.dir, f))
	}
	sen, err := New(minewarden.Env{Log: slog.New(slog.DiscardHandler), Now: time.Now, Data: s.data, Decode: func(into any) error {
		*into.(*Config) = cfg
		return nil
	}})
	if err != nil {
		s.t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	s.cancel, s.done, s.events = cancel, make(chan error, 1), make(chan minewarden.Event, 1<<20)
	events, done := s.events, s.done
	go func() { done <- sen.Run(ctx, func(ev minewarden.Event) { events <- ev }) }()
	s.t.Cleanup(cancel)
}

// stop ends the sensor and returns the messages that it emitted and nobody took.
func (s *stage) stop() []string {
	s.t.Helper()
	s.cancel()
	if err := <-s.done; err != nil {
		s.t.Fatal(err)
	}
	var out []string
	for len(s.events) > 0 {
		out = append(out, text(<-s.events))
	}
	return out
}

func text(ev minewarden.Event) string {
	if r, ok := ev.Data.(*minewarden.Record); ok {
		return r.Message
	}
	return ev.Data.Kind().String()
}

// wait takes n messages.
func (s *stage) wait(n int) []string {
	s.t.Helper()
	var out []string
	limit := time.After(20 * time.Second)
	for len(out) < n {
		select {
		case ev := <-s.events:
			out = append(out, text(ev))
		case err := <-s.done:
			s.t.Fatalf("the sensor ended: %v", err)
		case <-limit:
			s.t.Fatalf("%d messages of %d: %q", len(out), n, out)
		}
	}
	return out
}

func (s *stage) write(name, text string) {
	s.t.Helper()
	f, err := os.OpenFile(filepath.Join(s.dir, name), os.O_APPEND|os.O_CREATE|os.O_WRONLY, 0o600)
	if err != nil {
		s.t.Fatal(err)
	}
	if _, err := f.WriteString(text); err != nil {
		s.t.Fatal(err)
	}
	if err := f.Close(); err != nil {
		s.t.Fatal(err)
	}
}

func (s *stage) rename(a, b string) {
	s.t.Helper()
	if err := os.Rename(filepath.Join(s.dir, a), filepath.Join(s.dir, b)); err != nil {
		s.t.Fatal(err)
	}
}

func (s *stage) expect(want ...string) {
	s.t.Helper()
	got := s.wait(len(want))
	if fmt.Sprint(got) != fmt.Sprint(want) {
		s.t.Fatalf("got %q, want %q", got, want)
	}
}

func TestFollowsRotationAndTruncation(t *testing.T) {
	s := open(t, Config{Files: []string{"a.log"}, FromStart: true})
	s.write("a.log", "one\ntwo\n")
	s.start()
	s.expect("one", "two")
	s.write("a.log", "thr")
	s.write("a.log", "ee\n")
	s.expect("three")
	s.write("a.log", "four\n")
	s.rename("a.log", "a.log.1")
	s.write("a.log.1", "five\n") // the writer still has the old file
	s.write("a.log", "six\n")
	got := s.wait(3)
	if strings.Join(got, " ") != "four five six" && strings.Join(got, " ") != "four six five" {
		t.Fatalf("got %q", got)
	}
	if err := os.Truncate(filepath.Join(s.dir, "a.log"), 0); err != nil {
		t.Fatal(err)
	}
	s.write("a.log", "a line that is longer than all before\n")
	s.expect("a line that is longer than all before")
	if rest := s.stop(); len(rest) > 0 {
		t.Errorf("more came: %q", rest)
	}
}

func TestNewFilesAreReadFromTheirStartOldOnesFromTheirEnd(t *testing.T) {
	s := open(t, Config{Files: []string{"*.log"}})
	s.write("old.log", "history\nunfinished ")
	s.start()
	for { // the sensor has looked once it keeps what it saw
		if _, err := os.Stat(filepath.Join(s.data, "state.json")); err == nil {
			break
		}
		time.Sleep(time.Millisecond)
	}
	s.write("old.log", "line\n")
	s.expect("unfinished line")
	s.write("new.log", "first\n")
	s.expect("first")
	s.rename("new.log", "new-2026.log") // it matches the pattern, and is the same file
	s.write("new.log", "second\n")
	s.expect("second")
	if rest := s.stop(); len(rest) > 0 {
		t.Errorf("more came: %q", rest)
	}
}

func TestRestartGoesOnAtTheExactLine(t *testing.T) {
	for _, tt := range []struct {
		name string
		do   func(s *stage)
		want []string
	}{
		{"grown", func(s *stage) { s.write("a.log", "3\n4\n") }, []string{"3", "4"}},
		{"nothing", func(*stage) {}, nil},
		{"renamed", func(s *stage) {
			s.write("a.log", "3\n")
			s.rename("a.log", "a.log.1")
			s.write("a.log", "4\n")
		}, []string{"3", "4"}},
		{"copied and truncated", func(s *stage) {
			s.write("a.log", "3\n")
			b, err := os.ReadFile(filepath.Join(s.dir, "a.log"))
			if err != nil {
				s.t.Fatal(err)
			}
			s.write("a.log.1", string(b))
			if err := os.Truncate(filepath.Join(s.dir, "a.log"), 0); err != nil {
				s.t.Fatal(err)
			}
			s.write("a.log", "4\n")
		}, []string{"3", "4"}},
		{"gone", func(s *stage) {
			if err := os.Remove(filepath.Join(s.dir, "a.log")); err != nil {
				s.t.Fatal(err)
			}
			s.write("a.log", "other\n")
		}, []string{"sensor.lost", "other"}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			s := open(t, Config{Files: []string{"a.log"}, FromStart: true})
			s.write("a.log", "1\n2\n")
			s.start()
			s.expect("1", "2")
			if rest := s.stop(); len(rest) > 0 {
				t.Fatalf("more came: %q", rest)
			}
			tt.do(s)
			s.start()
			s.expect(tt.want...)
			s.write("a.log", "5\n")
			s.expect("5")
			if rest := s.stop(); len(rest) > 0 {
				t.Errorf("more came: %q", rest)
			}
		})
	}
}

// TestNoLineIsLostOrReadTwice writes while the log is rotated and the sensor restarted again and again.
func TestNoLineIsLostOrReadTwice(t *testing.T) {
	s := open(t, Config{Files: []string{"a.log"}, FromStart: true})
	rnd := rand.New(rand.NewPCG(3, 4))
	s.write("a.log", "")
	s.start()
	const lines = 20_000
	seen := make([]int, lines)
	note := func(all []string) {
		for _, m := range all {
			var n int
			if _, err := fmt.Sscanf(m, "line %d", &n); err != nil {
				t.Fatalf("%q", m)
			}
			seen[n]++
		}
	}
	rotations := 0
	for n := 0; n < lines; {
		var b strings.Builder
		for range rnd.IntN(40) {
			if n < lines {
				fmt.Fprintf(&b, "line %d of a log\n", n)
				n++
			}
		}
		text := b.String()
		cut := rnd.IntN(len(text) + 1)
		s.write("a.log", text[:cut])
		s.write("a.log", text[cut:])
		switch rnd.IntN(60) {
		case 0:
			rotations++
			s.rename("a.log", fmt.Sprintf("a.log.%d", rotations))
			s.write("a.log", "")
		case 1:
			note(s.stop())
			s.start()
		}
	}
	limit := time.Now().Add(20 * time.Second)
	for missing := true; missing && time.Now().Before(limit); {
		select {
		case ev := <-s.events:
			note([]string{text(ev)})
		case <-time.After(50 * time.Millisecond):
		}
		missing = false
		for _, n := range seen {
			missing = missing || n == 0
		}
	}
	note(s.stop())
	lost, twice := 0, 0
	for _, n := range seen {
		if n == 0 {
			lost++
		}
		if n > 1 {
			twice++
		}
	}
	if lost > 0 || twice > 0 || rotations == 0 {
		t.Errorf("%d lines lost, %d read twice, over %d rotations", lost, twice, rotations)
	}
}

// TestFullDisk: where logs were left cannot be written, and they are read all the same, each line once.
func TestFullDisk(t *testing.T) {
	s := open(t, Config{Files: []string{"a.log"}, FromStart: true})
	inTheWay := filepath.Join(s.data, "state.json.new")
	if err := os.MkdirAll(inTheWay, 0o700); err != nil {
		t.Fatal(err)
	}
	s.write("a.log", "1\n")
	s.start()
	s.expect("1")
	s.write("a.log", "2\n")
	s.expect("2")
	if err := os.Remove(inTheWay); err != nil {
		t.Fatal(err)
	}
	if rest := s.stop(); len(rest) > 0 {
		t.Errorf("more came: %q", rest)
	}
	s.start()
	s.write("a.log", "3\n")
	s.expect("3")
	if rest := s.stop(); len(rest) > 0 {
		t.Errorf("more came: %q", rest)
	}
}

func TestEndlessLineIsCut(t *testing.T) {
	s := open(t, Config{Files: []string{"a.log"}, FromStart: true})
	s.write("a.log", strings.Repeat("x", 100<<20))
	s.start()
	if got := s.wait(1); len(got[0]) != 1<<20 {
		t.Errorf("a message of %d bytes, want 1 MiB", len(got[0]))
	}
	s.write("a.log", strings.Repeat("y", 1<<20)+"\nnext\n")
	s.expect("next")
	if rest := s.stop(); len(rest) > 0 {
		t.Errorf("%d more came", len(rest))
	}
}

func TestReadShared(t *testing.T) {
	dir, err := filepath.Abs("../../../shared/data/logs")
	if err != nil {
		t.Fatal(err)
	}
	files, err := filepath.Glob(filepath.Join(dir, "*/*"))
	if err != nil || len(files) == 0 {
		if os.Getenv("CI") == "true" {
			t.Fatal("the shared data is missing")
		}
		t.Skip("the shared data is missing")
	}
	sources := map[string]string{
		"OpenSSH_2k.log": "syslog 2000", "plaso__container-json.log": "text", "plaso__gcp_logging.jsonl": "json", "plaso__syslog": "syslog",
		"Apache_2k.log": "web 2000", "go-libaudit__testdata__normal.log": "auditd", "go-libaudit__auparse__testdata__audit-rhel7.log": "auditd",
		"Hadoop_2k.log": "text 2000", "Zookeeper_2k.log": "text 2000",
	}
	for _, name := range files {
		count := map[string]int{}
		var bads []error
		head, err := os.ReadFile(name)
		if err != nil {
			t.Fatal(err)
		}
		if !Match(head[:min(len(head), 4096)]) {
			t.Errorf("%s: Match says no", name)
		}
		err = Read(context.Background(), name, func(err error) { bads = append(bads, err) }, func(ev minewarden.Event) {
			r := ev.Data.(*minewarden.Record)
			count[r.Source]++
			if ev.Time.IsZero() {
				t.Errorf("%s: a record without a time: %v", name, r)
			}
		})
		if err != nil {
			t.Fatal(err)
		}
		b, err := json.Marshal(count)
		if err != nil {
			t.Fatal(err)
		}
		t.Logf("%s %s %v", filepath.Base(name), b, bads)
		if want := strings.Fields(sources[filepath.Base(name)]); len(want) > 0 {
			if count[want[0]] == 0 || len(want) > 1 && fmt.Sprint(count[want[0]]) != want[1] {
				t.Errorf("%s: %s, want %q", name, b, want)
			}
		}
	}
}

func BenchmarkRead(b *testing.B) {
	for name, line := range map[string]string{
		"syslog": "Oct  1 22:14:15 web-1 sshd[77]: Failed password for invalid user admin from 192.0.2.1 port 54321 ssh2\n",
		"access": `192.0.2.7 - - [10/Oct/2026:13:55:36 +0200] "GET /a/b?x=1 HTTP/1.1" 200 1234 "https://x.org/" "Mozilla/5.0 (X11; Linux x86_64)"` + "\n",
		"json":   `{"ts":1700000000.25,"msg":"a request","level":"info","request":{"method":"GET","path":"/a","headers":{"host":["x"]}},"status":200}` + "\n",
		"auditd": "type=SYSCALL msg=audit(1481076992.414:385): arch=c000003e syscall=59 success=yes exit=0 a0=1 a1=2 ppid=1 pid=2 auid=0 uid=0 comm=\"sh\" exe=\"/bin/sh\" key=(null)\n",
	} {
		b.Run(name, func(b *testing.B) {
			text := strings.Repeat(line, 10_000)
			b.SetBytes(int64(len(text)))
			n := 0
			for b.Loop() {
				err := read(context.Background(), strings.NewReader(text), time.Unix(1_800_000_000, 0), func(err error) { b.Fatal(err) }, func(minewarden.Event) { n++ })
				if err != nil {
					b.Fatal(err)
				}
			}
			b.ReportMetric(10_000*float64(b.N)/b.Elapsed().Seconds(), "lines/s")
		})
	}
}
