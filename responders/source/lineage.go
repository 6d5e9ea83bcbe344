package source

import (
	"net/netip"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"

	"github.com/minewarden/minewarden"
	"github.com/minewarden/minewarden/internal/proc"
	"github.com/minewarden/minewarden/internal/program"
	"github.com/minewarden/minewarden/responders/internal/edit"
)

// facts are what an incident says of where its processes come from.
type facts struct {
	paths      []string         // programs and scripts that are the miner's: who names one starts it
	files      map[string]claim // files that findings are about
	units      []string         // units whose cgroups members run in
	containers []minewarden.Container
	allocs     []alloc
	repos      []repo
	commands   []string        // of members, as one line each
	hosts      map[string]bool // servers of its flows
	names      map[string]bool // of members and their ancestors, as far as they are told
}

// claim is what findings say of a file.
type claim struct {
	texts  []string // parts of lines that are the miner's
	grave  bool     // medium or worse: somebody must look when no line can be told
	broken bool     // a service's child or an intruder wrote it: suspicious lines count although nothing names them
}

type alloc struct{ ID, Job, Namespace string }

type repo struct{ Owner, Name string }

const (
	maxFacts   = 64 // of each sort
	minPath    = 6  // bytes of a path that is looked for in files
	maxEnviron = 256 << 10
)

var (
	uuid      = regexp.MustCompile(`[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}`)
	repoPath  = regexp.MustCompile(`([A-Za-z0-9_.-]{1,100})/([A-Za-z0-9_.-]{1,100})\.git(?:/|$)`)
	repoWord  = regexp.MustCompile(`^[A-Za-z0-9_.-]{1,100}$`)
	nomadName = regexp.MustCompile(`^[^\x00-\x20]{1,300}$`)
)

// spokenRules are those whose evidence "text" is the line itself, not merely the file's first.
var spokenRules = [...]string{"persistence/preload", "persistence/miner", "persistence/code", "persistence/fetch", "persistence/hidden", "persistence/git-hook", "persistence/idle-unit"}

func gather(inc *minewarden.Incident) *facts {
	f := &facts{files: map[string]claim{}, hosts: map[string]bool{}, names: map[string]bool{}}
	strong := slices.ContainsFunc(inc.Members, func(m minewarden.Member) bool { return !m.Weak })
	boot, err := proc.Boot()
	if err != nil {
		boot = "unknown" // then no member can be looked at
	}
	for i := range inc.Members {
		m := &inc.Members[i]
		f.names[m.Name] = true
		if m.Weak && strong {
			continue
		}
		f.member(m, boot)
	}
	for i := range inc.Findings {
		f.finding(&inc.Findings[i])
	}
	return f
}

func put[T comparable](list *[]T, v T) {
	if len(*list) < maxFacts && !slices.Contains(*list, v) {
		*list = append(*list, v)
	}
}

func (f *facts) path(p string) {
	if filepath.IsAbs(p) && len(p) >= minPath && !strings.ContainsAny(p, "\x00\n") {
		put(&f.paths, filepath.Clean(p))
	}
}

// shared says that a program is everybody's: who starts it is not for that a miner's friend.
func shared(path string) bool {
	for _, dir := range [...]string{"/usr/bin/", "/usr/sbin/", "/bin/", "/sbin/", "/usr/lib/", "/lib/", "/lib64/", "/usr/libexec/", "/usr/lib64/", "/snap/"} {
		if strings.HasPrefix(path, dir) && program.At(path) == 0 {
			return true
		}
	}
	return false
}

func (f *facts) member(m *minewarden.Member, boot string) {
	exe := strings.TrimSuffix(m.Exe, " (deleted)")
	own := program.At(exe) != 0 || m.Severity >= minewarden.Medium && m.Package == "" && program.Of(program.Base(exe))&(program.Shell|program.Interpreter) == 0
	if own && !shared(exe) && program.At(exe)&program.Memory == 0 {
		f.path(exe)
	}
	for _, a := range m.Args[min(len(m.Args), 1):] {
		if program.At(a)&(program.Writable|program.SystemHidden) != 0 {
			f.path(a)
		}
	}
	if len(m.Args) > 0 {
		put(&f.commands, strings.Join(m.Args[:min(len(m.Args), 32)], " "))
	}
	if m.Container.ID != "" {
		put(&f.containers, m.Container)
	}
	for part := range strings.SplitSeq(m.Cgroup, "/") {
		if strings.HasSuffix(part, ".service") && unitName(part) {
			put(&f.units, part)
		}
	}
	for _, where := range [...]string{m.Cgroup, m.Exe} {
		if strings.Contains(where, "nomad") || strings.Contains(where, "/alloc/") {
			if id := uuid.FindString(where); id != "" {
				put(&f.allocs, alloc{ID: id})
			}
		}
	}
	if m.Key.Boot == boot || m.Key.Boot == "" {
		f.alive(m)
	}
}

// alive reads what a process that still runs tells beside: its environment names the job or repository. It is the process's own word, so it
// only says where to look.
func (f *facts) alive(m *minewarden.Member) {
	h, err := proc.Open(m.Key.PID, m.Key.Start)
	if err != nil {
		return
	}
	defer func() { _ = h.Close() }() // held only so that the pid stays the process's
	dir := "/proc/" + strconv.Itoa(int(m.Key.PID))
	env := environ(dir)
	if id := uuid.FindString(env["NOMAD_ALLOC_ID"]); id != "" {
		a := alloc{ID: id}
		if nomadName.MatchString(env["NOMAD_NAMESPACE"]) {
			a.Namespace = env["NOMAD_NAMESPACE"]
		}
		f.allocs = slices.DeleteFunc(f.allocs, func(o alloc) bool { return o.ID == id })
		put(&f.allocs, a)
	}
	f.repo(env["GITEA_REPO_USER_NAME"], env["GITEA_REPO_NAME"])
	for _, link := range [...]string{dir + "/cwd"} {
		if cwd, err := os.Readlink(link); err == nil {
			f.repoAt(cwd)
			if id := uuid.FindString(cwd); id != "" && strings.Contains(cwd, "/alloc") {
				put(&f.allocs, alloc{ID: id})
			}
		}
	}
	f.repoAt(env["GIT_DIR"])
}

func (f *facts) repo(owner, name string) {
	if repoWord.MatchString(owner) && repoWord.MatchString(name) {
		put(&f.repos, repo{owner, name})
	}
}

func (f *facts) repoAt(path string) {
	if m := repoPath.FindStringSubmatch(path); m != nil {
		f.repo(m[1], m[2])
	}
}

// environ returns the variables that tell of a job or repository, and no other.
func environ(dir string) map[string]string {
	out := map[string]string{}
	b, err := proc.ReadSmall(dir + "/environ")
	if err != nil {
		return out
	}
	for v := range strings.SplitSeq(string(b[:min(len(b), maxEnviron)]), "\x00") {
		k, val, _ := strings.Cut(v, "=")
		switch k {
		case "NOMAD_ALLOC_ID", "NOMAD_NAMESPACE", "GITEA_REPO_USER_NAME", "GITEA_REPO_NAME", "GIT_DIR":
			out[k] = val
		}
	}
	return out
}

func (f *facts) finding(x *minewarden.IncidentFinding) {
	for _, name := range strings.Split(x.Lineage, " > ") {
		f.names[name] = true
	}
	switch x.Subject.Type {
	case minewarden.SubjectFlow:
		if a, err := netip.ParseAddrPort(x.Subject.Server); err == nil {
			f.hosts[a.Addr().String()] = true
		}
	case minewarden.SubjectContainer:
		put(&f.containers, minewarden.Container{ID: x.Subject.ID})
	case minewarden.SubjectFile:
		f.file(x)
	}
	for _, e := range x.Evidence {
		switch e.Key {
		case "lineage", "writer":
			for _, name := range strings.Split(e.Value, " > ") {
				f.names[name] = true
			}
		case "exe", "path":
			if program.At(e.Value)&(program.Writable|program.SystemHidden) != 0 {
				f.path(e.Value)
			}
		case "domain", "host", "sni", "server":
			f.hosts[strings.ToLower(strings.TrimSuffix(e.Value, "."))] = true
		}
	}
}

func (f *facts) file(x *minewarden.IncidentFinding) {
	if !filepath.IsAbs(x.Subject.ID) || len(f.files) >= maxFacts {
		return
	}
	path := edit.Canonical(x.Subject.ID)
	f.repoAt(path)
	if spotOf(path) == spotNone {
		if x.Severity >= minewarden.Medium && strings.HasPrefix(x.Rule, "file/") && !shared(path) {
			f.path(path)
		}
		return
	}
	c := f.files[path]
	c.grave = c.grave || x.Severity >= minewarden.Medium
	c.broken = c.broken || x.Rule == "persistence/service" || x.Rule == "persistence/intruder"
	for _, e := range x.Evidence {
		if e.Key == "text" && e.Value != "" && (slices.Contains(spokenRules[:], x.Rule) || spotOf(path) == spotKeys && x.Severity >= minewarden.Low) {
			put(&c.texts, e.Value)
		}
	}
	f.files[path] = c
}

// nomad reports whether the incident may come from a Nomad job although no allocation is known.
func (f *facts) from(names ...string) bool {
	for _, n := range names {
		if f.names[n] {
			return true
		}
	}
	return false
}
