package command

import (
	"net/netip"
	"strings"
)

// tamper judges commands that switch defences off, hide traces or make a machine ready for mining.
func (r *reader) tamper(name string, words []string, line string) {
	arg := func(i int) string {
		if i < len(words) {
			return words[i]
		}
		return ""
	}
	switch name {
	case "setenforce":
		if arg(1) == "0" || strings.EqualFold(arg(1), "permissive") {
			r.add(Defence, line)
		}
	case "ufw":
		if contains(words, "disable", "reset") {
			r.add(Defence, line)
		}
	case "iptables", "ip6tables", "iptables-nft", "iptables-legacy":
		if contains(words, "-F", "--flush") && len(words) <= 3 || arg(1) == "-P" && arg(3) == "ACCEPT" {
			r.add(Defence, line)
		}
	case "nft":
		if arg(1) == "flush" && arg(2) == "ruleset" {
			r.add(Defence, line)
		}
	case "apparmor_parser", "aa-teardown", "aa-disable":
		if name != "apparmor_parser" {
			r.add(Defence, line)
		}
	case "systemctl", "service", "chkconfig", "update-rc.d":
		if !contains(words, "stop", "disable", "mask", "kill", "off", "remove") {
			return
		}
		for _, w := range words[1:] {
			switch security(strings.TrimSuffix(w, ".service")) {
			case Audit:
				r.add(Audit, line)
			case Defence:
				r.add(Defence, line)
			}
		}
	case "auditctl":
		if arg(1) == "-e" && arg(2) == "0" || contains(words, "-D") {
			r.add(Audit, line)
		}
	case "history":
		if contains(words, "-c", "-cw", "-wc") {
			r.add(History, line)
		}
	case "unset":
		if contains(words, "HISTFILE", "HISTSIZE") {
			r.add(History, line)
		}
	case "export", "set":
		for _, w := range words[1:] {
			if w == "HISTFILE=/dev/null" || w == "HISTSIZE=0" || w == "HISTFILESIZE=0" || w == "HISTFILE=" {
				r.add(History, line)
			}
		}
	case "rm", "shred", "unlink", "truncate":
		for _, w := range words[1:] {
			switch {
			case w == "/var/log" || w == "/var/log/" || w == "/var/log/*", wipedLog(w):
				r.add(Logs, line)
			case historyFile(w):
				r.add(History, line)
			case w == "/etc/ld.so.preload":
				r.add(Defence, line)
			}
		}
	case "ln":
		if arg(len(words)-2) == "/dev/null" && historyFile(arg(len(words)-1)) {
			r.add(History, line)
		}
	case "sysctl":
		for _, w := range words[1:] {
			if k, v, ok := strings.Cut(w, "="); ok && (k == "kernel.nmi_watchdog" && v == "0" || k == "vm.nr_hugepages" && v != "0") {
				r.add(Tuning, line)
			}
		}
	case "modprobe":
		if contains(words, "msr") {
			r.add(Tuning, line)
		}
	case "wrmsr":
		r.add(Tuning, line)
	case "chattr", "lchattr":
		for _, w := range words[1:] {
			if strings.HasPrefix(w, "/etc/cron") || strings.HasPrefix(w, "/var/spool/cron") || w == "/etc/ld.so.preload" || w == "/etc/crontab" ||
				strings.Contains(w, "/.ssh") || strings.HasPrefix(w, "/etc/systemd/") || strings.HasPrefix(w, "/tmp/") || strings.HasPrefix(w, "/var/tmp/") || w == "/etc/rc.local" {
				r.add(Immutable, line)
			}
		}
	case "crontab":
		last := arg(len(words) - 1)
		if len(words) > 1 && !contains(words, "-l", "-e", "-r") && (last == "-" || last[0] != '-') || len(words) == 1 {
			r.add(Crontab, line)
		}
	case "chmod", "install":
		exec := name == "install"
		for _, w := range words[1:] {
			switch {
			case strings.Contains(w, "+x"), len(w) >= 3 && len(w) <= 4 && number(w) && (w[len(w)-3]-'0')&1 == 1, strings.Contains(w, "=rwx"):
				exec = true
			}
		}
		if exec && len(words) > 2 && name == "chmod" {
			r.f.Target = words[len(words)-1]
			r.add(Executable, line)
		}
	}
}

// wipedLog says that path is a log whose loss hides a login or a command.
func wipedLog(path string) bool {
	switch path {
	case "/var/log/wtmp", "/var/log/btmp", "/var/log/lastlog", "/var/log/secure", "/var/log/auth.log", "/var/log/syslog", "/var/log/messages",
		"/var/log/cron", "/var/log/audit/audit.log", "/var/log/cron.log":
		return true
	}
	return false
}

// security says what a service defends: Defence, Audit or 0.
func security(unit string) Act {
	switch unit {
	case "auditd", "rsyslog", "syslog", "syslog-ng", "systemd-journald", "osqueryd", "sysmon":
		return Audit
	case "firewalld", "ufw", "iptables", "nftables", "apparmor", "selinux", "fail2ban", "crowdsec", "falco", "falco-modern-bpf",
		"clamav-daemon", "clamd", "aliyun", "aegis", "aliyun.service", "cloudmonitor", "cloud-monitor", "bcm-si", "YDService", "qcloud",
		"wazuh-agent", "ossec", "falcon-sensor", "mdatp", "sentinelone", "sentinelagent", "cbagentd", "ds_agent", "tetragon", "tripwire",
		"aide", "rkhunter", "snort", "suricata", "minewarden", "elastic-agent", "elastic-endpoint", "auditbeat":
		return Defence
	}
	return 0
}

type hostKind uint8

const (
	hostNamed hostKind = iota
	hostLocal
	hostRaw
)

// hostOf returns the host of a word that is a URL, or that downloaders take for one.
func hostOf(w string) (string, bool) {
	scheme := false
	if i := strings.Index(w, "://"); i > 0 && i < 8 {
		w, scheme = w[i+3:], true
	}
	host := w
	if i := strings.IndexAny(host, "/?#"); i >= 0 {
		host = host[:i]
	}
	if i := strings.LastIndexByte(host, '@'); i >= 0 {
		host = host[i+1:]
	}
	if strings.HasPrefix(host, "[") {
		if i := strings.IndexByte(host, ']'); i > 0 {
			return host[1:i], true
		}
	}
	if i := strings.LastIndexByte(host, ':'); i >= 0 {
		host = host[:i]
	}
	if host == "" || !scheme && (strings.IndexByte(host, '.') < 1 || strings.HasSuffix(host, ".") || strings.ContainsAny(host, " \"'{}$,;")) {
		return "", false
	}
	return host, true
}

func judgeHost(host string) hostKind {
	if a, err := netip.ParseAddr(host); err == nil {
		if a.IsLoopback() || a.IsPrivate() || a.IsLinkLocalUnicast() || a.IsUnspecified() {
			return hostLocal
		}
		return hostRaw
	}
	switch {
	case host == "localhost" || strings.HasSuffix(host, ".localhost") || strings.IndexByte(host, '.') < 0 && strings.IndexByte(host, '$') < 0,
		strings.HasSuffix(host, ".local"), strings.HasSuffix(host, ".internal"), strings.HasSuffix(host, ".consul"), strings.HasSuffix(host, ".cluster.local"):
		return hostLocal
	case host == "pastebin.com", host == "transfer.sh", host == "paste.ee", host == "temp.sh", host == "oshi.at", host == "bashupload.com",
		strings.HasSuffix(host, ".onion"), strings.Contains(host, "tor2web"), strings.Contains(host, ".onion."), strings.HasSuffix(host, ".duckdns.org"),
		strings.HasSuffix(host, ".ngrok.io"), strings.HasSuffix(host, ".trycloudflare.com"), host == "0x0.st", host == "file.io", host == "catbox.moe",
		strings.HasSuffix(host, ".serveo.net"), host == "termbin.com", host == "ix.io":
		return hostRaw
	}
	return hostNamed
}
