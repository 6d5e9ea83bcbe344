package main

import (
	"fmt"
	"strings"
	"time"
)

// neighbours makes a network with a pool, an honest server and an operator, each in a namespace of the guest behind a bridge of the kernel.
const neighbours = `set -e
ip link add lan type bridge
ip link set lan up
ip address add 198.51.100.1/24 dev lan
ip address add 203.0.113.1/24 dev lan
ip address add 192.0.2.1/24 dev lan
add() { ip netns add $1; ip link add v$1 type veth peer name eth0 netns $1; ip link set v$1 master lan up; ip -n $1 link set lo up; ip -n $1 link set eth0 up; ip -n $1 address add $2/24 dev eth0; ip -n $1 route add default via $3; }
add pool 198.51.100.10 198.51.100.1
add honest 203.0.113.7 203.0.113.1
add ops 192.0.2.10 192.0.2.1
(ip netns exec pool setsid nc -lk 3333 >/dev/null 2>&1 &)
(ip netns exec pool setsid nc -lk 443 >/dev/null 2>&1 &)
(ip netns exec honest setsid nc -lk 443 >/dev/null 2>&1 &)
sleep 1`

func guard(b *bench) {
	b.install("respond: contain")
	b.run(neighbours)
	b.run("mkdir -p /etc/systemd/system/minewarden.service.d && printf '[Service]\\nRestart=no\\n' > /etc/systemd/system/minewarden.service.d/bench.conf && systemctl daemon-reload")
	const pool, honest = "nc -z -w 3 198.51.100.10 3333", "nc -z -w 3 203.0.113.7 443"
	const attached = "bpftool cgroup show /sys/fs/cgroup | grep -c -E 'connect4|connect6|sendmsg4|sendmsg6' ; true"
	b.check("before: both answer", ok(b, pool) && ok(b, honest), "")
	b.run("minewarden intel add 198.51.100.10 --confidence 0.95 2>/dev/null || minewarden intel add 198.51.100.10")
	before := b.run("nft list ruleset")
	b.up()
	b.check("programs hang on the root of the cgroup tree", b.run(attached) != "0", b.run("bpftool cgroup show /sys/fs/cgroup"))
	text, code := b.code("/usr/bin/nc -v -z -w 3 198.51.100.10 3333")
	b.check("a connection to an indicator is refused", code != 0, text)
	trace := b.run("timeout 20 tcpdump --version >/dev/null 2>&1; ip netns exec pool cat /proc/net/snmp | awk '/^Tcp:/{print $6}' | tail -n 1")
	b.code(pool)
	b.check("no SYN reaches it", b.run("ip netns exec pool cat /proc/net/snmp | awk '/^Tcp:/{print $6}' | tail -n 1") == trace, "connections that the pool took before and after: "+trace)
	b.check("as an ordinary user, and in a unit of its own", !ok(b, "runuser -u alice -- "+pool) && !ok(b, "systemd-run -q --wait -p DynamicUser=yes "+pool), "")
	b.check("others pass", ok(b, honest) && ok(b, "runuser -u alice -- "+honest), "")
	b.check("sshd on loopback answers", ok(b, "nc -z -w 3 127.0.0.1 22"), "")
	b.run("systemctl stop minewarden")
	b.check("stopped: nothing is attached, all pass", b.run(attached) == "0" && ok(b, pool) && b.run("nft list ruleset") == before, b.run(attached+"; nft list tables"))
	b.up()
	b.check("started again: refused", !ok(b, pool), "")
	b.run("minewarden respond block 203.0.113.7:443 --for 2h --yes")
	b.check("a block by hand", !ok(b, honest), "")
	b.run("systemctl kill -s KILL minewarden; sleep 2")
	b.check("kill -9: nothing is attached, all pass", b.run(attached) == "0" && ok(b, pool) && ok(b, honest) && b.run("nft list ruleset") == before, b.run(attached+"; nft list tables"))
	b.run("systemctl reset-failed minewarden")
	b.up()
	b.check("started after kill -9: the list and the block by hand stand again", !ok(b, pool) && !ok(b, honest), b.run("minewarden respond list | head -n 3"))
	if err := b.machine.reboot(b.ctx); err != nil {
		b.stop("%v", err)
	}
	b.run(neighbours)
	b.up()
	b.check("after a reboot, too", !ok(b, pool) && !ok(b, honest), "")
	b.run("minewarden respond undo $(minewarden respond list --json | grep -o 'block-[A-Z0-9]*' | head -n 1) --why test")
	b.check("undo of the block", ok(b, honest) && !ok(b, pool), "")
	b.whole("at the end")
}

func ok(b *bench, command string) bool {
	_, code := b.code(command)
	return code == 0
}

func isolate(b *bench) {
	config := "respond: observe\nresponders:\n  isolate:\n    management: {peers: [192.0.2.0/24]}\n"
	b.install(config)
	b.run(neighbours)
	b.run("mkdir -p /root/.ssh && ssh-keygen -q -t ed25519 -N '' -f /root/.ssh/id && cat /root/.ssh/id.pub >> /root/.ssh/authorized_keys")
	b.up()
	b.unit("render", "")
	id := b.must("pow/randomx", "randomx")
	const honest = "nc -z -w 3 203.0.113.7 443"
	const ssh = "timeout 60 ip netns exec ops ssh -i /root/.ssh/id -o StrictHostKeyChecking=no -o ConnectTimeout=50 root@192.0.2.1 "
	// A session of the operator that counts, and a foreign flow.
	b.run("(" + ssh + " 'i=0; while sleep 1; do i=$((i+1)); echo $i; done' 2>/dev/null > /root/session &)")
	if out, ok := b.until(2*time.Minute, "test -s /root/session"); !ok {
		b.stop("the operator cannot log in: %s", out)
	}
	b.run("(ip netns exec honest nc -lk 8443 > /root/foreign 2>/dev/null &) ; (while sleep 1; do echo x; done | nc 203.0.113.7 8443 >/dev/null 2>&1 &)")
	b.until(time.Minute, "test -s /root/foreign")
	before := b.run("nft list ruleset")
	out := b.run("minewarden respond do " + id + " isolate --yes --why test")
	b.check("isolate", strings.Contains(out, "isolat"), out)
	size := b.run("stat -c %s /root/foreign")
	session := b.run("tail -n 1 /root/session")
	b.run("sleep 8")
	b.check("foreign flows are cut, running and new ones", b.run("stat -c %s /root/foreign") == size && !ok(b, honest), "")
	b.check("routed packets between neighbours are cut", !ok(b, "ip netns exec pool ping -c 1 -W 3 203.0.113.7"), "")
	b.check("the operator's session goes on, and a new one is let in", b.run("tail -n 1 /root/session") != session && ok(b, ssh+"true"), session+" → "+b.run("tail -n 1 /root/session"))
	b.run("sleep 90")
	b.check("after more than `confirm` it still stands: the operator is heard", !ok(b, honest) && ok(b, ssh+"true"), "")
	b.run("minewarden respond do " + id + " release --yes --why test")
	b.check("release: the ruleset is as it was, all passes", b.run("nft list ruleset") == before && ok(b, honest), "")
	// By default it does not survive.
	b.run("minewarden respond do " + id + " isolate --yes --why test")
	b.check("isolated again", !ok(b, honest), "")
	b.restart()
	b.check("survive: false, after a reboot all passes", ok(b, honest), b.run("nft list tables"))
	text := b.run("minewarden incidents show " + id + " | grep -A1 isolate")
	b.check("and the record says so", strings.Contains(text, "taken back") || strings.Contains(text, "released"), text)
	// By choice it does.
	b.run("cat > /etc/minewarden/minewarden.yaml <<'Y'\n" + config + "    survive: true\n    expires: 1h\nY\nsystemctl restart minewarden")
	b.up()
	b.unit("render", "")
	id = b.must("pow/randomx", "randomx")
	for range 30 { // the incident of the boot before has no process any more; a new one comes
		if ok(b, "minewarden respond plan "+id+" | grep -q ^isolate") {
			break
		}
		time.Sleep(2 * time.Second)
	}
	b.run("minewarden respond do " + id + " isolate --yes --why test")
	b.check("survive: true: isolated", !ok(b, honest), "")
	b.run("systemctl stop minewarden")
	b.check("it stands while the agent is stopped, and the operator gets in", !ok(b, honest) && ok(b, ssh+"true"), b.run("nft list tables"))
	b.restart()
	b.check("and after a reboot", !ok(b, honest) && ok(b, ssh+"true"), b.run("nft list tables"))
	b.run("minewarden respond do " + id + " release --yes --why test")
	b.check("release", ok(b, honest) && b.run("nft list ruleset") == "", b.run("nft list tables"))
	b.whole("at the end")
}

// restart reboots, makes the neighbours anew and waits for the agent.
func (b *bench) restart() {
	if err := b.machine.reboot(b.ctx); err != nil {
		b.stop("%v", err)
	}
	b.run(neighbours)
	took := b.up()
	b.note("the agent answers %s after the boot", fmt.Sprint(took))
}
