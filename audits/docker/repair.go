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
	return &mw.Repair{Summary: "serve the API on the local socket only; remote clients use ssh:// (docker context) or mutual TLS", Format: mw.FormatJSON,
		Config: fmt.Sprintf("{\n  \"hosts\": %s\n}\n", hosts), Edits: edit(file, keep, "hosts")}
}

func repairVerify(file string) *mw.Repair {
	return &mw.Repair{Summary: "refuse clients without a certificate of your own authority", Format: mw.FormatJSON,
		Config: "{\n  \"tls\": true,\n  \"tlsverify\": true,\n  \"tlscacert\": \"/etc/docker/tls/ca.pem\",\n  \"tlscert\": \"/etc/docker/tls/server.pem\",\n  \"tlskey\": \"/etc/docker/tls/server-key.pem\"\n}\n",
		Edits:  edit(file, true, "tlsverify")}
}

func repairSet(file, key string, value any, summary string) *mw.Repair {
	v, err := json.Marshal(value)
	if err != nil {
		panic(err) // of constants
	}
	return &mw.Repair{Summary: summary, Format: mw.FormatJSON, Config: fmt.Sprintf("{\n  %q: %s\n}\n", key, v), Edits: edit(file, value, key)}
}
