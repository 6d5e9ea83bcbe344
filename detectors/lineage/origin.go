package lineage

import (
	"strings"

	"github.com/minewarden/minewarden"
	"github.com/minewarden/minewarden/internal/program"
)

// A kind is what sort of program stands behind a process, and so how much its acts mean.
type kind uint8

const (
	other   kind = iota // nobody known
	service             // reachable from outside, with no reason of its own to fetch programs
	session             // a login, a container's entrypoint, a scheduled job
	job                 // a build or CI job
	install             // the install scripts of a package from a language's registry
	managed             // package managers and configuration management
)

// An origin is who stands behind a process.
type origin struct {
	kind   kind
	root   *minewarden.Process   // never nil
	branch minewarden.ProcessKey // the process below root on the way to the one asked for
}

// originOf returns the nearest ancestor that says what sort of process this is. The nearest counts: what nginx starts below a
// container's entrypoint is nginx's, and what apt starts below a service is apt's.
func originOf(p *minewarden.Process) origin {
	o := origin{root: p, branch: p.Key}
	child := p
	for a := p.Parent; a != nil; a = a.Parent {
		if a.Key.PID <= 1 {
			break
		}
		r := program.OfProcess(a)
		switch {
		case r&(program.Package|program.Configure) != 0:
			return origin{managed, a, child.Key}
		case r&program.Build != 0 && installs(a):
			return origin{install, a, child.Key}
		case r&program.Build != 0:
			return origin{job, a, child.Key}
		case r&program.Service != 0:
			if r&program.Interpreter != 0 && a.Ancestor(installer) != nil {
				return origin{install, a, child.Key}
			}
			return origin{service, a, child.Key}
		case r&(program.Runner|program.Login) != 0 && r&program.Wrapper == 0:
			return origin{session, a, child.Key}
		}
		// An exec keeps the key: the branch is the process, whatever it ran before.
		if a.Key != child.Key {
			child = a
		}
		o.root, o.branch = a, child.Key
	}
	return o
}

func installer(a *minewarden.Process) bool {
	return program.OfProcess(a)&program.Build != 0 && installs(a)
}

// installs says that a build tool is fetching packages and running their scripts. npm sets its title to "npm install".
func installs(p *minewarden.Process) bool {
	if strings.HasPrefix(p.Name, "npm inst") || strings.HasPrefix(p.Name, "npm ci") || strings.HasPrefix(p.Name, "npm i ") {
		return true
	}
	for i, a := range p.Args {
		if i == 0 || i > 8 {
			continue
		}
		switch a {
		case "install", "ci", "i", "add", "update", "sync":
			return true
		}
	}
	return false
}
