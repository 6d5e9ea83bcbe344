package pow

import (
	"time"

	"github.com/minewarden/minewarden"
)

const (
	maxProcesses = 4096            // kept, the least recently suspicious is forgotten first; at most 1.5 KiB each
	bucketSpan   = 5 * time.Second // of event time
	numBuckets   = 8               // so evidence counts for 35 to 40 s: a process under a 10 % quota gives few reads
	memorySpan   = numBuckets * bucketSpan
	maxWindows   = 60 // code windows looked at per process and second of event time
)

// A bucket holds the evidence of bucketSpan.
type bucket struct {
	epoch   int64 // which span; 0: unused
	flushed modes // of reports with flush-to-zero in at least half of the reads
	plain   modes // of other reports with directed modes
	code    code
}

// code sums windows.
type code struct {
	windows      uint32
	programs     uint32 // windows of rule A
	superscalar  uint32 // rule B
	datasets     uint32 // windows with the dataset mask
	scratchpad   uint32 // masks
	dataset      uint32 // masks
	control      uint32 // ldmxcsr
	root         uint32
	lines        uint32 // rule D
	masked       uint32 // windows with a CryptoNight scratchpad mask, whatever is beside it
	tables       uint32 // windows of AES by tables
	products     uint32 // windows that multiply to 128 bits
	aes          uint32
	high         uint32
	instructions uint32
	kernels      [numKernels]uint16 // windows; maxWindows keeps them small
}

func (c *code) merge(o *code) {
	c.windows += o.windows
	c.programs += o.programs
	c.superscalar += o.superscalar
	c.datasets += o.datasets
	c.scratchpad += o.scratchpad
	c.dataset += o.dataset
	c.control += o.control
	c.root += o.root
	c.lines += o.lines
	c.masked += o.masked
	c.tables += o.tables
	c.products += o.products
	c.aes += o.aes
	c.high += o.high
	c.instructions += o.instructions
	for i, n := range o.kernels {
		c.kernels[i] += n
	}
}

// A streak is how long something has been seen again and again, without a pause of memorySpan. Times are Unix nanoseconds.
type streak struct{ first, last int64 }

func (s *streak) touch(now time.Time) { s.touchWithin(now, memorySpan) }

// touchWithin allows pauses of another length.
func (s *streak) touchWithin(now time.Time, pause time.Duration) {
	at := now.UnixNano()
	if s.first == 0 || at-s.last > int64(pause) {
		s.first = at
	}
	s.last = at
}

func (s *streak) span() time.Duration { return time.Duration(s.last - s.first) }

// Supporting facts, as state.facts.
const (
	factDataset  = 1 << iota // a region of the size of RandomX's dataset
	factCache                // a region of the size of RandomX's cache
	factAnonExec             // generated code
	factFlips                // W^X changes
	factMSR
	factHugePages
	factLocked
	factModified // the executable is not what its package installed
)

// What was told, as state.told.
const (
	toldRounding = 1 << iota
	toldCode
	toldCryptoNight
	toldLike
	toldKernel
)

// state is what is known of one program run: all threads of a process, from its exec on.
type state struct {
	key        minewarden.ProcessKey
	prev, next *state
	buckets    [numBuckets]bucket

	flushed, plain                   streak // of reports
	program, superscalar, inter, cry streak // of windows
	soft                             streak // of windows with masks
	seen                             streak // anything of the above

	of     *program // with whose other processes it is judged; nil: none
	marked bool     // decide was asked: it showed a mark

	facts  uint16
	told   uint16
	region uint64 // the size that made factDataset or factCache
	mask   uint32 // the last scratchpad mask
	arm64  bool   // of the last sample

	second  int64 // of the last sample, and the windows looked at in it
	windows int

	idle      time.Time     // until when samples are not worth a look
	cpu       time.Duration // since first seen, from Usage
	threadCPU time.Duration // since first seen, from Rounding
	kernel    streak        // of most of the machine being used by a hash kernel
}

// bucket returns the one for now, cleared of what is older than memorySpan.
func (s *state) bucket(now time.Time) *bucket {
	epoch := now.UnixNano() / int64(bucketSpan)
	b := &s.buckets[uint64(epoch)%numBuckets]
	if b.epoch != epoch {
		*b = bucket{epoch: epoch}
	}
	return b
}

// recent sums what is not older than memorySpan.
func (s *state) recent(now time.Time) (flushed, plain modes, sums code) {
	epoch := now.UnixNano() / int64(bucketSpan)
	for i := range s.buckets {
		b := &s.buckets[i]
		if b.epoch > epoch-numBuckets && b.epoch <= epoch && b.epoch != 0 {
			flushed.merge(&b.flushed)
			plain.merge(&b.plain)
			sums.merge(&b.code)
		}
	}
	return flushed, plain, sums
}

// A table holds the states of at most maxProcesses processes, most recently touched first.
type table struct {
	byKey map[minewarden.ProcessKey]*state
	head  *state // most recent
	tail  *state
}

func (t *table) get(key minewarden.ProcessKey) *state { return t.byKey[key] }

// touch returns the state of key, made if need be, as the most recent one.
func (t *table) touch(key minewarden.ProcessKey) *state {
	s := t.byKey[key]
	switch {
	case s == nil:
		if len(t.byKey) >= maxProcesses {
			t.drop(t.tail.key)
		}
		s = &state{key: key}
		t.byKey[key] = s
	case s == t.head:
		return s
	default:
		t.unlink(s)
	}
	s.next = t.head
	if t.head != nil {
		t.head.prev = s
	}
	t.head = s
	if t.tail == nil {
		t.tail = s
	}
	return s
}

func (t *table) drop(key minewarden.ProcessKey) {
	if s := t.byKey[key]; s != nil {
		t.unlink(s)
		delete(t.byKey, key)
	}
}

func (t *table) unlink(s *state) {
	if s.prev != nil {
		s.prev.next = s.next
	} else {
		t.head = s.next
	}
	if s.next != nil {
		s.next.prev = s.prev
	} else {
		t.tail = s.prev
	}
	s.prev, s.next = nil, nil
}
