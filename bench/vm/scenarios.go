package main

import (
	"encoding/json"
	"fmt"
	"strings"
	"time"
)

var scenarios = []scenario{
	{"service", service},
	{"miner", miner},
	{"source", source},
	{"recover", recoverFiles},
	{"guard", guard},
	{"isolate", isolate},
	{"clock", clock},
	{"disk", disk},
	{"power", power},
	{"reboot", reboot},
}

// incident waits for an open incident with a finding of the rule, about something of the name where one is given, and returns its id.
func (b *bench) incident(rule, name string, limit time.Duration) string {
	for late := time.Now().Add(limit); ; time.Sleep(2 * time.Second) {
		for _, line := range strings.Split(b.run("minewarden incidents list --json"), "\n") {
			var inc struct {
				ID      string `json:"id"`
				State   string `json:"state"`
				Members []struct {
					Name string `json:"name"`
				} `json:"members"`
				Subject struct {
					ID   string `json:"id"`
					Name string `json:"name"`
				} `json:"subject"`
				Findings []struct {
					Rule string `json:"rule"`
				} `json:"findings"`
			}
			if line == "" {
				continue
			}
			if err := json.Unmarshal([]byte(line), &inc); err != nil {
				b.stop("incidents list: %v: %s", err, line)
			}
			named := name == "" || strings.Contains(inc.Subject.ID+" "+inc.Subject.Name, name)
			for _, m := range inc.Members {
				named = named || m.Name == name
			}
			for _, f := range inc.Findings {
				if named && inc.State != "closed" && strings.HasPrefix(f.Rule, rule) {
					return inc.ID
				}
			}
		}
		if time.Now().After(late) {
			return ""
		}
	}
}

// must is incident, or the end of the scenario.
func (b *bench) must(rule, name string) string {
	id := b.incident(rule, name, 3*time.Minute)
	if id == "" {
		b.stop("no incident %s %s: %s", rule, name, b.run("minewarden incidents list"))
	}
	return id
}

// whole checks what must be so at any time, whatever happened: the audit trail, the evidence, the store.
func (b *bench) whole(when string) {
	trail, code := b.code("minewarden audit-trail verify")
	b.check("audit-trail verify "+when, code == 0, trail)
	if out := b.run("ls /var/lib/minewarden/evidence 2>/dev/null; true"); out != "" {
		var seen []string
		good := true
		for _, id := range strings.Fields(out) {
			text, code := b.code("minewarden evidence verify " + id)
			good = good && code == 0
			seen = append(seen, strings.Split(text, "\n")[0])
		}
		if len(seen) > 0 {
			b.check("evidence verify "+when, good, strings.Join(seen, "; "))
		}
	}
	log, found := b.code("journalctl -u minewarden -b --no-pager -o cat | grep -iE 'damaged|panic|corrupt|malformed'")
	b.check("no damage in the log "+when, found != 0, orNone(log))
}

func orNone(s string) string {
	if s == "" {
		return "none"
	}
	return s
}

// unit makes and starts a service that runs the hash loop.
func (b *bench) unit(name, more string) {
	b.run(fmt.Sprintf("cat > /etc/systemd/system/%s.service <<'U'\n[Unit]\nDescription=%s\n[Service]\nExecStart=/opt/randomx 7200 1 jit\n%s\n[Install]\nWantedBy=multi-user.target\nU\nsystemctl daemon-reload && systemctl start %s", name, name, more, name))
}

func (b *bench) usage(unit string) string {
	return b.run("systemctl show -p CPUUsageNSec --value " + unit)
}

// stands reports whether a unit uses no processor time.
func (b *bench) stands(unit string) bool {
	before := b.usage(unit)
	time.Sleep(4 * time.Second)
	return b.usage(unit) == before
}

func service(b *bench) {
	b.install("respond: observe")
	b.run("cp /host/minewarden.service /tmp/ && systemd-analyze verify /etc/systemd/system/minewarden.service")
	b.check("kernel and systemd", true, b.run("uname -r; systemctl --version | head -n 1"))
	took := b.up()
	b.check("systemctl enable --now; the agent answers", true, fmt.Sprintf("after %.0f s", took.Seconds()))
	out, code := b.code("minewarden doctor")
	b.check("doctor", code == 0, out)
	progs := b.run("bpftool prog list | grep -cE '^[0-9]+:'")
	b.check("eBPF programs are loaded on this kernel (CO-RE)", !strings.Contains(out, "NO  eBPF"), progs+" programs")
	b.run("sleep 60")
	memory := b.run("systemctl show -p MemoryCurrent --value minewarden; grep -hE 'VmRSS|RssAnon' /proc/$(systemctl show -p MainPID --value minewarden)/status")
	b.check("memory after a minute", true, memory)
	pid := b.run("systemctl show -p MainPID --value minewarden")
	b.run("systemctl restart minewarden")
	b.up()
	b.check("restart", b.run("systemctl show -p MainPID --value minewarden") != pid, b.run("systemctl is-active minewarden"))
	b.run("systemctl kill -s KILL minewarden")
	_, ok := b.until(patience, answers)
	b.check("killed, systemd starts it again", ok, b.run("systemctl show -p NRestarts --value minewarden"))
	b.run("systemctl reset-failed minewarden; systemctl restart minewarden; sleep 2; systemctl stop minewarden")
	b.check("stopped while it starts: clean", b.run("systemctl show -p Result --value minewarden") == "success", b.run("systemctl show -p Result,ExecMainStatus minewarden; journalctl -u minewarden -o cat -n 4 --no-pager"))
	b.up()
	b.run("systemctl stop minewarden")
	left := b.run("bpftool prog list | grep -E 'kprobe|tracing|tracepoint|raw_tracepoint|perf_event|sock_addr|cgroup_sock_addr' | wc -l; nft list tables")
	b.check("stop leaves no program and no table in the kernel", left == "0", left)
	b.check("stop is clean", b.run("systemctl show -p Result --value minewarden") == "success", b.run("systemctl show -p Result,ExecMainStatus minewarden"))
	if err := b.reboot(b.ctx); err != nil {
		b.stop("%v", err)
	}
	_, ok = b.until(patience, answers)
	b.check("it starts with the machine", ok, b.run("systemctl is-active minewarden"))
	log, found := b.code("journalctl -u minewarden --no-pager -o cat | grep -E 'level=(WARN|ERROR)' | grep -v 'no address to listen on'")
	b.check("no warning in its log", found != 0, orNone(log))
	b.whole("at the end")
}

func miner(b *bench) {
	b.install("respond: observe\nresponders:\n  process:\n    protect: {unit: [honest.service]}")
	b.up()
	out, code := b.code("minewarden drill run --all 2>&1")
	b.check("drill run --all", code == 0, out)
	b.run("sed -i 's/observe/contain/' /etc/minewarden/minewarden.yaml && systemctl restart minewarden")
	b.up()
	b.run("ssh-keygen -q -t ed25519 -N '' -f /root/.ssh/id && cat /root/.ssh/id.pub >> /root/.ssh/authorized_keys && (ssh -i /root/.ssh/id -o StrictHostKeyChecking=no localhost 'sleep 3000' >/dev/null 2>&1 &) ; sleep 3; pgrep -f 'sshd: root'")
	begun := time.Now()
	b.unit("render", "Restart=always")
	id := b.must("pow/randomx", "randomx")
	frozen, ok := b.until(time.Minute, "grep -q 'frozen 1' /sys/fs/cgroup/system.slice/render.service/cgroup.events && cat /sys/fs/cgroup/system.slice/render.service/cgroup.events")
	b.check("RandomX in a unit is found and frozen by its cgroup", ok && b.stands("render"), fmt.Sprintf("%s after %.0f s: %s", id, time.Since(begun).Seconds(), frozen))
	alive, code := b.code("systemctl is-system-running; systemctl status render | head -n 4; pgrep -f 'sshd: root' && ssh -i /root/.ssh/id localhost true && timeout 20 systemctl status ssh >/dev/null && echo answered")
	b.check("systemd, sshd and an open session go on meanwhile", code == 0 && strings.Contains(alive, "answered"), alive)
	b.run("minewarden incidents undo " + id + " --why test")
	out, _ = b.until(30*time.Second, "grep -q 'frozen 0' /sys/fs/cgroup/system.slice/render.service/cgroup.events")
	b.check("undo: it runs on, and is not frozen again", !b.stands("render") && strings.Contains(b.run("sleep 15; cat /sys/fs/cgroup/system.slice/render.service/cgroup.events"), "frozen 0"), out+b.run("cat /sys/fs/cgroup/system.slice/render.service/cgroup.events"))
	b.run("systemctl stop render")
	// A miner that a person started by ssh: its session and sshd stay.
	b.run("(ssh -i /root/.ssh/id localhost 'cp /opt/randomx /var/tmp/xx; exec /var/tmp/xx 7200 1 jit' >/dev/null 2>&1 &)")
	id2 := b.must("pow/randomx", "xx")
	_, ok = b.until(time.Minute, "minewarden incidents show "+id2+" | grep 'process frozen\\|processes frozen'")
	stat := b.run("for p in $(pgrep -f 'sshd:|/usr/sbin/sshd'; pgrep -x xx); do awk '{print $2,$3}' /proc/$p/stat; done")
	b.check("a miner below a login: only it is frozen", ok && strings.Contains(stat, "(xx) T") && !strings.Contains(stat, "(sshd) T"), stat)
	plan, code := b.code("ssh -i /root/.ssh/id localhost minewarden respond plan " + id2 + " | grep -A9 '^kill'")
	b.check("sshd is not in the plan to kill", code == 0 && strings.Contains(plan, "touches pid") && !strings.Contains(plan, "/usr/sbin/sshd user"), plan)
	b.run("minewarden respond do " + id2 + " kill --yes --why test")
	_, gone := b.code("pgrep -x xx")
	b.check("kill", gone != 0, b.run("minewarden incidents show "+id2+" | grep -E 'kill'"))
	// What the configuration protects is seen and left alone.
	b.unit("honest", "")
	late, _ := b.until(90*time.Second, "minewarden incidents list | grep -c randomx | grep -v '^[01]$'")
	time.Sleep(5 * time.Second)
	b.check("a protected unit is told of and left alone", !b.stands("honest"), late+" "+b.run("cat /sys/fs/cgroup/system.slice/honest.service/cgroup.events"))
	b.whole("at the end")
}
