package docker

import (
	"errors"
	"fmt"
	"path"
	"strings"

	mw "github.com/minewarden/minewarden"
	"github.com/minewarden/minewarden/internal/conftree"
	"github.com/minewarden/minewarden/internal/hostfs"
	"github.com/minewarden/minewarden/internal/shady"
	"github.com/minewarden/minewarden/internal/verdict"
)

// Claims takes daemon.json by its name, and systemd units that start the daemon.
func (a *auditor) Claims(name string, head []byte) bool {
	base, h := strings.ToLower(path.Base(name)), string(head)
	switch {
	case isUnit(base):
		return strings.Contains(h, "dockerd")
	case !strings.HasSuffix(base, ".json"):
		return false
	case strings.HasPrefix(base, "daemon"):
		return true
	}
	return strings.Contains(h, `"hosts"`) && (strings.Contains(h, "tcp://") || strings.Contains(h, "docker.sock"))
}

func isUnit(base string) bool {
	return strings.HasSuffix(base, ".service") || strings.HasSuffix(base, ".conf")
}

func (a *auditor) file(t mw.Target) (mw.Verdict, error) {
	if !a.Claims(t.Path, t.Data[:min(len(t.Data), mw.ClaimHead)]) {
		return mw.Verdict{}, nil
	}
	b := verdict.New("docker", t, a.now, rules())
	d := &daemon{b: b, line: t.Line}
	if isUnit(strings.ToLower(path.Base(t.Path))) {
		for _, c := range hostfs.ParseUnit(t.Path, string(t.Data)) {
			if shady.Product(c.Argv) == "docker" {
				d.cmd = &c
				d.judgeHosts()
			}
		}
		if d.cmd == nil {
			return mw.Verdict{}, nil
		}
		return b.Verdict(), nil
	}
	tree, err := conftree.ParseJSON(t.Path, t.Data)
	if err != nil {
		var e *conftree.Error
		if t.Line > 1 && errors.As(err, &e) {
			moved := *e
			moved.Line += t.Line - 1
			err = &moved
		}
		return mw.Verdict{}, fmt.Errorf("audit docker: %w", err)
	}
	if !isDaemon(t.Path, tree) {
		return mw.Verdict{}, nil
	}
	d.tree, d.edit = tree, t.Path
	d.judge()
	return b.Verdict(), nil
}

func isDaemon(name string, n *conftree.Node) bool {
	if strings.ToLower(path.Base(name)) == "daemon.json" {
		return true
	}
	for _, k := range []string{"hosts", "tlsverify", "userns-remap", "live-restore", "no-new-privileges", "icc", "log-driver", "storage-driver", "data-root", "exec-opts", "insecure-registries", "registry-mirrors"} {
		if n.Get(k) != nil {
			return true
		}
	}
	return false
}

// daemon judges one daemon: its file and its command line.
type daemon struct {
	b    *verdict.Builder
	tree *conftree.Node // nil: there is no daemon.json
	edit string
	line int
	cmd  *hostfs.Command // nil: not known
}

func (d *daemon) subject(n *conftree.Node) mw.Subject {
	if n == nil {
		if d.edit == "" {
			return mw.Subject{}
		}
		return mw.Subject{Type: mw.SubjectFile, ID: d.edit, Line: max(d.line, 1), Column: 1}
	}
	line := n.Line
	if d.line > 1 {
		line += d.line - 1
	}
	return mw.Subject{Type: mw.SubjectFile, ID: n.File, Line: line, Column: n.Column}
}

func (d *daemon) flag(names ...string) ([]string, bool) {
	if d.cmd == nil {
		return nil, false
	}
	return d.cmd.Flag(names...)
}

// on tells whether a boolean is set, by flag or in the file, and what says so; n is nil for a flag and for nothing.
func (d *daemon) on(key string, def bool) (on bool, n *conftree.Node, how string) {
	if _, ok := d.flag(key); ok {
		return d.cmd.On(key), nil, fmt.Sprintf("%s has --%s", d.cmd.File, key)
	}
	if n = d.tree.Get(key); n != nil {
		return n.True(), n, fmt.Sprintf("%s:%d: %s = %s", n.File, n.Line, key, n.Text)
	}
	return def, nil, key + " is not set"
}

// judgeHosts judges every address that the API is served on.
func (d *daemon) judgeHosts() {
	type host struct {
		addr, how, file string
		at              mw.Subject
	}
	var hosts []host
	var keep []string
	for _, n := range d.tree.All("hosts") {
		items := n.Items
		if n.Kind == conftree.String {
			items = []*conftree.Node{n}
		}
		for _, i := range items {
			hosts = append(hosts, host{i.Text, fmt.Sprintf("%s:%d: hosts has %s", i.File, i.Line, i.Text), i.File, d.subject(i)})
		}
	}
	vs, _ := d.flag("H", "host")
	for _, v := range vs {
		line := d.cmd.Line
		if d.line > 1 && line > 0 {
			line += d.line - 1
		}
		hosts = append(hosts, host{v, fmt.Sprintf("%s has -H %s", d.cmd.File, v), "", mw.Subject{Type: mw.SubjectFile, ID: d.cmd.File, Line: line}})
	}
	for _, h := range hosts {
		if !isTCP(h.addr) {
			keep = append(keep, h.addr)
		}
	}
	verify, vn, _ := d.on("tlsverify", false)
	tls, _, _ := d.on("tls", false)
	open, unverified := false, false
	for _, h := range hosts {
		switch {
		case !isTCP(h.addr) || verify:
		case tls:
			unverified = true
			c := verdict.Claim{Rule: ruleNoVerify, Subject: h.at, Proof: h.how + " with tls, and tlsverify is false", Repair: repairVerify(h.file, d.named)}
			if _, flag := d.flag("tlsverify"); vn == nil && !flag {
				// Measured with 20.10.24: "tls" alone in daemon.json verifies all the same; other versions and --tls do not.
				c.Confidence, c.Proof = verdict.Possible, h.how+" with tls, and tlsverify is not set: it depends on the version whether clients are verified"
			} else if vn != nil {
				c.Subject = d.subject(vn)
			}
			d.b.Fail(c)
		default:
			open = true
			d.b.Fail(verdict.Claim{Rule: ruleOpen, Subject: h.at, Proof: h.how + " without TLS", Repair: repairClose(h.file, keep...)})
		}
	}
	why := fmt.Sprintf("%d addresses, none on TCP without verified TLS", len(hosts))
	if !open {
		d.b.Pass(ruleOpen, why)
	}
	if !unverified {
		d.b.Pass(ruleNoVerify, why)
	}
}

// named tells whether the daemon is told where a certificate is; on the command line a flag does it, and a file must not say it
// again.
func (d *daemon) named(key string) bool {
	_, flag := d.flag(key)
	return flag || d.tree.Get(key).Str() != ""
}

// isTCP tells an address on the network: dockerd takes one without a scheme as TCP.
func isTCP(addr string) bool {
	scheme, _, ok := strings.Cut(addr, "://")
	return !ok || (scheme != "unix" && scheme != "fd" && scheme != "npipe")
}

func (d *daemon) judge() {
	d.judgeHosts()
	want := func(rule, key string, good, def bool, summary string) {
		on, n, how := d.on(key, def)
		if on == good {
			d.b.Pass(rule, how)
			return
		}
		d.b.Fail(verdict.Claim{Rule: rule, Subject: d.subject(n), Proof: how, Repair: repairSet(d.edit, key, good, summary)})
	}
	want(ruleNoNewPriv, "no-new-privileges", true, false, "setuid programs in new containers gain nothing")
	want(ruleICC, "icc", false, true, "containers on the default bridge no longer reach each other")
	want(ruleLive, "live-restore", true, false, "containers go on while the daemon restarts; not for swarm")
	remap := d.tree.Get("userns-remap")
	if _, ok := d.flag("userns-remap"); ok || remap.Str() != "" {
		d.b.Pass(ruleUserns, "userns-remap is set")
	} else {
		d.b.Fail(verdict.Claim{Rule: ruleUserns, Subject: d.subject(remap), Proof: "userns-remap is not set", Repair: repairSet(d.edit, "userns-remap", "default",
			"containers' root becomes an unprivileged account; volumes need new owners, and existing containers are hidden")})
	}
	profile := d.tree.Get("seccomp-profile")
	if vs, ok := d.flag("seccomp-profile"); profile.Str() == "unconfined" || (ok && vs[len(vs)-1] == "unconfined") {
		d.b.Fail(verdict.Claim{Rule: ruleSeccomp, Subject: d.subject(profile), Proof: "seccomp-profile = unconfined"})
	} else {
		d.b.Pass(ruleSeccomp, "the default profile, or one of your own")
	}
	reg := d.tree.Get("insecure-registries")
	more, _ := d.flag("insecure-registry")
	if all := append(reg.Strings(), more...); len(all) > 0 {
		d.b.Fail(verdict.Claim{Rule: ruleRegistry, Subject: d.subject(reg), Proof: "insecure registries " + strings.Join(all, ", ")})
	} else {
		d.b.Pass(ruleRegistry, "no insecure registries")
	}
}
