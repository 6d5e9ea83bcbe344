package alerts

import (
	"fmt"
	"strings"
	"text/template"

	"github.com/minewarden/minewarden/internal/terminal"
)

// maxBody bounds what a template may write.
const maxBody = 256 << 10

// plainText is what outputs say without a template.
const plainText = `[minewarden] {{.Text}}{{with .Finding}}
{{range .Evidence}}  {{safe .Key}}: {{safe .Value}}
{{end}}{{safe .Advice}}{{end}}{{with .Link}}
{{.}}{{end}}`

// functions of templates: safe shows control characters and marks that reorder text as escapes; json quotes for JSON.
var functions = template.FuncMap{
	"safe": func(v any) string { return terminal.Safe(fmt.Sprint(v)) },
	"json": func(v any) (string, error) {
		b, err := terminal.MarshalJSON(v)
		return string(b), err
	},
	"join":  func(list []string, sep string) string { return strings.Join(list, sep) },
	"upper": strings.ToUpper,
}

func parseTemplate(text string) (*template.Template, error) {
	return template.New("alert").Funcs(functions).Option("missingkey=error").Parse(text)
}

// text makes the message of an alert for people.
type text struct{ t *template.Template }

func newText(own string) (text, error) {
	if own == "" {
		own = plainText
	}
	t, err := parseTemplate(own)
	return text{t}, err
}

// of returns the message; a template that fails is told as such, and the one line goes out all the same.
func (t text) of(a *Alert) string {
	w := limited{left: maxBody}
	if err := t.t.Execute(&w, a); err != nil {
		return a.Text + "\n(the template failed: " + terminal.Safe(err.Error()) + ")"
	}
	return w.b.String()
}

// limited refuses what is too long.
type limited struct {
	b    strings.Builder
	left int
}

func (w *limited) Write(p []byte) (int, error) {
	if len(p) > w.left {
		return 0, fmt.Errorf("it writes more than %d bytes", maxBody)
	}
	w.left -= len(p)
	return w.b.Write(p)
}
