package nomad

import (
	"encoding/json"

	"github.com/minewarden/minewarden/internal/conftree"
)

// jobsOf reads jobs in any of the forms they are written in: HCL, HCL as JSON, and the API's JSON.
func jobsOf(n *conftree.Node) []job {
	var out []job
	for _, path := range [][]string{{"Job"}, {}} {
		for _, j := range n.All(path...) {
			if len(j.All("TaskGroups")) == 0 {
				continue
			}
			// The API's form, through its own decoder.
			b, err := json.Marshal(j.Any())
			if err != nil {
				continue
			}
			var api apiJob
			if json.Unmarshal(b, &api) == nil {
				p := api.plain()
				for i := range p.tasks {
					p.tasks[i].line, p.tasks[i].column = j.Line, j.Column
				}
				out = append(out, p)
			}
		}
	}
	for _, jobs := range n.All("job") {
		for _, f := range fields(jobs) {
			out = append(out, hclJob(f.Key, f.Value))
		}
	}
	return out
}

// fields returns the entries of an object, or of the objects of a list.
func fields(n *conftree.Node) []conftree.Field {
	if n == nil {
		return nil
	}
	out := append([]conftree.Field(nil), n.Fields...)
	for _, i := range n.Items {
		out = append(out, fields(i)...)
	}
	return out
}

func hclJob(id string, n *conftree.Node) job {
	j := job{id: id}
	groups := func(g *conftree.Node) {
		for _, gf := range fields(g) {
			j.names = append(j.names, gf.Key)
			first := len(j.tasks)
			for _, tasks := range gf.Value.All("task") {
				for _, tf := range fields(tasks) {
					j.names = append(j.names, tf.Key)
					j.tasks = append(j.tasks, hclTask(tf.Key, tf.Value))
				}
			}
			if first < len(j.tasks) {
				j.tasks[first].scripts = append(j.tasks[first].scripts, scriptChecks(gf.Value)...)
			}
		}
	}
	for _, g := range n.All("group") {
		groups(g)
	}
	for _, tasks := range n.All("task") { // a task without a group is one
		for _, tf := range fields(tasks) {
			j.names = append(j.names, tf.Key)
			j.tasks = append(j.tasks, hclTask(tf.Key, tf.Value))
		}
	}
	return j
}

func hclTask(name string, n *conftree.Node) task {
	t := task{name: name, driver: n.Get("driver").Str(), user: n.Get("user").Str(), line: n.Line, column: n.Column}
	for _, c := range n.All("config") {
		if m, ok := c.Any().(map[string]any); ok {
			t.config(m)
		}
		if cmd := c.Get("command"); cmd != nil {
			t.line, t.column = cmd.Line, cmd.Column
		}
	}
	t.scripts = scriptChecks(n)
	for _, a := range n.All("artifact") {
		t.artifacts = append(t.artifacts, artifact{a.Get("source").Str(), a.Get("options", "checksum") != nil})
	}
	for _, tm := range n.All("template") {
		if d := tm.Get("data"); d != nil {
			t.templates = append(t.templates, d.Text)
		}
	}
	return t
}

func scriptChecks(n *conftree.Node) [][]string {
	var out [][]string
	for _, c := range n.All("service", "check") {
		if c.Get("type").Str() == "script" {
			out = append(out, append([]string{c.Get("command").Str()}, c.Get("args").Strings()...))
		}
	}
	return out
}
