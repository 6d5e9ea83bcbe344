package quarantine

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strconv"
	"strings"

	"github.com/minewarden/minewarden"
	"github.com/minewarden/minewarden/internal/proc"
	"golang.org/x/sys/unix"
)

const (
	maxTargets = 64
	maxConfig  = 1 << 20
)

// candidates returns the files of an incident: what its members run, what they were told to read, and the subjects of findings.
func candidates(inc *minewarden.Incident) []target {
	var out []target
	seen := map[target]bool{}
	add := func(t target) {
		if !seen[t] && len(out) < maxTargets {
			seen[t] = true
			out = append(out, t)
		}
	}
	boot, err := proc.Boot()
	if err != nil {
		boot = "unknown" // then no member can be looked at, only files of the host
	}
	strong := false
	for _, m := range inc.Members {
		strong = strong || !m.Weak
	}
	for i := range inc.Members {
		m := &inc.Members[i]
		if m.Weak && strong {
			continue
		}
		ofMember(m, boot, add)
	}
	for i := range inc.Findings {
		if s := &inc.Findings[i].Subject; s.Type == minewarden.SubjectFile && filepath.IsAbs(s.ID) {
			add(target{Path: canonical(s.ID)})
		}
	}
	return out
}

func ofMember(m *minewarden.Member, boot string, add func(target)) {
	t := target{Path: m.Exe}
	h, err := proc.Open(m.Key.PID, m.Key.Start)
	alive := err == nil && (m.Key.Boot == boot || m.Key.Boot == "")
	cwd := ""
	if alive {
		dir := "/proc/" + strconv.Itoa(int(m.Key.PID))
		t.PID, t.Start = m.Key.PID, m.Key.Start
		exe, _ := os.Readlink(dir + "/exe") //nolint:errcheck // then what the incident says is all that is known
		path, deleted := strings.CutSuffix(exe, " (deleted)")
		if exe != "" {
			t.Path = path
		}
		t.Exe = deleted || strings.HasPrefix(t.Path, "/memfd:")
		if deleted && strings.HasPrefix(filepath.Base(t.Path), hidden(Op+"-")) {
			return // it is in quarantine already; what runs goes on under the name that it had on its way there
		}
		cwd, _ = os.Readlink(dir + "/cwd")                             //nolint:errcheck // relative arguments are then not followed
		if !t.Exe && (sameRoot(dir) || sameFile(dir+"/exe", t.Path)) { // a chroot's path is shown as we see it
			t.PID, t.Start = 0, 0
		}
	} else if m.Container.ID != "" {
		return // its file system cannot be reached
	}
	if h != nil {
		if h.Close() != nil {
			return
		}
	}
	if t.Path == "" {
		return
	}
	// Packaged programs are tools that the miner used, unless something grave is about them: its script may be its own.
	if m.Package == "" || m.Severity >= minewarden.High || t.Exe {
		add(t)
	}
	config := t
	config.Exe = false
	if alive && t.Exe && sameRoot("/proc/"+strconv.Itoa(int(m.Key.PID))) {
		config.PID, config.Start = 0, 0
	}
	for _, path := range configs(m.Args, t.Path, cwd) {
		config.Path = path
		if isConfig(&config) {
			add(config)
		}
	}
}

// sameRoot reports whether a process sees the files that we see.
func sameRoot(dir string) bool {
	its, err1 := os.Readlink(dir + "/ns/mnt")
	ours, err2 := os.Readlink("/proc/self/ns/mnt")
	return err1 == nil && err2 == nil && its == ours && sameFile(dir+"/root/", "/")
}

func sameFile(a, b string) bool {
	x, err1 := os.Stat(a)
	y, err2 := os.Stat(b)
	return err1 == nil && err2 == nil && os.SameFile(x, y)
}

func canonical(path string) string {
	if real, err := filepath.EvalSymlinks(path); err == nil {
		return real
	}
	return filepath.Clean(path)
}

// configs returns where a configuration may be: what arguments name, and config.json beside the executable or where it was started.
func configs(args []string, exe, cwd string) []string {
	var out []string
	for i, a := range args[min(len(args), 1):] {
		if i >= 64 {
			break
		}
		if _, value, ok := strings.Cut(a, "="); ok && strings.HasPrefix(a, "-") {
			a = value
		}
		if a == "" || a[0] == '-' || len(a) > 4096 || !strings.ContainsAny(a, "./") || strings.Contains(a, "://") {
			continue
		}
		if !filepath.IsAbs(a) {
			if cwd == "" {
				continue
			}
			a = filepath.Join(cwd, a)
		}
		out = append(out, filepath.Clean(a))
	}
	for _, dir := range []string{filepath.Dir(exe), cwd} {
		if filepath.IsAbs(dir) {
			out = append(out, filepath.Join(dir, "config.json"))
		}
	}
	return out
}

// isConfig reports whether the file reads like a miner's configuration, or is a script.
func isConfig(t *target) bool {
	f, refused, err := openTarget(t, "")
	if err != nil || refused != "" {
		return false
	}
	b, err := io.ReadAll(io.NewSectionReader(f.f, 0, maxConfig))
	if err = errors.Join(err, f.close()); err != nil {
		return false
	}
	s := strings.ToLower(string(b))
	if strings.HasPrefix(s, "#!") {
		return true
	}
	n := 0
	for _, word := range []string{"pool", "stratum", "wallet", "\"url\"", "\"user\"", "algo", "donate-level", "randomx", "cryptonight"} {
		if strings.Contains(s, word) {
			n++
		}
	}
	return n >= 2
}

// shared reports whether a file is one that intruders write lines into and that the machine or its people need: without it nobody
// logs in, or everybody's shell is another. No package lists these, for they are made on the machine.
func shared(path string) bool {
	switch path {
	case "/etc/profile", "/etc/bash.bashrc", "/etc/environment", "/etc/passwd", "/etc/shadow", "/etc/group", "/etc/gshadow", "/etc/sudoers", "/etc/hosts",
		"/etc/resolv.conf", "/etc/fstab", "/etc/crontab", "/etc/ld.so.preload", "/etc/ssh/sshd_config":
		return true
	}
	switch filepath.Base(path) {
	case "authorized_keys", "authorized_keys2", "known_hosts", ".bashrc", ".bash_profile", ".bash_login", ".bash_logout", ".profile", ".zshrc", ".zshenv", ".zprofile":
		return true
	}
	return strings.HasPrefix(path, "/var/spool/cron/")
}

// packageOf returns which Debian package installed the file, or "".
func packageOf(t *target) (string, error) {
	root, err := rootOf(t)
	if err != nil {
		return "", err
	}
	defer func() { _ = unix.Close(root) }() // a path handle
	fd, err := unix.Openat2(root, "var/lib/dpkg/info", &unix.OpenHow{Flags: unix.O_RDONLY | unix.O_DIRECTORY | unix.O_CLOEXEC, Resolve: unix.RESOLVE_IN_ROOT})
	if errors.Is(err, unix.ENOENT) {
		return "", nil
	}
	if err != nil {
		return "", fmt.Errorf("ask dpkg who owns %q: %w", t.Path, err)
	}
	dir := os.NewFile(uintptr(fd), "dpkg")
	names, err := dir.Readdirnames(-1)
	if err != nil {
		return "", errors.Join(fmt.Errorf("ask dpkg who owns %q: %w", t.Path, err), dir.Close())
	}
	// Packages list what is in /usr by its old path too.
	want := map[string]bool{t.Path: true, strings.TrimPrefix(t.Path, "/usr"): true, "/usr" + t.Path: true}
	for _, n := range names {
		pkg, ok := strings.CutSuffix(n, ".list")
		if !ok {
			continue
		}
		owns, err := listed(fd, n, want)
		if err != nil {
			return "", errors.Join(fmt.Errorf("ask dpkg who owns %q: %w", t.Path, err), dir.Close())
		}
		if owns {
			return pkg, dir.Close()
		}
	}
	return "", dir.Close()
}

func listed(dir int, name string, want map[string]bool) (bool, error) {
	fd, err := unix.Openat(dir, name, unix.O_RDONLY|unix.O_NOFOLLOW|unix.O_NONBLOCK|unix.O_CLOEXEC, 0)
	if err != nil {
		return false, err
	}
	f := os.NewFile(uintptr(fd), name)
	found := false
	lines := bufio.NewScanner(io.LimitReader(f, 64<<20))
	for !found && lines.Scan() {
		found = want[lines.Text()]
	}
	return found, errors.Join(lines.Err(), f.Close())
}
