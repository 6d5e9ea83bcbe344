package consul

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"path"
	"strings"

	mw "github.com/minewarden/minewarden"
	"github.com/minewarden/minewarden/internal/conftree"
	"github.com/minewarden/minewarden/internal/hostfs"
	"github.com/minewarden/minewarden/internal/intruder"
	"github.com/minewarden/minewarden/internal/verdict"
)

// inFile is the confidence of what one file of a repository leaves at its dangerous default: another file may set it.
const inFile = 0.7

// ownKeys are top-level keys that Consul has and Nomad has not.
func ownKeys() []string {
	return []string{
		"client_addr", "enable_script_checks", "enable_local_script_checks", "disable_remote_exec", "ui_config", "connect", "node_name", "retry_join", "bootstrap_expect",
		"http_config", "primary_datacenter", "service", "services", "check", "checks", "verify_incoming", "verify_outgoing", "encrypt", "acl_default_policy", "start_join", "dns_config", "performance", "leave_on_terminate",
	}
}

// Claims looks for the words that agent configurations hold.
func (a *auditor) Claims(name string, head []byte) bool {
	l := strings.ToLower(name)
	if !strings.HasSuffix(l, ".hcl") && !strings.HasSuffix(l, ".json") {
		return false
	}
	if strings.Contains(l, "consul") {
		return true
	}
	for _, k := range []string{"enable_script_checks", "enable_local_script_checks", "client_addr", "bootstrap_expect", "disable_remote_exec", "ui_config", "default_policy"} {
		if bytes.Contains(head, []byte(k)) {
			return true
		}
	}
	return false
}

func parse(name string, data []byte) (*conftree.Node, error) {
	if strings.HasSuffix(strings.ToLower(name), ".json") || bytes.HasPrefix(bytes.TrimSpace(data), []byte("{")) {
		return conftree.ParseJSON(name, data)
	}
	return conftree.ParseHCL(name, data)
}

func (a *auditor) file(t mw.Target) (mw.Verdict, error) {
	if !a.Claims(t.Path, t.Data[:min(len(t.Data), mw.ClaimHead)]) {
		return mw.Verdict{}, nil
	}
	tree, err := parse(t.Path, t.Data)
	if err != nil {
		var e *conftree.Error
		if t.Line > 1 && errors.As(err, &e) {
			moved := *e
			moved.Line += t.Line - 1
			err = &moved
		}
		return mw.Verdict{}, fmt.Errorf("audit consul: %w", err)
	}
	own, agent := 0, false
	for _, k := range ownKeys() {
		if tree.Get(k) != nil {
			own++
			agent = agent || (k != "service" && k != "services" && k != "check" && k != "checks")
		}
	}
	if tree.Get("acl", "default_policy") != nil {
		own, agent = own+1, true
	}
	if own == 0 {
		return mw.Verdict{}, nil
	}
	b := verdict.New("consul", t, a.now, rules())
	c := &agentConf{a: a, b: b, trees: []*conftree.Node{tree}, edit: t.Path, line: t.Line, missing: inFile}
	if agent {
		c.judge()
	}
	c.checks()
	return b.Verdict(), nil
}

// agentConf judges one agent's configuration.
type agentConf struct {
	a       *auditor
	b       *verdict.Builder
	trees   []*conftree.Node
	cmd     hostfs.Command
	edit    string
	line    int
	missing float64 // confidence of a default that nothing sets; 0: proven
}

func (c *agentConf) last(path ...string) *conftree.Node { return conftree.Last(c.trees, path...) }

func (c *agentConf) subject(n *conftree.Node) mw.Subject {
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

// setting is one value in force, with what says so.
type setting struct {
	value  string
	set    bool
	how    string
	at     mw.Subject
	file   string
	unsure bool
}

// get returns the value in force: a flag beats the files, as in Consul.
func (c *agentConf) get(flag string, path ...string) setting {
	name := strings.Join(path, ".")
	if flag != "" {
		if vs, ok := c.cmd.Flag(flag); ok {
			v := vs[len(vs)-1]
			if v == "" {
				v = "true"
			}
			return setting{value: v, set: true, how: fmt.Sprintf("%s has -%s=%s", c.cmd.File, flag, v), at: mw.Subject{Type: mw.SubjectFile, ID: c.cmd.File, Line: c.cmd.Line}}
		}
	}
	n := c.last(path...)
	if n == nil {
		return setting{how: name + " is not set", at: c.subject(nil), file: c.edit}
	}
	return setting{value: strings.Join(n.Strings(), " "), set: true, how: fmt.Sprintf("%s:%d: %s = %s", n.File, n.Line, name, strings.Join(n.Strings(), " ")), at: c.subject(n), file: n.File, unsure: n.Kind == conftree.Unknown}
}

// want judges a boolean setting.
func (c *agentConf) want(rule string, want, def bool, s setting, repair func(file string) *mw.Repair) bool {
	on := strings.EqualFold(s.value, "true") || s.value == "1"
	if !s.set {
		on = def
	}
	switch {
	case s.unsure:
		c.b.Unknown(rule, s.how+" is an expression")
	case on == want:
		c.b.Pass(rule, s.how)
	case s.set:
		c.b.Fail(verdict.Claim{Rule: rule, Subject: s.at, Proof: s.how, Repair: repair(s.file)})
	default:
		c.b.Fail(verdict.Claim{Rule: rule, Subject: s.at, Confidence: c.missing, Proof: s.how + ", and its default is not safe", Repair: repair(s.file)})
	}
	return on
}

// first returns the first of several spellings that is set, for Consul's settings moved over the years.
func (c *agentConf) first(flag string, paths ...[]string) setting {
	for _, p := range paths {
		if s := c.get(flag, p...); s.set {
			return s
		}
	}
	return c.get("", paths[0]...)
}

func p(path ...string) []string { return path }

// named tells whether the configuration says where a certificate is, for the agent as a whole.
func (c *agentConf) named(key string) bool {
	return c.first("", p("tls", "defaults", key), p(key)).value != ""
}

func (c *agentConf) judge() {
	dev := c.cmd.On("dev")
	if dev {
		c.b.Fail(verdict.Claim{Rule: ruleDev, Subject: mw.Subject{Type: mw.SubjectFile, ID: c.cmd.File, Line: c.cmd.Line}, Proof: c.cmd.File + " starts consul with -dev"})
	} else {
		c.b.Pass(ruleDev, "nothing sets -dev")
	}
	nothing := func(string) *mw.Repair { return nil }
	remote := c.want(ruleRemote, false, false, c.first("enable-script-checks", p("enable_script_checks")), repairScripts)
	c.want(ruleLocal, false, false, c.first("enable-local-script-checks", p("enable_local_script_checks")), nothing)
	c.want(ruleRexec, true, true, c.first("disable-remote-exec", p("disable_remote_exec")), repairRexec)
	acl := c.want(ruleACL, true, false, c.first("", p("acl", "enabled"), p("acl_enabled")), repairACL)
	policy := c.first("default-policy", p("acl", "default_policy"), p("acl_default_policy"))
	allow := !policy.set || policy.value == "allow"
	switch {
	case !acl:
		c.b.NotApplicable(ruleDefault, "there is no access control that could have a default")
	case policy.value == "deny":
		c.b.Pass(ruleDefault, policy.how)
	case policy.set:
		c.b.Fail(verdict.Claim{Rule: ruleDefault, Subject: policy.at, Proof: policy.how, Repair: repairDefault(policy.file)})
	default:
		c.b.Fail(verdict.Claim{Rule: ruleDefault, Subject: policy.at, Confidence: c.missing, Proof: "acl.default_policy is not set, and its default is allow", Repair: repairDefault(policy.file)})
	}
	if down := c.first("", p("acl", "down_policy"), p("acl_down_policy")); down.value == "allow" {
		c.b.Fail(verdict.Claim{Rule: ruleDown, Subject: down.at, Proof: down.how, Repair: repairDown(down.file)})
	} else {
		c.b.Pass(ruleDown, down.how)
	}
	if remote && (!acl || allow) {
		s := c.first("enable-script-checks", p("enable_script_checks"))
		c.b.Fail(verdict.Claim{Rule: ruleExec, Subject: s.at, Confidence: min(0.9, nonzero(c.missing)), Proof: s.how + ", and no access control forbids registering: whoever reaches the API runs commands", Repair: repairScripts(s.file)})
	} else {
		c.b.Pass(ruleExec, "script checks over the API are off, or access control denies by default")
	}
	c.network(acl && !allow)
}

func nonzero(f float64) float64 {
	if f == 0 {
		return 1
	}
	return f
}

func (c *agentConf) network(closed bool) {
	http := c.first("http-port", p("ports", "http"))
	https := c.first("https-port", p("ports", "https"))
	switch {
	case http.value == "-1":
		c.b.Pass(ruleTLSHTTP, http.how)
	default:
		proof := http.how + ": the plain port is on"
		if https.set && https.value != "-1" {
			proof += " beside " + https.how
		}
		conf := 0.0
		if !http.set {
			conf = c.missing
		}
		c.b.Fail(verdict.Claim{Rule: ruleTLSHTTP, Subject: http.at, Confidence: conf, Proof: proof, Repair: repairTLS(http.file, "http", c.named)})
	}
	in := c.first("", p("tls", "internal_rpc", "verify_incoming"), p("tls", "defaults", "verify_incoming"), p("verify_incoming"), p("verify_incoming_rpc"))
	out := c.first("", p("tls", "internal_rpc", "verify_outgoing"), p("tls", "defaults", "verify_outgoing"), p("verify_outgoing"))
	worse := in
	if in.value == "true" {
		worse = out
	}
	both := in.value == "true" && out.value == "true"
	c.want(ruleTLSRPC, true, false, worse, func(f string) *mw.Repair { return repairTLS(f, "rpc", c.named) })
	if both {
		c.want(ruleTLSName, true, false, c.first("", p("tls", "internal_rpc", "verify_server_hostname"), p("tls", "defaults", "verify_server_hostname"), p("verify_server_hostname")), func(f string) *mw.Repair { return repairTLS(f, "name", c.named) })
	} else {
		c.b.NotApplicable(ruleTLSName, "RPC is not verified at all")
	}
	if enc := c.first("encrypt", p("encrypt")); enc.value != "" {
		c.b.Pass(ruleGossip, "encrypt is set")
	} else {
		c.b.Fail(verdict.Claim{Rule: ruleGossip, Subject: enc.at, Confidence: c.missing, Proof: "encrypt is not set", Repair: repairGossip()})
	}
	if from := c.first("", p("http_config", "allow_write_http_from")); from.set && from.value != "" {
		c.b.Pass(ruleFrom, from.how)
	} else {
		c.b.Fail(verdict.Claim{Rule: ruleFrom, Subject: from.at, Confidence: c.missing, Proof: from.how, Repair: repairFrom(from.file)})
	}
	addr := c.first("", p("addresses", "http"))
	if !addr.set {
		addr = c.first("client", p("client_addr"))
	}
	all := false
	for _, f := range strings.Fields(addr.value) {
		all = all || isAll(f)
	}
	switch {
	case !all || http.value == "-1" && https.value == "":
		c.b.Pass(ruleListen, addr.how)
	case closed:
		c.b.Pass(ruleListen, addr.how+", with access control that denies by default")
	default:
		c.b.Fail(verdict.Claim{Rule: ruleListen, Subject: addr.at, Proof: addr.how + ", and no access control denies by default", Repair: repairListen(addr.file)})
	}
}

// checks judges the check definitions of the configuration.
func (c *agentConf) checks() {
	n := 0
	for _, t := range c.trees {
		for _, path := range [][]string{{"check"}, {"checks"}, {"service", "check"}, {"service", "checks"}, {"services", "check"}, {"services", "checks"}} {
			for _, ch := range flatten(t.All(path...)) {
				n++
				words := append(ch.Get("args").Strings(), ch.Get("script_args").Strings()...)
				words = append(words, ch.Get("script").Strings()...)
				name := ch.Get("name").Str() + " " + ch.Get("id").Str()
				c.a.judgeCheck(c.b, strings.TrimSpace(name), "configuration", words, c.subject(ch))
			}
		}
	}
	c.b.Rest(mw.StatusPass, fmt.Sprintf("read %d checks", n), checkRules()...)
}

// flatten takes lists apart.
func flatten(ns []*conftree.Node) []*conftree.Node {
	var out []*conftree.Node
	for _, n := range ns {
		if n.Kind == conftree.List {
			out = append(out, flatten(n.Items)...)
		} else {
			out = append(out, n)
		}
	}
	return out
}

func (a *auditor) judgeCheck(b *verdict.Builder, name, source string, words []string, at mw.Subject) {
	sign := a.judge.Command(words...)
	if s := a.judge.Name(name); s.Kind > sign.Kind {
		sign = s
	}
	ev := []mw.Evidence{{Key: "command", Value: strings.Join(words, " ")}, {Key: "source", Value: source}}
	switch {
	case sign.Kind == intruder.Miner:
		b.Fail(verdict.Claim{Rule: ruleMiner, Subject: at, Proof: fmt.Sprintf("check %s shows %q", name, sign.Text), Evidence: ev})
	case sign.Kind == intruder.Download:
		b.Fail(verdict.Claim{Rule: ruleFetch, Subject: at, Proof: fmt.Sprintf("check %s shows %q", name, sign.Text), Evidence: ev})
	case len(words) > 0:
		b.Fail(verdict.Claim{Rule: ruleScript, Subject: at, Proof: fmt.Sprintf("check %s, from %s, runs a command", name, source), Evidence: ev})
	}
}

// host finds every agent on a host by its command line or its usual folder, judges each, and reads the checks it keeps.
func (a *auditor) host(_ context.Context, t mw.Target) (mw.Verdict, error) {
	if t.Root == nil {
		return mw.Verdict{}, errors.New("audit consul: the host target has no files")
	}
	b := verdict.New("consul", t, a.now, rules())
	cmds, err := hostfs.Commands(t.Root, "consul")
	var agents []hostfs.Command
	for _, c := range cmds {
		if strings.Contains(strings.Join(c.Argv, " ")+" ", " agent ") {
			agents = append(agents, c)
		}
	}
	if len(agents) == 0 {
		if _, serr := fs.Stat(t.Root, "etc/consul.d"); serr != nil {
			return mw.Verdict{}, err
		}
		agents = []hostfs.Command{{Argv: []string{"consul", "agent", "-config-dir=/etc/consul.d"}, File: "etc/consul.d"}}
	}
	if err != nil {
		b.Unknown(ruleDev, err.Error())
	}
	done := map[string]bool{}
	for _, cmd := range agents {
		key := strings.Join(cmd.Argv, "\x00")
		if done[key] {
			continue
		}
		done[key] = true
		c := &agentConf{a: a, b: b, cmd: cmd}
		dirs, _ := cmd.Flag("config-dir")
		files, _ := cmd.Flag("config-file")
		for _, name := range append(files, dirs...) {
			read, ferr := hostfs.Configs(t.Root, cmd.Root, name, ".hcl", ".json")
			if ferr != nil {
				b.Unknown(ruleACL, ferr.Error())
				c.missing = inFile
			}
			for _, f := range read {
				tree, perr := parse(f.Path, f.Data)
				if perr != nil {
					b.Unknown(ruleACL, perr.Error())
					c.missing = inFile
					continue
				}
				c.trees = append(c.trees, tree)
				c.edit = f.Path
			}
		}
		c.judge()
		if dir := c.first("data-dir", p("data_dir")); dir.value != "" {
			a.stored(b, t.Root, cmd.Root, dir.value)
		}
		c.checks()
	}
	b.Rest(mw.StatusUnknown, "the configuration does not tell: ask the service with consul=URL")
	return b.Verdict(), nil
}

// stored reads the checks that were registered over the API. They survive a restart, and a deregistered one leaves none.
func (a *auditor) stored(b *verdict.Builder, root fs.FS, below, dataDir string) {
	dir := path.Join(strings.TrimPrefix(path.Clean("/"+dataDir), "/"), "checks")
	if below != "" {
		if _, err := fs.Stat(root, path.Join(below, dir)); err == nil {
			dir = path.Join(below, dir)
		}
	}
	es, err := fs.ReadDir(root, dir)
	if errors.Is(err, fs.ErrNotExist) {
		return
	}
	if err != nil {
		b.Unknown(ruleMiner, "read "+dir+": "+err.Error())
		return
	}
	for i, e := range es {
		if e.IsDir() || i >= maxChecks {
			continue
		}
		file := path.Join(dir, e.Name())
		data, err := hostfs.ReadFile(root, file, 1<<20)
		if err != nil {
			b.Unknown(ruleMiner, err.Error())
			continue
		}
		tree, err := conftree.ParseJSON(file, data)
		if err != nil {
			b.Unknown(ruleMiner, err.Error())
			continue
		}
		chk := tree.Get("ChkType")
		words := append(chk.Get("ScriptArgs").Strings(), chk.Get("Script").Strings()...)
		if sh := chk.Get("Shell").Str(); sh != "" && len(words) > 0 {
			words = append([]string{sh, "-c"}, words...)
		}
		id := tree.Get("Check", "CheckID").Str()
		if id == "" {
			id = chk.Get("CheckID").Str()
		}
		source := tree.Get("Source").Str()
		if source == "" {
			source = "the API"
		}
		a.judgeCheck(b, id, source, words, mw.Subject{Type: mw.SubjectFile, ID: file, Line: 1, Column: 1})
	}
}
