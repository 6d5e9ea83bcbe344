package main

import (
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/minewarden/minewarden"
	"github.com/minewarden/minewarden/internal/terminal"
)

// maxLineage is how many names of a lineage are shown: the nearest tell most.
const maxLineage = 7

// story tells an incident in the order in which somebody woken by it needs it: what it is and whether it goes on, what was seen, what
// was done and how that is taken back, what to do next.
func story(inc *minewarden.Incident) string {
	var b strings.Builder
	safe := terminal.Safe
	worst := worstOf(inc)
	title := subjectText(inc.Subject)
	if worst != nil {
		title = safe(worst.Title)
	}
	fmt.Fprintf(&b, "Incident %s: %s\n", inc.ID, title)
	fmt.Fprintf(&b, "%s, %s, %d%% sure. Host %s. First seen %s, last %s.\n\n", inc.State, inc.Severity, int(inc.Score*100), safe(inc.Host),
		inc.Opened.Local().Format(time.DateTime), inc.Updated.Local().Format(time.DateTime))
	inShort(&b, inc, worst)
	b.WriteString("\nWhat was seen, in order\n")
	for i := range inc.Findings {
		seen(&b, &inc.Findings[i])
	}
	if inc.More > 0 {
		fmt.Fprintf(&b, "  and %d more, not kept\n", inc.More)
	}
	if len(inc.Members) > 0 {
		b.WriteString("\nProcesses\n")
		for i := range inc.Members {
			member(&b, &inc.Members[i])
		}
	}
	undoable := done(&b, inc)
	next(&b, inc, worst, undoable)
	return b.String()
}

func worstOf(inc *minewarden.Incident) *minewarden.IncidentFinding {
	var worst *minewarden.IncidentFinding
	for i := range inc.Findings {
		if f := &inc.Findings[i]; worst == nil || f.Severity > worst.Severity || f.Severity == worst.Severity && f.Confidence > worst.Confidence {
			worst = f
		}
	}
	return worst
}

// inShort says what it is about, where it came from, whether it goes on, why it is believed and what it cost.
func inShort(b *strings.Builder, inc *minewarden.Incident, worst *minewarden.IncidentFinding) {
	line := func(what, format string, args ...any) {
		fmt.Fprintf(b, "  %-14s %s\n", what, fmt.Sprintf(format, args...))
	}
	about := subjectText(inc.Subject)
	for _, m := range inc.Members {
		if inc.Subject.Type == minewarden.SubjectProcess && m.Key.String() == inc.Subject.ID && m.Exe != "" {
			about += ", which runs " + terminal.Safe(m.Exe)
		}
	}
	line("about", "%s", about)
	if worst != nil && worst.Lineage != "" {
		line("started by", "%s", lineage(worst.Lineage))
	}
	if s := evidenceOf(inc, "service"); s != "" {
		line("came in by", "%s, most likely: a program that it started did this", terminal.Safe(s))
	}
	var alive []string
	n := 0
	for _, m := range inc.Members {
		if m.Exited.IsZero() && !m.Weak {
			if n++; n <= 8 {
				alive = append(alive, fmt.Sprint(m.Key.PID))
			}
		}
	}
	switch {
	case n > 8:
		alive = append(alive, "…")
		fallthrough
	case n > 0:
		line("goes on", "%d of its processes were running when last heard of: %s", n, strings.Join(alive, " "))
	case len(inc.Members) > 0:
		line("goes on", "none of its processes runs any more; what it wrote may start it again")
	}
	var kinds []string
	for _, f := range inc.Findings {
		if kind, _, _ := strings.Cut(f.Rule, "/"); f.Severity >= minewarden.Medium && !slices.Contains(kinds, kind) {
			kinds = append(kinds, kind)
		}
	}
	switch {
	case len(kinds) > 1:
		line("why so sure", "%d kinds of evidence agree that do not depend on each other: %s", len(kinds), strings.Join(kinds, ", "))
	case worst != nil && len(kinds) == 1:
		line("why so sure", "one kind of evidence only (%s): look at it before you act", kinds[0])
	default:
		line("why so sure", "nothing that proves an attack by itself: honest work looks so too")
	}
	if inc.Impact.CPU >= time.Second {
		line("cost so far", "%s of processor time", inc.Impact.CPU.Round(time.Second))
	}
}

// evidenceOf returns the value of the first evidence of that name.
func evidenceOf(inc *minewarden.Incident, key string) string {
	for _, f := range inc.Findings {
		for _, e := range f.Evidence {
			if e.Key == key {
				return e.Value
			}
		}
	}
	return ""
}

// lineage shows the nearest names of a lineage.
func lineage(s string) string {
	names := strings.Split(s, " > ")
	if len(names) > maxLineage {
		names = append([]string{"…"}, names[len(names)-maxLineage:]...)
	}
	return terminal.Safe(strings.Join(names, " > "))
}

func seen(b *strings.Builder, f *minewarden.IncidentFinding) {
	safe := terminal.Safe
	fmt.Fprintf(b, "  %s  %-8s %s (%s, %d%% sure", f.Time.Local().Format(time.TimeOnly), f.Severity, safe(f.Title), safe(f.Rule), int(f.Confidence*100))
	if f.Count > 1 {
		fmt.Fprintf(b, ", %d times", f.Count)
	}
	fmt.Fprintf(b, ")\n            %s\n", subjectText(f.Subject))
	if f.Lineage != "" {
		fmt.Fprintf(b, "            lineage: %s\n", lineage(f.Lineage))
	}
	for _, e := range f.Evidence {
		if e.Value != f.Lineage { // said already
			fmt.Fprintf(b, "            %s: %s\n", safe(e.Key), safe(e.Value))
		}
	}
}

func member(b *strings.Builder, m *minewarden.Member) {
	safe := terminal.Safe
	fmt.Fprintf(b, "  %-8d %s", m.Key.PID, safe(m.Name))
	if m.Exe != "" {
		fmt.Fprintf(b, "  %s", safe(m.Exe))
	}
	if m.Container.ID != "" {
		fmt.Fprintf(b, "  in %s %.12s", safe(m.Container.Runtime), safe(m.Container.ID))
	}
	switch {
	case m.Severity >= minewarden.Medium:
		fmt.Fprintf(b, "  [%s]", m.Severity)
	case m.Weak:
		b.WriteString("  [hardly anything against it: left alone]")
	case m.Severity == 0:
		b.WriteString("  [nothing against it: started one of these, or was started by one]")
	}
	if !m.Exited.IsZero() {
		b.WriteString("  (ended)")
	}
	b.WriteByte('\n')
}

// done tells what was done, and how each thing is taken back; it returns whether anything can be.
func done(b *strings.Builder, inc *minewarden.Incident) (undoable bool) {
	safe := terminal.Safe
	b.WriteString("\nWhat was done\n")
	if len(inc.Actions) == 0 {
		b.WriteString("  nothing: minewarden acts by itself only when it is told to ('up --respond contain'), and then only on what is high and 90 % sure\n")
	}
	for _, r := range inc.Actions {
		fmt.Fprintf(b, "  %s  %s: %s (%s, because: %s)\n", r.Done.Local().Format(time.TimeOnly), safe(r.Action.Summary), safe(r.Result), safe(r.Who), safe(r.Why))
		switch {
		case !r.Undone.IsZero():
			fmt.Fprintf(b, "            taken back %s by %s\n", r.Undone.Local().Format(time.DateTime), safe(r.UndoneBy))
		case r.OK && r.Action.Reversible:
			undoable = true
			fmt.Fprintf(b, "            to take this back: minewarden incidents undo %s --action %s\n", inc.ID, safe(r.Action.ID))
		case r.OK:
			b.WriteString("            this cannot be taken back\n")
		}
	}
	for _, n := range inc.Notes {
		fmt.Fprintf(b, "  %s  %s: %s\n", n.Time.Local().Format(time.TimeOnly), safe(n.Who), safe(n.Text))
	}
	return undoable
}

func next(b *strings.Builder, inc *minewarden.Incident, worst *minewarden.IncidentFinding, undoable bool) {
	b.WriteString("\nWhat to do next\n")
	command := func(what, format string, args ...any) {
		fmt.Fprintf(b, "  - %-58s minewarden %s\n", what, fmt.Sprintf(format, args...))
	}
	running := slices.ContainsFunc(inc.Members, func(m minewarden.Member) bool { return m.Exited.IsZero() && !m.Weak })
	if inc.State == minewarden.Open && running && worst != nil && worst.Severity >= minewarden.Medium {
		command("stop it for now; undo lets it go on as if nothing had been:", "respond do %s freeze --yes", inc.ID)
	}
	command("see all that could be done, and what each would touch:", "respond plan %s", inc.ID)
	if inc.State != minewarden.Closed {
		command("keep the proof before anything is removed:", "evidence collect %s", inc.ID)
	}
	told := map[string]bool{}
	for _, f := range inc.Findings {
		if f.Advice != "" && !told[f.Advice] && f.Severity >= min(minewarden.Medium, inc.Severity) {
			told[f.Advice] = true
			fmt.Fprintf(b, "  - %s\n", terminal.Safe(f.Advice))
		}
	}
	if undoable {
		command("take back all that was done:", "incidents undo %s", inc.ID)
	}
	if inc.State != minewarden.Closed {
		command("it was somebody's honest work:", "incidents judge %s false_positive --why TEXT", inc.ID)
		command("when it is over:", "incidents close %s --why TEXT", inc.ID)
	}
}
