// Package program knows well-known programs by what they are for, and places in the file tree by who may write there. It
// holds no judgement: detectors weigh what it says.
package program

import (
	"strings"

	"github.com/minewarden/minewarden"
)

// A Role is what a program is for. A program may have several.
type Role uint32

// The roles.
const (
	Shell      Role = 1 << iota
	Downloader      // fetches files from the network
	Interpreter
	Decoder   // turns text into bytes: base64, xxd, gunzip
	Killer    // ends processes by name or pid
	Text      // searches, shows or edits text: what its arguments say is data
	Service   // a server that outsiders can reach, and that has no reason of its own to run downloads
	Runner    // runs other people's commands by design: CI, containers, ssh, cron, schedulers
	Package   // package managers and what they run
	Configure // configuration management
	Build     // compilers, build drivers
	Login     // where a person's session starts
	Init
	Wrapper // runs its arguments: env, nohup, sudo
	Miner   // the stock name of a miner
)

// roles by the base name of the executable, without version digits at its end.
var roles = map[string]Role{
	"sh": Shell, "bash": Shell, "dash": Shell, "ash": Shell, "zsh": Shell, "ksh": Shell, "mksh": Shell, "fish": Shell,
	"csh": Shell, "tcsh": Shell, "rbash": Shell,

	"curl": Downloader, "wget": Downloader, "aria2c": Downloader, "fetch": Downloader, "lwp-download": Downloader,
	"lwp-request": Downloader, "GET": Downloader, "ftpget": Downloader, "tftp": Downloader, "lynx": Downloader,
	"axel": Downloader, "wget2": Downloader, "curlie": Downloader, "httpie": Downloader,
	"ftp": Downloader, "lftp": Downloader,

	"python": Interpreter, "pypy": Interpreter, "perl": Interpreter, "ruby": Interpreter, "lua": Interpreter,
	"php": Interpreter, "php-cli": Interpreter, "node": Interpreter | Service, "nodejs": Interpreter | Service,
	"bun": Interpreter | Service, "deno": Interpreter | Service, "java": Interpreter | Service,

	"base64": Decoder, "base32": Decoder, "openssl": Decoder, "xxd": Decoder, "uudecode": Decoder, "gunzip": Decoder,
	"zcat": Decoder, "xzcat": Decoder, "bzcat": Decoder,

	"pkill": Killer, "killall": Killer, "kill": Killer, "skill": Killer, "fuser": Killer,

	"grep": Text, "egrep": Text, "fgrep": Text, "zgrep": Text, "rg": Text, "ag": Text, "ack": Text, "sed": Text, "awk": Text,
	"gawk": Text, "mawk": Text, "cat": Text, "less": Text, "more": Text, "head": Text, "tail": Text, "vi": Text, "vim": Text,
	"nvim": Text, "nano": Text, "emacs": Text, "code": Text, "jq": Text, "yq": Text, "echo": Text, "printf": Text, "diff": Text,
	"tcpdump": Text, "tshark": Text, "ngrep": Text, "suricata": Text, "yara": Text, "clamscan": Text, "strings": Text,
	"pgrep": Text, "man": Text, "test": Text, "[": Text, "expr": Text, "logger": Text, "notify-send": Text, "git": Text,
	"journalctl": Text, "wc": Text, "sort": Text, "tee": Text, "find": Text, "ls": Text, "nslookup": Text, "dig": Text, "host": Text,
	"getent": Text, "ping": Text, "whois": Text, "gh": Text, "apt-cache": Text, "minewarden": Text,

	"nomad": Service, "consul": Service, "vault": Service, "gitea": Service, "forgejo": Service, "gogs": Service,
	"gitlab-workhorse": Service, "gitlab-shell": Service, "nginx": Service, "apache": Service, "httpd": Service,
	"lighttpd": Service, "caddy": Service, "haproxy": Service, "traefik": Service, "envoy": Service, "php-fpm": Service,
	"php-cgi": Service, "uwsgi": Service, "gunicorn": Service, "uvicorn": Service, "postgres": Service, "mysqld": Service,
	"mariadbd": Service, "redis-server": Service, "valkey-server": Service, "memcached": Service, "mongod": Service, "etcd": Service,
	"clickhouse": Service, "clickhouse-server": Service, "influxd": Service, "grafana": Service, "grafana-server": Service,
	"prometheus": Service, "rabbitmq-server": Service, "beam.smp": Service, "next-server": Service, "minio": Service,
	"squid": Service, "smbd": Service, "exim": Service, "postfix": Service, "master": Service, "dovecot": Service, "named": Service,
	"dnsmasq": Service, "slapd": Service, "vsftpd": Service, "proftpd": Service, "tomcat": Service, "catalina": Service,
	"ollama": Service, "raylet": Service, "gcs_server": Service, "puma": Service, "unicorn": Service, "mosquitto": Service,
	"couchdb": Service, "kibana": Service, "weaviate": Service, "hadoop": Service, "zabbix_server": Service, "openvpn": Service,

	"sshd": Runner | Login, "sshd-session": Runner | Login, "sshd-auth": Runner | Login, "dropbear": Runner | Login,
	"cron": Runner, "crond": Runner, "atd": Runner, "anacron": Runner, "fcron": Runner, "dockerd": Runner, "docker": Runner,
	"containerd": Runner, "containerd-shim": Runner, "containerd-shim-runc-v": Runner, "conmon": Runner, "runc": Runner,
	"crun": Runner, "podman": Runner, "buildkitd": Runner | Build, "buildkit-runc": Runner | Build, "kubelet": Runner,
	"crio": Runner, "gitlab-runner": Runner | Build, "act_runner": Runner | Build, "forgejo-runner": Runner | Build,
	"buildkite-agent": Runner | Build, "drone-runner-docker": Runner | Build, "drone": Runner | Build, "concourse": Runner | Build,
	"Runner.Listener": Runner | Build, "Runner.Worker": Runner | Build, "teamcity-agent": Runner | Build, "docker-init": Runner, "tini": Runner,
	"jupyter": Runner, "jupyter-lab": Runner, "jupyter-noteboo": Runner, "jupyterhub-singl": Runner, "supervisord": Runner,

	"apt": Package, "apt-get": Package, "aptitude": Package, "dpkg": Package, "dpkg-deb": Package, "unattended-upgr": Package,
	"packagekitd": Package, "rpm": Package, "dnf": Package, "dnf-3": Package, "yum": Package, "zypper": Package, "apk": Package,
	"pacman": Package, "snapd": Package, "snap": Package, "flatpak": Package, "needrestart": Package, "debconf": Package,
	"frontend": Package, "update-initramfs": Package, "ldconfig": Package, "deb-systemd-helper": Package, "brew": Package, "emerge": Package,
	"nix": Package, "nix-daemon": Package, "guix": Package, "fwupd": Package,

	"ansible": Configure, "ansible-playbook": Configure, "ansible-pull": Configure, "puppet": Configure, "pxp-agent": Configure,
	"chef-client": Configure, "cinc-client": Configure, "salt-minion": Configure, "salt-call": Configure, "cf-agent": Configure, "cf-execd": Configure,
	"cloud-init": Configure, "terraform": Configure, "tofu": Configure, "packer": Configure, "pyinfra": Configure, "google_metadata": Configure,
	"amazon-ssm-agen": Configure, "ssm-agent-worker": Configure, "ssm-document-worker": Configure, "waagent": Configure, "tuned": Configure, "etckeeper": Configure,

	"make": Build, "gmake": Build, "ninja": Build, "cmake": Build, "meson": Build, "cargo": Build, "rustup": Build,
	"go": Build, "gcc": Build, "g++": Build, "cc": Build, "c++": Build, "clang": Build, "ld": Build, "bazel": Build, "npm": Build,
	"npx": Build, "yarn": Build, "pnpm": Build, "pip": Build, "uv": Build, "poetry": Build, "mvn": Build, "gradle": Build, "tox": Build,
	"configure": Build, "debuild": Build, "dpkg-buildpackage": Build, "rpmbuild": Build, "rake": Build, "composer": Build, "scons": Build,

	"login": Login, "agetty": Login, "getty": Login, "gdm": Login, "gdm-session-wor": Login, "lightdm": Login, "sddm": Login, "su": Login | Wrapper,
	"tmux": Login, "screen": Login | Wrapper, "gnome-terminal-": Login, "konsole": Login, "xterm": Login, "alacritty": Login, "kitty": Login,
	"tmux: server": Login, "SCREEN": Login, "mosh-server": Login, "ttyd": Login, "cockpit-bridge": Login,

	"systemd": Init, "init": Init, "systemd-executor": Init, "openrc": Init, "runit": Init, "s6-svscan": Init,

	"sudo": Wrapper, "doas": Wrapper, "env": Wrapper, "nohup": Wrapper, "setsid": Wrapper, "nice": Wrapper, "ionice": Wrapper,
	"timeout": Wrapper, "stdbuf": Wrapper, "exec": Wrapper, "command": Wrapper, "time": Wrapper, "xargs": Wrapper, "chroot": Wrapper,
	"nsenter": Wrapper, "unshare": Wrapper, "chrt": Wrapper, "taskset": Wrapper, "busybox": Wrapper, "toybox": Wrapper, "runuser": Wrapper,
	"flock": Wrapper, "then": Wrapper, "do": Wrapper, "else": Wrapper, "if": Wrapper, "while": Wrapper, "!": Wrapper, "{": Wrapper, "(": Wrapper,

	"xmrig": Miner, "xmr-stak": Miner, "minerd": Miner, "cpuminer": Miner, "ccminer": Miner, "cgminer": Miner, "bfgminer": Miner,
	"ethminer": Miner, "nbminer": Miner, "lolminer": Miner, "t-rex": Miner, "nanominer": Miner, "xlarig": Miner, "gminer": Miner,
	"teamredminer": Miner, "srbminer-multi": Miner, "srbminer": Miner, "phoenixminer": Miner, "xmrig-notls": Miner, "xmrig-cuda": Miner, "cpuminer-opt": Miner,
	"cpuminer-multi": Miner, "wildrig-multi": Miner, "rigel": Miner, "bzminer": Miner, "kawpowminer": Miner, "hellminer": Miner,
}

// serviceScripts are servers that an interpreter runs: the base name of a script or the value of -m.
var serviceScripts = map[string]Role{
	"gunicorn": Service, "uvicorn": Service, "hypercorn": Service, "daphne": Service, "uwsgi": Service, "celery": Service,
	"waitress-serve": Service, "flask": Service, "airflow": Service, "superset": Service, "streamlit": Service, "mlflow": Service,
	"gradio": Service, "manage.py": Service, "app.py": Service, "server.py": Service, "main.py": Service, "wsgi.py": Service,
	"ray": Service, "default_worker.py": Service, "http.server": Service, "odoo": Service, "odoo-bin": Service,
	"open-webui": Service, "langflow": Service, "vllm": Service, "puma": Service, "unicorn": Service, "rails": Service, "sidekiq": Service, "thin": Service,
	"jupyter": Runner, "jupyter-lab": Runner, "jupyter-notebook": Runner, "jupyter-server": Runner, "ipykernel_launcher": Runner, "ipykernel_launcher.py": Runner, "jupyterhub-singleuser": Runner,
	"buildbot": Runner | Build, "supervisord": Runner,
	"npm": Build, "npm-cli.js": Build, "npx-cli.js": Build, "npx": Build, "yarn": Build, "yarn.js": Build, "pnpm": Build,
	"pnpm.cjs": Build, "corepack": Build, "corepack.js": Build, "webpack": Build, "tsc": Build, "jest": Build, "vitest": Build, "vitest.mjs": Build,
	"gulp": Build, "gulp.js": Build, "eslint": Build, "node-gyp.js": Build, "playwright": Build, "pip": Build, "pip3": Build, "setup.py": Build, "poetry": Build, "tox": Build, "pytest": Build, "conda": Build,
	"install.js": Build, "postinstall.js": Build,
	"ansible-playbook": Configure, "ansible": Configure, "ansible-pull": Configure, "salt-minion": Configure, "salt-call": Configure, "cloud-init": Configure, "puppet": Configure, "chef-client": Configure, "waagent": Configure,
	"AnsiballZ_command.py": Configure, "ansible-tmp": Configure, "tuned": Configure,
	"dnf": Package, "dnf-3": Package, "yum": Package, "unattended-upgrade": Package, "unattended-upgrades": Package, "needrestart": Package, "frontend": Package, "apt-listchanges": Package,
}

// Of returns the roles of a program by the base name of its file: "python3.13" is "python".
func Of(base string) Role {
	if r, ok := roles[base]; ok {
		return r
	}
	short := strings.TrimRight(base, "0123456789.")
	if short != base {
		if r, ok := roles[strings.TrimSuffix(short, "-")]; ok {
			return r
		}
	}
	// comm of Next.js: "next-server (v15.1.0)".
	if before, _, cut := strings.Cut(base, " "); cut {
		return roles[before]
	}
	return 0
}

// OfProcess returns the roles of what p runs, looking through multi-call binaries and at the script of an interpreter.
func OfProcess(p *minewarden.Process) Role {
	base := p.Base()
	if base == "busybox" || base == "toybox" || base == "coreutils" {
		return Of(Applet(p))
	}
	r := Of(base)
	if r == 0 && p.Name != base {
		// A service that was upgraded in place is "nginx (deleted)"; others run through a loader.
		if r = Of(p.Name); r&(Service|Runner) == 0 {
			r = 0
		}
	}
	if r&Interpreter != 0 {
		r = script(r, p.Args)
	}
	return r
}

// Applet returns which program a multi-call binary plays.
func Applet(p *minewarden.Process) string {
	if len(p.Args) > 0 {
		if b := Base(p.Args[0]); b != "busybox" && b != "toybox" && b != "coreutils" {
			return strings.TrimPrefix(b, "-")
		}
	}
	if len(p.Args) > 1 {
		return p.Args[1]
	}
	return p.Name
}

// script refines what an interpreter is by what it runs.
func script(r Role, args []string) Role {
	for i := 1; i < len(args) && i < 24; i++ {
		a := args[i]
		if strings.HasPrefix(a, "-") && a != "-jar" {
			continue
		}
		if s, ok := serviceScripts[Base(a)]; ok {
			return r&^Service | s
		}
		switch {
		case strings.HasPrefix(a, "org.codehaus.plexus.classworlds"), strings.HasPrefix(a, "org.gradle."),
			strings.HasPrefix(a, "org.apache.tools.ant"), strings.HasPrefix(a, "org.apache.maven"), strings.HasPrefix(a, "sbt."):
			return r&^Service | Build
		case strings.HasSuffix(a, "jenkins.war"), strings.HasSuffix(a, "agent.jar"), strings.HasSuffix(a, "remoting.jar"):
			return r&^Service | Runner | Build
		case strings.Contains(a, "/ansible-tmp-"), strings.Contains(a, "/.ansible/"):
			return r&^Service | Configure
		case strings.Contains(a, "/node_modules/.bin/"), strings.Contains(a, "/node_modules/npm/"):
			return r&^Service | Build
		}
	}
	return r
}

// Base returns the last part of a path.
func Base(path string) string {
	if i := strings.LastIndexByte(path, '/'); i >= 0 {
		return path[i+1:]
	}
	return path
}
