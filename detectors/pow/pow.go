// Package pow recognises proof-of-work by what the processor computes: by the rounding modes of floating-point arithmetic,
// which RandomX changes from its data, and by the code of the loop that is running. Names, ports and CPU use play no part.
package pow

import (
	_ "embed"
	"strings"
	"time"

	"github.com/minewarden/minewarden"
)

//go:embed README.md
var doc string

// The rules. Their text for people is in Rules.
const (
	ruleRandomX     = "pow/randomx"
	ruleCryptoNight = "pow/cryptonight"
	ruleLike        = "pow/mining-like"
	ruleKernel      = "pow/hash-kernel"
)

type detector struct {
	table    table
	programs programs
	cpus     int // of the host; 0: not known yet
}

var _ minewarden.Detector = (*detector)(nil)

// New returns the detector. It has no configuration: its thresholds are measured.
func New(minewarden.Env) (minewarden.Detector, error) {
	return &detector{
		table:    table{byKey: map[minewarden.ProcessKey]*state{}},
		programs: programs{byKey: map[programKey]*program{}},
	}, nil
}

// Info implements minewarden.Detector.
func (*detector) Info() minewarden.Info {
	return minewarden.Info{Name: "pow", Title: "proof-of-work, recognised by what the processor computes", Doc: doc}
}

// Rules implements minewarden.Detector.
func (*detector) Rules() []minewarden.Rule {
	technique := []string{"T1496.001"}
	return []minewarden.Rule{
		{
			ID: ruleRandomX, Severity: minewarden.Critical, Technique: technique,
			Title: "The process computes RandomX, the proof-of-work of Monero",
			Advice: "Unless you run a Monero node or miner here yourself, freeze the process, keep its memory as evidence, " +
				"and find what started it from its lineage before you kill it.",
		},
		{
			ID: ruleCryptoNight, Severity: minewarden.High, Technique: technique,
			Title: "The process computes a hash of the CryptoNight family without pause",
			Advice: "A Monero wallet does so for seconds when it opens; anything longer is mining. Freeze the process, keep its " +
				"memory as evidence, and find what started it.",
		},
		{
			ID: ruleLike, Severity: minewarden.Medium, Technique: technique,
			Title:  "The process has several marks of a RandomX or CryptoNight miner, none of them decisive",
			Advice: "Look at the program and who started it. Numerical test suites and emulators of other processors come closest.",
		},
		{
			ID: ruleKernel, Severity: minewarden.Low, Technique: technique,
			Title:  "An unpackaged program has run one hash function on most processors for minutes",
			Advice: "Password crackers, checksum and backup jobs look the same: check whether somebody here wanted it to run.",
		},
	}
}

// Kinds implements minewarden.Detector.
func (*detector) Kinds() []minewarden.Kind {
	return []minewarden.Kind{
		minewarden.KindRounding, minewarden.KindSample, minewarden.KindMemory, minewarden.KindProtect, minewarden.KindUsage,
		minewarden.KindTune, minewarden.KindExec, minewarden.KindExit, minewarden.KindImage, minewarden.KindHostUsage,
	}
}

// Observe implements minewarden.Detector.
func (d *detector) Observe(ev *minewarden.Event) []minewarden.Finding {
	if host, ok := ev.Data.(*minewarden.HostUsage); ok {
		d.cpus = host.CPUs
		return nil
	}
	if ev.Process == nil {
		return nil
	}
	key := ev.Process.Key
	switch data := ev.Data.(type) {
	case *minewarden.Rounding:
		return d.rounding(ev, data)
	case *minewarden.Sample:
		return d.sample(ev, data)
	case *minewarden.Usage:
		if s := d.table.get(key); s != nil {
			return d.usage(ev, s, data)
		}
	case *minewarden.Memory:
		d.memory(key, data)
	case *minewarden.Protect:
		if s := d.table.get(key); s != nil {
			s.facts |= factFlips
		}
	case *minewarden.Tune:
		switch data.What {
		case "msr":
			d.table.touch(key).facts |= factMSR
		case "hugepages":
			d.table.touch(key).facts |= factHugePages
		case "mlock":
			d.table.touch(key).facts |= factLocked
		}
	case *minewarden.Image:
		if data.Modified {
			d.table.touch(key).facts |= factModified
		}
	case *minewarden.Exec:
		if !data.Existing {
			d.end(ev.Time, key)
		}
	case *minewarden.Exit:
		d.end(ev.Time, key)
	}
	return nil
}

// rounding counts a thread's report. Threads that compute as everybody does are not worth a state.
func (d *detector) rounding(ev *minewarden.Event, r *minewarden.Rounding) []minewarden.Finding {
	reads := sum([4]uint32{r.Near, r.Down, r.Up, r.Zero})
	flushed := uint64(r.FTZ)*2 >= reads
	directed := reads > uint64(r.Near)
	if reads == 0 || !flushed && !directed {
		return nil
	}
	s := d.table.touch(ev.Process.Key)
	s.addReport(ev.Time, r, flushed, directed)
	p := d.together(ev.Process, s)
	if p != nil {
		p.addReport(ev.Time, r, flushed, directed)
	}
	if !directed && s.flushed.first == 0 {
		return nil
	}
	return d.decide(ev, s, p)
}

func (s *state) addReport(now time.Time, r *minewarden.Rounding, flushed, directed bool) {
	b := s.bucket(now)
	if flushed {
		b.flushed.add(r)
		if directed || s.flushed.first != 0 {
			s.flushed.touch(now)
		}
	} else {
		b.plain.add(r)
		s.plain.touch(now)
	}
	s.seen.touch(now)
	s.threadCPU += max(r.CPU, 0)
}

// together returns the program whose processes are added up with s, or nil.
func (d *detector) together(who *minewarden.Process, s *state) *program {
	if p := d.programs.of(who); p != nil {
		s.of = p
	}
	return s.of
}

// decide judges a process that has just shown a mark, and with it all of its program.
func (d *detector) decide(ev *minewarden.Event, s *state, p *program) []minewarden.Finding {
	s.marked = true
	found := d.judge(ev, s)
	if p == nil {
		d.programs.begin(ev.Process, s)
		d.together(ev.Process, s)
		return found
	}
	if found == nil {
		found = d.judgeProgram(ev, p, s)
	}
	if found != nil {
		p.told = ev.Time
	}
	return found
}

// end forgets a process that ended, or began another program.
func (d *detector) end(now time.Time, key minewarden.ProcessKey) {
	if s := d.table.get(key); s != nil && s.of != nil && s.marked {
		s.of.end(now, key)
	}
	d.table.drop(key)
}

// sample looks at the code of a thread that burns CPU.
func (d *detector) sample(ev *minewarden.Event, sample *minewarden.Sample) []minewarden.Finding {
	s := d.table.touch(ev.Process.Key)
	if ev.Time.Before(s.idle) {
		return nil
	}
	if second := ev.Time.Unix(); second != s.second {
		s.second, s.windows = second, 0
	}
	if s.windows >= maxWindows {
		return nil
	}
	s.windows++
	var w window
	switch sample.Arch {
	case "amd64":
		measureAMD64(sample.Code[:min(len(sample.Code), maxCode)], &w)
	case "arm64":
		measureARM64(sample.Code[:min(len(sample.Code), maxCode)], &w)
	default:
		return nil
	}
	if w.instructions < minInstructions {
		return nil
	}
	if sample.Anon {
		s.facts |= factAnonExec
	}
	s.arm64 = sample.Arch == "arm64"
	hit := s.addWindow(ev.Time, &w)
	p := d.together(ev.Process, s)
	if p != nil {
		p.facts |= s.facts
		p.arm64 = s.arm64
		p.addWindow(ev.Time, &w)
	}
	if !hit {
		return nil
	}
	return d.decide(ev, s, p)
}

// addWindow counts a window, and says whether it held anything that a rule asks for.
func (s *state) addWindow(now time.Time, w *window) bool {
	c := &s.bucket(now).code
	c.windows++
	c.instructions += uint32(w.instructions)
	c.scratchpad += uint32(w.scratchpad)
	c.dataset += uint32(w.dataset)
	c.control += uint32(w.control)
	c.root += uint32(w.root)
	c.aes += uint32(w.aes)
	c.high += uint32(w.high)
	if w.mask != 0 {
		s.mask = w.mask
	}
	hit := false
	if w.program() {
		c.programs++
		s.program.touch(now)
		hit = true
	}
	if w.superscalar() {
		c.superscalar++
		s.superscalar.touch(now)
		hit = true
	}
	if w.dataset > 0 {
		c.datasets++
		s.inter.touch(now)
		hit = true
	}
	if w.lineMix() {
		c.lines++
		s.cry.touch(now)
		hit = true
	}
	if w.lines > 0 {
		c.masked++
		s.soft.touch(now)
		hit = true
	}
	if w.table >= minTable {
		c.tables++
	}
	if w.product() {
		c.products++
	}
	if hit {
		s.seen.touch(now)
	} else if k := w.kernel(); k != kernelNone {
		c.kernels[k]++
	}
	return hit
}

// usage notes what the process burns: without that, code is not worth a look.
func (d *detector) usage(ev *minewarden.Event, s *state, u *minewarden.Usage) []minewarden.Finding {
	if u.Interval <= 0 || u.CPU < 0 {
		return nil
	}
	s.cpu += u.CPU
	if float64(u.CPU) < minShare*float64(u.Interval) {
		s.idle = ev.Time.Add(idlePause)
	} else {
		s.idle = time.Time{}
	}
	if d.cpus > 0 && float64(u.CPU) >= kernelShare*float64(d.cpus)*float64(u.Interval) {
		s.kernel.touchWithin(ev.Time, kernelPause)
		if s.kernel.span() >= kernelDuration && s.told&toldKernel == 0 {
			return d.hashKernel(ev, s)
		}
	}
	return nil
}

// memory looks for the sizes of RandomX's tables. A process is not remembered for less than the dataset.
func (d *detector) memory(key minewarden.ProcessKey, m *minewarden.Memory) {
	s := d.table.get(key)
	for _, size := range m.Regions {
		if isDataset(size) {
			s = d.table.touch(key)
			s.facts |= factDataset
			s.region = size
		} else if s != nil && isCache(size) && s.facts&factDataset == 0 {
			s.facts |= factCache
			s.region = size
		}
	}
	if s != nil && m.AnonExec > 0 {
		s.facts |= factAnonExec
	}
}

// isPackaged says that the program is one that a distribution gave out, and unchanged.
func (s *state) isPackaged(p *minewarden.Process) bool {
	return strings.TrimSpace(p.Package) != "" && s.facts&factModified == 0 && !p.Deleted && !p.Memfd
}
