// Package persistence judges what is written where the system looks for things to start, by what it says and by who wrote it.
package persistence

import (
	_ "embed"
	"strings"
	"time"

	"github.com/minewarden/minewarden"
	"github.com/minewarden/minewarden/internal/command"
	"github.com/minewarden/minewarden/internal/program"
)

//go:embed README.md
var doc string

// Rule ids.
const (
	rulePreload = "persistence/preload"
	ruleMiner   = "persistence/miner"
	ruleCode    = "persistence/code"
	ruleFetch   = "persistence/fetch"
	ruleIdle    = "persistence/idle-unit"
	ruleHidden  = "persistence/hidden"
	ruleGit     = "persistence/git-hook"
	ruleService = "persistence/service"
	ruleIntrude = "persistence/intruder"
	ruleKey     = "persistence/key"
	ruleRoot    = "persistence/open-door"
	ruleChanged = "persistence/changed"
)

const remove = "Keep a copy, remove the entry, and look for what else the same writer changed and for what the entry already started."

var rules = []minewarden.Rule{
	{
		ID: rulePreload, Title: "A library is loaded into every program by ld.so.preload", Severity: minewarden.High, Technique: []string{"T1574.006"},
		Advice: "Check the library from a clean system: it can hide files and processes from this one. " + remove,
	},
	{ID: ruleMiner, Title: "A miner is started by the system", Severity: minewarden.High, Technique: []string{"T1496.001", "T1053.003", "T1543.002"}, Advice: remove},
	{ID: ruleCode, Title: "A start entry fetches, decodes or hides what it runs", Severity: minewarden.High, Technique: []string{"T1053.003", "T1543.002", "T1037.004", "T1105"}, Advice: remove},
	{
		ID: ruleFetch, Title: "A start entry runs what it fetched, or runs it from a place that everybody may write to", Severity: minewarden.Medium, Technique: []string{"T1053.003", "T1105"},
		Advice: "Install the program in a place of its own, by a package or a pinned hash. If nobody knows the entry: " + remove,
	},
	{ID: ruleIdle, Title: "A unit in a home directory takes the CPU time that others leave", Severity: minewarden.Medium, Technique: []string{"T1543.002", "T1496.001"}, Advice: "Miners' set-up scripts write such units. " + remove},
	{ID: ruleHidden, Title: "A start entry runs a program with a hidden path", Severity: minewarden.Medium, Technique: []string{"T1053.003", "T1564.001"}, Advice: remove},
	{ID: ruleGit, Title: "Git runs a program for every fetch", Severity: minewarden.High, Technique: []string{"T1546"}, Advice: "uploadpack.packObjectsHook runs as the user of the Git server. " + remove},
	{ID: ruleService, Title: "A network service's child writes where the system starts things", Severity: minewarden.High, Technique: []string{"T1053.003", "T1543.002", "T1098.004"}, Advice: remove},
	{
		ID: ruleIntrude, Title: "A start entry or key was written after a download from a bare address, or by a program in a temporary place", Severity: minewarden.High,
		Technique: []string{"T1098.004", "T1053.003", "T1105"}, Advice: remove,
	},
	{
		ID: ruleRoot, Title: "A way to become root, or to log in without a password, was made", Severity: minewarden.High, Technique: []string{"T1136.001", "T1556.003", "T1098.004"},
		Advice: "Take the line back, look at who wrote it, and at every login since.",
	},
	{ID: ruleKey, Title: "A login key was added", Severity: minewarden.Low, Technique: []string{"T1098.004"}, Advice: "Check whose key it is."},
	{ID: ruleChanged, Title: "Something that the system starts was changed", Severity: minewarden.Informational, Technique: []string{"T1053.003", "T1543.002", "T1546.004"}, Advice: "Check that an administrator meant to."},
}

const (
	maxFetchers = 256
	maxSeen     = 512
	afterFetch  = 10 * time.Minute
	again       = time.Minute // before the same is told of the same file again
)

type detector struct {
	fetchers fifo[minewarden.ProcessKey] // sessions that fetched from a bare address
	seen     fifo[seenKey]
}

type seenKey struct{ path, rule, note string }

var _ minewarden.Detector = (*detector)(nil)

// New returns the detector.
func New(minewarden.Env) (minewarden.Detector, error) {
	return &detector{newFIFO[minewarden.ProcessKey](maxFetchers), newFIFO[seenKey](maxSeen)}, nil
}

// Info implements minewarden.Detector.
func (*detector) Info() minewarden.Info {
	return minewarden.Info{Name: "persistence", Title: "what makes a program start again", Doc: doc}
}

// Rules implements minewarden.Detector.
func (*detector) Rules() []minewarden.Rule { return rules }

// Kinds implements minewarden.Detector.
func (*detector) Kinds() []minewarden.Kind {
	return []minewarden.Kind{minewarden.KindExec, minewarden.KindWrite, minewarden.KindFile}
}

// Observe implements minewarden.Detector.
func (d *detector) Observe(ev *minewarden.Event) []minewarden.Finding {
	switch x := ev.Data.(type) {
	case *minewarden.Exec:
		if ev.Process != nil && !x.Existing && program.OfProcess(ev.Process)&program.Downloader != 0 {
			if f := command.Args(x.Args); f.Acts.Has(command.RawHost) {
				d.fetchers.put(program.OriginOf(ev.Process).Root.Key, ev.Time)
			}
		}
	case *minewarden.File:
		return d.existing(ev, x)
	case *minewarden.Write:
		return d.written(ev, x)
	}
	return nil
}

// existing judges what was there already: only what it says counts.
func (d *detector) existing(ev *minewarden.Event, f *minewarden.File) []minewarden.Finding {
	is := spotOf(f.Path)
	if is == none || is == accounts || len(f.Head) == 0 || f.Package != "" && !f.Modified {
		return nil
	}
	v := judge(is, string(f.Head))
	if v.rule == "" {
		return nil
	}
	return d.tell(ev, f.Path, is, v, "")
}

func (d *detector) written(ev *minewarden.Event, w *minewarden.Write) []minewarden.Finding {
	path := w.Path
	if w.Op == "rename" && w.To != "" {
		path = w.To
	}
	is := spotOf(path)
	if is == none || w.Op == "delete" || w.Op == "chmod" && len(w.Head) == 0 {
		return nil
	}
	text := string(w.Head)
	v := judge(is, text)
	if v.rule != "" && (v.rule != ruleFetch || !managed(ev.Process)) {
		if v.rule == rulePreload && managed(ev.Process) {
			return nil
		}
		return d.tell(ev, path, is, v, who(ev.Process))
	}
	if managed(ev.Process) || own(is, path, text, ev.Process) {
		return nil
	}
	if is == profile || is == gitconfig || is == autostart || is == hook || is == rotate || is == accounts || is == linker {
		v = verdict{ruleChanged, 0.2, first(text)}
	} else if is == keys {
		if !hasKey(text) {
			return nil
		}
		v = verdict{ruleKey, 0.4, lastLine(text)}
	} else {
		v = verdict{ruleChanged, 0.3, first(text)}
	}
	if p := ev.Process; p != nil && is != hook && is != gitconfig {
		o := program.OriginOf(p)
		fetched, ok := d.fetchers.get(o.Root.Key)
		switch {
		case o.Kind == program.Served || program.OfProcess(p)&program.Service != 0 && program.OfProcess(p)&program.Interpreter == 0:
			v.rule, v.confidence = ruleService, 0.85
		case ok && ev.Time.Sub(fetched) <= afterFetch, p.Memfd, p.Package == "" && program.At(p.Exe)&(program.Writable|program.SystemHidden) != 0:
			v.rule, v.confidence = ruleIntrude, 0.8
		}
	}
	return d.tell(ev, path, is, v, who(ev.Process))
}

func (d *detector) tell(ev *minewarden.Event, path string, is spot, v verdict, by string) []minewarden.Finding {
	key := seenKey{path, v.rule, v.note}
	if at, ok := d.seen.get(key); ok && ev.Time.Sub(at) < again {
		return nil
	}
	d.seen.put(key, ev.Time)
	evidence := []minewarden.Evidence{{Key: "place", Value: spotNames[is]}}
	if v.note != "" {
		evidence = append(evidence, minewarden.Evidence{Key: "text", Value: v.note})
	}
	if by != "" {
		evidence = append(evidence, minewarden.Evidence{Key: "writer", Value: by})
	}
	return []minewarden.Finding{{
		Time: ev.Time, Rule: v.rule, Subject: minewarden.Subject{Type: minewarden.SubjectFile, ID: path}, Confidence: v.confidence, Evidence: evidence, Process: ev.Process,
	}}
}

func who(p *minewarden.Process) string {
	if p == nil {
		return ""
	}
	return p.Lineage()
}

// managed says that a package manager, configuration management or the init system itself writes.
func managed(p *minewarden.Process) bool {
	if p == nil {
		return false
	}
	r := program.OfProcess(p)
	return r&(program.Package|program.Configure) != 0 || r&program.Init != 0 || program.OriginOf(p).Kind == program.Managed
}

// own says that a Git server writes the hooks and keys that it keeps itself.
func own(is spot, path, text string, p *minewarden.Process) bool {
	switch is {
	case hook:
		return strings.HasSuffix(path, "/gitea") || strings.HasSuffix(path, "/forgejo") || strings.Contains(text, "ORI_DIR=") || strings.Contains(text, "AUTO GENERATED BY GITEA") || strings.Contains(text, "gitlab-shell")
	case keys:
		if p == nil || p.Base() != "gitea" && p.Base() != "forgejo" && p.Base() != "gogs" && !strings.Contains(p.Base(), "gitlab") {
			return false
		}
		for line := range lines(text) {
			if !strings.HasPrefix(line, `command="`) || !strings.Contains(line, "restrict") && !strings.Contains(line, "no-port-forwarding") {
				return false
			}
		}
		return true
	}
	return false
}

func hasKey(text string) bool {
	if text == "" {
		return true // the sensor could not read it
	}
	for line := range lines(text) {
		if strings.Contains(line, "ssh-") || strings.Contains(line, "ecdsa-") || strings.Contains(line, "sk-") {
			return true
		}
	}
	return false
}

// lastLine returns the end of the newest key: the comment says whose it is.
func lastLine(text string) string {
	last := ""
	for line := range lines(text) {
		last = line
	}
	if len(last) > 60 {
		last = "…" + strings.ToValidUTF8(last[len(last)-60:], "")
	}
	return last
}

func first(text string) string {
	for line := range lines(text) {
		return strings.ToValidUTF8(clip(line), "")
	}
	return ""
}
