// Package lineage sees what services and scripts start: shells that fetch and run programs, miners on command lines, loaders
// that weaken a machine's defences, and programs without a file.
package lineage

import (
	_ "embed"
	"strings"

	"github.com/minewarden/minewarden"
	"github.com/minewarden/minewarden/internal/command"
	"github.com/minewarden/minewarden/internal/program"
)

//go:embed README.md
var doc string

type detector struct {
	chains chains
	facts  command.Facts // of the event in hand: kept here so that it does not escape to the heap each time
}

var _ minewarden.Detector = (*detector)(nil)

// New returns the detector.
func New(minewarden.Env) (minewarden.Detector, error) {
	return &detector{chains: chains{by: make(map[minewarden.ProcessKey]*chain)}}, nil
}

// Info implements minewarden.Detector.
func (*detector) Info() minewarden.Info {
	return minewarden.Info{Name: "lineage", Title: "what services and scripts start", Doc: doc}
}

// Rules implements minewarden.Detector.
func (*detector) Rules() []minewarden.Rule { return rules }

// Kinds implements minewarden.Detector.
func (*detector) Kinds() []minewarden.Kind {
	return []minewarden.Kind{minewarden.KindExec, minewarden.KindWrite, minewarden.KindTune}
}

// Observe implements minewarden.Detector.
func (d *detector) Observe(ev *minewarden.Event) []minewarden.Finding {
	if ev.Process == nil {
		return nil
	}
	switch x := ev.Data.(type) {
	case *minewarden.Exec:
		return d.exec(ev, x)
	case *minewarden.Write:
		return d.write(ev, x)
	case *minewarden.Tune:
		if x.What == "hugepages" || x.What == "msr" || x.What == "watchdog" {
			o := program.OriginOf(ev.Process)
			if c := d.chains.get(o.Root.Key); c != nil && ev.Time.Sub(c.last) <= window && o.Kind != program.Managed {
				j := judgement{d: d, ev: ev, p: ev.Process, origin: o, chain: c}
				c.acts |= command.Tuning
				c.step("tunes " + x.What + " " + x.Value)
				j.loader()
				return j.found
			}
		}
	}
	return nil
}

func (d *detector) exec(ev *minewarden.Event, x *minewarden.Exec) []minewarden.Finding {
	if x.Kernel || x.Exe == "" && len(x.Args) == 0 {
		return nil
	}
	p := ev.Process
	role := program.OfProcess(p)
	args := x.Args
	if len(args) > 0 && role&program.Downloader != 0 && program.Of(program.Base(args[0])) == 0 {
		args = append([]string{x.Exe}, args[1:]...) // a first argument that hides what runs
	}
	d.facts = command.Args(args)
	facts := &d.facts
	place := program.At(x.Exe)
	if x.Memfd {
		place |= program.Memory
	}
	reads := role&(program.Shell|program.Interpreter) != 0 && readsStdin(x.Args)
	odd := x.Package == "" && (place&(program.Writable|program.SystemHidden|program.Memory) != 0 || x.Deleted)
	if facts.Acts == 0 && !odd && !reads && role&(program.Downloader|program.Decoder|program.Miner) == 0 && x.Preload == "" && loaded(x) == "" && !d.brought(p, x) {
		return nil
	}
	j := judgement{d: d, ev: ev, x: x, p: p, role: role, place: place, facts: facts, origin: program.OriginOf(p)}
	if j.origin.Kind == program.Managed && facts.Acts&(command.Miner|command.MinerFetch) == 0 && role&program.Miner == 0 {
		return nil
	}
	j.mining()
	if !x.Existing || odd {
		j.pipes(reads)
		j.fetches()
		j.runs(odd)
		j.preloads()
		j.tampers()
	}
	return j.found
}

// brought says that the program is one that its lineage fetched or made executable lately, wherever it lies.
func (d *detector) brought(p *minewarden.Process, x *minewarden.Exec) bool {
	if x.Package != "" || x.Existing || len(d.chains.by) == 0 {
		return false
	}
	c := d.chains.get(program.OriginOf(p).Root.Key)
	return c != nil && (c.wrote(x.Exe) || c.local == x.Exe)
}

// write takes in what redirections and builtins of a shell did, which start no program.
func (d *detector) write(ev *minewarden.Event, w *minewarden.Write) []minewarden.Finding {
	act := command.Act(0)
	switch {
	case w.Op == "chmod" && w.Mode&0o111 != 0 && program.InWritable(w.Path):
		act = command.Executable
	case strings.HasPrefix(w.Path, "/proc/sys/kernel/nmi_watchdog"), strings.HasPrefix(w.Path, "/proc/sys/vm/nr_hugepages"):
		act = command.Tuning
	case w.Op == "delete" && (strings.HasSuffix(w.Path, "/.bash_history") || strings.HasSuffix(w.Path, "/.zsh_history")):
		act = command.History
	case w.Op == "delete" && (w.Path == "/var/log/wtmp" || w.Path == "/var/log/btmp" || w.Path == "/var/log/lastlog" || w.Path == "/var/log/auth.log" || w.Path == "/var/log/secure"):
		act = command.Logs
	default:
		return nil
	}
	o := program.OriginOf(ev.Process)
	role := program.OfProcess(ev.Process)
	if o.Kind == program.Managed || role&(program.Package|program.Configure|program.Init) != 0 || ev.Process.Base() == "logrotate" {
		return nil
	}
	facts := command.Facts{Acts: act}
	j := judgement{d: d, ev: ev, p: ev.Process, role: role, facts: &facts, origin: o, what: w.Op + " " + w.Path}
	if act == command.Executable {
		j.the().output(w.Path)
		return nil
	}
	j.tampers()
	return j.found
}

// readsStdin says that an interpreter was given neither a script nor a command.
func readsStdin(args []string) bool {
	if len(args) == 0 || strings.HasPrefix(args[0], "-") {
		return false // a login shell
	}
	for _, a := range args[1:] {
		if a == "-" || a == "-s" {
			return true
		}
		if a == "" || a[0] != '-' || a == "-c" || a == "-i" || a == "-l" || a == "--login" || strings.HasSuffix(a, "c") && !strings.HasPrefix(a, "--") || a == "-m" || a == "-jar" || strings.HasPrefix(a, "--version") || a == "-V" || a == "-v" {
			return false
		}
	}
	return len(args) < 4
}
