package console

import (
	"context"
	"net/http"

	"github.com/danielgtaylor/huma/v2"

	"github.com/minewarden/minewarden/alerts"
	"github.com/minewarden/minewarden/console/access"
)

// Alerts are the outputs that are told of incidents.
type Alerts interface {
	Status(ctx context.Context) ([]alerts.Status, error)
	Try(ctx context.Context, name, host string) error
}

func (s *Server) alerts() {
	if s.o.Alerts == nil && !s.all {
		return
	}
	huma.Register(s.api, operation(access.Analyst, http.MethodGet, "/alerts", "alerts", "Who is told of incidents, and what waits"), func(ctx context.Context, _ *struct{}) (*answer[list[alerts.Status]], error) {
		all, err := s.o.Alerts.Status(ctx)
		return ok(items(all), s.fail(ctx, "alerts", err))
	})
	type in struct {
		Name string `path:"name" maxLength:"64"`
	}
	huma.Register(s.api, operation(access.Admin, http.MethodPost, "/alerts/{name}/test", "testAlert", "Send a test to an output now"), func(ctx context.Context, in *in) (*struct{}, error) {
		if err := s.o.Alerts.Try(ctx, in.Name, s.o.Host); err != nil {
			return nil, s.refused(ctx, "test an alert", err)
		}
		return nil, nil
	})
}
