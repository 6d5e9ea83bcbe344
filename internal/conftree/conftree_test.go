package conftree

import (
	"errors"
	"strings"
	"testing"
)

const agent = `# comment
server { enabled = true }
client {
  options {
    "driver.raw_exec.enable" = "1"
  }
}
plugin "raw_exec" {
  config { enabled = true }
}
plugin "docker" {
  config = { allow_privileged = true }
}
`

func TestHCL(t *testing.T) {
	n, err := ParseHCL("a.hcl", []byte(agent))
	if err != nil {
		t.Fatal(err)
	}
	if !n.Get("client", "options", "driver.raw_exec.enable").True() || !n.Get("plugin", "raw_exec", "config", "enabled").True() || !n.Get("plugin", "docker", "config", "allow_privileged").True() {
		t.Errorf("got %v", n.Any())
	}
}

func TestQuotedKeysKeepPositions(t *testing.T) {
	src := "client {\n  options {\n    \"driver.raw_exec.enable\" = \"1\"\n  }\n}\nplugin \"raw_exec\" {\n  config {\n    enabled = true\n  }\n}\n"
	n, err := ParseHCL("a.hcl", []byte(src))
	if err != nil {
		t.Fatal(err)
	}
	o := n.Get("client", "options", "driver.raw_exec.enable")
	if !o.True() || o.Line != 3 || o.Column != 5 {
		t.Errorf("got %+v", o)
	}
	if e := n.Get("plugin", "raw_exec", "config", "enabled"); !e.True() || e.Line != 8 {
		t.Errorf("got %+v", e)
	}
}

func TestVariables(t *testing.T) {
	src := "variable \"d\" {\n  default = \"raw_exec\"\n}\nlocals {\n  u = \"${var.d}-x\"\n}\njob \"j\" {\n  driver = var.d\n  l = local.u\n  e = env(\"X\")\n  t = \"a ${attr.x} b\"\n}\n"
	n, err := ParseHCL("j.hcl", []byte(src))
	if err != nil {
		t.Fatal(err)
	}
	j := n.Get("job", "j")
	if j.Get("driver").Str() != "raw_exec" || j.Get("l").Str() != "raw_exec-x" || j.Get("e").Kind != Unknown || !strings.Contains(j.Get("t").Str(), "attr.x") {
		t.Errorf("got %v", j.Any())
	}
}

func TestJSON(t *testing.T) {
	n, err := ParseJSON("d.json", []byte("{\n \"hosts\": [\"tcp://0.0.0.0:2375\"],\n \"plugin\": [{\"raw_exec\": [{\"config\": [{\"enabled\": true}]}]}],\n \"n\": -1\n}\n"))
	if err != nil {
		t.Fatal(err)
	}
	if h := n.Get("hosts"); h.Strings()[0] != "tcp://0.0.0.0:2375" || h.Items[0].Line != 2 || h.Items[0].Column != 12 {
		t.Errorf("got %+v", h.Items[0])
	}
	if e := n.Get("plugin", "raw_exec", "config", "enabled"); !e.True() || e.Line != 3 {
		t.Errorf("got %+v", e)
	}
	if i, ok := n.Get("n").Int(); !ok || i != -1 {
		t.Error("number")
	}
}

func TestINI(t *testing.T) {
	n, err := ParseINI("app.ini", []byte("APP = x\n[security]\nDISABLE_GIT_HOOKS = false ; why\n[service]\nNAME = `a ; b`\n"))
	if err != nil {
		t.Fatal(err)
	}
	if v := n.Get("security", "DISABLE_GIT_HOOKS"); v.Str() != "false" || v.Line != 3 {
		t.Errorf("got %+v", v)
	}
	if n.Get("service", "NAME").Str() != "a ; b" || n.Get("", "APP").Str() != "x" {
		t.Error("quotes or top section")
	}
}

func TestErrorsHavePositions(t *testing.T) {
	for name, parse := range map[string]func(string, []byte) (*Node, error){"a.hcl": ParseHCL, "a.json": ParseJSON, "a.ini": ParseINI} {
		_, err := parse(name, []byte("{\n\n  x y z\n"))
		var e *Error
		if !errors.As(err, &e) || e.Line < 1 || e.File != name {
			t.Errorf("%s: %v", name, err)
		}
	}
	for _, deep := range []string{strings.Repeat("[", 1_000_000), "a = " + strings.Repeat("!", 1_000_000) + "true", strings.Repeat("{\"a\":", 1_000_000)} {
		if _, err := ParseHCL("d.hcl", []byte(deep)); err == nil {
			t.Error("deep HCL: no error")
		}
		if _, err := ParseJSON("d.json", []byte(deep)); err == nil {
			t.Error("deep JSON: no error")
		}
	}
}

func FuzzParse(f *testing.F) {
	f.Add([]byte(agent))
	f.Add([]byte(`{"a":[1,{"b":null}]}`))
	f.Add([]byte("[a]\nb=c\n"))
	f.Fuzz(func(t *testing.T, b []byte) {
		for _, parse := range []func(string, []byte) (*Node, error){ParseHCL, ParseJSON, ParseINI} {
			if n, err := parse("f", b); err == nil {
				n.Any()
				n.Get("a", "b")
			}
		}
	})
}
