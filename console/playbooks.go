package console

import (
	"context"
	"errors"
	"net/http"

	"github.com/danielgtaylor/huma/v2"

	"github.com/minewarden/minewarden/console/access"
	"github.com/minewarden/minewarden/playbooks"
)

// Playbooks are what can be run.
type Playbooks interface {
	Playbooks() []playbooks.Playbook
	Playbook(name string) (playbooks.Playbook, error)
}

// Runs are playbooks at work on incidents. Each change is in the audit trail.
type Runs interface {
	Runs(incident string) []playbooks.Run // an empty incident: all; the newest first
	Get(run string) (playbooks.Run, error)
	Start(ctx context.Context, incident, playbook, who, why string) (playbooks.Run, error)
	Decide(ctx context.Context, run, step, decision, who, note string) (playbooks.Run, error)
}

// DryRuns show what a run would do.
type DryRuns interface {
	DryRun(ctx context.Context, incident, playbook string, auto bool) ([]playbooks.Preview, error)
}

// startOut is a run that began, or what one would do.
type startOut struct {
	Run     *playbooks.Run      `json:"run,omitempty"`
	Preview []playbooks.Preview `json:"preview,omitempty" doc:"of a dry run: what would become of each step"`
}

type startIn struct {
	IncidentID
	Body struct {
		Playbook string `json:"playbook" minLength:"1" maxLength:"64"`
		DryRun   bool   `json:"dry_run,omitempty" doc:"only show what would be done"`
		Why      string `json:"why,omitempty" maxLength:"4096"`
	}
}

type decideIn struct {
	ID   string `path:"id" maxLength:"256"`
	Step string `path:"step" maxLength:"64"`
	Body struct {
		Decision string `json:"decision" enum:"approve,refuse,done"`
		Note     string `json:"note,omitempty" maxLength:"4096"`
	}
}

// RunID names a run.
type RunID struct {
	ID string `path:"id" maxLength:"256"`
}

func (s *Server) playbooks() {
	if s.o.Playbooks == nil && !s.all {
		return
	}
	huma.Register(s.api, operation(access.Viewer, http.MethodGet, "/playbooks", "playbooks", "What can be run about incidents"),
		func(context.Context, *struct{}) (*answer[list[playbooks.Playbook]], error) {
			return ok(items(s.o.Playbooks.Playbooks()), nil)
		})
	type named struct {
		Name string `path:"name" maxLength:"64"`
	}
	huma.Register(s.api, operation(access.Viewer, http.MethodGet, "/playbooks/{name}", "playbook", "One playbook"),
		func(ctx context.Context, in *named) (*answer[playbooks.Playbook], error) {
			p, err := s.o.Playbooks.Playbook(in.Name)
			return ok(p, s.fail(ctx, "playbook", err))
		})
	huma.Register(s.api, operation(access.Viewer, http.MethodGet, "/incidents/{id}/runs", "incidentRuns", "Runs of playbooks about an incident, the newest first"),
		func(ctx context.Context, in *IncidentID) (*answer[list[playbooks.Run]], error) {
			inc, err := s.o.Incidents.Incident(ctx, in.ID)
			if err != nil {
				return nil, s.fail(ctx, "runs", err)
			}
			return ok(items(s.o.Runs.Runs(inc.ID)), nil)
		})
	huma.Register(s.api, operation(access.Viewer, http.MethodGet, "/runs", "runs", "All runs of playbooks that are kept, the newest first"),
		func(context.Context, *struct{}) (*answer[list[playbooks.Run]], error) {
			return ok(items(s.o.Runs.Runs("")), nil)
		})
	huma.Register(s.api, operation(access.Viewer, http.MethodGet, "/runs/{id}", "run", "One run"),
		func(ctx context.Context, in *RunID) (*answer[playbooks.Run], error) {
			r, err := s.o.Runs.Get(in.ID)
			return ok(r, s.fail(ctx, "run", err))
		})
	huma.Register(s.api, operation(access.Responder, http.MethodPost, "/incidents/{id}/runs", "startRun", "Begin a playbook, or take up one that is proposed; or show what it would do"), s.startRun)
	huma.Register(s.api, operation(access.Responder, http.MethodPost, "/runs/{id}/steps/{step}", "decideStep", "Approve, refuse, or say done: of a step that waits"),
		func(ctx context.Context, in *decideIn) (*answer[playbooks.Run], error) {
			r, err := s.o.Runs.Decide(ctx, in.ID, in.Step, in.Body.Decision, access.Who(ctx), in.Body.Note)
			return ok(r, s.conflict(ctx, "decide", err))
		})
	type proposalIn struct {
		RunID
		Body struct {
			Decision string `json:"decision" enum:"approve,refuse"`
			Note     string `json:"note,omitempty" maxLength:"4096"`
		}
	}
	huma.Register(s.api, operation(access.Responder, http.MethodPost, "/runs/{id}/decision", "decideRun", "Start or refuse a run that is proposed"),
		func(ctx context.Context, in *proposalIn) (*answer[playbooks.Run], error) {
			r, err := s.o.Runs.Decide(ctx, in.ID, "", in.Body.Decision, access.Who(ctx), in.Body.Note)
			return ok(r, s.conflict(ctx, "decide", err))
		})
}

func (s *Server) startRun(ctx context.Context, in *startIn) (*answer[startOut], error) {
	inc, err := s.o.Incidents.Incident(ctx, in.ID)
	if err != nil {
		return nil, s.fail(ctx, "start a playbook", err)
	}
	if in.Body.DryRun {
		all, err := s.o.DryRuns.DryRun(ctx, inc.ID, in.Body.Playbook, false)
		return ok(startOut{Preview: all}, s.refused(ctx, "dry run", err))
	}
	if err := said(in.Body.Why); err != nil {
		return nil, err
	}
	r, err := s.o.Runs.Start(ctx, inc.ID, in.Body.Playbook, access.Who(ctx), in.Body.Why)
	return ok(startOut{Run: &r}, s.conflict(ctx, "start a playbook", err))
}

// conflict is refused, and 409 where what was asked for does not fit what is there now.
func (s *Server) conflict(ctx context.Context, what string, err error) error {
	if errors.Is(err, playbooks.ErrChanged) || errors.Is(err, playbooks.ErrBusy) {
		return huma.Error409Conflict(err.Error())
	}
	return s.refused(ctx, what, err)
}
