package reports

import (
	"bytes"
	"encoding/json"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/minewarden/minewarden"
	"github.com/minewarden/minewarden/internal/chinese"
)

var begin = time.Date(2026, 11, 1, 10, 0, 0, 0, time.UTC)

// hostile is what an attacker may call a process: markup of every format, control characters, and what fits no line.
const hostile = "<script>alert(1)</script>|`*_[x](javascript:1)\x1b[31m\u202e=cmd|' /C calc'!A0" + "\n# h"

func incident() minewarden.Incident {
	boot := "b00t"
	key := minewarden.ProcessKey{Boot: boot, PID: 77, Start: 3600 * minewarden.TicksPerSecond}
	return minewarden.Incident{
		ID: "1a2b3c4d", State: minewarden.Contained, Severity: minewarden.Critical, Score: 0.99, Opened: begin.Add(time.Hour + 2*time.Second), Updated: begin.Add(2 * time.Hour),
		Changed: begin.Add(time.Hour + 5*time.Second), Host: "web-1", Subject: minewarden.Subject{Type: minewarden.SubjectProcess, ID: key.String(), Name: hostile},
		Members: []minewarden.Member{
			{Key: minewarden.ProcessKey{Boot: boot, PID: 70, Start: 60 * minewarden.TicksPerSecond}, Name: "nomad", Since: begin, Weak: true},
			{Key: key, Name: hostile, Exe: "/tmp/" + hostile, Args: []string{"nginx", hostile}, SHA256: strings.Repeat("ab", 32), Since: begin.Add(time.Hour), Severity: minewarden.Critical, Container: minewarden.Container{ID: "c0ffee"}},
		},
		Findings: []minewarden.IncidentFinding{
			{
				Time: begin.Add(time.Hour + 2*time.Second), Last: begin.Add(time.Hour + 9*time.Second), Count: 3, Rule: "pow/randomx", Title: "RandomX is being computed", Severity: minewarden.Critical,
				Technique: []string{"T1496.001"}, Confidence: 0.99, Evidence: []minewarden.Evidence{{Key: "rounding_modes", Value: "606/416/376/474"}, {Key: "wallet", Value: hostile}},
			},
			{
				Time: begin.Add(time.Hour + 3*time.Second), Rule: "persistence/cron", Title: "A new cron line", Severity: minewarden.High, Technique: []string{"T1053.003"}, Confidence: 0.8,
				Subject: minewarden.Subject{Type: minewarden.SubjectFlow, ID: "f", Server: "203.0.113.7:3333"}, Evidence: []minewarden.Evidence{{Key: "path", Value: "/etc/cron.d/x"}},
			},
			{Time: begin.Add(time.Hour), Rule: "credential/read", Title: "Keys were read", Severity: minewarden.Medium, Subject: minewarden.Subject{Type: minewarden.SubjectAccount, ID: "root"}},
		},
		Actions: []minewarden.Receipt{
			{Action: minewarden.Action{Op: "freeze", Summary: "freeze " + hostile}, Done: begin.Add(time.Hour + 5*time.Second), OK: true, Result: "1 process", Who: "policy contain", Why: "pow/randomx"},
			{Action: minewarden.Action{Op: "block", Summary: "block x"}, Done: begin.Add(time.Hour + 6*time.Second), Undone: begin.Add(time.Hour + 7*time.Second), OK: true, UndoneBy: "user ann"},
			{Action: minewarden.Action{Op: "quarantine", Summary: "quarantine y"}, Done: begin.Add(time.Hour + 8*time.Second), Result: "no space"},
		},
		Notes:  []minewarden.Note{{Time: begin.Add(2 * time.Hour), Who: "ann", Text: hostile}},
		Impact: minewarden.Impact{Since: begin, Until: begin.Add(time.Hour), CPU: 2 * time.Hour, Measured: time.Hour, Host: 3 * time.Hour, Stalled: 20 * time.Minute, CPUs: 4},
	}
}

func environment() *Env {
	cfg := DefaultConfig()
	cfg.Organization, cfg.Contact, cfg.Email = "Example", "Ann", "ann@example.org"
	return &Env{
		Config: cfg, Version: "1", Host: "web-1", Now: begin.Add(72 * time.Hour), Boot: "b00t", Booted: begin,
		Weaknesses: []Weakness{
			{Rule: "nomad/acl", Title: "Nomad asks nobody who he is", Severity: minewarden.Critical, Target: "nomad=http://127.0.0.1:4646", Advice: "Turn on ACLs."},
			{Rule: "gitea/registration", Title: "Anybody may register", Severity: minewarden.High},
		},
	}
}

func TestIncident(t *testing.T) {
	inc := incident()
	r := NewIncident(&inc, environment())
	if r.Vector != VectorOpenAPI || len(r.Weaknesses) != 1 || r.Weaknesses[0].Rule != "nomad/acl" {
		t.Errorf("vector %s, weaknesses %+v: want the open Nomad that the miner descends from, and no other", r.Vector, r.Weaknesses)
	}
	if !r.Began.Equal(begin.Add(time.Hour)) {
		t.Errorf("began %s, want the start of the miner, not of the service", r.Began)
	}
	if !r.Contained.Equal(begin.Add(time.Hour+5*time.Second)) || !r.Detected.Equal(inc.Opened) || !r.Closed.IsZero() {
		t.Errorf("detected %s, contained %s, closed %s", r.Detected, r.Contained, r.Closed)
	}
	if r.Information != informationCreds || r.Recoverability != recoverSupply || r.Functional != ImpactMedium {
		t.Errorf("information %s, recoverability %s, functional %s", r.Information, r.Recoverability, r.Functional)
	}
	if diff := cmp.Diff([]string{"T1053.003", "T1496.001"}, r.Techniques); diff != "" {
		t.Error(diff)
	}
	if !slices.Contains(r.Indicators, Indicator{"address", "203.0.113.7:3333"}) || !slices.Contains(r.Indicators, Indicator{"sha256", strings.Repeat("ab", 32)}) {
		t.Errorf("indicators %+v", r.Indicators)
	}
	if diff := cmp.Diff([]string{"root"}, r.Accounts); diff != "" {
		t.Error(diff)
	}
}

func TestImpact(t *testing.T) {
	p := Prices{Currency: "EUR", KWh: 0.5, CPUHour: 0.1, WattsPerCPU: 10}
	modelled := ImpactOf(p, minewarden.Impact{CPU: 2 * time.Hour, Measured: time.Hour, CPUs: 4, Stalled: 6 * time.Minute})
	want := Impact{Measured: true, CPUHours: 2, Share: 0.5, Stalled: 0.1, KWh: 0.02, KWhSource: FromModel, EnergyCost: 0.01, CloudCost: 0.2, Prices: p}
	if diff := cmp.Diff(want, modelled); diff != "" {
		t.Error(diff)
	}
	measured := ImpactOf(p, minewarden.Impact{CPU: time.Hour, Measured: time.Hour, CPUs: 1, Joules: 3.6e6})
	if measured.KWh != 1 || measured.KWhSource != FromRAPL {
		t.Errorf("%+v, want 1 kWh as measured", measured)
	}
	if none := ImpactOf(p); none.Measured || none.functional() != ImpactNotKnown {
		t.Errorf("%+v of nothing", none)
	}
}

func month(t *testing.T) *Month {
	t.Helper()
	all := func(yield func(minewarden.Incident, error) bool) {
		a, b, c, d := incident(), incident(), incident(), incident()
		b.State, b.Changed, b.Severity = minewarden.Closed, b.Opened.Add(3*time.Hour), minewarden.High
		c.Verdict = minewarden.FalsePositive
		d.Opened = begin.AddDate(0, 1, 0) // the next month
		for _, inc := range []minewarden.Incident{a, b, c, d} {
			if !yield(inc, nil) {
				return
			}
		}
	}
	m, err := NewMonth(begin, begin.AddDate(0, 1, 0), all, []Score{{begin, 61}, {begin.AddDate(0, 0, 9), 84}, {begin.AddDate(0, 2, 0), 99}}, 5, environment())
	if err != nil {
		t.Fatal(err)
	}
	return m
}

func TestMonth(t *testing.T) {
	m := month(t)
	if m.Incidents != 3 || m.Grave != 2 || m.Judged != 1 || m.False != 1 || m.Open != 0 || len(m.Posture) != 2 {
		t.Errorf("%+v", m)
	}
	if diff := cmp.Diff(Spread{N: 2, Median: 3, P90: 3, Max: 3}, m.Contain); diff != "" {
		t.Error("contain: ", diff)
	}
	if m.Detect.N != 2 || m.Detect.Median != 2 || m.Close.N != 1 || m.Close.Max != 10800 {
		t.Errorf("detect %+v, close %+v", m.Detect, m.Close)
	}
	if m.Impact.CPUHours != 4 {
		t.Errorf("%g CPU hours: false alarms cost nothing", m.Impact.CPUHours)
	}
}

func all(t *testing.T) map[string]Report {
	inc := incident()
	open := minewarden.Incident{ID: "e", State: minewarden.Open, Host: "h"}
	closed := incident()
	closed.State, closed.Verdict = minewarden.Closed, minewarden.Authorised
	sure := incident()
	sure.Verdict = minewarden.TruePositive
	wrong := incident()
	wrong.Verdict, wrong.Impact.Joules = minewarden.FalsePositive, 5000
	env := environment()
	return map[string]Report{
		"incident": NewIncident(&inc, env), "review": NewReview(&inc, env), "empty": NewIncident(&open, &Env{}), "empty review": NewReview(&open, &Env{}),
		"closed": NewReview(&closed, env), "sure": NewIncident(&sure, env), "wrong": NewIncident(&wrong, env), "month": month(t),
	}
}

// TestEverythingIsTranslated renders every report and lists the texts without Chinese.
func TestEverythingIsTranslated(t *testing.T) {
	var missing []string
	w := words{lang: "zh", missing: func(s string) { missing = append(missing, s) }}
	used := map[string]bool{}
	for _, r := range all(t) {
		switch r := r.(type) {
		case *Incident:
			r.Left = []string{"processes", "steps of the time line", "indicators"}
			r.document(w)
		case *Month:
			r.document(w)
		}
	}
	for _, code := range texts {
		w.t(code)
	}
	for _, n := range []float64{0.001, 5, 300, 10800, 1e6} {
		w.lasts(n)
	}
	for _, s := range missing {
		if !used[s] {
			used[s] = true
			t.Errorf("no Chinese for %q", s)
		}
	}
}

// TestRulesInChinese looks for what a document says of a rule: its translation where it has one, and in JSON always English.
func TestRulesInChinese(t *testing.T) {
	inc, env := incident(), environment()
	const title, advice = "Nomad access control is off", "Set acl { enabled = true }."
	env.Weaknesses = append(env.Weaknesses, Weakness{Rule: "nomad/acl-disabled", Title: title, Severity: minewarden.High, Advice: advice})
	for _, c := range []struct {
		report       Report
		format, lang string
		has, hasNot  []string
	}{
		{NewIncident(&inc, env), Markdown, "en", []string{"RandomX is being computed was seen", title, advice}, []string{"RandomX，"}},
		{NewIncident(&inc, env), Markdown, "zh", []string{"该进程正在计算 RandomX，即", "Nomad 访问控制未启用", "nomad acl bootstrap，并按最小权限发放令牌", "A new cron line"}, []string{"RandomX is being computed", title, advice}},
		{NewReview(&inc, env), Markdown, "zh", []string{"该进程正在计算 RandomX，即", "Nomad 访问控制未启用"}, []string{"RandomX is being computed", title}},
		{NewIncident(&inc, env), JSON, "zh", []string{"RandomX is being computed", title, advice}, []string{"RandomX，", "访问控制"}},
		{month(t), Markdown, "zh", []string{"该进程正在计算 RandomX，即"}, []string{"RandomX is being computed"}},
	} {
		var b bytes.Buffer
		if err := Write(&b, c.report, c.format, c.lang); err != nil {
			t.Fatal(err)
		}
		text := strings.NewReplacer(`\`, "").Replace(b.String()) // Markdown's escapes
		for _, s := range c.has {
			if !strings.Contains(text, s) {
				t.Errorf("%T as %s in %s does not say %q:\n%s", c.report, c.format, c.lang, s, text)
			}
		}
		for _, s := range c.hasNot {
			if strings.Contains(text, s) {
				t.Errorf("%T as %s in %s says %q", c.report, c.format, c.lang, s)
			}
		}
	}
}

// TestTypefaceHasEveryRule: the PDF shows □ for a character that the typeface lacks.
func TestTypefaceHasEveryRule(t *testing.T) {
	ts, err := newTypesetter()
	if err != nil {
		t.Fatal(err)
	}
	for _, id := range chinese.IDs() {
		title, advice, _ := chinese.Rule(id)
		for _, r := range title + advice {
			if _, ok := ts.width(r); !ok {
				t.Errorf("%s: no glyph for %q", id, r)
			}
		}
	}
}

// TestHostileText writes what an attacker chose and looks for anything that acts.
func TestHostileText(t *testing.T) {
	for name, r := range all(t) {
		for _, lang := range Languages {
			for _, format := range []string{HTML, Markdown} {
				var b bytes.Buffer
				if err := Write(&b, r, format, lang); err != nil {
					t.Fatal(err)
				}
				text := b.String()
				for _, bad := range []string{"<script", "\x1b", "\u202e", "[x](javascript"} {
					if strings.Contains(text, bad) && (format == Markdown || bad[0] != '[') {
						t.Errorf("%s as %s in %s holds %q", name, format, lang, bad)
					}
				}
				if format == HTML && (strings.Contains(text, "http://") && !strings.Contains(text, "nomad=http://127") || strings.Contains(text, "src=")) {
					t.Errorf("%s in %s would load something", name, lang)
				}
			}
		}
	}
}

func TestJSON(t *testing.T) {
	for name, r := range all(t) {
		var b bytes.Buffer
		if err := Write(&b, r, JSON, "en"); err != nil {
			t.Fatal(err)
		}
		var back map[string]any
		if err := json.Unmarshal(b.Bytes(), &back); err != nil {
			t.Errorf("%s: %v", name, err)
		}
		if f, _ := back["format"].(string); !strings.HasPrefix(f, "minewarden.report.") {
			t.Errorf("%s: format %v", name, back["format"])
		}
	}
	if err := Write(&bytes.Buffer{}, month(t), "docx", "en"); err == nil {
		t.Error("an unknown format was written")
	}
	if err := Write(&bytes.Buffer{}, month(t), HTML, "fr"); err == nil {
		t.Error("an unknown language was written")
	}
}

// TestPDF has a reader of its own look at the pages, where Debian's poppler-utils are there.
func TestPDF(t *testing.T) {
	inc := incident()
	for i := range 300 { // more than a page, and a line that no page is high enough for
		inc.Notes = append(inc.Notes, minewarden.Note{Time: begin.Add(time.Duration(i) * time.Minute), Who: "ann", Text: strings.Repeat("很长的备注", i) + strings.Repeat("x", i)})
	}
	for _, lang := range Languages {
		path := filepath.Join(t.TempDir(), lang+".pdf")
		f, err := os.Create(path)
		if err != nil {
			t.Fatal(err)
		}
		if err := Write(f, NewReview(&inc, environment()), PDF, lang); err != nil {
			t.Fatal(err)
		}
		if err := f.Close(); err != nil {
			t.Fatal(err)
		}
		if _, err := exec.LookPath("pdftotext"); err != nil {
			if os.Getenv("CI") == "true" {
				t.Fatal("Debian's poppler-utils are not installed")
			}
			t.Skip("Debian's poppler-utils are not installed")
		}
		out, err := exec.Command("pdftotext", "-layout", path, "-").CombinedOutput()
		if err != nil {
			t.Fatalf("%v: %s", err, out)
		}
		want := map[string][]string{
			"en": {"Review of an incident after 72 hours", "RandomX is being computed", "203.0.113.7:3333", "很长的备注"},
			"zh": {"72 小时事件复盘", "攻击路径", "该进程正在计算 RandomX", "A new cron line"},
		}
		for _, s := range want[lang] {
			if !strings.Contains(string(out), s) {
				t.Errorf("%s: the pages do not say %q", lang, s)
			}
		}
	}
}

func TestLines(t *testing.T) {
	ts, err := newTypesetter()
	if err != nil {
		t.Fatal(err)
	}
	for _, s := range []string{strings.Repeat("deadbeef", 40), strings.Repeat("中文没有空格，", 30), "plain words that go on and on until the line is full and then some", "", " ", "\u25a1"} {
		joined := ""
		for _, l := range ts.lines(s, 9, 40) {
			used := 0.0
			for _, r := range l {
				w, _ := ts.width(r)
				used += w * 9 * mmPoint
			}
			if used > 40 {
				t.Errorf("a line of %g mm in a column of 40: %q", used, l)
			}
			joined += l
		}
		if strings.ReplaceAll(joined, " ", "") != strings.ReplaceAll(s, " ", "") {
			t.Errorf("%q became %q", s, joined)
		}
	}
}

func FuzzDocument(f *testing.F) {
	f.Add(hostile, "note")
	f.Fuzz(func(t *testing.T, name, note string) {
		inc := incident()
		inc.Subject.Name, inc.Notes[0].Text, inc.Members[1].Name = name, note, name
		r := NewIncident(&inc, environment())
		for _, format := range []string{HTML, Markdown, JSON} {
			var b bytes.Buffer
			if err := Write(&b, r, format, "zh"); err != nil {
				t.Fatal(err)
			}
			if format == HTML && (strings.Contains(b.String(), "<script") || strings.ContainsRune(b.String(), 0x1b)) {
				t.Errorf("%q acts", name)
			}
		}
	})
}

// TestWhatWasDoneIsTranslated: an action says in Chinese what it did; what a person wrote stays.
func TestWhatWasDoneIsTranslated(t *testing.T) {
	inc := minewarden.Incident{ID: "i1", Opened: time.Unix(1e9, 0), Actions: []minewarden.Receipt{{
		Action: minewarden.Action{ID: "a", Op: "freeze", Summary: "freeze 3 processes of incident i1"}, Done: time.Unix(1e9, 0), OK: true,
		Who: "policy contain", Why: "because I say so", Result: "3 processes frozen in 5ms, none of their threads runs", Undone: time.Unix(2e9, 0), UndoneBy: "user ada",
	}}}
	for lang, want := range map[string][]string{
		"zh": {"冻结事件 i1 的 3 个进程", "已在 5ms 内冻结 3 个进程，其线程全部停止运行", "策略“遏制”, because I say so", "已撤销：冻结事件 i1 的 3 个进程"},
		"en": {"freeze 3 processes of incident i1", "policy contain, because I say so"},
	} {
		var b bytes.Buffer
		if err := Write(&b, NewIncident(&inc, environment()), Markdown, lang); err != nil {
			t.Fatal(err)
		}
		for _, s := range want {
			if !strings.Contains(b.String(), s) {
				t.Errorf("%s does not say %q:\n%s", lang, s, b.String())
			}
		}
	}
}
