package console

import (
	"context"
	"net/http"
	"slices"
	"time"

	"github.com/danielgtaylor/huma/v2"

	"github.com/minewarden/minewarden"
	"github.com/minewarden/minewarden/console/access"
)

// Overview is what the first page needs beyond the other resources.
type Overview interface {
	Counts(ctx context.Context) (minewarden.Counts, error)
	Stolen(ctx context.Context) (Stolen, error)
	Respond() string
}

// Stolen is what incidents took this month, and what it costs.
type Stolen struct {
	CPUSeconds float64   `json:"cpu_seconds"`
	KWh        float64   `json:"kwh"`
	Cost       float64   `json:"cost"`
	Currency   string    `json:"currency"`
	Since      time.Time `json:"since,omitzero"`
	Model      string    `json:"model,omitempty" doc:"where the figures come from"`
}

type overviewOut struct {
	Counts    map[string]map[string]int `json:"counts" doc:"by state, then severity"`
	Worst     []incidentRow             `json:"worst" nullable:"false" doc:"open, the worst first"`
	Deadlines []Deadline                `json:"deadlines" nullable:"false" doc:"the earliest first"`
	// MoreDeadlines are not shown.
	MoreDeadlines int             `json:"more_deadlines,omitempty" doc:"beyond those in deadlines"`
	Stolen        Stolen          `json:"stolen"`
	Posture       *PostureSummary `json:"posture,omitempty"`
	Sensors       []SensorHealth  `json:"sensors" nullable:"false"`
	Lost          LostEvents      `json:"lost"`
	Respond       string          `json:"respond" enum:"observe,contain,kill"`
	Host          string          `json:"host"`
	Version       string          `json:"version"`
	Console       string          `json:"console,omitempty" doc:"where the console is served"`
}

// maxDeadlines is how many deadlines the overview shows, the earliest first.
const maxDeadlines = 50

// maxWorst is how many incidents the overview shows.
const maxWorst = 8

func (s *Server) overview() {
	if s.o.Overview == nil && !s.all {
		return
	}
	huma.Register(s.api, operation(access.Viewer, http.MethodGet, "/overview", "overview", "What is wrong now"), func(ctx context.Context, _ *struct{}) (*answer[overviewOut], error) {
		out := overviewOut{Counts: map[string]map[string]int{}, Worst: []incidentRow{}, Deadlines: []Deadline{}, Sensors: []SensorHealth{}, Respond: s.o.Overview.Respond(), Version: s.o.Version, Console: s.o.At}
		counts, err := s.o.Overview.Counts(ctx)
		if err != nil {
			return nil, s.fail(ctx, "count incidents", err)
		}
		for _, st := range []minewarden.State{minewarden.Open, minewarden.Contained, minewarden.Closed} {
			by := map[string]int{}
			for sev := minewarden.Informational; sev <= minewarden.Critical; sev++ {
				by[sev.String()] = counts[st][sev]
			}
			out.Counts[string(st)] = by
		}
		if out.Worst, err = s.worst(ctx, counts); err != nil {
			return nil, s.fail(ctx, "list the worst incidents", err)
		}
		if all := s.deadlines(ctx); all != nil {
			out.Deadlines, out.MoreDeadlines = all[:min(maxDeadlines, len(all))], max(0, len(all)-maxDeadlines)
		}
		if out.Stolen, err = s.o.Overview.Stolen(ctx); err != nil {
			return nil, s.fail(ctx, "add up what was stolen", err)
		}
		if s.o.Live != nil {
			h := s.o.Live.Sensors()
			out.Sensors, out.Lost, out.Host = h.Items, h.Lost, h.Host
		}
		if s.o.Posture != nil {
			if out.Posture, err = s.o.Posture.Summary(); err != nil {
				return nil, s.fail(ctx, "read the posture", err)
			}
		}
		return ok(out, nil)
	})
}

// worst lists open incidents from the worst severity down, last updated first within one. A row is as it is now, and may be worse, or
// closed, while the store and its counts still have what was before.
func (s *Server) worst(ctx context.Context, counts minewarden.Counts) ([]incidentRow, error) {
	var found []minewarden.IncidentRow
	seen := map[string]bool{}
	for sev := minewarden.Critical; len(found) < maxWorst; sev-- {
		if counts[minewarden.Open][sev] > 0 {
			rows, err := s.o.Incidents.Rows(ctx, minewarden.Query{States: []minewarden.State{minewarden.Open}, Severity: sev, Limit: 2 * maxWorst})
			if err != nil {
				return nil, err
			}
			for _, r := range rows {
				if r.State == minewarden.Open && !seen[r.ID] {
					seen[r.ID] = true
					found = append(found, r)
				}
			}
		}
		if sev == minewarden.Informational {
			break
		}
	}
	slices.SortStableFunc(found, func(a, b minewarden.IncidentRow) int { return int(b.Severity) - int(a.Severity) })
	return s.rows(ctx, found[:min(maxWorst, len(found))]), nil
}
