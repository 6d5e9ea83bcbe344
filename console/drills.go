package console

import (
	"context"
	"net/http"
	"time"

	"github.com/danielgtaylor/huma/v2"

	"github.com/minewarden/minewarden/console/access"
)

// Drills are harmless emulations that this host runs on itself.
type Drills interface {
	List() []DrillDoc
	Run(ctx context.Context, name, who string) error // begins; events drill tell how it goes
}

// DrillDoc is a drill, and how its last run went.
type DrillDoc struct {
	Name      string     `json:"name"`
	Title     string     `json:"title"`
	Technique []string   `json:"technique" nullable:"false"`
	Rules     []string   `json:"rules" nullable:"false" doc:"any of these sees it"`
	Last      *DrillNews `json:"last,omitempty"`
}

// DrillNews is how a run goes: data of the event drill.
type DrillNews struct {
	Drill string    `json:"drill"`
	State string    `json:"state" enum:"running,seen,missed,failed,unsupported"`
	Who   string    `json:"who,omitempty"`
	Began time.Time `json:"began"`
	Rule  string    `json:"rule,omitempty" doc:"the first that saw it"`
	After float64   `json:"after,omitempty" doc:"seconds from its beginning until it was seen"`
	Error string    `json:"error,omitempty"`
}

func (s *Server) drills() {
	if s.o.Drills == nil && !s.all {
		return
	}
	huma.Register(s.api, operation(access.Viewer, http.MethodGet, "/drills", "drills", "Harmless emulations of attacks"), func(context.Context, *struct{}) (*answer[list[DrillDoc]], error) {
		return ok(items(s.o.Drills.List()), nil)
	})
	type in struct {
		Name string `path:"name" maxLength:"64"`
	}
	run := operation(access.Responder, http.MethodPost, "/drills/{name}/runs", "drill", "Run a drill; events tell how it goes")
	run.DefaultStatus = http.StatusAccepted
	huma.Register(s.api, run, func(ctx context.Context, in *in) (*struct{}, error) {
		if err := s.o.Drills.Run(ctx, in.Name, access.Who(ctx)); err != nil {
			return nil, s.refused(ctx, "drill", err)
		}
		return nil, nil
	})
}
