package evidence

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/minewarden/minewarden"
	"github.com/minewarden/minewarden/internal/packets"
	"github.com/minewarden/minewarden/internal/proc"
	"github.com/minewarden/minewarden/internal/terminal"
)

const (
	maxRoots      = 256
	maxFiles      = 64
	maxContainers = 16
	maxTimes      = 64
	maxTerms      = 64
	maxPath       = 4096
)

// targets are what an incident names: all that Do needs of it.
type targets struct {
	Roots      []minewarden.ProcessKey `json:"roots,omitempty"`
	Files      []string                `json:"files,omitempty"`      // of the host
	Containers []string                `json:"containers,omitempty"` // ids
	Times      []time.Time             `json:"times,omitempty"`      // around which logs tell of it
	Terms      []string                `json:"terms,omitempty"`      // by which logs tell of it
	Flows      []packets.Flow          `json:"flows,omitempty"`      // conversations that it is about
	Since      time.Time               `json:"since,omitzero"`
	Until      time.Time               `json:"until,omitzero"`
}

// targetsOf picks what the incident names. Members with nothing but weak findings are left out beside others.
func targetsOf(inc *minewarden.Incident, boot string) targets {
	t := targets{Since: inc.Opened, Until: inc.Updated}
	strong := slices.ContainsFunc(inc.Members, func(m minewarden.Member) bool { return !m.Weak })
	for i := range inc.Members {
		m := &inc.Members[i]
		if m.Weak && strong {
			continue
		}
		t.member(m, boot)
	}
	for i := range inc.Findings {
		t.finding(&inc.Findings[i])
	}
	if s := &inc.Subject; s.Type == minewarden.SubjectContainer {
		t.container(s.ID)
	}
	t.flow(&inc.Subject)
	return t
}

func (t *targets) member(m *minewarden.Member, boot string) {
	if (m.Key.Boot == boot || m.Key.Boot == "") && m.Key.PID > 0 && len(t.Roots) < maxRoots {
		k := m.Key
		k.Boot = boot
		t.Roots = append(t.Roots, k)
	}
	t.container(m.Container.ID)
	t.when(m.Since)
	t.term(fmt.Sprintf("[%d]", m.Key.PID))
	t.term(fmt.Sprintf("pid=%d ", m.Key.PID))
	if strings.Count(m.Exe, "/") > 1 {
		t.term(m.Exe)
	}
}

func (t *targets) finding(f *minewarden.IncidentFinding) {
	t.when(f.Time)
	switch f.Subject.Type {
	case minewarden.SubjectFile:
		t.file(f.Subject.ID)
	case minewarden.SubjectContainer:
		t.container(f.Subject.ID)
	case minewarden.SubjectAccount:
		t.term(f.Subject.Name)
	case minewarden.SubjectFlow:
		t.flow(&f.Subject)
	}
	for _, e := range f.Evidence {
		t.file(e.Value)
	}
}

// file takes a path that an incident names, if it is one. What it is, is looked at when it is opened.
func (t *targets) file(path string) {
	if len(path) < 2 || len(path) > maxPath || path[0] != '/' || strings.ContainsRune(path, 0) || len(t.Files) >= maxFiles {
		return
	}
	path = filepath.Clean(path)
	if kernels(path) || slices.Contains(t.Files, path) {
		return
	}
	if fi, err := os.Lstat(path); err == nil && (fi.Mode().IsRegular() || fi.Mode()&os.ModeSymlink != 0) {
		t.Files = append(t.Files, path)
		t.term(path)
	}
}

// kernels reports whether a path is not of a file system that keeps files.
func kernels(path string) bool {
	for _, top := range [...]string{"/proc", "/sys", "/dev"} {
		if path == top || strings.HasPrefix(path, top+"/") && !strings.HasPrefix(path, "/dev/shm/") {
			return true
		}
	}
	return false
}

func (t *targets) container(id string) {
	if len(id) < 12 || len(id) > 64 || strings.Trim(id, "0123456789abcdef") != "" || len(t.Containers) >= maxContainers || slices.Contains(t.Containers, id) {
		return
	}
	t.Containers = append(t.Containers, id)
	t.term(id[:12])
}

func (t *targets) when(at time.Time) {
	if !at.IsZero() && len(t.Times) < maxTimes && !slices.ContainsFunc(t.Times, func(o time.Time) bool { return at.Sub(o).Abs() < time.Second }) {
		t.Times = append(t.Times, at)
	}
}

func (t *targets) term(s string) {
	if len(s) > 2 && len(s) <= 256 && len(t.Terms) < maxTerms && !slices.Contains(t.Terms, s) {
		t.Terms = append(t.Terms, s)
	}
}

// alive are the processes of a lineage that run now.
type alive struct {
	take    []proc.Stat // parents before children
	refused []string
	more    int // beyond the bound
}

// live finds the roots that still are who they were, and all that they started.
func (t *targets) live(limit int) (alive, error) {
	var out alive
	all, err := proc.All()
	if err != nil {
		return out, err
	}
	children := map[int32][]int32{}
	for pid, s := range all {
		children[s.PPID] = append(children[s.PPID], pid)
	}
	var queue []int32
	for _, r := range t.Roots {
		if s, ok := all[r.PID]; ok && s.Start == r.Start {
			queue = append(queue, r.PID)
		}
	}
	seen := map[int32]bool{}
	for len(queue) > 0 {
		s := all[queue[0]]
		queue = queue[1:]
		if seen[s.PID] || s.State == 'Z' && s.Threads <= 1 {
			continue
		}
		seen[s.PID] = true
		switch {
		case s.Kernel || s.PID == int32(os.Getpid()):
			out.refused = append(out.refused, fmt.Sprintf("pid %d %s: it is the kernel's, or minewarden itself", s.PID, terminal.Safe(s.Comm)))
			continue
		case len(out.take) >= limit:
			out.more++
			continue
		}
		out.take = append(out.take, s)
		next := children[s.PID]
		slices.Sort(next)
		queue = append(queue, next...)
	}
	return out, nil
}

// describe says for people what would be read.
func (t *targets) describe(a *alive) []string {
	var out []string
	for i := range a.take {
		s := &a.take[i]
		exe, err := os.Readlink("/proc/" + strconv.Itoa(int(s.PID)) + "/exe")
		if err != nil {
			exe = "unknown"
		}
		out = append(out, fmt.Sprintf("reads pid %d %s exe %s", s.PID, terminal.Safe(s.Comm), terminal.Safe(exe)))
	}
	if a.more > 0 {
		out = append(out, fmt.Sprintf("leaves out %d more processes: max_processes", a.more))
	}
	for _, f := range t.Files {
		out = append(out, "reads "+terminal.Safe(f))
	}
	for _, c := range t.Containers {
		out = append(out, "asks the engine about container "+c[:12])
	}
	if len(t.Flows) > 0 {
		out = append(out, fmt.Sprintf("reads kept packets of %d conversations", len(t.Flows)))
	}
	return append(out, "reads logs that tell of it")
}

// openHeld opens a process of the lineage; proc.ErrGone is wrapped where it has ended.
func openHeld(s *proc.Stat) (*proc.Handle, error) {
	h, err := proc.Open(s.PID, s.Start)
	if err != nil && !errors.Is(err, proc.ErrGone) {
		return nil, fmt.Errorf("pid %d: %w", s.PID, err)
	}
	return h, err
}
