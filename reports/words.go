package reports

import (
	"fmt"
	"time"

	"github.com/minewarden/minewarden/internal/chinese"
)

// Languages are those that documents are written in.
var Languages = [...]string{"en", "zh"}

func known(lang string) bool { return lang == Languages[0] || lang == Languages[1] }

// words turns English into the language of a document. English is the key: what has no translation stays English, and a test
// says so.
type words struct {
	lang    string
	missing func(string) // told of what has no translation; nil in use
}

func (w words) t(text string) string {
	if w.lang != "zh" || text == "" {
		return text
	}
	if zh, ok := inChinese[text]; ok {
		return zh
	}
	if w.missing != nil {
		w.missing(text)
	}
	return text
}

func (w words) f(format string, args ...any) string { return fmt.Sprintf(w.t(format), args...) }

// rule is the title of a rule. What the model has, in English, is given too: it stays where a rule has no translation, as those
// that operators bring.
func (w words) rule(id, title string) string {
	if zh, _, ok := chinese.Rule(id); ok && w.lang == "zh" {
		return zh
	}
	return title
}

// advice is what to do about a rule, as rule is its title.
func (w words) advice(id, advice string) string {
	if _, zh, ok := chinese.Rule(id); ok && w.lang == "zh" {
		return zh
	}
	return advice
}

// told is what the program said when it happened, such as what an action did. Words of people stay as they are.
func (w words) told(text string) string {
	if w.lang != "zh" {
		return text
	}
	zh, _ := chinese.Text(text)
	return zh
}

// when writes a time; a zero one is not known.
func (w words) when(t time.Time) string {
	if t.IsZero() {
		return w.t("not known")
	}
	return t.UTC().Format("2006-01-02 15:04:05 MST")
}

// lasts writes a duration as people read it.
func (w words) lasts(seconds float64) string {
	d := time.Duration(seconds * float64(time.Second))
	switch {
	case d < time.Second:
		return w.f("%d ms", d.Milliseconds())
	case d < 2*time.Minute:
		return w.f("%.1f s", d.Seconds())
	case d < 2*time.Hour:
		return w.f("%.0f min", d.Minutes())
	case d < 72*time.Hour:
		return w.f("%.1f h", d.Hours())
	}
	return w.f("%.1f days", d.Hours()/24)
}

func (w words) percent(part float64) string { return fmt.Sprintf("%.0f %%", 100*part) }
