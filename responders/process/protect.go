package process

import (
	"errors"
	"fmt"
	"os"
	"os/user"
	"path"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"

	"github.com/minewarden/minewarden/internal/proc"
)

// Config is the section "process" of the configuration.
type Config struct {
	Protect Protect `yaml:"protect"`
}

// Protect lists processes that are never touched, beside those that nobody may list away.
type Protect struct {
	Exe       []string  `yaml:"exe"`       // paths, or patterns of path.Match
	Program   []Program `yaml:"program"`   // both must hold: for interpreters and busy paths
	Unit      []string  `yaml:"unit"`      // "nginx.service"
	Container []string  `yaml:"container"` // ids, or their first 12 digits or more
	User      []string  `yaml:"user"`      // names or uids
}

// A Program is a name together with a path.
type Program struct {
	Name string `yaml:"name"`
	Exe  string `yaml:"exe"`
}

// Validate does no I/O.
func (c *Config) Validate() error {
	patterns := slices.Clone(c.Protect.Exe)
	for _, p := range c.Protect.Program {
		if p.Name == "" || p.Exe == "" {
			return fmt.Errorf("protect.program: name %q with exe %q: both are needed", p.Name, p.Exe)
		}
		patterns = append(patterns, p.Exe)
	}
	for _, p := range patterns {
		if _, err := path.Match(p, "/"); err != nil || !strings.HasPrefix(p, "/") {
			return fmt.Errorf("protect.exe: %q is not an absolute path or pattern", p)
		}
	}
	for _, id := range c.Protect.Container {
		if len(id) < 12 {
			return fmt.Errorf("protect.container: %q is shorter than 12 digits", id)
		}
	}
	return nil
}

// vital are programs without which nobody gets back in, or a host falls over. A name alone protects nothing: miners choose
// theirs. The file must be the host's own, where only root may write.
var vital = []string{
	"sshd", "sshd-session", "sshd-auth", "dropbear", "systemd", "systemd-*", "init", "dbus-daemon", "dbus-broker",
	"dbus-broker-launch", "dockerd", "docker-proxy", "containerd", "containerd-shim*", "runc", "crun", "conmon", "crio",
	"podman", "kubelet", "agetty", "login", "NetworkManager", "udevd",
}

func isVital(name string) bool {
	return slices.ContainsFunc(vital, func(p string) bool { ok, _ := path.Match(p, name); return ok }) //nolint:errcheck // constant patterns
}

// guard decides what may not be touched. One is made for one look at the machine.
type guard struct {
	config Protect
	self   map[int32]bool // the agent and its ancestors
}

func newGuard(c Protect, all map[int32]proc.Stat) guard {
	g := guard{config: c, self: map[int32]bool{}}
	for pid := int32(os.Getpid()); pid > 0 && !g.self[pid]; pid = all[pid].PPID {
		g.self[pid] = true
	}
	return g
}

// refuses returns why s must not be touched, or "".
func (g *guard) refuses(s *proc.Stat, d *details) string {
	switch {
	case s.PID == 1:
		return "it is init"
	case s.Kernel:
		return "it is a kernel thread"
	case s.PID == int32(os.Getpid()):
		return "it is minewarden itself"
	case g.self[s.PID]:
		return "minewarden runs below it"
	}
	if why := d.vital(s); why != "" {
		return why
	}
	match := func(p string) bool { ok, err := path.Match(p, d.exe); return ok && err == nil }
	switch {
	case slices.ContainsFunc(g.config.Exe, match):
		return "its executable is on the protect list"
	case slices.ContainsFunc(g.config.Program, func(p Program) bool { return p.Name == s.Comm && match(p.Exe) }):
		return "its name and executable are on the protect list"
	case slices.ContainsFunc(g.config.Unit, func(u string) bool { return slices.Contains(strings.Split(d.cgroup, "/"), u) }):
		return "its unit is on the protect list"
	case d.container != "" && slices.ContainsFunc(g.config.Container, func(c string) bool { return strings.HasPrefix(d.container, c) }):
		return "its container is on the protect list"
	case slices.Contains(g.config.User, d.user) || slices.Contains(g.config.User, strconv.Itoa(int(d.uid))):
		return "its user is on the protect list"
	}
	return ""
}

// details are what a person wants to know of a process.
type details struct {
	exe       string // as /proc says, without " (deleted)"
	deleted   bool
	unread    bool // exe could not be read
	sameFile  bool // exe is that file of the host
	uid       uint32
	user      string
	cgroup    string
	container string
}

// look reads what is known of pid. It asks the user database once for each user not in users.
func look(pid int32, users map[uint32]string) (*details, error) {
	dir := "/proc/" + strconv.Itoa(int(pid))
	d := &details{}
	fi, err := os.Stat(dir)
	if err != nil {
		return nil, fmt.Errorf("look at pid %d: %w: %w", pid, proc.ErrGone, err)
	}
	if st, ok := fi.Sys().(*syscall.Stat_t); ok {
		d.uid = st.Uid // the effective one; root for a process that may not be dumped
	}
	if _, ok := users[d.uid]; !ok {
		id := strconv.Itoa(int(d.uid))
		users[d.uid] = id
		if u, err := user.LookupId(id); err == nil {
			users[d.uid] = u.Username
		}
	}
	d.user = users[d.uid]
	d.exe, err = os.Readlink(dir + "/exe")
	d.unread = err != nil && !errors.Is(err, os.ErrNotExist) && !errors.Is(err, syscall.ESRCH)
	d.exe, d.deleted = strings.CutSuffix(d.exe, " (deleted)")
	if running, err := os.Stat(dir + "/exe"); err == nil && !d.deleted {
		if host, err := os.Stat(d.exe); err == nil {
			d.sameFile = os.SameFile(running, host)
		}
	}
	if b, err := proc.ReadSmall(dir + "/cgroup"); err == nil {
		paths := proc.ParseCgroups(b)
		for _, c := range []string{"", "name=systemd", "pids", "freezer"} {
			if len(paths[c]) > len(d.cgroup) {
				d.cgroup = paths[c]
			}
		}
		d.container = containerID(d.cgroup)
	}
	return d, nil
}

func (d *details) vital(s *proc.Stat) string {
	if d.unread {
		if d.uid == 0 && isVital(s.Comm) {
			return "it is " + s.Comm + ", which the host needs"
		}
		return ""
	}
	base := filepath.Base(d.exe)
	if !isVital(base) || !rootOwned(d.exe) {
		return ""
	}
	// After an upgrade the running file is deleted and another stands in its place: still the host's, unless this runs in
	// another view of the file system.
	if d.sameFile || d.deleted && sameMounts(s.PID) {
		return "it is " + d.exe + ", which the host needs"
	}
	return ""
}

// rootOwned reports whether only root can put a file there.
func rootOwned(file string) bool {
	for p := file; ; p = filepath.Dir(p) {
		fi, err := os.Stat(p)
		if err != nil {
			return false
		}
		st, ok := fi.Sys().(*syscall.Stat_t)
		if !ok || st.Uid != 0 || fi.Mode().Perm()&0o022 != 0 {
			return false
		}
		if p == "/" || p == "." {
			return p == "/"
		}
	}
}

func sameMounts(pid int32) bool {
	mine, err1 := os.Readlink("/proc/self/ns/mnt")
	its, err2 := os.Readlink("/proc/" + strconv.Itoa(int(pid)) + "/ns/mnt")
	return err1 == nil && err2 == nil && mine == its
}

// containerID returns the 64 hexadecimal digits that container runtimes put into the last parts of a cgroup's path.
func containerID(cgroup string) string {
	for _, part := range strings.FieldsFunc(cgroup, func(r rune) bool { return r == '/' || r == '-' || r == '.' || r == ':' }) {
		if len(part) == 64 && strings.Trim(part, "0123456789abcdef") == "" {
			return part
		}
	}
	return ""
}
