package source

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"

	"github.com/minewarden/minewarden"
	"github.com/minewarden/minewarden/internal/probe"
	"github.com/minewarden/minewarden/responders/internal/edit"
	"github.com/minewarden/minewarden/responders/internal/ledger"
)

// gitea empties a Git hook of a repository, or makes a web hook inactive.
type gitea struct{ *Responder }

type gitHook struct {
	Name     string `json:"name"`
	IsActive bool   `json:"is_active"`
	Content  string `json:"content,omitempty"`
}

type webHook struct {
	ID     int64             `json:"id"`
	Active bool              `json:"active"`
	Config map[string]string `json:"config"`
	Events []string          `json:"events"`
}

type hookState struct {
	Content string `json:"content"`
}

const maxHooks = 256

func (r *Responder) hooks(ctx context.Context, method, path string, body any) (*probe.Response, error) {
	q := probe.Request{Method: method, Path: "/api/v1/repos/" + path}
	if body != nil {
		b, err := json.Marshal(body)
		if err != nil {
			return nil, err
		}
		q.Body = b
	}
	return r.ask(ctx, &r.conf.Gitea, header("Authorization", "token "), q)
}

func (o repo) path() string { return url.PathEscape(o.Owner) + "/" + url.PathEscape(o.Name) }

// gitea plans for the repositories that the lineage or its files belong to.
func (p *planner) gitea(ctx context.Context) {
	if p.conf.Gitea.URL == "" {
		return
	}
	for _, o := range p.facts.repos {
		target := minewarden.Subject{Type: minewarden.SubjectService, ID: "gitea hooks of " + o.Owner + "/" + o.Name, Name: o.Owner + "/" + o.Name}
		resp, err := p.hooks(ctx, http.MethodGet, o.path()+"/hooks/git", nil)
		if status(err) == http.StatusNotFound {
			continue
		}
		var list []gitHook
		if err == nil {
			err = resp.JSON(&list)
		}
		if err != nil {
			if p.facts.from("gitea", "forgejo") || p.conf.Gitea.TokenFile != "" {
				p.refuse(OpDisableHook, target, fmt.Errorf("ask Gitea: %w", err))
			}
			continue
		}
		for _, h := range list[:min(len(list), maxHooks)] {
			if h.IsActive && hookName(h.Name) {
				p.gitHook(ctx, o, h.Name)
			}
		}
		p.webHooks(ctx, o)
	}
}

func hookName(s string) bool {
	return s != "" && len(s) < 64 && !strings.ContainsFunc(s, func(r rune) bool { return (r < 'a' || r > 'z') && r != '-' })
}

func (r *Responder) gitHookNow(ctx context.Context, path string) (gitHook, error) {
	var h gitHook
	resp, err := r.hooks(ctx, http.MethodGet, path, nil)
	if err == nil {
		err = resp.JSON(&h)
	}
	return h, err
}

func (p *planner) gitHook(ctx context.Context, o repo, name string) {
	path := o.path() + "/hooks/git/" + name
	target := minewarden.Subject{Type: minewarden.SubjectService, ID: "gitea hook " + o.Owner + "/" + o.Name + " " + name, Name: name}
	h, err := p.gitHookNow(ctx, path)
	if err != nil {
		p.refuse(OpDisableHook, target, fmt.Errorf("ask Gitea: %w", err))
		return
	}
	if !h.IsActive || !slices.ContainsFunc(edit.Split([]byte(h.Content)), func(l string) bool { return p.facts.minerLine(l, claim{broken: true}) }) {
		return
	}
	n := len(edit.Split([]byte(h.Content)))
	p.add(minewarden.Action{
		Op: OpDisableHook, Target: target, Reversible: true, Summary: fmt.Sprintf("empty Git hook %s of %s/%s", name, o.Owner, o.Name),
		Blast: []string{fmt.Sprintf("hook %s of repository %s/%s: all its %d lines; the journal keeps them", name, o.Owner, o.Name, n)},
	}, change{Kind: kindGitHook, ID: path, Mark: edit.Sum([]byte(h.Content))},
		edit.Diff(o.Owner+"/"+o.Name+"/hooks/"+name, []byte(h.Content), []edit.Hunk{{At: 0, N: n}}, show))
}

func (p *planner) webHooks(ctx context.Context, o repo) {
	resp, err := p.hooks(ctx, http.MethodGet, o.path()+"/hooks", nil)
	var list []webHook
	if err == nil {
		err = resp.JSON(&list)
	}
	if err != nil {
		p.refuse(OpDisableHook, minewarden.Subject{Type: minewarden.SubjectService, ID: "gitea web hooks of " + o.Owner + "/" + o.Name}, fmt.Errorf("ask Gitea: %w", err))
		return
	}
	for _, h := range list[:min(len(list), maxHooks)] {
		u, err := url.Parse(h.Config["url"])
		if err != nil || !h.Active || !p.facts.hosts[strings.ToLower(u.Hostname())] {
			continue
		}
		id := strconv.FormatInt(h.ID, 10)
		p.add(minewarden.Action{
			Op: OpDisableHook, Target: minewarden.Subject{Type: minewarden.SubjectService, ID: "gitea web hook " + o.Owner + "/" + o.Name + " " + id, Name: u.Host}, Reversible: true,
			Summary: fmt.Sprintf("make web hook %s of %s/%s inactive", id, o.Owner, o.Name),
			Blast:   []string{fmt.Sprintf("web hook %s of repository %s/%s to %s: not called any more", id, o.Owner, o.Name, show(u.Host))},
		}, change{Kind: kindWebHook, ID: o.path() + "/hooks/" + id, Mark: h.mark()},
			fmt.Sprintf("--- a/hook/%[1]s\n+++ b/hook/%[1]s\n@@ -1,1 +1,1 @@\n-active: true\n+active: false\n", id))
	}
}

// mark is what a web hook is apart from being active.
func (h *webHook) mark() string {
	return edit.Sum(fmt.Appendf(nil, "%d\x00%v\x00%q", h.ID, h.Config, h.Events))
}

func (w gitea) web(ctx context.Context, path string) (webHook, error) {
	var h webHook
	resp, err := w.hooks(ctx, http.MethodGet, path, nil)
	if err == nil {
		err = resp.JSON(&h)
	}
	if err != nil {
		err = fmt.Errorf("ask Gitea: %w", err)
	}
	return h, err
}

// Do implements ledger.Work.
func (w gitea) Do(ctx context.Context, a minewarden.Action, save func(any) error) (ledger.Outcome, error) {
	c, err := changeOf(&a)
	if err != nil {
		return ledger.Outcome{}, err
	}
	var s hookState
	mark := ""
	var body any
	if c.Kind == kindGitHook {
		h, err := w.gitHookNow(ctx, c.ID)
		if err != nil {
			return ledger.Outcome{}, fmt.Errorf("ask Gitea: %w", err)
		}
		s.Content, mark, body = h.Content, edit.Sum([]byte(h.Content)), map[string]string{"content": ""}
	} else {
		h, err := w.web(ctx, c.ID)
		if err != nil {
			return ledger.Outcome{}, err
		}
		mark, body = h.mark(), map[string]bool{"active": false}
	}
	if mark != c.Mark {
		return ledger.Outcome{}, fmt.Errorf("hook %s: %w: plan again", c.ID, edit.ErrChanged)
	}
	if err := save(s); err != nil {
		return ledger.Outcome{}, err
	}
	if _, err := w.hooks(ctx, http.MethodPatch, c.ID, body); err != nil {
		return ledger.Outcome{}, fmt.Errorf("hook %s: %w", c.ID, err)
	}
	out, done, err := w.look(ctx, &c)
	if err == nil && !done {
		err = fmt.Errorf("hook %s: Gitea said yes, but it is as before", c.ID)
	}
	return out, err
}

func (w gitea) look(ctx context.Context, c *change) (ledger.Outcome, bool, error) {
	out := ledger.Outcome{Result: fmt.Sprintf("hook %s is inactive; what it was is kept", c.ID), Show: map[string]string{"hook": c.ID}}
	if c.Kind == kindGitHook {
		h, err := w.gitHookNow(ctx, c.ID)
		if err != nil {
			return out, false, fmt.Errorf("ask Gitea: %w", err)
		}
		return out, !h.IsActive, nil
	}
	h, err := w.web(ctx, c.ID)
	return out, err == nil && !h.Active, err
}

// Look implements ledger.Work.
func (w gitea) Look(ctx context.Context, a minewarden.Action, _ json.RawMessage) (ledger.Outcome, bool, error) {
	c, err := changeOf(&a)
	if err != nil {
		return ledger.Outcome{}, false, err
	}
	return w.look(ctx, &c)
}

// Undo implements ledger.Work.
func (w gitea) Undo(ctx context.Context, a minewarden.Action, state, _ json.RawMessage) error {
	var s hookState
	c, err := changeOf(&a)
	if err == nil {
		err = json.Unmarshal(state, &s)
	}
	if err != nil {
		return err
	}
	var body any = map[string]string{"content": s.Content}
	if c.Kind == kindGitHook {
		h, err := w.gitHookNow(ctx, c.ID)
		switch {
		case err != nil:
			return fmt.Errorf("ask Gitea: %w", err)
		case h.IsActive && h.Content == s.Content:
			return nil
		case h.IsActive:
			return fmt.Errorf("hook %s was written by somebody else meanwhile: %w", c.ID, edit.ErrConflict)
		}
	} else {
		h, err := w.web(ctx, c.ID)
		switch {
		case err != nil || h.Active:
			return err
		case h.mark() != c.Mark:
			return fmt.Errorf("hook %s was changed by somebody else meanwhile: %w", c.ID, edit.ErrConflict)
		}
		body = map[string]bool{"active": true}
	}
	if _, err := w.hooks(ctx, http.MethodPatch, c.ID, body); err != nil {
		return fmt.Errorf("hook %s: %w", c.ID, err)
	}
	return nil
}
