package reports

import (
	"crypto/sha256"
	"encoding/base64"
	"fmt"
	"html/template"
	"io"
	"strings"

	"github.com/minewarden/minewarden/internal/terminal"
)

const style = `body{font:15px/1.5 system-ui,sans-serif;max-width:60rem;margin:2rem auto;padding:0 1rem;color:#1a1d21;background:#fff}
h1{font-size:1.6rem;margin:0}h2{font-size:1.15rem;margin:2rem 0 .5rem;border-bottom:1px solid #c9ced6}
p.sub{color:#4a5058;margin:.2rem 0 1rem}table{border-collapse:collapse;width:100%;margin:.5rem 0}
th,td{text-align:left;vertical-align:top;padding:.3rem .6rem .3rem 0;border-bottom:1px solid #e3e6ea;overflow-wrap:anywhere}
th{font-weight:600;white-space:nowrap}td.source{color:#4a5058;font-size:.85em}footer{margin-top:2rem;color:#4a5058;font-size:.85em}
@media(prefers-color-scheme:dark){body{color:#e6e8eb;background:#14171a}p.sub,td.source,footer{color:#a8b0ba}h2{border-color:#3a4049}th,td{border-color:#2a2f36}}
@media print{body{margin:0;max-width:none;color:#000;background:#fff}h2{break-after:avoid}tr{break-inside:avoid}}`

// HTMLPolicy is the Content-Security-Policy under which an HTML report may be served: it loads nothing and runs nothing.
func HTMLPolicy() string {
	sum := sha256.Sum256([]byte(style))
	return "default-src 'none'; style-src 'sha256-" + base64.StdEncoding.EncodeToString(sum[:]) + "'; frame-ancestors 'self'; sandbox"
}

// htmlPage takes strings that are already safe to show; the template escapes them.
var htmlPage = template.Must(template.New("report").Parse(`<!doctype html>
<html lang="{{.Lang}}"><head><meta charset="utf-8"><meta name="viewport" content="width=device-width, initial-scale=1">
<title>{{.Title}}</title><style>` + style + `</style></head><body><main>
<h1>{{.Title}}</h1>{{with .Subtitle}}<p class="sub">{{.}}</p>{{end}}
{{range .Sections}}<section><h2>{{.Title}}</h2>
{{range .Blocks}}{{with .Text}}<p>{{.}}</p>
{{end}}{{with .Facts}}<table>{{range .}}<tr><th scope="row">{{.Name}}</th><td>{{.Value}}</td><td class="source">{{.Source}}</td></tr>
{{end}}</table>
{{end}}{{with .List}}<ul>{{range .}}<li>{{.}}</li>
{{end}}</ul>
{{end}}{{with .Table}}<table><thead><tr>{{range .Head}}<th scope="col">{{.}}</th>{{end}}</tr></thead><tbody>
{{range .Rows}}<tr>{{range .}}<td>{{.}}</td>{{end}}</tr>
{{end}}</tbody></table>
{{end}}{{end}}</section>
{{end}}</main>{{with .Foot}}<footer>{{.}}</footer>{{end}}
</body></html>
`))

// HTML writes one page that loads nothing.
func (d *Document) HTML(w io.Writer) error {
	if err := htmlPage.Execute(w, d.each(terminal.Safe)); err != nil {
		return fmt.Errorf("write report: %w", err)
	}
	return nil
}

// each returns the document with f over every string: names and arguments in it are written by attackers.
func (d *Document) each(f func(string) string) *Document {
	all := func(list []string) []string {
		out := make([]string, len(list))
		for i, s := range list {
			out[i] = f(s)
		}
		return out
	}
	out := &Document{Lang: d.Lang, Title: f(d.Title), Subtitle: f(d.Subtitle), Foot: f(d.Foot)}
	for _, s := range d.Sections {
		section := Section{Title: f(s.Title)}
		for _, b := range s.Blocks {
			block := Block{Text: f(b.Text), List: all(b.List)}
			for _, x := range b.Facts {
				block.Facts = append(block.Facts, Fact{f(x.Name), f(x.Value), f(x.Source)})
			}
			if b.Table != nil {
				block.Table = &Table{Head: all(b.Table.Head)}
				for _, row := range b.Table.Rows {
					block.Table.Rows = append(block.Table.Rows, all(row))
				}
			}
			section.Blocks = append(section.Blocks, block)
		}
		out.Sections = append(out.Sections, section)
	}
	return out
}

// Markdown writes text in which nothing of the incident can be read as markup.
func (d *Document) Markdown(w io.Writer) error {
	s := d.each(func(s string) string { return escapeMarkdown(terminal.Safe(s)) })
	var b strings.Builder
	fmt.Fprintf(&b, "# %s\n", s.Title)
	if s.Subtitle != "" {
		fmt.Fprintf(&b, "\n%s\n", s.Subtitle)
	}
	for _, section := range s.Sections {
		fmt.Fprintf(&b, "\n## %s\n", section.Title)
		for _, block := range section.Blocks {
			markdownBlock(&b, &block)
		}
	}
	if s.Foot != "" {
		fmt.Fprintf(&b, "\n---\n\n%s\n", s.Foot)
	}
	_, err := io.WriteString(w, b.String())
	return err
}

func markdownBlock(b *strings.Builder, block *Block) {
	if block.Text != "" {
		fmt.Fprintf(b, "\n%s\n", block.Text)
	}
	if len(block.Facts) > 0 {
		b.WriteString("\n| | | |\n|---|---|---|\n")
		for _, f := range block.Facts {
			fmt.Fprintf(b, "| %s | %s | %s |\n", f.Name, f.Value, f.Source)
		}
	}
	if len(block.List) > 0 {
		b.WriteByte('\n')
		for _, l := range block.List {
			fmt.Fprintf(b, "- %s\n", l)
		}
	}
	if block.Table != nil {
		fmt.Fprintf(b, "\n| %s |\n|%s\n", strings.Join(block.Table.Head, " | "), strings.Repeat("---|", len(block.Table.Head)))
		for _, row := range block.Table.Rows {
			fmt.Fprintf(b, "| %s |\n", strings.Join(row, " | "))
		}
	}
}

// markup are the characters that begin something in Markdown or in the HTML that it may hold.
var markup = strings.NewReplacer("\\", "\\\\", "`", "\\`", "*", "\\*", "_", "\\_", "[", "\\[", "]", "\\]", "<", "&lt;", ">", "&gt;",
	"|", "\\|", "#", "\\#", "!", "\\!", "~", "\\~", "&", "&amp;")

func escapeMarkdown(s string) string {
	s = markup.Replace(s)
	if strings.HasPrefix(s, "-") || strings.HasPrefix(s, "+") || strings.HasPrefix(s, "=") {
		return "\\" + s
	}
	return s
}
