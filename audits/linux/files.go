package linux

import (
	"fmt"
	"io/fs"
	"path"
	"strings"

	"github.com/minewarden/minewarden"
	"github.com/minewarden/minewarden/internal/verdict"
)

// files looks at what starts programs: units, init scripts, schedules.
func (s *sheet) files() {
	s.writable(ruleServiceFiles, []string{
		"etc/systemd/system", "etc/systemd/user", "usr/lib/systemd/system", "lib/systemd/system", "usr/local/lib/systemd/system",
		"etc/init.d", "etc/rc.local", "etc/ld.so.preload", "etc/profile.d", "etc/profile",
	})
	s.writable(ruleCronFiles, []string{"etc/crontab", "etc/anacrontab", "etc/cron.d", "etc/cron.hourly", "etc/cron.daily", "etc/cron.weekly", "etc/cron.monthly", "var/spool/cron"})
}

const maxDepth = 4

func (s *sheet) writable(rule string, roots []string) {
	looked, unknown := 0, 0
	var visit func(name string, depth int)
	visit = func(name string, depth int) {
		fi, err := fs.Stat(s.root, name)
		if missing(err) {
			return // also a link to nowhere: a masked unit's /dev/null is there on a running host only
		}
		if err != nil {
			unknown++
			s.Unknown(rule, err.Error())
			return
		}
		if !fi.IsDir() && !fi.Mode().IsRegular() {
			return // a unit is masked by a link to /dev/null
		}
		looked++
		crontabs := strings.HasPrefix(name, "var/spool/cron/") // belong to their accounts
		if why, ok := isWritable(fi); ok && (!crontabs || fi.Mode().Perm()&0o002 != 0 && fi.Mode()&fs.ModeSticky == 0) {
			s.Prove(rule, s.File("/"+name, 0, 0), "/"+name+": "+why, mode(fi.Mode().Perm()&^0o022, "only its owner writes", name))
		}
		if !fi.IsDir() || depth >= maxDepth {
			return
		}
		es, err := s.entries(name)
		if err != nil {
			unknown++
			s.Unknown(rule, err.Error())
			return
		}
		for _, e := range es {
			visit(path.Join(name, e.Name()), depth+1)
		}
	}
	for _, r := range roots {
		visit(r, 0)
	}
	if unknown == 0 {
		s.Pass(rule, fmt.Sprintf("none of %d files and folders can be changed by others than root", looked))
	}
}

// sysctls reads the kernel's settings; of an image that does not run, the files that set them.
func (s *sheet) sysctls() {
	set := func(key string, value int, summary string) *minewarden.Repair {
		return &minewarden.Repair{
			Summary: summary, Config: fmt.Sprintf("%s = %d", key, value), Format: minewarden.FormatKeyValue,
			Edits: []minewarden.Edit{verdict.Set("etc/sysctl.d/99-minewarden.conf", minewarden.FormatKeyValue, value, key)},
		}
	}
	file := "etc/sysctl.d/99-minewarden.conf"
	switch v, how := s.sysctl("kernel.yama.ptrace_scope"); v {
	case "0":
		s.Prove(rulePtrace, s.File("/"+file, 0, 0), "kernel.yama.ptrace_scope is 0 ("+how+")", set("kernel.yama.ptrace_scope", 1, "a debugger attaches to its own children only, until sysctl --system is run it stays as it is"))
	case "":
		s.Unknown(rulePtrace, how)
	default:
		s.Pass(rulePtrace, "kernel.yama.ptrace_scope is "+v+" ("+how+")")
	}
	switch v, how := s.sysctl("kernel.unprivileged_bpf_disabled"); v {
	case "0":
		s.Prove(ruleBPF, s.File("/"+file, 0, 0), "kernel.unprivileged_bpf_disabled is 0 ("+how+")", set("kernel.unprivileged_bpf_disabled", 1, "only root loads programs into the kernel; cannot be taken back until the next start"))
	case "":
		s.Unknown(ruleBPF, how)
	default:
		s.Pass(ruleBPF, "kernel.unprivileged_bpf_disabled is "+v+" ("+how+")")
	}
	clone, how1 := s.sysctl("kernel.unprivileged_userns_clone") // Debian's
	most, how2 := s.sysctl("user.max_user_namespaces")
	armor, how3 := s.sysctl("kernel.apparmor_restrict_unprivileged_userns") // Ubuntu's
	switch {
	case clone == "0":
		s.Pass(ruleUserns, "kernel.unprivileged_userns_clone is 0 ("+how1+")")
	case most == "0":
		s.Pass(ruleUserns, "user.max_user_namespaces is 0 ("+how2+")")
	case armor == "1":
		s.Pass(ruleUserns, "kernel.apparmor_restrict_unprivileged_userns is 1 ("+how3+")")
	case clone == "" && most == "":
		s.Unknown(ruleUserns, how2)
	default:
		key, value := "user.max_user_namespaces", 0
		if clone != "" {
			key = "kernel.unprivileged_userns_clone"
		}
		s.Prove(ruleUserns, s.File("/"+file, 0, 0), fmt.Sprintf("unprivileged accounts may make user namespaces (user.max_user_namespaces %s)", most),
			set(key, value, "rootless containers and some browsers stop working"))
	}
}

// sysctl returns a setting and where it was read; "" and why when it is not known.
func (s *sheet) sysctl(key string) (value, how string) {
	name := "proc/sys/" + strings.ReplaceAll(key, ".", "/")
	v, err := s.word(name)
	if err == nil && v != "" {
		return v, "/" + name
	}
	if _, e := fs.Stat(s.root, "proc/sys/kernel"); e == nil {
		return "", "the kernel has no " + key
	}
	// The later file wins, and files are read in the order of their names whatever their folder.
	last := map[string]string{}
	var names []string
	for _, dir := range []string{"etc/sysctl.d", "run/sysctl.d", "usr/local/lib/sysctl.d", "usr/lib/sysctl.d"} {
		es, err := s.entries(dir)
		if err != nil {
			continue
		}
		for _, e := range es {
			if _, ok := last[e.Name()]; !ok && strings.HasSuffix(e.Name(), ".conf") {
				last[e.Name()] = dir + "/" + e.Name()
				names = append(names, e.Name())
			}
		}
	}
	files := []string{}
	for _, n := range sorted(names) {
		files = append(files, last[n])
	}
	for _, f := range append(files, "etc/sysctl.conf") {
		b, err := s.read(f)
		if err != nil {
			continue
		}
		for line := range strings.Lines(string(b)) {
			k, v, ok := strings.Cut(strings.TrimSpace(line), "=")
			k = strings.ReplaceAll(strings.TrimPrefix(strings.TrimSpace(k), "-"), "/", ".")
			if ok && k == key {
				value, how = strings.TrimSpace(v), "/"+f
			}
		}
	}
	if value == "" {
		return "", "no /proc to read " + key + " from, and no file sets it"
	}
	return value, how
}

// mounts looks at the directories that everybody writes to.
func (s *sheet) mounts() {
	b, err := s.read("proc/1/mounts")
	if err != nil {
		b, err = s.read("proc/mounts")
	}
	source := "/proc/mounts"
	if err != nil {
		if b, err = s.read("etc/fstab"); err != nil {
			s.Unknown(ruleTmpExec, "neither /proc/mounts nor /etc/fstab can be read")
			return
		}
		source = "/etc/fstab"
	}
	options := map[string]string{}
	for line := range strings.Lines(string(b)) {
		f := strings.Fields(line)
		if len(f) >= 4 && f[0][0] != '#' && len(options) < maxEntries {
			options[f[1]] = f[3]
		}
	}
	for _, dir := range []string{"/tmp", "/var/tmp", "/dev/shm"} {
		opts, mounted := options[dir]
		if !mounted {
			if fi, err := fs.Stat(s.root, dir[1:]); err != nil || !fi.IsDir() || dir == "/dev/shm" && source == "/etc/fstab" {
				continue
			}
			s.Prove(ruleTmpExec, s.File(dir, 0, 0), dir+" is not a mount of its own, so programs run from it", unitRepair(dir))
			continue
		}
		var lacks []string
		for _, o := range []string{"noexec", "nosuid"} {
			if !has(opts, o) {
				lacks = append(lacks, o)
			}
		}
		if len(lacks) > 0 {
			s.Prove(ruleTmpExec, s.File(dir, 0, 0), fmt.Sprintf("%s is mounted without %s (%s)", dir, strings.Join(lacks, " and "), source), unitRepair(dir), verdict.Evidence("options", opts)...)
		}
	}
	s.Pass(ruleTmpExec, "/tmp, /var/tmp and /dev/shm are mounted with noexec and nosuid")
}

func unitRepair(dir string) *minewarden.Repair {
	return shell("programs no longer run from "+dir+"; some installers unpack and run there", "echo 'tmpfs "+dir+" tmpfs rw,nosuid,nodev,noexec,mode=1777 0 0' >> /etc/fstab && mount "+dir)
}

func has(options, want string) bool {
	for _, o := range strings.Split(options, ",") {
		if o == want {
			return true
		}
	}
	return false
}

func (s *sheet) logs() {
	storage := "auto"
	files := []string{"etc/systemd/journald.conf"}
	for _, dir := range []string{"usr/lib/systemd/journald.conf.d", "etc/systemd/journald.conf.d"} {
		if es, err := s.entries(dir); err == nil {
			for _, e := range es {
				files = append(files, dir+"/"+e.Name())
			}
		}
	}
	seen := false
	for _, f := range files {
		b, err := s.read(f)
		if err != nil {
			continue
		}
		seen = true
		for line := range strings.Lines(string(b)) {
			if v, ok := strings.CutPrefix(strings.TrimSpace(line), "Storage="); ok {
				storage = strings.TrimSpace(v)
			}
		}
	}
	_, err := fs.Stat(s.root, "var/log/journal")
	switch {
	case !seen && missing(err):
		s.NotApplicable(ruleJournal, "there is no journald.conf")
	case storage == "persistent" || storage == "auto" && err == nil:
		s.Pass(ruleJournal, "Storage is "+storage+" and the journal is in /var/log/journal")
	default:
		s.Prove(ruleJournal, s.File("/etc/systemd/journald.conf", 0, 0), "Storage is "+storage+" and there is no /var/log/journal", &minewarden.Repair{
			Summary: "the journal is kept on disk", Config: "[Journal]\nStorage=persistent", Format: minewarden.FormatSystemd,
			Edits: []minewarden.Edit{verdict.Set("etc/systemd/journald.conf.d/99-minewarden.conf", minewarden.FormatSystemd, "persistent", "Journal", "Storage")},
		})
	}
	if _, err := fs.Stat(s.root, "etc/audit/auditd.conf"); err == nil {
		s.Pass(ruleAuditd, "/etc/audit/auditd.conf is there")
	} else if missing(err) {
		s.Prove(ruleAuditd, s.File("/etc/audit/auditd.conf", 0, 0), "there is no /etc/audit/auditd.conf", shell("an audit trail is kept; it takes disk space", "apt-get install auditd || dnf install audit"))
	} else {
		s.Unknown(ruleAuditd, err.Error())
	}
}

func (s *sheet) updates() {
	if es, err := s.entries("etc/apt/apt.conf.d"); err == nil {
		on := ""
		for _, e := range es {
			b, err := s.read("etc/apt/apt.conf.d/" + e.Name())
			if err != nil {
				s.Unknown(ruleUpdates, err.Error())
				continue
			}
			for line := range strings.Lines(string(b)) {
				line = strings.TrimSpace(line)
				if v, ok := strings.CutPrefix(line, "APT::Periodic::Unattended-Upgrade"); ok && !strings.HasPrefix(line, "//") {
					on = strings.Trim(v, " \t\";")
				}
			}
		}
		_, missingBinary := fs.Stat(s.root, "usr/bin/unattended-upgrade")
		if on != "" && on != "0" && missingBinary == nil {
			s.Pass(ruleUpdates, "APT::Periodic::Unattended-Upgrade is "+on)
			return
		}
		s.Prove(ruleUpdates, s.File("/etc/apt/apt.conf.d/20auto-upgrades", 0, 0), "unattended-upgrades is not installed or not switched on", &minewarden.Repair{
			Summary: "security updates are installed every day", Format: minewarden.FormatShell,
			Config: "apt-get install unattended-upgrades && dpkg-reconfigure -f noninteractive unattended-upgrades",
		})
		return
	}
	if b, err := s.read("etc/dnf/automatic.conf"); err == nil {
		for line := range strings.Lines(string(b)) {
			k, v, ok := strings.Cut(line, "=")
			if ok && strings.TrimSpace(k) == "apply_updates" && strings.EqualFold(strings.TrimSpace(v), "yes") {
				s.Pass(ruleUpdates, "apply_updates is yes in /etc/dnf/automatic.conf")
				return
			}
		}
		s.Prove(ruleUpdates, s.File("/etc/dnf/automatic.conf", 0, 0), "apply_updates is not yes", &minewarden.Repair{
			Summary: "updates are installed by themselves", Config: "apply_updates = yes", Format: minewarden.FormatINI,
			Edits: []minewarden.Edit{verdict.Set("etc/dnf/automatic.conf", minewarden.FormatINI, "yes", "commands", "apply_updates")},
		})
		return
	}
	s.Unknown(ruleUpdates, "the distribution's way of updating is not known")
}
