package console

import (
	"context"
	"errors"
	"net/http"
	"time"

	"github.com/danielgtaylor/huma/v2"

	"github.com/minewarden/minewarden"
	"github.com/minewarden/minewarden/console/access"
)

// Evidence is what is collected of incidents. That somebody looked at a collection is in its chain of custody.
type Evidence interface {
	Collect(ctx context.Context, incident string, o Collect, who, why string) (minewarden.Receipt, error)
	Evidence(ctx context.Context) ([]Collection, error)
	VerifyEvidence(ctx context.Context, id, who string) (Verification, error)
}

// Collect is what somebody asks for when evidence is collected.
type Collect struct {
	Memory string `json:"memory,omitempty" enum:"none,exec,whole" doc:"exec: executable mappings without a file; whole: all that is the process's own. Not given: what the configuration says"`
	Hold   bool   `json:"hold,omitempty" doc:"each process stands still while it is read"`
	Path   string `json:"path,omitempty" maxLength:"4096" doc:"a directory, file or disk of this host to collect as well; needs the role admin"`
}

// A Collection is evidence that was collected.
type Collection struct {
	ID        string    `json:"id"`
	Incident  string    `json:"incident,omitempty"`
	Host      string    `json:"host,omitempty"`
	Who       string    `json:"who,omitempty"`
	Why       string    `json:"why,omitempty"`
	Started   time.Time `json:"started,omitzero"`
	Done      time.Time `json:"done,omitzero"`
	Memory    string    `json:"memory,omitempty"`
	Partial   string    `json:"partial,omitempty" doc:"why it ended early"`
	Parts     int       `json:"parts"`
	Processes int       `json:"processes"`
	Skipped   int       `json:"skipped" doc:"things that were left out; the manifest says which and why"`
	Bytes     int64     `json:"bytes"`
	State     string    `json:"state" enum:"sealed,open,unreadable" doc:"open: it is being collected, or was cut off and is sealed at the next start"`
	Error     string    `json:"error,omitempty"`
}

// A Verification says whether any bit of a collection was changed.
type Verification struct {
	ID      string         `json:"id"`
	OK      bool           `json:"ok"`
	Faults  []string       `json:"faults" nullable:"false" doc:"what is not as it was when it was sealed"`
	Partial string         `json:"partial,omitempty"`
	Parts   int            `json:"parts"`
	Bytes   int64          `json:"bytes"`
	Key     string         `json:"key" doc:"fingerprint of the key that signed"`
	Expired bool           `json:"expired,omitempty" doc:"its parts were removed when their time was over"`
	Custody []CustodyEntry `json:"custody" nullable:"false"`
}

// A CustodyEntry says who did what with a collection.
type CustodyEntry struct {
	Time   time.Time `json:"time"`
	Who    string    `json:"who"`
	What   string    `json:"what" enum:"collected,viewed,verified,exported,expired"`
	Detail string    `json:"detail,omitempty"`
}

func (s *Server) evidence() {
	if s.o.Evidence == nil && !s.all {
		return
	}
	type collectIn struct {
		IncidentID
		Body struct {
			Collect
			Why string `json:"why" minLength:"1" maxLength:"10000"`
		}
	}
	huma.Register(s.api, operation(access.Responder, http.MethodPost, "/incidents/{id}/evidence", "collectEvidence", "Collect evidence of an incident, and sign it"),
		func(ctx context.Context, in *collectIn) (*answer[minewarden.Receipt], error) {
			if id, _ := access.From(ctx); in.Body.Path != "" && id.Role < access.Admin {
				return nil, huma.Error403Forbidden("collecting a path of the host needs the role admin")
			}
			r, err := s.o.Evidence.Collect(ctx, in.ID, in.Body.Collect, access.Who(ctx), in.Body.Why)
			if r.Action.ID != "" && !r.OK && err == nil {
				err = errors.New(r.Result)
			}
			return ok(r, s.refused(ctx, "collect evidence", err))
		})
	huma.Register(s.api, operation(access.Viewer, http.MethodGet, "/evidence", "evidence", "What was collected, the last first"),
		func(ctx context.Context, _ *struct{}) (*answer[list[Collection]], error) {
			all, err := s.o.Evidence.Evidence(ctx)
			return ok(items(all), s.fail(ctx, "list evidence", err))
		})
	type evidenceID struct {
		ID string `path:"id" maxLength:"128"`
	}
	huma.Register(s.api, operation(access.Responder, http.MethodGet, "/evidence/{id}/verify", "verifyEvidence", "Whether any bit of a collection was changed; asking is in its chain of custody"),
		func(ctx context.Context, in *evidenceID) (*answer[Verification], error) {
			v, err := s.o.Evidence.VerifyEvidence(ctx, in.ID, access.Who(ctx))
			return ok(v, s.fail(ctx, "verify evidence", err))
		})
}
