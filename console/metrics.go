package console

import (
	"context"
	"net/http"

	"github.com/danielgtaylor/huma/v2"

	"github.com/minewarden/minewarden/console/access"
)

// Metrics is the text that Prometheus scrapes.
type Metrics interface {
	Metrics(ctx context.Context) ([]byte, error)
}

func (s *Server) metrics() {
	if s.o.Metrics == nil && !s.all {
		return
	}
	huma.Register(s.api, operation(access.Viewer, http.MethodGet, "/metrics", "metrics", "Counters and gauges for Prometheus; a token of a viewer is enough"), func(ctx context.Context, _ *struct{}) (*raw, error) {
		text, err := s.o.Metrics.Metrics(ctx)
		if err != nil {
			return nil, s.fail(ctx, "metrics", err)
		}
		return &raw{Type: "text/plain; version=0.0.4; charset=utf-8", Body: text}, nil
	})
}
