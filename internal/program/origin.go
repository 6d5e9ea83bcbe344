package program

import (
	"strings"

	"github.com/minewarden/minewarden"
)

// A Kind is what sort of program stands behind a process, and so how much its acts mean.
type Kind uint8

// The kinds of origins.
const (
	Other   Kind = iota // nobody known
	Served              // a server, reachable from outside, with no reason of its own to fetch programs
	Session             // a login, a container's entrypoint, a scheduled job
	Job                 // a build or CI job
	Install             // the install scripts of a package from a language's registry
	Managed             // package managers and configuration management
)

// An Origin is who stands behind a process.
type Origin struct {
	Kind   Kind
	Root   *minewarden.Process   // never nil
	Branch minewarden.ProcessKey // the process below Root on the way to the one asked for
}

// OriginOf returns the nearest ancestor that says what sort of process this is. The nearest counts: what nginx starts below a
// container's entrypoint is nginx's, and what apt starts below a service is apt's.
func OriginOf(p *minewarden.Process) Origin {
	o := Origin{Root: p, Branch: p.Key}
	child := p
	var session Origin // of a terminal that keeps running without its user, which anybody can start
	for a := p.Parent; a != nil; a = a.Parent {
		if a.Key.PID <= 1 {
			break
		}
		r := OfProcess(a)
		switch {
		case r&(Package|Configure) != 0:
			return Origin{Managed, a, child.Key}
		case r&Build != 0 && installs(a):
			return Origin{Install, a, child.Key}
		case r&Build != 0:
			return Origin{Job, a, child.Key}
		case r&Login != 0 && multiplexer(a) && session.Root == nil:
			session = Origin{Session, a, child.Key}
		case r&Service != 0:
			if r&Interpreter != 0 && a.Ancestor(installer) != nil {
				return Origin{Install, a, child.Key}
			}
			return Origin{Served, a, child.Key}
		case r&(Runner|Login) != 0 && (r&Wrapper == 0 || multiplexer(a)):
			if session.Root != nil {
				return session
			}
			return Origin{Session, a, child.Key}
		}
		// An exec keeps the key: the branch is the process, whatever it ran before.
		if a.Key != child.Key {
			child = a
		}
		o.Root, o.Branch = a, child.Key
	}
	if session.Root != nil {
		return session
	}
	return o
}

func multiplexer(p *minewarden.Process) bool {
	switch p.Base() {
	case "tmux", "tmux: server", "screen", "SCREEN", "dtach", "abduco", "zellij":
		return true
	}
	return false
}

func installer(a *minewarden.Process) bool {
	return OfProcess(a)&Build != 0 && installs(a)
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
