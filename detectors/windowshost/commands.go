package windowshost

import (
	"bytes"
	"encoding/base64"
	"strings"

	"github.com/minewarden/minewarden/internal/command"
)

const (
	maxLine  = 16 << 10 // bytes read of a command line or a task
	maxShown = 400      // bytes of it in evidence
)

// fold appends s in lower case, without what cmd drops from names (^ and quotes) and with single blanks.
func fold(dst []byte, s string) []byte {
	s = s[:min(len(s), maxLine)]
	blank := false
	for i := range len(s) {
		c := s[i]
		switch {
		case c == '^' || c == '"' || c == '\'' || c == '`' || c == 0:
			continue
		case c == ' ' || c == '\t' || c == '\r' || c == '\n':
			if blank {
				continue
			}
			blank = true
			c = ' '
		default:
			blank = false
			if 'A' <= c && c <= 'Z' {
				c += 'a' - 'A'
			}
		}
		dst = append(dst, c)
	}
	return dst
}

func has(b []byte, words ...string) bool {
	for _, w := range words {
		if !contains(b, w) {
			return false
		}
	}
	return true
}

func contains(b []byte, w string) bool { return bytes.Contains(b, []byte(w)) }

// A verdict is what a command line is.
type verdict struct {
	claim      claim
	confidence float64
	note       string // what was decoded
}

// judge weighs a command line; low is its folded form.
func judge(line string, low []byte) verdict {
	if mines(line, low) {
		return verdict{miner, 0.9, ""}
	}
	shell := contains(low, "powershell") || contains(low, "pwsh")
	if shell {
		if text, ok := decode(line); ok {
			inner := fold(nil, text)
			switch {
			case mines(text, inner):
				return verdict{miner, 0.9, text}
			case downloads(inner) || contains(inner, "iex") || contains(inner, "invoke-expression") || contains(inner, "frombase64string") || contains(inner, "virtualalloc") || contains(inner, "reflection.assembly"):
				return verdict{encodedBad, 0.9, text}
			case defences(inner):
				return verdict{defence, 0.85, text}
			}
			if hidden(low) {
				return verdict{encoded, 0.7, text}
			}
			return verdict{encoded, 0.5, text}
		}
		run := contains(low, "iex") || contains(low, "invoke-expression") || contains(low, "start-process") || contains(low, "invoke-item") || contains(low, "| &")
		switch {
		case downloads(low) && (run || hidden(low)), contains(low, "frombase64string") && (run || hidden(low) || contains(low, "gzipstream")):
			return verdict{encodedBad, 0.85, ""}
		case downloads(low) && contains(low, "http"):
			return verdict{fetch, 0.5, ""}
		case contains(low, "clear-eventlog") || contains(low, "remove-eventlog") || contains(low, "clearlog("):
			return verdict{clearing, 0.9, ""}
		}
	}
	switch {
	case contains(low, "wevtutil") && (contains(low, " cl ") || contains(low, "clear-log")), has(low, "nteventlog", "cleareventlog"):
		return verdict{clearing, 0.9, ""}
	case defences(low):
		return verdict{defence, 0.85, ""}
	case contains(low, "\\\\127.0.0.1\\") && (contains(low, "__1") || contains(low, "__output") || contains(low, "admin$") || contains(low, "c$")) && contains(low, "cmd"):
		return verdict{remoteExec, 0.95, ""}
	case contains(low, "certutil") && (contains(low, "urlcache") || contains(low, "verifyctl")) && contains(low, "http"),
		contains(low, "bitsadmin") && (contains(low, "/transfer") || contains(low, "/addfile")) && contains(low, "http"),
		contains(low, "mshta") && (contains(low, "http") || contains(low, "javascript:") || contains(low, "vbscript:")),
		contains(low, "regsvr32") && (contains(low, "/i:http") || contains(low, "-i:http") || contains(low, "scrobj")),
		contains(low, "rundll32") && (contains(low, "javascript:") || contains(low, "url.dll,openurl") && contains(low, "http")),
		contains(low, "curl") && contains(low, "http") && (contains(low, " -o") || contains(low, " --output")) && (contains(low, ".exe") || contains(low, ".dll") || contains(low, ".bat") || contains(low, ".ps1")) && writable(string(low)),
		contains(low, "msiexec") && contains(low, "http") && (contains(low, "/q") || contains(low, "-q")):
		return verdict{fetch, 0.8, ""}
	}
	return verdict{}
}

func hidden(low []byte) bool {
	return contains(low, "hidden") || contains(low, "-w h") || contains(low, "-noni") || contains(low, "-nop")
}

func downloads(low []byte) bool {
	return contains(low, "downloadstring") || contains(low, "downloadfile") || contains(low, "downloaddata") || contains(low, "invoke-webrequest") || contains(low, "iwr ") ||
		contains(low, "net.webclient") || contains(low, "invoke-restmethod") || contains(low, "start-bitstransfer")
}

func defences(low []byte) bool {
	return contains(low, "set-mppreference") && (contains(low, "-disable") && (contains(low, "true") || contains(low, " 1"))) || contains(low, "add-mppreference") && contains(low, "-exclusion") ||
		contains(low, "advfirewall") && contains(low, "state off") || contains(low, "firewall set opmode disable") ||
		contains(low, "delete shadows") || contains(low, "shadowcopy delete") || contains(low, "recoveryenabled no") ||
		(contains(low, "windefend") || contains(low, "mpssvc")) && (contains(low, "sc stop") || contains(low, "sc.exe stop") || contains(low, "sc delete") || contains(low, "net stop") || contains(low, "start= disabled"))
}

// mines asks the judge of command lines, which is not cheap, only where a word of mining is there.
func mines(line string, low []byte) bool {
	if !contains(low, "stratum") && !contains(low, "xmr") && !contains(low, "miner") && !contains(low, "pool") && !contains(low, "--donate") && !contains(low, "--algo") && !contains(low, "randomx") &&
		!contains(low, "--coin") && !contains(low, "nicehash") && !contains(low, " -o ") && !contains(low, "rx/0") {
		return false
	}
	// The judge reads shell text: there, a backslash is no separator and ".exe" is part of the name.
	line = strings.ReplaceAll(line[:min(len(line), maxLine)], `\`, "/")
	line = strings.ReplaceAll(strings.ReplaceAll(line, ".exe", ""), ".EXE", "")
	if contains(low, "start-process") && (contains(low, "stratum+") || contains(low, "xmrig") && (contains(low, "-o ") || contains(low, "--url"))) {
		return true
	}
	facts := command.Text(line)
	return facts.Acts.Has(command.Miner | command.MinerFetch)
}

// decode returns the text of PowerShell's -EncodedCommand, which may be shortened to -e.
func decode(line string) (string, bool) {
	line = line[:min(len(line), maxLine)]
	words := strings.Fields(line)
	for i, w := range words {
		if len(w) < 2 || w[0] != '-' && w[0] != '/' || i+1 == len(words) {
			continue
		}
		name := strings.ToLower(strings.Trim(w[1:], "^\"'"))
		if name != "ec" && !strings.HasPrefix("encodedcommand", name) || name == "" {
			continue
		}
		text := strings.TrimRight(strings.Trim(words[i+1], `"'`), "=")
		if len(text) < 16 {
			continue
		}
		if len(text)%4 == 1 {
			text = text[:len(text)-1]
		}
		raw, err := base64.RawStdEncoding.DecodeString(text)
		if err != nil || len(raw) < 8 {
			continue
		}
		var out strings.Builder
		zeros := 0
		for j := 0; j+1 < len(raw); j += 2 {
			if raw[j+1] != 0 {
				out.WriteByte('?')
				continue
			}
			zeros++
			out.WriteByte(raw[j])
		}
		if zeros*4 < len(raw) { // less than half of it is ASCII in UTF-16
			continue
		}
		return out.String(), true
	}
	return "", false
}
