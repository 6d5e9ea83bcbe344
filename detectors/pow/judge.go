package pow

import (
	"fmt"
	"strings"
	"time"

	"github.com/minewarden/minewarden"
)

// Thresholds of the code rules. The figures in README.md say what they were measured on.
const (
	maxCode         = 256 // bytes of a sample that are looked at
	minInstructions = 4   // of a window that counts

	minPrograms    = 3               // windows of rule A; 76 of 100 are in a full-memory JIT, honest maximum is 0
	minProgramSpan = time.Second     // from the first to the last
	minSuper       = 6               // windows of rule B; honest maximum is 0
	superPercent   = 10              // of all windows; 21 to 39 measured
	minSuperSpan   = 2 * time.Second // as above
	minInter       = 3               // windows with the dataset mask, where rule C stands alone
	minInterSpan   = 3 * time.Second // as above
	minLines       = 3               // windows of rule D
	linesPercent   = 20              // of all windows; 26 to 51 measured
	minLinesSpan   = 6 * time.Second // longer than the key derivation of a wallet

	// Rule D where AES is done by tables: its code is so long that a mask and a multiplication are hardly ever in one window.
	maskedPercent   = 10 // of all windows hold the mask; 20 to 29 measured
	tablesPercent   = 20 // take numbers from tables; 28 to 34 measured
	productsPercent = 5  // multiply; 9 to 16 measured
	minTable        = 2  // numbers from tables, in a window of AES

	// Rule B per window: integer multiplications and rotations, in thousandths of the instructions; instructions; operands in
	// memory.
	superMultiply, superRotate = 120, 30
	superLength, superMemory   = 20, 1

	portableMultiply = 3 // of 32 bits, that make one of 64 bits

	minShare  = 0.05            // of a CPU, below which code is not looked at
	idlePause = 5 * time.Second // for this long

	kernelShare    = 0.6              // of all CPUs
	kernelDuration = 2 * time.Minute  // without a pause
	kernelPause    = 15 * time.Second // longer than this
	kernelPercent  = 40               // of the windows
	minKernel      = 20               // windows

	// Rounding, where neither code nor memory confirms it, waits this long for them. Then it stands alone if code was hardly
	// looked at; if code was and none of it is RandomX's, it is only a sign until some is. The slowest to show its code is a
	// light interpreter, with the mask in one window of a hundred, but it has the cache.
	soloRounding   = 5 * time.Second
	contradictedBy = 20 // windows

	likeScore = 70               // of the weights below
	likeSpan  = 60 * time.Second // that the signs persisted
)

// Weights of signs that decide nothing alone.
const (
	weightFlushed = 60 // three modes or more, with flush-to-zero, but the code is not RandomX's
	weightPlain   = 40 // three modes or more, without flush-to-zero
	weightTwo     = 20 // two modes with flush-to-zero: emulators of consoles do that too
	weightLines   = 30 // steps of CryptoNight, too few for the rule
	weightMask    = 30 // RandomX's dataset or scratchpad masks, too few for a rule
	weightDataset = 25
	weightCache   = 10
	weightCode    = 10 // generated code
	weightMSR     = 20
	weightPages   = 10 // huge or locked pages
)

// superscalar is rule B: SuperscalarHash, which builds RandomX's dataset, is dense in multiplications and rotations at once, and
// keeps to registers; other hash functions with multiplications read what they hash.
func (w *window) superscalar() bool {
	n := int(w.instructions)
	return n >= superLength && int(w.multiply)*1000 >= superMultiply*n && int(w.rotate)*1000 >= superRotate*n && w.high >= 1 &&
		w.memory <= superMemory
}

// lineMix is rule D: a step of CryptoNight, which masks an address and multiplies or encrypts what it finds there. The mask alone
// also makes room on the stack for arrays.
func (w *window) lineMix() bool {
	return w.lines > 0 && (w.product() || w.aes > 0)
}

// product is a multiplication to 128 bits, or one of 64 bits made of smaller ones.
func (w *window) product() bool { return w.high > 0 || w.multiply >= portableMultiply }

// isDataset knows RandomX's dataset, alone or merged with the cache beside it.
func isDataset(size uint64) bool {
	const dataset, cache, slack = 2181038080, 268435456, 16 << 20
	return size >= dataset && size <= dataset+slack || size >= dataset+cache && size <= dataset+cache+slack
}

// isCache knows RandomX's cache, alone or with what the allocator puts beside it.
func isCache(size uint64) bool { return size >= 256<<20 && size <= 257<<20 }

// judge decides after every piece of evidence. It speaks again only when a second kind of evidence has joined the first.
func (d *detector) judge(ev *minewarden.Event, s *state) []minewarden.Finding {
	const randomX = toldRounding | toldCode
	if s.told&randomX == randomX {
		return nil
	}
	flushed, plain, c := s.recent(ev.Time)
	v := verdict{ev: ev, s: s, flushed: &flushed, plain: &plain, code: &c}
	v.weigh()
	now, confidence := v.randomX()
	if now&^s.told != 0 {
		s.told |= now | toldLike | toldKernel
		return v.finding(ev.Process, ruleRandomX, "RandomX", confidence)
	}
	if s.told&(toldCryptoNight|randomX) == 0 {
		if confidence := v.cryptoNight(); confidence > 0 {
			s.told |= toldCryptoNight | toldLike | toldKernel
			return v.finding(ev.Process, ruleCryptoNight, "CryptoNight family", confidence)
		}
	}
	if s.told&toldLike == 0 && v.like() {
		s.told |= toldLike
		return v.finding(ev.Process, ruleLike, "RandomX or CryptoNight, unsure", 0.6)
	}
	return nil
}

// A verdict is one weighing of a state.
type verdict struct {
	ev             *minewarden.Event
	s              *state
	ended          int // processes judged together that ended; 0: one alone is judged
	flushed, plain *modes
	code           *code

	rounding, weak        bool // with and without flush-to-zero
	a, b, c, hintA, hintC bool // the rules; the hints confirm rounding but do not stand alone
	lines, soft           bool
}

// weigh applies the rules to what is recent.
func (v *verdict) weigh() {
	s, c := v.s, v.code
	v.rounding = v.flushed.random() && v.flushed.reports >= minReports && s.flushed.span() >= minRounding
	v.weak = v.plain.random() && v.plain.reports >= minReports && s.plain.span() >= minRounding
	v.a = c.programs >= minPrograms && s.program.span() >= minProgramSpan
	v.b = c.superscalar >= minSuper && c.superscalar*100 >= c.windows*superPercent && s.superscalar.span() >= minSuperSpan
	v.hintA = c.programs > 0 || c.superscalar >= 2
	v.hintC = c.dataset >= 1 && c.control >= 1 || c.dataset >= 2 && c.root >= 1
	v.c = v.hintC && c.datasets >= minInter && s.inter.span() >= minInterSpan
	v.lines = c.lines >= minLines && c.lines*100 >= c.windows*linesPercent && s.cry.span() >= minLinesSpan
	v.soft = c.masked >= minLines && c.masked*100 >= c.windows*maskedPercent && c.tables*100 >= c.windows*tablesPercent &&
		c.products*100 >= c.windows*productsPercent && s.soft.span() >= minLinesSpan
	if s.arm64 { // nobody measured these rules there: they only confirm
		v.a, v.b, v.c, v.lines, v.soft = false, false, false, false, false
	}
}

// randomX returns which kinds of evidence speak for RandomX, and the joint confidence. A rule's confidence is below what its
// trials showed, for unseen programs will differ from them. Rules B and C stand alone only where the memory agrees: their marks
// occur, if rarely, in honest code.
func (v *verdict) randomX() (told uint16, confidence float64) {
	hint := v.hintA || v.hintC
	generated := v.s.facts&(factAnonExec|factFlips) != 0
	known := v.s.facts&(factDataset|factCache) != 0
	// Processes that live for short are not sampled: that hardly any code was seen says nothing of them.
	alone := v.ended == 0 && v.code.windows < contradictedBy && v.s.flushed.span() >= soloRounding
	strong := v.rounding && (hint || known || alone) || v.weak && hint
	b := v.b && (generated || known) // SuperscalarHash is generated code
	c := v.c && known
	code := v.a || b || c || hint && strong
	switch {
	case strong && code:
		return toldRounding | toldCode, 0.99
	case strong && v.flushed.distinct() == 4:
		return toldRounding, 0.97
	case strong:
		return toldRounding, 0.95
	case v.a && b:
		return toldCode, 0.98
	case v.a:
		return toldCode, 0.97
	case b:
		return toldCode, 0.93
	case c:
		return toldCode, 0.88
	}
	return 0, 0
}

// cryptoNight returns the confidence of rule D.
func (v *verdict) cryptoNight() float64 {
	switch {
	case !v.lines && !v.soft:
		return 0
	case !v.lines:
		return 0.85
	case v.code.aes == 0 || v.code.high == 0: // in software
		return 0.88
	case v.flushed.distinct() > 0:
		return 0.96
	}
	return 0.93
}

// like adds up signs that decide nothing alone.
func (v *verdict) like() bool {
	if v.s.seen.span() < likeSpan {
		return false
	}
	score := 0
	add := func(sign bool, weight int) {
		if sign {
			score += weight
		}
	}
	add(v.rounding, weightFlushed)
	add(v.weak, weightPlain)
	add(!v.rounding && v.flushed.distinct() == 2, weightTwo)
	add(v.code.lines >= minLines, weightLines)
	add(v.code.dataset+v.code.scratchpad > 0, weightMask)
	add(v.s.facts&factDataset != 0, weightDataset)
	add(v.s.facts&factCache != 0, weightCache)
	add(v.s.facts&(factAnonExec|factFlips) != 0, weightCode)
	add(v.s.facts&factMSR != 0, weightMSR)
	add(v.s.facts&(factHugePages|factLocked) != 0, weightPages)
	return score >= likeScore
}

// hashKernel speaks when one hash function has filled the machine for kernelDuration.
func (d *detector) hashKernel(ev *minewarden.Event, s *state) []minewarden.Finding {
	_, _, c := s.recent(ev.Time)
	best := kernelNone
	for k, n := range c.kernels {
		if n > c.kernels[best] {
			best = kernel(k)
		}
	}
	n := uint32(c.kernels[best])
	if best == kernelNone || n < minKernel || n*100 < c.windows*kernelPercent || s.isPackaged(ev.Process) {
		return nil
	}
	s.told |= toldKernel
	return []minewarden.Finding{{
		Time: ev.Time, Rule: ruleKernel, Subject: minewarden.ProcessSubject(ev.Process), Process: ev.Process, Confidence: 0.3,
		Evidence: []minewarden.Evidence{
			{Key: "algorithm", Value: kernelNames[best]},
			{Key: "windows", Value: fmt.Sprintf("%d of %d code windows run it", n, c.windows)},
			{Key: "duration", Value: fmt.Sprintf("%.0f s on at least %.0f %% of %d CPUs", s.kernel.span().Seconds(), kernelShare*100, d.cpus)},
			{Key: "cpu", Value: fmt.Sprintf("%.1f s", s.cpu.Seconds())},
		},
	}}
}

// finding writes down what a person can check.
func (v *verdict) finding(who *minewarden.Process, rule, algorithm string, confidence float64) []minewarden.Finding {
	var evidence []minewarden.Evidence
	add := func(key, format string, args ...any) {
		evidence = append(evidence, minewarden.Evidence{Key: key, Value: fmt.Sprintf(format, args...)})
	}
	add("algorithm", "%s", algorithm)
	m := v.flushed
	if v.weak && !v.rounding {
		m = v.plain
	}
	if reads := sum(m.reads); reads > 0 && (m.distinct() > 1 || v.rounding) {
		add("rounding_modes", "%s", m.String())
		add("flush_to_zero", "%.1f %% of %d reads", 100*float64(m.ftz)/float64(reads), reads)
	}
	c := v.code
	if c.programs > 0 {
		add("code_rule_a", "RandomX program in %d of %d code windows", c.programs, c.windows)
	}
	if c.superscalar > 0 && (v.b || v.hintA) {
		add("code_rule_b", "SuperscalarHash in %d of %d code windows", c.superscalar, c.windows)
	}
	if v.hintC {
		add("code_rule_c", "dataset mask %d times with %d ldmxcsr and %d square roots or divisions in %d code windows",
			c.dataset, c.control, c.root, c.windows)
	}
	if c.lines > 0 && !v.soft {
		add("code_rule_d", "CryptoNight step in %d of %d code windows, %d AES rounds, %d high multiplications", c.lines, c.windows, c.aes, c.high)
	}
	if v.soft {
		add("code_rule_d", "scratchpad mask in %d, AES by tables in %d, products in %d of %d code windows", c.masked, c.tables, c.products, c.windows)
	}
	if v.s.mask != 0 {
		add("scratchpad_mask", "0x%x", v.s.mask)
	}
	if v.s.facts&(factDataset|factCache) != 0 {
		add("memory_region", "%d bytes", v.s.region)
	}
	if names := v.s.factNames(); names != "" {
		add("also", "%s", names)
	}
	if cpu := max(v.s.cpu, v.s.threadCPU); cpu > 0 {
		add("cpu", "%.1f s", cpu.Seconds())
	}
	if v.ended > 0 {
		add("processes", "%d of this program hashed and ended; what they show is added up", v.ended)
	}
	add("seen_for", "%.1f s", v.s.seen.span().Seconds())
	return []minewarden.Finding{{
		Time: v.ev.Time, Rule: rule, Subject: minewarden.ProcessSubject(who), Process: who,
		Confidence: confidence, Evidence: evidence,
	}}
}

// factNames lists the supporting facts that have no line of their own.
func (s *state) factNames() string {
	var names []string
	for _, f := range []struct {
		bit  uint16
		name string
	}{
		{factAnonExec, "generated code"},
		{factFlips, "memory switched between writable and executable"},
		{factMSR, "wrote model-specific registers"},
		{factHugePages, "asked for huge pages"},
		{factLocked, "locked its memory"},
	} {
		if s.facts&f.bit != 0 {
			names = append(names, f.name)
		}
	}
	return strings.Join(names, ", ")
}
