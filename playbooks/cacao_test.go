package playbooks

import (
	"encoding/json"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

var someTime = time.Date(2026, 12, 1, 0, 0, 0, 0, time.UTC)

func TestCACAORoundTrip(t *testing.T) {
	all, err := Own()
	if err != nil {
		t.Fatal(err)
	}
	tricky, err := Parse([]byte(head + `trigger: {rules: [pow/], severity: critical, score: 0.5, start: automatic, programs: [nginx]}
deadlines: {isolated: 5m}
steps:
  - {id: a, title: "a: <b>", kind: automatic, action: {responder: process, op: freeze, target: "b/1@2"}, on-failure: c, timeout: 5s, deadline: 10m}
  - {id: b, title: b, kind: approval, action: {responder: process, op: kill}, without-evidence: true, on-failure: stop, when: {container: false, score: 0.4, severity: low, rules: [pow/randomx], done: [a]}}
  - {id: c, title: c, kind: manual, meets: review, when: {not-done: [a], container: true}}
`))
	if err != nil {
		t.Fatal(err)
	}
	for _, p := range append(all, tricky) {
		t.Run(p.Name, func(t *testing.T) {
			text, err := Export(p, someTime)
			if err != nil {
				t.Fatal(err)
			}
			back, notes, err := Import(text, someTime)
			if err != nil || len(notes) > 0 {
				t.Fatalf("%v %v", err, notes)
			}
			if diff := cmp.Diff(p, back); diff != "" {
				t.Errorf("exported and imported:\n%s", diff)
			}
			conforms(t, text)
		})
	}
}

// conforms holds an export to what CACAO 2.0 requires, read from the standard and not from the types above.
func conforms(t *testing.T, text []byte) {
	t.Helper()
	var top map[string]any
	if err := json.Unmarshal(text, &top); err != nil {
		t.Fatal(err)
	}
	used := map[string]string{}
	id := func(where string, v any, kinds ...string) {
		s, _ := v.(string)
		m := cacaoID.FindStringSubmatch(s)
		if m == nil || len(kinds) > 0 && !strings.Contains(" "+strings.Join(kinds, " ")+" ", " "+m[1]+" ") {
			t.Errorf("%s: %v is no identifier of %v", where, v, kinds)
			return
		}
		uuid := s[len(m[1])+2:]
		if o := used[uuid]; o != "" && o != m[1] {
			t.Errorf("%s: the UUID of %s is used for a %s, too", where, s, o)
		}
		used[uuid] = m[1]
	}
	id("id", top["id"], "playbook")
	id("created_by", top["created_by"], "identity")
	for _, key := range []string{"created", "modified"} {
		s, _ := top[key].(string)
		if _, err := time.Parse("2006-01-02T15:04:05.000Z", s); err != nil || len(s) != 24 {
			t.Errorf("%s is %q: not to the millisecond", key, s)
		}
	}
	if acts, _ := top["playbook_activities"].([]any); len(acts) == 0 {
		t.Error("playbook_types without playbook_activities")
	}
	workflow := top["workflow"].(map[string]any)
	agents, _ := top["agent_definitions"].(map[string]any)
	exts, _ := top["extension_definitions"].(map[string]any)
	if len(workflow) < 3 || workflow[top["workflow_start"].(string)] == nil || workflow[top["workflow_exception"].(string)] == nil {
		t.Error("start, end or steps are missing")
	}
	for sid, v := range workflow {
		s := v.(map[string]any)
		kind := s["type"].(string)
		id("step", sid, kind)
		if uuid := sid[len(kind)+2:]; uuid[14] != '4' {
			t.Errorf("step %s is not of UUID version 4", sid)
		}
		done, ok, bad := s["on_completion"], s["on_success"], s["on_failure"]
		if kind != "end" && done == nil && ok == nil || done != nil && (ok != nil || bad != nil) || kind == "start" && done == nil || kind == "end" && (done != nil || ok != nil || bad != nil) {
			t.Errorf("step %s leads to %v, %v, %v", sid, done, ok, bad)
		}
		for _, to := range []any{done, ok, bad} {
			if to != nil && workflow[to.(string)] == nil {
				t.Errorf("step %s leads to %v, which is not there", sid, to)
			}
		}
		if kind != "action" {
			continue
		}
		if agents[s["agent"].(string)] == nil || len(s["commands"].([]any)) == 0 {
			t.Errorf("step %s: agent or commands are missing", sid)
		}
		if ms, isNumber := s["timeout"].(float64); s["timeout"] != nil && (!isNumber || ms <= 0) {
			t.Errorf("step %s: timeout %v", sid, s["timeout"])
		}
		for ext := range s["step_extensions"].(map[string]any) {
			id("extension", ext, "extension-definition")
			if exts[ext] == nil {
				t.Errorf("extension %s is not defined", ext)
			}
		}
	}
	for key, v := range agents {
		a := v.(map[string]any)
		id("agent", key, a["type"].(string))
		if a["name"] == "" {
			t.Errorf("agent %s has no name", key)
		}
	}
	for key, v := range exts {
		for _, need := range []string{"type", "name", "created_by", "schema", "version"} {
			if v.(map[string]any)[need] == nil {
				t.Errorf("extension %s has no %s", key, need)
			}
		}
	}
}

// foreign is a playbook of another product, with changes.
func foreign(changes ...string) string {
	s := `{"type":"playbook","spec_version":"cacao-2.0","id":"playbook--11111111-1111-4111-8111-111111111111","name":"Call the owner!",
"created_by":"identity--22222222-2222-4222-8222-222222222222","created":"2025-01-21T14:14:23.263Z","modified":"2025-01-21T14:14:23.263Z",
"workflow_start":"start--33333333-3333-4333-8333-333333333333","workflow":{
"start--33333333-3333-4333-8333-333333333333":{"type":"start","on_completion":"action--44444444-4444-4444-8444-444444444444"},
"action--44444444-4444-4444-8444-444444444444":{"type":"action","name":"Call the owner","timeout":60000,"commands":[{"type":"manual","command":"Call them"}],
"agent":"individual--66666666-6666-4666-8666-666666666666","on_success":"action--55555555-5555-4555-8555-555555555555","on_failure":"end--77777777-7777-4777-8777-777777777777"},
"action--55555555-5555-4555-8555-555555555555":{"type":"action","name":"Call the owner","commands":[{"type":"manual","command_b64":"V3JpdGUgdG8gdGhlbQ=="}],
"agent":"individual--66666666-6666-4666-8666-666666666666","on_completion":"end--77777777-7777-4777-8777-777777777777"},
"end--77777777-7777-4777-8777-777777777777":{"type":"end"}},
"agent_definitions":{"individual--66666666-6666-4666-8666-666666666666":{"type":"individual","name":"Ann"}}}`
	return strings.NewReplacer(changes...).Replace(s)
}

func TestImportForeign(t *testing.T) {
	p, notes, err := Import([]byte(foreign()), someTime)
	if err != nil {
		t.Fatal(err)
	}
	want := Playbook{Name: "call-the-owner", Title: "Call the owner!", Steps: []Step{
		{ID: "call-the-owner", Title: "Call the owner", Kind: ByHand, Description: "Call them\nIts author allows 1m0s."},
		{ID: "call-the-owner-2", Title: "Call the owner", Kind: ByHand, Description: "Write to them", OnFailure: Continue},
	}}
	if diff := cmp.Diff(want, p); diff != "" {
		t.Error(diff)
	}
	if len(notes) != 1 {
		t.Errorf("notes: %v", notes)
	}
}

func TestImportRefuses(t *testing.T) {
	for name, c := range map[string]struct {
		text, want string
	}{
		"no json":         {"x", "no JSON"},
		"nothing":         {"{}", "it has no type, spec_version, id, name, created_by, created, modified, workflow_start, workflow"},
		"old version":     {foreign("cacao-2.0", "cacao-1.1"), "only cacao-2.0"},
		"bad id":          {foreign("playbook--1", "play--1"), "playbook--UUID"},
		"bash":            {foreign(`"type":"manual","command":"Call them"`, `"type":"bash","command":"rm -rf /"`), "runs no commands that a playbook brings along"},
		"ssh in base64":   {foreign(`"type":"manual","command_b64"`, `"type":"ssh","command_b64"`), "wants a ssh command"},
		"bad base64":      {foreign("V3JpdGUg", "%%%"), "command_b64"},
		"variables":       {foreign("Call them", "Call __owner__:value"), "uses variables"},
		"arguments":       {foreign(`"timeout":60000`, `"out_args":["__x__"]`), "takes or gives variables"},
		"delay":           {foreign(`"timeout":60000`, `"delay":5000`), "waits 5000 ms"},
		"revoked":         {foreign(`"type":"playbook"`, `"type":"playbook","revoked":true`), "revoked"},
		"expired":         {foreign(`"type":"playbook"`, `"type":"playbook","valid_until":"2025-06-01T00:00:00.000Z"`), "not valid any more"},
		"not yet":         {foreign(`"type":"playbook"`, `"type":"playbook","valid_from":"2035-06-01T00:00:00.000Z"`), "not valid before"},
		"condition":       {foreign(`"action--55555555-5555-4555-8555-555555555555":{"type":"action"`, `"if-condition--55555555-5555-4555-8555-555555555555":{"type":"if-condition"`, "on_success\":\"action--5", "on_success\":\"if-condition--5"), "if-condition step"},
		"type of a step":  {foreign(`"action--55555555-5555-4555-8555-555555555555":{"type":"action"`, `"action--55555555-5555-4555-8555-555555555555":{"type":"parallel"`), "says that its type"},
		"a loop":          {foreign(`"on_completion":"end--77777777-7777-4777-8777-777777777777"`, `"on_completion":"action--44444444-4444-4444-8444-444444444444"`), "no loops"},
		"unreached":       {foreign(`"on_success":"action--55555555-5555-4555-8555-555555555555"`, `"on_success":"end--77777777-7777-4777-8777-777777777777"`), "off the line"},
		"missing step":    {foreign(`"on_completion":"end--77777777`, `"on_completion":"end--77777778`), "is not in the workflow"},
		"no agent":        {foreign(`"agent":"individual--66666666-6666-4666-8666-666666666666","on_success"`, `"on_success"`), "no agent"},
		"says nothing":    {foreign("Call them", " "), "says nothing"},
		"wrong extension": {foreign(`"timeout":60000`, fmt.Sprintf(`"step_extensions":{%q:{"id":"a","shell":"rm"}}`, cacaoOwn)), "cannot be read"},
		"kills at once":   {foreign(`"timeout":60000`, fmt.Sprintf(`"step_extensions":{%q:{"id":"a","title":"a","kind":"automatic","action":{"responder":"process","op":"kill"}}}`, cacaoOwn)), "no step before it collects evidence"},
	} {
		t.Run(name, func(t *testing.T) {
			_, _, err := Import([]byte(c.text), someTime)
			if err == nil || !strings.Contains(err.Error(), c.want) {
				t.Errorf("got %v, want %q", err, c.want)
			}
		})
	}
}

func FuzzImport(f *testing.F) {
	all, err := Own()
	if err != nil {
		f.Fatal(err)
	}
	f.Add([]byte(foreign()))
	text, err := Export(all[0], someTime)
	if err != nil {
		f.Fatal(err)
	}
	f.Add(text)
	f.Fuzz(func(t *testing.T, text []byte) {
		p, _, err := Import(text, someTime)
		if err != nil {
			return
		}
		out, err := Export(p, someTime)
		if err != nil {
			t.Fatal(err)
		}
		back, _, err := Import(out, someTime)
		if err != nil {
			t.Fatalf("%v\n%s", err, out)
		}
		if diff := cmp.Diff(p, back); diff != "" {
			t.Errorf("exported and imported:\n%s", diff)
		}
	})
}
