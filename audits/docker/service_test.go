package docker

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
	v, err := newAudit(t).Audit(context.Background(), mw.Target{Kind: mw.TargetService, Name: "docker=" + url, Product: "docker", URL: url, Access: access})
	if err != nil {
		t.Fatal(err)
	}
	return v
}

// failed lists which containers fail which rule.
func failed(v mw.Verdict) map[string]string {
	out := map[string]string{}
	for _, c := range v.Checks {
		if c.Finding != nil && c.Subject.Type == mw.SubjectContainer {
			out[c.Subject.Name+" "+c.Rule] = c.Proof
		}
	}
	return out
}

func TestInsecure(t *testing.T) {
	s := audittest.New(t, audittest.Fixtures(t, "docker", "insecure"), "containers_json", "create_empty")
	s.Set("GET", "/containers/json?all=1", false, 200, "application/json", string(s.Body("containers_json")))
	v := audit(t, s.URL, mw.ServiceAccess{})
	audittest.Want(t, v, map[string]mw.Status{
		ruleOpen: mw.StatusFail, ruleNoVerify: mw.StatusNotApplicable, ruleCreate: mw.StatusFail, ruleUserns: mw.StatusFail, ruleLive: mw.StatusFail,
		rulePriv: mw.StatusFail, ruleMount: mw.StatusFail, ruleSock: mw.StatusFail, ruleHostNS: mw.StatusFail, ruleHostNet: mw.StatusFail, ruleCaps: mw.StatusFail,
		ruleUnconf: mw.StatusFail, ruleMiner: mw.StatusFail, ruleCVE: mw.StatusPossible, ruleTakeover: mw.StatusPass, ruleSeccomp: mw.StatusPass,
	})
	got := failed(v)
	for _, w := range []string{
		"evil_privileged " + rulePriv, "evil_hostmount " + ruleMount, "evil_mounts_api " + ruleMount, "evil_sock " + ruleSock,
		"evil_pidhost " + ruleHostNS, "evil_pidhost " + ruleCaps, "evil_pidhost " + ruleUnconf, "evil_minerlike " + ruleMiner,
	} {
		if got[w] == "" {
			t.Errorf("%s was not found", w)
		}
	}
	for k := range got {
		if k[:6] == "benign" {
			t.Errorf("benign container: %s", k)
		}
	}
	s.OnlyAllowed(t, audittest.AllowedInREADME(readme))
}

func TestTLSWithoutVerify(t *testing.T) {
	s := audittest.NewTLS(t, audittest.Fixtures(t, "docker", "insecure"), "create_empty")
	audittest.Want(t, audit(t, s.URL, mw.ServiceAccess{}), map[string]mw.Status{ruleOpen: mw.StatusPass, ruleNoVerify: mw.StatusFail, ruleCreate: mw.StatusFail})
}

func TestMutualTLS(t *testing.T) {
	s, access := audittest.NewMutualTLS(t, audittest.Fixtures(t, "docker", "hardened"))
	v := audit(t, s.URL, mw.ServiceAccess{})
	audittest.NothingFrom(t, v, rules(), mw.Medium)
	audittest.Want(t, v, map[string]mw.Status{ruleOpen: mw.StatusPass, ruleNoVerify: mw.StatusPass, ruleCreate: mw.StatusPass, rulePriv: mw.StatusUnknown})
	v = audit(t, s.URL, access)
	audittest.NothingFrom(t, v, rules(), mw.Medium)
	audittest.Want(t, v, map[string]mw.Status{ruleNoVerify: mw.StatusPass, rulePriv: mw.StatusPass, ruleUserns: mw.StatusPass, ruleLive: mw.StatusPass, ruleCVE: mw.StatusPossible})
	audittest.NoSecret(t, v, string(access.Key))
	s.OnlyAllowed(t, audittest.AllowedInREADME(readme))
}

func TestRules(t *testing.T) { audittest.CompleteRules(t, "docker", rules()) }
