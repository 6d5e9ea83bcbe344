package nomad

import (
	"encoding/json"
	"net/netip"
	"strings"

	mw "github.com/minewarden/minewarden"
)

// The repairs. file is where the agent's configuration is, with its format; "" when only the API was asked, and then a
// person has to put the text in place.

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
		Summary: "turn access control on; then run nomad acl bootstrap once, and give every client and pipeline a token, or they stop working",
		Format:  mw.FormatHCL, Config: "acl {\n  enabled = true\n}\n", Edits: edit(file, true, "acl", "enabled"),
	}
}

func repairSubmit(aclOn bool) *mw.Repair {
	if !aclOn {
		return repairACL("")
	}
	return &mw.Repair{
		Summary: "replace the anonymous policy by one that allows nothing", Format: mw.FormatShell,
		Config: "nomad acl policy info anonymous   # keep what it says\nnomad acl policy delete anonymous\n",
	}
}

func repairRawExec(file string) *mw.Repair {
	return &mw.Repair{
		Summary: "disable raw_exec; jobs that use it must move to exec or docker", Format: mw.FormatHCL,
		Config: "plugin \"raw_exec\" {\n  config {\n    enabled = false\n  }\n}\n", Edits: edit(file, false, "plugin", "raw_exec", "config", "enabled"),
	}
}

// certificates are where the repairs look for them when the configuration does not say.
func certificates() []struct{ key, path string } {
	return []struct{ key, path string }{{"ca_file", "/etc/nomad.d/tls/ca.pem"}, {"cert_file", "/etc/nomad.d/tls/agent.pem"}, {"key_file", "/etc/nomad.d/tls/agent-key.pem"}}
}

// repairTLS turns one of tls's switches on. named tells which of the certificates' settings are there already: the others are
// set too, for an agent with half of them does not start.
func repairTLS(file, key string, named func(key string) bool) *mw.Repair {
	r := &mw.Repair{
		Summary: "turn tls." + key + " on; every agent and tool needs the authority's certificate first", Format: mw.FormatHCL,
		Config: "tls {\n  http = true\n  rpc  = true\n\n  ca_file   = \"/etc/nomad.d/tls/ca.pem\"\n  cert_file = \"/etc/nomad.d/tls/agent.pem\"\n  key_file  = \"/etc/nomad.d/tls/agent-key.pem\"\n\n" +
			"  verify_server_hostname = true\n  verify_https_client    = true\n}\n",
		Edits: edit(file, true, "tls", key), Needs: "the authority's certificate, and a certificate and key of this agent's own, at the paths that tls names",
	}
	for _, c := range certificates() {
		if named == nil || !named(c.key) {
			r.Edits = append(r.Edits, edit(file, c.path, "tls", c.key)...)
		}
	}
	if key == "rpc" {
		r.Edits = append(r.Edits, edit(file, true, "tls", "verify_server_hostname")...)
	}
	return r
}

func repairGossip(file string) *mw.Repair {
	// No edit: the key is a secret that only the operator may make, the same on every server.
	return &mw.Repair{
		Summary: "make a key once with nomad operator gossip keyring generate and give it to every server", Format: mw.FormatHCL,
		Config: "server {\n  encrypt = \"<output of: nomad operator gossip keyring generate>\"\n}\n",
	}
}

func repairListen(file string) *mw.Repair {
	return &mw.Repair{
		Summary: "serve the HTTP API on loopback only; put a private address there where other hosts must reach it", Format: mw.FormatHCL,
		Config: "addresses {\n  http = \"127.0.0.1\"\n}\n", Edits: edit(file, "127.0.0.1", "addresses", "http"),
	}
}

func repairDocker(file, key string) *mw.Repair {
	r := &mw.Repair{
		Summary: "forbid privileged containers; jobs that ask for it fail", Format: mw.FormatHCL,
		Config: "plugin \"docker\" {\n  config {\n    allow_privileged = false\n    volumes {\n      enabled = false\n    }\n  }\n}\n",
	}
	if key == "volumes" {
		r.Summary = "forbid mounting host paths; jobs that do need host_volume blocks"
		r.Edits = edit(file, false, "plugin", "docker", "config", "volumes", "enabled")
	} else {
		r.Edits = edit(file, false, "plugin", "docker", "config", "allow_privileged")
	}
	return r
}

// isAll tells an address that means every interface.
func isAll(addr string) bool {
	a, err := netip.ParseAddr(strings.Trim(addr, "[]"))
	return err == nil && a.IsUnspecified()
}
