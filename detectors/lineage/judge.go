package lineage

import (
	"path"
	"strings"
	"time"

	"github.com/minewarden/minewarden"
	"github.com/minewarden/minewarden/internal/command"
	"github.com/minewarden/minewarden/internal/program"
)

// A judgement is one event being weighed.
type judgement struct {
	d      *detector
	ev     *minewarden.Event
	x      *minewarden.Exec // nil for other events
	p      *minewarden.Process
	role   program.Role
	place  program.Place
	facts  *command.Facts
	origin program.Origin
	chain  *chain
	what   string // evidence where there are no facts
	found  []minewarden.Finding
}

// the returns the chain of the origin, made if need be.
func (j *judgement) the() *chain {
	if j.chain == nil {
		j.chain = j.d.chains.make(j.origin.Root.Key, j.ev.Time)
	}
	return j.chain
}

func (j *judgement) tell(rule string, confidence float64, evidence ...minewarden.Evidence) {
	if j.chain != nil && !j.chain.mayTell(rule, j.ev.Time) {
		return
	}
	kept := evidence[:0]
	for _, e := range evidence {
		if e.Value != "" {
			kept = append(kept, e)
		}
	}
	kept = append(kept, minewarden.Evidence{Key: "lineage", Value: j.p.Lineage()})
	j.found = append(j.found, minewarden.Finding{
		Time: j.ev.Time, Rule: rule, Subject: minewarden.ProcessSubject(j.p), Confidence: confidence, Evidence: kept, Process: j.p,
	})
}

func (j *judgement) note(acts command.Act) string {
	if n := j.facts.Note(acts); n != "" || j.what == "" {
		return n
	}
	return j.what
}

func (j *judgement) mining() {
	f := j.facts
	switch {
	case f.Acts.Has(command.Miner):
		j.the().mined = true
		j.tell(ruleMiner, 0.95, minewarden.Evidence{Key: "command", Value: f.Note(command.Miner)}, minewarden.Evidence{Key: "exe", Value: j.p.Exe})
	case j.role&program.Miner != 0:
		j.tell(ruleMinerName, 0.6, minewarden.Evidence{Key: "exe", Value: j.p.Exe})
	}
	if f.Acts.Has(command.MinerFetch) {
		c := j.the()
		c.mined = true
		c.step(f.Note(command.MinerFetch))
		j.tell(ruleMinerFetch, 0.9, minewarden.Evidence{Key: "command", Value: f.Note(command.MinerFetch)}, minewarden.Evidence{Key: "url", Value: f.URL})
	}
	if f.Acts.Has(command.MinerSource) {
		j.tell(ruleMinerSource, 0.7, minewarden.Evidence{Key: "command", Value: f.Note(command.MinerSource)})
	}
}

// pipes joins the two ends of "curl … | sh", which are processes of one parent, or takes the shell text's word for it.
func (j *judgement) pipes(reads bool) {
	f := j.facts
	if f.Acts.Has(command.ReverseShell) {
		j.tell(ruleReverse, 0.85, minewarden.Evidence{Key: "command", Value: f.Note(command.ReverseShell)})
	}
	if f.Acts.Has(command.PipeToShell|command.DecodeToRun) && !(f.Acts.Has(command.LocalHost) && !f.Acts.Has(command.DecodeToRun)) {
		note := f.Note(command.PipeToShell | command.DecodeToRun)
		if j.x != nil {
			note = joined(j.x.Args)
		}
		j.piped(f.Acts.Has(command.RawHost), note)
		return
	}
	if j.p.Parent == nil || j.x == nil {
		return
	}
	parent := j.p.Parent.Key
	feeds := j.role&program.Downloader != 0 && f.Acts.Has(command.Download) && !f.Acts.Has(command.LocalHost) && (f.Output == "" || f.Output == "-") ||
		j.role&program.Decoder != 0 && decodes(j.x.Args)
	switch {
	case feeds:
		c := j.the()
		c.pipeFrom = end{parent, j.ev.Time, f.Acts.Has(command.RawHost)}
	case reads:
		c := j.d.chains.get(j.origin.Root.Key)
		if c == nil && j.origin.Kind == program.Other && j.p.Parent.Key.PID <= 1 {
			return
		}
		c = j.the()
		c.pipeTo = end{parent, j.ev.Time, false}
	default:
		return
	}
	from, to := &j.chain.pipeFrom, &j.chain.pipeTo
	if from.parent == to.parent && from.parent == parent && apart(from.at, to.at) <= together {
		raw := from.raw
		*from, *to = end{}, end{}
		j.piped(raw, joined(j.x.Args))
	}
}

// joined returns the arguments as evidence, at most 300 bytes.
func joined(args []string) string {
	s := strings.Join(args[:min(len(args), 24)], " ")
	return s[:min(len(s), 300)]
}

func decodes(args []string) bool {
	for _, a := range args {
		if a == "-d" || a == "--decode" || a == "-D" || a == "-dc" || a == "-di" || a == "-r" {
			return true
		}
	}
	return false
}

func apart(a, b time.Time) time.Duration {
	if a.IsZero() || b.IsZero() {
		return window
	}
	return a.Sub(b).Abs()
}

func (j *judgement) piped(raw bool, note string) {
	c := j.the()
	c.step(note)
	e := minewarden.Evidence{Key: "command", Value: note}
	switch {
	case j.origin.Kind == program.Served:
		j.tell(ruleServicePipe, 0.9, e, minewarden.Evidence{Key: "service", Value: j.origin.Root.Name})
	case raw && j.origin.Kind == program.Install:
		j.tell(ruleInstall, 0.8, e)
	case raw:
		j.tell(ruleFetchRunOdd, 0.7, e)
	default:
		j.tell(rulePipe, 0.5, e)
	}
}

func (j *judgement) fetches() {
	f := j.facts
	if f.Acts.Has(command.Executable) && f.Target != "" && j.x != nil {
		if c := j.d.chains.get(j.origin.Root.Key); c != nil || j.origin.Kind == program.Served {
			j.the().output(absolute(f.Target, j.x.Cwd))
		}
	}
	if !f.Acts.Has(command.Download) || j.x == nil {
		return
	}
	if j.origin.Kind != program.Served && f.Acts.Has(command.LocalHost|command.Query) {
		return // people and jobs ask this machine, and others whether they live
	}
	c := j.the()
	if f.Acts.Has(command.Query) {
		j.tell(ruleServiceFetch, 0.3, minewarden.Evidence{Key: "command", Value: f.Note(command.Download)}, minewarden.Evidence{Key: "url", Value: f.URL}, minewarden.Evidence{Key: "service", Value: j.origin.Root.Name})
		return
	}
	if f.Acts.Has(command.LocalHost) { // services ask each other all day: only what was saved, and is run, counts
		if f.Output != "" && f.Output != "-" {
			c.local, c.localAt, c.localURL = absolute(f.Output, j.x.Cwd), j.ev.Time, f.URL
		}
		return
	}
	c.fetched, c.fetchedBy, c.fetchURL = j.ev.Time, j.origin.Branch, f.URL
	c.fetchRaw = f.Acts.Has(command.RawHost)
	if f.Output != "" && f.Output != "-" {
		c.output(absolute(f.Output, j.x.Cwd))
	}
	note := f.Note(command.Download)
	c.step(note)
	if j.origin.Kind == program.Served {
		j.tell(ruleServiceFetch, 0.4, minewarden.Evidence{Key: "command", Value: note}, minewarden.Evidence{Key: "url", Value: f.URL}, minewarden.Evidence{Key: "service", Value: j.origin.Root.Name})
	}
}

func absolute(file, cwd string) string {
	if strings.HasPrefix(file, "/") || cwd == "" {
		return path.Clean(file)
	}
	return path.Join(cwd, file)
}

// runs judges where a program was run from, and whether it was fetched before.
func (j *judgement) runs(odd bool) {
	x := j.x
	if x == nil {
		return
	}
	path, place := x.Exe, j.place
	if l := loaded(x); l != "" {
		path, place = l, program.At(l)
		odd = place&(program.Writable|program.SystemHidden) != 0
	}
	// A script in a temporary place counts as a program there; an interpreter's other arguments do not.
	if s := script(x); s != "" && j.role&(program.Shell|program.Interpreter) != 0 {
		path, place = s, program.At(s)
		odd = place&(program.Writable|program.SystemHidden) != 0
	}
	told := j.facts.Acts&(command.Download|command.RunWritable|command.LocalHost) == command.Download|command.RunWritable
	c := j.d.chains.get(j.origin.Root.Key)
	recent := c != nil && !c.fetched.IsZero() && j.ev.Time.Sub(c.fetched) <= window
	local := c != nil && c.cameFromHere(path, j.ev.Time)
	wrote := local || recent && c.wrote(path)
	branch := recent && c.fetchedBy == j.origin.Branch && (j.origin.Kind == program.Served || c.fetchRaw || conceals(path, place, j.facts) || x.Inode.Mtime == 0 ||
		!time.Unix(0, x.Inode.Mtime).Before(c.fetched.Add(-together)))
	if !odd && !told && !(wrote && x.Package == "") {
		return
	}
	if j.role&program.Wrapper != 0 || x.Memfd && runtimeCopy(j.p) {
		return
	}
	where := minewarden.Evidence{Key: "path", Value: path}
	if told && !odd {
		where = minewarden.Evidence{Key: "command", Value: j.facts.Note(command.RunWritable)}
	}
	var from minewarden.Evidence
	if local {
		from = minewarden.Evidence{Key: "url", Value: c.localURL}
	} else if recent {
		from = minewarden.Evidence{Key: "url", Value: c.fetchURL}
	}
	fetched := wrote || branch && odd || told
	if fetched {
		c = j.the()
		c.ran = true
		c.step(where.Value)
	}
	hides := conceals(path, place, j.facts)
	svc := minewarden.Evidence{Key: "service", Value: j.origin.Root.Name}
	switch {
	case j.origin.Kind == program.Served && fetched:
		confidence := 0.9
		switch {
		case !odd && !told && !c.fetchRaw: // some schedulers' jobs begin so, in a directory of their own
			confidence = 0.75
		case wrote:
			confidence = 0.95
		}
		j.tell(ruleServiceChain, confidence, where, from, svc)
	case j.origin.Kind == program.Served && odd:
		j.tell(ruleServiceRun, 0.6, where, svc)
	case fetched && j.origin.Kind == program.Install && (c.fetchRaw || hides):
		j.tell(ruleInstall, 0.8, where, from)
	case fetched && (c.fetchRaw || hides):
		j.tell(ruleFetchRunOdd, 0.7, where, from)
	case fetched && (odd || told):
		j.tell(ruleFetchRun, 0.5, where, from)
	}
	switch {
	case place&program.Memory != 0:
		j.memory(where)
	case x.Deleted && place&program.Writable != 0:
		j.tell(ruleDeleted, 0.6, where)
	case strings.HasPrefix(path, "/dev/shm/"):
		j.tell(ruleShared, 0.5, where)
	}
	j.loader()
}

// conceals says that where a program is hides it.
func conceals(path string, place program.Place, facts *command.Facts) bool {
	return place&(program.Hidden|program.SystemHidden|program.Memory) != 0 || strings.HasPrefix(path, "/dev/shm/") || facts.Acts.Has(command.RunHidden)
}

// loaded returns the program that the dynamic loader was told to run, or "".
func loaded(x *minewarden.Exec) string {
	base := program.Base(x.Exe)
	if !strings.HasPrefix(base, "ld-linux") && !strings.HasPrefix(base, "ld-musl") && !strings.HasPrefix(base, "ld64.so") && !(strings.HasPrefix(base, "ld-2") && strings.HasSuffix(base, ".so")) {
		return ""
	}
	for i := 1; i < len(x.Args); i++ {
		switch a := x.Args[i]; a {
		case "--library-path", "--inhibit-rpath", "--audit", "--preload", "--argv0", "--glibc-hwcaps-prepend", "--glibc-hwcaps-mask":
			i++
		default:
			if a != "" && a[0] != '-' {
				return absolute(a, x.Cwd)
			}
		}
	}
	return ""
}

// script returns what an interpreter was given to run.
func script(x *minewarden.Exec) string {
	if x.Script != "" {
		return x.Script
	}
	for _, a := range x.Args[min(1, len(x.Args)):] {
		if a == "-c" || a == "-e" || a == "-m" {
			return ""
		}
		if a != "" && a[0] != '-' {
			if a[0] == '/' {
				return a
			}
			if x.Cwd != "" {
				return path.Join(x.Cwd, a)
			}
			return ""
		}
	}
	return ""
}
