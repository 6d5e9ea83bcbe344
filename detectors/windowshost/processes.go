package windowshost

import (
	"bytes"
	"strings"
)

// A home says where a system process is and who starts it.
type home struct {
	windows bool     // in \Windows itself rather than in System32
	parents []string // nil: many
}

// homes holds the system processes that malware likes to be taken for.
var homes = map[string]home{
	"svchost.exe":       {parents: []string{"services.exe", "msmpeng.exe", "mrt.exe", "svchost.exe"}},
	"lsass.exe":         {parents: []string{"wininit.exe", "winlogon.exe"}},
	"services.exe":      {parents: []string{"wininit.exe", "winlogon.exe"}},
	"csrss.exe":         {parents: []string{"smss.exe", "svchost.exe"}},
	"smss.exe":          {parents: []string{"system", "smss.exe"}},
	"wininit.exe":       {parents: []string{"smss.exe"}},
	"winlogon.exe":      {parents: []string{"smss.exe"}},
	"lsm.exe":           {parents: []string{"wininit.exe", "services.exe"}},
	"spoolsv.exe":       {parents: []string{"services.exe"}},
	"taskhostw.exe":     {parents: []string{"svchost.exe", "services.exe"}},
	"taskhost.exe":      {parents: []string{"svchost.exe", "services.exe"}},
	"taskhostex.exe":    {parents: []string{"svchost.exe", "services.exe"}},
	"dwm.exe":           {parents: []string{"winlogon.exe", "svchost.exe", "dwm.exe"}},
	"wmiprvse.exe":      {},
	"conhost.exe":       {},
	"dllhost.exe":       {},
	"sihost.exe":        {},
	"runtimebroker.exe": {},
	"fontdrvhost.exe":   {},
	"audiodg.exe":       {},
	"lsaiso.exe":        {},
	"ctfmon.exe":        {},
	"wuauclt.exe":       {},
	"searchindexer.exe": {},
	"explorer.exe":      {windows: true},
}

// properDir reports whether a folded directory is the system's own, of this or of a prepared Windows.
func properDir(dir []byte, h home) bool {
	i := bytes.Index(dir, []byte(`\windows`))
	if i < 0 {
		return false
	}
	before, rest := dir[:i], dir[i+len(`\windows`):]
	switch {
	case i <= 2, contains(before, `\device\harddiskvolume`), contains(before, `$windows.~`), begins(before, `\??\`), begins(before, `\\?\`):
	default:
		return false
	}
	switch string(rest) {
	case `\system32`, `\syswow64`, `\sysarm32`, `\system32\wbem`, `\syswow64\wbem`:
		return true
	case "":
		return h.windows
	}
	return begins(rest, `\winsxs\`) || begins(rest, `\servicing\`) || begins(rest, `\softwaredistribution\`) || begins(rest, `.old\`) || begins(rest, `\uus\`)
}

func begins(b []byte, s string) bool { return len(b) >= len(s) && string(b[:len(s)]) == s }

// near returns the system process that a folded name imitates by one letter: "svch0st.exe", "scvhost.exe", "svchosts.exe".
func near(name []byte) string {
	for real := range homes {
		if len(real) < 11 { // short names are near too many others
			continue
		}
		if d := len(name) - len(real); d < -1 || d > 1 || name[0] != real[0] {
			continue
		}
		if oneOff(name, real) {
			return real
		}
	}
	return ""
}

// oneOff reports whether one change, one more or fewer letter or one swap makes a into b.
func oneOff(a []byte, b string) bool {
	i := 0
	for i < len(a) && i < len(b) && a[i] == b[i] {
		i++
	}
	switch {
	case len(a) == len(b):
		return string(a[min(i+1, len(a)):]) == b[min(i+1, len(b)):] || i+1 < len(a) && a[i] == b[i+1] && a[i+1] == b[i] && string(a[i+2:]) == b[i+2:]
	case len(a) > len(b):
		return string(a[i+1:]) == b[i:]
	default:
		return string(a[i:]) == b[i+1:]
	}
}

// server reports whether a folded name is that of a program that serves others and has no reason to start shells.
func server(name string) bool {
	switch name {
	case "w3wp.exe", "sqlservr.exe", "umworkerprocess.exe", "spoolsv.exe", "httpd.exe", "nginx.exe", "php-cgi.exe", "mysqld.exe", "postgres.exe", "redis-server.exe", "consul.exe", "nomad.exe",
		"oracle.exe", "dns.exe", "store.exe", "edgetransport.exe", "ws_tomcatservice.exe":
		return true
	}
	return strings.HasPrefix(name, "tomcat")
}

func shell(name string) bool {
	switch name {
	case "cmd.exe", "powershell.exe", "pwsh.exe", "certutil.exe", "bitsadmin.exe", "whoami.exe", "net.exe", "net1.exe", "cscript.exe", "wscript.exe", "mshta.exe", "rundll32.exe", "regsvr32.exe", "schtasks.exe", "sc.exe", "curl.exe", "systeminfo.exe", "tasklist.exe":
		return true
	}
	return false
}

// writable reports whether a folded path is below a directory that users may write to. Windows Defender and drivers' own
// installers work in two of them.
func writable(path string) bool {
	if strings.Contains(path, `\programdata\microsoft\windows defender\`) || strings.Contains(path, `\programdata\package cache\`) {
		return false
	}
	for _, d := range [...]string{
		`\users\`, `\temp\`, `%temp%`, `%tmp%`, `%appdata%`, `%localappdata%`, `%public%`, `%userprofile%`, `\perflogs\`, `\$recycle.bin\`, `\windows\debug\`, `\windows\tasks\`, `\windows\tracing\`, `\windows\fonts\`, `\windows\help\`,
		`\windows\system32\spool\drivers\color\`, `\windows\ime\`, `\windows\addins\`, `\recycler\`, `\intel\logs\`,
	} {
		if strings.Contains(path, d) {
			return true
		}
	}
	// Directly below ProgramData, where programs have folders.
	if i := strings.Index(path, `\programdata\`); i >= 0 {
		return strings.IndexByte(path[i+len(`\programdata\`):], '\\') < 0
	}
	return false
}

// random reports whether a name looks like letters drawn by chance: it has long runs of consonants, or capitals all over.
func random(name string) bool {
	if len(name) < 6 || len(name) > 24 {
		return false
	}
	letters, vowels, run, longest, words, small := 0, 0, 0, 0, 1, false
	for i := range len(name) {
		c := name[i]
		switch {
		case 'a' <= c && c <= 'z':
			small = true
		case 'A' <= c && c <= 'Z':
			if i > 0 {
				words++
			}
		case '0' <= c && c <= '9':
			continue
		default:
			return false
		}
		letters++
		if strings.IndexByte("aeiouyAEIOUY", c) >= 0 {
			vowels++
			run = 0
		} else if run++; run > longest {
			longest = run
		}
	}
	return small && (longest >= 5 && vowels*5 <= letters || words >= 3 && len(name) < 2*words)
}
