package nomad

import (
	"fmt"
	"strings"

	mw "github.com/minewarden/minewarden"
	"github.com/minewarden/minewarden/internal/intruder"
	"github.com/minewarden/minewarden/internal/verdict"
)

// job is a job as far as it matters here, whether the API or a file told it.
type job struct {
	id    string
	names []string // of groups and tasks
	tasks []task
}

type task struct {
	name, driver, user, image string
	words                     []string // command and arguments
	privileged                bool
	capAdd                    []string
	hostModes                 []string // "pid_mode=host"
	mounts                    []string // host paths
	scripts                   [][]string
	artifacts                 []artifact
	templates                 []string
	line, column              int // of the task in its file
}

type artifact struct {
	source   string
	checksum bool
}

// apiJob is the API's form.
type apiJob struct {
	ID, Name   string
	TaskGroups []struct {
		Name     string
		Services []apiService
		Tasks    []struct {
			Name, Driver, User string
			Config             map[string]any
			Services           []apiService
			Artifacts          []struct {
				GetterSource  string
				GetterOptions map[string]string
			}
			Templates []struct{ EmbeddedTmpl string }
		}
	}
}

type apiService struct {
	Checks []struct {
		Type, Command string
		Args          []string
	}
}

func (j *apiJob) plain() job {
	out := job{id: j.ID}
	for _, g := range j.TaskGroups {
		out.names = append(out.names, g.Name)
		for i, t := range g.Tasks {
			out.names = append(out.names, t.Name)
			p := task{name: t.Name, driver: t.Driver, user: t.User}
			p.config(t.Config)
			services := t.Services
			if i == 0 {
				services = append(services, g.Services...)
			}
			for _, s := range services {
				for _, c := range s.Checks {
					if c.Type == "script" {
						p.scripts = append(p.scripts, append([]string{c.Command}, c.Args...))
					}
				}
			}
			for _, a := range t.Artifacts {
				p.artifacts = append(p.artifacts, artifact{a.GetterSource, a.GetterOptions["checksum"] != ""})
			}
			for _, tm := range t.Templates {
				p.templates = append(p.templates, tm.EmbeddedTmpl)
			}
			out.tasks = append(out.tasks, p)
		}
	}
	return out
}

// config reads a driver's own configuration.
func (t *task) config(c map[string]any) {
	if s, ok := c["command"].(string); ok {
		t.words = append(t.words, s)
	}
	for _, k := range []string{"entrypoint", "args"} {
		switch v := c[k].(type) {
		case string:
			t.words = append(t.words, v)
		case []any:
			for _, a := range v {
				t.words = append(t.words, fmt.Sprint(a))
			}
		}
	}
	t.image, _ = c["image"].(string)
	t.privileged = truthy(c["privileged"])
	t.capAdd = stringsOf(c["cap_add"])
	for _, k := range []string{"pid_mode", "ipc_mode", "network_mode", "uts_mode", "userns_mode"} {
		if s, _ := c[k].(string); s == "host" {
			t.hostModes = append(t.hostModes, k+"=host")
		}
	}
	for _, v := range stringsOf(c["volumes"]) {
		if src, _, ok := strings.Cut(v, ":"); ok {
			t.mounts = append(t.mounts, src)
		}
	}
	for _, k := range []string{"mount", "mounts"} {
		switch m := c[k].(type) {
		case map[string]any:
			t.mount(m)
		case []any:
			for _, x := range m {
				if mm, ok := x.(map[string]any); ok {
					t.mount(mm)
				}
			}
		}
	}
}

func (t *task) mount(m map[string]any) {
	if kind, _ := m["type"].(string); kind == "bind" || kind == "" {
		if s, _ := m["source"].(string); s != "" {
			t.mounts = append(t.mounts, s)
		}
	}
}

func stringsOf(v any) []string {
	var out []string
	switch x := v.(type) {
	case string:
		out = append(out, x)
	case []any:
		for _, e := range x {
			if s, ok := e.(string); ok {
				out = append(out, s)
			}
		}
	}
	return out
}

// judgeJob adds what is wrong with j. Nothing is said of rules that hold: the caller says that jobs were read.
func (a *auditor) judgeJob(b *verdict.Builder, j job, subject mw.Subject) {
	for _, n := range append([]string{j.id}, j.names...) {
		if s := a.judge.Name(n); s.Kind == intruder.Miner {
			b.Fail(verdict.Claim{Rule: ruleJobMiner, Subject: subject, Proof: fmt.Sprintf("job %s uses the name %q", j.id, s.Text)})
		}
	}
	for _, t := range j.tasks {
		at := subject
		if t.line > 0 {
			at.Line, at.Column = t.line, t.column
		}
		a.judgeTask(b, j.id, t, at)
	}
}

func (a *auditor) judgeTask(b *verdict.Builder, id string, t task, at mw.Subject) {
	where := fmt.Sprintf("job %s, task %s (%s)", id, t.name, t.driver)
	evidence := []mw.Evidence{{Key: "driver", Value: t.driver}, {Key: "command", Value: strings.Join(t.words, " ")}}
	isolated := t.driver != "raw_exec"
	say := func(what string, s intruder.Sign, ev []mw.Evidence) {
		switch s.Kind {
		case intruder.Miner:
			b.Fail(verdict.Claim{Rule: ruleJobMiner, Subject: at, Proof: fmt.Sprintf("%s: %s shows %q", where, what, s.Text), Evidence: ev})
		case intruder.Download:
			b.Fail(verdict.Claim{Rule: ruleJobFetch, Subject: at, Proof: fmt.Sprintf("%s: %s shows %q", where, what, s.Text), Evidence: ev})
		case intruder.Shell:
			if !isolated && what == "its command" {
				b.Fail(verdict.Claim{Rule: ruleJobShell, Subject: at, Confidence: verdict.Possible, Proof: fmt.Sprintf("%s: %s is a shell with a script", where, what), Evidence: ev})
			}
		}
	}
	say("its command", a.judge.Command(t.words...), evidence)
	say("its image", a.judge.Image(t.image), []mw.Evidence{{Key: "image", Value: t.image}})
	for _, tm := range t.templates {
		if s := a.judge.Command(tm); s.Kind >= intruder.Download {
			say("a template", s, []mw.Evidence{{Key: "template", Value: tm}})
		}
	}
	for _, sc := range t.scripts {
		s := a.judge.Command(sc...)
		ev := []mw.Evidence{{Key: "check", Value: strings.Join(sc, " ")}}
		say("a script check", s, ev)
		if s.Kind < intruder.Download {
			b.Fail(verdict.Claim{Rule: ruleJobScript, Subject: at, Proof: where + " has a script check", Evidence: ev})
		}
	}
	for _, ar := range t.artifacts {
		if s := a.judge.Command(ar.source); s.Kind >= intruder.Download {
			say("an artifact", s, []mw.Evidence{{Key: "artifact", Value: ar.source}})
		} else if !ar.checksum && (strings.HasPrefix(ar.source, "http://") || strings.HasPrefix(ar.source, "ftp://")) {
			b.Fail(verdict.Claim{Rule: ruleJobArtifact, Subject: at, Proof: where + " fetches without TLS and checksum", Evidence: []mw.Evidence{{Key: "artifact", Value: ar.source}}})
		}
	}
	var rights []string
	if t.privileged {
		rights = append(rights, "privileged")
	}
	for _, c := range t.capAdd {
		switch strings.TrimPrefix(strings.ToUpper(c), "CAP_") {
		case "ALL", "SYS_ADMIN", "SYS_MODULE", "SYS_PTRACE", "DAC_READ_SEARCH", "SYS_RAWIO", "BPF":
			rights = append(rights, "cap_add "+c)
		}
	}
	for _, m := range t.hostModes {
		if m == "pid_mode=host" || m == "ipc_mode=host" {
			rights = append(rights, m)
		}
	}
	if len(rights) > 0 {
		b.Fail(verdict.Claim{Rule: ruleJobPriv, Subject: at, Proof: where + ": " + strings.Join(rights, ", ")})
	}
	for _, m := range t.mounts {
		if verdict.OwnsHost(m) {
			b.Fail(verdict.Claim{Rule: ruleJobMount, Subject: at, Proof: where + " mounts " + m})
		}
	}
}
