// Package masquerade sees processes that claim to be something else: names of kernel threads, system daemons and Windows
// services, hidden places, and letters that cannot be seen or told apart.
package masquerade

import (
	_ "embed"
	"strings"

	"github.com/minewarden/minewarden"
	"github.com/minewarden/minewarden/internal/program"
)

//go:embed README.md
var doc string

// Rule ids.
const (
	ruleKernel    = "masquerade/kernel-thread"
	ruleWindows   = "masquerade/windows-name"
	ruleDaemon    = "masquerade/daemon"
	ruleBuilt     = "masquerade/daemon-elsewhere"
	ruleUnowned   = "masquerade/daemon-unpackaged"
	ruleArgument  = "masquerade/argument"
	ruleInvisible = "masquerade/invisible"
	ruleLookalike = "masquerade/lookalike"
	ruleHidden    = "masquerade/hidden-path"
	ruleTemporary = "masquerade/hidden-temporary"
)

const look = "Look at the executable, its hash and who started it. If nobody here put it there, contain the process with its parents and children and look for what starts it again."

var rules = []minewarden.Rule{
	{
		ID: ruleKernel, Title: "A process with an executable has the name of a kernel thread", Severity: minewarden.High, Technique: []string{"T1036.004", "T1036.005"},
		Advice: "Kernel threads have no executable. " + look,
	},
	{ID: ruleWindows, Title: "A process on Linux has the name of a Windows service", Severity: minewarden.Medium, Technique: []string{"T1036.005"}, Advice: look},
	{ID: ruleDaemon, Title: "A program in a place for temporary or hidden files has the name of a system daemon", Severity: minewarden.High, Technique: []string{"T1036.005"}, Advice: look},
	{
		ID: ruleBuilt, Title: "A program outside the system directories has the name of a system daemon", Severity: minewarden.Informational, Technique: []string{"T1036.005"},
		Advice: "Somebody may have built it by hand. If not: " + look,
	},
	{
		ID: ruleUnowned, Title: "A program with the name of a system daemon belongs to no package", Severity: minewarden.Low, Technique: []string{"T1036.005"},
		Advice: "Compare it with what the distribution ships under that name. " + look,
	},
	{ID: ruleArgument, Title: "A program calls itself by the name of another", Severity: minewarden.Low, Technique: []string{"T1036.011"}, Advice: look},
	{ID: ruleInvisible, Title: "The name of a program holds characters that cannot be seen", Severity: minewarden.High, Technique: []string{"T1036.002", "T1036.006"}, Advice: look},
	{ID: ruleLookalike, Title: "The name of a program imitates a known one with letters of another script", Severity: minewarden.High, Technique: []string{"T1036.005"}, Advice: look},
	{ID: ruleHidden, Title: "A program runs from a hidden directory among the system's own", Severity: minewarden.High, Technique: []string{"T1564.001", "T1036.005"}, Advice: look},
	{ID: ruleTemporary, Title: "A program runs from a hidden name in a directory that everybody may write to", Severity: minewarden.Medium, Technique: []string{"T1564.001"}, Advice: look},
}

type detector struct {
	packaged bool // package names are known on this host: some process outside containers had one
}

var _ minewarden.Detector = (*detector)(nil)

// New returns the detector.
func New(minewarden.Env) (minewarden.Detector, error) { return &detector{}, nil }

// Info implements minewarden.Detector.
func (*detector) Info() minewarden.Info {
	return minewarden.Info{Name: "masquerade", Title: "processes that claim to be something else", Doc: doc}
}

// Rules implements minewarden.Detector.
func (*detector) Rules() []minewarden.Rule { return rules }

// Kinds implements minewarden.Detector.
func (*detector) Kinds() []minewarden.Kind { return []minewarden.Kind{minewarden.KindExec} }

// Observe implements minewarden.Detector.
func (d *detector) Observe(ev *minewarden.Event) []minewarden.Finding {
	x, ok := ev.Data.(*minewarden.Exec)
	p := ev.Process
	if !ok || p == nil || x.Kernel || p.Key.PID <= 2 {
		return nil
	}
	if x.Package != "" && p.Container.ID == "" {
		d.packaged = true
	}
	c := claim{ev: ev, x: x, p: p, place: program.At(x.Exe), packaged: x.Package != "", exe: program.Base(x.Exe)}
	if len(x.Args) > 0 {
		c.argv0 = x.Args[0]
	}
	c.kernel()
	c.windows()
	c.daemon(d.packaged)
	c.letters()
	c.hidden()
	return c.found
}

// A claim is what one program says of itself, and what is true.
type claim struct {
	ev       *minewarden.Event
	x        *minewarden.Exec
	p        *minewarden.Process
	place    program.Place
	packaged bool
	exe      string // base name of the executable
	argv0    string
	found    []minewarden.Finding
}

func (c *claim) tell(rule string, confidence float64, what, value string) {
	ev := []minewarden.Evidence{{Key: what, Value: value}}
	if c.x.Exe != "" {
		ev = append(ev, minewarden.Evidence{Key: "exe", Value: c.x.Exe})
	}
	if c.p.Parent != nil {
		ev = append(ev, minewarden.Evidence{Key: "lineage", Value: c.p.Lineage()})
	}
	c.found = append(c.found, minewarden.Finding{
		Time: c.ev.Time, Rule: rule, Subject: minewarden.ProcessSubject(c.p), Confidence: confidence, Evidence: ev, Process: c.p,
	})
}

func (c *claim) kernel() {
	if c.x.Exe == "" {
		// The executable of a process of another user cannot be read without privilege: then only the parent tells.
		if c.p.Parent == nil || c.p.Parent.Key.PID <= 2 || c.p.Parent.Kernel {
			return
		}
		if kernelThread(c.p.Name) && len(c.x.Args) > 0 {
			c.tell(ruleKernel, 0.7, "name", c.p.Name)
		}
		return
	}
	name := ""
	switch {
	case kernelThread(c.p.Name):
		name = c.p.Name
	case kernelThread(c.argv0), bracketed(c.argv0) && kernelThread(c.argv0[1:len(c.argv0)-1]):
		name = c.argv0
	case kernelThread(c.exe), kernelThread(lastTwo(c.x.Exe)):
		name = c.x.Exe
	case bracketed(c.argv0) && !c.packaged && titled(c.argv0):
		name = c.argv0 // ps shows kernel threads, and them alone, in brackets
	default:
		return
	}
	confidence := 0.95
	if c.packaged {
		confidence = 0.6
	}
	c.tell(ruleKernel, confidence, "name", name)
}

// titled leaves out what is not a name: "[" is the test command.
func titled(argv0 string) bool {
	return len(argv0) > 4 && strings.IndexByte(argv0, ' ') < 0
}

func bracketed(s string) bool { return len(s) > 3 && s[0] == '[' && s[len(s)-1] == ']' }

// lastTwo returns "kworker/u8:2" of "/dev/shm/kworker/u8:2": a file's name cannot hold a slash, its directory's can stand in.
func lastTwo(path string) string {
	i := strings.LastIndexByte(path, '/')
	if i <= 0 {
		return path
	}
	return path[strings.LastIndexByte(path[:i], '/')+1:]
}

func (c *claim) windows() {
	name := c.p.Name
	switch {
	case windowsName(name):
	case windowsName(c.exe):
		name = c.exe
	case windowsName(program.Base(c.argv0)):
		name = c.argv0
	default:
		return
	}
	if strings.Contains(c.x.Exe, "wine") || strings.Contains(c.x.Exe, "/proton") || strings.Contains(c.x.Exe, "/Proton") || strings.IndexByte(c.argv0, '\\') >= 0 ||
		c.p.Ancestor(func(a *minewarden.Process) bool { return strings.HasPrefix(a.Base(), "wine") }) != nil {
		return
	}
	confidence := 0.8
	if c.packaged {
		confidence = 0.3
	}
	c.tell(ruleWindows, confidence, "name", name)
}

func (c *claim) daemon(packages bool) {
	if c.packaged || c.x.Exe == "" {
		return
	}
	own := daemonName(c.exe)
	claimed := own
	if !claimed {
		// What it says of itself, where its file says something else.
		if a := title(c.argv0); daemonName(a) && !strings.HasPrefix(c.exe, a) && program.Of(c.exe)&(program.Interpreter|program.Shell|program.Wrapper|program.Runner) == 0 {
			claimed = true
		}
	}
	special := c.place&(program.Writable|program.SystemHidden|program.Memory) != 0 || c.place&program.Hidden != 0 || c.x.Memfd
	if c.x.Memfd && runcCopy(c.x.Exe) {
		return
	}
	switch {
	case !claimed:
		if special && c.argv0 != "" && c.p.Name != "" && !c.x.Memfd {
			c.argument()
		}
	case special:
		c.tell(ruleDaemon, 0.9, "name", c.argv0)
	case !own:
		// Many packages give one program several names: only where packages are known is the lack of one a reason.
		if packages && c.p.Container.ID == "" && !properDir(c.x.Exe) {
			c.tell(ruleArgument, 0.5, "name", c.argv0)
		}
	case !properDir(c.x.Exe):
		if strings.HasPrefix(c.x.Exe, "/etc/") || strings.HasPrefix(c.x.Exe, "/dev/") || strings.HasPrefix(c.x.Exe, "/boot/") {
			c.tell(ruleDaemon, 0.85, "name", c.exe)
			return
		}
		c.tell(ruleBuilt, 0.3, "name", c.exe)
	case packages && c.p.Container.ID == "" && systemDir(c.x.Exe):
		c.tell(ruleUnowned, 0.5, "name", c.exe)
	}
}

// argument tells of a program in a special place whose first argument names another file.
func (c *claim) argument() {
	a := title(c.argv0)
	if a == c.exe || a == "" || strings.HasPrefix(c.exe, a) || strings.HasPrefix(a, c.exe) || c.x.Script != "" || c.place&program.Writable == 0 {
		return
	}
	if program.Of(c.exe) == 0 && program.Of(a) != 0 && program.Of(a)&program.Wrapper == 0 {
		c.tell(ruleArgument, 0.6, "argv0", c.argv0)
	}
}

// runcCopy knows the copies of themselves that container runtimes run from memory.
func runcCopy(exe string) bool {
	return strings.Contains(exe, "runc_cloned") || strings.Contains(exe, "runc-dmz") || strings.Contains(exe, "crun") || strings.Contains(exe, "lxc") || strings.Contains(exe, "sealed")
}

// title returns the name in a first argument: "sshd" of "sshd: root@pts/0", "bash" of "-bash", "nginx" of "/usr/sbin/nginx -g".
func title(argv0 string) string {
	if i := strings.IndexAny(argv0, ": "); i > 0 {
		argv0 = argv0[:i]
	}
	return strings.Trim(program.Base(argv0), "-()")
}

func (c *claim) hidden() {
	if c.packaged || c.x.Exe == "" && c.x.Script == "" {
		return
	}
	path := c.x.Exe
	place := c.place
	if c.x.Script != "" {
		path, place = c.x.Script, program.At(c.x.Script)
	}
	switch {
	case disguised(path):
		c.tell(ruleInvisible, 0.9, "path", path)
	case place&program.SystemHidden != 0:
		c.tell(ruleHidden, 0.9, "path", path)
	case place&program.Hidden != 0 && place&program.Writable != 0 && !honestHidden(path):
		c.tell(ruleTemporary, 0.75, "path", path)
	}
}

// honestHidden knows hidden directories below /tmp from which honest programs run.
func honestHidden(path string) bool {
	return strings.HasPrefix(path, "/tmp/.mount_") || strings.HasPrefix(path, "/tmp/.private/") || strings.HasPrefix(path, "/tmp/.dotnet/") ||
		strings.Contains(path, "/.vscode") || strings.Contains(path, "/.cargo/") || strings.Contains(path, "/.venv/") || strings.Contains(path, "/.git/") ||
		strings.Contains(path, "/node_modules/.") || strings.Contains(path, "/.tox/") || strings.Contains(path, "/.ansible") || strings.Contains(path, "/.cache/go-build") ||
		strings.Contains(path, "/.nvm/") || strings.Contains(path, "/.rustup/") || strings.Contains(path, "/.local/") || strings.Contains(path, "/.gradle/") || strings.Contains(path, "/.terraform/")
}

// disguised says that a part of the path is nothing but dots and spaces: "/tmp/...", "/var/tmp/. /x".
func disguised(path string) bool {
	if !strings.HasPrefix(path, "/") {
		return false
	}
	for rest := path[1:]; ; {
		part, after, more := strings.Cut(rest, "/")
		if part != "" && part != "." && part != ".." && strings.Trim(part, ". \t\u00a0") == "" {
			return true
		}
		if !more {
			return false
		}
		rest = after
	}
}
