package playbooks

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

func TestOwn(t *testing.T) {
	all, err := Own()
	if err != nil {
		t.Fatal(err)
	}
	want := []string{"consul", "docker", "gitea", "kubelet", "loader", "log4shell", "miner", "nomad", "npm", "perfctl", "react2shell", "ssh", "windows"}
	var names []string
	for _, p := range all {
		names = append(names, p.Name)
		meets := map[string]bool{}
		for i, s := range p.Steps {
			meets[s.Meets] = true
			if s.Action != nil && s.Action.Op == "kill" && s.Kind != ByApproval {
				t.Errorf("%s: step %s kills without an approval", p.Name, s.ID)
			}
			if i > 0 && s.ID == "evidence" && s.Action != nil && (p.Steps[i-1].ID != "freeze") {
				t.Errorf("%s: evidence comes after %s", p.Name, p.Steps[i-1].ID)
			}
		}
		for _, d := range []string{Isolated, Report, Review} {
			if !meets[d] {
				t.Errorf("%s: no step meets the deadline %s", p.Name, d)
			}
		}
		text, err := Marshal(p)
		if err != nil {
			t.Fatal(err)
		}
		back, err := Parse(text)
		if err != nil {
			t.Fatalf("%s: %v\n%s", p.Name, err, text)
		}
		if diff := cmp.Diff(p, back); diff != "" {
			t.Errorf("%s written and read again:\n%s", p.Name, diff)
		}
	}
	if diff := cmp.Diff(want, names); diff != "" {
		t.Error(diff)
	}
}

const head = "playbook: x\ntitle: t\n"

func TestParseErrors(t *testing.T) {
	for name, c := range map[string]struct{ text, want string }{
		"unknown key":        {head + "colour: red\nsteps: [{id: a, title: a, kind: manual}]\n", "line 3"},
		"unknown step key":   {head + "steps:\n  - id: a\n    title: a\n    kind: manual\n    paint: it\n", "line 7"},
		"no steps":           {head + "steps: []\n", "line 3: steps: there are none"},
		"no name":            {"title: t\nsteps: [{id: a, title: a, kind: manual}]\n", "playbook"},
		"twice":              {head + "steps:\n  - {id: a, title: a, kind: manual}\n  - {id: a, title: b, kind: manual}\n", "line 5: step \"a\": id: another step has it"},
		"kind":               {head + "steps:\n  - id: a\n    title: a\n    kind: magic\n", "line 6"},
		"manual with action": {head + "steps:\n  - {id: a, title: a, kind: manual, action: {responder: process, op: freeze}}\n", "a person does a manual step"},
		"without action":     {head + "steps:\n  - {id: a, title: a, kind: automatic}\n", "make it manual"},
		"kill without":       {head + "steps:\n  - {id: a, title: a, kind: approval, action: {responder: process, op: kill}}\n", "no step before it collects evidence"},
		"backwards":          {head + "steps:\n  - {id: a, title: a, kind: manual}\n  - {id: b, title: b, kind: manual, on-failure: a}\n", "not stop, continue or a later step"},
		"when later":         {head + "steps:\n  - {id: a, title: a, kind: manual, when: {done: [b]}}\n  - {id: b, title: b, kind: manual}\n", "no step before this one"},
		"duration":           {head + "steps:\n  - id: a\n    title: a\n    kind: manual\n    deadline: soon\n", "line 7"},
		"negative":           {head + "steps:\n  - {id: a, title: a, kind: manual, deadline: -5m}\n", "more than nothing"},
		"severity":           {head + "trigger: {severity: awful}\nsteps: [{id: a, title: a, kind: manual}]\n", "awful"},
		"two documents":      {head + "steps: [{id: a, title: a, kind: manual}]\n---\n" + head, "one document"},
		"a list":             {"- a\n", "one document"},
		"empty":              {"", "one document"},
		"not yaml":           {"a: [b\n", "line"},
	} {
		t.Run(name, func(t *testing.T) {
			_, err := Parse([]byte(c.text))
			if err == nil || !strings.Contains(err.Error(), c.want) || strings.Contains(err.Error(), "\n") {
				t.Errorf("got %v, want one line with %q", err, c.want)
			}
		})
	}
}

func TestLoad(t *testing.T) {
	dir := t.TempDir()
	mine := Playbook{Name: "docker", Title: "mine", Steps: []Step{{ID: "a", Title: "a", Kind: ByHand}}}
	if _, err := Save(dir, mine, false); err != nil {
		t.Fatal(err)
	}
	if _, err := Save(dir, mine, false); err == nil {
		t.Error("saved over another without being told to")
	}
	if _, err := Save(dir, mine, true); err != nil {
		t.Error(err)
	}
	if err := os.WriteFile(filepath.Join(dir, "bad.yaml"), []byte("x"), 0o600); err != nil {
		t.Fatal(err)
	}
	all, err := Load(dir)
	if err == nil || !strings.Contains(err.Error(), "bad.yaml") {
		t.Errorf("the bad one is not told: %v", err)
	}
	own, _ := Own()
	if len(all) != len(own) {
		t.Errorf("%d playbooks, want %d", len(all), len(own))
	}
	for _, p := range all {
		if p.Name == "docker" && p.Title != "mine" {
			t.Error("the user's playbook does not replace the program's")
		}
	}
	if all, err := Load(filepath.Join(dir, "none")); err != nil || len(all) != len(own) {
		t.Errorf("a directory that is not there: %d, %v", len(all), err)
	}
}

func FuzzParse(f *testing.F) {
	files, err := filepath.Glob("library/*.yaml")
	if err != nil {
		f.Fatal(err)
	}
	for _, name := range files {
		text, err := os.ReadFile(name)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(text)
	}
	f.Fuzz(func(t *testing.T, text []byte) {
		p, err := Parse(text)
		if err != nil {
			return
		}
		out, err := Marshal(p)
		if err != nil {
			t.Fatal(err)
		}
		back, err := Parse(out)
		if err != nil {
			t.Fatalf("%v\n%s", err, out)
		}
		if diff := cmp.Diff(p, back); diff != "" {
			t.Errorf("written and read again:\n%s", diff)
		}
	})
}
