package docker

import (
	"encoding/json"
	"fmt"
	"sort"

	mw "github.com/minewarden/minewarden"
)

func sortStrings(s []string) { sort.Strings(s) }

func edit(file string, value any, key ...string) []mw.Edit {
	if file == "" {
		return nil
	}
	v, err := json.Marshal(value)
	if err != nil {
		panic(err) // of constants of this file only
	}
	return []mw.Edit{{Path: file, Format: mw.FormatJSON, Op: mw.EditSet, Key: key, Value: v}}
}

// repairClose takes the TCP host away. The edit needs the hosts that stay; a caller that knows the file gives them.
func repairClose(file string, keep ...string) *mw.Repair {
	if len(keep) == 0 {
		keep = []string{"unix:///var/run/docker.sock"}
	}
	hosts, err := json.Marshal(keep)
	if err != nil {
		panic(err) // of strings
	}
	return &mw.Repair{
		Summary: "serve the API on the local socket only; remote clients use ssh:// (docker context) or mutual TLS", Format: mw.FormatJSON,
		Config: fmt.Sprintf("{\n  \"hosts\": %s\n}\n", hosts), Edits: edit(file, keep, "hosts"),
	}
}

// named tells which of the certificates' settings are there already: the others are set too, for a daemon with half of them does
// not start.
func repairVerify(file string, named func(key string) bool) *mw.Repair {
	r := &mw.Repair{
		Summary: "refuse clients without a certificate of your own authority", Format: mw.FormatJSON,
		Config: "{\n  \"tls\": true,\n  \"tlsverify\": true,\n  \"tlscacert\": \"/etc/docker/tls/ca.pem\",\n  \"tlscert\": \"/etc/docker/tls/server.pem\",\n  \"tlskey\": \"/etc/docker/tls/server-key.pem\"\n}\n",
		Edits:  edit(file, true, "tlsverify"), Needs: "the authority's certificate, and a certificate and key of this daemon's own, at the paths that daemon.json names",
	}
	for _, c := range []struct{ key, path string }{{"tlscacert", "/etc/docker/tls/ca.pem"}, {"tlscert", "/etc/docker/tls/server.pem"}, {"tlskey", "/etc/docker/tls/server-key.pem"}} {
		if named == nil || !named(c.key) {
			r.Edits = append(r.Edits, edit(file, c.path, c.key)...)
		}
	}
	return r
}

func repairSet(file, key string, value any, summary string) *mw.Repair {
	v, err := json.Marshal(value)
	if err != nil {
		panic(err) // of constants
	}
	return &mw.Repair{Summary: summary, Format: mw.FormatJSON, Config: fmt.Sprintf("{\n  %q: %s\n}\n", key, v), Edits: edit(file, value, key)}
}
