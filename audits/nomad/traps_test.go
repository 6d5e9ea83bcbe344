package nomad

import (
	"context"
	"strings"
	"testing"

	mw "github.com/minewarden/minewarden"
	"github.com/minewarden/minewarden/internal/audittest"
)

const planned = `{"Annotations":{"DesiredTGUpdates":{}},"FailedTGAllocs":null,"Warnings":""}`

func hardened(t *testing.T) *audittest.Server {
	return audittest.NewTLS(t, audittest.Fixtures(t, "nomad", "hardened"), "v1_", "mgmt_")
}

func TestTraps(t *testing.T) {
	for _, tc := range []struct {
		name string
		set  func(s *audittest.Server)
		want map[string]mw.Status
	}{
		{"ACL on, and the anonymous policy may submit", func(s *audittest.Server) {
			for _, id := range []string{"00000000", "exec", "docker"} {
				s.Set("POST", "/v1/job/audit-probe-"+id+"/plan", false, 200, "application/json", planned)
			}
		}, map[string]mw.Status{ruleACL: mw.StatusPass, ruleSubmit: mw.StatusFail, ruleRawExecAnon: mw.StatusFail}},
		{"no client has the driver", func(s *audittest.Server) {
			s.Set("POST", "/v1/job/audit-probe-00000000/plan", false, 200, "application/json", `{"Annotations":{},"FailedTGAllocs":{"g":{"ConstraintFiltered":{"missing drivers":1},"NodesEvaluated":1}}}`)
		}, map[string]mw.Status{ruleSubmit: mw.StatusFail, ruleRawExecAnon: mw.StatusPass, ruleRawExec: mw.StatusPass}},
		{"the cluster is full", func(s *audittest.Server) {
			s.Set("POST", "/v1/job/audit-probe-00000000/plan", false, 200, "application/json", `{"Annotations":{},"FailedTGAllocs":{"g":{"DimensionExhausted":{"memory":1},"NodesEvaluated":1}}}`)
		}, map[string]mw.Status{ruleSubmit: mw.StatusFail, ruleRawExecAnon: mw.StatusPossible}},
		{"a page instead of a plan", func(s *audittest.Server) {
			s.Set("POST", "/v1/job/audit-probe-00000000/plan", false, 200, "text/html", "<html>sign in</html>")
		}, map[string]mw.Status{ruleSubmit: mw.StatusUnknown, ruleRawExecAnon: mw.StatusUnknown}},
		{"200 [] alone proves nothing", func(s *audittest.Server) {
			s.Set("GET", "/v1/acl/token/self", false, 404, "text/plain", "")
		}, map[string]mw.Status{ruleACL: mw.StatusUnknown, ruleSubmit: mw.StatusPass}},
		{"an old server", func(s *audittest.Server) {
			s.Set("GET", "/v1/acl/token/self", false, 500, "text/plain", "")
			s.Set("GET", "/v1/acl/policies", false, 400, "text/plain", "ACL support disabled")
		}, map[string]mw.Status{ruleACL: mw.StatusFail}},
	} {
		t.Run(tc.name, func(t *testing.T) {
			s := hardened(t)
			tc.set(s)
			audittest.Want(t, audit(t, s.URL, mw.ServiceAccess{}), tc.want)
			s.OnlyAllowed(t, audittest.AllowedInREADME(readme))
		})
	}
}

func TestBelowASubPath(t *testing.T) {
	s := audittest.New(t, audittest.Fixtures(t, "nomad", "insecure"), "v1_")
	s.Prefix = "/nomad"
	audittest.Want(t, audit(t, s.URL+"/nomad/", mw.ServiceAccess{}), map[string]mw.Status{ruleSubmit: mw.StatusFail, ruleACL: mw.StatusFail})
	_, err := newAudit(t).Audit(context.Background(), mw.Target{Kind: mw.TargetService, Product: "nomad", URL: s.URL})
	if err == nil || !strings.Contains(err.Error(), "no Nomad API") {
		t.Errorf("above the sub-path: %v", err)
	}
}

func TestPlainURLOfATLSPort(t *testing.T) {
	s := hardened(t)
	v := audit(t, "http"+strings.TrimPrefix(s.URL, "https"), mw.ServiceAccess{})
	audittest.Want(t, v, map[string]mw.Status{ruleTLSHTTP: mw.StatusPass, ruleSubmit: mw.StatusPass})
}

func TestMutualTLS(t *testing.T) {
	s, access := audittest.NewMutualTLS(t, audittest.Fixtures(t, "nomad", "hardened"), "v1_", "mgmt_")
	v := audit(t, s.URL, mw.ServiceAccess{})
	audittest.NothingFrom(t, v, rules(), mw.Medium)
	audittest.Want(t, v, map[string]mw.Status{ruleMTLS: mw.StatusPass, ruleSubmit: mw.StatusNotApplicable, ruleACL: mw.StatusUnknown})
	access.Token = "t"
	audittest.Want(t, audit(t, s.URL, access), map[string]mw.Status{ruleMTLS: mw.StatusPass, ruleACL: mw.StatusPass, ruleTLSRPC: mw.StatusPass, ruleJobMiner: mw.StatusPass})
}

func TestNotNomad(t *testing.T) {
	for _, other := range []string{"consul", "gitea", "docker"} {
		s := audittest.New(t, audittest.Fixtures(t, other, "insecure"))
		if _, err := newAudit(t).Audit(context.Background(), mw.Target{Kind: mw.TargetService, Product: "nomad", URL: s.URL}); err == nil {
			t.Errorf("%s was taken for Nomad", other)
		}
	}
	if _, err := newAudit(t).Audit(context.Background(), mw.Target{Kind: mw.TargetService, Product: "nomad", URL: "http://127.0.0.1:1"}); err == nil {
		t.Error("nobody there: no error")
	}
}

func TestRules(t *testing.T) { audittest.CompleteRules(t, "nomad", rules()) }
