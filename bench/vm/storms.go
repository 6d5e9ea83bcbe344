package main

import (
	"fmt"
	"math/rand/v2"
	"strings"
	"time"
)

func clock(b *bench) {
	b.install("respond: contain")
	b.run(neighbours)
	b.up()
	// A process that only sleeps, under the name of a kernel thread: emulated hashing would leave the rest no time.
	b.run("cp /bin/sleep /opt/xsleep; cat > /etc/systemd/system/render.service <<'U'\n[Service]\nExecStart=/bin/bash -c 'exec -a [kworker/u8:7] /opt/xsleep 90000'\nU\nsystemctl daemon-reload; systemctl start render")
	id := b.must("masquerade/", "")
	if out, ok := b.until(4*time.Minute, "minewarden incidents show "+id+" | grep 'frozen in'"); !ok {
		b.stop("not frozen: %s", out)
	}
	b.run("minewarden respond block 203.0.113.7:443 --for 2h --yes")
	b.run("minewarden suppress add --reason test --exe /opt/other --for 24h || minewarden suppress add --reason test --path /opt/other --for 24h")
	run := strings.Fields(b.run("minewarden playbooks runs " + id + " | head -n 1"))[0]
	run = strings.TrimSuffix(run, ":")
	b.code("minewarden playbooks approve " + run + " --why test")
	waits, _ := b.until(2*time.Minute, "minewarden playbooks runs "+id+" | grep -E 'waiting|waits|approval'")
	b.check("a playbook runs and waits for an approval", waits != "", waits)
	lines := b.run("minewarden audit-trail list --json | wc -l")
	const state = "test \"$(grep -h frozen /sys/fs/cgroup/system.slice/render.service/cgroup.events)\" = 'frozen 1'"
	for _, jump := range []string{"+3 days", "-3 days", "-3 days", "+3 days"} {
		b.run("date -s \"$(date -d '" + jump + "' --rfc-3339=seconds)\"")
		b.run("sleep 15")
		now := "after " + jump
		b.check(now+": the incident stands, its process stays frozen", ok(b, state) && ok(b, "minewarden incidents show "+id), b.run("minewarden incidents list | head -n 2"))
		trail := b.run("minewarden audit-trail list | head -n 12")
		b.check(now+": the audit trail tells of the jump", strings.Contains(trail, "clock"), grepped(trail, "clock"))
		shown := b.run("minewarden playbooks runs " + id)
		b.check(now+": the run still waits at the same step", grepped(shown, "waiting", "waits") == grepped(waits, "waiting", "waits") || strings.Contains(shown, "approval"), grepped(shown, "waiting", "waits", "clock"))
		health, _ := b.code("minewarden doctor")
		b.check(now+": every sensor runs", strings.Count(health, "NO ") <= 1, grepped(health, "NO "))
		block := b.run("minewarden respond list | grep 203.0.113.7")
		refused := !ok(b, "nc -z -w 3 203.0.113.7 443")
		b.check(now+": what a block says is what it does", refused == !strings.Contains(block, "taken back"), fmt.Sprintf("refused: %v; %s", refused, block))
		_, code := b.code("minewarden drill run kworker")
		fresh := b.run("minewarden incidents list | grep kernel")
		b.check(now+": an attack is seen, in the time of the clock", code == 0 && strings.Contains(fresh, b.run("date +%F")), fresh)
		out, code := b.code("minewarden audit-trail verify")
		b.check(now+": audit-trail verify", code == 0, out)
	}
	b.check("no entry of the audit trail is lost", b.run("minewarden audit-trail list --json | wc -l") >= lines, lines+" → "+b.run("minewarden audit-trail list --json | wc -l"))
	out := b.run("minewarden playbooks runs " + id + "; minewarden incidents undo " + id + " --why test")
	b.check("undo works after all that", !ok(b, state), out)
	log, found := b.code("journalctl -u minewarden -b --no-pager -o cat | grep -E 'level=ERROR'")
	b.check("no error in the log", found != 0, orNone(log))
	b.whole("at the end")
}

// little is a file system for the data directory that is soon full.
const little = `set -e
truncate -s 48M /root/data.img
mkfs.ext4 -q -m 0 /root/data.img
mkdir -p /var/lib/minewarden
mount -o loop /root/data.img /var/lib/minewarden
chmod 700 /var/lib/minewarden`

func disk(b *bench) {
	b.install("respond: contain")
	b.run(little)
	b.up()
	b.run("minewarden drill run kworker; true")
	first := b.must("masquerade/", "")
	b.code("dd if=/dev/zero of=/var/lib/minewarden/ballast bs=64k 2>&1; dd if=/dev/zero of=/var/lib/minewarden/ballast2 bs=512 2>&1; df /var/lib/minewarden")
	b.unit("render", "")
	told, seen := b.until(90*time.Second, "minewarden incidents list | grep randomx")
	b.check("full disk: a miner is still seen", seen, told)
	time.Sleep(10 * time.Second)
	health, _ := b.code("minewarden doctor | grep -E 'incidents|NO'")
	b.check("doctor says what is not saved", strings.Contains(health, "NO  incidents") || strings.Contains(health, "not yet saved"), health)
	log := b.run("journalctl -u minewarden -b -o cat --no-pager | grep -iE 'no space|full|not saved|written down' | head -n 5; true")
	b.check("the log says that the disk is full", log != "", log)
	list := b.run("minewarden incidents list")
	b.check("what is not written down is not done", b.stands("render") == strings.Contains(b.run("minewarden incidents show $(minewarden incidents list | awk '/randomx/{print $1}') ; true"), "frozen in"), list)
	b.run("systemctl kill -s KILL minewarden; sleep 10; systemctl is-active minewarden; true")
	_, again := b.until(patience, answers)
	b.check("killed and started with a full disk: it watches", again, b.run("journalctl -u minewarden -b -o cat --no-pager | tail -n 5"))
	b.run("rm -f /var/lib/minewarden/ballast*")
	id := b.must("pow/randomx", "randomx")
	_, frozen := b.until(3*time.Minute, "minewarden incidents show "+id+" | grep 'frozen in'")
	b.check("room again: it is frozen", frozen && b.stands("render"), b.run("minewarden incidents show "+id+" | grep -A2 done"))
	health, _ = b.until(time.Minute, "minewarden doctor | grep 'ok  incidents.* 0 changes'")
	b.check("everything is saved", health != "", health)
	b.check("the first incident is there", ok(b, "minewarden incidents show "+first), "")
	b.whole("at the end")
}

// storm is activity: attacks, actions, undo, evidence, for ever.
const storm = `cat > /root/storm.sh <<'S'
#!/bin/sh
while :; do
	minewarden drill run kworker cron memfd >/dev/null 2>&1
	for id in $(minewarden incidents list --state open 2>/dev/null | awk '{print $1}' | head -n 3); do
		minewarden respond do $id freeze --yes --why storm
		minewarden evidence collect $id --why storm
		minewarden respond undo $id --why storm
	done
	minewarden respond block 203.0.113.$((RANDOM_ = $(date +%s) % 250 + 1)):443 --for 1h --yes
	systemctl restart render
done >>/root/storm.log 2>&1
S
chmod +x /root/storm.sh; (setsid /root/storm.sh &)`

func power(b *bench) {
	b.install("respond: contain")
	b.up()
	b.unit("render", "Restart=always\nRestartSec=3")
	first := b.must("pow/randomx", "randomx")
	// Killed at random.
	b.run(storm)
	for range 8 {
		b.run(fmt.Sprintf("sleep %d.%d; systemctl kill -s KILL minewarden", 2+rand.IntN(12), rand.IntN(10)))
		if out, ok := b.until(patience, answers); !ok {
			b.stop("the agent does not come back: %s", out)
		}
	}
	b.check("killed 8 times at random moments of activity: it always comes back", true, b.run("systemctl show -p NRestarts --value minewarden; wc -l < /root/storm.log"))
	b.check("the first incident is there", ok(b, "minewarden incidents show "+first), "")
	b.whole("after kill -9")
	// The power fails at random.
	for n := range 4 {
		noted := b.run("sync; minewarden audit-trail verify; minewarden incidents list | awk '{print $1}' | sort")
		b.run("pgrep -f storm.sh >/dev/null || (setsid /root/storm.sh &)")
		time.Sleep(time.Duration(3000+rand.IntN(15000)) * time.Millisecond)
		if err := b.unplug(); err != nil {
			b.stop("%v", err)
		}
		if err := b.start(b.ctx); err != nil {
			b.stop("%v", err)
		}
		b.up()
		now := b.run("minewarden incidents list | awk '{print $1}' | sort")
		lost := ""
		for _, id := range strings.Fields(strings.Join(strings.Split(noted, "\n")[1:], " ")) {
			if !strings.Contains(now, id) {
				lost += id + " "
			}
		}
		b.check(fmt.Sprintf("power cut %d: no incident is lost", n+1), lost == "", fmt.Sprintf("%d incidents; lost: %s", len(strings.Fields(now)), orNone(lost)))
		b.check(fmt.Sprintf("power cut %d: the disk and the agent are well", n+1), ok(b, "minewarden doctor | grep 'ok  incidents'"), b.run("minewarden doctor | grep incidents"))
		b.whole(fmt.Sprintf("after power cut %d", n+1))
	}
}

func reboot(b *bench) {
	b.install("respond: contain")
	b.up()
	b.unit("render", "")
	b.run("systemctl enable render 2>/dev/null; true")
	id := b.must("pow/randomx", "randomx")
	if out, ok := b.until(4*time.Minute, "minewarden incidents show "+id+" | grep 'frozen in'"); !ok {
		b.stop("not frozen: %s", out)
	}
	b.run("minewarden evidence collect " + id + " --why test; true")
	b.run("minewarden respond do " + id + " disable-unit --yes --why test")
	b.run("minewarden respond do " + id + " quarantine --yes --why test; true")
	begun := time.Now()
	if err := b.machine.reboot(b.ctx); err != nil {
		b.stop("%v", err)
	}
	b.check("a machine with frozen processes shuts down and boots", true, fmt.Sprintf("%.0f s", time.Since(begun).Seconds()))
	b.up()
	b.check("the frozen processes are gone, and what started them stays off", !ok(b, "pgrep -x randomx"), "")
	shown := b.run("minewarden incidents show " + id)
	b.check("the record says that the restart ended what was frozen", strings.Contains(shown, "restart"), grepped(shown, "frozen", "restart", "taken back"))
	out, code := b.code("minewarden incidents undo " + id + " --why test")
	b.check("undo after the restart takes back what can be", code == 0 && ok(b, "systemctl is-enabled -q render"), fmt.Sprintf("exit %d: %s", code, out))
	b.whole("at the end")
}
