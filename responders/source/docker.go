package source

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"os"
	"regexp"
	"slices"
	"strings"

	"github.com/minewarden/minewarden"
	"github.com/minewarden/minewarden/internal/host"
	"github.com/minewarden/minewarden/internal/probe"
	"github.com/minewarden/minewarden/responders/internal/edit"
	"github.com/minewarden/minewarden/responders/internal/ledger"
)

// containers pauses, stops or removes a container by Docker's API.
type containers struct{ *Responder }

// inspect is what of a container's description is looked at; all of it is kept.
type inspect struct {
	ID    string `json:"Id"`
	Name  string
	Image string
	State struct {
		Running, Paused bool
		StartedAt       string
	}
	Config     json.RawMessage
	HostConfig json.RawMessage
	Mounts     []struct {
		Type, Name, Destination string
		RW                      bool
	}
	NetworkSettings struct {
		Networks map[string]map[string]json.RawMessage
	}
}

type containerState struct {
	Inspect json.RawMessage `json:"inspect"`
}

var containerID = regexp.MustCompile(`^[0-9a-f]{12,64}$`)

// ask asks a service. An answer that is no success is an error.
func (r *Responder) ask(ctx context.Context, s *Service, token func(http.Header, string), q probe.Request, ok ...int) (*probe.Response, error) {
	if s.URL == "" {
		return nil, errors.New("no url is configured")
	}
	c, err := s.client(token)
	if err != nil {
		return nil, err
	}
	defer c.Close()
	q.Owner = c.HasOwner()
	resp, err := c.Do(ctx, q)
	if err != nil {
		return nil, err
	}
	if slices.Contains(ok, resp.Status) || len(ok) == 0 && resp.Status/100 == 2 {
		return resp, nil
	}
	return resp, &statusError{resp.Status, fmt.Sprintf("%s: %s", resp, show(resp.Text()))}
}

// statusError is an answer that is no success.
type statusError struct {
	status int
	text   string
}

func (e *statusError) Error() string { return e.text }

func status(err error) int {
	var s *statusError
	if errors.As(err, &s) {
		return s.status
	}
	return 0
}

func (r *Responder) docker(ctx context.Context, method, path string, body []byte) (*probe.Response, error) {
	return r.ask(ctx, &r.conf.Docker, nil, probe.Request{Method: method, Path: path, Body: body})
}

func (r *Responder) container(ctx context.Context, id string) (inspect, json.RawMessage, error) {
	var c inspect
	resp, err := r.docker(ctx, http.MethodGet, "/containers/"+url.PathEscape(id)+"/json", nil)
	if err != nil {
		return c, nil, err
	}
	if err := resp.JSON(&c); err != nil {
		return c, nil, err
	}
	return c, resp.Body, nil
}

// mark is what must not have changed between plan and do.
func (c *inspect) mark() string {
	return edit.Sum(fmt.Appendf(nil, "%s\x00%v\x00%v\x00%s\x00%s\x00%s", c.ID, c.State.Running, c.State.Paused, c.State.StartedAt, c.Config, c.HostConfig))
}

// self returns the container that the agent itself runs in, or "".
func self() string {
	f, err := os.Open("/proc/self/cgroup")
	if err != nil {
		return ""
	}
	defer f.Close()
	return host.ContainerOf(host.ParseCgroup(f)).ID
}

// containers plans for the containers that members run in.
func (p *planner) containers(ctx context.Context) {
	for _, c := range p.facts.containers {
		if c.Runtime != "" && c.Runtime != "docker" && c.Runtime != "podman" && c.Runtime != "container" || !containerID.MatchString(c.ID) {
			continue
		}
		target := minewarden.Subject{Type: minewarden.SubjectContainer, ID: c.ID}
		if c.ID == self() {
			p.refuse(OpPauseContainer, target, errors.New("it is the container that minewarden runs in"))
			continue
		}
		in, _, err := p.container(ctx, c.ID)
		if status(err) == http.StatusNotFound {
			continue // gone, or another engine's
		}
		if err != nil {
			if c.Runtime != "" || status(err) != 0 {
				p.refuse(OpPauseContainer, target, fmt.Errorf("ask Docker: %w", err))
			}
			continue
		}
		p.contain(in, target)
	}
}

func (p *planner) contain(in inspect, target minewarden.Subject) {
	target.ID, target.Name = in.ID, strings.TrimPrefix(in.Name, "/")
	var cfg struct{ Image string }
	var hc struct {
		AutoRemove    bool
		RestartPolicy struct{ Name string }
	}
	if err := errors.Join(json.Unmarshal(in.Config, &cfg), json.Unmarshal(in.HostConfig, &hc)); err != nil {
		p.refuse(OpPauseContainer, target, err)
		return
	}
	what := fmt.Sprintf("container %q (%.12s, image %q)", target.Name, in.ID, cfg.Image)
	add := func(op, summary string, reversible bool, blast ...string) {
		c := change{Kind: kindContainer, ID: in.ID, Mark: in.mark()}
		before, after := state(&in), map[string]string{OpPauseContainer: "paused", OpStopContainer: "stopped", OpRemoveContainer: "none"}[op]
		diff := fmt.Sprintf("--- a/container/%[1]s\n+++ b/container/%[1]s\n@@ -1,1 +1,1 @@\n-state: %[2]s\n+state: %[3]s\n", show(target.Name), before, after)
		p.add(minewarden.Action{Op: op, Target: target, Summary: summary + " " + what, Reversible: reversible, Blast: append([]string{what}, blast...)}, c, diff)
	}
	if in.State.Running && !in.State.Paused {
		add(OpPauseContainer, "pause", true, "all its processes stand still; its connections stay")
	}
	if in.State.Running {
		if hc.AutoRemove {
			p.refuse(OpStopContainer, target, errors.New("Docker removes it when it stops (--rm): pause it, or remove it with its description kept"))
		} else {
			blast := []string{"all its processes end; its files stay"}
			if hc.RestartPolicy.Name == "always" {
				blast = append(blast, "its restart policy starts it again when Docker is restarted")
			}
			add(OpStopContainer, "stop", true, blast...)
		}
	}
	blast := []string{"all its processes end; its description is kept, volumes stay"}
	if wrote := p.wrote(in.ID); wrote != "" {
		blast = append(blast, wrote)
	}
	add(OpRemoveContainer, "remove", true, blast...)
}

func state(c *inspect) string {
	switch {
	case c.State.Paused:
		return "paused"
	case c.State.Running:
		return "running"
	}
	return "stopped"
}

// wrote says how much would be lost with the container's own layer.
func (p *planner) wrote(id string) string {
	resp, err := p.docker(context.Background(), http.MethodGet, "/containers/"+id+"/changes", nil)
	if err != nil {
		return "what it wrote to its own file system is lost"
	}
	var changes []struct{ Path string }
	if bytes.Equal(bytes.TrimSpace(resp.Body), []byte("null")) {
		return ""
	}
	if err := resp.JSON(&changes); err != nil {
		return "what it wrote to its own file system is lost"
	}
	if len(changes) == 0 {
		return ""
	}
	return fmt.Sprintf("what it wrote to its own file system is lost, %d paths: collect evidence first", len(changes))
}

// Do implements ledger.Work.
func (w containers) Do(ctx context.Context, a minewarden.Action, save func(any) error) (ledger.Outcome, error) {
	c, err := changeOf(&a)
	if err != nil {
		return ledger.Outcome{}, err
	}
	in, raw, err := w.container(ctx, c.ID)
	if err != nil {
		return ledger.Outcome{}, fmt.Errorf("ask Docker: %w", err)
	}
	if in.mark() != c.Mark {
		return ledger.Outcome{}, fmt.Errorf("container %.12s: %w: plan again", c.ID, edit.ErrChanged)
	}
	if err := save(containerState{raw}); err != nil {
		return ledger.Outcome{}, err
	}
	path := "/containers/" + url.PathEscape(in.ID)
	switch a.Op {
	case OpPauseContainer:
		_, err = w.docker(ctx, http.MethodPost, path+"/pause", nil)
	case OpStopContainer:
		err = w.stop(ctx, &in)
	case OpRemoveContainer:
		_, err = w.docker(ctx, http.MethodDelete, path+"?force=1", nil)
	default:
		err = fmt.Errorf("action %s: source cannot do %q to a container", a.ID, a.Op)
	}
	if err != nil {
		return ledger.Outcome{}, fmt.Errorf("%s %.12s: %w", a.Op, c.ID, err)
	}
	out, done, err := w.look(ctx, &a, &in)
	if err == nil && !done {
		err = fmt.Errorf("%s %.12s: Docker said yes, but it is as before", a.Op, c.ID)
	}
	return out, err
}

// stop ends a container. What is paused would not hear that it shall end, so it is not waited for.
func (w containers) stop(ctx context.Context, in *inspect) error {
	path := "/containers/" + url.PathEscape(in.ID)
	if in.State.Paused {
		_, err := w.docker(ctx, http.MethodPost, path+"/kill?signal=KILL", nil)
		return err
	}
	_, err := w.ask(ctx, &w.conf.Docker, nil, probe.Request{Method: http.MethodPost, Path: path + "/stop?t=5"}, http.StatusNoContent, http.StatusNotModified)
	return err
}

// look compares the container with what the action wants.
func (w containers) look(ctx context.Context, a *minewarden.Action, was *inspect) (ledger.Outcome, bool, error) {
	now, _, err := w.container(ctx, was.ID)
	gone := status(err) == http.StatusNotFound
	if err != nil && !gone {
		return ledger.Outcome{}, false, fmt.Errorf("ask Docker: %w", err)
	}
	done := map[string]bool{
		OpPauseContainer: !gone && now.State.Paused, OpStopContainer: !gone && !now.State.Running, OpRemoveContainer: gone,
	}[a.Op]
	word := map[string]string{OpPauseContainer: "paused", OpStopContainer: "stopped", OpRemoveContainer: "removed; its description is kept"}[a.Op]
	return ledger.Outcome{
		Result: fmt.Sprintf("container %q (%.12s) is %s", strings.TrimPrefix(was.Name, "/"), was.ID, word), Show: map[string]string{"container": was.ID},
	}, done, nil
}

func readState(state json.RawMessage) (inspect, json.RawMessage, error) {
	var s containerState
	var in inspect
	err := json.Unmarshal(state, &s)
	if err == nil {
		err = json.Unmarshal(s.Inspect, &in)
	}
	return in, s.Inspect, err
}

// Look implements ledger.Work.
func (w containers) Look(ctx context.Context, a minewarden.Action, state json.RawMessage) (ledger.Outcome, bool, error) {
	in, _, err := readState(state)
	if err != nil {
		return ledger.Outcome{}, false, err
	}
	return w.look(ctx, &a, &in)
}

// Undo implements ledger.Work.
func (w containers) Undo(ctx context.Context, a minewarden.Action, state, _ json.RawMessage) error {
	was, _, err := readState(state)
	if err != nil {
		return err
	}
	id := was.ID
	if a.Op == OpRemoveContainer {
		if id, err = w.recreate(ctx, &was); err != nil {
			return err
		}
	}
	now, _, err := w.container(ctx, id)
	if err != nil {
		return fmt.Errorf("ask Docker: %w", err)
	}
	path := "/containers/" + url.PathEscape(id)
	if a.Op == OpPauseContainer {
		if !now.State.Paused {
			return nil // somebody let it go on, or ended it
		}
		_, err := w.docker(ctx, http.MethodPost, path+"/unpause", nil)
		return err
	}
	if was.State.Running && !now.State.Running {
		if _, err := w.ask(ctx, &w.conf.Docker, nil, probe.Request{Method: http.MethodPost, Path: path + "/start"}, http.StatusNoContent, http.StatusNotModified); err != nil {
			return err
		}
	}
	if was.State.Paused && !now.State.Paused {
		_, err = w.docker(ctx, http.MethodPost, path+"/pause", nil)
	}
	return err
}
