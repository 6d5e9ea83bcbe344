package incidents

import (
	"slices"
	"strings"
	"time"

	"github.com/minewarden/minewarden"
)

// wrapperAge is how much older than what it started a shell or wrapper may be and still be there for that alone, in the unit of
// ProcessKey.Start. Older ones are somebody's session, or a tool that runs many things.
const wrapperAge = 60 * minewarden.TicksPerSecond

// addMember makes the process of f a member, with the shells and wrappers that would start it again, and reports whether
// evidence against it is new.
func (c *Correlator) addMember(s *story, f *minewarden.Finding, rule minewarden.Rule) bool {
	p := f.Process
	if p == nil {
		return false
	}
	weak := !strong(rule.Severity)
	if i, ok := s.members[p.Key]; ok {
		m := &s.inc.Members[i]
		describe(m, p)
		delete(s.born, p.Key)
		m.Severity = max(m.Severity, rule.Severity)
		if weak || !m.Weak {
			return false
		}
		m.Weak = false
		c.addWrappers(s, p, f.Time)
		return true
	}
	c.know(s, p.Key)
	m := minewarden.Member{Key: p.Key, Since: f.Time, Severity: rule.Severity, Weak: weak}
	describe(&m, p)
	if !c.appendMember(s, m) {
		return false
	}
	if !weak {
		c.addWrappers(s, p, f.Time)
	}
	return true
}

func (c *Correlator) addWrappers(s *story, p *minewarden.Process, t time.Time) {
	for a := p; a.Parent != nil && wraps(a.Parent) && !border(a, a.Parent); a = a.Parent {
		up := a.Parent
		if p.Key.Start-min(up.Key.Start, p.Key.Start) > wrapperAge {
			return
		}
		if i, ok := s.members[up.Key]; ok {
			s.inc.Members[i].Weak = false
			continue
		}
		if c.procs[up.Key] != nil && c.procs[up.Key] != s {
			return
		}
		m := minewarden.Member{Key: up.Key, Since: t}
		describe(&m, up)
		c.know(s, up.Key)
		if !c.appendMember(s, m) {
			return
		}
	}
}

func describe(m *minewarden.Member, p *minewarden.Process) {
	if p.Parent != nil {
		m.Parent = p.Parent.Key
	}
	m.Name, m.Exe, m.Container, m.Cgroup, m.Before = p.Name, p.Exe, p.Container, p.Cgroup, p.Existing
	m.Args = p.Args[:min(len(p.Args), maxEvidence)]
	uid := p.UID
	m.UID = &uid
	if p.SHA256 != "" {
		m.SHA256 = p.SHA256
	}
	if p.Package != "" {
		m.Package = p.Package
	}
}

// appendMember makes room by forgetting members that ended and that no finding is about.
func (c *Correlator) appendMember(s *story, m minewarden.Member) bool {
	if len(s.inc.Members) >= maxMembers {
		gone := slices.IndexFunc(s.inc.Members, func(m minewarden.Member) bool { return !m.Exited.IsZero() })
		if gone < 0 {
			return false
		}
		c.removeMember(s, gone)
	}
	s.members[m.Key] = len(s.inc.Members)
	s.inc.Members = append(s.inc.Members, m)
	if !m.Weak {
		c.indexExe(s, &m)
	}
	return true
}

func (c *Correlator) removeMember(s *story, i int) {
	delete(s.members, s.inc.Members[i].Key)
	delete(s.born, s.inc.Members[i].Key)
	s.inc.Members = slices.Delete(s.inc.Members, i, i+1)
	for ; i < len(s.inc.Members); i++ {
		s.members[s.inc.Members[i].Key] = i
	}
}

// indexExe lets the same unpackaged file join others: packaged ones run everywhere.
func (c *Correlator) indexExe(s *story, m *minewarden.Member) {
	if m.Package != "" || m.Weak {
		return
	}
	for _, known := range shells {
		if base(m.Exe) == known {
			return
		}
	}
	if m.Exe != "" && !inMemory(m.Exe) {
		c.indexFile(s, "file "+m.Exe)
	}
	if m.SHA256 != "" {
		c.indexFile(s, "sha256 "+m.SHA256)
	}
}

// inMemory reports whether a path names a memory file: two of the same name are two files.
func inMemory(exe string) bool {
	return strings.HasPrefix(exe, "memfd:") || strings.HasPrefix(exe, "/memfd:")
}

func base(p string) string {
	_, b, ok := cutLast(p, "/")
	if !ok {
		return p
	}
	return b
}

// know makes findings about the process join s.
func (c *Correlator) know(s *story, k minewarden.ProcessKey) {
	if c.procs[k] == nil && len(c.procs) < maxRecent {
		c.procs[k] = s
		s.known = append(s.known, k)
	}
}

// Event tells the Correlator what members do: whom they start, what they write, where they connect. Of most events it looks
// up one key. Kinds says which it wants.
func (c *Correlator) Event(ev *minewarden.Event) {
	if len(c.procs) == 0 {
		return
	}
	if u, ok := ev.Data.(*minewarden.HostUsage); ok {
		c.hostUsage(u)
	}
	if ev.Process == nil {
		return
	}
	p := ev.Process
	s := c.procs[p.Key]
	if s == nil {
		if _, exec := ev.Data.(*minewarden.Exec); exec && p.Parent != nil { // whose fork was not seen
			if s = c.procs[p.Parent.Key]; s != nil && s.leads(p.Parent.Key, ev.Time) {
				c.born(s, p, ev.Time)
			}
		}
		return
	}
	i, member := s.members[p.Key]
	if !member || s.inc.State == minewarden.Closed {
		return
	}
	m := &s.inc.Members[i]
	switch d := ev.Data.(type) {
	case *minewarden.Fork:
		if !s.leads(p.Key, ev.Time) {
			return
		}
		child := *p
		child.Key, child.Parent = d.Child, p
		if child.Key.Boot == "" {
			child.Key.Boot = p.Key.Boot
		}
		c.born(s, &child, ev.Time)
	case *minewarden.Exec:
		describe(m, p)
		m.Name, m.Exe, m.Args = d.Name, d.Exe, d.Args[:min(len(d.Args), maxEvidence)]
		c.touch(s)
	case *minewarden.Image:
		m.SHA256, m.Package = d.SHA256, d.Package
		c.indexExe(s, m)
		c.touch(s)
	case *minewarden.Exit:
		if s.born[p.Key] { // nothing was ever found about it
			c.removeMember(s, i)
			delete(c.procs, p.Key)
			s.known = slices.DeleteFunc(s.known, func(k minewarden.ProcessKey) bool { return k == p.Key })
		} else {
			m.Exited = ev.Time
		}
		c.touch(s)
	case *minewarden.Write:
		if !m.Weak && d.Op != "delete" {
			c.indexFile(s, "file "+d.Path)
			if d.To != "" {
				c.indexFile(s, "file "+d.To)
			}
		}
	case *minewarden.Usage:
		c.spend(s, m, d, ev.Time)
	case *minewarden.Connect:
		if !m.Weak && d.Local.IsValid() {
			c.indexFile(s, "flow "+minewarden.FlowKey{Proto: d.Proto, Client: d.Local, Server: d.Remote}.String())
		}
	}
}

// Kinds returns the events that Event wants.
func Kinds() []minewarden.Kind {
	return []minewarden.Kind{
		minewarden.KindFork, minewarden.KindExec, minewarden.KindExit, minewarden.KindImage, minewarden.KindWrite, minewarden.KindConnect,
		minewarden.KindUsage, minewarden.KindHostUsage,
	}
}

// born makes a process a member because its parent is one.
func (c *Correlator) born(s *story, p *minewarden.Process, t time.Time) {
	if s.inc.State == minewarden.Closed || c.procs[p.Key] != nil {
		return
	}
	m := minewarden.Member{Key: p.Key, Since: t}
	describe(&m, p)
	if c.appendMember(s, m) {
		if s.born == nil {
			s.born = map[minewarden.ProcessKey]bool{}
		}
		s.born[p.Key] = true
		c.know(s, p.Key)
		c.touch(s)
	}
}
