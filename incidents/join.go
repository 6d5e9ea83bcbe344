package incidents

import (
	"path"
	"slices"
	"strings"
	"time"

	"github.com/minewarden/minewarden"
	"github.com/minewarden/minewarden/internal/program"
)

// find returns the incident that f belongs to, or nil: first by who did it, then by where, then by what.
func (c *Correlator) find(f *minewarden.Finding) *story {
	if p := f.Process; p != nil {
		if s := c.byLineage(f); s != nil {
			return s
		}
	} else if f.Subject.Type == minewarden.SubjectProcess {
		if k, err := minewarden.ParseProcessKey(f.Subject.ID); err == nil && c.procs[k] != nil {
			return c.procs[k]
		}
	}
	if s := c.byFile(f); s != nil {
		return s
	}
	return c.joins[rootOf(f)]
}

// byLineage goes up from p to the border of its service, session or container.
func (c *Correlator) byLineage(f *minewarden.Finding) *story {
	p := f.Process
	for a := p; ; a = a.Parent {
		if s := c.procs[a.Key]; s != nil && (a == p || s.leads(a.Key, f.Time)) {
			return s
		}
		if a.Parent == nil || border(a, a.Parent) {
			return nil
		}
	}
}

// leadFor is how long a medium finding about a process makes what it starts afterwards part of its incident. A service that was
// noticed for something once must not join all that it ever starts.
const leadFor = 10 * time.Minute

// leads reports whether children of the process belong to the incident: not those of one that only weak evidence names, else
// a busy service would join whatever it starts; nor those of one that was there before and that no grave finding is about.
func (s *story) leads(k minewarden.ProcessKey, at time.Time) bool {
	i, ok := s.members[k]
	if !ok {
		return false
	}
	m := &s.inc.Members[i]
	return !m.Weak && (m.Severity >= minewarden.High || at.Sub(m.Since) < leadFor && !m.Before)
}

// byFile finds an incident that the same file was part of: written, run, or itself the subject.
func (c *Correlator) byFile(f *minewarden.Finding) *story {
	recent := func(key string) *story {
		if s := c.joins[key]; s != nil && s.inc.State != minewarden.Closed && f.Time.Sub(s.inc.Updated) < fileJoin {
			return s
		}
		return nil
	}
	if f.Subject.Type == minewarden.SubjectFile {
		if s := recent("file " + f.Subject.ID); s != nil {
			return s
		}
	}
	for _, e := range f.Evidence {
		if e.Key == "sha256" && len(e.Value) == 64 {
			if s := recent("sha256 " + e.Value); s != nil {
				return s
			}
		}
	}
	p := f.Process
	if p == nil {
		if f.Subject.Type == minewarden.SubjectFlow {
			return recent("flow " + f.Subject.ID)
		}
		return nil
	}
	if p.Package == "" && p.Exe != "" {
		if s := recent("file " + p.Exe); s != nil && !p.Memfd && !inMemory(p.Exe) {
			return s
		}
		if p.SHA256 != "" {
			if s := recent("sha256 " + p.SHA256); s != nil {
				return s
			}
		}
	}
	if launches(p) {
		for _, a := range p.Args[min(len(p.Args), 1):min(len(p.Args), 8)] {
			if strings.HasPrefix(a, "/") {
				if s := recent("file " + a); s != nil {
					return s
				}
			}
		}
	}
	return nil
}

// rootOf returns what findings must share to begin the same incident.
func rootOf(f *minewarden.Finding) string {
	p := f.Process
	if p == nil {
		if f.Subject.Type == minewarden.SubjectFlow {
			if host, _, ok := cutLast(f.Subject.Client, ":"); ok {
				return "client " + host // who mines, whatever pool it goes to
			}
		}
		return f.Subject.Type + " " + f.Subject.ID
	}
	if p.Container.ID != "" {
		return "container " + p.Container.ID
	}
	return "process " + rootProcess(p).Key.String()
}

// rootProcess goes up through shells and other launchers to who started them: siblings of one service share it. It stops
// below what starts everything, and below what was there long before and is no service: somebody's session, or a tool that runs
// one command after the other for somebody.
func rootProcess(p *minewarden.Process) *minewarden.Process {
	root := p
	for root.Parent != nil && !border(root, root.Parent) {
		up := root.Parent
		if root.Key.Start-min(up.Key.Start, root.Key.Start) > wrapperAge && !daemon(up) {
			break
		}
		// From what was found: to its launchers, and to who ran those. From a service: to its own first process only.
		if !launches(up) && root != p && !launches(root) && (up.Exe == "" || up.Exe != root.Exe) {
			break
		}
		root = up
	}
	return root
}

// daemon reports whether p is a service: by what it is known for, or because what starts services started it.
func daemon(p *minewarden.Process) bool {
	if program.OfProcess(p)&program.Service != 0 {
		return true
	}
	if wraps(p) {
		return false
	}
	first := p
	for first.Parent != nil && first.Exe != "" && first.Parent.Exe == first.Exe {
		first = first.Parent
	}
	up := first.Parent
	return up == nil || up.Key.PID == 1 || slices.Contains(managers, up.Base())
}

// managers are what starts services and nothing else.
var managers = []string{"systemd", "init", "supervisord", "runsvdir", "s6-svscan"}

// borders are programs whose children have nothing in common: those that start services, sessions and containers.
var borders = []string{
	"systemd", "init", "sshd", "sshd-session", "login", "su", "sudo", "doas", "agetty", "cron", "crond", "CROND", "CRON", "atd", "anacron",
	"containerd", "dockerd", "conmon", "runc", "crun", "crio", "kubelet", "tmux: server", "screen", "SCREEN", "supervisord", "runsvdir", "s6-svscan",
	"minewarden", "gnome-shell", "gnome-terminal-", "konsole", "xterm",
}

// border reports whether up is no part of a story about its child p.
func border(p, up *minewarden.Process) bool {
	if up.Key.PID == 1 || up.Kernel || up.Container.ID != p.Container.ID {
		return true
	}
	base := up.Base()
	if slices.Contains(borders, base) || slices.Contains(borders, up.Name) || strings.HasPrefix(base, "containerd-shim") {
		return true
	}
	return session(up)
}

// session reports whether p is the shell that somebody logged in to.
func session(p *minewarden.Process) bool {
	if !shell(p) {
		return false
	}
	if len(p.Args) > 0 && strings.HasPrefix(p.Args[0], "-") {
		return true
	}
	if len(p.Args) > 1 && !slices.ContainsFunc(p.Args[1:], func(a string) bool { return a != "-i" && a != "-l" && a != "--login" }) {
		return true
	}
	// A shell without a script or a command, which a person's terminal started.
	if up := p.Parent; len(p.Args) == 1 && up != nil {
		switch up.Base() {
		case "sshd", "sshd-session", "login", "su", "sudo", "tmux", "tmux: server", "screen":
			return true
		}
	}
	return false
}

var shells = []string{"sh", "bash", "dash", "zsh", "ash", "ksh", "fish", "busybox"}

func shell(p *minewarden.Process) bool { return slices.Contains(shells, path.Base(p.Base())) }

// launchers run others in their own stead.
var launchers = []string{
	"env", "nohup", "timeout", "nice", "ionice", "taskset", "chrt", "setsid", "xargs", "stdbuf", "unbuffer", "script", "time", "setpriv", "runuser",
}

// interpreters run others too, but a program in one may be the service that was broken into.
var interpreters = []string{"python", "perl", "ruby", "git"}

// wraps reports whether p only waits for what it started, and would start it again.
func wraps(p *minewarden.Process) bool { return shell(p) || slices.Contains(launchers, p.Base()) }

func launches(p *minewarden.Process) bool {
	return wraps(p) || slices.Contains(interpreters, strings.TrimRight(p.Base(), "0123456789."))
}

// join makes key lead to s, if it leads nowhere yet.
func (c *Correlator) join(s *story, key string) {
	if c.joins[key] == nil {
		c.joins[key] = s
		s.keys = append(s.keys, key)
	}
}

func (c *Correlator) indexFiles(s *story, f *minewarden.Finding) {
	if f.Subject.Type == minewarden.SubjectFile {
		c.indexFile(s, "file "+f.Subject.ID)
	}
	for _, e := range f.Evidence {
		if e.Key == "sha256" && len(e.Value) == 64 {
			c.indexFile(s, "sha256 "+e.Value)
		}
	}
	if f.Subject.Type == minewarden.SubjectFlow {
		c.indexFile(s, "flow "+f.Subject.ID)
	}
}

func (c *Correlator) indexFile(s *story, key string) {
	if old := c.joins[key]; old == s {
		return
	} else if old != nil && old.inc.State != minewarden.Closed {
		return
	}
	if s.files < maxFiles {
		s.files++
		c.joins[key] = s
		s.keys = append(s.keys, key)
	}
}

// forget drops incidents from memory: closed ones first, then those that were quiet longest. The store has them.
func (c *Correlator) forget() {
	stories := make([]*story, 0, len(c.all))
	for _, s := range c.all {
		if c.dirty[s.inc.ID] == nil {
			stories = append(stories, s)
		}
	}
	closed := func(s *story) int {
		if s.inc.State == minewarden.Closed {
			return 0
		}
		return 1
	}
	slices.SortFunc(stories, func(a, b *story) int {
		if d := closed(a) - closed(b); d != 0 {
			return d
		}
		return a.inc.Updated.Compare(b.inc.Updated)
	})
	for _, s := range stories[:min(len(stories), maxIncidents/10)] {
		c.drop(s)
		c.stats.Forgotten++
	}
}

func (c *Correlator) drop(s *story) {
	for _, k := range s.known {
		if c.procs[k] == s {
			delete(c.procs, k)
		}
	}
	for _, k := range s.keys {
		if c.joins[k] == s {
			delete(c.joins, k)
		}
	}
	c.unmark(s)
	delete(c.all, s.inc.ID)
}

func cutLast(s, sep string) (before, after string, found bool) {
	if i := strings.LastIndex(s, sep); i >= 0 {
		return s[:i], s[i+len(sep):], true
	}
	return s, "", false
}

// Load gives the Correlator an incident that a store kept. One that it has already is merged with it.
func (c *Correlator) Load(inc minewarden.Incident) {
	if s := c.all[inc.ID]; s != nil {
		c.merge(s, inc)
		return
	}
	if len(c.all) >= maxIncidents {
		c.forget()
	}
	s := &story{inc: inc}
	c.all[inc.ID] = s
	s.reindex()
	c.index(s)
}

func (c *Correlator) index(s *story) {
	c.mark(s)
	if s.inc.Root != "" {
		c.join(s, s.inc.Root)
	}
	for i := range s.inc.Members {
		c.know(s, s.inc.Members[i].Key)
		c.indexExe(s, &s.inc.Members[i])
	}
	for i := range s.inc.Findings {
		f := &s.inc.Findings[i]
		if f.Subject.Type == minewarden.SubjectProcess {
			if k, err := minewarden.ParseProcessKey(f.Subject.ID); err == nil {
				c.know(s, k)
			}
		}
		c.indexFiles(s, &minewarden.Finding{Subject: f.Subject, Evidence: f.Evidence})
	}
}

// Fresh reports whether the incident was made here and never compared with the store.
func (c *Correlator) Fresh(id string) bool { s := c.all[id]; return s != nil && s.fresh }

// Compared says that the store has no older version of the incident.
func (c *Correlator) Compared(id string) {
	if s := c.all[id]; s != nil {
		s.fresh = false
	}
}

// merge takes up what the store has of an incident that began again here, because it had left memory or a start came late.
func (c *Correlator) merge(s *story, old minewarden.Incident) {
	now := s.inc
	s.fresh = false
	s.inc = old
	s.inc.Impact = addImpact(old.Impact, now.Impact)
	s.reindex()
	for _, m := range now.Members {
		if i, ok := s.members[m.Key]; ok {
			s.inc.Members[i] = m
		} else if len(s.inc.Members) < maxMembers {
			s.members[m.Key] = len(s.inc.Members)
			s.inc.Members = append(s.inc.Members, m)
		}
	}
	latest := time.Time{}
	for _, f := range now.Findings {
		if f.Last.After(latest) {
			latest = f.Last
		}
		i, ok := s.index[findingKey(f.Rule, &f.Subject)]
		if !ok {
			if len(s.inc.Findings) >= maxFindings && !c.makeRoom(s, f.Severity) {
				s.inc.More += f.Count
				continue
			}
			s.inc.Findings = append(s.inc.Findings, f)
			s.reindexFindings()
			continue
		}
		k := &s.inc.Findings[i]
		if f.Last.After(k.Last) { // else it is the same one again
			k.Count += f.Count
			k.Last = f.Last
		}
		if f.Confidence > k.Confidence {
			k.Confidence, k.Evidence = f.Confidence, f.Evidence
		}
	}
	slices.SortStableFunc(s.inc.Findings, func(a, b minewarden.IncidentFinding) int { return a.Time.Compare(b.Time) })
	s.reindexFindings()
	for _, r := range now.Actions {
		s.addReceipt(r)
	}
	s.inc.Notes = append(s.inc.Notes, now.Notes...)
	s.inc.More += now.More
	if now.Verdict != "" {
		s.inc.Verdict = now.Verdict
	}
	if now.Assignee != "" {
		s.inc.Assignee = now.Assignee
	}
	if now.Updated.After(s.inc.Updated) {
		s.inc.Updated = now.Updated
	}
	if s.inc.State == minewarden.Closed && latest.After(s.inc.Changed) {
		s.inc.State, s.inc.Changed = minewarden.Open, latest
	}
	if now.State != minewarden.Open && now.Changed.After(s.inc.Changed) {
		s.inc.State, s.inc.Changed = now.State, now.Changed
	}
	for _, r := range now.Related {
		s.relate(r)
	}
	s.rate()
	s.title()
	c.index(s)
	c.touch(s)
}
