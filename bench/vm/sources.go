package main

import (
	"fmt"
	"strings"
	"time"
)

// entries are the ways of starting that the intruder leaves, and what takes each away.
const entries = "/etc/systemd/system/dbus-helper.service /etc/systemd/system/dbus-helper.timer /etc/cron.d/dbus /etc/profile /etc/ld.so.preload /root/.ssh/authorized_keys /usr/local/lib/.cache/dbus-helper /usr/local/lib/libhide.so"

const intrude = `set -e
mkdir -p /usr/local/lib/.cache /root/.ssh
cp /opt/randomx /usr/local/lib/.cache/dbus-helper
cp /lib/x86_64-linux-gnu/libutil.so.1 /usr/local/lib/libhide.so
printf '[Unit]\nDescription=helper\n[Service]\nExecStart=/usr/local/lib/.cache/dbus-helper 7200 1 jit\nRestart=always\nRestartSec=2\n[Install]\nWantedBy=multi-user.target\n' > /etc/systemd/system/dbus-helper.service
printf '[Timer]\nOnCalendar=*:0/2\n[Install]\nWantedBy=timers.target\n' > /etc/systemd/system/dbus-helper.timer
printf '# logs\n17 * * * * root /bin/true\n* * * * * root pgrep dbus-helper >/dev/null || /usr/local/lib/.cache/dbus-helper 7200 1 jit\n' > /etc/cron.d/dbus
echo 'pgrep dbus-helper >/dev/null || (/usr/local/lib/.cache/dbus-helper 7200 1 jit &)' >> /etc/profile
echo /usr/local/lib/libhide.so > /etc/ld.so.preload
echo 'ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIOMqqnkVzrm0SdG6UOoqKLsabgH5C9okWi0dh2l9GKJl root@kali' >> /root/.ssh/authorized_keys
touch -d '2026-01-02 03:04:05.123456789' /etc/cron.d/dbus /root/.ssh/authorized_keys
systemctl daemon-reload
systemctl enable -q --now dbus-helper.service dbus-helper.timer`

const snapshot = `for f in ` + entries + `; do stat -c '%n %a %u:%g %s %y' $f; sha256sum $f; done; readlink /etc/systemd/system/*.wants/dbus-helper.*; systemctl is-active dbus-helper.service dbus-helper.timer; systemctl is-enabled dbus-helper.service dbus-helper.timer; true`

func source(b *bench) {
	b.install("respond: observe")
	b.run("mkdir -p /root/.ssh && ssh-keygen -q -t ed25519 -N '' -f /root/.ssh/id -C admin && cp /root/.ssh/id.pub /root/.ssh/authorized_keys && chmod 600 /root/.ssh/authorized_keys")
	b.up()
	b.run(intrude)
	pow := b.must("pow/randomx", "dbus-helper")
	file := b.must("persistence/preload", "")
	b.run("sleep 20") // the last of the files is judged
	before := b.run(snapshot)
	type act struct{ incident, op, proof string }
	acts := []act{
		{pow, "freeze", "test \"$(awk '{print $3}' /proc/$(pgrep -o dbus-helper)/stat)\" = T || grep -q 'frozen 1' /sys/fs/cgroup/system.slice/dbus-helper.service/cgroup.events"},
		{pow, "disable-cron", "! grep -q helper /etc/cron.d/dbus && grep -q bin/true /etc/cron.d/dbus"},
		{pow, "clean-profile", "! grep -q helper /etc/profile && grep -q PATH /etc/profile"},
		{file, "remove-preload", "! grep -q libhide /etc/ld.so.preload"},
		{file, "remove-key", "! grep -q kali /root/.ssh/authorized_keys && grep -q admin /root/.ssh/authorized_keys"},
		{pow, "disable-unit", "! systemctl is-active -q dbus-helper.service && ! systemctl is-active -q dbus-helper.timer && ! systemctl is-enabled -q dbus-helper.service && ! systemctl is-enabled -q dbus-helper.timer && test $(systemctl show -p MainPID --value dbus-helper) = 0"},
		{pow, "kill", "! pgrep dbus-helper"},
		{pow, "quarantine", "test ! -e /usr/local/lib/.cache/dbus-helper"},
	}
	plan := b.run("minewarden respond plan " + pow + "; minewarden respond plan " + file)
	for _, want := range []string{"-* * * * * root pgrep", "-pgrep dbus-helper", "-/usr/local/lib/libhide.so", "-ssh-ed25519", "dbus-helper.timer"} {
		b.check("the plan shows the change: "+want, strings.Contains(plan, "    "+want) || strings.Contains(plan, want), "")
	}
	b.check("the plan speaks of no place that is not there", !strings.Contains(plan, "/bin/.ssh"), grepped(plan, "/bin/.ssh"))
	for _, a := range acts {
		out, code := b.code("minewarden respond do " + a.incident + " " + a.op + " --yes --why test")
		proof, proved := b.code(a.proof)
		b.check(a.op, code == 0 && proved == 0, out+" "+proof)
	}
	b.run("sleep 130") // two minutes of cron and of the timer
	_, running := b.code("pgrep dbus-helper")
	b.check("it does not come back within two minutes of cron and its timer", running != 0, b.run("pgrep -a dbus-helper; true"))
	for _, id := range []string{pow, file} {
		out, code := b.code("minewarden respond undo " + id + " --why test")
		b.check("undo: all but what was killed", code == 0, out)
	}
	after, same := "", false
	for range 10 {
		if after = b.run(snapshot); after == before {
			same = true
			break
		}
		time.Sleep(2 * time.Second)
	}
	b.check("every file, link and unit is as it was: content, mode, owner, times", same, difference(before, after))
	quarantine := b.run("minewarden respond plan " + file + " | grep -A1 '^quarantine'")
	b.check("quarantine leaves files alone that others share", !strings.Contains(quarantine, "touches \"/etc/profile\"") && !strings.Contains(quarantine, "touches \"/root/.ssh/authorized_keys\""), grepped(quarantine, "profile", "authorized_keys"))
	b.run("systemctl disable -q --now dbus-helper.timer dbus-helper.service; : > /etc/ld.so.preload; rm -f /etc/cron.d/dbus; pkill dbus-helper; true")
	// The accounts behind it.
	b.run("cp /opt/randomx /home/alice/yy; chown alice /home/alice/yy; setsid runuser -l alice -c '(/home/alice/yy 7200 1 jit >/dev/null 2>&1 &)'")
	id := b.must("pow/randomx", "yy")
	shadow := b.run("sha256sum /etc/shadow; stat -c '%a %u:%g %y' /etc/shadow")
	out := b.run("minewarden respond do " + id + " expire-password --yes --why test && chage -l alice")
	b.check("expire-password", strings.Contains(out, "password must be changed"), out)
	out = b.run("minewarden respond do " + id + " lock-account --yes --why test && passwd -S alice && chage -l alice")
	_, login := b.code("echo wrong | su -s /bin/sh bob -c 'su alice -c true' </dev/null")
	b.check("lock-account", strings.Contains(out, "alice L") && login != 0, out)
	b.run("minewarden respond undo " + id + " --why test")
	again := b.run("sha256sum /etc/shadow; stat -c '%a %u:%g %y' /etc/shadow")
	b.check("undo: shadow is as it was", shadow == again && strings.Contains(b.run("passwd -S alice"), "alice P"), difference(shadow, again))
	b.whole("at the end")
}

func recoverFiles(b *bench) {
	b.install("respond: contain\nresponders:\n  recovery:\n    units: [cron.service]")
	b.run("cp /srv/packages/less_*.deb /var/cache/apt/archives/ && sha256sum /usr/bin/less > /root/less.sum && stat -c '%a %u:%g' /usr/bin/less >> /root/less.sum")
	b.up()
	b.run("cp /opt/randomx /usr/bin/less.new && mv /usr/bin/less.new /usr/bin/less && (setsid /usr/bin/less 7200 1 jit >/dev/null 2>&1 &)")
	id := b.must("pow/randomx", "less")
	b.until(time.Minute, "minewarden incidents show "+id+" | grep frozen")
	dpkg, _ := b.code("dpkg --verify less")
	out := b.run("minewarden respond do " + id + " verify-package --yes --why test")
	b.check("verify-package says what dpkg --verify says", strings.Contains(dpkg, "/usr/bin/less") && strings.Contains(out, "less"), dpkg+" / "+out)
	b.run("minewarden respond do " + id + " kill --yes --why test")
	out = b.run("minewarden respond do " + id + " restore-file --yes --why test")
	restored, code := b.code("sha256sum -c /root/less.sum 2>/dev/null; dpkg --verify less && less --version | head -n 1")
	b.check("restore-file from the package in apt's cache", code == 0 && strings.Contains(restored, "OK"), out+" "+restored)
	out = b.run("minewarden respond do " + id + " check-unit --yes --why test")
	b.check("check-unit", strings.Contains(out, "healthy"), out)
	b.run("systemctl stop cron")
	out, code = b.code("minewarden respond do " + id + " check-unit --yes --why test")
	b.check("check-unit of a unit that was stopped", code != 0 || strings.Contains(out, "not healthy") || strings.Contains(out, "inactive"), fmt.Sprintf("exit %d: %s", code, out))
	b.whole("at the end")
}

// difference tells the lines that two texts do not share.
func difference(a, b string) string {
	if a == b {
		return "no difference"
	}
	in := func(lines []string, l string) bool {
		for _, x := range lines {
			if x == l {
				return true
			}
		}
		return false
	}
	x, y := strings.Split(a, "\n"), strings.Split(b, "\n")
	var out []string
	for _, l := range x {
		if !in(y, l) {
			out = append(out, "-"+l)
		}
	}
	for _, l := range y {
		if !in(x, l) {
			out = append(out, "+"+l)
		}
	}
	return strings.Join(out, "; ")
}

// grepped returns the lines with one of the words, or none.
func grepped(text string, words ...string) string {
	var out []string
	for _, l := range strings.Split(text, "\n") {
		for _, w := range words {
			if strings.Contains(l, w) {
				out = append(out, strings.TrimSpace(l))
				break
			}
		}
	}
	return orNone(strings.Join(out, "; "))
}
