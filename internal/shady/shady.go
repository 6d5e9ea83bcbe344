// Package shady judges command lines and image names that a configuration would start: whether they mine, fetch and run
// what they fetched, or start one of the audited products with its door open. It reads text only.
package shady

import (
	"regexp"
	"strings"
)

// A Verdict is what is wrong with a command, and the words that show it.
type Verdict struct {
	Kind Kind
	Text string
	At   int // where in the command the words begin, in bytes
}

// Kind is what a command does.
type Kind uint8

// The kinds, worse last.
const (
	Clean      Kind = iota
	Downloader      // fetches something and runs it in the same breath
	Miner           // starts a miner
)

// patterns is made once and only read.
type patterns struct{ miner, pool, fetchRun, fetchTmp, decodeRun *regexp.Regexp }

// A Judge holds the compiled patterns. It is safe for concurrent use.
type Judge struct{ p patterns }

// New compiles the patterns.
func New() *Judge {
	return &Judge{patterns{
		// A program's own name, as a word: "gminer" in a path counts, "data-miner-ui" and "zpool" do not.
		miner:     regexp.MustCompile(`(?i)(?:^|[\s/"'=;&|(])(xmrig(?:-[a-z0-9.]+)*|xmr-stak(?:-[a-z]+)*|minerd|cpuminer(?:-[a-z0-9]+)*|ccminer|cgminer|bfgminer|ethminer|t-rex|lolminer|nbminer|phoenixminer|teamredminer|srbminer(?:-multi)?|gminer|nanominer|kdevtmpfsi|kinsing|c3pool_miner|moneroocean_miner|hellminer)(?:[\s"';&|):.@]|$)`),
		pool:      regexp.MustCompile(`(?i)(stratum\+?(?:tcp|ssl|tls|udp)?://[^\s"']+|--?(?:donate-level|randomx-[a-z-]+|coin=?\s*(?:monero|xmr)|rig-id|nicehash)\b|(?:pool\.)?(?:supportxmr|minexmr|moneroocean|c3pool|nanopool|hashvault|xmrpool|2miners|herominers|unmineable|minergate)\.[a-z]{2,4}\b)`),
		fetchRun:  regexp.MustCompile(`(?i)\b(?:curl|wget|fetch)\b[^|;&\n]*\|\s*(?:sudo\s+(?:-\S+\s+)*)?(?:/\S*/)?(?:ba|da|z|k)?sh\b`),
		fetchTmp:  regexp.MustCompile(`(?i)\b(?:curl|wget)\b[^\n]*?(/(?:tmp|var/tmp|dev/shm)/\S+)[^\n]*?(?:chmod\s+\S*[+x7]\S*|\bsh\b|\bbash\b)[^\n]*`),
		decodeRun: regexp.MustCompile(`(?i)\bbase64\s+(?:-d|--decode|-D)[^|\n]*\|\s*(?:/\S*/)?(?:ba|da|z|k)?sh\b`),
	}}
}

// maxCommand is how much of a command is read, in bytes: longer than any that a person writes into a manifest.
const maxCommand = 64 << 10

// Command judges one command line, or a script of several lines.
func (j *Judge) Command(text string) Verdict {
	if len(text) > maxCommand {
		text = text[:maxCommand]
	}
	if m := j.p.miner.FindStringSubmatchIndex(text); m != nil && !onlyAvoids(text) {
		return Verdict{Miner, text[m[2]:m[3]], m[2]}
	}
	if m := j.p.pool.FindStringIndex(text); m != nil {
		return Verdict{Miner, text[m[0]:m[1]], m[0]}
	}
	for _, re := range []*regexp.Regexp{j.p.fetchRun, j.p.decodeRun, j.p.fetchTmp} {
		if m := re.FindStringIndex(text); m != nil {
			return Verdict{Downloader, clip(text[m[0]:m[1]]), m[0]}
		}
	}
	return Verdict{}
}

// Image judges a container image's name.
func (j *Judge) Image(name string) Verdict {
	base := name[strings.LastIndexByte(name, '/')+1:]
	if m := j.p.miner.FindStringSubmatch(base + " "); m != nil {
		return Verdict{Miner, name, 0}
	}
	return Verdict{}
}

// onlyAvoids tells a command that looks for miners or ends them from one that runs them.
func onlyAvoids(text string) bool {
	if strings.ContainsAny(text, ";&|\n`$") {
		return false
	}
	first, _, _ := strings.Cut(strings.TrimSpace(text), " ")
	switch first[strings.LastIndexByte(first, '/')+1:] {
	case "pkill", "killall", "pgrep", "grep", "egrep", "rm", "echo":
		return true
	}
	return false
}

func clip(s string) string {
	s = strings.Join(strings.Fields(s), " ")
	if len(s) > 120 {
		s = s[:120] + "…"
	}
	return s
}
