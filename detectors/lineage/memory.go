package lineage

import (
	"slices"
	"strings"

	"github.com/minewarden/minewarden"
	"github.com/minewarden/minewarden/internal/program"
)

// memory judges a program without a file by what went before it.
func (j *judgement) memory(where minewarden.Evidence) {
	before := j.p.Parent
	switch {
	case before != nil && before.Key.PID == 2: // a helper that the kernel carries in itself
	case j.x.Existing:
		j.tell(ruleMemoryBefore, 0.3, where)
	case ownCopy(j.p):
		j.tell(ruleMemoryCopy, 0.3, where, minewarden.Evidence{Key: "program", Value: before.Exe})
	default:
		j.tell(ruleMemory, 0.7, where)
	}
}

// ownCopy says that a packaged program went on in the same process with the same arguments, as one does that runs a sealed copy of
// itself. Programs that can be told to run anything are left out.
func ownCopy(p *minewarden.Process) bool {
	before := p.Parent
	const can = program.Shell | program.Interpreter | program.Downloader | program.Decoder | program.Wrapper | program.Text
	return before != nil && before.Key == p.Key && before.Package != "" && !before.Memfd && !before.Deleted && len(p.Args) > 0 &&
		program.OfProcess(before)&can == 0 && slices.Equal(before.Args, p.Args)
}

// preloads judges a library that the environment puts into a program before all others.
func (j *judgement) preloads() {
	if j.x.Existing {
		return
	}
	for lib := range strings.FieldsFuncSeq(j.x.Preload, func(r rune) bool { return r == ':' || r == ' ' }) {
		place := program.At(lib)
		e := minewarden.Evidence{Key: "library", Value: lib}
		switch {
		case place&program.SystemHidden != 0, place&program.Writable != 0 && (conceals(lib, place, j.facts) || j.origin.Kind == program.Served):
			j.tell(rulePreload, 0.7, e)
		case place&program.Writable != 0:
			j.tell(rulePreloadHere, 0.4, e)
		default:
			continue
		}
		return
	}
}

// runtimeCopy knows the copies of themselves that container runtimes run from memory, so that a container cannot overwrite
// them. Anybody can choose the name of a memory file, so that a runtime must have started it, itself or through such a copy.
func runtimeCopy(p *minewarden.Process) bool {
	if !runtimeName(p.Exe) {
		return false
	}
	for a := p.Parent; a != nil; a = a.Parent {
		if !a.Memfd || !runtimeName(a.Exe) {
			return runtime(a)
		}
	}
	return false
}

func runtimeName(exe string) bool {
	return strings.Contains(exe, "runc_cloned") || strings.Contains(exe, "runc-dmz") || strings.Contains(exe, "crun") || strings.Contains(exe, "lxc")
}

func runtime(p *minewarden.Process) bool {
	if p.Exe == "" || p.Memfd || p.Deleted || program.At(p.Exe)&(program.Writable|program.Hidden|program.SystemHidden) != 0 {
		return false
	}
	switch base := p.Base(); {
	case base == "runc", base == "crun", base == "conmon", base == "dockerd", base == "containerd", base == "podman", base == "crio", base == "buildkit-runc", base == "buildkitd":
		return true
	default:
		return strings.HasPrefix(base, "containerd-shim") || strings.HasPrefix(base, "lxc-") || strings.HasPrefix(base, "lxd") || strings.HasPrefix(base, "incus")
	}
}
