package console

import (
	"context"
	"errors"
	"maps"
	"net/http"
	"slices"
	"strings"

	"github.com/danielgtaylor/huma/v2"

	"github.com/minewarden/minewarden"
	"github.com/minewarden/minewarden/console/access"
)

// Actions are what is done about incidents. Each is in the audit trail, as intended before and as done after.
type Actions interface {
	Plan(ctx context.Context, id string) ([]minewarden.Action, error)
	Do(ctx context.Context, a minewarden.Action, who, why string) (minewarden.Receipt, error)
	Undo(ctx context.Context, id, action, who, why string) ([]minewarden.Receipt, error) // of an incident; an empty action: all that stand
	UndoAction(ctx context.Context, action, who, why string) (minewarden.Receipt, error)
}

// Receipts are what was done, the last first: those that incidents asked for, and those that responders keep themselves.
type Receipts interface {
	Receipts(ctx context.Context, q minewarden.Query) ([]minewarden.StoredReceipt, error)
	Records(ctx context.Context) ([]minewarden.Receipt, error)
}

type doIn struct {
	IncidentID
	Body struct {
		Responder string   `json:"responder" maxLength:"64"`
		Op        string   `json:"op" minLength:"1" maxLength:"64"`
		Target    string   `json:"target_id" maxLength:"4096" doc:"target.id of the action in the plan"`
		Why       string   `json:"why" minLength:"1" maxLength:"10000"`
		Blast     []string `json:"blast,omitempty" maxItems:"10000" doc:"what the plan said it would touch; when it would touch more by now, nothing is done"`
		// Set is what a person chooses of an action.
		Set map[string]string `json:"set,omitempty" maxProperties:"8" doc:"expires: how long, as 2h; without_management: yes isolates although nobody could reach this host any more"`
	}
}

// settable are the parameters of actions that a person may choose.
var settable = []string{"expires", "without_management"}

func (s *Server) actions() {
	if s.o.Actions == nil && !s.all {
		return
	}
	huma.Register(s.api, operation(access.Responder, http.MethodGet, "/incidents/{id}/plan", "plan", "What could be done about an incident; changes nothing"),
		func(ctx context.Context, in *IncidentID) (*answer[list[minewarden.Action]], error) {
			all, err := s.o.Actions.Plan(ctx, in.ID)
			return ok(items(all), s.fail(ctx, "plan", err))
		})
	huma.Register(s.api, operation(access.Responder, http.MethodPost, "/incidents/{id}/actions", "act", "Do what a new plan still holds"), s.act)
	type undoIn struct {
		ID   string `path:"id" maxLength:"256"`
		Body struct {
			Why string `json:"why" minLength:"1" maxLength:"10000"`
		}
	}
	huma.Register(s.api, operation(access.Responder, http.MethodPost, "/actions/{id}/undo", "undo", "Take one action back"),
		func(ctx context.Context, in *undoIn) (*answer[minewarden.Receipt], error) {
			r, err := s.o.Actions.UndoAction(ctx, in.ID, access.Who(ctx), in.Body.Why)
			return ok(r, s.refused(ctx, "undo", err))
		})
	type undoAllIn struct {
		IncidentID
		Body struct {
			Why    string `json:"why" minLength:"1" maxLength:"10000"`
			Action string `json:"action,omitempty" maxLength:"256" doc:"this one alone"`
		}
	}
	huma.Register(s.api, operation(access.Responder, http.MethodPost, "/incidents/{id}/undo", "undoAll", "Take back what stands of an incident's actions, the newest first"),
		func(ctx context.Context, in *undoAllIn) (*answer[list[minewarden.Receipt]], error) {
			all, err := s.o.Actions.Undo(ctx, in.ID, in.Body.Action, access.Who(ctx), in.Body.Why)
			return ok(items(all), s.refused(ctx, "undo", err))
		})
	huma.Register(s.api, operation(access.Viewer, http.MethodGet, "/actions", "actions", "What was done about incidents, the last first"),
		func(ctx context.Context, in *Page) (*answer[list[minewarden.Receipt]], error) {
			q, err := (&Filter{Page: *in}).query()
			if err != nil {
				return nil, err
			}
			all, err := s.o.Receipts.Receipts(ctx, more(q))
			if err != nil {
				return nil, s.fail(ctx, "list actions", err)
			}
			all, next := cut(all, q.Limit, func(r *minewarden.StoredReceipt) string { return r.Cursor() })
			out := list[minewarden.Receipt]{Items: make([]minewarden.Receipt, len(all)), Next: next}
			for i := range all {
				out.Items[i] = all[i].Receipt
			}
			return ok(out, nil)
		})
	huma.Register(s.api, operation(access.Viewer, http.MethodGet, "/records", "records", "What was done without an incident, such as repairs, the last first"),
		func(ctx context.Context, _ *struct{}) (*answer[list[minewarden.Receipt]], error) {
			all, err := s.o.Receipts.Records(ctx)
			return ok(items(all), s.fail(ctx, "list records", err))
		})
}

// act plans anew, so that what is done is what is there now, and does no more than who asked had seen.
func (s *Server) act(ctx context.Context, in *doIn) (*answer[minewarden.Receipt], error) {
	if err := said(in.Body.Why); err != nil {
		return nil, err
	}
	all, err := s.o.Actions.Plan(ctx, in.ID)
	if err != nil {
		return nil, s.fail(ctx, "plan", err)
	}
	i := slices.IndexFunc(all, func(a minewarden.Action) bool {
		return a.Op == in.Body.Op && a.Target.ID == in.Body.Target && (in.Body.Responder == "" || a.Responder == in.Body.Responder)
	})
	if i < 0 {
		return nil, huma.Error409Conflict("the plan changed: this is not in it any more; plan again")
	}
	if in.Body.Blast != nil {
		for _, b := range all[i].Blast {
			if !slices.Contains(in.Body.Blast, b) {
				return nil, huma.Error409Conflict("the plan changed: it would touch more by now: " + b + "; plan again")
			}
		}
	}
	a := all[i]
	a.Params = maps.Clone(a.Params)
	for k, v := range in.Body.Set {
		if !slices.Contains(settable, k) {
			return nil, huma.Error422UnprocessableEntity("set: " + k + " is not one of " + strings.Join(settable, ", "))
		}
		if a.Params == nil {
			a.Params = map[string]string{}
		}
		a.Params[k] = v
	}
	r, err := s.o.Actions.Do(ctx, a, access.Who(ctx), in.Body.Why)
	return ok(r, s.refused(ctx, in.Body.Op, err))
}

// refused is for what was asked in the right way and could not be done: who may do it may know why.
func (s *Server) refused(ctx context.Context, what string, err error) error {
	failed := s.fail(ctx, what, err)
	if failed == nil || ctx.Err() != nil {
		return failed
	}
	var status huma.StatusError
	if errors.As(failed, &status) && status.GetStatus() != http.StatusInternalServerError {
		return failed
	}
	return huma.Error422UnprocessableEntity(err.Error())
}
