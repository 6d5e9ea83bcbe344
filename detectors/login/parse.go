package login

import (
	"net/netip"
	"strconv"
	"strings"
)

// What came of an attempt.
type outcome uint8

const (
	nothing outcome = iota
	failed
	accepted
	tried // what came of it is not said
)

// A form is the sort of line that tells of a failure. One attempt at one connection of sshd is told by several lines: the
// attempts are as many as the form with the most of them says.
type form uint8

const (
	formFailed  form = iota // "Failed password for"
	formPAM                 // "pam_unix(sshd:auth): authentication failure" and "PAM 2 more authentication failures"
	formError               // "error: PAM: Authentication failure for"
	formInvalid             // "Invalid user"
	formClosed              // "Connection closed by authenticating user", "Too many authentication failures"
	numForms
)

// An attempt is what one line tells of a login. Its strings are parts of the line.
type attempt struct {
	out     outcome
	form    form
	weak    bool // nothing says that credentials were sent
	key     bool // by public key
	invalid bool // no such account
	n       uint32
	status  int // of a web login
	service string
	user    string
	addr    netip.Addr
	local   string // who tried, where there is no address
	host    string
	pid     int32  // of the session's process, 0: unknown
	command string // that sudo ran
}

// maxLine bounds what is read of one message, bytes: longer ones of sshd, PAM and sudo do not occur.
const maxLine = 4096

// sshLine reads one message of OpenSSH's server. What the client chose, the user's name, may hold anything, also " from ": so
// the words behind it are looked for from the end.
func sshLine(msg string, a *attempt) bool {
	if len(msg) > maxLine {
		return false
	}
	a.service, a.n = "ssh", 1
	msg = strings.TrimSpace(msg)
	if rest, n, ok := repeated(msg); ok {
		msg, a.n = rest, n
	}
	msg = strings.TrimSuffix(strings.TrimSpace(msg), " [preauth]")
	msg = strings.TrimPrefix(msg, "error: ")
	if msg == "" {
		return false
	}
	switch msg[0] {
	case 'A':
		return sshAccepted(msg, a)
	case 'F':
		return sshFailed(msg, a)
	case 'I', 'i':
		for _, head := range [...]string{"Invalid user ", "Illegal user ", "input_userauth_request: invalid user "} {
			if rest, ok := strings.CutPrefix(msg, head); ok {
				a.out, a.form, a.invalid = failed, formInvalid, true
				return a.userFrom(rest)
			}
		}
	case 'm':
		if rest, ok := strings.CutPrefix(msg, "maximum authentication attempts exceeded for "); ok {
			a.out, a.form = failed, formClosed
			return a.userFrom(a.cutInvalid(rest))
		}
	case 'D', 'C', 'R', 'T':
		return sshClosed(msg, a)
	case 'p', 'P':
		return pamLine(msg, a)
	case 'U':
		// "User root from 1.2.3.4 not allowed because not listed in AllowUsers"
		if rest, ok := strings.CutPrefix(msg, "User "); ok {
			if i := strings.LastIndex(rest, " not allowed because "); i > 0 {
				a.out, a.form, a.invalid = failed, formInvalid, true
				return a.userFrom(rest[:i])
			}
		}
	}
	return false
}

// repeated takes off "message repeated 5 times: [ … ]".
func repeated(msg string) (rest string, n uint32, ok bool) {
	rest, ok = strings.CutPrefix(msg, "message repeated ")
	if !ok {
		return "", 0, false
	}
	num, rest, ok := strings.Cut(rest, " times: [")
	times, err := strconv.ParseUint(num, 10, 16)
	if !ok || err != nil {
		return "", 0, false
	}
	return strings.TrimSuffix(strings.TrimSpace(rest), "]"), uint32(times), true
}

func sshAccepted(msg string, a *attempt) bool {
	rest, ok := strings.CutPrefix(msg, "Accepted ")
	if !ok {
		return false
	}
	method, rest, ok := strings.Cut(rest, " for ")
	user, rest, ok2 := strings.Cut(rest, " from ")
	if !ok || !ok2 || user == "" || strings.IndexByte(method, ' ') >= 0 {
		return false
	}
	switch method, _, _ = strings.Cut(method, "/"); method {
	case "password", "keyboard-interactive", "none", "challenge-response":
	default: // publickey, hostbased, gssapi-with-mic: nothing that can be guessed
		a.key = true
	}
	a.out, a.user = accepted, user
	where, _, _ := strings.Cut(rest, " ")
	return a.setAddr(where)
}

func sshFailed(msg string, a *attempt) bool {
	rest, ok := strings.CutPrefix(msg, "Failed ")
	if !ok {
		return false
	}
	method, rest, ok := strings.Cut(rest, " for ")
	if !ok || len(method) > 40 || method == "none" {
		return false // "none" is how every client asks which methods there are
	}
	a.out, a.form, a.key = failed, formFailed, method == "publickey"
	return a.userFrom(a.cutInvalid(rest))
}

// sshClosed reads the end of a connection before the login, where it names the account.
func sshClosed(msg string, a *attempt) bool {
	a.out, a.form = failed, formClosed
	for _, head := range [...]string{"Connection closed by ", "Connection reset by ", "Disconnected from ", "Disconnecting "} {
		rest, ok := strings.CutPrefix(msg, head)
		if !ok {
			continue
		}
		if rest, a.invalid = strings.CutPrefix(rest, "invalid user "); !a.invalid {
			if rest, ok = strings.CutPrefix(rest, "authenticating user "); !ok {
				return false
			}
		}
		if i := strings.LastIndex(rest, ": Too many authentication failures"); i > 0 {
			rest = rest[:i]
		}
		// "root 1.2.3.4 port 22": the name comes first and may hold blanks.
		i := strings.LastIndex(rest, " port ")
		if i < 0 {
			return false
		}
		j := strings.LastIndexByte(rest[:i], ' ')
		if j < 0 {
			return false
		}
		a.user = rest[:j]
		return a.setAddr(rest[j+1 : i])
	}
	return false
}

func (a *attempt) cutInvalid(rest string) string {
	for _, head := range [...]string{"invalid user ", "illegal user "} {
		if r, ok := strings.CutPrefix(rest, head); ok {
			a.invalid = true
			return r
		}
	}
	return rest
}

// userFrom reads "root from 1.2.3.4 port 22 ssh2", from the end.
func (a *attempt) userFrom(rest string) bool {
	i := strings.LastIndex(rest, " from ")
	if i < 0 {
		a.user = rest
		return a.pid != 0 // the connection may be known by its process
	}
	a.user = rest[:i]
	where, _, _ := strings.Cut(rest[i+len(" from "):], " ")
	return a.setAddr(where) || a.pid != 0
}

// setAddr reads an address as logs write it: bare, in brackets, with a port, or IPv4 within IPv6.
func (a *attempt) setAddr(s string) bool {
	addr, err := netip.ParseAddr(strings.Trim(s, "[]"))
	if err != nil {
		ap, err := netip.ParseAddrPort(s)
		if err != nil {
			return false
		}
		addr = ap.Addr()
	}
	a.addr = addr.Unmap().WithZone("")
	return !addr.IsUnspecified()
}

// pamLine reads what pam_unix and its relatives say, of any service that asks for a remote password.
func pamLine(msg string, a *attempt) bool {
	a.out, a.form = failed, formPAM
	if rest, ok := strings.CutPrefix(msg, "PAM: "); ok {
		a.form = formError
		for _, head := range [...]string{"Authentication failure for ", "User not known to the underlying authentication module for "} {
			if who, ok := strings.CutPrefix(rest, head); ok {
				return a.userFrom(a.cutInvalid(who))
			}
		}
		return false
	}
	if rest, ok := strings.CutPrefix(msg, "PAM "); ok {
		num, rest, ok := strings.Cut(rest, " more authentication failure")
		n, err := strconv.ParseUint(num, 10, 16)
		if !ok || err != nil {
			return false
		}
		a.n = uint32(n)
		return a.pamFields(rest)
	}
	rest, ok := strings.CutPrefix(msg, "pam_")
	if !ok {
		return false
	}
	_, rest, ok = strings.Cut(rest, "(")
	service, rest, ok2 := strings.Cut(rest, "): ")
	if !ok || !ok2 || !strings.HasPrefix(rest, "authentication failure;") {
		return false
	}
	a.service, _, _ = strings.Cut(service, ":")
	if a.service == "sshd" {
		a.service = "ssh"
	}
	return a.pamFields(rest)
}

// pamFields reads "logname= uid=0 euid=0 tty=ssh ruser= rhost=1.2.3.4  user=root". rhost is a name where the resolver had one.
func (a *attempt) pamFields(rest string) bool {
	for rest != "" {
		var word string
		word, rest, _ = strings.Cut(rest, " ")
		name, value, _ := strings.Cut(word, "=")
		switch name {
		case "rhost":
			if !a.setAddr(value) && value != "" && a.pid == 0 {
				a.local = value
			}
		case "ruser":
			if value != "" && !a.addr.IsValid() {
				a.local = value
			}
		case "user":
			a.user = value
		}
	}
	return true
}
