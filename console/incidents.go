package console

import (
	"context"
	"iter"
	"net/http"
	"slices"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/danielgtaylor/huma/v2"
	"github.com/danielgtaylor/huma/v2/adapters/humago"

	"github.com/minewarden/minewarden"
	"github.com/minewarden/minewarden/console/access"
	"github.com/minewarden/minewarden/internal/terminal"
)

// Incidents are what the console reads.
type Incidents interface {
	Rows(ctx context.Context, q minewarden.Query) ([]minewarden.IncidentRow, error)
	Incident(ctx context.Context, id string) (minewarden.Incident, error) // also by a beginning of its id
	Whole(ctx context.Context, q minewarden.Query) iter.Seq2[minewarden.Incident, error]
	Findings(ctx context.Context, q minewarden.Query) ([]minewarden.StoredFinding, error)
}

// Cases are what people write on incidents. Each is in the audit trail when it returns.
type Cases interface {
	Note(ctx context.Context, id, who, text string) (minewarden.Incident, error)
	Assign(ctx context.Context, id, who, name string) (minewarden.Incident, error)
	Judge(ctx context.Context, id, verdict, who, why string) (minewarden.Incident, error)
	Close(ctx context.Context, id, who, why string) (minewarden.Incident, error)
	Reopen(ctx context.Context, id, who, why string) (minewarden.Incident, error)
}

// A Deadline is something that must be done about an incident by a time.
type Deadline struct {
	Incident string    `json:"incident"`
	What     string    `json:"what"` // isolated, report, review; of a run's step: "step RUN/STEP"
	Due      time.Time `json:"due"`
	State    string    `json:"state" enum:"running,missed,met,late,dropped" doc:"late: met after it was due; dropped: it was a false positive"`
	Met      time.Time `json:"met,omitzero"`
	By       string    `json:"by,omitempty" doc:"who met it"`
}

// Filter are the parameters that select incidents or findings.
type Filter struct {
	Page
	State    []string  `query:"state" doc:"open, contained, closed; several by comma"`
	Severity string    `query:"severity" enum:"info,low,medium,high,critical" doc:"this or worse"`
	Host     string    `query:"host" maxLength:"255"`
	Rule     string    `query:"rule" maxLength:"255" doc:"of one of its findings; ending in a slash: every rule of that prefix"`
	Subject  string    `query:"subject" maxLength:"4096"`
	Since    time.Time `query:"since"`
	Until    time.Time `query:"until"`
	Text     string    `query:"text" maxLength:"200" doc:"in a name, path, title, rule or id"`
}

func (f *Filter) query() (minewarden.Query, error) {
	q := minewarden.Query{
		Host: f.Host, Rule: f.Rule, Subject: f.Subject, Since: f.Since, Until: f.Until, Text: f.Text, After: f.After, Limit: f.Limit,
	}
	for _, st := range f.State {
		switch v := minewarden.State(st); v {
		case minewarden.Open, minewarden.Contained, minewarden.Closed:
			q.States = append(q.States, v)
		default:
			return q, huma.Error422UnprocessableEntity("state: use open, contained, closed")
		}
	}
	if f.Severity != "" {
		sev, err := minewarden.ParseSeverity(f.Severity)
		if err != nil {
			return q, huma.Error422UnprocessableEntity(err.Error())
		}
		q.Severity = sev
	}
	if f.After != "" {
		if _, _, _, err := minewarden.ParseCursor(f.After); err != nil {
			return q, huma.Error422UnprocessableEntity(err.Error())
		}
	}
	return q, nil
}

type incidentRow struct {
	minewarden.IncidentRow
	Deadline time.Time `json:"deadline,omitzero" doc:"the next that runs"`
}

// IncidentID is the parameter of what is about one incident.
type IncidentID struct {
	ID string `path:"id" maxLength:"64" doc:"or a beginning of it that no other has"`
}

func (s *Server) incidents() {
	if s.o.Incidents == nil && !s.all {
		return
	}
	read := func(path, id, summary string) huma.Operation {
		return operation(access.Viewer, http.MethodGet, path, id, summary)
	}
	huma.Register(s.api, read("/incidents", "incidents", "Incidents, last updated first"), func(ctx context.Context, in *Filter) (*answer[list[incidentRow]], error) {
		q, err := in.query()
		if err != nil {
			return nil, err
		}
		rows, err := s.o.Incidents.Rows(ctx, more(q))
		if err != nil {
			return nil, s.fail(ctx, "list incidents", err)
		}
		rows, next := cut(rows, q.Limit, func(r *minewarden.IncidentRow) string { return r.Cursor() })
		return &answer[list[incidentRow]]{Body: list[incidentRow]{Items: s.rows(ctx, rows), Next: next}}, nil
	})
	huma.Register(s.api, read("/incidents/{id}/deadlines", "deadlines", "The deadlines of an incident, the next first"), func(ctx context.Context, in *IncidentID) (*answer[list[Deadline]], error) {
		inc, err := s.o.Incidents.Incident(ctx, in.ID)
		if err != nil {
			return nil, s.fail(ctx, "read an incident", err)
		}
		var all []Deadline
		if s.o.DeadlinesOf != nil {
			all = s.o.DeadlinesOf(ctx, []string{inc.ID})
		}
		slices.SortFunc(all, func(a, b Deadline) int { return a.Due.Compare(b.Due) })
		return ok(items(all), nil)
	})
	huma.Register(s.api, read("/findings", "findings", "Findings, last seen first"), func(ctx context.Context, in *Filter) (*answer[list[minewarden.StoredFinding]], error) {
		q, err := in.query()
		if err != nil {
			return nil, err
		}
		all, err := s.o.Incidents.Findings(ctx, more(q))
		if err != nil {
			return nil, s.fail(ctx, "list findings", err)
		}
		all, next := cut(all, q.Limit, func(f *minewarden.StoredFinding) string { return f.Cursor() })
		out := items(all)
		out.Next = next
		return &answer[list[minewarden.StoredFinding]]{Body: out}, nil
	})
	export := read("/incidents/export", "exportIncidents", "Whole incidents, one JSON object a line")
	export.Responses = map[string]*huma.Response{"200": {Description: "The incidents", Content: map[string]*huma.MediaType{"application/x-ndjson": {Schema: &huma.Schema{Type: "string"}}}}}
	huma.Register(s.api, export, s.export)
	huma.Register(s.api, read("/incidents/{id}", "incident", "One incident, whole"), func(ctx context.Context, in *IncidentID) (*answer[minewarden.Incident], error) {
		inc, err := s.o.Incidents.Incident(ctx, in.ID)
		return ok(whole(inc), s.fail(ctx, "show an incident", err))
	})
	huma.Register(s.api, read("/incidents/{id}/timeline", "timeline", "What happened, in order"), func(ctx context.Context, in *IncidentID) (*answer[list[Moment]], error) {
		inc, err := s.o.Incidents.Incident(ctx, in.ID)
		return ok(items(Timeline(&inc)), s.fail(ctx, "tell an incident", err))
	})
	huma.Register(s.api, read("/incidents/{id}/graph", "graph", "Who started what, and what it touched"), func(ctx context.Context, in *IncidentID) (*answer[Graph], error) {
		inc, err := s.o.Incidents.Incident(ctx, in.ID)
		return ok(GraphOf(&inc), s.fail(ctx, "draw an incident", err))
	})
	s.cases()
}

func (s *Server) cases() {
	type text struct {
		IncidentID
		Body struct {
			Text string `json:"text" minLength:"1" maxLength:"10000"`
		}
	}
	type why struct {
		IncidentID
		Body struct {
			Why string `json:"why" minLength:"1" maxLength:"10000" doc:"kept with the incident"`
		}
	}
	type name struct {
		IncidentID
		Body struct {
			Name string `json:"name" maxLength:"64" doc:"empty: nobody"`
		}
	}
	write := func(method, path, id, summary string) huma.Operation {
		return operation(access.Analyst, method, path, id, summary)
	}
	do := func(ctx context.Context, what string, f func() (minewarden.Incident, error)) (*answer[minewarden.Incident], error) {
		inc, err := f()
		return ok(whole(inc), s.fail(ctx, what, err))
	}
	huma.Register(s.api, write(http.MethodPost, "/incidents/{id}/notes", "addNote", "Write a note on an incident"), func(ctx context.Context, in *text) (*answer[minewarden.Incident], error) {
		if err := said(in.Body.Text); err != nil {
			return nil, err
		}
		return do(ctx, "note", func() (minewarden.Incident, error) { return s.o.Cases.Note(ctx, in.ID, access.Who(ctx), in.Body.Text) })
	})
	huma.Register(s.api, write(http.MethodPut, "/incidents/{id}/assignee", "assign", "Say who works on an incident"), func(ctx context.Context, in *name) (*answer[minewarden.Incident], error) {
		return do(ctx, "assign", func() (minewarden.Incident, error) {
			return s.o.Cases.Assign(ctx, in.ID, access.Who(ctx), strings.TrimSpace(in.Body.Name))
		})
	})
	huma.Register(s.api, write(http.MethodPost, "/incidents/{id}/close", "close", "Say that an incident is over; what was done about it stands"), func(ctx context.Context, in *why) (*answer[minewarden.Incident], error) {
		if err := said(in.Body.Why); err != nil {
			return nil, err
		}
		return do(ctx, "close", func() (minewarden.Incident, error) { return s.o.Cases.Close(ctx, in.ID, access.Who(ctx), in.Body.Why) })
	})
	type verdict struct {
		IncidentID
		Body struct {
			Verdict string `json:"verdict" enum:"true_positive,false_positive,authorised"`
			Why     string `json:"why" minLength:"1" maxLength:"10000"`
		}
	}
	huma.Register(s.api, write(http.MethodPut, "/incidents/{id}/verdict", "judge", "Say what an incident was"), func(ctx context.Context, in *verdict) (*answer[minewarden.Incident], error) {
		if err := said(in.Body.Why); err != nil {
			return nil, err
		}
		return do(ctx, "judge", func() (minewarden.Incident, error) {
			return s.o.Cases.Judge(ctx, in.ID, in.Body.Verdict, access.Who(ctx), in.Body.Why)
		})
	})
	huma.Register(s.api, write(http.MethodPost, "/incidents/{id}/reopen", "reopen", "Say that an incident is not over after all"), func(ctx context.Context, in *why) (*answer[minewarden.Incident], error) {
		if err := said(in.Body.Why); err != nil {
			return nil, err
		}
		return do(ctx, "reopen", func() (minewarden.Incident, error) { return s.o.Cases.Reopen(ctx, in.ID, access.Who(ctx), in.Body.Why) })
	})
}

// said refuses text that says nothing, or that no one could read.
func said(text string) error {
	if strings.TrimSpace(text) == "" || !utf8.ValidString(text) {
		return huma.Error422UnprocessableEntity("say something, in valid UTF-8")
	}
	return nil
}

// more asks for one row beyond the page: whether there is one says whether there is a next page.
func more(q minewarden.Query) minewarden.Query {
	q.Limit++
	return q
}

func cut[T any](rows []T, limit int, cursor func(*T) string) (page []T, next string) {
	if len(rows) <= limit {
		return rows, ""
	}
	return rows[:limit], cursor(&rows[limit-1])
}

func (s *Server) rows(ctx context.Context, rows []minewarden.IncidentRow) []incidentRow {
	out := make([]incidentRow, len(rows))
	due := map[string]time.Time{}
	var ids []string
	for i := range rows {
		ids = append(ids, rows[i].ID)
	}
	var all []Deadline
	if s.o.DeadlinesOf != nil && len(ids) > 0 {
		all = s.o.DeadlinesOf(ctx, ids)
	}
	for _, d := range all {
		if at := due[d.Incident]; d.State == "running" && (at.IsZero() || d.Due.Before(at)) {
			due[d.Incident] = d.Due
		}
	}
	for i, r := range rows {
		out[i] = incidentRow{IncidentRow: r, Deadline: due[r.ID]}
	}
	return out
}

// whole makes lists of an incident that have nothing empty rather than null.
func whole(inc minewarden.Incident) minewarden.Incident {
	if inc.Findings == nil {
		inc.Findings = []minewarden.IncidentFinding{}
	}
	return inc
}

// maxExport is for who asks without a limit: ten thousand incidents are what an agent keeps in memory.
const maxExport = 100_000

type exportIn struct {
	Filter
	All bool `query:"all" doc:"every one, without pages"`
}

func (s *Server) export(_ context.Context, in *exportIn) (*huma.StreamResponse, error) {
	q, err := in.query()
	if err != nil {
		return nil, err
	}
	if in.All {
		q.Limit = maxExport
	}
	return &huma.StreamResponse{Body: func(ctx huma.Context) {
		_, w := humago.Unwrap(ctx)
		rc := http.NewResponseController(w)
		w.Header().Set("Content-Type", "application/x-ndjson")
		enc := terminal.JSON(w)
		n := 0
		for inc, err := range s.o.Incidents.Whole(ctx.Context(), q) {
			if err == nil && n%64 == 0 {
				err = rc.SetWriteDeadline(time.Now().Add(writeTimeout))
			}
			n++
			if err == nil {
				err = enc.Encode(inc)
			}
			if err != nil { // the connection is cut, so that nobody takes a part for the whole
				s.log.Error("an export ended early", "error", err)
				panic(http.ErrAbortHandler)
			}
		}
	}}, nil
}

// deadlines are those of all incidents, the next first.
func (s *Server) deadlines(ctx context.Context) []Deadline {
	if s.o.Deadlines == nil {
		return nil
	}
	all := s.o.Deadlines(ctx)
	slices.SortFunc(all, func(a, b Deadline) int { return a.Due.Compare(b.Due) })
	return all
}
