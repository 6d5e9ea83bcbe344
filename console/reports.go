package console

import (
	"bytes"
	"context"
	"net/http"
	"time"

	"github.com/danielgtaylor/huma/v2"

	"github.com/minewarden/minewarden/console/access"
	"github.com/minewarden/minewarden/reports"
)

// Reports are made of incidents.
type Reports interface {
	Report(ctx context.Context, incident, kind string) (reports.Report, error) // kind is incident or review
	// Made says that one was made, which meets its deadline. It is an answer of a person: to read a draft is none.
	Made(ctx context.Context, incident, kind string) error
	Month(ctx context.Context, from time.Time) (reports.Report, error)
	Impact(ctx context.Context, incident string) (reports.Impact, error)
}

// ReportForm says how a report is written. Its name is exported because only then its fields are parameters.
type ReportForm struct {
	Format string `query:"format" enum:"html,md,json,pdf" default:"html"`
	Lang   string `query:"lang" enum:"en,zh" default:"en"`
}

// page is a report: what a browser may do with it is nothing but show it.
type page struct {
	Type        string `header:"Content-Type"`
	Disposition string `header:"Content-Disposition"`
	Policy      string `header:"Content-Security-Policy"`
	Body        []byte
}

func (s *Server) reports() {
	if s.o.Reports == nil && !s.all {
		return
	}
	type incidentIn struct {
		IncidentID
		ReportForm
		Kind string `query:"kind" enum:"incident,review" default:"incident"`
	}
	huma.Register(s.api, operation(access.Analyst, http.MethodGet, "/incidents/{id}/report", "report", "The report of an incident, or its review after 72 hours"),
		func(ctx context.Context, in *incidentIn) (*page, error) {
			r, err := s.o.Reports.Report(ctx, in.ID, in.Kind)
			return s.page(ctx, r, err, in.ReportForm, in.Kind+"-"+in.ID)
		})
	type madeIn struct {
		IncidentID
		Body struct {
			Kind string `json:"kind" enum:"incident,review"`
		}
	}
	huma.Register(s.api, operation(access.Analyst, http.MethodPost, "/incidents/{id}/report", "reportMade", "Say that the report or the review was made: its deadline is met"),
		func(ctx context.Context, in *madeIn) (*struct{}, error) {
			return nil, s.fail(ctx, "report", s.o.Reports.Made(ctx, in.ID, in.Body.Kind))
		})
	type monthIn struct {
		ReportForm
		Month string `query:"month" pattern:"^[0-9]{4}-[0-9]{2}$" doc:"as 2026-11; not given: this month"`
	}
	huma.Register(s.api, operation(access.Analyst, http.MethodGet, "/reports/kpi", "kpi", "The figures of a month"), func(ctx context.Context, in *monthIn) (*page, error) {
		now := time.Now().UTC()
		from := time.Date(now.Year(), now.Month(), 1, 0, 0, 0, 0, time.UTC)
		if in.Month != "" {
			var err error
			if from, err = time.Parse("2006-01", in.Month); err != nil {
				return nil, huma.Error422UnprocessableEntity("month: there is no such month")
			}
		}
		r, err := s.o.Reports.Month(ctx, from)
		return s.page(ctx, r, err, in.ReportForm, "kpi-"+from.Format("2006-01"))
	})
	huma.Register(s.api, operation(access.Viewer, http.MethodGet, "/incidents/{id}/impact", "impact", "What an incident cost"), func(ctx context.Context, in *IncidentID) (*answer[reports.Impact], error) {
		i, err := s.o.Reports.Impact(ctx, in.ID)
		return ok(i, s.fail(ctx, "impact", err))
	})
}

func (s *Server) page(ctx context.Context, r reports.Report, err error, form ReportForm, name string) (*page, error) {
	if err != nil {
		return nil, s.fail(ctx, "report", err)
	}
	var b bytes.Buffer
	if err := reports.Write(&b, r, form.Format, form.Lang); err != nil {
		return nil, s.fail(ctx, "write a report", err)
	}
	p := &page{Type: reports.ContentType(form.Format), Body: b.Bytes(), Policy: policy}
	if form.Format == reports.HTML {
		p.Policy = reports.HTMLPolicy()
	} else {
		p.Disposition = `attachment; filename="minewarden-` + fileName(name) + "." + form.Format + `"`
	}
	return p, nil
}

// fileName has only what is safe in a header and on every disk.
func fileName(s string) string {
	out := []byte(s)
	for i, c := range out {
		if (c < '0' || c > '9') && (c < 'a' || c > 'z') && (c < 'A' || c > 'Z') {
			out[i] = '-'
		}
	}
	return string(out[:min(len(out), 80)])
}
