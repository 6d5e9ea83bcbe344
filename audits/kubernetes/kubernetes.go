// Package kubernetes checks manifests and the configuration of the cluster's components.
package kubernetes

import (
	"bytes"
	"context"
	_ "embed"
	"fmt"
	"path"
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
}

var _ minewarden.FileAuditor = (*auditor)(nil)

// New returns the auditor.
func New(env minewarden.Env) (minewarden.Auditor, error) {
	return &auditor{now: env.Now, judge: shady.New(), rules: rules()}, nil
}

func (a *auditor) Info() minewarden.Info {
	return minewarden.Info{Name: "kubernetes", Title: "Kubernetes manifests and component configuration", Doc: doc}
}

func (a *auditor) Rules() []minewarden.Rule { return a.rules }

// Claims takes YAML and JSON that say which kind of object they are.
func (a *auditor) Claims(name string, head []byte) bool {
	switch strings.ToLower(path.Ext(name)) {
	case ".yaml", ".yml", ".json", "":
	default:
		return false
	}
	return bytes.Contains(head, []byte("apiVersion")) && bytes.Contains(head, []byte("kind"))
}

func (a *auditor) Audit(_ context.Context, target minewarden.Target) (minewarden.Verdict, error) {
	switch target.Kind {
	case minewarden.TargetFile:
		if !bytes.Contains(target.Data, []byte("apiVersion")) {
			return minewarden.Verdict{}, nil
		}
		docs, err := yamltree.Parse(target.Data)
		if err != nil {
			return minewarden.Verdict{}, fmt.Errorf("read %s as Kubernetes YAML: %w", target.Path, err)
		}
		return a.manifests(target, docs), nil
	}
	return minewarden.Verdict{}, nil
}

func (a *auditor) manifests(target minewarden.Target, docs []*yamltree.Node) minewarden.Verdict {
	s := &sheet{Builder: verdict.New("kubernetes", target, a.now, a.rules), a: a, path: target.Path}
	for i, d := range docs {
		var prefix []string
		if len(docs) > 1 {
			prefix = []string{fmt.Sprintf("#%d", i)}
		}
		s.object(d, prefix, 0)
	}
	if s.objects == 0 {
		return minewarden.Verdict{}
	}
	// What was looked at and stands is said once a file, for the score.
	if s.pods > 0 {
		for _, id := range podRules {
			s.Pass(id, fmt.Sprintf("none of the %d pods of the file does", s.pods))
		}
	}
	if s.bindings > 0 {
		for _, id := range []string{ruleDefaultRights, ruleClusterAdmin, ruleAnonymousRight} {
			s.Pass(id, fmt.Sprintf("none of the %d bindings of the file does", s.bindings))
		}
	}
	return s.Verdict()
}

// podRules are the rules that every pod is held against.
var podRules = [...]string{
	rulePrivileged, ruleRuntimeSocket, ruleHostRoot, ruleHostPath, ruleHostPID, ruleHostNetwork, ruleHostIPC,
	ruleCapabilities, ruleEscalation, ruleRunAsRoot, ruleToken, ruleMiner, ruleDownloader, ruleFlags,
}

type sheet struct {
	*verdict.Builder
	a                       *auditor
	path                    string
	objects, pods, bindings int
}

// maxListDepth is how deep Lists of Lists are followed; kubectl writes one.
const maxListDepth = 3

func (s *sheet) object(d *yamltree.Node, key []string, depth int) {
	kind, api := d.Get("kind").Text(), d.Get("apiVersion").Text()
	if kind == "" || api == "" {
		return
	}
	s.objects++
	name := kind + "/" + d.At("metadata", "name").Text()
	switch kind {
	case "Pod":
		s.pod(name, d.Get("spec"), child(key, "spec"))
	case "Deployment", "DaemonSet", "StatefulSet", "ReplicaSet", "ReplicationController", "Job":
		s.pod(name, d.At("spec", "template", "spec"), child(key, "spec", "template", "spec"))
	case "CronJob":
		s.pod(name, d.At("spec", "jobTemplate", "spec", "template", "spec"), child(key, "spec", "jobTemplate", "spec", "template", "spec"))
	case "PodTemplate":
		s.pod(name, d.At("template", "spec"), child(key, "template", "spec"))
	case "ClusterRoleBinding", "RoleBinding":
		s.binding(name, kind, d)
	case "ClusterRole", "Role":
		s.role(name, kind, d)
	case "Service":
		s.service(name, d, key)
	case "KubeletConfiguration":
		s.kubelet(d, key)
	}
	if depth < maxListDepth && strings.HasSuffix(kind, "List") || kind == "List" && depth < maxListDepth {
		if items := d.Get("items"); items != nil {
			for i, item := range items.Items {
				s.object(item, child(key, "items", fmt.Sprint(i)), depth+1)
			}
		}
	}
}

func child(key []string, more ...string) []string {
	return append(append(make([]string, 0, len(key)+len(more)), key...), more...)
}

func (s *sheet) at(n *yamltree.Node) minewarden.Subject { return s.File(s.path, n.Line, n.Column) }

func (s *sheet) atPair(p *yamltree.Pair) minewarden.Subject {
	return s.File(s.path, p.Line, p.Column)
}

// edit makes the repair of one value; a value that came through an alias or merge key is a person's to repair.
func (s *sheet) edit(summary, config string, edits ...minewarden.Edit) *minewarden.Repair {
	return &minewarden.Repair{Summary: summary, Config: config, Format: minewarden.FormatYAML, Edits: edits}
}

func (s *sheet) set(summary, config string, value any, key []string) *minewarden.Repair {
	return s.edit(summary, config, verdict.Set(s.path, minewarden.FormatYAML, value, key...))
}

func evidence(kv ...string) []minewarden.Evidence { return verdict.Evidence(kv...) }
