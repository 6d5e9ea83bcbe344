// Package storetest holds every minewarden.Store to the same contract.
package storetest

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/minewarden/minewarden"
)

// Run tests stores that open makes: empty ones, each its own.
func Run(t *testing.T, open func(t *testing.T) minewarden.Store) {
	for name, test := range map[string]func(*testing.T, minewarden.Store){
		"put and get": putGet, "replace": replace, "order": order, "queries": queries, "pages": pages, "findings": findings,
		"hostile text": hostile, "concurrent": concurrent, "cancelled": cancelled, "iterate and put": iterateAndPut,
		"rows": rows, "receipts": receipts,
	} {
		t.Run(name, func(t *testing.T) { test(t, open(t)) })
	}
}

// Epoch is the time of Incident(0).
var Epoch = time.Date(2026, 11, 21, 20, 0, 0, 123456789, time.UTC)

// Incident returns one of an endless row of incidents that use every field.
func Incident(i int) minewarden.Incident {
	at := Epoch.Add(time.Duration(i) * time.Second)
	key := minewarden.ProcessKey{Boot: "b1", PID: int32(1000 + i), Start: uint64(i)}
	state := []minewarden.State{minewarden.Open, minewarden.Contained, minewarden.Closed}[i%3]
	sev := minewarden.Severity(i % 5)
	subject := minewarden.Subject{Type: minewarden.SubjectProcess, ID: key.String(), Name: fmt.Sprintf("xm%drig", i), PID: key.PID, Host: "h"}
	inc := minewarden.Incident{
		ID: fmt.Sprintf("i%05d", i), Subject: subject, State: state, Severity: sev, Score: 0.5, Opened: at, Updated: at, Changed: at,
		Host: fmt.Sprintf("host-%d", i%2), Root: "process " + key.String(),
		Members: []minewarden.Member{{
			Key: key, Name: "m", Exe: fmt.Sprintf("/tmp/.x%d", i), Args: []string{"-o", "pool"}, Since: at,
			Container: minewarden.Container{Runtime: "docker", ID: "c0ffee"},
		}},
		Actions: []minewarden.Receipt{{Action: minewarden.Action{ID: "a", Op: "freeze"}, Started: at, OK: true, State: map[string]string{"k": "v"}}},
		Notes:   []minewarden.Note{{Time: at, Who: "ada", Text: "seen"}},
	}
	for j := range i%3 + 1 {
		inc.Findings = append(inc.Findings, minewarden.IncidentFinding{
			Time: at, Last: at.Add(time.Duration(j) * time.Millisecond), Count: j + 1, Rule: []string{"pow/randomx", "lineage/shell", "power/x"}[j],
			Title: "Code that mines", Severity: sev, Confidence: 0.9, Subject: subject, Lineage: "systemd > sh > Miner_100%",
			Technique: []string{"T1496.001"}, Evidence: []minewarden.Evidence{{Key: "k", Value: "v\n\x00<b>"}}, Advice: "look",
		})
	}
	return inc
}

func put(t *testing.T, s minewarden.Store, incs ...minewarden.Incident) {
	t.Helper()
	for _, inc := range incs {
		if err := s.Put(t.Context(), inc); err != nil {
			t.Fatal(err)
		}
	}
}

// IDs returns what q selects, in order.
func IDs(t *testing.T, s minewarden.Store, q minewarden.Query) []string {
	t.Helper()
	ids := []string{}
	for inc, err := range s.Incidents(t.Context(), q) {
		if err != nil {
			t.Fatal(err)
		}
		ids = append(ids, inc.ID)
	}
	return ids
}

func putGet(t *testing.T, s minewarden.Store) {
	want := Incident(7)
	put(t, s, want)
	got, err := s.Get(t.Context(), want.ID)
	if diff := cmp.Diff(want, got); err != nil || diff != "" {
		t.Errorf("get: %v %s", err, diff)
	}
	if _, err := s.Get(t.Context(), "nope"); !errors.Is(err, minewarden.ErrNotFound) {
		t.Errorf("get of what is not there: %v", err)
	}
	if err := s.Put(t.Context(), minewarden.Incident{}); err == nil {
		t.Error("put without an id succeeded")
	}
}

func replace(t *testing.T, s minewarden.Store) {
	inc := Incident(2) // three findings
	put(t, s, inc)
	inc.State, inc.Updated = minewarden.Open, inc.Updated.Add(time.Hour)
	inc.Findings = inc.Findings[:1]
	inc.Findings[0].Title = "Renamed title"
	put(t, s, inc, inc)
	got, err := s.Get(t.Context(), inc.ID)
	if diff := cmp.Diff(inc, got); err != nil || diff != "" {
		t.Errorf("get: %v %s", err, diff)
	}
	if n := len(findingKeys(t, s, minewarden.Query{})); n != 1 {
		t.Errorf("%d findings after one was left, want 1", n)
	}
	for text, want := range map[string]int{"renamed": 1, "code that": 0} {
		if n := len(findingKeys(t, s, minewarden.Query{Text: text})); n != want {
			t.Errorf("%d findings with %q, want %d", n, text, want)
		}
	}
}

func order(t *testing.T, s minewarden.Store) {
	a, b, c := Incident(1), Incident(2), Incident(3)
	b.Updated = c.Updated
	put(t, s, c, a, b)
	if got, want := IDs(t, s, minewarden.Query{}), []string{b.ID, c.ID, a.ID}; !slices.Equal(got, want) {
		t.Errorf("got %v, want %v", got, want)
	}
}

func queries(t *testing.T, s minewarden.Store) {
	for i := range 30 {
		put(t, s, Incident(i))
	}
	for name, c := range map[string]struct {
		q    minewarden.Query
		want func(i int) bool
	}{
		"all":             {minewarden.Query{}, func(int) bool { return true }},
		"state":           {minewarden.Query{States: []minewarden.State{minewarden.Open}}, func(i int) bool { return i%3 == 0 }},
		"states":          {minewarden.Query{States: []minewarden.State{minewarden.Open, minewarden.Closed}}, func(i int) bool { return i%3 != 1 }},
		"severity":        {minewarden.Query{Severity: minewarden.High}, func(i int) bool { return i%5 >= 3 }},
		"host":            {minewarden.Query{Host: "host-1"}, func(i int) bool { return i%2 == 1 }},
		"subject":         {minewarden.Query{Subject: "b1/1004@4"}, func(i int) bool { return i == 4 }},
		"rule":            {minewarden.Query{Rule: "lineage/shell"}, func(i int) bool { return i%3 >= 1 }},
		"rule prefix":     {minewarden.Query{Rule: "power/"}, func(i int) bool { return i%3 == 2 }},
		"no such rule":    {minewarden.Query{Rule: "pow"}, func(int) bool { return false }},
		"since":           {minewarden.Query{Since: Epoch.Add(10 * time.Second)}, func(i int) bool { return i >= 10 }},
		"until":           {minewarden.Query{Until: Epoch.Add(10 * time.Second)}, func(i int) bool { return i < 10 }},
		"text of subject": {minewarden.Query{Text: "XM12r"}, func(i int) bool { return i == 12 }},
		"text of member":  {minewarden.Query{Text: "/tmp/.x2"}, func(i int) bool { return i == 2 || i >= 20 }},
		"text of finding": {minewarden.Query{Text: "LINEAGE/sh"}, func(i int) bool { return i%3 >= 1 }},
		"short text":      {minewarden.Query{Text: "m7"}, func(i int) bool { return i == 7 }},
		"wildcards":       {minewarden.Query{Text: "r_100%"}, func(int) bool { return true }},
		"not a wildcard":  {minewarden.Query{Text: "r%100"}, func(int) bool { return false }},
		"nor this":        {minewarden.Query{Text: "_it_"}, func(int) bool { return false }},
		"quotes":          {minewarden.Query{Text: `"' OR 1=1 --`}, func(int) bool { return false }},
		"several": {
			minewarden.Query{States: []minewarden.State{minewarden.Open}, Severity: minewarden.Medium, Host: "host-0", Text: "rig"},
			func(i int) bool { return i%3 == 0 && i%5 >= 2 && i%2 == 0 },
		},
	} {
		t.Run(name, func(t *testing.T) {
			want := []string{}
			for i := 29; i >= 0; i-- {
				if c.want(i) {
					want = append(want, Incident(i).ID)
				}
			}
			if diff := cmp.Diff(want, IDs(t, s, c.q)); diff != "" {
				t.Error(diff)
			}
		})
	}
}

func pages(t *testing.T, s minewarden.Store) {
	for i := range 25 {
		inc := Incident(i)
		inc.Updated = Epoch.Add(time.Duration(i/4) * time.Second) // four at once
		put(t, s, inc)
	}
	all := IDs(t, s, minewarden.Query{})
	var got []string
	for q := (minewarden.Query{Limit: 7}); ; {
		n := 0
		for inc, err := range s.Incidents(t.Context(), q) {
			if err != nil {
				t.Fatal(err)
			}
			n++
			got = append(got, inc.ID)
			q.After = inc.Cursor()
		}
		if n > 7 {
			t.Fatalf("a page of %d", n)
		}
		if n < 7 {
			break
		}
	}
	if diff := cmp.Diff(all, got); diff != "" {
		t.Error(diff)
	}
	for _, err := range s.Incidents(t.Context(), minewarden.Query{After: "junk"}) {
		if err == nil {
			t.Error("a bad cursor was taken")
		}
	}
}

func findingKeys(t *testing.T, s minewarden.Store, q minewarden.Query) []string {
	t.Helper()
	keys := []string{}
	for f, err := range s.Findings(t.Context(), q) {
		if err != nil {
			t.Fatal(err)
		}
		keys = append(keys, fmt.Sprintf("%s/%d", f.Incident, f.Seq))
	}
	return keys
}

func findings(t *testing.T, s minewarden.Store) {
	for i := range 12 {
		put(t, s, Incident(i))
	}
	all := findingKeys(t, s, minewarden.Query{})
	if len(all) != 24 || all[0] != "i00011/2" || all[1] != "i00011/1" || all[23] != "i00000/0" {
		t.Errorf("got %v", all)
	}
	var paged []string
	q := minewarden.Query{Limit: 5}
	for {
		n := 0
		for f, err := range s.Findings(t.Context(), q) {
			if err != nil {
				t.Fatal(err)
			}
			n++
			paged = append(paged, fmt.Sprintf("%s/%d", f.Incident, f.Seq))
			q.After = f.Cursor()
		}
		if n < 5 {
			break
		}
	}
	if diff := cmp.Diff(all, paged); diff != "" {
		t.Errorf("pages: %s", diff)
	}
	for name, c := range map[string]struct {
		q    minewarden.Query
		want int
	}{
		"rule":     {minewarden.Query{Rule: "power/x"}, 4},
		"prefix":   {minewarden.Query{Rule: "pow/"}, 12},
		"state":    {minewarden.Query{States: []minewarden.State{minewarden.Closed}}, 12},
		"host":     {minewarden.Query{Host: "host-0"}, 12},
		"severity": {minewarden.Query{Severity: minewarden.Critical}, 3},
		"subject":  {minewarden.Query{Subject: "b1/1011@11"}, 3},
		"text":     {minewarden.Query{Text: "sh > miner_100%"}, 24},
		"since":    {minewarden.Query{Since: Epoch.Add(11 * time.Second)}, 3},
	} {
		if got := len(findingKeys(t, s, c.q)); got != c.want {
			t.Errorf("%s: %d findings, want %d", name, got, c.want)
		}
	}
}

func hostile(t *testing.T, s minewarden.Store) {
	inc := Incident(1)
	inc.Subject.Name = "a\x00b'; DROP TABLE incident; --\u202e" + strings.Repeat("語", 3000)
	inc.Members[0].Exe = "/tmp/\x1b[31m\"*"
	put(t, s, inc)
	got, err := s.Get(t.Context(), inc.ID)
	if diff := cmp.Diff(inc, got); err != nil || diff != "" {
		t.Errorf("get: %v %s", err, diff)
	}
	for _, text := range []string{"drop table", "語語語語", "語", "\x1b[31m\"*", "'; d"} {
		if ids := IDs(t, s, minewarden.Query{Text: text}); len(ids) != 1 {
			t.Errorf("text %q: %v", text, ids)
		}
	}
}

func concurrent(t *testing.T, s minewarden.Store) {
	var wg sync.WaitGroup
	for w := range 4 {
		wg.Go(func() {
			for i := range 15 {
				if err := s.Put(t.Context(), Incident(w*100+i)); err != nil {
					t.Error(err)
				}
				if _, err := s.Get(t.Context(), Incident(w*100+i).ID); err != nil {
					t.Error(err)
				}
				for _, err := range s.Incidents(t.Context(), minewarden.Query{Limit: 5, Text: "rig"}) {
					if err != nil {
						t.Error(err)
					}
				}
			}
		})
	}
	wg.Wait()
	if n := len(IDs(t, s, minewarden.Query{})); n != 60 {
		t.Errorf("%d incidents, want 60", n)
	}
}

func cancelled(t *testing.T, s minewarden.Store) {
	put(t, s, Incident(1))
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if err := s.Put(ctx, Incident(2)); !errors.Is(err, context.Canceled) {
		t.Errorf("put: %v", err)
	}
	if _, err := s.Get(ctx, Incident(1).ID); !errors.Is(err, context.Canceled) {
		t.Errorf("get: %v", err)
	}
	for _, err := range s.Incidents(ctx, minewarden.Query{}) {
		if !errors.Is(err, context.Canceled) {
			t.Errorf("list: %v", err)
		}
	}
}

// iterateAndPut writes while it reads, as a retry loop does: neither may wait for the other.
func iterateAndPut(t *testing.T, s minewarden.Store) {
	for i := range 5 {
		put(t, s, Incident(i))
	}
	n := 0
	for inc, err := range s.Incidents(t.Context(), minewarden.Query{}) {
		if err != nil {
			t.Fatal(err)
		}
		n++
		inc.Updated = inc.Updated.Add(time.Hour)
		put(t, s, inc)
	}
	if n != 5 {
		t.Errorf("saw %d of 5", n)
	}
}
