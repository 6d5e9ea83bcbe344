package console

import (
	"context"
	"net/http"
	"time"

	"github.com/danielgtaylor/huma/v2"

	"github.com/minewarden/minewarden/console/access"
)

// Trail is the audit trail: every change that anybody made.
type Trail interface {
	List(ctx context.Context, after string, limit int) (entries []TrailEntry, next string, err error) // the last first
	Verify(ctx context.Context) (TrailVerdict, error)
}

// A TrailEntry is one change.
type TrailEntry struct {
	Seq    uint64            `json:"seq"`
	Time   time.Time         `json:"time"`
	Who    string            `json:"who"`
	Via    string            `json:"via,omitempty"`
	What   string            `json:"what"`
	Target string            `json:"target,omitempty"`
	Why    string            `json:"why,omitempty"`
	Detail map[string]string `json:"detail,omitempty"`
	Hash   string            `json:"hash"`
}

// A TrailVerdict says whether the trail is whole.
type TrailVerdict struct {
	OK      bool   `json:"ok"`
	Entries uint64 `json:"entries"`
	Hash    string `json:"hash,omitempty" doc:"of the last: to note elsewhere"`
	Problem string `json:"problem,omitempty" doc:"where the chain breaks"`
}

func (s *Server) trail() {
	if s.o.Trail == nil && !s.all {
		return
	}
	huma.Register(s.api, operation(access.Responder, http.MethodGet, "/audit-trail", "auditTrail", "Every change that anybody made, the last first"), func(ctx context.Context, in *Page) (*answer[list[TrailEntry]], error) {
		all, next, err := s.o.Trail.List(ctx, in.After, in.Limit)
		out := items(all)
		out.Next = next
		return ok(out, s.fail(ctx, "read the audit trail", err))
	})
	huma.Register(s.api, operation(access.Responder, http.MethodGet, "/audit-trail/verify", "verifyAuditTrail", "Whether the audit trail is whole"), func(ctx context.Context, _ *struct{}) (*answer[TrailVerdict], error) {
		v, err := s.o.Trail.Verify(ctx)
		return ok(v, s.fail(ctx, "verify the audit trail", err))
	})
}
