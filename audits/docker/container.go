package docker

import (
	"fmt"
	"strings"

	mw "github.com/minewarden/minewarden"
	"github.com/minewarden/minewarden/internal/intruder"
	"github.com/minewarden/minewarden/internal/verdict"
)

// inspect is what GET /containers/ID/json tells, as far as it matters here. The daemon keeps the same HostConfig on disk.
type inspect struct {
	ID   string `json:"Id"`
	Path string
	Args []string
	// Mounts is the truth: binds made through the Mounts API are not in HostConfig.Binds.
	Mounts []mount
	Config struct {
		Image      string
		Entrypoint []string
		Cmd        []string
		Env        []string
	}
	HostConfig hostConfig
}

type mount struct {
	Type, Source, Destination string
	RW                        bool
}

type hostConfig struct {
	Privileged                                         bool
	Binds                                              []string
	Mounts                                             []struct{ Type, Source, Target string }
	PidMode, IpcMode, NetworkMode, UTSMode, UsernsMode string
	CapAdd, SecurityOpt                                []string
	Devices                                            []struct{ PathOnHost string }
}

// owning are capabilities that a container leaves by.
func owning(c string) bool {
	switch strings.TrimPrefix(strings.ToUpper(c), "CAP_") {
	case "ALL", "SYS_ADMIN", "SYS_MODULE", "SYS_PTRACE", "SYS_RAWIO", "DAC_READ_SEARCH", "BPF", "SYS_BOOT", "MAC_ADMIN":
		return true
	}
	return false
}

// engineSocket tells a container engine's socket by its name, on the host or in the container.
func engineSocket(p string) bool { return strings.HasSuffix(p, ".sock") && verdict.OwnsHost(p) }

// judgeContainer adds what is wrong with a container. Nothing is said of rules that hold: the caller says what was read.
func (a *auditor) judgeContainer(b *verdict.Builder, name string, in *inspect, at mw.Subject) {
	h := in.HostConfig
	fail := func(rule, f string, args ...any) {
		b.Fail(verdict.Claim{
			Rule: rule, Subject: at, Proof: "container " + name + ": " + fmt.Sprintf(f, args...),
			Evidence: []mw.Evidence{{Key: "image", Value: in.Config.Image}, {Key: "command", Value: strings.Join(append([]string{in.Path}, in.Args...), " ")}},
		})
	}
	if h.Privileged {
		fail(rulePriv, "HostConfig.Privileged true")
	}
	seen := map[string]bool{}
	judge := func(source, target, how string) {
		if source == "" || seen[source] {
			return
		}
		seen[source] = true
		switch {
		case engineSocket(source) || engineSocket(target):
			fail(ruleSock, "%s %s", how, source)
		case verdict.OwnsHost(source):
			fail(ruleMount, "%s %s", how, source)
		}
	}
	for _, m := range in.Mounts {
		if m.Type == "bind" || m.Type == "" {
			mode := "read-only"
			if m.RW {
				mode = "read-write"
			}
			judge(m.Source, m.Destination, "Mounts at "+m.Destination+" "+mode+" from")
		}
	}
	for _, bind := range h.Binds {
		source, rest, _ := strings.Cut(bind, ":")
		target, _, _ := strings.Cut(rest, ":")
		judge(source, target, "Binds "+bind+" from")
	}
	for _, m := range h.Mounts {
		if m.Type == "bind" {
			judge(m.Source, m.Target, "HostConfig.Mounts at "+m.Target+" from")
		}
	}
	var shared []string
	for what, mode := range map[string]string{"pid": h.PidMode, "ipc": h.IpcMode, "uts": h.UTSMode} {
		if mode == "host" {
			shared = append(shared, what)
		}
	}
	if h.PidMode == "host" || h.IpcMode == "host" {
		sortStrings(shared)
		fail(ruleHostNS, "shares the host's %s", strings.Join(shared, ", "))
	}
	if h.NetworkMode == "host" {
		fail(ruleHostNet, "NetworkMode host")
	}
	var caps []string
	for _, c := range h.CapAdd {
		if owning(c) {
			caps = append(caps, c)
		}
	}
	if len(caps) > 0 {
		fail(ruleCaps, "CapAdd %s", strings.Join(caps, ", "))
	}
	var open []string
	for _, o := range h.SecurityOpt {
		if strings.HasSuffix(strings.ReplaceAll(o, ":", "="), "=unconfined") {
			open = append(open, o)
		}
	}
	if len(open) > 0 {
		fail(ruleUnconf, "SecurityOpt %s", strings.Join(open, ", "))
	}
	for _, d := range h.Devices {
		if verdict.OwnsHost(d.PathOnHost) {
			fail(ruleMount, "device %s", d.PathOnHost)
		}
	}
	a.judgeCommand(name, in, fail)
}

func (a *auditor) judgeCommand(name string, in *inspect, fail func(rule, f string, args ...any)) {
	words := append([]string{in.Path}, in.Args...)
	if in.Path == "" {
		words = append(append([]string(nil), in.Config.Entrypoint...), in.Config.Cmd...)
	}
	sign := a.judge.Command(words...)
	for _, s := range []intruder.Sign{a.judge.Image(in.Config.Image), a.judge.Name(name)} {
		if s.Kind > sign.Kind {
			sign = s
		}
	}
	switch sign.Kind {
	case intruder.Miner:
		fail(ruleMiner, "its command, image or name shows %q", sign.Text)
	case intruder.Download:
		fail(ruleFetch, "its command shows %q", sign.Text)
	}
}
