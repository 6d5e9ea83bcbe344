package console_test

import (
	"context"
	"encoding/json"
	"iter"
	"net/http"
	"strings"
	"testing"

	"github.com/minewarden/minewarden"
	"github.com/minewarden/minewarden/console"
)

// few serves some rows, and says of itself what a store beside newer incidents would.
type few struct {
	console.Incidents
	rows []minewarden.IncidentRow
	was  map[string]minewarden.Severity // what the store still has
}

func (f few) Rows(_ context.Context, q minewarden.Query) (out []minewarden.IncidentRow, _ error) {
	for _, r := range f.rows {
		if f.severity(r) >= q.Severity && (q.Limit <= 0 || len(out) < q.Limit) {
			out = append(out, r)
		}
	}
	return out, nil
}

func (f few) severity(r minewarden.IncidentRow) minewarden.Severity {
	if s, ok := f.was[r.ID]; ok {
		return s
	}
	return r.Severity
}

func (f few) Whole(context.Context, minewarden.Query) iter.Seq2[minewarden.Incident, error] {
	return func(yield func(minewarden.Incident, error) bool) {
		for _, r := range f.rows {
			if !yield(minewarden.Incident{ID: r.ID, Subject: r.Subject, Notes: []minewarden.Note{{Text: r.Title}}}, nil) {
				return
			}
		}
	}
}

func (f few) Counts(context.Context) (minewarden.Counts, error) {
	c := minewarden.Counts{minewarden.Open: {}}
	for _, r := range f.rows {
		n := c[minewarden.Open]
		n[f.severity(r)]++
		c[minewarden.Open] = n
	}
	return c, nil
}

func (few) Stolen(context.Context) (console.Stolen, error) { return console.Stolen{}, nil }
func (few) Respond() string                                { return "observe" }

const hostile = "a\u202eb\u200b\u009b31m\x7f中文"

// TestMarksAreEscaped holds every way in which JSON leaves to it: what hides or reorders text is there as JSON's escapes.
func TestMarksAreEscaped(t *testing.T) {
	f := few{rows: []minewarden.IncidentRow{{ID: "i1", State: minewarden.Open, Severity: minewarden.High, Title: hostile, Rules: []string{}}}}
	feed := console.NewFeed()
	ask, base, client := serve(t, console.Options{Incidents: f, Overview: f, Feed: feed})
	for _, path := range []string{"/api/v1/incidents", "/api/v1/incidents/export", "/api/v1/overview"} {
		resp, body := ask("viewer", http.MethodGet, path, "")
		if resp.StatusCode != http.StatusOK {
			t.Fatalf("%s: %s: %s", path, resp.Status, body)
		}
		held(t, path, string(body))
	}
	req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, base+"/api/v1/events", nil)
	if err != nil {
		t.Fatal(err)
	}
	req.Header.Set("Authorization", "Bearer viewer")
	resp, err := client.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	feed.Publish("finding", map[string]string{"title": hostile})
	var text strings.Builder
	for b := make([]byte, 4096); !strings.Contains(text.String(), "中文"); {
		n, err := resp.Body.Read(b)
		text.Write(b[:n])
		if err != nil {
			t.Fatal(err)
		}
	}
	held(t, "events", text.String())
	resp, body := ask("viewer", http.MethodGet, "/api/v1/incidents?severity=%E2%80%AE", "")
	if resp.StatusCode != http.StatusUnprocessableEntity || strings.ContainsRune(string(body), '\u202e') {
		t.Errorf("%s: %q", resp.Status, body)
	}
}

func held(t *testing.T, what, text string) {
	t.Helper()
	if i := strings.IndexAny(text, "\u202e\u200b\u009b\x7f"); i >= 0 {
		t.Errorf("%s: %q is left in %q", what, text[i:i+3], text)
	}
	_, rest, _ := strings.Cut(text, `"a\u202e`)
	end := strings.Index(rest, `"`)
	if end < 0 {
		t.Fatalf("%s: the text is not in %q", what, text)
	}
	var back string
	if err := json.Unmarshal([]byte(`"a\u202e`+rest[:end]+`"`), &back); err != nil || back != hostile {
		t.Errorf("%s: read back as %q: %v", what, back, err)
	}
}

// TestWorstAreAsMany: what got worse since the store last wrote it is not left out, and comes first.
func TestWorstAreAsMany(t *testing.T) {
	f := few{was: map[string]minewarden.Severity{"i3": minewarden.High, "i5": minewarden.Medium}}
	for i, s := range []minewarden.Severity{3, 3, 3, 4, 3, 4, 2, 2, 2, 1} {
		f.rows = append(f.rows, minewarden.IncidentRow{ID: "i" + string(rune('0'+i)), State: minewarden.Open, Severity: s, Rules: []string{}})
	}
	ask, _, _ := serve(t, console.Options{Incidents: f, Overview: f})
	_, body := ask("viewer", http.MethodGet, "/api/v1/overview", "")
	var out struct{ Worst []minewarden.IncidentRow }
	if err := json.Unmarshal(body, &out); err != nil {
		t.Fatal(err)
	}
	var ids []string
	for _, r := range out.Worst {
		ids = append(ids, r.ID)
	}
	if got := strings.Join(ids, " "); got != "i3 i5 i0 i1 i2 i4 i6 i7" {
		t.Errorf("got %s", got)
	}
}
