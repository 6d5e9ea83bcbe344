package reports

import (
	"fmt"
	"strings"

	"github.com/minewarden/minewarden"
)

// Document implements Report.
func (r *Incident) Document(lang string) *Document { return r.document(words{lang: lang}) }

func (r *Incident) document(w words) *Document {
	title := w.t("Incident report")
	if r.review {
		title = w.t("Review of an incident after 72 hours")
	}
	d := &Document{Lang: w.lang, Title: title, Subtitle: w.f("%s on %s, incident %s", r.name(w), r.Host, r.ID)}
	d.section(w.t("In short"), Block{Text: r.summary(w)}, Block{Facts: r.facts(w)})
	if r.review {
		d.section(w.t("What let it in"), r.entry(w)...)
		d.section(w.t("Attack path"), Block{Table: r.path(w)})
		d.section(w.t("How quickly"), Block{Facts: r.speed(w)})
	}
	d.section(w.t("What it cost"), Block{Facts: costs(w, &r.Impact)})
	if !r.review {
		d.section(w.t("What let it in"), r.entry(w)...)
	}
	d.section(w.t("What was done"), Block{Table: r.done(w)}, Block{Text: r.nothingDone(w)})
	d.section(w.t("Time line"), Block{Table: r.timeline(w)})
	d.section(w.t("Processes"), Block{Table: r.members(w)})
	d.section(w.t("Indicators that others can look for"), Block{Table: r.values(w)})
	if r.review {
		d.section(w.t("To settle in the review"), Block{List: []string{
			w.t("Are all ways in that are named above closed, and by whom was that checked?"),
			w.t("Were credentials that the processes could read changed?"),
			w.t("Was it seen as early as it could have been? If not, which sensor was off or lost events?"),
			w.t("Did every step have somebody who did it in time?"),
			w.t("What will be done so that it does not happen again, by whom, until when?"),
		}})
	}
	if len(r.Left) > 0 {
		d.section(w.t("Not in this report"), Block{Text: w.f("There were more %s than fit here. The incident itself has them.", strings.Join(translated(w, r.Left), ", "))})
	}
	d.Foot = w.f("Made by minewarden %s at %s. Times are UTC.", r.Version, w.when(r.Made))
	return d
}

func translated(w words, list []string) []string {
	out := make([]string, len(list))
	for i, s := range list {
		out[i] = w.t(s)
	}
	return out
}

func (r *Incident) name(w words) string {
	if r.Title == "" {
		return w.t("Something without findings")
	}
	return w.rule(r.rule, r.Title)
}

func (r *Incident) summary(w words) string {
	s := w.f("%s was seen first at %s. It is %s, and we are %s sure.", r.name(w), w.when(r.Detected), w.t(r.Severity.String()), w.percent(r.Confidence))
	switch {
	case !r.Closed.IsZero():
		s += " " + w.f("It was closed at %s.", w.when(r.Closed))
	case !r.Contained.IsZero():
		s += " " + w.f("It was stopped at %s.", w.when(r.Contained))
	default:
		s += " " + w.t("It is not stopped yet.")
	}
	switch r.Verdict {
	case minewarden.FalsePositive:
		s += " " + w.t("A person judged it to be a false alarm.")
	case minewarden.Authorised:
		s += " " + w.t("A person judged it to be authorised.")
	case minewarden.TruePositive:
		s += " " + w.t("A person confirmed it.")
	}
	return s
}

// texts of the codes of the model.
var texts = map[string]string{
	ImpactNone: "None: nobody waited noticeably for a processor", ImpactLow: "Low: the services went on, a little slower",
	ImpactMedium: "Medium: the services were clearly slower", ImpactHigh: "High: the services could hardly work",
	ImpactNotKnown:  "Not known: nothing was measured",
	informationNone: "Nothing was seen that read data; that is no proof that none was read", informationCreds: "Credentials may have been read: change them",
	recoverRegular: "Regular: with what is at hand", recoverSupply: "Supplemented: what was left to start it again must be removed first",
	VectorWeb: "A service that was exploited by a request", VectorLogin: "A login with a guessed or stolen secret",
	VectorOpenAPI: "An interface that asks nobody who he is", VectorExecutable: "A program that was brought and started; how it came is not known",
	VectorUnknown: "Not known",
}

func (r *Incident) facts(w words) []Fact {
	facts := []Fact{
		{Name: w.t("Tracking number"), Value: r.ID},
		{Name: w.t("State"), Value: w.t(string(r.State))},
		{Name: w.t("Severity"), Value: w.t(r.Severity.String())},
		{Name: w.t("Confidence"), Value: w.percent(r.Confidence)},
		{Name: w.t("Host"), Value: r.Host},
		{Name: w.t("About"), Value: strings.TrimSpace(r.Subject.Name + " " + r.Subject.ID)},
		{Name: w.t("Functional impact"), Value: w.t(texts[r.Functional]), Source: w.t("from the time in which tasks waited for a processor (PSI)")},
		{Name: w.t("Information impact"), Value: w.t(texts[r.Information])},
		{Name: w.t("Recoverability"), Value: w.t(texts[r.Recoverability])},
		{Name: w.t("Attack vector"), Value: w.t(texts[r.Vector]), Source: w.t("from the findings and the newest audits")},
		{Name: w.t("Activity began"), Value: w.when(r.Began), Source: w.t("start of its oldest process")},
		{Name: w.t("Detected"), Value: w.when(r.Detected), Source: w.t("first finding")},
		{Name: w.t("Stopped"), Value: w.when(r.Contained), Source: w.t("first action that stopped it")},
		{Name: w.t("Systems affected"), Value: fmt.Sprint(r.Systems), Source: w.t("this report is of one machine")},
	}
	for _, f := range []Fact{
		{Name: w.t("Containers affected"), Value: strings.Join(r.Containers, ", ")},
		{Name: w.t("Accounts affected"), Value: strings.Join(r.Accounts, ", ")},
		{Name: w.t("Remote ends in the network"), Value: strings.Join(r.Locations, ", ")},
		{Name: w.t("ATT&CK techniques"), Value: strings.Join(r.Techniques, ", ")},
		{Name: w.t("Organization"), Value: r.Organization},
		{Name: w.t("Contact"), Value: strings.Trim(strings.Join([]string{r.Contact, r.Email, r.Phone}, " "), " ")},
	} {
		if f.Value != "" {
			facts = append(facts, f)
		}
	}
	return facts
}

func (r *Incident) entry(w words) []Block {
	if len(r.Weaknesses) == 0 {
		return []Block{{Text: w.t("No failed check of the newest audits fits the processes of this incident. Run an audit, and look at how the oldest process was started.")}}
	}
	t := &Table{Head: []string{w.t("Severity"), w.t("Weakness"), w.t("Where"), w.t("What to do")}}
	for _, x := range r.Weaknesses {
		t.Rows = append(t.Rows, []string{w.t(x.Severity.String()), w.rule(x.Rule, x.Title) + " (" + x.Rule + ")", strings.TrimSpace(x.Target + " " + x.Where), w.advice(x.Rule, x.Advice)})
	}
	return []Block{{Text: w.t("These weaknesses were open and fit the processes of this incident. That they were used is likely, not proven.")}, {Table: t}}
}

// path is the findings of medium or more in the order in which they came, by what an attacker does.
func (r *Incident) path(w words) *Table {
	t := &Table{Head: []string{w.t("Time"), w.t("Technique"), w.t("What was seen"), w.t("Sure")}}
	for _, s := range r.Steps {
		if s.Kind != "finding" || s.Severity < minewarden.Medium {
			continue
		}
		t.Rows = append(t.Rows, []string{w.when(s.Time), strings.Join(s.Technique, " "), w.rule(s.rule, s.Title), w.percent(s.Confidence)})
	}
	return t
}

func (r *Incident) speed(w words) []Fact {
	var facts []Fact
	if !r.Began.IsZero() {
		facts = append(facts, Fact{Name: w.t("From its start to the first finding"), Value: w.lasts(max(0, r.Detected.Sub(r.Began).Seconds()))})
	}
	if !r.Contained.IsZero() {
		facts = append(facts, Fact{Name: w.t("From the first finding until it was stopped"), Value: w.lasts(r.Contained.Sub(r.Detected).Seconds())})
	}
	if !r.Closed.IsZero() {
		facts = append(facts, Fact{Name: w.t("From the first finding until it was closed"), Value: w.lasts(r.Closed.Sub(r.Detected).Seconds())})
	}
	return facts
}

func costs(w words, i *Impact) []Fact {
	if !i.Measured {
		return []Fact{{Name: w.t("Processor time"), Value: w.t("not measured"), Source: w.t("its processes ended before they were measured, or it is no process")}}
	}
	energy := w.f("modelled: %g W for each busy logical processor; set it in the configuration", i.Prices.WattsPerCPU)
	if i.KWhSource == FromRAPL {
		energy = w.t("measured by the processor (RAPL), by the part of its processor time")
	}
	return []Fact{
		{Name: w.t("Processor time"), Value: w.f("%.2f hours", i.CPUHours), Source: w.t("measured, of its own processes")},
		{Name: w.t("Part of the machine"), Value: w.percent(i.Share), Source: w.t("of all processors while it ran")},
		{Name: w.t("Others waited"), Value: w.percent(i.Stalled), Source: w.t("of that time some task waited for a processor (PSI); not all of it need be its fault")},
		{Name: w.t("Energy"), Value: fmt.Sprintf("%.3f kWh", i.KWh), Source: energy},
		{Name: w.t("Cost of energy"), Value: fmt.Sprintf("%.2f %s", i.EnergyCost, i.Prices.Currency), Source: w.f("at %g a kWh; set it in the configuration", i.Prices.KWh)},
		{Name: w.t("Rented it would cost"), Value: fmt.Sprintf("%.2f %s", i.CloudCost, i.Prices.Currency), Source: w.f("at %g an hour of a logical processor; set it in the configuration", i.Prices.CPUHour)},
	}
}

func (r *Incident) done(w words) *Table {
	t := &Table{Head: []string{w.t("Time"), w.t("Action"), w.t("Result"), w.t("Who, and why")}}
	for _, a := range r.Actions {
		result := w.told(a.Result)
		switch {
		case !a.Undone.IsZero():
			result = strings.TrimPrefix(result+"; "+w.f("taken back at %s", w.when(a.Undone)), "; ")
		case !a.OK:
			result = w.t("failed") + ": " + result
		}
		t.Rows = append(t.Rows, []string{w.when(a.Time), w.told(a.Summary), result, strings.Trim(w.told(a.Who)+", "+w.told(a.Why), ", ")})
	}
	return t
}

func (r *Incident) nothingDone(w words) string {
	if len(r.Actions) > 0 {
		return ""
	}
	return w.t("Nothing yet.")
}

func (r *Incident) timeline(w words) *Table {
	t := &Table{Head: []string{w.t("Time"), w.t("Kind"), w.t("What"), w.t("Detail")}}
	for _, s := range r.Steps {
		title, detail := w.rule(s.rule, s.Title), s.Detail
		if s.Kind == "action" {
			title, detail = w.told(title), w.told(detail)
		}
		t.Rows = append(t.Rows, []string{w.when(s.Time), w.t(s.Kind), title, detail})
	}
	return t
}

func (r *Incident) members(w words) *Table {
	t := &Table{Head: []string{w.t("Process"), w.t("Executable"), w.t("Arguments"), "SHA-256"}}
	for i := range r.Processes {
		m := &r.Processes[i]
		t.Rows = append(t.Rows, []string{fmt.Sprintf("%s %d", m.Name, m.Key.PID), m.Exe, strings.Join(m.Args, " "), m.SHA256})
	}
	return t
}

func (r *Incident) values(w words) *Table {
	t := &Table{Head: []string{w.t("Type"), w.t("Value")}}
	for _, i := range r.Indicators {
		t.Rows = append(t.Rows, []string{w.t(i.Type), i.Value})
	}
	return t
}
