package console

import (
	"context"
	"net/http"
	"time"

	"github.com/danielgtaylor/huma/v2"

	"github.com/minewarden/minewarden"
	"github.com/minewarden/minewarden/console/access"
)

// Posture is what the audits say of this host.
type Posture interface {
	Summary() (*PostureSummary, error) // nil: no audit yet
	Last(all bool) (PostureResult, error)
	Run(ctx context.Context, who string) error // begins; an event posture tells the end
	Repairs(ctx context.Context) ([]PostureRepair, error)
	Repair(ctx context.Context, id, who, why string) (minewarden.Receipt, error)
}

// PostureSummary is the score alone.
type PostureSummary struct {
	Score  float64   `json:"score" doc:"0 to 100"`
	Scored bool      `json:"scored" doc:"false: nothing could be looked at, and the score says nothing"`
	Failed int       `json:"failed"`
	At     time.Time `json:"at"`
}

// PostureResult is the last audit.
type PostureResult struct {
	PostureSummary
	Running bool           `json:"running" doc:"an audit runs now"`
	Checks  []PostureCheck `json:"checks" nullable:"false" doc:"failed first, the worst first; then what could not be looked at"`
	Errors  []string       `json:"errors" nullable:"false" doc:"targets that could not be looked at"`
	History []PosturePoint `json:"history" nullable:"false" doc:"oldest first"`
}

// PosturePoint is a score of before.
type PosturePoint struct {
	At    time.Time `json:"at"`
	Score float64   `json:"score"`
}

// A PostureCheck is one question and its answer.
type PostureCheck struct {
	ID         string              `json:"id"`
	Title      string              `json:"title"`
	Severity   minewarden.Severity `json:"severity"`
	Status     minewarden.Status   `json:"status" enum:"pass,fail,possible,unknown,not_applicable"`
	Passed     bool                `json:"passed"`
	Target     string              `json:"target"`
	Product    string              `json:"product"`
	Subject    string              `json:"subject,omitempty"`
	Evidence   string              `json:"evidence" doc:"how the answer is known"`
	Why        string              `json:"why,omitempty"`
	Advice     string              `json:"advice,omitempty"`
	Repair     string              `json:"repair,omitempty" doc:"what a person would paste"`
	References []string            `json:"references" nullable:"false"`
	Fixable    bool                `json:"fixable" doc:"GET /posture/repairs holds a repair"`
}

// A PostureRepair is a change of one file that would make checks pass.
type PostureRepair struct {
	ID      string   `json:"id"`
	Path    string   `json:"path"`
	Summary string   `json:"summary"`
	Rules   []string `json:"rules" nullable:"false"`
	Diff    string   `json:"diff"`
	Error   string   `json:"error,omitempty" doc:"why it cannot be done"`
}

func (s *Server) posture() {
	if s.o.Posture == nil && !s.all {
		return
	}
	type in struct {
		All bool `query:"all" doc:"also checks that pass"`
	}
	huma.Register(s.api, operation(access.Viewer, http.MethodGet, "/posture", "posture", "The last audit of this host"), func(ctx context.Context, in *in) (*answer[PostureResult], error) {
		r, err := s.o.Posture.Last(in.All)
		return ok(r, s.fail(ctx, "read the posture", err))
	})
	run := operation(access.Responder, http.MethodPost, "/posture/runs", "auditHost", "Audit this host again")
	run.DefaultStatus = http.StatusAccepted
	huma.Register(s.api, run, func(ctx context.Context, _ *struct{}) (*struct{}, error) {
		if err := s.o.Posture.Run(ctx, access.Who(ctx)); err != nil {
			return nil, s.refused(ctx, "audit", err)
		}
		return nil, nil
	})
	huma.Register(s.api, operation(access.Responder, http.MethodGet, "/posture/repairs", "repairs", "What could be repaired, as diffs; changes nothing"), func(ctx context.Context, _ *struct{}) (*answer[list[PostureRepair]], error) {
		all, err := s.o.Posture.Repairs(ctx)
		return ok(items(all), s.refused(ctx, "plan repairs", err))
	})
	type repairIn struct {
		Body struct {
			ID  string `json:"id" minLength:"1" maxLength:"256"`
			Why string `json:"why,omitempty" maxLength:"10000"`
		}
	}
	huma.Register(s.api, operation(access.Responder, http.MethodPost, "/posture/repairs", "repair", "Repair one file, with a backup; undo by its action"), func(ctx context.Context, in *repairIn) (*answer[minewarden.Receipt], error) {
		r, err := s.o.Posture.Repair(ctx, in.Body.ID, access.Who(ctx), in.Body.Why)
		return ok(r, s.refused(ctx, "repair", err))
	})
}
