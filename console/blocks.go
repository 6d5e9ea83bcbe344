package console

import (
	"context"
	"net/http"
	"time"

	"github.com/danielgtaylor/huma/v2"

	"github.com/minewarden/minewarden"
	"github.com/minewarden/minewarden/console/access"
)

// Blocks refuse connections that a person names.
type Blocks interface {
	PlanBlock(ctx context.Context, targets []string, lasts time.Duration) (minewarden.Action, error)
	Block(ctx context.Context, targets []string, lasts time.Duration, who, why string) (minewarden.Receipt, error)
}

func (s *Server) blocks() {
	if s.o.Blocks == nil && !s.all {
		return
	}
	type planIn struct {
		Body struct {
			Targets []string `json:"targets" minItems:"1" maxItems:"1000" doc:"addresses, CIDRs, ADDRESS:PORT, :PORT, names"`
			Seconds int64    `json:"seconds,omitempty" minimum:"1" maximum:"31622400" doc:"how long; not given: as configured"`
		}
	}
	huma.Register(s.api, operation(access.Responder, http.MethodPost, "/blocks/plan", "planBlock", "Show what a block would touch"), func(ctx context.Context, in *planIn) (*answer[minewarden.Action], error) {
		a, err := s.o.Blocks.PlanBlock(ctx, in.Body.Targets, time.Duration(in.Body.Seconds)*time.Second)
		if err != nil {
			return nil, s.refused(ctx, "plan a block", err)
		}
		return ok(a, nil)
	})
	type blockIn struct {
		Body struct {
			Targets []string `json:"targets" minItems:"1" maxItems:"1000" doc:"addresses, CIDRs, ADDRESS:PORT, :PORT, names"`
			Seconds int64    `json:"seconds,omitempty" minimum:"1" maximum:"31622400" doc:"how long; not given: as configured"`
			Why     string   `json:"why" minLength:"1" maxLength:"10000"`
		}
	}
	huma.Register(s.api, operation(access.Responder, http.MethodPost, "/blocks", "block", "Refuse connections to what is named, for a while"), func(ctx context.Context, in *blockIn) (*answer[minewarden.Receipt], error) {
		if err := said(in.Body.Why); err != nil {
			return nil, err
		}
		r, err := s.o.Blocks.Block(ctx, in.Body.Targets, time.Duration(in.Body.Seconds)*time.Second, access.Who(ctx), in.Body.Why)
		if err != nil {
			return nil, s.refused(ctx, "block", err)
		}
		return ok(r, nil)
	})
}
