// Package compose checks Docker Compose files.
package compose

import (
	"bytes"
	"context"
	_ "embed"
	"fmt"
	"path"
	"regexp"
	"strings"
	"time"

	"github.com/minewarden/minewarden"
	"github.com/minewarden/minewarden/internal/shady"
	"github.com/minewarden/minewarden/internal/verdict"
	"github.com/minewarden/minewarden/internal/yamltree"
)

//go:embed README.md
var doc string

type auditor struct {
	now   func() time.Time
	judge *shady.Judge
	rules []minewarden.Rule
	shape *regexp.Regexp
}

var _ minewarden.FileAuditor = (*auditor)(nil)

// New returns the auditor.
func New(env minewarden.Env) (minewarden.Auditor, error) {
	return &auditor{now: env.Now, judge: shady.New(), rules: rules(), shape: regexp.MustCompile(`(?m)^\s{0,2}["{]*services["']?\s*:`)}, nil
}

func (a *auditor) Info() minewarden.Info {
	return minewarden.Info{Name: "compose", Title: "Docker Compose files", Doc: doc}
}

func (a *auditor) Rules() []minewarden.Rule { return a.rules }

// Claims takes YAML with services at its top, whatever its name.
func (a *auditor) Claims(name string, head []byte) bool {
	switch strings.ToLower(path.Ext(name)) {
	case ".yaml", ".yml", ".json":
	default:
		return false
	}
	return bytes.Contains(head, []byte("services")) && a.shape.Match(head) && !bytes.Contains(head, []byte("\napiVersion:"))
}

func (a *auditor) Audit(_ context.Context, target minewarden.Target) (minewarden.Verdict, error) {
	if target.Kind != minewarden.TargetFile || !bytes.Contains(target.Data, []byte("services")) {
		return minewarden.Verdict{}, nil
	}
	docs, err := yamltree.Parse(target.Data)
	if err != nil {
		return minewarden.Verdict{}, fmt.Errorf("read %s as a compose file: %w", target.Path, err)
	}
	s := &sheet{Builder: verdict.New("compose", target, a.now, a.rules), a: a, path: target.Path}
	services := 0
	for i, d := range docs {
		var prefix []string
		if len(docs) > 1 {
			prefix = []string{fmt.Sprintf("#%d", i)}
		}
		list := d.Get("services")
		if list == nil || list.Kind != yamltree.Map {
			continue
		}
		for _, p := range list.Pairs {
			if !isService(p.Value) {
				continue
			}
			services++
			s.service(p.Key, p.Value, child(prefix, "services", p.Key))
		}
	}
	if services == 0 {
		return minewarden.Verdict{}, nil
	}
	for _, r := range a.rules {
		s.Pass(r.ID, fmt.Sprintf("none of the %d services of the file does", services))
	}
	return s.Verdict(), nil
}

// isService tells a compose service from other things that are called services, such as a CI job's.
func isService(n *yamltree.Node) bool {
	for _, k := range []string{"image", "build", "extends", "command", "volumes", "ports", "privileged", "environment", "entrypoint"} {
		if n.Get(k) != nil {
			return true
		}
	}
	return false
}

func child(key []string, more ...string) []string {
	return append(append(make([]string, 0, len(key)+len(more)), key...), more...)
}

type sheet struct {
	*verdict.Builder
	a    *auditor
	path string
}

func (s *sheet) at(n *yamltree.Node) minewarden.Subject { return s.File(s.path, n.Line, n.Column) }

func (s *sheet) atPair(p *yamltree.Pair) minewarden.Subject {
	return s.File(s.path, p.Line, p.Column)
}

func (s *sheet) repair(summary, config string, edits ...minewarden.Edit) *minewarden.Repair {
	return &minewarden.Repair{Summary: summary, Config: config, Format: minewarden.FormatYAML, Edits: edits}
}

func (s *sheet) remove(summary string, key []string) *minewarden.Repair {
	return s.repair(summary, "", verdict.Delete(s.path, minewarden.FormatYAML, key...))
}
