package lineage

import (
	"time"

	"github.com/minewarden/minewarden"
	"github.com/minewarden/minewarden/internal/command"
)

const (
	maxChains = 2048
	// window is how long a step is remembered: loaders need seconds, staged ones minutes.
	window = 10 * time.Minute
	// together is how far apart the two ends of one pipe start.
	together   = 3 * time.Second
	maxOutputs = 8
	maxSteps   = 12
	quiet      = time.Minute // before the same rule is told again of the same origin
	quietFetch = time.Hour   // of downloads alone: health checks do one a minute
)

// A chain is what the descendants of one origin did lately.
type chain struct {
	last time.Time // of the newest step

	fetched   time.Time
	fetchedBy minewarden.ProcessKey // branch
	fetchURL  string
	fetchRaw  bool
	outputs   [maxOutputs]string // paths that were fetched or made executable; a ring
	nextOut   int
	local     string // path of the last file that came from this machine or a private network
	localAt   time.Time
	localURL  string

	pipeFrom, pipeTo end // of a pipe whose ends were seen apart

	acts   command.Act // tampering
	rivals uint64
	killed bool
	ran    bool // something that was fetched, from a temporary place
	mined  bool

	steps  [maxSteps]string // evidence
	nsteps int
	told   [len(toldRules)]time.Time
}

// An end of a pipe: a child of parent that writes what it fetched or decoded, or a shell that reads its commands.
type end struct {
	parent minewarden.ProcessKey
	at     time.Time
	raw    bool
}

// toldRules are those that are not told of again and again.
var toldRules = [...]string{ruleServiceFetch, ruleServiceTamper, rulePipe, ruleRivals, ruleTamper, ruleLoader, ruleServicePipe}

func (c *chain) step(text string) {
	if text == "" {
		return
	}
	for _, s := range c.steps[:c.nsteps] {
		if s == text {
			return
		}
	}
	if c.nsteps < maxSteps {
		c.steps[c.nsteps] = text
		c.nsteps++
	}
}

func (c *chain) output(path string) {
	if path != "" {
		c.outputs[c.nextOut%maxOutputs] = path
		c.nextOut++
	}
}

func (c *chain) wrote(path string) bool {
	for _, o := range c.outputs {
		if o != "" && o == path {
			return true
		}
	}
	return false
}

// cameFromHere says that path was fetched from this machine or a private network.
func (c *chain) cameFromHere(path string, now time.Time) bool {
	return path != "" && c.local == path && now.Sub(c.localAt) <= window
}

// mayTell says whether rule was not told of this chain lately, and notes that it is told now.
func (c *chain) mayTell(rule string, now time.Time) bool {
	for i, r := range toldRules {
		if r == rule {
			wait := quiet
			if rule == ruleServiceFetch {
				wait = quietFetch
			}
			if !c.told[i].IsZero() && now.Sub(c.told[i]) < wait {
				return false
			}
			c.told[i] = now
		}
	}
	return true
}

// chains holds the chains by origin, the oldest first out.
type chains struct {
	by    map[minewarden.ProcessKey]*chain
	order []minewarden.ProcessKey // as entered; a ring once full
	next  int
}

func (cs *chains) get(key minewarden.ProcessKey) *chain { return cs.by[key] }

func (cs *chains) make(key minewarden.ProcessKey, now time.Time) *chain {
	c := cs.by[key]
	if c == nil {
		c = &chain{}
		if len(cs.order) < maxChains {
			cs.order = append(cs.order, key)
		} else {
			delete(cs.by, cs.order[cs.next])
			cs.order[cs.next] = key
			cs.next = (cs.next + 1) % maxChains
		}
		cs.by[key] = c
	} else if now.Sub(c.last) > window {
		*c = chain{told: c.told}
	}
	c.last = now
	return c
}
