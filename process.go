package minewarden

import (
	"fmt"
	"strconv"
	"strings"
	"time"
)

// TicksPerSecond is the unit of ProcessKey.Start: USER_HZ, which every Linux shows to user space as 100.
const TicksPerSecond = 100

// A ProcessKey names one process for ever: pids are used again, a start time after boot is not.
type ProcessKey struct {
	Boot  string `json:"boot,omitempty"` // /proc/sys/kernel/random/boot_id; empty in a sensor's event means this boot
	PID   int32  `json:"pid"`            // of the thread group, in the initial pid namespace
	Start uint64 `json:"start"`          // 1/100 s after boot, as /proc/PID/stat field 22
}

// String returns boot/pid@start.
func (k ProcessKey) String() string {
	return k.Boot + "/" + strconv.Itoa(int(k.PID)) + "@" + strconv.FormatUint(k.Start, 10)
}

// ParseProcessKey reads what String writes.
func ParseProcessKey(s string) (ProcessKey, error) {
	boot, rest, ok := cutLast(s, "/")
	pid, start, ok2 := strings.Cut(rest, "@")
	p, err := strconv.ParseInt(pid, 10, 32)
	t, err2 := strconv.ParseUint(start, 10, 64)
	if !ok || !ok2 || err != nil || err2 != nil {
		return ProcessKey{}, fmt.Errorf("process %q is not of the form boot/pid@start", s)
	}
	return ProcessKey{Boot: boot, PID: int32(p), Start: t}, nil
}

func cutLast(s, sep string) (before, after string, found bool) {
	if i := strings.LastIndex(s, sep); i >= 0 {
		return s[:i], s[i+len(sep):], true
	}
	return "", s, false
}

// A Process is one program run by one process: immutable, so an exec makes a new one with the same key. The sensor fills
// Key and what it knows, the pipeline the rest.
type Process struct {
	Key       ProcessKey `json:"key"`
	Name      string     `json:"name,omitempty"` // comm, at most 15 bytes
	Exe       string     `json:"exe,omitempty"`  // empty for kernel threads
	Args      []string   `json:"args,omitempty"`
	Cwd       string     `json:"cwd,omitempty"`
	UID       uint32     `json:"uid"`
	Started   time.Time  `json:"started,omitzero"` // of this program: the exec, not the fork
	Container Container  `json:"container,omitzero"`
	Cgroup    string     `json:"cgroup,omitempty"`  // path below the hierarchy's root, of v2 or else of v1 systemd/pids
	Package   string     `json:"package,omitempty"` // owner of Exe as "dpkg:openssl"; empty: none, or not looked at
	Inode     Inode      `json:"inode,omitzero"`    // of Exe
	SHA256    string     `json:"sha256,omitempty"`  // of Exe; empty until it was hashed
	Memfd     bool       `json:"memfd,omitempty"`   // Exe lives in memory only
	Deleted   bool       `json:"deleted,omitempty"` // Exe had no name any more when it was started or looked at
	Kernel    bool       `json:"kernel,omitempty"`  // a kernel thread
	Existing  bool       `json:"existing,omitempty"`

	// Parent is who started this program: the program that ran in the same process before it (a shell that execs its last
	// command), or else the process that forked it, as that was at the time. It stays when the parent exits. Nil for pid 1,
	// kthreadd and where unknown. A chain is at most MaxAncestors long.
	Parent *Process `json:"-"`
}

// MaxAncestors bounds Process.Parent chains: deeper ones are cut at the far end.
const MaxAncestors = 64

// An Inode names a file's content at one time.
type Inode struct {
	Dev   uint64 `json:"dev"`
	Ino   uint64 `json:"ino"`
	Mtime int64  `json:"mtime,omitempty"` // nanoseconds since 1970; 0: unknown
}

// A Container is who runs a process apart from the host. Zero: none.
type Container struct {
	Runtime string `json:"runtime,omitempty"` // docker, containerd, podman, crio, kubernetes, lxc, systemd-nspawn
	ID      string `json:"id,omitempty"`      // as the runtime gives it, in full
	Pod     string `json:"pod,omitempty"`     // Kubernetes pod UID
}

// Ancestor returns the nearest ancestor, p itself not included, for which match is true, or nil.
func (p *Process) Ancestor(match func(*Process) bool) *Process {
	for a := p.Parent; a != nil; a = a.Parent {
		if match(a) {
			return a
		}
	}
	return nil
}

// Lineage returns names from the oldest known ancestor down to p, as "systemd > nomad > sh > wget".
func (p *Process) Lineage() string {
	var names []string
	for a := p; a != nil; a = a.Parent {
		names = append(names, a.Name)
	}
	for i, j := 0, len(names)-1; i < j; i, j = i+1, j-1 {
		names[i], names[j] = names[j], names[i]
	}
	return strings.Join(names, " > ")
}

// Base returns the last part of the executable's path, or the name where there is none.
func (p *Process) Base() string {
	if p.Exe == "" {
		return p.Name
	}
	_, base, _ := cutLast(p.Exe, "/")
	return base
}
