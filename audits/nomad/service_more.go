package nomad

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"strings"

	mw "github.com/minewarden/minewarden"
	"github.com/minewarden/minewarden/internal/probe"
	"github.com/minewarden/minewarden/internal/verdict"
)

// agentSelf is what GET /v1/agent/self tells, as far as it matters here.
type agentSelf struct {
	Config struct {
		ACL         struct{ Enabled *bool }
		BindAddr    string
		Addresses   struct{ HTTP string }
		EnableDebug bool
		DevMode     bool
		Version     any
		Client      struct {
			Enabled bool
			Options map[string]string
		}
		Server    struct{ Enabled bool }
		TLSConfig struct {
			EnableHTTP, EnableRPC, VerifyHTTPSClient, VerifyServerHostname bool
		}
		Plugins []struct {
			Name   string
			Config any
		}
	} `json:"config"`
	Stats  map[string]map[string]string `json:"stats"`
	Member struct{ Tags map[string]string }
}

func (a *agentSelf) version() string {
	switch v := a.Config.Version.(type) {
	case string:
		return v
	case map[string]any:
		s, _ := v["Version"].(string)
		if pre, _ := v["VersionPrerelease"].(string); pre != "" && s != "" {
			s += "-" + pre
		}
		if meta, _ := v["VersionMetadata"].(string); meta != "" && s != "" {
			s += "+" + meta
		}
		return s
	}
	return a.Member.Tags["build"]
}

// owner asks with the credentials for what strangers were refused.
func (s *session) owner(ctx context.Context) {
	if !s.c.HasOwner() || s.self != nil {
		return
	}
	r, err := s.c.Do(ctx, probe.Request{Path: "/v1/agent/self", Owner: true})
	var a agentSelf
	switch {
	case err != nil:
		s.b.Unknown(ruleTLSRPC, "asked as the owner: "+err.Error())
	case r.Status != http.StatusOK:
		s.b.Unknown(ruleTLSRPC, "asked as the owner: "+r.String()+": the token lacks agent:read")
	default:
		if err := r.JSON(&a); err != nil {
			s.b.Unknown(ruleTLSRPC, err.Error())
			return
		}
		s.self, s.version = &a, a.version()
		if a.Config.ACL.Enabled != nil && !s.b.Spoke(ruleACL) {
			if *a.Config.ACL.Enabled {
				s.b.Pass(ruleACL, "GET /v1/agent/self says ACL.Enabled true")
			} else {
				s.aclOff = true
				s.b.Fail(verdict.Claim{Rule: ruleACL, Proof: "GET /v1/agent/self says ACL.Enabled false", Repair: repairACL("")})
			}
		}
	}
}

// judgeSelf reads the agent's own view of its configuration.
func (s *session) judgeSelf() {
	if s.self == nil {
		return
	}
	c := s.self.Config
	says := func(what string) string { return "GET /v1/agent/self says " + what }
	flag := func(rule string, good bool, what string, r *mw.Repair) {
		if s.b.Spoke(rule) {
			return
		}
		if good {
			s.b.Pass(rule, says(what))
		} else {
			s.b.Fail(verdict.Claim{Rule: rule, Proof: says(what), Repair: r})
		}
	}
	flag(ruleTLSRPC, c.TLSConfig.EnableRPC, fmt.Sprint("tls.rpc ", c.TLSConfig.EnableRPC), repairTLS("", "rpc", nil))
	if c.TLSConfig.EnableRPC {
		flag(ruleTLSName, c.TLSConfig.VerifyServerHostname, fmt.Sprint("tls.verify_server_hostname ", c.TLSConfig.VerifyServerHostname), repairTLS("", "verify_server_hostname", nil))
	} else {
		s.b.NotApplicable(ruleTLSName, "RPC does not use TLS at all")
	}
	switch {
	case !c.Server.Enabled:
		s.b.NotApplicable(ruleGossip, "a client does not gossip")
	case s.self.Stats["serf"]["encrypted"] != "":
		on := s.self.Stats["serf"]["encrypted"]
		flag(ruleGossip, on == "true", "serf encrypted "+on, repairGossip(""))
	}
	flag(ruleDebug, !c.EnableDebug, fmt.Sprint("enable_debug ", c.EnableDebug), &mw.Repair{Summary: "turn the debugging endpoints off", Format: mw.FormatHCL, Config: "enable_debug = false\n"})
	flag(ruleDev, !c.DevMode, fmt.Sprint("dev mode ", c.DevMode), nil)
	raw := false
	for _, p := range c.Plugins {
		conf, _ := p.Config.(map[string]any)
		switch p.Name {
		case "raw_exec":
			raw = truthy(conf["enabled"])
		case "docker":
			flag(ruleDockerPriv, !truthy(conf["allow_privileged"]), fmt.Sprintf("docker allow_privileged %v", conf["allow_privileged"]), repairDocker("", "allow_privileged"))
			vol := conf["volumes"]
			if l, ok := vol.([]any); ok && len(l) > 0 {
				vol = l[0]
			}
			m, _ := vol.(map[string]any)
			flag(ruleDockerVol, !truthy(m["enabled"]), fmt.Sprintf("docker volumes.enabled %v", m["enabled"]), repairDocker("", "volumes"))
		}
	}
	raw = raw || truthy(c.Client.Options["driver.raw_exec.enable"])
	flag(ruleRawExec, !raw, fmt.Sprint("raw_exec enabled ", raw), repairRawExec(""))
	s.b.Rest(mw.StatusPass, says("nothing about the docker plugin: its default forbids it"), ruleDockerPriv, ruleDockerVol)
	addr := c.Addresses.HTTP
	if addr == "" {
		addr = c.BindAddr
	}
	s.b.Rest(mw.StatusPass, says("HTTP address "+addr), ruleListen)
	if isAll(addr) && s.aclOff {
		s.b.Fail(verdict.Claim{Rule: ruleListen, Proof: says("HTTP address " + addr + " and ACL off"), Repair: repairListen("")})
	}
}

func truthy(v any) bool {
	switch x := v.(type) {
	case bool:
		return x
	case string:
		return x == "1" || strings.EqualFold(x, "true")
	case float64:
		return x == 1
	}
	return false
}

func (s *session) judgeVersion() {
	if s.version == "" {
		return
	}
	s.b.Version(s.version)
	s.a.versionChecks(s.b, s.version, "GET /v1/agent/self says version "+s.version)
}

func (a *auditor) versionChecks(b *verdict.Builder, version, how string) {
	verdict.CVE(b, a.cves, "nomad", version, how, ruleTakeover, ruleCVE, nil)
}

func (s *session) transport() {
	verdict.Transport(s.b, s.c, ruleTLSHTTP, ruleMTLS, ruleCert, repairTLS("", "http", nil))
}

// jobs reads every job that the caller may see, as a stranger or as the owner.
func (s *session) jobs(ctx context.Context) {
	owner := s.aclOn || s.certOnly || !s.b.Spoke(ruleSubmit)
	if owner && !s.c.HasOwner() {
		s.b.Rest(mw.StatusUnknown, "strangers may not read jobs: give a token with read-job", jobRules()...)
		return
	}
	type ref struct{ ID, Namespace string }
	var list []ref
	seen := map[ref]bool{}
	var failed error
	for _, p := range []string{"/v1/jobs?meta=true", "/v1/jobs?namespace=*"} {
		r, err := s.c.Do(ctx, probe.Request{Path: p, Owner: owner && s.c.HasOwner()})
		if err == nil && r.Status != http.StatusOK {
			err = fmt.Errorf("%s: %s", r, r.Text())
		}
		var got []ref
		if err == nil {
			err = r.JSON(&got)
		}
		if err != nil {
			failed = errors.Join(failed, err)
			continue
		}
		for _, j := range got {
			if j.ID != "" && !seen[j] && len(list) < maxJobs {
				seen[j] = true
				list = append(list, j)
			}
		}
	}
	if failed != nil && len(list) == 0 {
		s.b.Rest(mw.StatusUnknown, "read jobs: "+failed.Error(), jobRules()...)
		return
	}
	for _, j := range list {
		p := "/v1/job/" + url.PathEscape(j.ID)
		if j.Namespace != "" && j.Namespace != "default" {
			p += "?namespace=" + url.QueryEscape(j.Namespace)
		}
		r, err := s.c.Do(ctx, probe.Request{Path: p, Owner: owner && s.c.HasOwner()})
		var job apiJob
		if err == nil && r.Status != http.StatusOK {
			err = fmt.Errorf("%s: %s", r, r.Text())
		}
		if err == nil {
			err = r.JSON(&job)
		}
		if err != nil {
			s.b.Unknown(ruleJobMiner, "job "+j.ID+": "+err.Error())
			continue
		}
		s.a.judgeJob(s.b, job.plain(), mw.Subject{Type: mw.SubjectService, ID: s.t.URL, Name: "job " + j.ID})
	}
	if len(list) == maxJobs {
		s.b.Unknown(ruleJobMiner, fmt.Sprintf("there may be more than the %d jobs that were read", maxJobs))
	}
	s.b.Rest(mw.StatusPass, fmt.Sprintf("read %d jobs", len(list)), jobRules()...)
}

func jobRules() []string {
	return []string{ruleJobMiner, ruleJobFetch, ruleJobShell, ruleJobPriv, ruleJobMount, ruleJobScript, ruleJobArtifact}
}
