package console

import (
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/minewarden/minewarden"
)

// A Moment is one thing of an incident's story.
type Moment struct {
	Time     time.Time           `json:"time"`
	Kind     string              `json:"kind" enum:"process,network,file,login,posture,finding,action,note,state"`
	Title    string              `json:"title"`
	Detail   string              `json:"detail,omitempty"`
	Severity minewarden.Severity `json:"severity,omitempty"`
	Ref      string              `json:"ref,omitempty" doc:"what it is about: a rule, a process key, an action's id"`
	Subject  *minewarden.Subject `json:"subject,omitempty" doc:"of a finding"`
}

// Timeline returns what happened, in order; of one moment, causes before what was done about them.
func Timeline(inc *minewarden.Incident) []Moment {
	var all []Moment
	for _, m := range inc.Members {
		if !m.Since.IsZero() {
			how := "started"
			if m.Before {
				how = "ran before minewarden did"
			}
			all = append(all, Moment{Time: m.Since, Kind: "process", Title: m.Name + " " + how, Detail: memberDetail(m), Severity: m.Severity, Ref: m.Key.String()})
		}
		if !m.Exited.IsZero() {
			all = append(all, Moment{Time: m.Exited, Kind: "process", Title: m.Name + " ended", Detail: fmt.Sprintf("pid %d", m.Key.PID), Ref: m.Key.String()})
		}
	}
	for _, f := range inc.Findings {
		m := Moment{Time: f.Time, Kind: kindOf(&f), Title: f.Title, Detail: findingDetail(&f), Severity: f.Severity, Ref: f.Rule, Subject: &f.Subject}
		all = append(all, m)
	}
	for _, r := range inc.Actions {
		title := r.Action.Summary
		if !r.OK {
			title = "Failed: " + title
		}
		all = append(all, Moment{Time: r.Done, Kind: "action", Title: title, Detail: r.Result + " (" + r.Who + ": " + r.Why + ")", Ref: r.Action.ID})
		if !r.Undone.IsZero() {
			all = append(all, Moment{Time: r.Undone, Kind: "action", Title: "Taken back: " + r.Action.Summary, Detail: "by " + r.UndoneBy, Ref: r.Action.ID})
		}
	}
	for _, n := range inc.Notes {
		all = append(all, Moment{Time: n.Time, Kind: "note", Title: "Note of " + n.Who, Detail: n.Text})
	}
	if inc.State != minewarden.Open && !inc.Changed.IsZero() {
		all = append(all, Moment{Time: inc.Changed, Kind: "state", Title: "The incident is " + string(inc.State)})
	}
	rank := map[string]int{"posture": 0, "login": 1, "process": 2, "file": 3, "network": 4, "finding": 5, "action": 6, "state": 7, "note": 8}
	slices.SortStableFunc(all, func(a, b Moment) int {
		if d := a.Time.Compare(b.Time); d != 0 {
			return d
		}
		return rank[a.Kind] - rank[b.Kind]
	})
	return all
}

func memberDetail(m minewarden.Member) string {
	d := []string{fmt.Sprintf("pid %d", m.Key.PID)}
	if m.Exe != "" {
		d = append(d, m.Exe)
	}
	if len(m.Args) > 1 {
		d = append(d, strings.Join(m.Args, " "))
	}
	if m.Container.ID != "" {
		d = append(d, fmt.Sprintf("in %s %.12s", m.Container.Runtime, m.Container.ID))
	}
	if m.Package != "" {
		d = append(d, "of the package "+m.Package)
	}
	return strings.Join(d, ", ")
}

func findingDetail(f *minewarden.IncidentFinding) string {
	var b strings.Builder
	for i, e := range f.Evidence {
		if i > 0 {
			b.WriteString("; ")
		}
		b.WriteString(e.Key + ": " + e.Value)
	}
	if f.Count > 1 {
		fmt.Fprintf(&b, " (%d times, last %s)", f.Count, f.Last.UTC().Format(time.DateTime))
	}
	return b.String()
}

// auditPrefixes are of rules that say what let somebody in.
var auditPrefixes = []string{"nomad/", "consul/", "docker/", "gitea/", "linux/", "windows/", "firmware/", "package/", "kubernetes/", "compose/", "dockerfile/", "exposed/"}

func kindOf(f *minewarden.IncidentFinding) string {
	has := func(prefix string) bool { return strings.HasPrefix(f.Rule, prefix) }
	switch {
	case slices.ContainsFunc(auditPrefixes, has):
		return "posture"
	case has("login/"):
		return "login"
	case f.Subject.Type == minewarden.SubjectFlow || f.Subject.Type == minewarden.SubjectURL:
		return "network"
	case f.Subject.Type == minewarden.SubjectFile:
		return "file"
	}
	return "finding"
}
