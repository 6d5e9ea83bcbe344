package pipeline

import (
	"time"

	"github.com/minewarden/minewarden"
)

const (
	// maxProcesses bounds the process table: twice the default pid_max of a 32-bit kernel. When it is full the oldest
	// dead entry goes first, then any.
	maxProcesses = 65536
	// deadFor is how long an exited process can still be found: samples and flows of it arrive late, by seconds.
	deadFor = 30 * time.Second
	// maxDead bounds them where many short programs are started: four seconds of 2,000 a second.
	maxDead = 8192
)

// tree holds every process by pid. Ancestry is in Process.Parent and outlives the table.
type tree struct {
	boot  string
	procs map[int32]*node
	dead  []grave // in order of exit
}

type node struct {
	p      *minewarden.Process
	depth  int
	execed bool // it ran a program of its own since the fork
	dead   bool
}

type grave struct {
	pid  int32
	at   time.Time
	node *node
}

func newTree(boot string) tree {
	return tree{boot: boot, procs: make(map[int32]*node)}
}

// find returns the process of that key. Start 0 means whoever has the pid now.
func (t *tree) find(key minewarden.ProcessKey) *minewarden.Process {
	if n := t.node(key); n != nil {
		return n.p
	}
	return nil
}

func (t *tree) node(key minewarden.ProcessKey) *node {
	n := t.procs[key.PID]
	if n == nil || (key.Start != 0 && n.p.Key.Start != key.Start) {
		return nil
	}
	return n
}

func (t *tree) put(p *minewarden.Process, execed bool) {
	depth := 0
	if p.Parent != nil {
		depth = t.depthOf(p.Parent) + 1
		if depth >= minewarden.MaxAncestors {
			p.Parent = shorten(p.Parent, minewarden.MaxAncestors/2)
			depth = minewarden.MaxAncestors/2 + 1
		}
	}
	if n := t.procs[p.Key.PID]; n != nil {
		// The grave of an earlier process with this pid points at the old node, so it will not take this one along.
		t.procs[p.Key.PID] = &node{p: p, depth: depth, execed: execed}
		return
	}
	if len(t.procs) >= maxProcesses {
		t.evict()
	}
	t.procs[p.Key.PID] = &node{p: p, depth: depth, execed: execed}
}

func (t *tree) depthOf(p *minewarden.Process) int {
	if n := t.procs[p.Key.PID]; n != nil && n.p == p {
		return n.depth
	}
	d := 0
	for a := p.Parent; a != nil; a = a.Parent {
		d++
	}
	return d
}

// shorten copies the nearest keep ancestors of a chain: processes are immutable, so the far end cannot be cut in place.
func shorten(p *minewarden.Process, keep int) *minewarden.Process {
	c := *p
	if keep <= 1 || p.Parent == nil {
		c.Parent = nil
	} else {
		c.Parent = shorten(p.Parent, keep-1)
	}
	return &c
}

func (t *tree) evict() {
	if len(t.dead) > 0 {
		t.bury(t.dead[0])
		t.dead = t.dead[1:]
		return
	}
	for pid := range t.procs {
		delete(t.procs, pid)
		return
	}
}

func (t *tree) bury(g grave) {
	if t.procs[g.pid] == g.node {
		delete(t.procs, g.pid)
	}
}

// expire forgets processes that ended long ago.
func (t *tree) expire(now time.Time) {
	i := 0
	for i < len(t.dead) && now.Sub(t.dead[i].at) > deadFor {
		t.bury(t.dead[i])
		i++
	}
	if i > 0 {
		t.dead = append(t.dead[:0], t.dead[i:]...)
	}
}

// after takes the consequences of an event that every detector has seen.
func (t *tree) after(ev *minewarden.Event) {
	if ev.Process == nil || ev.Data.Kind() != minewarden.KindExit {
		return
	}
	if n := t.node(ev.Process.Key); n != nil && !n.dead {
		n.dead = true
		t.dead = append(t.dead, grave{ev.Process.Key.PID, ev.Time, n})
		if len(t.dead) >= 2*maxDead {
			for _, g := range t.dead[:maxDead] {
				t.bury(g)
			}
			t.dead = append(t.dead[:0], t.dead[maxDead:]...)
		}
	}
}

// fork enters the child: until it runs a program of its own it is the same program as its parent.
func (t *tree) fork(parent *minewarden.Process, child minewarden.ProcessKey, at time.Time) {
	if n := t.node(child); n != nil {
		return // its exec was seen first
	}
	c := *parent
	c.Key, c.Parent, c.Started, c.Existing = child, parent, at, false
	t.put(&c, false)
}

// exec enters the program that a process now runs.
func (t *tree) exec(key minewarden.ProcessKey, at time.Time, x *minewarden.Exec, boot string) *minewarden.Process {
	p := &minewarden.Process{
		Key: key, Name: x.Name, Exe: x.Exe, Args: x.Args, Cwd: x.Cwd, UID: x.UID, Started: at, Cgroup: x.Cgroup,
		Package: x.Package, Inode: x.Inode, Memfd: x.Memfd, Deleted: x.Deleted, Kernel: x.Kernel, Existing: x.Existing,
	}
	parentKey := x.Parent
	if parentKey.Boot == "" {
		parentKey.Boot = boot
	}
	if n := t.node(key); n != nil {
		switch {
		case n.execed && x.Existing: // told twice, by two sensors
			p.Parent = n.p.Parent
		case n.execed:
			p.Parent = n.p
		default:
			p.Parent = n.p.Parent
		}
	}
	if p.Parent == nil && x.Parent.PID != 0 {
		if p.Parent = t.find(parentKey); p.Parent == nil && x.ParentName != "" {
			p.Parent = &minewarden.Process{Key: parentKey, Name: x.ParentName}
		}
	}
	t.put(p, true)
	return p
}
