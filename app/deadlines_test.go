package app_test

import (
	"net/http"
	"slices"
	"testing"
	"time"

	"github.com/minewarden/minewarden"
	"github.com/minewarden/minewarden/app"
	"github.com/minewarden/minewarden/audittrail"
	"github.com/minewarden/minewarden/config"
	"github.com/minewarden/minewarden/console"
)

// TestReportMeetsItsDeadline: who makes the report or the review has met its deadline, which the console shows; the first counts.
func TestReportMeetsItsDeadline(t *testing.T) {
	r := consoleAgent(t, 30)
	var open struct{ Items []minewarden.IncidentRow }
	r.ask(http.MethodGet, "/incidents?state=open&severity=high", "", http.StatusOK, &open)
	if len(open.Items) == 0 {
		t.Fatal("no incident is high and open")
	}
	id := open.Items[0].ID
	deadlines := func() map[string]console.Deadline {
		var all struct{ Items []console.Deadline }
		for end := time.Now().Add(20 * time.Second); time.Now().Before(end); time.Sleep(50 * time.Millisecond) {
			r.ask(http.MethodGet, "/incidents/"+id+"/deadlines", "", http.StatusOK, &all)
			if len(all.Items) > 0 {
				break
			}
		}
		by := map[string]console.Deadline{}
		for _, d := range all.Items {
			by[d.What] = d
		}
		return by
	}
	if d := deadlines(); !d["report"].Met.IsZero() || !d["review"].Met.IsZero() || d["report"].Due.IsZero() {
		t.Fatalf("before anybody made one: %+v", d)
	}
	r.ask(http.MethodGet, "/incidents/"+id+"/report?kind=incident&format=md", "", http.StatusOK, nil)
	if d := deadlines(); !d["report"].Met.IsZero() {
		t.Errorf("to read a draft met its deadline: %+v", d)
	}
	r.ask(http.MethodPost, "/incidents/"+id+"/report", `{"kind":"incident"}`, http.StatusNoContent, nil)
	d := deadlines()
	if d["report"].Met.IsZero() || d["report"].By != "user ada" || !d["review"].Met.IsZero() {
		t.Errorf("after the report: %+v", d)
	}
	w, done := work(t, r.data)
	defer done()
	for range 2 {
		if err := app.Reported(t.Context(), w, id, "review"); err != nil {
			t.Fatal(err)
		}
	}
	if d := deadlines(); d["review"].Met.IsZero() || d["review"].By == "" {
		t.Errorf("after the review: %+v", d)
	}
	met, err := audittrail.List(r.data, audittrail.Query{What: "deadline.met"})
	if err != nil || len(met) != 2 {
		t.Errorf("the audit trail has %d entries, want 2: %+v, %v", len(met), met, err)
	}
}

// TestConsoleIsWhereItIs: a command on the data directory finds the console of the running agent, whatever port it has.
func TestConsoleIsWhereItIs(t *testing.T) {
	r := consoleAgent(t, 0)
	at, err := app.RunningConsole(t.Context(), r.data)
	if err != nil || at == "" || len(r.page) <= len(at) || r.page[:len(at)+1] != at+"/" {
		t.Errorf("got %q, %v; announced is %q", at, err, r.page)
	}
	if _, err := app.RunningConsole(t.Context(), t.TempDir()); err == nil {
		t.Error("one is running where none is")
	}
}

// TestDoctorTellsWhatNobodyAskedFor: a sensor of logs that has nothing to read is a warning, and a fault where the configuration wants it.
func TestDoctorTellsWhatNobodyAskedFor(t *testing.T) {
	r := consoleAgent(t, 0, "sensors/syslog")
	for text, want := range map[string]bool{"": true, "sensors:\n  syslog:\n    udp: \"\"\n": false} {
		cfg, err := config.Parse([]byte(text))
		if err != nil {
			t.Fatal(err)
		}
		var got *app.Check
		for end := time.Now().Add(20 * time.Second); time.Now().Before(end) && (got == nil || got.OK); time.Sleep(50 * time.Millisecond) {
			all, err := app.RunningHealth(t.Context(), cfg, r.data)
			if err != nil {
				t.Fatal(err)
			}
			if i := slices.IndexFunc(all, func(c app.Check) bool { return c.Name == "running sensor syslog" }); i >= 0 {
				got = &all[i]
			}
		}
		if got == nil || got.OK || got.Warning != want {
			t.Errorf("with %q: %+v, want a warning: %t", text, got, want)
		}
	}
}
