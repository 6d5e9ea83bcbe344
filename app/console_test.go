package app_test

import (
	"context"
	"crypto/tls"
	"encoding/json"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/minewarden/minewarden"
	"github.com/minewarden/minewarden/app"
	"github.com/minewarden/minewarden/audittrail"
	"github.com/minewarden/minewarden/store/sqlite"
	"github.com/minewarden/minewarden/store/storetest"
)

// A running is an agent with a console, and how to ask it through its control socket.
type running struct {
	data string
	page string // of the console, as it is announced
	t    *testing.T
}

// consoleAgent runs an agent that sees no more than processes, and what the sensors of more see, on incidents that are there already.
func consoleAgent(t *testing.T, n int, more ...string) *running {
	t.Helper()
	r := &running{data: t.TempDir(), t: t}
	page := make(chan string, 1)
	s, err := sqlite.Open(t.Context(), filepath.Join(r.data, "incidents.db"), sqlite.Options{})
	if err != nil {
		t.Fatal(err)
	}
	for i := range n {
		if err := s.Put(t.Context(), storetest.Incident(i)); err != nil {
			t.Fatal(err)
		}
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	cfg := observe(r.data)
	cfg.Listen = "127.0.0.1:0"
	cfg.Disable = nil
	for name := range app.Known() {
		if strings.HasPrefix(name, "sensors/") && name != "sensors/procfs" && !slices.Contains(more, name) {
			cfg.Disable = append(cfg.Disable, name)
		}
	}
	ctx, stop := context.WithCancel(t.Context())
	a, err := app.NewAgent(ctx, cfg, slog.New(slog.DiscardHandler), app.Notice{
		Console: func(at string, _ bool, _ string) { page <- at },
	})
	if err != nil {
		t.Fatal(err)
	}
	ended := make(chan error, 1)
	go func() { ended <- a.Run(ctx) }()
	t.Cleanup(func() {
		stop()
		if err := <-ended; err != nil {
			t.Error(err)
		}
		if err := a.Close(); err != nil {
			t.Error(err)
		}
	})
	r.page = <-page
	return r
}

// ask sends a request to the control socket as who.
func (r *running) ask(method, path, body string, want int, out any) string {
	r.t.Helper()
	client := &http.Client{Transport: &http.Transport{DisableKeepAlives: true, DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
		return (&net.Dialer{}).DialContext(ctx, "unix", filepath.Join(r.data, "control.sock"))
	}}}
	req, err := http.NewRequestWithContext(r.t.Context(), method, "http://agent/api/v1"+path, strings.NewReader(body))
	if err != nil {
		r.t.Fatal(err)
	}
	req.Header.Set("Content-Type", "application/json")
	req.Header.Set("X-Minewarden-Who", "user ada")
	resp, err := client.Do(req)
	if err != nil {
		r.t.Fatal(err)
	}
	defer resp.Body.Close()
	b, err := io.ReadAll(resp.Body)
	if err != nil {
		r.t.Fatal(err)
	}
	if resp.StatusCode != want {
		r.t.Errorf("%s %s: %s, want %d: %.300s", method, path, resp.Status, want, b)
	}
	if out != nil {
		if err := json.Unmarshal(b, out); err != nil {
			r.t.Errorf("%s: %v: %.300s", path, err, b)
		}
	}
	return string(b)
}

func TestConsoleOfAnAgent(t *testing.T) {
	r := consoleAgent(t, 120)
	if !strings.HasPrefix(r.page, "https://localhost:") || !strings.Contains(r.page, "/login#") {
		t.Errorf("the first page is %s", r.page)
	}
	base, _, _ := strings.Cut(r.page, "/login")
	client := &http.Client{Transport: &http.Transport{TLSClientConfig: &tls.Config{InsecureSkipVerify: true}}} //nolint:gosec // its own certificate, of a test
	resp, err := client.Get(base + "/api/v1/overview")
	if err != nil {
		t.Fatal(err)
	}
	resp.Body.Close()
	client.CloseIdleConnections()
	if resp.StatusCode != http.StatusUnauthorized {
		t.Errorf("a stranger: %s", resp.Status)
	}

	var rows struct {
		Items []minewarden.IncidentRow
		Next  string
	}
	seen := map[string]bool{}
	for after := ""; ; after = rows.Next {
		rows.Next = ""
		r.ask(http.MethodGet, "/incidents?limit=50&text=xm&state=open,closed&after="+after, "", 200, &rows)
		for _, x := range rows.Items {
			if seen[x.ID] || x.State == minewarden.Contained {
				t.Errorf("row %s %s again, or not asked for", x.ID, x.State)
			}
			seen[x.ID] = true
		}
		if rows.Next == "" {
			break
		}
	}
	if len(seen) != 80 {
		t.Errorf("%d rows, want 80", len(seen))
	}
	for path, part := range map[string]string{
		"/overview": `"open":`, "/incidents/i00003": `"root":`, "/incidents/i00003/timeline": `"kind":"finding"`, "/incidents/i00003/graph": `"nodes":[{`, "/findings?limit=2&rule=pow/": `"next"`,
		"/incidents/i00003/plan": `"items":`, "/actions?limit=3": `"op":"freeze"`, "/records": `"items":`, "/hosts": `"this":true`, "/hosts/this/processes": `"items":`, "/hosts/this/connections": `"items":`,
		"/sensors": `"detectors":[`, "/posture": `"checks":`, "/modules?catalogue=detectors": `"catalogue":"detectors"`, "/modules/detectors/stratum": "## What it misses", "/rules": `"id":"pow/randomx"`,
		"/drills": `"name":"rounding"`, "/settings": `"key":"listen"`, "/audit-trail": `"seq":1`, "/audit-trail/verify": `"ok":true`, "/openapi.json": `"openapi":"3.1.0"`, "/incidents/export?limit=2&host=host-1": `"id":"i00119"`,
	} {
		if got := r.ask(http.MethodGet, path, "", 200, nil); !strings.Contains(got, part) {
			t.Errorf("%s has no %s: %.300s", path, part, got)
		}
	}
	for path, status := range map[string]int{
		"/incidents/none0": 404, "/incidents?limit=501": 422, "/incidents?after=junk": 422, "/incidents?state=odd": 422, "/incidents?severity=odd": 422, "/incidents?sort=x": 422, "/none": 404,
		"/modules/detectors/none": 404, "/audit-trail?after=x": 422,
	} {
		r.ask(http.MethodGet, path, "", status, nil)
	}
}

// TestWorkOnAnIncident holds every change to be there at once, in the name of who made it, and in the audit trail.
func TestWorkOnAnIncident(t *testing.T) {
	r := consoleAgent(t, 3)
	var inc minewarden.Incident
	r.ask(http.MethodPost, "/incidents/i00000/notes", `{"text":"looked at it"}`, 200, &inc)
	if n := inc.Notes[len(inc.Notes)-1]; n.Who != "user ada" || n.Text != "looked at it" {
		t.Errorf("note %+v", n)
	}
	r.ask(http.MethodPut, "/incidents/i00000/assignee", `{"name":"grace"}`, 200, &inc)
	if inc.Assignee != "grace" {
		t.Errorf("assignee %q", inc.Assignee)
	}
	r.ask(http.MethodPost, "/incidents/i00000/close", `{"why":"false positive"}`, 200, &inc)
	if inc.State != minewarden.Closed {
		t.Errorf("state %s", inc.State)
	}
	r.ask(http.MethodPost, "/incidents/i00000/reopen", `{"why":"it is back"}`, 200, &inc)
	if inc.State == minewarden.Closed {
		t.Errorf("state %s", inc.State)
	}
	for path, status := range map[string]int{"/incidents/i00000/notes": 422, "/incidents/none0/notes": 422, "/incidents/i00000/close": 422} {
		r.ask(http.MethodPost, path, `{"text":" ","why":""}`, status, nil)
	}
	r.ask(http.MethodPost, "/incidents/nosuch/notes", `{"text":"x"}`, 404, nil)
	r.ask(http.MethodPost, "/incidents/i00000/actions", `{"responder":"process","op":"kill","target_id":"b1/1@1","why":"x"}`, http.StatusConflict, nil)
	r.ask(http.MethodPost, "/actions/none/undo", `{"why":"x"}`, 404, nil)
	r.ask(http.MethodPost, "/drills/none/runs", ``, 404, nil)
	entries, err := audittrail.List(r.data, audittrail.Query{Who: "user ada"})
	if err != nil {
		t.Fatal(err)
	}
	var got []string
	for _, e := range entries {
		got = append(got, fmt.Sprintf("%s %s %s", e.What, e.Target, e.Via))
	}
	want := "incident.reopen i00000 cli\nincident.close i00000 cli\nincident.assign i00000 cli\nincident.note i00000 cli"
	if strings.Join(got, "\n") != want {
		t.Errorf("audit trail:\n%s\nwant:\n%s", strings.Join(got, "\n"), want)
	}
}
