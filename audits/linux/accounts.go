package linux

import (
	"fmt"
	"io/fs"
	"path"
	"slices"
	"strconv"
	"strings"

	"github.com/minewarden/minewarden/internal/verdict"
)

type user struct {
	name, home string
	uid, gid   uint32
}

const maxUsers = 100_000

func (s *sheet) passwd() ([]user, error) {
	b, err := s.read("etc/passwd")
	if err != nil {
		return nil, err
	}
	var out []user
	for line := range strings.Lines(string(b)) {
		f := strings.Split(strings.TrimSpace(line), ":")
		if len(f) < 7 || len(out) >= maxUsers {
			continue
		}
		uid, e1 := strconv.ParseUint(f[2], 10, 32)
		gid, e2 := strconv.ParseUint(f[3], 10, 32)
		if e1 == nil && e2 == nil {
			out = append(out, user{f[0], strings.Trim(path.Clean("/"+f[5]), "/"), uint32(uid), uint32(gid)})
		}
	}
	return out, nil
}

// accounts looks for members of the groups that own a container runtime.
func (s *sheet) accounts() {
	b, err := s.read("etc/group")
	if err != nil {
		s.Unknown(ruleDockerGroup, "etc/group could not be read: "+err.Error())
		return
	}
	users, err := s.passwd()
	if err != nil {
		s.Unknown(ruleDockerGroup, "etc/passwd could not be read: "+err.Error())
		return
	}
	found := false
	line := 0
	for l := range strings.Lines(string(b)) {
		line++
		f := strings.Split(strings.TrimSpace(l), ":")
		if len(f) < 4 || f[0] != "docker" && f[0] != "lxd" && f[0] != "incus-admin" {
			continue
		}
		found = true
		members := strings.FieldsFunc(f[3], func(r rune) bool { return r == ',' })
		for _, u := range users { // a primary group is not listed in etc/group
			if strconv.Itoa(int(u.gid)) == f[2] && !slices.Contains(members, u.name) {
				members = append(members, u.name)
			}
		}
		for _, m := range members {
			if m == "root" {
				continue
			}
			s.Prove(ruleDockerGroup, account(m), fmt.Sprintf("%s is in group %s (etc/group line %d)", m, f[0], line),
				shell("the account can no longer talk to the engine", "gpasswd -d "+m+" "+f[0]), verdict.Evidence("account", m, "group", f[0])...)
		}
	}
	if !found {
		s.NotApplicable(ruleDockerGroup, "no group of a container runtime in etc/group")
		return
	}
	s.Pass(ruleDockerGroup, "no account but root is in a container runtime's group")
}

func (s *sheet) sudo() {
	files := []string{"etc/sudoers"}
	if _, err := fs.Stat(s.root, "etc/sudoers"); missing(err) {
		s.NotApplicable(ruleSudoAll, "there is no etc/sudoers")
		s.NotApplicable(ruleSudoWritable, "there is no etc/sudoers")
		return
	}
	if es, err := s.entries("etc/sudoers.d"); err == nil {
		for _, e := range es {
			// sudo itself leaves out names with a dot or a tilde at the end.
			if !e.IsDir() && !strings.Contains(e.Name(), ".") && !strings.HasSuffix(e.Name(), "~") {
				files = append(files, "etc/sudoers.d/"+e.Name())
			}
		}
	} else if !missing(err) {
		s.Unknown(ruleSudoAll, err.Error())
	}
	for _, name := range files {
		if fi, err := fs.Stat(s.root, name); err != nil {
			s.Unknown(ruleSudoWritable, err.Error())
		} else if why, ok := isWritable(fi); ok {
			s.Prove(ruleSudoWritable, s.File("/"+name, 0, 0), "/"+name+": "+why, mode(0o440, "only root reads and writes", name))
		}
		b, err := s.read(name)
		if err != nil {
			s.Unknown(ruleSudoAll, err.Error())
			continue
		}
		s.sudoers(name, string(b))
	}
	if s.Failed(ruleSudoAll) == 0 {
		s.Pass(ruleSudoAll, fmt.Sprintf("no line of %d files allows everything without a password", len(files)))
	}
	s.Pass(ruleSudoWritable, "only root may change sudo's configuration")
}

func (s *sheet) sudoers(name, text string) {
	line, start, held := 0, 0, ""
	for l := range strings.Lines(text) {
		line++
		l = strings.TrimRight(l, "\r\n")
		if held == "" {
			start = line
		}
		if before, ok := strings.CutSuffix(l, `\`); ok {
			held += before + " "
			continue
		}
		l, held = strings.TrimSpace(held+l), ""
		if l == "" || l[0] == '#' || strings.HasPrefix(l, "Defaults") || strings.Contains(strings.SplitN(l, "=", 2)[0], "_Alias") {
			if strings.HasPrefix(l, "Defaults") && strings.Contains(l, "!authenticate") {
				s.Prove(ruleSudoAll, s.File("/"+name, start, 1), fmt.Sprintf("/%s line %d switches the password off: %s", name, start, l), nil, verdict.Evidence("line", l)...)
			}
			continue
		}
		who := strings.Fields(l)[0]
		if grantsAll(l) && who != "root" {
			s.Prove(ruleSudoAll, s.File("/"+name, start, 1), fmt.Sprintf("/%s line %d lets %s run everything without a password", name, start, who),
				shell("sudo asks for the password", "visudo -f /"+name+" # and remove NOPASSWD:"), verdict.Evidence("line", l)...)
		}
	}
}

// grantsAll reports whether NOPASSWD holds for ALL in a rule: tags hold for the commands that follow, until the opposite.
func grantsAll(line string) bool {
	_, spec, ok := strings.Cut(line, "=")
	if !ok {
		return false
	}
	free := false
	for _, part := range strings.Split(spec, ",") {
		p := strings.TrimSpace(part)
		if strings.HasPrefix(p, "(") {
			if _, rest, ok := strings.Cut(p, ")"); ok {
				p = strings.TrimSpace(rest)
			}
		}
		for {
			tag, rest, ok := strings.Cut(p, ":")
			if !ok || strings.ContainsAny(tag, " /") && strings.TrimSpace(tag) != strings.ToUpper(strings.TrimSpace(tag)) {
				break
			}
			switch strings.TrimSpace(tag) {
			case "NOPASSWD":
				free = true
			case "PASSWD":
				free = false
			}
			p = strings.TrimSpace(rest)
		}
		if free && (p == "ALL" || strings.HasSuffix(p, " ALL") || shellCommand(p)) {
			return true
		}
	}
	return false
}

// shellCommand tells commands that are as good as ALL.
func shellCommand(p string) bool {
	f := strings.Fields(p)
	if len(f) != 1 {
		return false
	}
	switch path.Base(f[0]) {
	case "sh", "bash", "dash", "zsh", "su", "docker", "vi", "vim", "env", "python3", "perl", "find":
		return strings.HasPrefix(f[0], "/")
	}
	return false
}

// keys looks at who may change the keys of each account.
func (s *sheet) keys() {
	users, err := s.passwd()
	if err != nil {
		s.Unknown(ruleKeys, "etc/passwd could not be read: "+err.Error())
		return
	}
	seen := map[string]bool{}
	looked := 0
	for _, u := range users {
		if u.home == "" || seen[u.home] {
			continue
		}
		seen[u.home] = true
		for _, rel := range []string{"", ".ssh", ".ssh/authorized_keys", ".ssh/authorized_keys2"} {
			name := path.Join(u.home, rel)
			fi, err := fs.Stat(s.root, name)
			if missing(err) {
				break
			}
			if err != nil {
				s.Unknown(ruleKeys, err.Error())
				break
			}
			if rel == "" {
				if _, err := fs.Stat(s.root, path.Join(u.home, ".ssh")); err != nil && missing(err) {
					break
				}
			}
			looked++
			uid, _, known := owner(fi)
			bits := fi.Mode().Perm()
			want := fs.FileMode(0o600)
			if fi.IsDir() {
				want = 0o700
			}
			switch {
			case known && uid != 0 && uid != u.uid:
				s.Prove(ruleKeys, s.File("/"+name, 0, 0), fmt.Sprintf("/%s of %s belongs to uid %d", name, u.name, uid),
					shell("the account owns its keys", "chown "+u.name+" /"+name), verdict.Evidence("account", u.name)...)
			case bits&0o022 != 0 && (rel != "" || bits&0o002 != 0):
				repair := mode(want, "only the account writes", name)
				if rel == "" {
					repair = mode(bits&^0o022, "only the account writes in its home", name)
				}
				s.Prove(ruleKeys, s.File("/"+name, 0, 0), fmt.Sprintf("/%s of %s has mode %04o", name, u.name, bits), repair, verdict.Evidence("account", u.name)...)
			}
		}
	}
	s.Pass(ruleKeys, fmt.Sprintf("%d files and folders are written by their accounts alone", looked))
}
