package docker

import (
	"context"
	"io/fs"
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

func TestDaemonFiles(t *testing.T) {
	dir := audittest.Fixtures(t, "docker", "config")
	for name, want := range map[string]map[string]mw.Status{
		"daemon-insecure.json": {ruleOpen: mw.StatusFail, ruleNoNewPriv: mw.StatusFail, ruleUserns: mw.StatusFail},
		"daemon-hardened.json": {ruleOpen: mw.StatusPass, ruleNoVerify: mw.StatusPass, ruleNoNewPriv: mw.StatusPass, ruleLive: mw.StatusPass},
	} {
		b, err := os.ReadFile(filepath.Join(dir, name))
		if err != nil {
			t.Fatal(err)
		}
		v := auditFile(t, name, string(b))
		audittest.Want(t, v, want)
		if name == "daemon-hardened.json" {
			audittest.NothingFrom(t, v, rules(), mw.Medium)
		}
	}
}

func TestUnitFile(t *testing.T) {
	for _, tc := range []struct {
		start string
		want  map[string]mw.Status
	}{
		{"-H fd:// -H tcp://0.0.0.0:2375", map[string]mw.Status{ruleOpen: mw.StatusFail}},
		{"-H 0.0.0.0:2375", map[string]mw.Status{ruleOpen: mw.StatusFail}},
		{"--host=tcp://0.0.0.0:2376 --tlsverify --tlscacert=/ca", map[string]mw.Status{ruleOpen: mw.StatusPass, ruleNoVerify: mw.StatusPass}},
		{"--host=tcp://0.0.0.0:2376 --tls", map[string]mw.Status{ruleOpen: mw.StatusPass, ruleNoVerify: mw.StatusPossible}},
		{"--host=tcp://0.0.0.0:2376 --tls --tlsverify=false", map[string]mw.Status{ruleNoVerify: mw.StatusFail}},
	} {
		v := auditFile(t, "docker.service.d/override.conf", "[Service]\nExecStart=\nExecStart=/usr/bin/dockerd "+tc.start+"\n")
		audittest.Want(t, v, tc.want)
	}
}

func TestHost(t *testing.T) {
	for _, form := range []string{"--config-file\x00/etc/docker/x.json", "--config-file=/etc/docker/x.json"} {
		root := fstest.MapFS{
			"proc/5/cmdline":                      {Data: []byte("/usr/sbin/dockerd\x00" + form + "\x00")},
			"etc/docker/x.json":                   {Data: []byte(`{"hosts":["tcp://0.0.0.0:2375","unix:///srv/d.sock"],"data-root":"/srv/d"}`)},
			"srv/d.sock":                          {Mode: fs.ModeSocket | 0o666},
			"etc/group":                           {Data: []byte("root:x:0:\ndocker:x:998:alice,bob\n")},
			"srv/d/containers/c1/config.v2.json":  {Data: []byte(`{"ID":"c1","Name":"/m","Path":"/bin/sh","MountPoints":{"/host":{"Source":"/","Destination":"/host","Type":"bind"}},"Config":{"Image":"x"}}`)},
			"srv/d/containers/c1/hostconfig.json": {Data: []byte(`{"Binds":null,"PidMode":"host"}`)},
			"srv/d/containers/c2/config.v2.json":  {Data: []byte(`{"ID":"c2","Name":"/ok","Path":"/bin/app","Config":{"Image":"x"}}`)},
			"srv/d/containers/c2/hostconfig.json": {Data: []byte(`{}`)},
		}
		v, err := newAudit(t).Audit(context.Background(), mw.Target{Kind: mw.TargetHost, Name: "host", Root: root})
		if err != nil {
			t.Fatal(err)
		}
		audittest.Want(t, v, map[string]mw.Status{ruleOpen: mw.StatusFail, ruleSocket: mw.StatusFail, ruleGroup: mw.StatusFail, ruleMount: mw.StatusFail, ruleHostNS: mw.StatusFail, rulePriv: mw.StatusPass})
	}
	v, err := newAudit(t).Audit(context.Background(), mw.Target{Kind: mw.TargetHost, Root: fstest.MapFS{}})
	if err != nil || v.Applies {
		t.Errorf("an empty host: %+v, %v", v, err)
	}
}

func FuzzFile(f *testing.F) {
	f.Add(`{"hosts":["tcp://x"]}`)
	a := newAudit(f)
	f.Fuzz(func(t *testing.T, s string) {
		for _, n := range []string{"daemon.json", "docker.service"} {
			if v, err := a.Audit(context.Background(), mw.Target{Kind: mw.TargetFile, Path: n, Data: []byte(s)}); err == nil {
				v.Findings()
			}
		}
	})
}
