package nomad

import (
	"context"
	"strings"
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
	v, err := newAudit(t).Audit(context.Background(), mw.Target{Kind: mw.TargetService, Name: "nomad=" + url, Product: "nomad", URL: url, Access: access})
	if err != nil {
		t.Fatal(err)
	}
	return v
}

func TestInsecure(t *testing.T) {
	s := audittest.New(t, audittest.Fixtures(t, "nomad", "insecure"), "artefact_")
	v := audit(t, s.URL, mw.ServiceAccess{})
	audittest.Want(t, v, map[string]mw.Status{
		ruleACL: mw.StatusFail, ruleSubmit: mw.StatusFail, ruleRawExecAnon: mw.StatusFail, ruleRead: mw.StatusFail, ruleRawExec: mw.StatusFail,
		ruleTLSHTTP: mw.StatusFail, ruleTLSRPC: mw.StatusFail, ruleGossip: mw.StatusFail, ruleJobMiner: mw.StatusFail, ruleJobShell: mw.StatusPossible,
		ruleDev: mw.StatusPass, ruleDebug: mw.StatusPass, ruleCVE: mw.StatusPossible, ruleTLSName: mw.StatusNotApplicable,
	})
	if v.Version != "1.10.5" {
		t.Errorf("version %q", v.Version)
	}
	for _, c := range v.Checks {
		if c.Rule == ruleJobMiner && strings.Contains(c.Proof, "benign") {
			t.Errorf("benign job: %s", c.Proof)
		}
	}
	s.OnlyAllowed(t, audittest.AllowedInREADME(readme))
}

func TestHardened(t *testing.T) {
	s := audittest.NewTLS(t, audittest.Fixtures(t, "nomad", "hardened"), "v1_", "mgmt_")
	v := audit(t, s.URL, mw.ServiceAccess{})
	audittest.NothingFrom(t, v, rules(), mw.Medium)
	audittest.Want(t, v, map[string]mw.Status{
		ruleACL: mw.StatusPass, ruleSubmit: mw.StatusPass, ruleRawExecAnon: mw.StatusPass, ruleRead: mw.StatusPass,
		ruleTLSHTTP: mw.StatusPass, ruleTLSRPC: mw.StatusUnknown, ruleJobMiner: mw.StatusUnknown, ruleCVE: mw.StatusUnknown,
	})
	s.OnlyAllowed(t, audittest.AllowedInREADME(readme))
}

func TestHardenedAsOwner(t *testing.T) {
	s := audittest.NewTLS(t, audittest.Fixtures(t, "nomad", "hardened"), "v1_", "mgmt_")
	const token = "5ecre7-token-value"
	v := audit(t, s.URL, mw.ServiceAccess{Token: token, CA: s.CA()})
	audittest.NothingFrom(t, v, rules(), mw.Medium)
	audittest.Want(t, v, map[string]mw.Status{
		ruleACL: mw.StatusPass, ruleSubmit: mw.StatusPass, ruleTLSRPC: mw.StatusPass, ruleTLSName: mw.StatusPass,
		ruleGossip: mw.StatusPass, ruleRawExec: mw.StatusPass, ruleJobMiner: mw.StatusPass, ruleMTLS: mw.StatusFail,
	})
	audittest.NoSecret(t, v, token)
	s.OnlyAllowed(t, audittest.AllowedInREADME(readme))
	for _, r := range s.Requests() {
		if r.Credential && r.Method != "GET" {
			t.Errorf("%s %s with the token: a plan by its owner proves nothing", r.Method, r.Path)
		}
	}
}
