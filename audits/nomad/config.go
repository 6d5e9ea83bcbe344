package nomad

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"regexp"
	"strings"

	mw "github.com/minewarden/minewarden"
	"github.com/minewarden/minewarden/internal/conftree"
	"github.com/minewarden/minewarden/internal/hostfs"
	"github.com/minewarden/minewarden/internal/verdict"
)

// inFile is the confidence of what one file of a repository leaves at its dangerous default: another file may set it.
const inFile = 0.7

// Claims looks for the words that job files and agent configurations hold.
func (a *auditor) Claims(name string, head []byte) bool {
	l := strings.ToLower(name)
	switch {
	case strings.HasSuffix(l, ".nomad"), strings.HasSuffix(l, ".nomad.hcl"), strings.HasSuffix(l, ".nomad.json"):
		return true
	case strings.HasSuffix(l, ".tf"), strings.HasSuffix(l, ".pkr.hcl"):
		return false
	case strings.HasSuffix(l, ".hcl"):
		return strings.Contains(l, "nomad") || a.hint.Match(head)
	case strings.HasSuffix(l, ".json"):
		return strings.Contains(l, "nomad") || bytes.Contains(head, []byte(`"TaskGroups"`)) || bytes.Contains(head, []byte(`"raw_exec"`)) || (bytes.Contains(head, []byte(`"job"`)) && bytes.Contains(head, []byte(`"group"`)))
	}
	return false
}

func hintPattern() *regexp.Regexp {
	return regexp.MustCompile(`(?m)^\s*(?:job\s+"|plugin\s+"(?:raw_exec|docker|exec|java|qemu|podman)"|client\s*\{|server\s*\{|advertise\s*\{)`)
}

func parse(name string, data []byte) (*conftree.Node, error) {
	if strings.HasSuffix(strings.ToLower(name), ".json") || bytes.HasPrefix(bytes.TrimSpace(data), []byte("{")) {
		return conftree.ParseJSON(name, data)
	}
	return conftree.ParseHCL(name, data)
}

func (a *auditor) file(t mw.Target) (mw.Verdict, error) {
	head := t.Data[:min(len(t.Data), mw.ClaimHead)]
	if !a.Claims(t.Path, head) {
		return mw.Verdict{}, nil
	}
	tree, err := parse(t.Path, t.Data)
	if err != nil {
		return mw.Verdict{}, fmt.Errorf("audit nomad: %w", shift(err, t.Line))
	}
	b := verdict.New("nomad", t, a.now, rules())
	switch {
	case isJob(tree):
		for _, j := range jobsOf(tree) {
			a.judgeJob(b, j, b.Subject())
		}
		b.Rest(mw.StatusPass, "read the job", jobRules()...)
	case isAgent(t.Path, tree):
		c := &agent{a: a, b: b, trees: []*conftree.Node{tree}, edit: t.Path, line: t.Line, missing: inFile}
		c.judge()
	default:
		return mw.Verdict{}, nil
	}
	return b.Verdict(), nil
}

// shift moves an error's line by where a fragment begins in its file.
func shift(err error, line int) error {
	var e *conftree.Error
	if line > 1 && errors.As(err, &e) {
		moved := *e
		moved.Line += line - 1
		return &moved
	}
	return err
}

// named tells whether tls says where a certificate is.
func (c *agent) named(key string) bool { return c.last("tls", key).Str() != "" }

func isJob(n *conftree.Node) bool {
	return len(n.All("job")) > 0 || len(n.All("Job", "TaskGroups")) > 0 || len(n.All("TaskGroups")) > 0
}

func isAgent(name string, n *conftree.Node) bool {
	if j := n.Get("server"); j != nil && j.Kind == conftree.Bool {
		return false // Consul's server is a boolean
	}
	for _, k := range []string{"client_addr", "enable_script_checks", "ui_config", "connect", "node_name", "service", "services", "check", "checks"} {
		if n.Get(k) != nil {
			return false
		}
	}
	for _, k := range []string{"client", "server", "plugin", "advertise"} {
		if v := n.Get(k); v != nil && v.Kind == conftree.Object {
			return true
		}
	}
	if strings.Contains(strings.ToLower(name), "nomad") {
		for _, k := range []string{"acl", "tls", "bind_addr", "data_dir", "addresses", "ports", "enable_debug"} {
			if n.Get(k) != nil {
				return true
			}
		}
	}
	return false
}

// agent judges one agent's configuration.
type agent struct {
	a       *auditor
	b       *verdict.Builder
	trees   []*conftree.Node
	flags   []hostfs.Command // of the same agent; at most one
	edit    string           // the file that repairs go to
	line    int              // where a fragment begins
	missing float64          // confidence of a default that nothing sets; 0: proven
}

func (c *agent) last(path ...string) *conftree.Node { return conftree.Last(c.trees, path...) }

func (c *agent) subject(n *conftree.Node) mw.Subject {
	if n == nil {
		if c.edit == "" {
			return mw.Subject{}
		}
		return mw.Subject{Type: mw.SubjectFile, ID: c.edit, Line: max(c.line, 1), Column: 1}
	}
	line := n.Line
	if c.line > 1 {
		line += c.line - 1
	}
	return mw.Subject{Type: mw.SubjectFile, ID: n.File, Line: line, Column: n.Column}
}

func (c *agent) file(n *conftree.Node) string {
	if n != nil {
		return n.File
	}
	return c.edit
}

// want judges one setting: good when it is as wanted, or absent with a good default.
func (c *agent) want(rule string, want, def bool, repair func(file string) *mw.Repair, path ...string) bool {
	n := c.last(path...)
	name := strings.Join(path, ".")
	v, known := n.Bool()
	switch {
	case n == nil && def == want:
		c.b.Pass(rule, name+" is not set, and its default is safe")
		return true
	case n == nil:
		c.b.Fail(verdict.Claim{Rule: rule, Subject: c.subject(nil), Confidence: c.missing, Proof: name + " is not set, and its default is not safe", Repair: repair(c.file(nil))})
		return false
	case !known:
		c.b.Unknown(rule, fmt.Sprintf("%s:%d: %s is an expression", n.File, n.Line, name))
		return true
	case v == want:
		c.b.Pass(rule, fmt.Sprintf("%s:%d: %s = %v", n.File, n.Line, name, v))
		return true
	}
	c.b.Fail(verdict.Claim{Rule: rule, Subject: c.subject(n), Proof: fmt.Sprintf("%s:%d: %s = %v", n.File, n.Line, name, v), Repair: repair(c.file(n))})
	return false
}

func (c *agent) judge() {
	dev, bind := false, ""
	for _, f := range c.flags {
		if f.On("dev") || f.On("dev-connect") || f.On("dev-consul") || f.On("dev-vault") {
			dev = true
			c.b.Fail(verdict.Claim{Rule: ruleDev, Subject: mw.Subject{Type: mw.SubjectFile, ID: f.File, Line: f.Line}, Proof: f.File + " starts nomad with -dev"})
		}
		if v, ok := f.Flag("bind"); ok {
			bind = v[len(v)-1]
		}
	}
	if !dev {
		c.b.Pass(ruleDev, "nothing sets -dev")
	}
	acl := c.want(ruleACL, true, false, repairACL, "acl", "enabled")
	c.want(ruleTLSHTTP, true, false, func(f string) *mw.Repair { return repairTLS(f, "http", c.named) }, "tls", "http")
	if c.want(ruleTLSRPC, true, false, func(f string) *mw.Repair { return repairTLS(f, "rpc", c.named) }, "tls", "rpc") {
		c.want(ruleTLSName, true, false, func(f string) *mw.Repair { return repairTLS(f, "verify_server_hostname", c.named) }, "tls", "verify_server_hostname")
	} else {
		c.b.NotApplicable(ruleTLSName, "RPC does not use TLS at all")
	}
	if c.last("tls", "http").True() {
		c.want(ruleMTLS, true, true, func(f string) *mw.Repair { return repairTLS(f, "verify_https_client", c.named) }, "tls", "verify_https_client")
	} else {
		c.b.NotApplicable(ruleMTLS, "there is no TLS")
	}
	c.want(ruleDebug, false, false, func(f string) *mw.Repair {
		return &mw.Repair{Summary: "turn the debugging endpoints off", Format: mw.FormatHCL, Config: "enable_debug = false\n", Edits: edit(f, false, "enable_debug")}
	}, "enable_debug")
	c.gossip()
	c.drivers(dev)
	c.listen(acl, bind)
}

func (c *agent) gossip() {
	if !c.last("server", "enabled").True() {
		c.b.NotApplicable(ruleGossip, "it is no server")
		return
	}
	if n := c.last("server", "encrypt"); n != nil && n.Text != "" {
		c.b.Pass(ruleGossip, fmt.Sprintf("%s:%d: server.encrypt is set", n.File, n.Line))
		return
	}
	c.b.Fail(verdict.Claim{Rule: ruleGossip, Subject: c.subject(c.last("server", "enabled")), Confidence: c.missing, Proof: "server.encrypt is not set", Repair: repairGossip("")})
}

func (c *agent) drivers(dev bool) {
	if opt := c.last("client", "options", "driver.raw_exec.enable"); opt.True() {
		c.b.Fail(verdict.Claim{Rule: ruleRawExec, Subject: c.subject(opt), Proof: fmt.Sprintf(`%s:%d: client.options "driver.raw_exec.enable" = %s`, opt.File, opt.Line, opt.Text), Repair: &mw.Repair{
			Summary: "disable raw_exec; jobs that use it must move to exec or docker", Format: mw.FormatHCL, Config: "\"driver.raw_exec.enable\" = \"0\"\n",
			Edits: edit(opt.File, "0", "client", "options", "driver.raw_exec.enable"),
		}})
	} else {
		c.want(ruleRawExec, false, dev, repairRawExec, "plugin", "raw_exec", "config", "enabled")
	}
	c.want(ruleDockerPriv, false, false, func(f string) *mw.Repair { return repairDocker(f, "allow_privileged") }, "plugin", "docker", "config", "allow_privileged")
	c.want(ruleDockerVol, false, false, func(f string) *mw.Repair { return repairDocker(f, "volumes") }, "plugin", "docker", "config", "volumes", "enabled")
}

func (c *agent) listen(acl bool, bind string) {
	n := c.last("addresses", "http")
	if n == nil {
		n = c.last("bind_addr")
	}
	addr := bind
	if addr == "" {
		addr = n.Str()
	}
	all := false
	for _, f := range strings.Fields(addr) {
		all = all || isAll(f)
	}
	all = all || addr == ""
	switch {
	case !all:
		c.b.Pass(ruleListen, "the API listens on "+addr)
	case acl:
		c.b.Pass(ruleListen, "the API listens on all addresses, with access control on")
	default:
		conf := 0.0
		if addr == "" {
			conf = c.missing
		}
		c.b.Fail(verdict.Claim{Rule: ruleListen, Subject: c.subject(n), Confidence: conf, Proof: fmt.Sprintf("the API listens on all addresses (%q; the default is 0.0.0.0) and access control is off", addr), Repair: repairListen(c.file(nil))})
	}
}

// host finds every agent on a host by its command line or its usual folder, and judges each.
func (a *auditor) host(_ context.Context, t mw.Target) (mw.Verdict, error) {
	if t.Root == nil {
		return mw.Verdict{}, errors.New("audit nomad: the host target has no files")
	}
	b := verdict.New("nomad", t, a.now, rules())
	cmds, err := hostfs.Commands(t.Root, "nomad")
	var agents []hostfs.Command
	for _, c := range cmds {
		if len(c.Argv) > 1 && strings.Contains(strings.Join(c.Argv, " "), " agent") {
			agents = append(agents, c)
		}
	}
	if len(agents) == 0 {
		if _, serr := fs.Stat(t.Root, "etc/nomad.d"); serr != nil {
			return mw.Verdict{}, err
		}
		agents = []hostfs.Command{{Argv: []string{"nomad", "agent", "-config=/etc/nomad.d"}, File: "etc/nomad.d"}}
	}
	if err != nil {
		b.Unknown(ruleDev, err.Error())
	}
	done := map[string]bool{}
	for _, cmd := range agents {
		names, _ := cmd.Flag("config")
		if key := strings.Join(cmd.Argv, "\x00"); done[key] {
			continue
		} else {
			done[key] = true
		}
		c := &agent{a: a, b: b, flags: []hostfs.Command{cmd}}
		bad := false
		for _, name := range names {
			files, ferr := hostfs.Configs(t.Root, cmd.Root, name, ".hcl", ".json")
			if ferr != nil {
				b.Unknown(ruleACL, ferr.Error())
				bad = true
			}
			for _, f := range files {
				tree, perr := parse(f.Path, f.Data)
				if perr != nil {
					b.Unknown(ruleACL, perr.Error())
					bad = true
					continue
				}
				c.trees = append(c.trees, tree)
				c.edit = f.Path
			}
		}
		if bad {
			c.missing = inFile
		}
		c.judge()
	}
	b.Rest(mw.StatusUnknown, "the configuration does not tell: ask the service with nomad=URL")
	return b.Verdict(), nil
}
