package console

import (
	"context"
	"net/http"
	"time"

	"github.com/danielgtaylor/huma/v2"

	"github.com/minewarden/minewarden/console/access"
	"github.com/minewarden/minewarden/incidents"
)

// Suppressions say which findings are known and of no interest. Each change is in the audit trail.
type Suppressions interface {
	Suppressions() []incidents.Suppression // those in force first
	Suppress(ctx context.Context, x incidents.Suppression) (incidents.Suppression, error)
	Unsuppress(ctx context.Context, id, who string) (incidents.Suppression, error)
}

type suppressIn struct {
	Body struct {
		Subject      string    `json:"subject,omitempty" maxLength:"4096" doc:"id of the subject, HOST:PORT of a flow, or id of a container"`
		SHA256       string    `json:"sha256,omitempty" pattern:"^([0-9a-fA-F]{64})?$"`
		Package      string    `json:"package,omitempty" maxLength:"255" doc:"as dpkg:openssl"`
		Rule         string    `json:"rule,omitempty" maxLength:"255" doc:"ending in a slash: every rule of that prefix"`
		Path         string    `json:"path,omitempty" maxLength:"4096" doc:"ending in a slash: all below"`
		Reason       string    `json:"reason" minLength:"1" maxLength:"4096"`
		Expires      time.Time `json:"expires"`
		EvenCritical bool      `json:"even_critical,omitempty" doc:"hide critical findings, too"`
	}
}

func (s *Server) suppressions() {
	if s.o.Suppressions == nil && !s.all {
		return
	}
	huma.Register(s.api, operation(access.Viewer, http.MethodGet, "/suppressions", "suppressions", "What is hidden, why and how long, and what was"),
		func(context.Context, *struct{}) (*answer[list[incidents.Suppression]], error) {
			return ok(items(s.o.Suppressions.Suppressions()), nil)
		})
	huma.Register(s.api, operation(access.Analyst, http.MethodPost, "/suppressions", "suppress", "Hide findings of one kind for a while; all that is given must hold"),
		func(ctx context.Context, in *suppressIn) (*answer[incidents.Suppression], error) {
			b := &in.Body
			if err := said(b.Reason); err != nil {
				return nil, err
			}
			x, err := s.o.Suppressions.Suppress(ctx, incidents.Suppression{
				Subject: b.Subject, SHA256: b.SHA256, Package: b.Package, Rule: b.Rule, Path: b.Path, Reason: b.Reason, Who: access.Who(ctx),
				Expires: b.Expires, EvenCritical: b.EvenCritical,
			})
			return ok(x, s.refused(ctx, "suppress", err))
		})
	type in struct {
		ID string `path:"id" maxLength:"64"`
	}
	huma.Register(s.api, operation(access.Analyst, http.MethodDelete, "/suppressions/{id}", "unsuppress", "Hide no more; it stays in the list as history"),
		func(ctx context.Context, in *in) (*answer[incidents.Suppression], error) {
			x, err := s.o.Suppressions.Unsuppress(ctx, in.ID, access.Who(ctx))
			return ok(x, s.refused(ctx, "end a suppression", err))
		})
}
