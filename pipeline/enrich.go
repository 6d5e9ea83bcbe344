package pipeline

import "github.com/minewarden/minewarden"

// enrich fills what the sensor left to the pipeline: boot id, process with ancestry, container, owning package.
func (p *Pipeline) enrich(ev *minewarden.Event) {
	if ev.Process == nil {
		if len(p.flows.by) > 0 {
			if k, ok := flowOf(ev.Data); ok {
				ev.Process = p.flows.who(k)
			}
		}
		return
	}
	key := ev.Process.Key
	if key.Boot == "" {
		key.Boot = p.opt.Boot
	}
	switch d := ev.Data.(type) {
	case *minewarden.Exec:
		container := p.enrichExec(key, d)
		ev.Process = p.tree.exec(key, ev.Time, d, p.opt.Boot)
		ev.Process.Container = container
		return
	case *minewarden.Fork:
		ev.Process = p.known(key, ev.Process)
		if d.Child.Boot == "" {
			d.Child.Boot = p.opt.Boot
		}
		p.tree.fork(ev.Process, d.Child, ev.Time)
		return
	case *minewarden.Image:
		ev.Process = p.known(key, ev.Process)
		if n := p.tree.node(key); n != nil && n.p.SHA256 == "" && sameFile(n.p.Inode, d.Inode) {
			c := *n.p
			c.SHA256 = d.SHA256
			if d.Package != "" {
				c.Package = d.Package
			}
			n.p = &c
			ev.Process = n.p
		}
		return
	}
	ev.Process = p.known(key, ev.Process)
	if c, ok := ev.Data.(*minewarden.Connect); ok {
		p.flows.learn(c, ev.Process)
	}
}

func sameFile(a, b minewarden.Inode) bool { return a.Dev == b.Dev && a.Ino == b.Ino }

// known returns the process of that key from the tree, or what the sensor said of it, which is then remembered.
func (p *Pipeline) known(key minewarden.ProcessKey, told *minewarden.Process) *minewarden.Process {
	if n := p.tree.node(key); n != nil {
		return n.p
	}
	c := *told
	c.Key = key
	if c.Container == (minewarden.Container{}) {
		c.Container = p.container(c.Cgroup)
	}
	if key.Start != 0 {
		// Of whom nothing is told but the pid, the program is told later: it must not become its own ancestor.
		p.tree.put(&c, c.Name != "" || c.Exe != "")
	}
	return &c
}

// enrichExec returns the container. A path inside one says nothing about the host's packages.
func (p *Pipeline) enrichExec(key minewarden.ProcessKey, x *minewarden.Exec) minewarden.Container {
	if p.opt.Host == nil {
		return minewarden.Container{}
	}
	if x.Cgroup == "" && x.CgroupID != 0 {
		x.Cgroup = p.opt.Host.CgroupPath(x.CgroupID)
		if x.Cgroup == "" {
			x.Cgroup = p.opt.Host.CgroupOf(key)
		}
	}
	if x.Cgroup == "" { // it ended already: it was where its parent is
		if parent := p.forker(key, x); parent != nil {
			x.Cgroup = parent.Cgroup
		}
	}
	c := p.container(x.Cgroup)
	if x.Package == "" && x.Exe != "" && !x.Memfd && !x.Deleted && c == (minewarden.Container{}) {
		x.Package = p.opt.Host.Owner(x.Exe, x.Inode)
	}
	return c
}

// forker returns the program that the process ran before this exec, or else who forked it; nil where neither is known.
func (p *Pipeline) forker(key minewarden.ProcessKey, x *minewarden.Exec) *minewarden.Process {
	if before := p.tree.find(key); before != nil {
		return before
	}
	if x.Parent.PID == 0 {
		return nil
	}
	return p.tree.find(x.Parent)
}

func (p *Pipeline) container(cgroup string) minewarden.Container {
	if cgroup == "" || cgroup == "/" || p.opt.Host == nil {
		return minewarden.Container{}
	}
	return p.opt.Host.Container(cgroup)
}
