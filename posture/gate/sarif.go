package gate

import (
	"bytes"
	"fmt"
	"io"
	"net/url"
	"path"
	"strings"

	"github.com/owenrumney/go-sarif/v3/pkg/report/v210/sarif"

	"github.com/minewarden/minewarden"
	"github.com/minewarden/minewarden/internal/terminal"
)

// SARIF writes r as SARIF 2.1.0. rules are those of the auditors that ran; version is the program's.
func SARIF(w io.Writer, r *Result, rules []minewarden.Rule, version string) error {
	var b bytes.Buffer
	if err := report(r, rules, version).PrettyWrite(&b); err != nil {
		return err
	}
	_, err := w.Write(terminal.SafeJSON(b.Bytes()))
	return err
}

func report(r *Result, rules []minewarden.Rule, version string) *sarif.Report {
	run := sarif.NewRunWithInformationURI("minewarden", "https://github.com/minewarden/minewarden")
	if version != "" {
		run.Tool.Driver.WithVersion(version)
	}
	index := map[string]int{}
	text := map[string]minewarden.Rule{}
	for _, rule := range rules {
		if _, ok := index[rule.ID]; ok {
			continue
		}
		index[rule.ID] = len(run.Tool.Driver.Rules)
		text[rule.ID] = rule
		run.Tool.Driver.AddRule(descriptor(rule))
	}
	var notes []*sarif.Notification
	for _, l := range r.Checks {
		if l.Check.Finding == nil {
			if l.Check.Status == minewarden.StatusUnknown {
				notes = append(notes, note("warning", l.Path, l.Check.Subject.Line, 0, l.Check.Rule+" could not be looked at: "+l.Check.Proof))
			}
			continue
		}
		run.AddResult(result(&l, text[l.Check.Rule], index))
	}
	for _, e := range r.Errors {
		notes = append(notes, note("error", e.Path, e.Line, e.Column, e.Message))
	}
	for _, s := range r.Skipped {
		notes = append(notes, note("note", s.Path, 0, 0, "not looked at: "+s.Reason))
	}
	run.AddInvocation(sarif.NewInvocation().WithExecutionSuccessful(len(r.Errors) == 0).WithToolExecutionNotifications(notes))
	return sarif.NewReport().AddRun(run)
}

func descriptor(rule minewarden.Rule) *sarif.ReportingDescriptor {
	help := rule.Advice
	if rule.Why != "" {
		help = rule.Why + "\n\nRepair: " + rule.Advice
	}
	if len(rule.References) > 0 {
		help += "\n\nReferences: " + strings.Join(rule.References, "; ")
	}
	props := sarif.NewPropertyBag().Add("security-severity", score(rule.Severity)).Add("problem.severity", level(rule.Severity))
	props.WithTags(append([]string{"security"}, rule.Technique...))
	return sarif.NewReportingDescriptor().WithID(rule.ID).
		WithShortDescription(multi(rule.Title)).WithFullDescription(multi(strings.TrimSpace(rule.Title + ". " + rule.Why))).
		WithHelp(multi(help)).WithProperties(props).
		WithDefaultConfiguration(sarif.NewReportingConfiguration().WithLevel(level(rule.Severity)).WithEnabled(true))
}

func multi(s string) *sarif.MultiformatMessageString {
	return sarif.NewMultiformatMessageString().WithText(s)
}

func result(l *Located, rule minewarden.Rule, index map[string]int) *sarif.Result {
	message := l.Check.Proof
	if message == "" {
		message = rule.Title
	}
	if l.Check.Repair != nil {
		message += ". Repair: " + l.Check.Repair.Summary
	}
	res := sarif.NewResult().WithRuleID(l.Check.Rule).WithLevel(level(rule.Severity)).WithMessage(sarif.NewTextMessage(message)).
		WithLocations([]*sarif.Location{location(l.Path, l.Check.Subject.Line, l.Check.Subject.Column)}).
		WithPartialFingerprints(map[string]string{"minewarden/v1": l.Fingerprint})
	if i, ok := index[l.Check.Rule]; ok {
		res.WithRuleIndex(i)
	}
	if l.Suppressed != "" {
		res.WithSuppressions([]*sarif.Suppression{sarif.NewSuppression().WithKind("inSource").WithJustification(l.Suppressed)})
	}
	if l.Known {
		res.WithBaselineState("unchanged")
		res.WithSuppressions(append(res.Suppressions, sarif.NewSuppression().WithKind("external").WithJustification("in the baseline")))
	}
	props := sarif.NewPropertyBag().Add("confidence", l.Check.Finding.Confidence).Add("status", string(l.Check.Status))
	return res.WithProperties(props)
}

func location(name string, line, column int) *sarif.Location {
	region := sarif.NewRegion().WithStartLine(max(line, 1)) // code-scanning services show no result without a line
	if column > 0 {
		region.WithStartColumn(column)
	}
	return sarif.NewLocation().WithPhysicalLocation(sarif.NewPhysicalLocation().
		WithArtifactLocation(sarif.NewArtifactLocation().WithURI(uri(name))).WithRegion(region))
}

// uri writes a path as a relative reference: in a repository that is what code-scanning services resolve.
func uri(name string) string {
	name = path.Clean(name)
	if strings.HasPrefix(name, "/") {
		return (&url.URL{Scheme: "file", Path: name}).String()
	}
	u := url.URL{Path: name}
	return strings.TrimPrefix(u.String(), "./")
}

func note(lvl, name string, line, column int, message string) *sarif.Notification {
	return sarif.NewNotification().WithLevel(lvl).WithMessage(sarif.NewTextMessage(message)).
		WithLocations([]*sarif.Location{location(name, line, column)})
}

func level(s minewarden.Severity) string {
	switch {
	case s >= minewarden.High:
		return "error"
	case s == minewarden.Medium:
		return "warning"
	}
	return "note"
}

// score is the number that code-scanning services sort by, on the scale of CVSS.
func score(s minewarden.Severity) string {
	return fmt.Sprintf("%.1f", [...]float64{0.1, 3, 5.5, 8, 9.5}[min(int(s), 4)])
}
