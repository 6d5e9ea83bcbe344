package source

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"strings"

	"github.com/minewarden/minewarden"
	"github.com/minewarden/minewarden/internal/probe"
	"github.com/minewarden/minewarden/responders/internal/edit"
	"github.com/minewarden/minewarden/responders/internal/ledger"
)

// jobs stops a job of Nomad, and registers it again as it was.
type jobs struct{ *Responder }

type job struct {
	ID, Namespace, Region, ParentID, Type, Status string
	Stop                                          bool
	Version                                       uint64
	JobModifyIndex                                uint64
	TaskGroups                                    []struct {
		Name  string
		Count int
		Tasks []struct {
			Name, Driver string
			Config       map[string]any
		}
	}
}

// jobState holds the job with its environment, so it stays in the journal.
type jobState struct {
	Job json.RawMessage `json:"job"`
}

// jobAfter is the job as our stop left it: who registers it after that meant it.
type jobAfter struct {
	Index uint64 `json:"index"`
}

const maxJobs = 200 // that are read one by one

func (r *Responder) nomad(ctx context.Context, method, path, namespace string, body []byte) (*probe.Response, error) {
	if namespace != "" {
		sep := "?"
		if strings.Contains(path, "?") {
			sep = "&"
		}
		path += sep + "namespace=" + url.QueryEscape(namespace)
	}
	return r.ask(ctx, &r.conf.Nomad, header("X-Nomad-Token", ""), probe.Request{Method: method, Path: path, Body: body})
}

func (r *Responder) job(ctx context.Context, id, namespace string) (job, json.RawMessage, error) {
	var j job
	resp, err := r.nomad(ctx, http.MethodGet, "/v1/job/"+url.PathEscape(id), namespace, nil)
	if err != nil {
		return j, nil, err
	}
	err = resp.JSON(&j)
	if err == nil && j.ID != id {
		err = fmt.Errorf("%s: it tells of job %q", resp, j.ID)
	}
	return j, resp.Body, err
}

// jobs plans to stop the jobs whose allocations the members belong to; where a lineage comes from Nomad but no allocation is
// known, those whose tasks are the miner's.
func (p *planner) jobs(ctx context.Context) {
	for _, a := range p.facts.allocs {
		resp, err := p.nomad(ctx, http.MethodGet, "/v1/allocation/"+a.ID, a.Namespace, nil)
		if status(err) == http.StatusNotFound {
			continue
		}
		var found struct{ JobID, Namespace string }
		if err == nil {
			err = resp.JSON(&found)
		}
		if err != nil {
			p.refuse(OpStopJob, minewarden.Subject{Type: minewarden.SubjectService, ID: "nomad allocation " + a.ID}, fmt.Errorf("ask Nomad: %w", err))
			continue
		}
		p.stop(ctx, found.JobID, found.Namespace)
	}
	if len(p.facts.allocs) > 0 || !p.facts.from("nomad") || p.conf.Nomad.URL == "" {
		return
	}
	resp, err := p.nomad(ctx, http.MethodGet, "/v1/jobs", "*", nil)
	var list []struct{ ID, Namespace, Status string }
	if err == nil {
		err = resp.JSON(&list)
	}
	if err != nil {
		p.refuse(OpStopJob, minewarden.Subject{Type: minewarden.SubjectService, ID: "nomad"}, fmt.Errorf("ask Nomad which job it was: %w", err))
		return
	}
	for _, l := range list[:min(len(list), maxJobs)] {
		j, _, err := p.job(ctx, l.ID, l.Namespace)
		if err == nil && !j.Stop && p.mines(&j) {
			p.stop(ctx, l.ID, l.Namespace)
		}
	}
}

// mines reports whether a task runs what a member ran, or what mines.
func (p *planner) mines(j *job) bool {
	for _, g := range j.TaskGroups {
		for _, t := range g.Tasks {
			words := []string{}
			if c, ok := t.Config["command"].(string); ok {
				words = append(words, c)
			}
			if args, ok := t.Config["args"].([]any); ok {
				for _, a := range args {
					if s, ok := a.(string); ok {
						words = append(words, s)
					}
				}
			}
			if line := strings.Join(words, " "); line != "" && p.runs(line, words) {
				return true
			}
		}
	}
	return false
}

// runs reports whether a command line is the miner's, or exactly that of a member.
func (p *planner) runs(line string, words []string) bool {
	for _, c := range p.facts.commands {
		if len(c) >= minText && (c == line || strings.HasSuffix(c, " "+line) || strings.HasSuffix(line, "/"+c)) {
			return true
		}
	}
	for _, w := range words {
		if p.facts.minerLine(w, claim{}) {
			return true
		}
	}
	return p.facts.minerLine(line, claim{})
}

// stop plans to stop a job, and the one that made it.
func (p *planner) stop(ctx context.Context, id, namespace string) {
	target := minewarden.Subject{Type: minewarden.SubjectService, ID: "nomad job " + namespace + "/" + id, Name: id}
	j, raw, err := p.job(ctx, id, namespace)
	if status(err) == http.StatusNotFound {
		return
	}
	if err != nil {
		p.refuse(OpStopJob, target, fmt.Errorf("ask Nomad: %w", err))
		return
	}
	if j.ParentID != "" && j.ParentID != id {
		p.stop(ctx, j.ParentID, namespace)
	}
	if j.Stop {
		return
	}
	blast := []string{fmt.Sprintf("job %q in namespace %q, type %s, version %d: all its allocations on every node end", id, j.Namespace, j.Type, j.Version)}
	for _, g := range j.TaskGroups {
		for _, t := range g.Tasks {
			blast = append(blast, fmt.Sprintf("task %q of group %q (%d), driver %s", t.Name, g.Name, g.Count, t.Driver))
		}
	}
	reversible := j.ParentID == ""
	if !reversible {
		blast = append(blast, fmt.Sprintf("it was made by %q, which makes others: it is not registered again by itself", j.ParentID))
	}
	p.add(minewarden.Action{Op: OpStopJob, Target: target, Summary: fmt.Sprintf("stop Nomad job %q", id), Blast: blast, Reversible: reversible},
		change{Kind: kindJob, ID: id, Namespace: j.Namespace, Mark: j.mark()}, jsonDiff("nomad/job/"+id, raw, map[string]any{"Stop": true}))
}

func (j *job) mark() string { return fmt.Sprintf("%d.%d.%v", j.Version, j.JobModifyIndex, j.Stop) }

// Do implements ledger.Work.
func (w jobs) Do(ctx context.Context, a minewarden.Action, save func(any) error) (ledger.Outcome, error) {
	c, err := changeOf(&a)
	if err != nil {
		return ledger.Outcome{}, err
	}
	j, raw, err := w.job(ctx, c.ID, c.Namespace)
	if err != nil {
		return ledger.Outcome{}, fmt.Errorf("ask Nomad: %w", err)
	}
	if j.mark() != c.Mark {
		return ledger.Outcome{}, fmt.Errorf("job %q: %w: plan again", c.ID, edit.ErrChanged)
	}
	if err := save(jobState{raw}); err != nil {
		return ledger.Outcome{}, err
	}
	if _, err := w.nomad(ctx, http.MethodDelete, "/v1/job/"+url.PathEscape(c.ID)+"?purge=false", c.Namespace, nil); err != nil {
		return ledger.Outcome{}, fmt.Errorf("stop job %q: %w", c.ID, err)
	}
	out, done, err := w.look(ctx, &c)
	if err == nil && !done {
		err = fmt.Errorf("stop job %q: Nomad said yes, but it is as before", c.ID)
	}
	return out, err
}

func (w jobs) look(ctx context.Context, c *change) (ledger.Outcome, bool, error) {
	out := ledger.Outcome{Result: fmt.Sprintf("job %q is stopped", c.ID), Show: map[string]string{"job": c.ID, "namespace": c.Namespace}}
	j, _, err := w.job(ctx, c.ID, c.Namespace)
	if status(err) == http.StatusNotFound {
		out.After = jobAfter{}
		return out, true, nil
	}
	if err != nil {
		return out, false, fmt.Errorf("ask Nomad: %w", err)
	}
	out.After = jobAfter{j.JobModifyIndex}
	return out, j.Stop, nil
}

// Look implements ledger.Work.
func (w jobs) Look(ctx context.Context, a minewarden.Action, _ json.RawMessage) (ledger.Outcome, bool, error) {
	c, err := changeOf(&a)
	if err != nil {
		return ledger.Outcome{}, false, err
	}
	return w.look(ctx, &c)
}

// Undo implements ledger.Work. Nomad itself refuses when the job was changed after it was looked at.
func (w jobs) Undo(ctx context.Context, a minewarden.Action, state, after json.RawMessage) error {
	var s jobState
	var left jobAfter
	c, err := changeOf(&a)
	if err == nil {
		err = json.Unmarshal(state, &s)
	}
	if err == nil && len(after) > 0 {
		err = json.Unmarshal(after, &left)
	}
	if err != nil {
		return err
	}
	index := uint64(0)
	now, _, err := w.job(ctx, c.ID, c.Namespace)
	switch {
	case status(err) == http.StatusNotFound: // collected as garbage
	case err != nil:
		return fmt.Errorf("ask Nomad: %w", err)
	case !now.Stop:
		return w.same(ctx, &c, s.Job)
	case left.Index != 0 && now.JobModifyIndex != left.Index:
		return fmt.Errorf("job %q was changed after it was stopped: %w", c.ID, edit.ErrConflict)
	default:
		index = now.JobModifyIndex
	}
	body, err := json.Marshal(map[string]any{"Job": s.Job, "EnforceIndex": true, "JobModifyIndex": index})
	if err != nil {
		return err
	}
	if _, err := w.nomad(ctx, http.MethodPost, "/v1/jobs", c.Namespace, body); err != nil {
		return fmt.Errorf("register job %q again: %w", c.ID, err)
	}
	return nil
}

// same reports no error when the job that runs is the one that was stopped: then it was registered again already.
func (w jobs) same(ctx context.Context, c *change, was json.RawMessage) error {
	_, raw, err := w.job(ctx, c.ID, c.Namespace)
	if err != nil {
		return err
	}
	if string(stable(raw, nomadMoving[:])) != string(stable(was, nomadMoving[:])) {
		return fmt.Errorf("job %q was registered by somebody else after it was stopped: %w", c.ID, edit.ErrConflict)
	}
	return nil
}

// nomadMoving are the fields of a job that Nomad itself sets.
var nomadMoving = [...]string{"CreateIndex", "ModifyIndex", "JobModifyIndex", "Version", "SubmitTime", "Status", "StatusDescription", "Stable", "Stop", "NomadTokenID"}

// stable returns an object without the fields that move.
func stable(raw json.RawMessage, moving []string) []byte {
	var v map[string]any
	if json.Unmarshal(raw, &v) != nil {
		return raw
	}
	for _, k := range moving {
		delete(v, k)
	}
	b, err := json.Marshal(v)
	if err != nil {
		return raw
	}
	return b
}

var errNoDefinition = errors.New("its definition is only in Consul's data directory, which could not be read: it could not be registered again")
