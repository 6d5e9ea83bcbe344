package consul

import (
	"encoding/json"
	"net/netip"
	"strings"

	mw "github.com/minewarden/minewarden"
)

func edit(file string, value any, key ...string) []mw.Edit {
	if file == "" {
		return nil
	}
	v, err := json.Marshal(value)
	if err != nil {
		panic(err) // of constants of this file only
	}
	format := mw.FormatHCL
	if strings.HasSuffix(file, ".json") {
		format = mw.FormatJSON
	}
	return []mw.Edit{{Path: file, Format: format, Op: mw.EditSet, Key: key, Value: v}}
}

func repairACL(file string) *mw.Repair {
	return &mw.Repair{
		Summary: "turn access control on with default deny; then run consul acl bootstrap once, and give every agent and client a token, or they stop working",
		Format:  mw.FormatHCL, Config: "acl {\n  enabled                  = true\n  default_policy           = \"deny\"\n  down_policy              = \"extend-cache\"\n  enable_token_persistence = true\n}\n",
		Edits: append(edit(file, true, "acl", "enabled"), edit(file, "deny", "acl", "default_policy")...),
	}
}

func repairDefault(file string) *mw.Repair {
	return &mw.Repair{
		Summary: "deny what no policy allows; give every agent and client a token first", Format: mw.FormatHCL,
		Config: "acl {\n  default_policy = \"deny\"\n}\n", Edits: edit(file, "deny", "acl", "default_policy"),
	}
}

func repairDown(file string) *mw.Repair {
	return &mw.Repair{
		Summary: "use known tokens only while the servers are away", Format: mw.FormatHCL,
		Config: "acl {\n  down_policy = \"extend-cache\"\n}\n", Edits: edit(file, "extend-cache", "acl", "down_policy"),
	}
}

func repairAnonymous() *mw.Repair {
	return &mw.Repair{
		Summary: "take the rights from the anonymous token", Format: mw.FormatShell,
		Config: "consul acl token read -id anonymous   # keep what it says\nconsul acl token update -id anonymous -description \"no rights\"\n",
	}
}

func repairScripts(file string) *mw.Repair {
	return &mw.Repair{
		Summary: "take script checks from files only; checks that are registered over the API with a script stop working", Format: mw.FormatHCL,
		Config: "enable_script_checks = false\n# enable_local_script_checks = true   # if checks in files need a script\n", Edits: edit(file, false, "enable_script_checks"),
	}
}

func repairRexec(file string) *mw.Repair {
	return &mw.Repair{Summary: "turn consul exec off", Format: mw.FormatHCL, Config: "disable_remote_exec = true\n", Edits: edit(file, true, "disable_remote_exec")}
}

// repairTLS turns on what is missing. named tells which of the certificates' settings are there already: the others are set too,
// for an agent with half of them does not start.
func repairTLS(file, what string, named func(key string) bool) *mw.Repair {
	r := &mw.Repair{
		Summary: "verify both ends of every connection between agents; every agent needs its certificate first", Format: mw.FormatHCL,
		Config: "tls {\n  defaults {\n    ca_file         = \"/etc/consul.d/tls/ca.pem\"\n    cert_file       = \"/etc/consul.d/tls/agent.pem\"\n    key_file        = \"/etc/consul.d/tls/agent-key.pem\"\n" +
			"    verify_incoming = true\n    verify_outgoing = true\n  }\n  internal_rpc {\n    verify_server_hostname = true\n  }\n}\nports {\n  http  = -1\n  https = 8501\n}\n",
	}
	r.Needs = "the authority's certificate, and a certificate and key of this agent's own, at the paths that tls names"
	defer func() {
		for _, c := range []struct{ key, path string }{{"ca_file", "/etc/consul.d/tls/ca.pem"}, {"cert_file", "/etc/consul.d/tls/agent.pem"}, {"key_file", "/etc/consul.d/tls/agent-key.pem"}} {
			if named == nil || !named(c.key) {
				r.Edits = append(r.Edits, edit(file, c.path, "tls", "defaults", c.key)...)
			}
		}
	}()
	switch what {
	case "rpc":
		r.Edits = append(edit(file, true, "tls", "defaults", "verify_incoming"), edit(file, true, "tls", "defaults", "verify_outgoing")...)
	case "name":
		r.Edits = edit(file, true, "tls", "internal_rpc", "verify_server_hostname")
	case "http":
		r.Edits = append(edit(file, -1, "ports", "http"), edit(file, 8501, "ports", "https")...)
	}
	return r
}

func repairGossip() *mw.Repair {
	// No edit: the key is a secret that only the operator may make, the same on every agent.
	return &mw.Repair{Summary: "make a key once with consul keygen and give it to every agent", Format: mw.FormatHCL, Config: "encrypt = \"<output of: consul keygen>\"\n"}
}

func repairFrom(file string) *mw.Repair {
	return &mw.Repair{
		Summary: "take changes from this host only", Format: mw.FormatHCL,
		Config: "http_config {\n  allow_write_http_from = [\"127.0.0.0/8\"]\n}\n", Edits: edit(file, []string{"127.0.0.0/8"}, "http_config", "allow_write_http_from"),
	}
}

func repairListen(file string) *mw.Repair {
	return &mw.Repair{
		Summary: "serve the API on loopback only; name a private address where other hosts must reach it", Format: mw.FormatHCL,
		Config: "client_addr = \"127.0.0.1\"\n", Edits: edit(file, "127.0.0.1", "client_addr"),
	}
}

// isAll tells an address that means every interface.
func isAll(addr string) bool {
	a, err := netip.ParseAddr(strings.Trim(addr, "[]"))
	return err == nil && a.IsUnspecified()
}
