package login

import (
	"strconv"
	"strings"

	"github.com/minewarden/minewarden"
)

// read makes an attempt of a record, if it is one.
func (a *attempt) read(r *minewarden.Record) bool {
	a.host = r.Host
	switch r.Source {
	case "evtx":
		return windowsEvent(r, a)
	case "web":
		return webRequest(r, a)
	case "auditd", "kubernetes_audit":
		return false
	}
	if r.Message == "" {
		return false
	}
	ident, pid := "", ""
	for i := range r.Fields {
		switch f := &r.Fields[i]; f.Name {
		case "ident", "SYSLOG_IDENTIFIER":
			ident = f.Value
		case "pid", "SYSLOG_PID":
			pid = f.Value
		case "_PID":
			if pid == "" {
				pid = f.Value
			}
		}
	}
	if n, err := strconv.ParseInt(pid, 10, 32); err == nil && n > 0 {
		a.pid = int32(n)
	}
	name, _, old := strings.Cut(ident, "(")
	if i := strings.LastIndexByte(name, '/'); i >= 0 {
		name = name[i+1:]
	}
	switch name {
	case "sshd", "sshd-session", "sshd-auth":
		if old { // "sshd(pam_unix)[1]: authentication failure; …", as before PAM 1.0
			return oldPAM(r.Message, "ssh", a)
		}
		return sshLine(r.Message, a)
	case "sudo":
		return sudoLine(r.Message, a)
	case "su":
		if old {
			return oldPAM(r.Message, "su", a) && a.localUser()
		}
		return suLine(r.Message, a)
	case "dropbear":
		return dropbearLine(r.Message, a)
	case "CRON", "cron", "crond", "kernel", "systemd":
		return false
	}
	if old {
		return oldPAM(r.Message, name, a)
	}
	if len(r.Message) > maxLine {
		return false
	}
	if strings.HasPrefix(r.Message, "pam_") {
		a.n = 1
		return pamLine(r.Message, a) && (a.addr.IsValid() || a.local != "")
	}
	return giteaLine(r.Message, a)
}

func oldPAM(msg, service string, a *attempt) bool {
	rest, ok := strings.CutPrefix(msg, "authentication failure;")
	if !ok || len(msg) > maxLine {
		return false
	}
	a.out, a.form, a.service, a.n = failed, formPAM, service, 1
	return a.pamFields(rest)
}

// sudoLine reads "alice : 3 incorrect password attempts ; TTY=… ; USER=root ; COMMAND=…" and what it says of a success. The
// command is the user's own text and comes last.
func sudoLine(msg string, a *attempt) bool {
	if len(msg) > maxLine {
		return false
	}
	msg = strings.TrimSpace(msg)
	who, rest, ok := strings.Cut(msg, " : ")
	if !ok || who == "" || strings.IndexByte(who, ' ') >= 0 {
		return false // sudo's own PAM lines tell the same failures once more
	}
	a.service, a.local, a.user, a.n = "sudo", who, "root", 1
	if head, cmd, ok := strings.Cut(rest, "COMMAND="); ok {
		a.command, rest = cmd, head
	}
	if _, target, ok := strings.Cut(rest, "USER="); ok {
		a.user, _, _ = strings.Cut(target, " ")
	}
	switch {
	case strings.HasPrefix(rest, "TTY=") || strings.HasPrefix(rest, "PWD=") || strings.HasPrefix(rest, "HOST="):
		a.out = accepted
		return true
	case strings.HasPrefix(rest, "user NOT in sudoers") || strings.HasPrefix(rest, "command not allowed"):
		return false
	}
	num, rest, ok := strings.Cut(rest, " incorrect password attempt")
	n, err := strconv.ParseUint(num, 10, 16)
	if !ok || err != nil {
		return false
	}
	a.out, a.n = failed, uint32(n)
	return rest != ""
}

// suLine reads "FAILED SU (to root) alice on pts/6" and "(to root) alice on pts/6".
func suLine(msg string, a *attempt) bool {
	a.service, a.n, a.out = "su", 1, accepted
	rest, bad := strings.CutPrefix(msg, "FAILED SU ")
	if bad {
		a.out = failed
	}
	rest, ok := strings.CutPrefix(rest, "(to ")
	target, rest, ok2 := strings.Cut(rest, ") ")
	who, _, _ := strings.Cut(rest, " on ")
	if !ok || !ok2 || who == "" || len(msg) > maxLine {
		return false
	}
	a.user, a.local = target, who
	return true
}

func (a *attempt) localUser() bool {
	return a.local != "" || a.addr.IsValid()
}

// dropbearLine reads the small server of routers and appliances.
func dropbearLine(msg string, a *attempt) bool {
	if len(msg) > maxLine {
		return false
	}
	a.service, a.n, a.out = "ssh", 1, failed
	switch {
	case strings.HasPrefix(msg, "Password auth succeeded for "):
		a.out = accepted
	case strings.HasPrefix(msg, "Pubkey auth succeeded for "):
		a.out, a.key = accepted, true
	case strings.HasPrefix(msg, "Bad password attempt for "), strings.HasPrefix(msg, "Bad PAM password attempt for "):
	case strings.HasPrefix(msg, "Login attempt for nonexistent user"):
		a.invalid = true
	default:
		return false
	}
	i := strings.LastIndex(msg, " from ")
	if i < 0 {
		return false
	}
	if open := strings.IndexByte(msg[:i], '\''); open >= 0 {
		a.user, _, _ = strings.Cut(msg[open+1:i], "'")
	}
	return a.setAddr(strings.TrimSpace(msg[i+len(" from "):]))
}

// giteaLine reads "Failed authentication attempt for NAME from ADDRESS: REASON" anywhere in a line: Gitea puts the source of
// the message before it. The name is the client's own, so the last address counts.
func giteaLine(msg string, a *attempt) bool {
	const head = "Failed authentication attempt for "
	i := strings.Index(msg, head)
	if i < 0 {
		return false
	}
	rest := msg[i+len(head):]
	a.service, a.n, a.out = "web", 1, failed
	j := strings.LastIndex(rest, " from ")
	if j < 0 {
		return false
	}
	a.user = rest[:j]
	where, _, _ := strings.Cut(rest[j+len(" from "):], " ")
	return a.setAddr(strings.TrimSuffix(where, ":")) || a.setAddr(where)
}

// webRequest reads one line of an access log. A form that is shown again is a failure, one that leads elsewhere is a success;
// which is which depends on the application, so the judge asks for a change.
func webRequest(r *minewarden.Record, a *attempt) bool {
	method, stem, user, addr := "", "", "", ""
	for i := range r.Fields {
		switch f := &r.Fields[i]; f.Name {
		case "cs-method":
			method = f.Value
		case "cs-uri-stem":
			stem = f.Value
		case "cs-username":
			user = f.Value
		case "c-ip":
			addr = f.Value
		case "sc-status":
			n, err := strconv.Atoi(f.Value)
			if err != nil {
				return false
			}
			a.status = n
		}
	}
	if user == "-" {
		user = ""
	}
	login := method == "POST" && loginPath(stem)
	if a.status != 401 && user == "" && !login || !a.setAddr(addr) {
		return false
	}
	a.service, a.n, a.user = "web", 1, user
	switch {
	case a.status == 401:
		a.out, a.weak = failed, user == "" && !login
	case login && (a.status == 403 || a.status == 422 || a.status == 400 || a.status == 200 || a.status == 429):
		a.out = failed
	case login && a.status >= 300 && a.status < 400, user != "" && a.status >= 200 && a.status < 300:
		a.out = accepted
	default:
		return false
	}
	return true
}

// loginPath knows where applications take passwords.
func loginPath(stem string) bool {
	if len(stem) > 256 {
		return false
	}
	for _, end := range [...]string{
		"/login", "/user/login", "/wp-login.php", "/xmlrpc.php", "/signin", "/sign_in", "/sign-in", "/logon", "/login.php", "/login.html", "/login.aspx", "/login.jsp", "/auth/login",
		"/j_spring_security_check", "/j_acegi_security_check", "/j_security_check", "/administrator/index.php", "/sessions", "/session", "/authenticate", "/owa/auth.owa",
	} {
		if len(stem) >= len(end) && strings.EqualFold(stem[len(stem)-len(end):], end) {
			return true
		}
	}
	return false
}
