package persistence

import (
	"strings"

	"github.com/minewarden/minewarden/internal/command"
	"github.com/minewarden/minewarden/internal/program"
)

// judgeAccess reads what decides who comes in, and what every program loads.
func judgeAccess(is spot, text string) verdict {
	var v verdict
	for line := range lines(text) {
		switch is {
		case accounts:
			v = worse(v, judgeAccount(line))
		case pam:
			v = worse(v, judgePAM(line))
		case sshd:
			v = worse(v, judgeSSHD(line))
		case linker:
			if program.At(line)&(program.Writable|program.Hidden) != 0 {
				v = worse(v, verdict{ruleCode, 0.8, clip(line)})
			}
		}
	}
	return v
}

// judgeAccount finds an account that is root by another name. Some systems ship toor.
func judgeAccount(line string) verdict {
	f := strings.Split(line, ":")
	if len(f) < 7 || f[2] != "0" || f[0] == "root" || f[0] == "toor" || strings.HasSuffix(f[6], "nologin") || strings.HasSuffix(f[6], "/false") {
		return verdict{}
	}
	switch f[0] {
	case "sync", "shutdown", "halt", "operator": // of old systems, whose shell is one command
		if !strings.HasSuffix(f[6], "sh") {
			return verdict{}
		}
	}
	return verdict{ruleRoot, 0.85, clip(line)}
}

// judgePAM finds a login that always succeeds, and programs and modules from odd places.
func judgePAM(line string) verdict {
	f := strings.Fields(line)
	if len(f) < 3 || strings.HasPrefix(line, "@") {
		return verdict{}
	}
	for _, w := range f[2:] {
		if program.At(w)&(program.Writable|program.Hidden) != 0 {
			return verdict{ruleCode, 0.9, clip(line)}
		}
	}
	if strings.TrimPrefix(f[0], "-") == "auth" && f[1] == "sufficient" && strings.HasSuffix(f[2], "pam_permit.so") {
		return verdict{ruleRoot, 0.7, clip(line)}
	}
	return verdict{}
}

// judgeSSHD finds keys and commands that come from where anybody, or nobody who looks, may put them.
func judgeSSHD(line string) verdict {
	f := strings.Fields(line)
	if len(f) < 2 {
		return verdict{}
	}
	switch strings.ToLower(f[0]) {
	case "authorizedkeysfile", "authorizedkeyscommand", "trustedusercakeys", "forcecommand", "subsystem":
		for _, w := range f[1:] {
			if program.At(w)&(program.Writable|program.SystemHidden) != 0 {
				return verdict{ruleCode, 0.85, clip(line)}
			}
		}
	case "permitemptypasswords":
		if strings.EqualFold(f[1], "yes") {
			return verdict{ruleRoot, 0.6, clip(line)}
		}
	}
	return verdict{}
}

// judgeHooks reads the commands that apt runs before and after its work.
func judgeHooks(text string) verdict {
	var v verdict
	for line := range lines(text) {
		if strings.HasPrefix(line, "//") {
			continue
		}
		for n, part := range strings.Split(line, `"`) {
			if n%2 == 1 && strings.IndexByte(part, '/') >= 0 {
				v = worse(v, judgeFacts(command.Text(part), true))
				v = worse(v, judgeHidden(part))
			}
		}
	}
	return v
}

// rotated returns the scripts in a configuration of logrotate: its other lines name logs.
func rotated(text string) string {
	var b strings.Builder
	inside := false
	for line := range lines(text) {
		switch line {
		case "prerotate", "postrotate", "firstaction", "lastaction", "preremove":
			inside = true
		case "endscript":
			inside = false
		default:
			if inside {
				b.WriteString(line + "\n")
			}
		}
	}
	return b.String()
}
