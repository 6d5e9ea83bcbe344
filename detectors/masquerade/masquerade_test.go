package masquerade

import (
	"testing"
	"time"
	"unicode/utf8"

	"github.com/minewarden/minewarden"
	"github.com/minewarden/minewarden/internal/detectortest"
)

func TestRecordings(t *testing.T) { detectortest.Run(t, New) }

func TestKernelThread(t *testing.T) {
	for name, want := range map[string]bool{
		"kworker/u8:2": true, "[kworker/0:1H]": true, "kworker/R-ext4-rsv-conversion": true, "ksoftirqd/0": true, "kthreadd": true, "kdevtmpfsi": true, "kthreaddi": true,
		"kworkerds": true, "rcu_sched": true, "migration/0": true, "kswapd0": true, "khugepaged": true, "kworker": true, "ksmd": true, "jbd2/sda1-8": true, "irq/24-ACPI:Ged": true,
		"": false, "kworkflow": false, "ksmtuned": false, "migration": false, "kubelet": false, "kdeinit5": false, "konsole": false, "kswap": false, "watchdog": false, "rcu_torture_user": false,
		"irq/": false, "crypto": false, "md5sum": false, "writeback": false, "kthread": false, "khelpcenter": false, "redis-server": false, "migrate": false, "jbd2": false,
	} {
		if got := kernelThread(name); got != want {
			t.Errorf("kernelThread(%q) = %v", name, got)
		}
	}
}

func TestLetters(t *testing.T) {
	for name, want := range map[string]string{"ѕshd": "sshd", "nginх": "nginx", "ｃron": "cron", "sshd": "", "мир": "", "тест": "", "naïve": "", "ѕ": "", "kwоrker/u8:1": "kworker/u8:1"} {
		if got := imitated(name); got != want {
			t.Errorf("imitated(%q) = %q, want %q", name, got, want)
		}
	}
	for name, want := range map[string]bool{
		"/usr/bin/ss\u200bhd": true, "/tmp/\u202egpj.sh": true, "/usr/bin/sshd ": true, "/usr/bin/sshd\u00a0": true, "/tmp/a\u2066b": true, "ng\u200cinx": true, "/x\x01": true,
		"/home/علی/می\u200cخواهم": false, "/home/Jürgen/prog": false, "/opt/日本語/実行": false, "/usr/bin/sshd": false, "/opt/\xff\xfe": false, "echo ": false,
	} {
		if _, got := invisible(name); got != want {
			t.Errorf("invisible(%q) = %v", name, got)
		}
	}
}

func TestDisguised(t *testing.T) {
	for path, want := range map[string]bool{
		"/tmp/.../x": true, "/var/tmp/ /x": true, "/dev/shm/. /x": true, "/tmp/..  /x": true, "/tmp/x": false, "/usr/bin/../lib/x": false, "/": false, "": false, "//x": false, "/tmp/.x/y": false, "...": false,
	} {
		if got := disguised(path); got != want {
			t.Errorf("disguised(%q) = %v", path, got)
		}
	}
}

func FuzzNames(f *testing.F) {
	f.Add("/usr/bin/ѕshd", "[kworker/0:1]")
	f.Fuzz(func(t *testing.T, exe, argv0 string) {
		d := &detector{}
		p := &minewarden.Process{Key: minewarden.ProcessKey{PID: 10, Start: 1}, Name: argv0, Exe: exe, Args: []string{argv0}}
		for _, found := range d.Observe(&minewarden.Event{Time: time.Unix(0, 0), Process: p, Data: &minewarden.Exec{Name: argv0, Exe: exe, Args: p.Args}}) {
			for _, e := range found.Evidence {
				if e.Key == "characters" && !utf8.ValidString(e.Value) {
					t.Errorf("evidence %q cannot be shown", e.Value)
				}
			}
		}
	})
}

func BenchmarkHonest(b *testing.B) {
	d := &detector{}
	p := &minewarden.Process{Key: minewarden.ProcessKey{PID: 10, Start: 1}, Name: "gcc", Exe: "/usr/bin/x86_64-linux-gnu-gcc-14", Args: []string{"gcc", "-c", "x.c"}}
	ev := &minewarden.Event{Process: p, Data: &minewarden.Exec{Name: p.Name, Exe: p.Exe, Args: p.Args, Filename: "/usr/bin/gcc"}}
	b.ReportAllocs()
	for b.Loop() {
		if d.Observe(ev) != nil {
			b.Fatal("found something")
		}
	}
}
