package credentials

import (
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"

	"github.com/minewarden/minewarden"
	"github.com/minewarden/minewarden/internal/proc"
	"github.com/minewarden/minewarden/responders/internal/edit"
)

// facts are whose rights the lineage had, and which accounts findings name.
type facts struct {
	uids      []uint32 // of members outside containers
	unknown   bool     // a member's rights are not known: then root's are assumed
	names     []string // accounts that findings are about
	keys      []keyClaim
	processes []process
	intruder  bool // findings speak of somebody who gave commands or took credentials, not of a program alone
}

// keyClaim is a key that a finding is about.
type keyClaim struct {
	path string
	end  string // of its line
}

// process is a member that still runs.
type process struct {
	pid       int32
	start     uint64
	name      string
	uid       uint32
	container string
}

const (
	maxFacts  = 64 // of each sort
	minKeyEnd = 16 // bytes of a line's end that must agree
)

func put[T comparable](list *[]T, v T) {
	if len(*list) < maxFacts && !slices.Contains(*list, v) {
		*list = append(*list, v)
	}
}

func gather(inc *minewarden.Incident) *facts {
	f := &facts{}
	strong := slices.ContainsFunc(inc.Members, func(m minewarden.Member) bool { return !m.Weak })
	boot, err := proc.Boot()
	if err != nil {
		boot = "unknown" // then no member can be looked at
	}
	for i := range inc.Members {
		if m := &inc.Members[i]; !m.Weak || !strong {
			f.member(m, boot)
		}
	}
	for i := range inc.Findings {
		f.finding(&inc.Findings[i])
	}
	return f
}

func (f *facts) member(m *minewarden.Member, boot string) {
	uid, known := uint32(0), m.UID != nil
	if known {
		uid = *m.UID
	}
	if m.Key.Boot == boot || m.Key.Boot == "" {
		if h, err := proc.Open(m.Key.PID, m.Key.Start); err == nil {
			defer func() { _ = h.Close() }() // held only so that the pid stays the process's
			if now, err := uidOf(m.Key.PID); err == nil {
				uid, known = now, true
				put(&f.processes, process{m.Key.PID, m.Key.Start, m.Name, uid, m.Container.ID})
			}
		}
	}
	switch {
	case m.Container.ID != "": // its rights are its container's
	case known:
		put(&f.uids, uid)
	default:
		f.unknown = true
	}
}

// uidOf returns the user that files are opened as.
func uidOf(pid int32) (uint32, error) {
	b, err := proc.ReadSmall("/proc/" + strconv.Itoa(int(pid)) + "/status")
	if err != nil {
		return 0, err
	}
	for l := range strings.SplitSeq(string(b), "\n") {
		if rest, ok := strings.CutPrefix(l, "Uid:"); ok {
			if w := strings.Fields(rest); len(w) == 4 {
				n, err := strconv.ParseUint(w[3], 10, 32)
				return uint32(n), err
			}
		}
	}
	return 0, os.ErrNotExist
}

// steered are the families of rules that see what somebody did who was inside.
var steered = [...]string{"login", "credential", "lineage", "exploit", "persistence"}

func (f *facts) finding(x *minewarden.IncidentFinding) {
	if family, _, _ := strings.Cut(x.Rule, "/"); x.Severity >= minewarden.High && slices.Contains(steered[:], family) {
		f.intruder = true
	}
	if x.Subject.Type == minewarden.SubjectAccount {
		put(&f.names, x.Subject.ID)
	}
	if strings.HasPrefix(x.Rule, "login/") && x.Severity >= minewarden.Medium {
		for _, e := range x.Evidence {
			if e.Key == "user" {
				put(&f.names, e.Value)
			}
		}
	}
	if x.Subject.Type != minewarden.SubjectFile || !filepath.IsAbs(x.Subject.ID) || !strings.Contains(x.Subject.ID, "/.ssh/authorized_keys") {
		return
	}
	for _, e := range x.Evidence {
		if e.Key == "text" && len(e.Value) >= minKeyEnd && x.Severity >= minewarden.Low {
			put(&f.keys, keyClaim{edit.Canonical(x.Subject.ID), strings.TrimPrefix(strings.TrimSpace(e.Value), "…")})
		}
	}
}
