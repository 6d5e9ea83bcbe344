package reports

import (
	"fmt"

	"github.com/minewarden/minewarden"
)

// Document implements Report.
func (m *Month) Document(lang string) *Document { return m.document(words{lang: lang}) }

func (m *Month) document(w words) *Document {
	d := &Document{
		Lang: w.lang, Title: w.t("Figures of the month"),
		Subtitle: w.f("%s, from %s to %s", m.Host, m.From.Format("2006-01-02"), m.To.AddDate(0, 0, -1).Format("2006-01-02")),
	}
	by := &Table{Head: []string{w.t("Severity"), w.t("Incidents")}}
	for s := minewarden.Critical + 1; s > 0; s-- {
		name := (s - 1).String()
		if n := m.BySeverity[name]; n > 0 {
			by.Rows = append(by.Rows, []string{w.t(name), fmt.Sprint(n)})
		}
	}
	d.section(w.t("Incidents"), Block{Facts: []Fact{
		{Name: w.t("Incidents"), Value: fmt.Sprint(m.Incidents)},
		{Name: w.t("High or critical"), Value: fmt.Sprint(m.Grave), Source: w.t("without false alarms")},
		{Name: w.t("Still open"), Value: fmt.Sprint(m.Open)},
		{Name: w.t("False alarms"), Value: w.f("%d of %d that a person judged", m.False, m.Judged)},
		{Name: w.t("Findings suppressed"), Value: fmt.Sprint(m.Suppressed), Source: w.t("by rules of the operator, since the agent started")},
		{Name: w.t("Organization"), Value: m.Organization},
	}}, Block{Table: by})
	d.section(w.t("How quickly"), Block{Table: &Table{
		Head: []string{"", w.t("Known of"), w.t("Median"), w.t("Nine of ten below"), w.t("Longest")},
		Rows: [][]string{
			m.row(w, "From its start to the first finding", m.Detect), m.row(w, "From the first finding until it was stopped", m.Contain),
			m.row(w, "From the first finding until it was closed", m.Close),
		},
	}}, Block{Text: w.t("Times until stopped are of incidents that are high or critical and were stopped.")})
	rules := &Table{Head: []string{w.t("Rule"), w.t("Title"), w.t("Incidents")}}
	for _, r := range m.ByRule {
		rules.Rows = append(rules.Rows, []string{r.Rule, w.rule(r.Rule, r.Title), fmt.Sprint(r.Count)})
	}
	d.section(w.t("What was seen most"), Block{Table: rules})
	d.section(w.t("What it cost"), Block{Facts: costs(w, &m.Impact)})
	trend := &Table{Head: []string{w.t("Time"), w.t("Score of 100")}}
	for _, s := range m.Posture {
		trend.Rows = append(trend.Rows, []string{w.when(s.Time), fmt.Sprintf("%.0f", s.Score)})
	}
	d.section(w.t("Posture"), Block{Table: trend})
	d.Foot = w.f("Made by minewarden %s at %s. Times are UTC.", m.Version, w.when(m.Made))
	return d
}

func (m *Month) row(w words, name string, s Spread) []string {
	if s.N == 0 {
		return []string{w.t(name), "0", "–", "–", "–"}
	}
	return []string{w.t(name), fmt.Sprint(s.N), w.lasts(s.Median), w.lasts(s.P90), w.lasts(s.Max)}
}
