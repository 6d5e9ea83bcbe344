package windowshost

import (
	"strconv"
	"strings"
	"time"

	"github.com/minewarden/minewarden"
)

// service weighs an installed service by what it runs.
func (d *detector) service(now time.Time, r *minewarden.Record, name, line string) {
	d.low = fold(d.low[:0], line)
	low := string(d.low)
	ev := [...]minewarden.Evidence{evidence("service", name), evidence("runs", shown(line)), evidence("account", field(r, "AccountName")+field(r, "ServiceAccount")), evidence("user", field(r, "SubjectUserName"))}
	if v := judge(line, d.low); v.claim != none && v.claim != encoded {
		c := v.claim
		if c != miner && c != remoteExec {
			c = serviceCommand
		}
		d.tell(now, c, 0.95, r, name+line, append([]minewarden.Evidence{evidence("decoded", shown(v.note))}, ev[:]...)...)
		return
	}
	exe := program(low)
	_, file := base(exe)
	stem := strings.TrimSuffix(file, ".exe")
	switch {
	case minerDriver(line) || minerDriver(name):
		d.tell(now, driver, 0.7, r, name, ev[:]...)
	case strings.Contains(low, "%comspec%") || file == "cmd.exe" || file == "cmd" || file == "powershell.exe" || file == "powershell" || file == "mshta.exe" || file == "wscript.exe" || file == "cscript.exe" ||
		file == "regsvr32.exe" && !strings.Contains(exe, "program files") || strings.Contains(low, `\\.\pipe\`):
		d.tell(now, serviceCommand, 0.9, r, name+line, ev[:]...)
	case strings.EqualFold(name, "psexesvc") || file == "psexesvc.exe" || file == "paexec.exe" || strings.HasPrefix(file, "remcomsvc") || file == "csexecsvc.exe" || file == "winexesvc.exe":
		d.tell(now, remoteExec, 0.6, r, name, ev[:]...)
	case strings.HasPrefix(exe, `\\`) && !strings.HasPrefix(exe, `\\?\`) && !strings.HasPrefix(exe, `\\.\`):
		d.tell(now, serviceCommand, 0.85, r, name+line, ev[:]...)
	case directlyBelow(exe) && (random(trimExe(lastPart(line))) || random(name)):
		d.tell(now, serviceRandom, 0.9, r, name, ev[:]...)
	case writable(exe):
		c := 0.6
		if random(name) || random(trimExe(lastPart(line))) || stem == "svchost" {
			c = 0.9
		}
		d.tell(now, servicePlace, c, r, name, ev[:]...)
	default:
		if h, known := homes[file]; known {
			if dir, _ := base(exe); dir != "" && !strings.HasPrefix(dir, "%systemroot%") && !strings.HasPrefix(dir, `\systemroot`) && !strings.HasPrefix(dir, "system32") && !properDir([]byte(dir), h) {
				d.tell(now, elsewhere, 0.9, r, name, ev[:]...)
			}
		}
	}
}

// program returns the folded path of what a service runs, without arguments. Quotes are gone: the extension tells its end.
func program(low string) string {
	low = strings.TrimPrefix(low, `\??\`)
	for _, ext := range [...]string{".exe", ".sys", ".bat", ".dll", ".ps1"} {
		if i := strings.Index(low, ext); i >= 0 {
			return low[:i+len(ext)]
		}
	}
	low, _, _ = strings.Cut(low, " ")
	return low
}

func lastPart(line string) string {
	line = strings.Trim(line, `"`)
	for i := 0; i+4 <= len(line); i++ { // folding the whole line would change its length where it is no UTF-8
		if line[i] == '.' && strings.EqualFold(line[i:i+4], ".exe") {
			line = line[:i+4]
			break
		}
	}
	return line[strings.LastIndexByte(line, '\\')+1:]
}

func trimExe(s string) string {
	if n := len(s) - 4; n > 0 && strings.EqualFold(s[n:], ".exe") {
		return s[:n]
	}
	return s
}

// directlyBelow reports whether a program is in \Windows itself, where remote execution tools put theirs, or at a drive's root.
func directlyBelow(exe string) bool {
	dir, _ := base(exe)
	switch dir {
	case "%systemroot%", "%windir%", `\systemroot`, `c:\windows`, "c:", `\admin$`, "":
		return true
	}
	return false
}

// share weighs one access to a share by its path and file or pipe.
func (d *detector) share(now time.Time, r *minewarden.Record) {
	var name, target, mask, addr string
	for i := range r.Fields {
		switch f := &r.Fields[i]; f.Name {
		case "ShareName":
			name = f.Value
		case "RelativeTargetName":
			target = f.Value
		case "AccessMask":
			mask = f.Value
		case "IpAddress":
			addr = f.Value
		}
	}
	if target == "" || addr == "127.0.0.1" || addr == "::1" {
		return
	}
	i := strings.LastIndexByte(name, '\\')
	switch share := name[i+1:]; {
	case strings.EqualFold(share, "IPC$"):
		d.pipe(now, r, target, addr)
	case len(share) > 1 && share[len(share)-1] == '$':
		bits, err := strconv.ParseUint(strings.TrimPrefix(mask, "0x"), 16, 64)
		writes := err == nil && bits&0x6 != 0 // FILE_WRITE_DATA, FILE_APPEND_DATA
		d.low = fold(d.low[:0], target)
		ev := [...]minewarden.Evidence{evidence("share", name), evidence("file", shown(target)), evidence("address", addr), evidence("user", field(r, "SubjectUserName"))}
		switch {
		case remoteFile(d.low):
			d.tell(now, remoteExec, 0.9, r, target+addr, ev[:]...)
		case writes && code(d.low) && !contains(d.low, `\ccmcache\`):
			d.tell(now, shareWrite, 0.7, r, target+addr, ev[:]...)
		}
	}
}

// remoteFile knows the files that tools for remote execution leave on the target.
func remoteFile(low []byte) bool {
	return contains(low, "psexesvc") || contains(low, "paexec") || contains(low, "remcomsvc") || contains(low, "winexesvc") || contains(low, "csexec") || contains(low, "__output") ||
		strings.HasPrefix(string(low), "__1") && len(low) > 8
}

func code(low []byte) bool {
	if len(low) < 5 {
		return false
	}
	switch string(low[len(low)-4:]) {
	case ".exe", ".dll", ".bat", ".cmd", ".ps1", ".vbs", ".sys", ".hta", ".scr", ".com":
		return true
	}
	return false
}

// pipe weighs the use of a named pipe. who is a path or an address.
func (d *detector) pipe(now time.Time, r *minewarden.Record, name, who string) {
	d.low = fold(d.low[:0], strings.TrimPrefix(name, `\`))
	user := evidence("user", field(r, "SubjectUserName"))
	switch {
	case contains(d.low, "psexesvc") || contains(d.low, "paexec") || contains(d.low, "remcom_") || contains(d.low, "csexecsvc") || contains(d.low, "winexesvc") || ends(d.low, "-stdin") || ends(d.low, "-stdout") || ends(d.low, "-stderr"):
		// The three pipes of one session are one story.
		d.tell(now, remoteExec, 0.85, r, who, evidence("pipe", shown(name)), evidence("by", who), user)
	case field(r, "ShareName") != "" && (string(d.low) == "svcctl" || string(d.low) == "atsvc" || string(d.low) == "winreg"):
		d.tell(now, sharePipe, 0.4, r, string(d.low)+who, evidence("pipe", shown(name)), evidence("address", who), user)
	}
}

func ends(b []byte, s string) bool { return len(b) >= len(s) && string(b[len(b)-len(s):]) == s }

// task weighs a scheduled task by its actions, which are in its XML.
func (d *detector) task(now time.Time, r *minewarden.Record, name, content string) {
	content = content[:min(len(content), 4*maxLine)]
	for range 8 { // actions of one task
		i := strings.Index(content, "<Command>")
		if i < 0 {
			return
		}
		content = content[i+len("<Command>"):]
		exe, rest, ok := strings.Cut(content, "</Command>")
		if !ok {
			return
		}
		args := ""
		if j := strings.Index(rest, "<Arguments>"); j >= 0 && j < 64 {
			args, _, _ = strings.Cut(rest[j+len("<Arguments>"):], "</Arguments>")
		}
		content = rest
		line := unescape(exe + " " + args)
		d.low = fold(d.low[:0], line)
		ev := []minewarden.Evidence{evidence("task", name), evidence("runs", shown(line)), evidence("user", field(r, "SubjectUserName"))}
		v := judge(line, d.low)
		low := string(d.low)
		_, file := base(program(low))
		switch {
		case v.claim == miner:
			d.tell(now, miner, 0.9, r, name, ev...)
		case v.claim == encoded && !hidden(d.low):
			d.tell(now, encoded, 0.5, r, name, append(ev, evidence("decoded", shown(v.note)))...)
		case v.claim != none:
			d.tell(now, task, 0.9, r, name, append(ev, evidence("decoded", shown(v.note)))...)
		case strings.Contains(low, `\temp\`) || strings.Contains(low, "%temp%") || strings.Contains(low, `\users\public\`) || strings.Contains(low, `\perflogs\`) || strings.Contains(low, `\$recycle.bin\`):
			if strings.Contains(program(low), `\temp\`) || strings.Contains(program(low), "%temp%") || strings.Contains(low, `\users\public\`) || shell(file) {
				d.tell(now, task, 0.75, r, name, ev...)
			}
		default:
			if h, known := homes[file]; known {
				if dir, _ := base(program(low)); dir != "" && !strings.HasPrefix(dir, "%") && !properDir([]byte(dir), h) {
					d.tell(now, elsewhere, 0.9, r, name, ev...)
				}
			}
		}
	}
}

// unescape takes XML's five entities off.
func unescape(s string) string {
	if strings.IndexByte(s, '&') < 0 {
		return s
	}
	for _, e := range [...][2]string{{"&lt;", "<"}, {"&gt;", ">"}, {"&quot;", `"`}, {"&apos;", "'"}, {"&amp;", "&"}} {
		s = strings.ReplaceAll(s, e[0], e[1])
	}
	return s
}
