package reports

import (
	"cmp"
	"slices"
	"strings"
	"time"

	"github.com/minewarden/minewarden"
)

// Bounds of a report: an incident may hold thousands of findings, and nobody reads them in a report.
const (
	maxSteps      = 400
	maxIndicators = 400
	maxProcesses  = 200
)

// An Incident is the report of one incident, with the fields that CISA's federal incident notification guidelines ask for:
// functional impact, information impact, recoverability, when it was detected, what it reached, the location in the network, a
// contact, the attack vector, indicators and what was done.
type Incident struct {
	Format         string              `json:"format"` // minewarden.report.incident/1
	Made           time.Time           `json:"made"`
	Version        string              `json:"version"`
	Organization   string              `json:"organization,omitempty"`
	Contact        string              `json:"contact,omitempty"`
	Email          string              `json:"email,omitempty"`
	Phone          string              `json:"phone,omitempty"`
	ID             string              `json:"tracking_number"`
	Title          string              `json:"title"`
	State          minewarden.State    `json:"state"`
	Verdict        string              `json:"verdict,omitempty"` // of a person
	Severity       minewarden.Severity `json:"severity"`
	Confidence     float64             `json:"confidence"`
	Host           string              `json:"host"`
	Subject        minewarden.Subject  `json:"subject"`
	Began          time.Time           `json:"began,omitzero"` // when its oldest process started; zero: not known
	Detected       time.Time           `json:"detected"`
	Contained      time.Time           `json:"contained,omitzero"`
	Closed         time.Time           `json:"closed,omitzero"`
	Functional     string              `json:"functional_impact"`
	Information    string              `json:"information_impact"`
	Recoverability string              `json:"recoverability"`
	Vector         string              `json:"attack_vector"` // of Vectors
	Systems        int                 `json:"systems_affected"`
	Accounts       []string            `json:"accounts_affected,omitempty"`
	Containers     []string            `json:"containers_affected,omitempty"`
	Locations      []string            `json:"network_location,omitempty"` // remote ends that were seen
	Techniques     []string            `json:"techniques,omitempty"`
	Indicators     []Indicator         `json:"indicators,omitempty"`
	Processes      []minewarden.Member `json:"processes,omitempty"`
	Steps          []Step              `json:"time_line"`
	Actions        []Deed              `json:"actions,omitempty"`
	Weaknesses     []Weakness          `json:"what_may_have_let_it_in,omitempty"`
	Impact         Impact              `json:"impact"`
	Left           []string            `json:"left_out,omitempty"` // what there was more of

	review bool
	rule   string // of Title
}

// An Indicator is a value that others can look for.
type Indicator struct {
	Type  string `json:"type"` // sha256, path, address, wallet, pool, user
	Value string `json:"value"`
}

// A Step is one line of the time line.
type Step struct {
	Time       time.Time           `json:"time"`
	Kind       string              `json:"kind"` // process, finding, action, note, state
	Title      string              `json:"title"`
	Detail     string              `json:"detail,omitempty"`
	Severity   minewarden.Severity `json:"severity,omitempty"`
	Confidence float64             `json:"confidence,omitempty"`
	Technique  []string            `json:"technique,omitempty"`

	rule string // of a finding: Title is the rule's
}

// A Deed is what was done.
type Deed struct {
	Time    time.Time `json:"time"`
	Op      string    `json:"op"`
	Summary string    `json:"summary"`
	Result  string    `json:"result"`
	Who     string    `json:"who"`
	Why     string    `json:"why"`
	OK      bool      `json:"ok"`
	Undone  time.Time `json:"undone,omitzero"`
}

// Vectors are how an attacker came in, as far as the findings say.
const (
	VectorWeb        = "web"         // a service was exploited
	VectorLogin      = "login"       // with a password or a key
	VectorOpenAPI    = "open_api"    // Nomad, Consul, Docker, Gitea or another that asks nobody who he is
	VectorExecutable = "executable"  // something that was brought and started
	VectorUnknown    = "unknown"     // nothing that was seen says it
	informationNone  = "none_seen"   // nothing says that data was read
	informationCreds = "credentials" // credentials could have been read
	recoverRegular   = "regular"     // with what is at hand
	recoverSupply    = "supplemented"
)

// NewIncident makes the report of an incident.
func NewIncident(inc *minewarden.Incident, env *Env) *Incident {
	r := &Incident{
		Format: "minewarden.report.incident/1", Made: env.Now.UTC(), Version: env.Version,
		Organization: env.Config.Organization, Contact: env.Config.Contact, Email: env.Config.Email, Phone: env.Config.Phone,
		ID: inc.ID, State: inc.State, Verdict: inc.Verdict, Severity: inc.Severity, Confidence: inc.Score, Host: cmp.Or(inc.Host, env.Host), Subject: inc.Subject,
		Detected: inc.Opened, Systems: 1, Impact: ImpactOf(env.Config.Prices, inc.Impact),
	}
	if i := worst(inc); i >= 0 {
		r.Title, r.rule = inc.Findings[i].Title, inc.Findings[i].Rule
	}
	r.Functional = r.Impact.functional()
	r.processes(inc, env)
	r.story(inc)
	r.deeds(inc)
	r.indicators(inc)
	r.Vector, r.Weaknesses = wayIn(inc, env.Weaknesses)
	r.Information, r.Recoverability = informationNone, recoverRegular
	for i := range inc.Findings {
		f := &inc.Findings[i]
		if strings.HasPrefix(f.Rule, "credential/") || slices.Contains(f.Technique, "T1552") || slices.Contains(f.Technique, "T1552.001") {
			r.Information = informationCreds
		}
		if strings.HasPrefix(f.Rule, "persistence/") && f.Severity >= minewarden.Medium {
			r.Recoverability = recoverSupply
		}
		for _, t := range f.Technique {
			if !slices.Contains(r.Techniques, t) {
				r.Techniques = append(r.Techniques, t)
			}
		}
	}
	slices.Sort(r.Techniques)
	return r
}

// NewReview makes the review of an incident, due after 72 hours: what happened in order, what let it in, what was right and wrong.
func NewReview(inc *minewarden.Incident, env *Env) *Incident {
	r := NewIncident(inc, env)
	r.Format, r.review = "minewarden.report.review/1", true
	return r
}

// worst is the finding that an incident is named after; -1: it has none.
func worst(inc *minewarden.Incident) int {
	best := -1
	for i := range inc.Findings {
		f := &inc.Findings[i]
		if best < 0 || f.Severity > inc.Findings[best].Severity ||
			(f.Severity == inc.Findings[best].Severity && f.Confidence > inc.Findings[best].Confidence) {
			best = i
		}
	}
	return best
}

func (r *Incident) processes(inc *minewarden.Incident, env *Env) {
	for i := range inc.Members {
		m := inc.Members[i]
		if at, ok := env.started(m.Key); ok && !m.Weak && m.Severity >= minewarden.Medium && (r.Began.IsZero() || at.Before(r.Began)) {
			r.Began = at
		}
		if m.Container.ID != "" && !slices.Contains(r.Containers, m.Container.ID) {
			r.Containers = append(r.Containers, m.Container.ID)
		}
		if len(r.Processes) < maxProcesses {
			r.Processes = append(r.Processes, m)
		}
	}
	if n := len(inc.Members) - len(r.Processes); n > 0 {
		r.Left = append(r.Left, "processes")
	}
}

func (r *Incident) story(inc *minewarden.Incident) {
	for i := range inc.Members {
		m := &inc.Members[i]
		if m.Since.IsZero() {
			continue
		}
		r.Steps = append(r.Steps, Step{Time: m.Since, Kind: "process", Title: m.Name, Detail: strings.Join(m.Args, " ")})
	}
	for i := range inc.Findings {
		f := &inc.Findings[i]
		var detail []string
		for _, e := range f.Evidence {
			detail = append(detail, e.Key+"="+e.Value)
		}
		r.Steps = append(r.Steps, Step{
			Time: f.Time, Kind: "finding", Title: f.Title, Detail: f.Rule + ": " + strings.Join(detail, ", "),
			Severity: f.Severity, Confidence: f.Confidence, Technique: f.Technique, rule: f.Rule,
		})
	}
	for i := range inc.Actions {
		a := &inc.Actions[i]
		r.Steps = append(r.Steps, Step{Time: a.Done, Kind: "action", Title: a.Action.Summary, Detail: a.Result})
		if !a.Undone.IsZero() {
			r.Steps = append(r.Steps, Step{Time: a.Undone, Kind: "action", Title: "taken back: " + a.Action.Summary, Detail: a.UndoneBy})
		}
	}
	for _, n := range inc.Notes {
		r.Steps = append(r.Steps, Step{Time: n.Time, Kind: "note", Title: n.Text, Detail: n.Who})
	}
	slices.SortStableFunc(r.Steps, func(a, b Step) int { return a.Time.Compare(b.Time) })
	if len(r.Steps) > maxSteps {
		r.Steps = r.Steps[:maxSteps]
		r.Left = append(r.Left, "steps of the time line")
	}
}

// containing are the operations after which the processes do no more harm.
var containing = []string{"freeze", "kill", "isolate", "pause-container", "stop-container", "stop-job"}

func (r *Incident) deeds(inc *minewarden.Incident) {
	for i := range inc.Actions {
		a := &inc.Actions[i]
		r.Actions = append(r.Actions, Deed{
			Time: a.Done, Op: a.Action.Op, Summary: a.Action.Summary, Result: a.Result, Who: a.Who, Why: a.Why, OK: a.OK, Undone: a.Undone,
		})
		if a.OK && slices.Contains(containing, a.Action.Op) && (r.Contained.IsZero() || a.Done.Before(r.Contained)) {
			r.Contained = a.Done
		}
	}
	if r.Contained.IsZero() && inc.State == minewarden.Contained {
		r.Contained = inc.Changed
	}
	if inc.State == minewarden.Closed {
		r.Closed = inc.Changed
	}
}

// told are the evidence keys whose values others can look for.
var told = map[string]string{
	"wallet": "wallet", "user": "user", "pool": "pool", "sha256": "sha256", "remote": "address", "indicator": "indicator", "url": "url", "path": "path", "exe": "path",
}

func (r *Incident) indicators(inc *minewarden.Incident) {
	seen := map[Indicator]bool{}
	add := func(typ, value string) {
		i := Indicator{typ, value}
		if value == "" || seen[i] {
			return
		}
		if len(r.Indicators) == maxIndicators {
			if !slices.Contains(r.Left, "indicators") {
				r.Left = append(r.Left, "indicators")
			}
			return
		}
		seen[i] = true
		r.Indicators = append(r.Indicators, i)
	}
	for i := range inc.Members {
		m := &inc.Members[i]
		if m.Weak || m.Severity < minewarden.Medium {
			continue
		}
		add("sha256", m.SHA256)
		if m.Package == "" {
			add("path", m.Exe)
		}
	}
	for i := range inc.Findings {
		f := &inc.Findings[i]
		if f.Severity < minewarden.Medium {
			continue
		}
		if f.Subject.Server != "" {
			add("address", f.Subject.Server)
			if !slices.Contains(r.Locations, f.Subject.Server) && len(r.Locations) < maxIndicators {
				r.Locations = append(r.Locations, f.Subject.Server)
			}
		}
		if f.Subject.Type == minewarden.SubjectAccount && !slices.Contains(r.Accounts, f.Subject.ID) {
			r.Accounts = append(r.Accounts, f.Subject.ID)
		}
		for _, e := range f.Evidence {
			if typ, ok := told[e.Key]; ok {
				add(typ, e.Value)
			}
		}
	}
}

// services are what an open API's processes are called, by the prefix of the audit that finds it open.
var services = map[string][]string{
	"nomad/": {"nomad"}, "consul/": {"consul"}, "docker/": {"docker", "containerd"}, "gitea/": {"gitea", "forgejo"},
	"kubernetes/": {"kube"}, "exposed/": {"redis", "jenkins", "postgres", "mysql", "elasticsearch", "hadoop", "spark", "jupyter"},
}

// wayIn says how it came in, and which weaknesses fit: a service among the ancestors that an audit found open, a login before it, an
// exploited request.
func wayIn(inc *minewarden.Incident, weak []Weakness) (vector string, fit []Weakness) {
	vector = VectorUnknown
	lineage := ""
	for i := range inc.Members {
		lineage += " " + strings.ToLower(inc.Members[i].Name+" "+inc.Members[i].Cgroup)
	}
	for i := range inc.Findings {
		lineage += " " + strings.ToLower(inc.Findings[i].Lineage)
		switch rule := inc.Findings[i].Rule; {
		case strings.HasPrefix(rule, "exploit/"):
			vector = VectorWeb
		case strings.HasPrefix(rule, "login/") && vector == VectorUnknown:
			vector = VectorLogin
		case (strings.HasPrefix(rule, "file/") || strings.HasPrefix(rule, "lineage/")) && vector == VectorUnknown:
			vector = VectorExecutable
		}
	}
	for _, w := range weak {
		if w.Severity < minewarden.Medium {
			continue
		}
		for prefix, names := range services {
			if !strings.HasPrefix(w.Rule, prefix) {
				continue
			}
			if slices.ContainsFunc(names, func(n string) bool { return strings.Contains(lineage, n) }) {
				fit = append(fit, w)
				if vector == VectorUnknown || vector == VectorExecutable {
					vector = VectorOpenAPI
				}
			}
		}
		if strings.HasPrefix(w.Rule, "linux/ssh") && vector == VectorLogin {
			fit = append(fit, w)
		}
	}
	slices.SortStableFunc(fit, func(a, b Weakness) int { return int(b.Severity) - int(a.Severity) })
	return vector, fit
}
