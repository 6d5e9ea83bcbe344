package nomad

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"strings"

	mw "github.com/minewarden/minewarden"
	"github.com/minewarden/minewarden/internal/probe"
	"github.com/minewarden/minewarden/internal/verdict"
)

// Bounds of what is asked of one cluster.
const (
	maxJobs       = 300 // jobs read in full
	maxNamespaces = 16  // namespaces that a submission is planned in
)

// probeJob is the id that submissions are planned with. Planning stores nothing.
const probeJob = "minewarden-audit-plan"

// session is one audit of one service.
type session struct {
	a *auditor
	c *probe.Client
	b *verdict.Builder
	t mw.Target

	aclOff, aclOn bool
	certOnly      bool // strangers cannot even ask
	self          *agentSelf
	version       string
}

func (a *auditor) service(ctx context.Context, t mw.Target) (mw.Verdict, error) {
	c, err := probe.New(t.URL, t.Access, probe.Options{Token: setToken})
	if err != nil {
		return mw.Verdict{}, fmt.Errorf("audit nomad: %w", err)
	}
	defer c.Close()
	s := &session{a: a, c: c, t: t, b: verdict.New("nomad", t, a.now, rules())}
	first, err := c.Settle(ctx, "/v1/acl/token/self")
	switch {
	case errors.Is(err, probe.ErrClientCert):
		s.b.Pass(ruleMTLS, "the TLS handshake fails without a client certificate")
		s.b.Pass(ruleTLSHTTP, "the API speaks TLS")
		s.certOnly = true
		s.b.Rest(mw.StatusNotApplicable, "nobody without a client certificate that the server trusts can ask", ruleSubmit, ruleRawExecAnon, ruleRead)
	case err != nil:
		return mw.Verdict{}, fmt.Errorf("audit nomad at %s: %w", t.URL, err)
	default:
		if err := s.recognize(ctx, first); err != nil {
			return mw.Verdict{}, err
		}
		s.acl(ctx, first)
		s.stranger(ctx)
		s.transport()
	}
	s.owner(ctx)
	s.judgeSelf()
	s.judgeVersion()
	s.jobs(ctx)
	s.b.Rest(mw.StatusUnknown, "the API shows this only to a token with agent:read: give one with --token-file, or audit the configuration",
		ruleTLSRPC, ruleTLSName, ruleGossip, ruleDebug, ruleDev, ruleRawExec, ruleDockerPriv, ruleDockerVol, ruleTakeover, ruleCVE, ruleListen)
	s.b.Rest(mw.StatusUnknown, "not asked")
	return s.b.Verdict(), nil
}

// recognize makes sure that it is Nomad that answers, and not a page in front of it.
func (s *session) recognize(ctx context.Context, first *probe.Response) error {
	if looksLikeNomad(first) {
		return nil
	}
	for _, p := range []string{"/v1/agent/self", "/v1/acl/policies"} {
		r, err := s.c.Get(ctx, p)
		if err != nil {
			return fmt.Errorf("audit nomad: %w", err)
		}
		if looksLikeNomad(r) {
			return nil
		}
	}
	if s.c.HasOwner() && (first.Status == http.StatusUnauthorized || first.Status == http.StatusForbidden) {
		return nil // a proxy asks strangers to sign in
	}
	where := ""
	if first.Redirect != "" {
		where = ", which sends to " + first.Redirect
	}
	return fmt.Errorf("audit nomad at %s: no Nomad API answers there (%s%s: %q); a proxy or sub-path in front? give the URL with its path",
		s.t.URL, first, where, first.Text())
}

func looksLikeNomad(r *probe.Response) bool {
	for h := range r.Header {
		if strings.HasPrefix(h, "X-Nomad-") {
			return true
		}
	}
	if r.Status == http.StatusBadRequest && r.Has("ACL support disabled") && !r.Has("Consul") {
		return true
	}
	return r.Status == http.StatusForbidden && strings.TrimSpace(string(r.Body)) == "Permission denied"
}

// acl learns whether access control is on. Two questions, for 200 [] alone proves nothing: a server with ACLs filters.
func (s *session) acl(ctx context.Context, self *probe.Response) {
	var token struct{ AccessorID, Name string }
	if self.Status == http.StatusOK && self.JSON(&token) == nil {
		switch token.AccessorID {
		case "acls-disabled":
			s.aclOff = true
			s.b.Fail(verdict.Claim{Rule: ruleACL, Proof: self.String() + ` with accessor "acls-disabled"`, Repair: repairACL("")})
			return
		case "anonymous":
			s.aclOn = true
			s.b.Pass(ruleACL, self.String()+` with accessor "anonymous"`)
			return
		}
	}
	pol, err := s.c.Get(ctx, "/v1/acl/policies")
	switch {
	case err != nil:
		s.b.Unknown(ruleACL, err.Error())
	case pol.Status == http.StatusBadRequest && pol.Has("ACL support disabled"):
		s.aclOff = true
		s.b.Fail(verdict.Claim{Rule: ruleACL, Proof: pol.String() + ` with "ACL support disabled"`, Repair: repairACL("")})
	case pol.Status == http.StatusForbidden, self.Status == http.StatusForbidden:
		s.aclOn = true
		s.b.Pass(ruleACL, pol.String()+"; strangers are refused")
	default:
		s.b.Unknown(ruleACL, fmt.Sprintf("%s and %s: neither proves that ACLs are on or off", self, pol))
	}
}

// stranger asks what an attacker would ask first, in ways that leave nothing behind.
func (s *session) stranger(ctx context.Context) {
	self, err := s.c.Get(ctx, "/v1/agent/self")
	if err == nil && self.Status == http.StatusOK {
		var a agentSelf
		if jerr := self.JSON(&a); jerr == nil {
			s.self = &a
			s.version = a.version()
		}
	}
	var shown []string
	for _, p := range []string{"/v1/agent/self", "/v1/nodes", "/v1/jobs?namespace=*"} {
		r := self
		if p != "/v1/agent/self" {
			r, err = s.c.Get(ctx, p)
		}
		if err == nil && r != nil && r.Status == http.StatusOK && r.Header.Get("Content-Type") != "" && strings.Contains(r.Header.Get("Content-Type"), "json") && len(strings.TrimSpace(string(r.Body))) > 2 {
			shown = append(shown, p)
		}
	}
	if len(shown) > 0 {
		s.b.Fail(verdict.Claim{Rule: ruleRead, Proof: "without a token, 200 with content from " + strings.Join(shown, ", ")})
	} else if err != nil {
		s.b.Unknown(ruleRead, err.Error())
	} else {
		s.b.Pass(ruleRead, "agent, nodes and jobs are refused or empty without a token")
	}
	s.submit(ctx)
}

// planResult is what the server says to a job that it only imagines.
type planResult struct {
	ok         bool
	denied     bool
	placeable  bool // a client would take it
	noDriver   bool
	why, proof string
}

// submit plans jobs as a stranger: the same permission as submitting, and nothing is stored.
func (s *session) submit(ctx context.Context) {
	namespaces := []string{"default"}
	var list []struct{ Name string }
	if r, err := s.c.Get(ctx, "/v1/namespaces"); err == nil && r.Status == http.StatusOK && r.JSON(&list) == nil {
		for _, n := range list {
			if n.Name != "default" && n.Name != "" && len(namespaces) < maxNamespaces {
				namespaces = append(namespaces, n.Name)
			}
		}
	}
	var denied, unclear []string
	for _, ns := range namespaces {
		raw := s.plan(ctx, ns, "raw_exec")
		if raw.denied {
			denied = append(denied, raw.proof)
			continue
		}
		if !raw.ok {
			unclear = append(unclear, raw.why)
			continue
		}
		s.submitFailed(ctx, ns, raw)
		return
	}
	if len(unclear) > 0 {
		s.b.Unknown(ruleSubmit, "planning a job as a stranger gave no clear answer: "+strings.Join(unclear, "; "))
		s.b.Unknown(ruleRawExecAnon, "planning a job as a stranger gave no clear answer")
		return
	}
	s.b.Pass(ruleSubmit, strings.Join(denied, "; "))
	s.b.Pass(ruleRawExecAnon, strings.Join(denied, "; "))
}

func (s *session) submitFailed(ctx context.Context, ns string, raw planResult) {
	why := "ACLs are off"
	if s.aclOn {
		why = "ACLs are on, but the anonymous policy allows it in namespace " + ns
	}
	ev := []mw.Evidence{{Key: "because", Value: why}, {Key: "stored", Value: "nothing: planning is a dry run"}}
	var usable []string
	if raw.placeable {
		usable = append(usable, "raw_exec")
	}
	for _, d := range []string{"exec", "docker"} {
		if p := s.plan(ctx, ns, d); p.ok && p.placeable {
			usable = append(usable, d)
		}
	}
	if len(usable) > 0 {
		ev = append(ev, mw.Evidence{Key: "drivers_that_would_run_it", Value: strings.Join(usable, " ")})
	}
	s.b.Fail(verdict.Claim{Rule: ruleSubmit, Proof: raw.proof, Evidence: ev, Repair: repairSubmit(s.aclOn)})
	switch {
	case raw.placeable:
		s.b.Fail(verdict.Claim{Rule: ruleRawExecAnon, Proof: raw.proof + " and a client would run it with raw_exec", Evidence: ev, Repair: repairRawExec("")})
		s.b.Fail(verdict.Claim{Rule: ruleRawExec, Proof: raw.proof + " for a raw_exec task, with no placement failure", Repair: repairRawExec("")})
	case raw.noDriver:
		s.b.Pass(ruleRawExecAnon, raw.proof+`, but no client has the driver ("missing drivers")`)
		s.b.Pass(ruleRawExec, raw.proof+`: "missing drivers" for raw_exec on every client`)
	default:
		s.b.Fail(verdict.Claim{Rule: ruleRawExecAnon, Confidence: verdict.Possible, Proof: raw.proof + ", but no client could take it just now: " + raw.why, Repair: repairRawExec("")})
	}
}

func (s *session) plan(ctx context.Context, ns, driver string) planResult {
	conf := map[string]any{"command": "/bin/true"}
	if driver == "docker" {
		conf = map[string]any{"image": "busybox"}
	}
	job := map[string]any{"Job": map[string]any{
		"ID": probeJob, "Name": probeJob, "Type": "batch", "Datacenters": []string{"*"}, "Namespace": ns,
		"TaskGroups": []any{map[string]any{"Name": "g", "Count": 1, "Tasks": []any{map[string]any{
			"Name": "t", "Driver": driver, "Config": conf, "Resources": map[string]any{"CPU": 20, "MemoryMB": 16},
		}}}},
	}, "Diff": false}
	body, err := json.Marshal(job)
	if err != nil {
		return planResult{why: err.Error()}
	}
	path := "/v1/job/" + probeJob + "/plan"
	if ns != "default" {
		path += "?namespace=" + url.QueryEscape(ns)
	}
	r, err := s.c.Do(ctx, probe.Request{Method: http.MethodPost, Path: path, Body: body})
	if err != nil {
		return planResult{why: err.Error()}
	}
	res := planResult{proof: r.String() + " to a stranger"}
	if r.Status == http.StatusForbidden || r.Status == http.StatusUnauthorized {
		res.denied = true
		return res
	}
	var p struct {
		Annotations    json.RawMessage
		FailedTGAllocs map[string]struct {
			ConstraintFiltered map[string]int
			NodesEvaluated     int
			DimensionExhausted map[string]int
		}
	}
	if r.Status != http.StatusOK {
		res.why = fmt.Sprintf("%s: %s", r, r.Text())
		return res
	}
	if err := r.JSON(&p); err != nil {
		res.why = err.Error()
		return res
	}
	if p.Annotations == nil {
		res.why = r.String() + " with JSON that is no plan"
		return res
	}
	res.ok = true
	res.placeable = len(p.FailedTGAllocs) == 0
	for _, f := range p.FailedTGAllocs {
		for k := range f.ConstraintFiltered {
			if strings.Contains(k, "missing drivers") {
				res.noDriver = true
			}
		}
		if f.NodesEvaluated == 0 {
			res.why = "no client was evaluated"
		} else if len(f.DimensionExhausted) > 0 {
			res.why = "clients are full"
		}
	}
	return res
}
