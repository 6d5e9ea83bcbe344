package persistence

import "strings"

// A spot is a sort of place from which the system starts things.
type spot uint8

const (
	none spot = iota
	cron
	unit
	startup // rc.local, init.d
	profile
	preload
	keys
	sudoers
	hook
	gitconfig
	udev
	motd
	autostart
	packages // hooks of package managers
	network  // scripts that run when an interface comes up
	pam
	sshd
	accounts
	linker
	rotate
)

var spotNames = [...]string{
	"", "cron", "systemd unit", "start script", "profile script", "ld.so.preload", "authorized_keys", "sudoers", "Git hook", "Git configuration", "udev rule", "message of the day", "autostart entry",
	"package manager's hook", "network script", "login stack", "ssh server", "accounts", "linker's directories", "log rotation",
}

var spotDirs = [...]struct {
	dir string
	is  spot
}{
	{"/etc/cron.", cron},
	{"/var/spool/cron/", cron},
	{"/var/spool/at/", cron},
	{"/etc/systemd/system/", unit},
	{"/usr/lib/systemd/system/", unit},
	{"/lib/systemd/system/", unit},
	{"/run/systemd/system/", unit},
	{"/.config/systemd/user/", unit},
	{"/etc/systemd/user/", unit},
	{"/usr/local/lib/systemd/system/", unit},
	{"/etc/init.d/", startup},
	{"/etc/profile.d/", profile},
	{"/etc/sudoers.d/", sudoers},
	{"/etc/udev/rules.d/", udev},
	{"/lib/udev/rules.d/", udev},
	{"/etc/update-motd.d/", motd},
	{"/.config/autostart/", autostart},
	{"/etc/xdg/autostart/", autostart},
	{"/etc/apt/apt.conf.d/", packages},
	{"/etc/network/if-", network},
	{"/etc/NetworkManager/dispatcher.d/", network},
	{"/etc/dhcp/dhclient-", network},
	{"/etc/ppp/ip-up.d/", network},
	{"/etc/pam.d/", pam},
	{"/etc/ssh/sshd_config.d/", sshd},
	{"/etc/ld.so.conf.d/", linker},
	{"/etc/logrotate.d/", rotate},
}

var spotFiles = [...]struct {
	file string
	is   spot
}{
	{"/etc/crontab", cron},
	{"/etc/anacrontab", cron},
	{"/etc/rc.local", startup},
	{"/etc/rc.d/rc.local", startup},
	{"/etc/profile", profile},
	{"/etc/bash.bashrc", profile},
	{"/etc/bashrc", profile},
	{"/.bashrc", profile},
	{"/.bash_profile", profile},
	{"/.bash_login", profile},
	{"/.bash_logout", profile},
	{"/.profile", profile},
	{"/.zshrc", profile},
	{"/.zprofile", profile},
	{"/etc/zsh/zshrc", profile},
	{"/etc/environment", profile},
	{"/etc/ld.so.preload", preload},
	{"/.ssh/authorized_keys", keys},
	{"/.ssh/authorized_keys2", keys},
	{"/etc/sudoers", sudoers},
	{"/.gitconfig", gitconfig},
	{"/etc/gitconfig", gitconfig},
	{"/.config/git/config", gitconfig},
	{"/etc/pam.conf", pam},
	{"/etc/ssh/sshd_config", sshd},
	{"/etc/ssh/sshrc", startup},
	{"/.ssh/rc", startup},
	{"/etc/passwd", accounts},
	{"/etc/ld.so.conf", linker},
}

// spotOf knows a place by the end of its path, so that a mounted disk or a private root are judged alike.
func spotOf(path string) spot {
	for i := range spotFiles {
		if strings.HasSuffix(path, spotFiles[i].file) {
			return spotFiles[i].is
		}
	}
	for i := range spotDirs {
		if strings.Contains(path, spotDirs[i].dir) {
			return spotDirs[i].is
		}
	}
	if strings.Contains(path, "/hooks/") && !strings.HasSuffix(path, ".sample") && hookName(path[strings.Index(path, "/hooks/")+7:]) {
		return hook
	}
	return none
}

// hookName knows the hooks of Git, and the directories of them that Gitea adds.
func hookName(rest string) bool {
	name, _, _ := strings.Cut(rest, "/")
	switch strings.TrimSuffix(name, ".d") {
	case "pre-receive", "post-receive", "update", "proc-receive", "post-update", "reference-transaction", "post-index-change", "post-checkout", "post-merge",
		"pre-commit", "post-commit", "pre-push", "post-rewrite", "pre-applypatch", "post-applypatch", "applypatch-msg", "fsmonitor-watchman", "push-to-checkout":
		return true
	}
	return false
}
