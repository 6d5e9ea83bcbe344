package pow

import (
	"time"

	"github.com/minewarden/minewarden"
)

const (
	maxPrograms = 512              // kept, the first that came is forgotten first
	maxGone     = 16               // processes remembered as ended, of one program
	minEnded    = 2                // processes that hashed and ended, before those of a program are judged together
	minMasks    = 3                // windows with CryptoNight's mask, a second: a wallet that is opened again and again has fewer
	tellAgain   = 10 * time.Second // of a program whose processes go on coming
)

// programKey says that processes run the same file, for the same user, in the same cgroup.
type programKey struct {
	file   minewarden.Inode
	cgroup string
	uid    uint32
}

// program adds up what the processes of one program show: a miner that starts anew every second shows too little in each.
// Only programs that ever showed a mark are kept, so there is hardly ever one.
type program struct {
	state
	gone  [maxGone]minewarden.ProcessKey // that showed marks and ended, as a ring
	ended int
	last  time.Time // when the last one ended
	told  time.Time
}

// programs holds at most maxPrograms.
type programs struct {
	byKey map[programKey]*program
	order []programKey // as they came
}

// of returns the program that the process runs, or nil where it is not kept.
func (t *programs) of(p *minewarden.Process) *program {
	if len(t.byKey) == 0 || p.Inode.Ino == 0 {
		return nil
	}
	return t.byKey[programKey{p.Inode, p.Cgroup, p.UID}]
}

// begin keeps the program from now on, with what its first process has shown.
func (t *programs) begin(p *minewarden.Process, first *state) {
	if p.Inode.Ino == 0 {
		return
	}
	if len(t.order) >= maxPrograms {
		delete(t.byKey, t.order[0])
		t.order = t.order[:copy(t.order, t.order[1:])]
	}
	key := programKey{p.Inode, p.Cgroup, p.UID}
	t.order = append(t.order, key)
	it := &program{state: *first}
	it.prev, it.next = nil, nil
	t.byKey[key] = it
}

// end notes that a process of the program, which showed marks, runs it no longer.
func (p *program) end(now time.Time, key minewarden.ProcessKey) {
	if now.Sub(p.last) > memorySpan {
		p.ended = 0
	}
	p.last = now
	p.gone[p.ended%maxGone] = key
	p.ended++
}

func (p *program) isGone(key minewarden.ProcessKey) bool {
	for i := range min(p.ended, maxGone) {
		if p.gone[i] == key {
			return true
		}
	}
	return false
}

// maker returns the process of the same program that makes the others, where there is one and it runs, else who itself.
func (p *program) maker(who *minewarden.Process) *minewarden.Process {
	maker := who
	for a := who.Parent; a != nil && a.Inode == who.Inode && !p.isGone(a.Key); a = a.Parent {
		if a.Key != who.Key {
			maker = a
		}
	}
	return maker
}

// judgeProgram decides over all processes of a program together, by the rules that stand for one. It speaks only where
// several of them have ended: of others each is judged by itself. What only adds up signs is left to judge.
func (d *detector) judgeProgram(ev *minewarden.Event, p *program, s *state) []minewarden.Finding {
	const decided = toldRounding | toldCode | toldCryptoNight
	if p == nil || p.ended < minEnded || ev.Time.Sub(p.last) > memorySpan || s.told&decided != 0 ||
		!p.told.IsZero() && ev.Time.Sub(p.told) < tellAgain {
		return nil
	}
	flushed, plain, c := p.recent(ev.Time)
	v := verdict{ev: ev, s: &p.state, ended: p.ended, flushed: &flushed, plain: &plain, code: &c}
	v.weigh()
	rule, algorithm := ruleRandomX, "RandomX"
	told, confidence := v.randomX()
	if told == 0 && float64(c.masked) >= minMasks*min(p.soft.span(), memorySpan).Seconds() {
		rule, algorithm = ruleCryptoNight, "CryptoNight family"
		told, confidence = toldCryptoNight, v.cryptoNight()
	}
	if confidence == 0 {
		return nil
	}
	s.told |= told | toldLike | toldKernel
	return v.finding(p.maker(ev.Process), rule, algorithm, confidence)
}
