// Package intruder knows what campaigns leave behind in the services they take over: commands that mine, fetch and run,
// open a shell to the outside, and the file names that each campaign uses.
package intruder

import (
	"regexp"
	"strings"

	"github.com/minewarden/minewarden/internal/shady"
)

// Kind is what a command does, worse last.
type Kind uint8

// The kinds.
const (
	None     Kind = iota
	Shell         // a bare shell with a script: legitimate use exists
	Download      // fetches something and runs it, or hides what it runs
	Miner         // starts a miner, or uses a name that a mining campaign is known by
)

// A Sign is what was recognized, and in which words.
type Sign struct {
	Kind Kind
	Text string
}

// A Judge is safe for concurrent use.
type Judge struct {
	shady                       *shady.Judge
	name, fetch, reverse, drops *regexp.Regexp
}

// New compiles the patterns.
func New() *Judge {
	return &Judge{
		shady: shady.New(),
		// Marker files and names of the campaigns in docs/: Consul (JINX-0132), Gitea 2026, Kinsing, perfctl, Hildegard.
		name: regexp.MustCompile(`(?i)/var/tmp/systemd-check|/tmp/\.X1-unix\b|\.gt_(?:sys|cron)_health|/dev/shm/(?:cron|idle|kworker|ksmd)\b|` +
			`\bkdevtmpfsi\b|\bkinsing\b|\bNIGNOG\b|\bmonerodaemon\b|/tmp/\.perf\.c\b|\bperfcc\b|\bmoneroocean_miner\b|\bxmrig\b`),
		fetch: regexp.MustCompile(`(?is)\bwget\s+-qU-|(?:\b(?:curl|wget|fetch|lwp-download|ftpget|tftp)\b|urllib|requests\.get|http\.get|Invoke-WebRequest).*` +
			`(?:\bchmod\s+(?:-\S+\s+)*(?:[ugoa]*\+[rwx]*x|[0-7]*[1357])|\|\s*(?:\S*/)?(?:ba|da|z|k|a)?sh\b|\|\s*(?:\S*/)?python|\bnohup\b|\btar\s+-?[a-z]*x|\bos\.system|\bexec\(|[;&]\s*(?:sh|bash|\./))`),
		reverse: regexp.MustCompile(`/dev/tcp/|\b(?:nc|ncat|netcat)\b.*\s-[a-z]*e\b|\bsocat\b.*\bexec:|\bmkfifo\b.*\bnc\b|base64\s+(?:-d|--decode|-D)\b.*\|\s*(?:\S*/)?(?:ba|da)?sh\b|\bchattr\s+\+i|ld\.so\.preload|\bauthorized_keys\b.*>>|>>.*\bauthorized_keys\b`),
		drops:   regexp.MustCompile(`(?:^|[\s;&|"'(])/(?:tmp|var/tmp|dev/shm)/(?:\.[^\s;&|"']+|\S+\s+-o\s)`),
	}
}

// maxText is how much of a command is read, in bytes.
const maxText = 64 << 10

// Command judges a command, given as its words.
func (j *Judge) Command(words ...string) Sign {
	text := strings.Join(words, " ")
	if len(text) > maxText {
		text = text[:maxText]
	}
	if v := j.shady.Command(text); v.Kind == shady.Miner {
		return Sign{Miner, v.Text}
	} else if m := j.name.FindString(text); m != "" && !looksFor(words) {
		return Sign{Miner, m}
	} else if v.Kind == shady.Downloader {
		return Sign{Download, v.Text}
	}
	for _, re := range []*regexp.Regexp{j.fetch, j.reverse, j.drops} {
		if m := re.FindString(text); m != "" && !strings.HasSuffix(m, "/.X11-unix") && !strings.HasSuffix(m, "/.ICE-unix") {
			return Sign{Download, clip(strings.TrimSpace(m))}
		}
	}
	if isShell(words) {
		return Sign{Shell, clip(text)}
	}
	return Sign{}
}

// Image judges a container image's name.
func (j *Judge) Image(name string) Sign {
	if v := j.shady.Image(name); v.Kind == shady.Miner {
		return Sign{Miner, v.Text}
	}
	return Sign{}
}

// Name judges a name that a person, or an intruder, gave to something.
func (j *Judge) Name(name string) Sign {
	if m := j.name.FindString(name); m != "" {
		return Sign{Miner, m}
	}
	return Sign{}
}

// looksFor tells a command that searches for or ends a miner.
func looksFor(words []string) bool {
	f := strings.Fields(strings.Join(words, " "))
	if len(f) == 0 {
		return false
	}
	switch f[0][strings.LastIndexByte(f[0], '/')+1:] {
	case "pkill", "killall", "pgrep", "grep", "egrep", "rm":
		return true
	}
	return false
}

// isShell tells a shell that is handed a script on its command line.
func isShell(words []string) bool {
	f := strings.Fields(strings.Join(words, " "))
	if len(f) < 2 {
		return false
	}
	switch strings.TrimSuffix(f[0][strings.LastIndexAny(f[0], `/\`)+1:], ".exe") {
	case "sh", "bash", "dash", "ash", "zsh", "ksh", "busybox", "cmd", "powershell", "pwsh":
	case "env", "sudo", "nohup", "setsid":
		return isShell(f[1:])
	default:
		return false
	}
	for _, a := range f[1:] {
		if a == "-c" || (strings.HasPrefix(a, "-") && !strings.HasPrefix(a, "--") && strings.HasSuffix(a, "c")) || strings.EqualFold(a, "/c") || strings.EqualFold(a, "-command") {
			return true
		}
	}
	return false
}

func clip(s string) string {
	if len(s) > 160 {
		s = s[:160] + "…"
	}
	return s
}
