package source

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"net/http"
	"net/url"
	"path/filepath"
	"slices"
	"strings"

	"github.com/minewarden/minewarden"
	"github.com/minewarden/minewarden/internal/probe"
	"github.com/minewarden/minewarden/responders/internal/edit"
	"github.com/minewarden/minewarden/responders/internal/ledger"
)

// consul deregisters a check or a service of the local agent, and registers it again from its saved definition.
type consul struct{ *Responder }

// agentCheck is what the API tells of a check; what a script check runs it does not.
type agentCheck struct {
	CheckID, Name, Status, Notes, ServiceID, Type string
}

// kept is a check as Consul keeps it in its data directory.
type kept struct {
	Check   agentCheck
	ChkType map[string]json.RawMessage
	Source  string
}

type consulState struct {
	Register json.RawMessage `json:"register"` // what puts it back; it may hold secrets
}

const maxChecks = 1024

func (r *Responder) agent(ctx context.Context, method, path string, body []byte) (*probe.Response, error) {
	return r.ask(ctx, &r.conf.Consul, header("X-Consul-Token", ""), probe.Request{Method: method, Path: "/v1/agent/" + path, Body: body})
}

// checks returns the agent's checks, with the definitions that its data directory holds.
func (r *Responder) checks(ctx context.Context) (map[string]agentCheck, map[string]kept, error) {
	resp, err := r.agent(ctx, http.MethodGet, "checks", nil)
	if err != nil {
		return nil, nil, err
	}
	all := map[string]agentCheck{}
	if err := resp.JSON(&all); err != nil {
		return nil, nil, err
	}
	if len(all) > maxChecks {
		return nil, nil, fmt.Errorf("%s: %d checks, more than %d", resp, len(all), maxChecks)
	}
	defs := map[string]kept{}
	var self struct{ DebugConfig struct{ DataDir string } }
	if resp, err = r.agent(ctx, http.MethodGet, "self", nil); err == nil {
		err = resp.JSON(&self)
	}
	dir := self.DebugConfig.DataDir
	if err != nil || !filepath.IsAbs(dir) {
		return all, defs, nil // -dev keeps none; then nothing can be put back, and the plan says so
	}
	dir = filepath.Clean(dir) + "/checks"
	names, err := r.root.Names(dir)
	if err != nil {
		return all, defs, nil
	}
	for _, n := range names {
		f, err := r.root.Open(dir + "/" + n)
		if err != nil {
			continue
		}
		var k kept
		if err := errors.Join(json.Unmarshal(f.Data, &k), f.Close()); err == nil && k.Check.CheckID != "" {
			defs[k.Check.CheckID] = k
		}
	}
	return all, defs, nil
}

// register returns the body that registers the check.
func (k *kept) register() map[string]json.RawMessage {
	body := map[string]json.RawMessage{}
	for name, v := range k.ChkType {
		if s := string(v); s != `""` && s != "null" && s != "0" && s != "false" && s != "[]" && s != "{}" {
			body[name] = v
		}
	}
	delete(body, "CheckID")
	for name, v := range map[string]string{"ID": k.Check.CheckID, "Name": k.Check.Name, "ServiceID": k.Check.ServiceID, "Notes": k.Check.Notes, "Status": k.Check.Status} {
		if v != "" {
			body[name] = quote(v)
		}
	}
	return body
}

func quote(s string) json.RawMessage {
	b, err := json.Marshal(s)
	if err != nil {
		return json.RawMessage(`""`) // a string is always JSON
	}
	return b
}

// command returns what the check runs.
func (k *kept) command() (words []string) {
	for _, key := range [...]string{"ScriptArgs", "Args"} {
		var args []string
		if json.Unmarshal(k.ChkType[key], &args) == nil {
			words = append(words, args...)
		}
	}
	var s string
	if json.Unmarshal(k.ChkType["Script"], &s) == nil && s != "" {
		words = append(words, s)
	}
	return words
}

// consul plans to deregister the checks that run what the members ran or what mines, and the services that came with them.
func (p *planner) consul(ctx context.Context) {
	if !p.facts.from("consul") || p.conf.Consul.URL == "" {
		return
	}
	checks, defs, err := p.checks(ctx)
	if err != nil {
		p.refuse(OpDeregisterService, minewarden.Subject{Type: minewarden.SubjectService, ID: "consul"}, fmt.Errorf("ask Consul: %w", err))
		return
	}
	for _, id := range slices.Sorted(maps.Keys(checks)) {
		c := checks[id]
		if c.Type != "script" && c.Type != "docker" && c.Type != "monitor" {
			continue
		}
		def, known := defs[id]
		words := def.command()
		target := minewarden.Subject{Type: minewarden.SubjectService, ID: "consul check " + id, Name: c.Name}
		switch {
		case !known:
			p.refuse(OpDeregisterService, target, fmt.Errorf("check %q runs a script: %w", id, errNoDefinition))
		case p.runs(strings.Join(words, " "), words):
			p.deregister(ctx, c, def, defs, target)
		}
	}
}

func (p *planner) deregister(ctx context.Context, c agentCheck, def kept, defs map[string]kept, target minewarden.Subject) {
	body, err := json.Marshal(def.register())
	if err != nil {
		p.refuse(OpDeregisterService, target, err)
		return
	}
	p.add(minewarden.Action{
		Op: OpDeregisterService, Target: target, Summary: fmt.Sprintf("deregister Consul check %q", c.CheckID), Reversible: true,
		Blast: []string{fmt.Sprintf("check %q (%q) of the local agent: %q is not run any more", c.CheckID, c.Name, show(strings.Join(def.command(), " ")))},
	}, change{Kind: kindCheck, ID: c.CheckID, Mark: edit.Sum(body)}, jsonDiff("consul/check/"+c.CheckID, body, nil))
	if c.ServiceID == "" {
		return
	}
	body, ids, err := p.service(ctx, c.ServiceID, defs)
	target = minewarden.Subject{Type: minewarden.SubjectService, ID: "consul service " + c.ServiceID, Name: c.ServiceID}
	if err != nil {
		p.refuse(OpDeregisterService, target, err)
		return
	}
	p.add(minewarden.Action{
		Op: OpDeregisterService, Target: target, Summary: fmt.Sprintf("deregister Consul service %q, with %d checks", c.ServiceID, len(ids)), Reversible: true,
		Blast: []string{fmt.Sprintf("service %q: others do not find it any more", c.ServiceID), fmt.Sprintf("its checks: %s", strings.Join(ids, ", "))},
	}, change{Kind: kindService, ID: c.ServiceID, Mark: edit.Sum(body)}, jsonDiff("consul/service/"+c.ServiceID, body, nil))
}

// service returns the body that registers a service with its checks. All of them must be known.
func (r *Responder) service(ctx context.Context, id string, defs map[string]kept) (json.RawMessage, []string, error) {
	resp, err := r.agent(ctx, http.MethodGet, "service/"+url.PathEscape(id), nil)
	if err != nil {
		return nil, nil, fmt.Errorf("ask Consul: %w", err)
	}
	svc := map[string]json.RawMessage{}
	if err := resp.JSON(&svc); err != nil {
		return nil, nil, err
	}
	svc["Name"] = svc["Service"]
	for _, moving := range [...]string{"Service", "ContentHash", "Datacenter", "CreateIndex", "ModifyIndex"} {
		delete(svc, moving)
	}
	for k, v := range svc {
		if s := string(bytes.TrimSpace(v)); s == "null" || s == `""` || s == "{}" || s == "[]" {
			delete(svc, k)
		}
	}
	all, _, err := r.checks(ctx)
	if err != nil {
		return nil, nil, fmt.Errorf("ask Consul: %w", err)
	}
	var ids []string
	var list []map[string]json.RawMessage
	for _, cid := range slices.Sorted(maps.Keys(all)) {
		if all[cid].ServiceID != id {
			continue
		}
		def, known := defs[cid]
		if !known {
			return nil, nil, fmt.Errorf("check %q: %w", cid, errNoDefinition)
		}
		b := def.register()
		b["CheckID"] = b["ID"]
		delete(b, "ID")
		delete(b, "ServiceID")
		ids, list = append(ids, cid), append(list, b)
	}
	if len(list) > 0 {
		if svc["Checks"], err = json.Marshal(list); err != nil {
			return nil, nil, err
		}
	}
	body, err := json.Marshal(svc)
	return body, ids, err
}

// definition returns what registers the thing of c as it is now.
func (w consul) definition(ctx context.Context, c *change) (json.RawMessage, error) {
	_, defs, err := w.checks(ctx)
	if err != nil {
		return nil, fmt.Errorf("ask Consul: %w", err)
	}
	if c.Kind == kindService {
		body, _, err := w.service(ctx, c.ID, defs)
		return body, err
	}
	def, known := defs[c.ID]
	if !known {
		return nil, fmt.Errorf("check %q: %w", c.ID, errNoDefinition)
	}
	return json.Marshal(def.register())
}

// Do implements ledger.Work.
func (w consul) Do(ctx context.Context, a minewarden.Action, save func(any) error) (ledger.Outcome, error) {
	c, err := changeOf(&a)
	if err != nil {
		return ledger.Outcome{}, err
	}
	body, err := w.definition(ctx, &c)
	if err != nil {
		return ledger.Outcome{}, err
	}
	if edit.Sum(body) != c.Mark {
		return ledger.Outcome{}, fmt.Errorf("%s %q: %w: plan again", c.Kind, c.ID, edit.ErrChanged)
	}
	if err := save(consulState{body}); err != nil {
		return ledger.Outcome{}, err
	}
	if _, err := w.agent(ctx, http.MethodPut, c.Kind+"/deregister/"+url.PathEscape(c.ID), nil); err != nil {
		return ledger.Outcome{}, fmt.Errorf("deregister %s %q: %w", c.Kind, c.ID, err)
	}
	out, done, err := w.look(ctx, &c)
	if err == nil && !done {
		err = fmt.Errorf("deregister %s %q: Consul said yes, but it is still there", c.Kind, c.ID)
	}
	return out, err
}

func (w consul) there(ctx context.Context, c *change) (bool, error) {
	if c.Kind == kindService {
		_, err := w.agent(ctx, http.MethodGet, "service/"+url.PathEscape(c.ID), nil)
		if status(err) == http.StatusNotFound {
			return false, nil
		}
		return err == nil, err
	}
	all, _, err := w.checks(ctx)
	_, ok := all[c.ID]
	return ok, err
}

func (w consul) look(ctx context.Context, c *change) (ledger.Outcome, bool, error) {
	there, err := w.there(ctx, c)
	if err != nil {
		return ledger.Outcome{}, false, fmt.Errorf("ask Consul: %w", err)
	}
	return ledger.Outcome{Result: fmt.Sprintf("%s %q is deregistered; its definition is kept", c.Kind, c.ID), Show: map[string]string{c.Kind: c.ID}}, !there, nil
}

// Look implements ledger.Work.
func (w consul) Look(ctx context.Context, a minewarden.Action, _ json.RawMessage) (ledger.Outcome, bool, error) {
	c, err := changeOf(&a)
	if err != nil {
		return ledger.Outcome{}, false, err
	}
	return w.look(ctx, &c)
}

// Undo implements ledger.Work.
func (w consul) Undo(ctx context.Context, a minewarden.Action, state, _ json.RawMessage) error {
	var s consulState
	c, err := changeOf(&a)
	if err == nil {
		err = json.Unmarshal(state, &s)
	}
	if err != nil {
		return err
	}
	there, err := w.there(ctx, &c)
	if err != nil {
		return fmt.Errorf("ask Consul: %w", err)
	}
	if there {
		now, err := w.definition(ctx, &c)
		if err == nil && edit.Sum(now) != edit.Sum(s.Register) {
			err = fmt.Errorf("%s %q was registered by somebody else meanwhile: %w", c.Kind, c.ID, edit.ErrConflict)
		}
		return err
	}
	if _, err := w.agent(ctx, http.MethodPut, c.Kind+"/register", s.Register); err != nil {
		return fmt.Errorf("register %s %q again: %w", c.Kind, c.ID, err)
	}
	return nil
}
