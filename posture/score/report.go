package score

import (
	"fmt"
	"html/template"
	"io"
	"slices"
	"strings"
	"time"

	"github.com/minewarden/minewarden"
	"github.com/minewarden/minewarden/internal/terminal"
)

// A Report is what is said of the newest audits.
type Report struct {
	Made    time.Time       `json:"made"`
	Overall float64         `json:"overall"`
	Scored  bool            `json:"scored"` // false: nothing could be looked at, and Overall says nothing
	Targets []TargetSection `json:"targets"`
}

// A TargetSection is one target of a report.
type TargetSection struct {
	Record
	Before  *float64 `json:"before,omitempty"` // the score of the audit before
	Failed  []Item   `json:"failed"`           // worst first
	NotSeen []Item   `json:"not_looked_at"`
}

// NewReport makes the report from the history.
func NewReport(history []Record, now time.Time) Report {
	latest, before := Latest(history)
	rep := Report{Made: now.UTC(), Targets: []TargetSection{}}
	rep.Overall, rep.Scored = Overall(latest)
	for _, r := range latest {
		t := TargetSection{Record: r, Failed: []Item{}, NotSeen: []Item{}}
		if b, ok := before[r.key()]; ok {
			t.Before = &b
		}
		for _, it := range r.Items {
			switch it.Status {
			case minewarden.StatusFail, minewarden.StatusPossible:
				t.Failed = append(t.Failed, it)
			case minewarden.StatusUnknown:
				t.NotSeen = append(t.NotSeen, it)
			}
		}
		slices.SortStableFunc(t.Failed, func(a, b Item) int { return int(b.Severity) - int(a.Severity) })
		t.Items = nil
		rep.Targets = append(rep.Targets, t)
	}
	return rep
}

// JSON writes the report as one line.
func (r Report) JSON(w io.Writer) error { return terminal.JSON(w).Encode(r) }

// Trend says how the score moved.
func (t TargetSection) Trend() string {
	if t.Before == nil || t.Error != "" {
		return ""
	}
	return fmt.Sprintf("%+.0f since the audit before", t.Score-*t.Before)
}

// Points is the score as people read it.
func (t TargetSection) Points() string {
	if t.Error != "" {
		return "not looked at"
	}
	return fmt.Sprintf("%.0f of 100", t.Score)
}

// Total is the overall score as people read it.
func (r Report) Total() string {
	if !r.Scored {
		return "nothing was looked at"
	}
	return fmt.Sprintf("%.0f of 100", r.Overall)
}

const page = `<!doctype html>
<html lang="en"><head><meta charset="utf-8"><meta name="viewport" content="width=device-width">
<meta http-equiv="Content-Security-Policy" content="default-src 'none'; style-src 'unsafe-inline'">
<title>Posture</title><style>
body{font:16px/1.5 system-ui,sans-serif;max-width:60rem;margin:2rem auto;padding:0 1rem;color:#1a1a1a;background:#fff}
h2{margin-top:2.5rem;border-top:1px solid #ccc;padding-top:1rem}
article{border-left:.4rem solid #767676;padding:.1rem 1rem;margin:1rem 0}
.critical{border-color:#8b0000}.high{border-color:#b34700}.medium{border-color:#8a6d00}
pre{background:#f4f4f4;padding:.6rem;overflow:auto;white-space:pre-wrap}
</style></head><body>
<h1>Posture: {{.Total}}</h1><p>Made {{.Made.Format "2006-01-02 15:04"}} UTC.</p>
{{range .Targets}}<h2>{{.Target}} ({{.Product}}{{with .Version}} {{.}}{{end}}): {{.Points}}</h2>
<p>Looked at {{.Time.UTC.Format "2006-01-02 15:04"}} UTC. {{.Looked}} questions answered, {{.Unknown}} not. {{.Trend}}</p>
{{with .Error}}<p><strong>Could not look: {{.}}</strong></p>{{end}}
{{range .Failed}}<article class="{{.Severity}}"><h3>{{.Title}} ({{.Severity}}, {{.Status}})</h3>
<p>{{.Subject}}: {{.Proof}}</p>{{with .Why}}<p>Why it matters: {{.}}</p>{{end}}
<p>Repair: {{dot .Advice}}{{with .Summary}} This means: {{dot .}}{{end}}</p>{{with .Repair}}<pre>{{.}}</pre>{{end}}
<p><small>{{.Rule}}{{range .References}} · {{.}}{{end}}</small></p></article>
{{else}}{{if not .Error}}<p>Nothing failed.</p>{{end}}{{end}}
{{with .Left}}<p>{{.}} more checks are not listed.</p>{{end}}
{{if .NotSeen}}<h3>What was not looked at</h3><ul>{{range .NotSeen}}<li>{{.Rule}}: {{.Proof}}</li>{{end}}</ul>{{end}}
{{else}}<p>No audit has been kept yet: run minewarden audit.</p>{{end}}
</body></html>
`

// HTML writes the report as one page that loads nothing.
func (r Report) HTML(w io.Writer) error {
	t, err := template.New("posture").Funcs(template.FuncMap{"dot": dot}).Parse(page)
	if err != nil {
		return err
	}
	return t.Execute(w, r)
}

// Markdown writes the report as text.
func (r Report) Markdown(w io.Writer) error {
	var b strings.Builder
	fmt.Fprintf(&b, "# Posture: %s\n\nMade %s UTC.\n", r.Total(), r.Made.Format("2006-01-02 15:04"))
	for _, t := range r.Targets {
		fmt.Fprintf(&b, "\n## %s (%s): %s\n\n%d questions answered, %d not. %s\n", escape(t.Target), escape(t.Product), t.Points(), t.Looked, t.Unknown, t.Trend())
		if t.Error != "" {
			fmt.Fprintf(&b, "\n**Could not look: %s**\n", escape(t.Error))
		}
		for _, it := range t.Failed {
			fmt.Fprintf(&b, "\n### %s (%s, %s)\n\n%s: %s\n\n", escape(it.Title), it.Severity, it.Status, escape(it.Subject), escape(it.Proof))
			if it.Why != "" {
				fmt.Fprintf(&b, "Why it matters: %s\n\n", escape(it.Why))
			}
			fmt.Fprintf(&b, "Repair: %s\n", dot(escape(it.Advice)))
			if it.Summary != "" {
				fmt.Fprintf(&b, "\nThis means: %s\n", dot(escape(it.Summary)))
			}
			if it.Repair != "" {
				b.WriteString("\n    " + strings.ReplaceAll(strings.TrimRight(it.Repair, "\n"), "\n", "\n    ") + "\n")
			}
			fmt.Fprintf(&b, "\n%s %s\n", escape(it.Rule), escape(strings.Join(it.References, "; ")))
		}
		if t.Left > 0 {
			fmt.Fprintf(&b, "\n%d more checks are not listed.\n", t.Left)
		}
		if len(t.NotSeen) > 0 {
			b.WriteString("\n### What was not looked at\n\n")
			for _, it := range t.NotSeen {
				fmt.Fprintf(&b, "- %s: %s\n", escape(it.Rule), escape(it.Proof))
			}
		}
	}
	_, err := io.WriteString(w, b.String())
	return err
}

// dot ends a sentence that may have its stop already.
func dot(s string) string { return strings.TrimRight(s, ". ") + "." }

// escape keeps text of a target from becoming markup.
func escape(s string) string {
	s = strings.Join(strings.Fields(s), " ")
	return strings.NewReplacer("\\", "\\\\", "<", "&lt;", "&", "&amp;", "`", "\\`", "*", "\\*", "_", "\\_", "[", "\\[", "]", "\\]", "#", "\\#", "|", "\\|").Replace(s)
}
