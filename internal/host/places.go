package host

import (
	"bufio"
	"bytes"
	"io/fs"
	"path"
	"slices"
	"strings"
)

// A Place is a directory where a file means that something runs by itself later, or that somebody may come in.
type Place struct {
	Dir   string   // below the host's root, without a leading slash
	Names []string // only these files of it; empty: all
	Deep  int      // levels of directories below Dir that count too
}

// Has tells whether a file of that name counts in the place.
func (p *Place) Has(name string) bool { return len(p.Names) == 0 || slices.Contains(p.Names, name) }

const (
	maxPasswd = 1 << 20
	maxHomes  = 4096
	maxHooks  = 1024 // directories of git hooks
)

// places are those that do not depend on the users.
var places = [...]Place{
	{Dir: "etc", Names: []string{
		"crontab", "anacrontab", "rc.local", "profile", "bash.bashrc", "bashrc", "environment", "ld.so.preload", "ld.so.conf",
		"sudoers", "passwd", "shadow", "group", "modules", "inittab", "hosts", "resolv.conf", "gitconfig",
	}},
	{Dir: "etc/rc.d", Deep: 2},
	{Dir: "etc/init.d"},
	{Dir: "etc/init"},
	{Dir: "etc/cron.d"},
	{Dir: "etc/cron.hourly"},
	{Dir: "etc/cron.daily"},
	{Dir: "etc/cron.weekly"},
	{Dir: "etc/cron.monthly"},
	{Dir: "var/spool/cron", Deep: 1},
	{Dir: "var/spool/at"},
	{Dir: "etc/crontabs"},
	{Dir: "etc/systemd/system", Deep: 1},
	{Dir: "etc/systemd/user", Deep: 1},
	{Dir: "etc/systemd/system-generators"},
	{Dir: "usr/local/lib/systemd/system", Deep: 1},
	{Dir: "run/systemd/system", Deep: 1},
	{Dir: "usr/lib/systemd/system"},
	{Dir: "usr/lib/systemd/user"},
	{Dir: "lib/systemd/system"},
	{Dir: "etc/profile.d"},
	{Dir: "etc/zsh"},
	{Dir: "etc/fish"},
	{Dir: "etc/ld.so.conf.d"},
	{Dir: "etc/ssh", Names: []string{"sshd_config", "sshrc", "authorized_keys"}},
	{Dir: "etc/ssh/sshd_config.d"},
	{Dir: "etc/sudoers.d"},
	{Dir: "etc/pam.d"},
	{Dir: "etc/udev/rules.d"},
	{Dir: "etc/update-motd.d"},
	{Dir: "etc/xdg/autostart"},
	{Dir: "etc/modules-load.d"},
	{Dir: "etc/sysctl.d"},
	{Dir: "etc/apt/apt.conf.d"},
	{Dir: "etc/NetworkManager/dispatcher.d", Deep: 1},
	{Dir: "etc/network/if-up.d"},
	{Dir: "etc/network/if-pre-up.d"},
	{Dir: "etc/network/if-down.d"},
	{Dir: "etc/network/if-post-down.d"},
	{Dir: "etc/ppp/ip-up.d"},
	{Dir: "etc/logrotate.d"},
	{Dir: "etc/dhcp/dhclient-exit-hooks.d"},
}

// homePlaces are relative to a user's home.
var homePlaces = [...]Place{
	{Dir: "", Names: []string{
		".bashrc", ".bash_profile", ".bash_login", ".bash_logout", ".profile", ".zshrc", ".zprofile", ".zshenv", ".zlogin",
		".kshrc", ".gitconfig", ".pam_environment", ".xprofile", ".xsession",
	}},
	{Dir: ".ssh", Names: []string{"authorized_keys", "authorized_keys2", "rc", "environment", "config"}},
	{Dir: ".config/systemd/user", Deep: 1},
	{Dir: ".local/share/systemd/user"},
	{Dir: ".config/autostart"},
	{Dir: ".config/fish"},
	{Dir: ".config/cron"}, // perfctl keeps its miner here
}

// hookDirs are where Gitea and Forgejo keep the hooks of repositories.
var hookDirs = [...]string{
	"var/lib/gitea/data/gitea-repositories/*/*.git/hooks", "var/lib/gitea/git/repositories/*/*.git/hooks",
	"var/lib/gitea/repositories/*/*.git/hooks", "var/lib/forgejo/data/forgejo-repositories/*/*.git/hooks",
	"home/git/gitea-repositories/*/*.git/hooks", "home/git/repositories/*/*.git/hooks", "data/git/repositories/*/*.git/hooks",
}

// Places returns where persistence lives on the host of root, existing or not: the known directories, those of each user,
// and the hooks of repositories.
func Places(root fs.FS) []Place {
	all := slices.Clone(places[:])
	for _, home := range Homes(root) {
		for _, p := range homePlaces {
			p.Dir = path.Join(home, p.Dir)
			all = append(all, p)
		}
	}
	hooks := 0
	for _, pattern := range hookDirs {
		dirs, err := fs.Glob(root, pattern)
		if err != nil {
			continue // the patterns are constant and well formed
		}
		for _, dir := range dirs {
			if hooks++; hooks > maxHooks {
				return all
			}
			all = append(all, Place{Dir: dir, Deep: 1})
		}
	}
	return all
}

// Homes returns the home directories of the host's users, as etc/passwd and /home have them. System directories that stand
// in for a home are left out.
func Homes(root fs.FS) []string {
	homes := []string{"root"}
	add := func(dir string) {
		if len(homes) < maxHomes && !slices.Contains(homes, dir) {
			homes = append(homes, dir)
		}
	}
	if data, err := readAll(root, "etc/passwd", maxPasswd); err == nil {
		for _, dir := range parsePasswd(data) {
			add(dir)
		}
	}
	entries, err := fs.ReadDir(root, "home")
	if err != nil {
		return homes // none, or not ours to read
	}
	for _, e := range entries {
		if e.IsDir() {
			add("home/" + e.Name())
		}
	}
	return homes
}

func parsePasswd(data []byte) []string {
	var homes []string
	lines := bufio.NewScanner(bytes.NewReader(data))
	for lines.Scan() {
		f := strings.Split(lines.Text(), ":")
		if len(f) < 7 || !path.IsAbs(f[5]) {
			continue
		}
		dir := strings.TrimPrefix(path.Clean(f[5]), "/")
		switch dir {
		case "", "bin", "dev", "usr/sbin", "usr/bin", "sbin", "nonexistent", "proc", "run", "tmp", "var/run", "etc", "usr", "var":
			continue
		}
		if fs.ValidPath(dir) {
			homes = append(homes, dir)
		}
	}
	return homes
}
