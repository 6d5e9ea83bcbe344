package consul

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"sort"
	"strings"

	mw "github.com/minewarden/minewarden"
	"github.com/minewarden/minewarden/internal/intruder"
	"github.com/minewarden/minewarden/internal/probe"
	"github.com/minewarden/minewarden/internal/verdict"
)

// Bounds of what is asked of one agent. The server refuses more than 64 rows in one authorize call.
const (
	maxRows   = 64
	maxChecks = 5000
)

// bogusToken is no token: a server that was never bootstrapped says so when it is shown one.
const bogusToken = "00000000-0000-0000-0000-00000000dead"

type session struct {
	a *auditor
	c *probe.Client
	b *verdict.Builder
	t mw.Target

	aclOff, aclOn, writable bool
	certOnly                bool // strangers cannot even ask
	self                    *agentSelf
	version, node           string
}

// agentSelf is what GET /v1/agent/self tells, as far as it matters here.
type agentSelf struct {
	Config      struct{ NodeName, Version string }
	DebugConfig struct {
		ACLsEnabled              bool
		ACLResolverSettings      struct{ ACLDefaultPolicy, ACLDownPolicy string }
		EnableRemoteScriptChecks *bool
		EnableLocalScriptChecks  bool
		DisableRemoteExec        *bool
		AllowWriteHTTPFrom       []string
		ClientAddrs              []string
		DevMode                  bool
		TLS                      struct {
			InternalRPC struct{ VerifyIncoming, VerifyOutgoing, VerifyServerHostname bool }
		}
	}
	Stats map[string]map[string]string
}

func (a *auditor) service(ctx context.Context, t mw.Target) (mw.Verdict, error) {
	c, err := probe.New(t.URL, t.Access, probe.Options{Token: setToken})
	if err != nil {
		return mw.Verdict{}, fmt.Errorf("audit consul: %w", err)
	}
	defer c.Close()
	s := &session{a: a, c: c, t: t, b: verdict.New("consul", t, a.now, rules())}
	first, err := c.Settle(ctx, "/v1/acl/policies")
	switch {
	case errors.Is(err, probe.ErrClientCert):
		s.certOnly = true
		s.b.Pass(ruleMTLS, "the TLS handshake fails without a client certificate")
		s.b.Pass(ruleTLSHTTP, "the API speaks TLS")
		s.b.Rest(mw.StatusNotApplicable, "nobody without a client certificate that the server trusts can ask", ruleWrite, ruleExec, ruleRead)
	case err != nil:
		return mw.Verdict{}, fmt.Errorf("audit consul at %s: %w", t.URL, err)
	case !looksLikeConsul(first) && !(c.HasOwner() && first.Status >= 400):
		where := ""
		if first.Redirect != "" {
			where = ", which sends to " + first.Redirect
		}
		return mw.Verdict{}, fmt.Errorf("audit consul at %s: no Consul API answers there (%s%s: %q); a proxy or sub-path in front? give the URL with its path", t.URL, first, where, first.Text())
	default:
		s.acl(first)
		s.stranger(ctx)
		verdict.Transport(s.b, c, ruleTLSHTTP, ruleMTLS, ruleCert, repairTLS("", "http", nil))
	}
	s.owner(ctx)
	s.judge()
	s.checks(ctx)
	s.b.Rest(mw.StatusUnknown, "the API shows this only to a token with agent:read: give one with --token-file, or audit the configuration",
		ruleRemote, ruleLocal, ruleRexec, ruleTLSRPC, ruleTLSName, ruleGossip, ruleListen, ruleFrom, ruleDown, ruleDev, ruleExec, ruleTakeover, ruleCVE)
	s.b.Rest(mw.StatusUnknown, "not asked")
	return s.b.Verdict(), nil
}

func looksLikeConsul(r *probe.Response) bool {
	for h := range r.Header {
		if strings.HasPrefix(h, "X-Consul-") {
			return true
		}
	}
	text := string(r.Body)
	return (r.Status == http.StatusUnauthorized && strings.TrimSpace(text) == "ACL support disabled") ||
		(r.Status == http.StatusForbidden && (strings.HasPrefix(text, "Permission denied") || strings.Contains(text, "ACL not found")))
}

func (s *session) acl(r *probe.Response) {
	switch {
	case r.Status == http.StatusUnauthorized && r.Has("ACL support disabled"):
		s.aclOff = true
		s.b.Fail(verdict.Claim{Rule: ruleACL, Proof: r.String() + ` with "ACL support disabled"`, Repair: repairACL("")})
		s.b.NotApplicable(ruleDefault, "there is no access control that could have a default")
		s.b.NotApplicable(ruleBoot, "there is no access control to bootstrap")
	case r.Status == http.StatusForbidden:
		s.aclOn = true
		s.b.Pass(ruleACL, r.String()+" to a stranger: access control is on")
	case r.Status == http.StatusOK && r.Header.Get("X-Consul-Default-Acl-Policy") != "":
		// On, and a stranger may read policies: the authorize call below tells the rest.
		s.aclOn = true
		s.b.Pass(ruleACL, r.String()+" with a list of policies: access control is on")
	default:
		s.b.Unknown(ruleACL, r.String()+": neither proves that ACLs are on or off")
	}
	if s.aclOn {
		switch p := r.Header.Get("X-Consul-Default-Acl-Policy"); p {
		case "allow":
			s.b.Fail(verdict.Claim{Rule: ruleDefault, Proof: r.String() + " with header X-Consul-Default-Acl-Policy: allow", Repair: repairDefault("")})
		case "deny":
			s.b.Pass(ruleDefault, r.String()+" with header X-Consul-Default-Acl-Policy: deny")
		}
	}
}

// stranger asks what an attacker would ask first, in ways that leave nothing behind. No register call is among them: bad
// ones fail before the ACL check, and one with an unknown kind creates a service.
func (s *session) stranger(ctx context.Context) {
	var shown []string
	self, err := s.c.Get(ctx, "/v1/agent/self")
	if err == nil && self.Status == http.StatusOK {
		var a agentSelf
		if self.JSON(&a) == nil && a.Config.NodeName != "" {
			s.self, s.node, s.version = &a, a.Config.NodeName, a.Config.Version
			shown = append(shown, "/v1/agent/self")
		}
	}
	if r, err := s.c.Get(ctx, "/v1/agent/version"); err == nil && r.Status == http.StatusOK && s.version == "" {
		var v struct{ HumanVersion string }
		if r.JSON(&v) == nil {
			s.version = v.HumanVersion
		}
	}
	services := map[string]json.RawMessage{}
	for _, p := range []string{"/v1/catalog/nodes", "/v1/catalog/services"} {
		r, rerr := s.c.Get(ctx, p)
		if rerr != nil {
			err = rerr
			continue
		}
		if r.Status != http.StatusOK || len(strings.TrimSpace(string(r.Body))) <= 2 {
			continue
		}
		var nodes []struct{ Node string }
		if p == "/v1/catalog/nodes" && r.JSON(&nodes) == nil && len(nodes) > 0 {
			shown = append(shown, p)
			if s.node == "" {
				s.node = nodes[0].Node
			}
		} else if p == "/v1/catalog/services" && r.JSON(&services) == nil && len(services) > 0 {
			shown = append(shown, p)
		}
	}
	switch {
	case len(shown) > 0:
		s.b.Fail(verdict.Claim{Rule: ruleRead, Proof: "without a token, 200 with content from " + strings.Join(shown, ", ")})
	case err != nil:
		s.b.Unknown(ruleRead, err.Error())
	default:
		s.b.Pass(ruleRead, "agent and catalog are refused or empty without a token")
	}
	s.authorize(ctx, services)
	if s.aclOn {
		s.bootstrapped(ctx)
	}
}

type row struct {
	Resource string
	Segment  string `json:",omitempty"`
	Access   string
	Allow    bool `json:",omitempty"`
}

// authorize asks the server what a stranger may do. It answers for any name, so a name nobody uses shows rules for all.
func (s *session) authorize(ctx context.Context, services map[string]json.RawMessage) {
	if s.aclOff {
		s.writable = true
		s.b.Fail(verdict.Claim{Rule: ruleWrite, Proof: "access control is off, so everybody may register", Repair: repairACL("")})
		return
	}
	node := s.node
	if node == "" {
		node = "minewarden-audit"
	}
	rows := []row{
		{"node", node, "write", false},
		{"service", "minewarden-audit", "write", false},
		{"agent", node, "write", false},
		{"key", "minewarden-audit", "write", false},
		{"event", "minewarden-audit", "write", false},
		{"operator", "", "write", false},
		{"acl", "", "write", false},
	}
	names := make([]string, 0, len(services))
	for n := range services {
		names = append(names, n)
	}
	sort.Strings(names)
	for _, n := range names {
		if len(rows) < maxRows {
			rows = append(rows, row{"service", n, "write", false})
		}
	}
	body, err := json.Marshal(rows)
	if err != nil {
		s.b.Unknown(ruleWrite, err.Error())
		return
	}
	r, err := s.c.Do(ctx, probe.Request{Method: http.MethodPost, Path: "/v1/internal/acl/authorize", Body: body})
	if err != nil {
		s.b.Unknown(ruleWrite, err.Error())
		return
	}
	var got []row
	switch {
	case r.Status == http.StatusUnauthorized && r.Has("ACL support disabled"):
		s.writable = true
		s.b.Fail(verdict.Claim{Rule: ruleWrite, Proof: r.String() + ` with "ACL support disabled"`, Repair: repairACL("")})
		return
	case r.Status != http.StatusOK:
		s.b.Unknown(ruleWrite, r.String()+": "+r.Text())
		return
	}
	if err := r.JSON(&got); err != nil || len(got) == 0 {
		s.b.Unknown(ruleWrite, fmt.Sprintf("%s without rows (%v)", r, err))
		return
	}
	var allowed []string
	for _, g := range got {
		if g.Allow && g.Access == "write" {
			allowed = append(allowed, strings.TrimSuffix(g.Resource+":"+g.Segment, ":"))
			s.writable = s.writable || g.Resource == "node" || g.Resource == "service" || g.Resource == "acl"
		}
	}
	if len(allowed) > 0 {
		s.b.Fail(verdict.Claim{Rule: ruleWrite, Proof: r.String() + " and allows a stranger to write " + strings.Join(allowed, ", "), Repair: repairAnonymous()})
		return
	}
	s.b.Pass(ruleWrite, r.String()+" and allows a stranger nothing")
}

func (s *session) bootstrapped(ctx context.Context) {
	r, err := s.c.Do(ctx, probe.Request{Path: "/v1/agent/self", Header: http.Header{"X-Consul-Token": {bogusToken}}})
	switch {
	case err != nil:
		s.b.Unknown(ruleBoot, err.Error())
	case r.Status == http.StatusForbidden && r.Has("must be bootstrapped"):
		s.b.Fail(verdict.Claim{Rule: ruleBoot, Proof: r.String() + ` to a made-up token, with "` + r.Text() + `"`, Repair: &mw.Repair{
			Summary: "take the management token before somebody else does", Format: mw.FormatShell, Config: "consul acl bootstrap   # keep the SecretID safe, then make an agent token\n",
		}})
	default:
		s.b.Pass(ruleBoot, r.String()+" to a made-up token, without asking for bootstrap")
	}
}

func (s *session) owner(ctx context.Context) {
	if !s.c.HasOwner() || s.self != nil {
		return
	}
	r, err := s.c.Do(ctx, probe.Request{Path: "/v1/agent/self", Owner: true})
	var a agentSelf
	if err == nil && r.Status != http.StatusOK {
		err = fmt.Errorf("%s: %s", r, r.Text())
	}
	if err == nil {
		err = r.JSON(&a)
	}
	if err != nil {
		s.b.Rest(mw.StatusUnknown, "asked as the owner: "+err.Error(), ruleRemote, ruleRexec, ruleTLSRPC, ruleGossip)
		return
	}
	s.self, s.version = &a, a.Config.Version
}

// judge reads the agent's own view, and joins it with what strangers may do: that is the proof of the way in.
func (s *session) judge() {
	if s.version != "" {
		s.b.Version(s.version)
		verdict.CVE(s.b, s.a.cves, "consul", s.version, "the agent says version "+s.version, ruleTakeover, ruleCVE, nil)
	}
	if s.self == nil {
		if s.b.Spoke(ruleWrite) && !s.writable {
			s.b.Rest(mw.StatusPass, "strangers may not register anything, so script checks do not help them", ruleExec)
		}
		return
	}
	d := s.self.DebugConfig
	says := func(f string, args ...any) string { return "GET /v1/agent/self says " + fmt.Sprintf(f, args...) }
	flag := func(rule string, good bool, proof string, r *mw.Repair) {
		if s.b.Spoke(rule) {
			return
		}
		if good {
			s.b.Pass(rule, proof)
		} else {
			s.b.Fail(verdict.Claim{Rule: rule, Proof: proof, Repair: r})
		}
	}
	flag(ruleACL, d.ACLsEnabled, says("ACLsEnabled %v", d.ACLsEnabled), repairACL(""))
	if d.ACLsEnabled {
		flag(ruleDefault, d.ACLResolverSettings.ACLDefaultPolicy != "allow", says("ACLDefaultPolicy %s", d.ACLResolverSettings.ACLDefaultPolicy), repairDefault(""))
		flag(ruleDown, d.ACLResolverSettings.ACLDownPolicy != "allow", says("ACLDownPolicy %s", d.ACLResolverSettings.ACLDownPolicy), repairDown(""))
	} else {
		s.b.NotApplicable(ruleDown, "there is no access control")
	}
	if d.EnableRemoteScriptChecks != nil {
		remote := *d.EnableRemoteScriptChecks
		flag(ruleRemote, !remote, says("EnableRemoteScriptChecks %v", remote), repairScripts(""))
		switch {
		case !remote:
			s.b.Pass(ruleExec, says("EnableRemoteScriptChecks false"))
		case s.writable:
			why := "a stranger may write nodes or services"
			if s.aclOff {
				why = "access control is off"
			}
			s.b.Fail(verdict.Claim{
				Rule: ruleExec, Proof: says("EnableRemoteScriptChecks true") + ", and " + why, Repair: repairScripts(""),
				Evidence: []mw.Evidence{{Key: "registered", Value: "nothing: both facts were only read"}},
			})
		case s.b.Spoke(ruleWrite):
			s.b.Rest(mw.StatusPass, "script checks are taken over the API, but strangers may not register any", ruleExec)
		}
	}
	flag(ruleLocal, !d.EnableLocalScriptChecks, says("EnableLocalScriptChecks %v", d.EnableLocalScriptChecks), nil)
	if d.DisableRemoteExec != nil {
		flag(ruleRexec, *d.DisableRemoteExec, says("DisableRemoteExec %v", *d.DisableRemoteExec), repairRexec(""))
	}
	rpc := d.TLS.InternalRPC
	flag(ruleTLSRPC, rpc.VerifyIncoming && rpc.VerifyOutgoing, says("internal RPC verify_incoming %v, verify_outgoing %v", rpc.VerifyIncoming, rpc.VerifyOutgoing), repairTLS("", "rpc", nil))
	if rpc.VerifyOutgoing {
		flag(ruleTLSName, rpc.VerifyServerHostname, says("verify_server_hostname %v", rpc.VerifyServerHostname), repairTLS("", "name", nil))
	} else {
		s.b.NotApplicable(ruleTLSName, "RPC is not verified at all")
	}
	if e := s.self.Stats["serf_lan"]["encrypted"]; e != "" {
		flag(ruleGossip, e == "true", says("serf_lan encrypted %s", e), repairGossip())
	}
	flag(ruleFrom, len(d.AllowWriteHTTPFrom) > 0, says("AllowWriteHTTPFrom %v", d.AllowWriteHTTPFrom), repairFrom(""))
	flag(ruleDev, !d.DevMode, says("DevMode %v", d.DevMode), nil)
	all := false
	for _, a := range d.ClientAddrs {
		all = all || isAll(a)
	}
	flag(ruleListen, !all || d.ACLsEnabled, says("client addresses %v", d.ClientAddrs), repairListen(""))
}

// checks looks at what is registered. The API hides the command of a script check; its output and names may tell.
func (s *session) checks(ctx context.Context) {
	owner := (s.aclOn || s.certOnly) && s.c.HasOwner()
	if (s.aclOn || s.certOnly) && !owner {
		s.b.Rest(mw.StatusUnknown, "strangers see only what they may read: give a token with node:read and service:read", checkRules()...)
		return
	}
	r, err := s.c.Do(ctx, probe.Request{Path: "/v1/agent/checks", Owner: owner})
	var list map[string]struct{ CheckID, Name, Type, Output, Notes, ServiceName string }
	if err == nil && r.Status != http.StatusOK {
		err = fmt.Errorf("%s: %s", r, r.Text())
	}
	if err == nil {
		err = r.JSON(&list)
	}
	if err != nil {
		s.b.Rest(mw.StatusUnknown, "read checks: "+err.Error(), checkRules()...)
		return
	}
	ids := make([]string, 0, len(list))
	for id := range list {
		ids = append(ids, id)
	}
	sort.Strings(ids)
	for i, id := range ids {
		if i >= maxChecks {
			s.b.Unknown(ruleMiner, fmt.Sprintf("%d checks more than the limit were not read", len(ids)-maxChecks))
			break
		}
		c := list[id]
		at := mw.Subject{Type: mw.SubjectService, ID: s.t.URL, Name: "check " + id}
		sign := s.a.judge.Name(id + " " + c.Name + " " + c.ServiceName + " " + c.Notes)
		if c.Type == "script" || c.Type == "docker" || c.Type == "monitor" {
			if o := s.a.judge.Command(c.Output); o.Kind > sign.Kind && o.Kind >= intruder.Download {
				sign = o
			}
		}
		ev := []mw.Evidence{{Key: "type", Value: c.Type}, {Key: "output", Value: c.Output}}
		switch {
		case sign.Kind == intruder.Miner:
			s.b.Fail(verdict.Claim{Rule: ruleMiner, Subject: at, Confidence: 0.9, Proof: fmt.Sprintf("check %s, type %s: its name or output shows %q", id, c.Type, sign.Text), Evidence: ev})
		case sign.Kind == intruder.Download:
			s.b.Fail(verdict.Claim{Rule: ruleFetch, Subject: at, Confidence: 0.8, Proof: fmt.Sprintf("check %s, type %s: its output shows %q", id, c.Type, sign.Text), Evidence: ev})
		}
		if c.Type == "script" || c.Type == "docker" || c.Type == "monitor" {
			s.b.Fail(verdict.Claim{Rule: ruleScript, Subject: at, Proof: fmt.Sprintf("check %s has type %s; the API does not tell its command", id, c.Type), Evidence: ev})
		}
	}
	s.b.Rest(mw.StatusPass, fmt.Sprintf("read %d checks", len(ids)), checkRules()...)
}
