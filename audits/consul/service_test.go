package consul

import (
	"context"
	"testing"
	"time"

	mw "github.com/minewarden/minewarden"
	"github.com/minewarden/minewarden/internal/audittest"
)

func newAudit(t testing.TB) mw.Auditor {
	t.Helper()
	a, err := New(mw.Env{Now: func() time.Time { return time.Unix(1, 0) }})
	if err != nil {
		t.Fatal(err)
	}
	return a
}

func audit(t *testing.T, url string, access mw.ServiceAccess) mw.Verdict {
	t.Helper()
	v, err := newAudit(t).Audit(context.Background(), mw.Target{Kind: mw.TargetService, Name: "consul=" + url, Product: "consul", URL: url, Access: access})
	if err != nil {
		t.Fatal(err)
	}
	return v
}

func TestInsecure(t *testing.T) {
	s := audittest.New(t, audittest.Fixtures(t, "consul", "insecure"), "artefact_")
	v := audit(t, s.URL, mw.ServiceAccess{})
	audittest.Want(t, v, map[string]mw.Status{
		ruleACL: mw.StatusFail, ruleWrite: mw.StatusFail, ruleExec: mw.StatusFail, ruleRead: mw.StatusFail, ruleRemote: mw.StatusFail, ruleLocal: mw.StatusFail,
		ruleRexec: mw.StatusPass, ruleTLSHTTP: mw.StatusFail, ruleTLSRPC: mw.StatusFail, ruleGossip: mw.StatusFail, ruleMiner: mw.StatusPossible, ruleScript: mw.StatusFail,
		ruleFrom: mw.StatusFail, ruleCVE: mw.StatusPossible, ruleTakeover: mw.StatusPass, ruleBoot: mw.StatusNotApplicable,
	})
	if v.Version != "1.21.0" {
		t.Errorf("version %q", v.Version)
	}
	s.OnlyAllowed(t, audittest.AllowedInREADME(readme))
}

func TestHardened(t *testing.T) {
	s := audittest.NewTLS(t, audittest.Fixtures(t, "consul", "hardened"), "v1_", "mgmt_")
	v := audit(t, s.URL, mw.ServiceAccess{})
	audittest.NothingFrom(t, v, rules(), mw.Medium)
	audittest.Want(t, v, map[string]mw.Status{
		ruleACL: mw.StatusPass, ruleDefault: mw.StatusPass, ruleWrite: mw.StatusPass, ruleExec: mw.StatusPass, ruleRead: mw.StatusPass,
		ruleBoot: mw.StatusPass, ruleTLSHTTP: mw.StatusPass, ruleRemote: mw.StatusUnknown, ruleMiner: mw.StatusUnknown, ruleCVE: mw.StatusPossible,
	})
	s.OnlyAllowed(t, audittest.AllowedInREADME(readme))
}

func TestHardenedAsOwner(t *testing.T) {
	s := audittest.NewTLS(t, audittest.Fixtures(t, "consul", "hardened"), "v1_", "mgmt_")
	const token = "5ecre7-token-value"
	v := audit(t, s.URL, mw.ServiceAccess{Token: token, CA: s.CA()})
	audittest.NothingFrom(t, v, rules(), mw.Medium)
	audittest.Want(t, v, map[string]mw.Status{
		ruleRemote: mw.StatusPass, ruleLocal: mw.StatusPass, ruleTLSRPC: mw.StatusPass, ruleTLSName: mw.StatusPass,
		ruleGossip: mw.StatusPass, ruleFrom: mw.StatusPass, ruleMiner: mw.StatusPass, ruleDown: mw.StatusPass, ruleExec: mw.StatusPass,
	})
	audittest.NoSecret(t, v, token)
	s.OnlyAllowed(t, audittest.AllowedInREADME(readme))
}

// authorized is a server whose access control is on, and where a stranger may write services all the same.
func authorized(t *testing.T, policy, allow string, remote bool) *audittest.Server {
	s := audittest.NewTLS(t, audittest.Fixtures(t, "consul", "hardened"), "v1_", "mgmt_")
	s.SetHeader("GET", "/v1/acl/policies", false, 403, map[string]string{"X-Consul-Default-Acl-Policy": policy}, "Permission denied: anonymous token")
	s.Set("POST", "/v1/internal/acl/authorize", false, 200, "application/json", `[{"Resource":"node","Segment":"x","Access":"write","Allow":false},{"Resource":"service","Segment":"web","Access":"write","Allow":`+allow+`}]`)
	if remote {
		s.Set("GET", "/v1/agent/self", true, 200, "application/json", `{"Config":{"NodeName":"a","Version":"1.21.0"},"DebugConfig":{"ACLsEnabled":true,"ACLResolverSettings":{"ACLDefaultPolicy":"`+policy+`"},"EnableRemoteScriptChecks":true,"DisableRemoteExec":false}}`)
	}
	return s
}

func TestAnonymousPolicy(t *testing.T) {
	for _, tc := range []struct {
		name, policy, allow string
		remote              bool
		want                map[string]mw.Status
	}{
		{"default allow", "allow", "true", true, map[string]mw.Status{ruleACL: mw.StatusPass, ruleDefault: mw.StatusFail, ruleWrite: mw.StatusFail, ruleExec: mw.StatusFail, ruleRexec: mw.StatusFail}},
		{"policy allows one service", "deny", "true", true, map[string]mw.Status{ruleACL: mw.StatusPass, ruleDefault: mw.StatusPass, ruleWrite: mw.StatusFail, ruleExec: mw.StatusFail}},
		{"scripts but no rights", "deny", "false", true, map[string]mw.Status{ruleWrite: mw.StatusPass, ruleRemote: mw.StatusFail, ruleExec: mw.StatusPass}},
	} {
		t.Run(tc.name, func(t *testing.T) {
			s := authorized(t, tc.policy, tc.allow, tc.remote)
			audittest.Want(t, audit(t, s.URL, mw.ServiceAccess{Token: "t", CA: s.CA()}), tc.want)
		})
	}
}

func TestNotBootstrapped(t *testing.T) {
	s := audittest.NewTLS(t, audittest.Fixtures(t, "consul", "hardened"), "v1_")
	s.Set("GET", "/v1/agent/self", true, 403, "text/plain", "ACL system must be bootstrapped before making any requests that require authorization: ACL not found")
	audittest.Want(t, audit(t, s.URL, mw.ServiceAccess{}), map[string]mw.Status{ruleBoot: mw.StatusFail})
}

func TestMutualTLS(t *testing.T) {
	s, access := audittest.NewMutualTLS(t, audittest.Fixtures(t, "consul", "hardened"), "v1_", "mgmt_")
	v := audit(t, s.URL, mw.ServiceAccess{})
	audittest.NothingFrom(t, v, rules(), mw.Medium)
	audittest.Want(t, v, map[string]mw.Status{ruleMTLS: mw.StatusPass, ruleWrite: mw.StatusNotApplicable, ruleACL: mw.StatusUnknown, ruleMiner: mw.StatusUnknown})
	access.Token = "t"
	audittest.Want(t, audit(t, s.URL, access), map[string]mw.Status{ruleMTLS: mw.StatusPass, ruleACL: mw.StatusPass, ruleTLSRPC: mw.StatusPass, ruleMiner: mw.StatusPass})
}

func TestBelowASubPath(t *testing.T) {
	s := audittest.New(t, audittest.Fixtures(t, "consul", "insecure"), "artefact_")
	s.Prefix = "/consul"
	audittest.Want(t, audit(t, s.URL+"/consul", mw.ServiceAccess{}), map[string]mw.Status{ruleExec: mw.StatusFail, ruleACL: mw.StatusFail})
	for _, product := range []string{"nomad", "gitea", "docker"} {
		o := audittest.New(t, audittest.Fixtures(t, product, "insecure"))
		if _, err := newAudit(t).Audit(context.Background(), mw.Target{Kind: mw.TargetService, Product: "consul", URL: o.URL}); err == nil {
			t.Errorf("%s was taken for Consul", product)
		}
	}
}

func TestRules(t *testing.T) { audittest.CompleteRules(t, "consul", rules()) }
