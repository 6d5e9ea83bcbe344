package repair

import (
	"bytes"
	"encoding/json"
	"errors"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"gopkg.in/ini.v1"

	"github.com/google/go-cmp/cmp"
	"github.com/hashicorp/hcl/v2"
	"github.com/hashicorp/hcl/v2/hclsyntax"

	"github.com/minewarden/minewarden"
	"github.com/minewarden/minewarden/internal/verdict"
	"github.com/minewarden/minewarden/internal/yamltree"
)

func set(f minewarden.Format, v any, key ...string) minewarden.Edit {
	return verdict.Set("f", f, v, key...)
}

func del(f minewarden.Format, key ...string) minewarden.Edit { return verdict.Delete("f", f, key...) }

func TestApply(t *testing.T) {
	const (
		H = minewarden.FormatHCL
		J = minewarden.FormatJSON
		I = minewarden.FormatINI
		S = minewarden.FormatSystemd
		Y = minewarden.FormatYAML
		K = minewarden.FormatKeyValue
	)
	sysctl := func(v any, key string) minewarden.Edit {
		e := set(K, v, key)
		e.Path = "etc/sysctl.d/99.conf"
		return e
	}
	for _, tc := range []struct {
		name, in string
		edits    []minewarden.Edit
		want     string
	}{
		{"hcl value, comment kept", "acl {\n  enabled = false # later\n}\n", []minewarden.Edit{set(H, true, "acl", "enabled")}, "acl {\n  enabled = true # later\n}\n"},
		{"hcl new key in block", "acl {\n  # todo\n}\n", []minewarden.Edit{set(H, true, "acl", "enabled")}, "acl {\n  # todo\n  enabled = true\n}\n"},
		{"hcl new block at the end", "a = 1", []minewarden.Edit{set(H, true, "acl", "enabled")}, "a = 1\nacl {\n  enabled = true\n}\n"},
		{"hcl one-line block", "ports { http = 1 }\n", []minewarden.Edit{set(H, 2, "ports", "rpc")}, "ports {\n  http = 1\n  rpc = 2\n}\n"},
		{"hcl empty block", "acl {}\n", []minewarden.Edit{set(H, true, "acl", "enabled")}, "acl {\n  enabled = true\n}\n"},
		{
			"hcl labelled", "plugin \"docker\" {\n}\nplugin \"raw_exec\" {\n  config {\n    enabled = true\n  }\n}\n",
			[]minewarden.Edit{set(H, false, "plugin", "raw_exec", "config", "enabled")},
			"plugin \"docker\" {\n}\nplugin \"raw_exec\" {\n  config {\n    enabled = false\n  }\n}\n",
		},
		{
			"hcl new labelled block", "a = 1\n",
			[]minewarden.Edit{set(H, false, "plugin", "raw_exec", "config", "enabled")},
			"a = 1\nplugin \"raw_exec\" {\n  config {\n    enabled = false\n  }\n}\n",
		},
		{
			"hcl map as expression", "client {\n  options = {\n    # why\n    \"driver.raw_exec.enable\" = \"1\"\n  }\n}\n",
			[]minewarden.Edit{set(H, "0", "client", "options", "driver.raw_exec.enable")},
			"client {\n  options = {\n    # why\n    \"driver.raw_exec.enable\" = \"0\"\n  }\n}\n",
		},
		{"hcl delete", "a = 1\nencrypt = \"x\" # key\nb = 2\n", []minewarden.Edit{del(H, "encrypt")}, "a = 1\nb = 2\n"},
		{"hcl delete block", "a = 1\nports {\n  http = 1\n}\nb = 2\n", []minewarden.Edit{del(H, "ports")}, "a = 1\nb = 2\n"},
		{
			"hcl tabs and crlf", "acl {\r\n\tenabled = false\r\n}\r\n",
			[]minewarden.Edit{set(H, true, "acl", "enabled"), set(H, "deny", "acl", "default_policy")},
			"acl {\r\n\tenabled = true\r\n\tdefault_policy = \"deny\"\r\n}\r\n",
		},
		{"hcl the later block wins", "acl {\n  enabled = true\n}\nacl {\n  enabled = false\n}\n", []minewarden.Edit{set(H, true, "acl", "enabled")}, "acl {\n  enabled = true\n}\nacl {\n  enabled = true\n}\n"},
		{"hcl list", "bind = [\"0.0.0.0\"]\n", []minewarden.Edit{set(H, []string{"127.0.0.1", "::1"}, "bind")}, "bind = [\"127.0.0.1\", \"::1\"]\n"},

		{"json value", "{\n    \"tls\": false,\n    \"b\": 1\n}\n", []minewarden.Edit{set(J, true, "tls")}, "{\n    \"tls\": true,\n    \"b\": 1\n}\n"},
		{"json new", "{\n  \"hosts\": [\"a\"]\n}\n", []minewarden.Edit{set(J, true, "tlsverify")}, "{\n  \"hosts\": [\"a\"],\n  \"tlsverify\": true\n}\n"},
		{"json new in tabs", "{\n\t\"a\": 1\n}", []minewarden.Edit{set(J, true, "b", "c")}, "{\n\t\"a\": 1,\n\t\"b\": {\n\t\t\"c\": true\n\t}\n}"},
		{"json compact", `{"a":1}`, []minewarden.Edit{set(J, []string{"x", "y"}, "b")}, `{"a":1, "b": ["x", "y"]}`},
		{"json empty", "{}\n", []minewarden.Edit{set(J, true, "b")}, "{\n  \"b\": true\n}\n"},
		{"json delete first, middle, last", "{\n  \"a\": 1,\n  \"b\": 2,\n  \"c\": 3\n}\n", []minewarden.Edit{del(J, "a"), del(J, "c")}, "{\n  \"b\": 2\n}\n"},
		{"json list elements", `{"hosts": ["tcp://0.0.0.0:2375", "unix:///x", "y"]}`, []minewarden.Edit{del(J, "hosts", "0"), del(J, "hosts", "2")}, `{"hosts": ["unix:///x"]}`},
		{"json only element", `{"hosts": ["x"]}`, []minewarden.Edit{del(J, "hosts", "0")}, `{"hosts": []}`},
		{"json same value in other spelling", `{"a": [1 , 2]}`, []minewarden.Edit{set(J, []int{1, 2}, "a")}, `{"a": [1 , 2]}`},

		{"ini value", "[security]\n; no\nDISABLE_GIT_HOOKS = false ; x\n", []minewarden.Edit{set(I, true, "security", "DISABLE_GIT_HOOKS")}, "[security]\n; no\nDISABLE_GIT_HOOKS = true ; x\n"},
		{"ini new in section", "[security]\nA = 1\n\n[service]\nB = 2\n", []minewarden.Edit{set(I, true, "security", "X")}, "[security]\nA = 1\nX = true\n\n[service]\nB = 2\n"},
		{"ini under the commented default", "[security]\n;; text\n;X = false\nA = 1\n", []minewarden.Edit{set(I, true, "security", "X")}, "[security]\n;; text\n;X = false\nX = true\nA = 1\n"},
		{"ini new section", "[a]\nb = 1", []minewarden.Edit{set(I, "y", "security", "X")}, "[a]\nb = 1\n\n[security]\nX = y\n"},
		{"ini before the first header", "APP = x\n[a]\n", []minewarden.Edit{set(I, "y", "", "MODE")}, "APP = x\nMODE = y\n[a]\n"},
		{"ini crlf", "[a]\r\nb=1\r\n", []minewarden.Edit{set(I, 2, "a", "b"), set(I, 3, "a", "c")}, "[a]\r\nb=2\r\nc = 3\r\n"},
		{"ini twice", "[a]\nb = 1\nb = 2\n", []minewarden.Edit{set(I, 3, "a", "b")}, "[a]\nb = 3\nb = 3\n"},

		{
			"systemd", "[Service]\nExecStart=/usr/bin/dockerd -H fd:// \\\n  -H tcp://0.0.0.0:2375\nRestart=always\n",
			[]minewarden.Edit{set(S, "/usr/bin/dockerd -H fd://", "Service", "ExecStart")},
			"[Service]\nExecStart=/usr/bin/dockerd -H fd://\nRestart=always\n",
		},
		{
			"systemd reset and set", "[Service]\nExecStart=\nExecStart=/usr/bin/dockerd -H tcp://0.0.0.0:2375\n",
			[]minewarden.Edit{set(S, []string{"", "/usr/bin/dockerd"}, "Service", "ExecStart")},
			"[Service]\nExecStart=\nExecStart=/usr/bin/dockerd\n",
		},

		{"sshd", "#PermitRootLogin yes\nPort 22\nMatch User x\n  PermitRootLogin yes\n", []minewarden.Edit{set(K, "no", "PermitRootLogin")}, "#PermitRootLogin yes\nPermitRootLogin no\nPort 22\nMatch User x\n  PermitRootLogin yes\n"},
		{"sshd any case", "permitrootlogin yes\n", []minewarden.Edit{set(K, "no", "PermitRootLogin")}, "permitrootlogin no\n"},
		{"sshd before match", "Port 22\nMatch User x\n  X11Forwarding yes", []minewarden.Edit{set(K, false, "PasswordAuthentication")}, "Port 22\nPasswordAuthentication no\nMatch User x\n  X11Forwarding yes"},
		{"sysctl", "# a\nkernel.yama.ptrace_scope = 0\n", []minewarden.Edit{sysctl(1, "kernel.yama.ptrace_scope"), sysctl(2, "kernel.kptr_restrict")}, "# a\nkernel.yama.ptrace_scope = 1\nkernel.kptr_restrict = 2\n"},
		{"sysctl slashes", "-kernel/yama/ptrace_scope=0\n", []minewarden.Edit{sysctl(1, "kernel.yama.ptrace_scope")}, "-kernel/yama/ptrace_scope=1\n"},

		{"yaml scalar, comment kept", "a:\n  privileged: true # why\n  b: 1\n", []minewarden.Edit{set(Y, false, "a", "privileged")}, "a:\n  privileged: false # why\n  b: 1\n"},
		{"yaml flow", "a: {privileged: true, b: \"x\"}\n", []minewarden.Edit{set(Y, false, "a", "privileged")}, "a: {privileged: false, b: \"x\"}\n"},
		{"yaml add", "spec:\n  containers:\n  - name: a\n    image: x\n", []minewarden.Edit{set(Y, false, "spec", "automountServiceAccountToken")}, "spec:\n  containers:\n  - name: a\n    image: x\n  automountServiceAccountToken: false\n"},
		{"yaml add in list", "m:\n- name: a\n  path: /x\n- name: b\n", []minewarden.Edit{set(Y, true, "m", "0", "readOnly")}, "m:\n- name: a\n  readOnly: true\n  path: /x\n- name: b\n"},
		{"yaml add to flow", "m: [{name: a}]\n", []minewarden.Edit{set(Y, true, "m", "0", "readOnly")}, "m: [{readOnly: true, name: a}]\n"},
		{"yaml nested add", "a: 1\n", []minewarden.Edit{set(Y, false, "authentication", "anonymous", "enabled")}, "a: 1\nauthentication:\n  anonymous:\n    enabled: false\n"},
		{"yaml delete", "s:\n  a:\n    image: x\n    # shares\n    pid: host\n    ports:\n      - 1\n", []minewarden.Edit{del(Y, "s", "a", "pid")}, "s:\n  a:\n    image: x\n    # shares\n    ports:\n      - 1\n"},
		{"yaml delete list", "s:\n  volumes:\n  - a\n  - b\n  - c # keep\n", []minewarden.Edit{del(Y, "s", "volumes", "0"), del(Y, "s", "volumes", "1")}, "s:\n  volumes:\n  - c # keep\n"},
		{"yaml delete the only one", "s:\n  volumes:\n    - a\n  x: 1\n", []minewarden.Edit{del(Y, "s", "volumes", "0")}, "s:\n  volumes: []\n  x: 1\n"},
		{"yaml shrink list", "add:\n  - SYS_ADMIN\n  - CHOWN # needed\n", []minewarden.Edit{set(Y, []string{"CHOWN"}, "add")}, "add:\n  - CHOWN # needed\n"},
		{"yaml empty list", "a:\n  add:\n  - SYS_ADMIN\n  b: 1\n", []minewarden.Edit{set(Y, []string{}, "a", "add")}, "a:\n  add: []\n  b: 1\n"},
		{"yaml document", "a: 1\n---\na: 2\n", []minewarden.Edit{set(Y, 3, "#1", "a")}, "a: 1\n---\na: 3\n"},
		{"yaml string that needs quotes", "p:\n  - \"6379:6379\"\n", []minewarden.Edit{set(Y, "127.0.0.1:6379:6379", "p", "0")}, "p:\n  - \"127.0.0.1:6379:6379\"\n"},
		{"yaml first key of an element", "m:\n  - pid: host\n    image: x\n", []minewarden.Edit{del(Y, "m", "0", "pid")}, "m:\n  - image: x\n"},
		{"yaml wide characters", "a: {\"ключ\": 1, privileged: true}\n", []minewarden.Edit{set(Y, false, "a", "privileged")}, "a: {\"ключ\": 1, privileged: false}\n"},
		{"yaml that is json", "{\"spec\": {\"hostPID\": true}}\n", []minewarden.Edit{set(Y, false, "spec", "hostPID")}, "{\"spec\": {\"hostPID\": false}}\n"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			got, err := Apply([]byte(tc.in), tc.edits)
			if err != nil {
				t.Fatal(err)
			}
			if d := cmp.Diff(tc.want, string(got)); d != "" {
				t.Errorf("-want +got\n%s", d)
			}
			if tc.name == "json list elements" || strings.HasPrefix(tc.name, "yaml delete") || tc.name == "json only element" {
				return // deleting by index is not the same twice
			}
			again, err := Apply(got, tc.edits)
			if err != nil || !bytes.Equal(again, got) {
				t.Errorf("applied twice: %v\n%s", err, again)
			}
		})
	}
}

func TestByHand(t *testing.T) {
	for name, tc := range map[string]struct {
		in string
		e  minewarden.Edit
	}{
		"broken hcl":     {"acl {\n", set(minewarden.FormatHCL, true, "acl", "enabled")},
		"broken json":    {"{\"a\": 1, }", set(minewarden.FormatJSON, true, "b")},
		"json comments":  {"{\"a\": 1 // x\n}", set(minewarden.FormatJSON, true, "b")},
		"broken yaml":    {"a: [\n", set(minewarden.FormatYAML, true, "b")},
		"merged":         {"x: &x {privileged: true}\na:\n  <<: *x\n  b: 1\n", set(minewarden.FormatYAML, false, "a", "privileged")},
		"alias":          {"x: &x true\na: *x\n", set(minewarden.FormatYAML, false, "a")},
		"anchor":         {"a: &x true\nb: *x\n", set(minewarden.FormatYAML, false, "a")},
		"no document":    {"a: 1\n---\na: 2\n", set(minewarden.FormatYAML, 3, "a")},
		"no such format": {"a", set(minewarden.FormatDockerfile, 3, "a")},
		"line end":       {"a=1\n", set(minewarden.FormatINI, "x\n[y]", "", "a")},
	} {
		t.Run(name, func(t *testing.T) {
			out, err := Apply([]byte(tc.in), []minewarden.Edit{tc.e})
			if err == nil {
				t.Fatalf("got %q", out)
			}
			if !errors.Is(err, ErrByHand) {
				t.Errorf("%v does not say that it must be done by hand", err)
			}
		})
	}
}

func TestDiffIsWhatPatchTakes(t *testing.T) {
	patch, err := exec.LookPath("patch")
	if err != nil {
		t.Skip("no patch on PATH")
	}
	rng := rand.New(rand.NewPCG(1, 2))
	for i := range 200 {
		var a, b []string
		for range rng.IntN(40) {
			line := string(rune('a'+rng.IntN(6))) + "\n"
			if rng.IntN(4) > 0 {
				a = append(a, line)
			}
			if rng.IntN(4) > 0 {
				b = append(b, line)
			}
		}
		before, after := strings.Join(a, ""), strings.Join(b, "")
		if i%5 == 0 {
			after = strings.TrimSuffix(after, "\n")
		}
		d := Diff("f", []byte(before), []byte(after))
		if d == "" {
			if before != after {
				t.Fatal("no diff of different texts")
			}
			continue
		}
		if before == "" || after == "" {
			continue // patch removes and creates files here
		}
		dir := t.TempDir()
		if err := os.WriteFile(filepath.Join(dir, "f"), []byte(before), 0o600); err != nil {
			t.Fatal(err)
		}
		cmd := exec.Command(patch, "-p1", "-s", "-d", dir)
		cmd.Stdin = strings.NewReader(d)
		if out, err := cmd.CombinedOutput(); err != nil {
			t.Fatalf("%v: %s\n%s", err, out, d)
		}
		got, err := os.ReadFile(filepath.Join(dir, "f"))
		if err != nil || string(got) != after {
			t.Fatalf("got %q (%v), want %q\n%s", got, err, after, d)
		}
	}
}

func TestDiffText(t *testing.T) {
	got := Diff("etc/x.conf", []byte("1\n2\n3\n4\n5\n6\n7\n8\n"), []byte("1\n2\n3\n4\nfive\n6\n7\n8\n"))
	want := "--- a/etc/x.conf\n+++ b/etc/x.conf\n@@ -2,7 +2,7 @@\n 2\n 3\n 4\n-5\n+five\n 6\n 7\n 8\n"
	if got != want {
		t.Errorf("got %q", got)
	}
}

// FuzzApply holds the promise that what comes out is accepted by the format's parser.
func FuzzApply(f *testing.F) {
	f.Add([]byte("acl {\n  enabled = false\n}\n"), uint8(0))
	f.Add([]byte("{\"acl\": {\"enabled\": false}}"), uint8(1))
	f.Add([]byte("[acl]\nenabled = false\n"), uint8(2))
	f.Add([]byte("acl:\n  enabled: false\n"), uint8(3))
	f.Add([]byte("acl: {enabled: \"no\"}\n"), uint8(3))
	f.Add([]byte("- acl:\n  - enabled: &x\n"), uint8(4))
	f.Fuzz(func(t *testing.T, data []byte, kind uint8) {
		if len(data) > 1<<14 {
			return // the parsers underneath take more than linear time for hostile text; what they are given is bounded elsewhere
		}
		formats := []minewarden.Format{minewarden.FormatHCL, minewarden.FormatJSON, minewarden.FormatINI, minewarden.FormatYAML, minewarden.FormatSystemd}
		format := formats[int(kind)%len(formats)]
		for _, e := range []minewarden.Edit{set(format, true, "acl", "enabled"), del(format, "acl", "enabled"), set(format, []string{"a", "b:c"}, "acl", "enabled")} {
			out, err := Apply(data, []minewarden.Edit{e})
			if err != nil {
				continue
			}
			Diff("f", data, out)
			if bytes.Equal(out, data) {
				continue
			}
			switch format {
			case minewarden.FormatHCL:
				if _, d := hclsyntax.ParseConfig(out, "", hcl.InitialPos); d.HasErrors() {
					t.Fatalf("%q became %q: %v", data, out, d)
				}
			case minewarden.FormatJSON:
				if !json.Valid(out) {
					t.Fatalf("%q became %q", data, out)
				}
			case minewarden.FormatYAML:
				if _, err := yamltree.Parse(out); err != nil {
					t.Fatalf("%q became %q: %v", data, out, err)
				}
			case minewarden.FormatINI:
				if _, err := ini.LoadSources(ini.LoadOptions{}, data); err == nil {
					if _, err := ini.LoadSources(ini.LoadOptions{}, out); err != nil && e.Op == minewarden.EditSet {
						t.Fatalf("%q became %q: %v", data, out, err)
					}
				}
			}
		}
	})
}
