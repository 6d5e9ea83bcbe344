package score

import (
	"bytes"
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/minewarden/minewarden"
)

var at = time.Unix(1700000000, 0)

func rules() []minewarden.Rule {
	return []minewarden.Rule{{ID: "a/crit", Severity: minewarden.Critical, Title: "<b>open</b>", Why: "TeamTNT", Advice: "close it"}, {ID: "a/low", Severity: minewarden.Low}, {ID: "a/med", Severity: minewarden.Medium}}
}

func check(rule string, s minewarden.Status, confidence float64) minewarden.Check {
	c := minewarden.Check{Rule: rule, Status: s, Proof: "<script>alert(1)</script> _x_"}
	if confidence > 0 {
		c.Finding = &minewarden.Finding{Confidence: confidence}
	}
	return c
}

func verdict(cs ...minewarden.Check) minewarden.Verdict {
	return minewarden.Verdict{Applies: true, Product: "a", Checks: cs}
}

func TestOf(t *testing.T) {
	const pass, fail, possible, unknown = minewarden.StatusPass, minewarden.StatusFail, minewarden.StatusPossible, minewarden.StatusUnknown
	for name, tc := range map[string]struct {
		v    minewarden.Verdict
		want float64
		err  bool
	}{
		"all pass":             {verdict(check("a/crit", pass, 0), check("a/low", pass, 0)), 100, false},
		"a critical one fails": {verdict(check("a/crit", fail, 1), check("a/low", pass, 0), check("a/med", pass, 0)), 20, false},
		"low fails":            {verdict(check("a/crit", pass, 0), check("a/low", fail, 1)), 95, false},
		"possible":             {verdict(check("a/crit", possible, 0.5), check("a/med", pass, 0), check("a/low", pass, 0)), 60, false},
		"unknown is no pass":   {verdict(check("a/crit", unknown, 0), check("a/low", fail, 1)), 0, false},
		"all unknown":          {verdict(check("a/crit", unknown, 0)), 0, true},
		"the worst subject":    {verdict(check("a/low", fail, 1), check("a/low", fail, 1), check("a/crit", pass, 0)), 95, false},
	} {
		r := Of("t", tc.v, rules(), at)
		if (r.Score-tc.want) > 0.5 || tc.want-r.Score > 0.5 || (r.Error != "") != tc.err {
			t.Errorf("%s: %.1f %q, want %.1f", name, r.Score, r.Error, tc.want)
		}
	}
}

func TestHistoryAndReport(t *testing.T) {
	dir := t.TempDir()
	one := Of("host", verdict(check("a/crit", minewarden.StatusFail, 1), check("a/med", minewarden.StatusUnknown, 0)), rules(), at)
	two := Of("host", verdict(check("a/crit", minewarden.StatusPass, 0)), rules(), at)
	for _, r := range [][]Record{{two}, {one, Failed("nomad=http://x", "nomad", errors.New("no answer"), at)}} {
		if err := Append(dir, r); err != nil {
			t.Fatal(err)
		}
	}
	h, err := Load(dir)
	if err != nil || len(h) != 3 {
		t.Fatal(h, err)
	}
	rep := NewReport(h, at)
	if len(rep.Targets) != 2 || !rep.Scored || rep.Overall != 0 || rep.Targets[0].Trend() != "-100 since the audit before" {
		t.Errorf("%+v", rep)
	}
	var html, md, js bytes.Buffer
	for _, e := range []error{rep.HTML(&html), rep.Markdown(&md), rep.JSON(&js)} {
		if e != nil {
			t.Fatal(e)
		}
	}
	for name, out := range map[string]string{"html": html.String(), "md": md.String()} {
		if strings.Contains(out, "<script>") || strings.Contains(out, "<b>") || strings.Contains(out, "src=") {
			t.Errorf("%s carries markup of the target", name)
		}
		for _, want := range []string{"TeamTNT", "close it", "not looked at", "no answer"} {
			if !strings.Contains(out, want) {
				t.Errorf("%s lacks %q", name, want)
			}
		}
	}
	if _, err := read(strings.NewReader("{}\n{\"cut")); err == nil {
		t.Error("a cut line was not reported")
	}
	if got, err := Load(t.TempDir()); err != nil || got != nil {
		t.Error(got, err)
	}
}

func FuzzRead(f *testing.F) {
	f.Add([]byte("{\"target\":\"a\",\"items\":[{\"severity\":\"high\"}]}\n"))
	f.Fuzz(func(t *testing.T, b []byte) {
		h, err := read(bytes.NewReader(b))
		if err != nil && len(h) == 0 {
			return
		}
		var out bytes.Buffer
		if err := NewReport(h, at).HTML(&out); err != nil {
			t.Fatal(err)
		}
	})
}
