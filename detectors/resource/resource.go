// Package resource sees processes that use much of the machine, or the same amount for long, as mining does and honest work may.
package resource

import (
	_ "embed"
	"time"

	"github.com/minewarden/minewarden"
)

//go:embed README.md
var doc string

// Rule ids.
const (
	ruleBusy     = "resource/busy"
	rulePlateau  = "resource/plateau"
	ruleMemory   = "resource/memory"
	ruleGPU      = "resource/gpu"
	ruleGPUAlien = "resource/gpu-unpackaged"
	ruleHandle   = "resource/gpu-handle"
)

const look = "Use of the machine is no proof of anything. If nobody expects this program to run here, look at who started it and at its connections."

var rules = []minewarden.Rule{
	{ID: ruleBusy, Title: "A process kept a processor busy for a minute", Severity: minewarden.Informational, Technique: []string{"T1496.001"}, Advice: look},
	{
		ID: rulePlateau, Title: "Equal threads of a process use a limited share of the processor without a pause", Severity: minewarden.Low, Technique: []string{"T1496.001"},
		Advice: "Look for the quota or duty cycle that holds it down. Miners limit themselves so that nobody notices them. " + look,
	},
	{
		ID: ruleMemory, Title: "A process uses far more memory than it did before", Severity: minewarden.Informational, Technique: []string{"T1496.001"},
		Advice: "RandomX takes 256 MiB or 2 GiB at once. Code that was injected into an honest process shows like this. " + look,
	},
	{ID: ruleGPU, Title: "A process kept a GPU busy for a minute", Severity: minewarden.Informational, Technique: []string{"T1496.001"}, Advice: look},
	{ID: ruleGPUAlien, Title: "A program of no package kept a GPU busy for a minute", Severity: minewarden.Low, Technique: []string{"T1496.001"}, Advice: look},
	{
		ID: ruleHandle, Title: "A program of no package holds a GPU whose use cannot be seen", Severity: minewarden.Informational, Technique: []string{"T1496.001"},
		Advice: "The vendor's own tool (nvidia-smi, rocm-smi) tells what it computes. " + look,
	},
}

type detector struct {
	processes table
	packages  bool // package names are known on this host: some process outside containers had one
	full      bool // no processor was idle when the host was last looked at
	cpus      int  // 0: unknown
}

var _ minewarden.Detector = (*detector)(nil)

// New returns the detector.
func New(minewarden.Env) (minewarden.Detector, error) { return &detector{processes: newTable()}, nil }

// Info implements minewarden.Detector.
func (*detector) Info() minewarden.Info {
	return minewarden.Info{Name: "resource", Title: "processes that use much of the machine, or the same amount for long", Doc: doc}
}

// Rules implements minewarden.Detector.
func (*detector) Rules() []minewarden.Rule { return rules }

// Kinds implements minewarden.Detector.
func (*detector) Kinds() []minewarden.Kind {
	return []minewarden.Kind{minewarden.KindUsage, minewarden.KindMemory, minewarden.KindHostUsage, minewarden.KindExec, minewarden.KindExit}
}

// Observe implements minewarden.Detector.
func (d *detector) Observe(ev *minewarden.Event) []minewarden.Finding {
	if h, ok := ev.Data.(*minewarden.HostUsage); ok {
		d.cpus = h.CPUs
		d.full = h.Interval > 0 && h.CPUs > 0 && float64(h.Busy) >= fullShare*float64(h.Interval)*float64(h.CPUs)
		return nil
	}
	if ev.Process == nil {
		return nil
	}
	switch x := ev.Data.(type) {
	case *minewarden.Exec:
		if x.Package != "" && ev.Process.Container.ID == "" {
			d.packages = true
		}
		d.processes.forget(ev.Process.Key) // another program: nothing of the old one holds
	case *minewarden.Exit:
		d.processes.forget(ev.Process.Key)
	case *minewarden.Memory:
		if s := d.processes.find(ev.Process.Key); s != nil {
			s.huge, s.locked = x.Huge, x.Locked
		}
	case *minewarden.Usage:
		if x.Interval > 0 && !ev.Process.Kernel {
			return d.usage(ev, x)
		}
	}
	return nil
}

// A claim is a finding in the making.
type claim struct {
	ev    *minewarden.Event
	found []minewarden.Finding
}

func (c *claim) tell(rule string, confidence float64, evidence ...minewarden.Evidence) {
	p := c.ev.Process
	if p.Exe != "" {
		evidence = append(evidence, minewarden.Evidence{Key: "exe", Value: p.Exe})
	}
	c.found = append(c.found, minewarden.Finding{
		Time: c.ev.Time, Rule: rule, Subject: minewarden.ProcessSubject(p), Confidence: confidence, Evidence: evidence, Process: p,
	})
}

// alien says that the program belongs to no package, where that means something.
func (d *detector) alien(p *minewarden.Process) bool {
	return p.Package == "" && d.packages && p.Exe != ""
}

func percent(part, whole float64) float64 { return 100 * part / whole }

func seconds(ns int64) time.Duration { return time.Duration(ns).Round(time.Second) }
