// Package file knows miners' configurations, start scripts and programs by what they hold, never by their names.
package file

import (
	"bytes"
	_ "embed"
	"strings"

	"github.com/minewarden/minewarden"
	"github.com/minewarden/minewarden/internal/command"
)

//go:embed README.md
var doc string

// Rule ids.
const (
	ruleConfig   = "file/miner-config"
	rulePool     = "file/pool-config"
	ruleTemplate = "file/miner-template"
	ruleScript   = "file/miner-script"
	ruleBinary   = "file/miner-binary"
	ruleWords    = "file/miner-words"
	ruleList     = "file/miner-list"
)

const quarantine = "If nobody here mines on purpose, quarantine the file, look for what runs it, and compare wallet and pool with other incidents."

var rules = []minewarden.Rule{
	{ID: ruleConfig, Title: "A miner's configuration with a wallet", Severity: minewarden.High, Technique: []string{"T1496.001"}, Advice: quarantine},
	{ID: rulePool, Title: "A miner's configuration with an account at a pool", Severity: minewarden.Medium, Technique: []string{"T1496.001"}, Advice: quarantine},
	{ID: ruleTemplate, Title: "An example of a miner's configuration", Severity: minewarden.Low, Technique: []string{"T1588.002"}, Advice: "It names no wallet. Look for the miner that it came with."},
	{ID: ruleScript, Title: "A script starts a miner", Severity: minewarden.High, Technique: []string{"T1496.001", "T1059.004"}, Advice: quarantine},
	{ID: ruleBinary, Title: "A program holds mining algorithms and the pool protocol", Severity: minewarden.High, Technique: []string{"T1496.001"}, Advice: quarantine},
	{ID: ruleWords, Title: "A program holds some words of miners", Severity: minewarden.Informational, Technique: []string{"T1496.001"}, Advice: "Pool software, wallets and scanners do too."},
	{ID: ruleList, Title: "A program names many miners, as scanners do", Severity: minewarden.Low, Technique: []string{"T1496.001"}, Advice: "Check that it is a scanner that you installed: copies of minewarden look so too. A miner could carry such a list to look harmless."},
}

type detector struct{}

var _ minewarden.Detector = detector{}

// New returns the detector.
func New(minewarden.Env) (minewarden.Detector, error) { return detector{}, nil }

// Info implements minewarden.Detector.
func (detector) Info() minewarden.Info {
	return minewarden.Info{Name: "file", Title: "miners' configurations, scripts and programs by content", Doc: doc}
}

// Rules implements minewarden.Detector.
func (detector) Rules() []minewarden.Rule { return rules }

// Kinds implements minewarden.Detector.
func (detector) Kinds() []minewarden.Kind { return []minewarden.Kind{minewarden.KindFile} }

// Observe implements minewarden.Detector.
func (detector) Observe(ev *minewarden.Event) []minewarden.Finding {
	f, ok := ev.Data.(*minewarden.File)
	if !ok || f.Package != "" && !f.Modified {
		return nil
	}
	tell := func(rule string, confidence float64, evidence ...minewarden.Evidence) []minewarden.Finding {
		if f.SHA256 != "" {
			evidence = append(evidence, minewarden.Evidence{Key: "sha256", Value: f.SHA256})
		}
		return []minewarden.Finding{{
			Time: ev.Time, Rule: rule, Subject: minewarden.Subject{Type: minewarden.SubjectFile, ID: f.Path}, Confidence: confidence, Evidence: evidence, Process: ev.Process,
		}}
	}
	head := bytes.TrimLeft(f.Head, "\ufeff \t\r\n")
	for bytes.HasPrefix(head, []byte("//")) { // miners take comments in JSON
		_, rest, _ := bytes.Cut(head, []byte("\n"))
		head = bytes.TrimLeft(rest, " \t\r\n")
	}
	switch {
	case program(f.Head):
		return binary(f, tell)
	case len(head) > 0 && (head[0] == '{' || head[0] == '['):
		return config(f.Path, head, tell)
	case bytes.HasPrefix(head, []byte("#!")), f.Mode&0o170000 == 0o100000 && f.Mode&0o111 != 0 && len(head) > 0 && bytes.IndexByte(head, 0) < 0:
		if facts := command.Text(string(head)); facts.Acts.Has(command.Miner) {
			return tell(ruleScript, 0.85, minewarden.Evidence{Key: "command", Value: strings.ToValidUTF8(facts.Note(command.Miner), "")})
		}
	}
	return nil
}

type teller = func(rule string, confidence float64, evidence ...minewarden.Evidence) []minewarden.Finding

// program knows executables of Linux, Windows and macOS.
func program(head []byte) bool {
	return bytes.HasPrefix(head, []byte("\x7fELF")) || bytes.HasPrefix(head, []byte("MZ")) && len(head) > 64 || bytes.HasPrefix(head, []byte("\xcf\xfa\xed\xfe"))
}

// Groups of words that only together mean a miner.
const (
	algorithms = iota // what it computes
	protocol          // how it talks to a pool
	behaviour         // options and messages of miners
	groups
)

// words by group, in lower case. A word counts once, and where it is part of another only the longer one counts.
var words = [groups][]string{
	algorithms: {"randomx", "rx/0", "rx/wow", "rx/arq", "cryptonight", "cn/r", "cn-pico", "cn/0", "kawpow", "ghostrider", "etchash", "ethash", "autolykos", "yespower", "astrobwt", "argon2/chukwa", "panthera", "equihash"},
	protocol: {
		"stratum+tcp", "stratum+ssl", "stratum+tls", "stratum2+tcp", "mining.subscribe", "mining.authorize", "mining.submit", "mining.notify", "mining.set_difficulty", "eth_submitwork", "eth_submitlogin",
		"\"method\":\"login\"", "\"method\":\"submit\"", "keepalived", "getblocktemplate", "job_id", "nicehash", "client.reconnect",
	},
	behaviour: {"donate-level", "donate.v2.xmrig.com", "donate.ssl.xmrig.com", "new job from", "failed to apply msr mod", "msr mod", "xmrig", "hashrate", "huge pages", "cpu-max-threads-hint", "accepted (", "pool-worker", "rig-id", "minerd", "cpuminer", "rejected (", "hash-rate", "h/s", "max-cpu-usage", "xmr-stak"},
}

// products are programs and families of different makers. A miner names itself and perhaps its origin; who names many has a list
// of them.
var products = []string{
	"xmrig", "xmr-stak", "cpuminer", "ccminer", "cgminer", "bfgminer", "lolminer", "nbminer", "teamredminer", "gminer", "phoenixminer", "srbminer",
	"nanominer", "kinsing", "kdevtmpfsi", "watchbog", "coinhive", "cryptoloot", "deepminer",
}

// minProducts is beyond what miners hold: XMRig names 1, cpuminer-multi and ccminer name each other and their origins, at most 4.
const minProducts = 7

const (
	minProtocol  = 1
	minBehaviour = 2
	maxStrings   = 512
)

func binary(f *minewarden.File, tell teller) []minewarden.Finding {
	if len(f.Strings) == 0 {
		return nil
	}
	var met [groups]int
	var shown [groups]string
	for g, list := range words {
		for _, w := range list {
			for _, s := range f.Strings[:min(len(f.Strings), maxStrings)] {
				if len(s) >= len(w) && len(s) < 512 && strings.Contains(strings.ToLower(s), w) {
					met[g]++
					shown[g] += " " + w
					break
				}
			}
		}
	}
	evidence := []minewarden.Evidence{{Key: "words", Value: strings.TrimSpace(shown[algorithms] + shown[protocol] + shown[behaviour])}}
	switch {
	case named(f.Strings) >= minProducts:
		return tell(ruleList, 0.3, evidence...)
	case met[algorithms] > 0 && met[protocol] >= minProtocol && met[behaviour] >= minBehaviour, met[algorithms] >= 2 && met[protocol] >= 2 && met[behaviour] >= 1:
		return tell(ruleBinary, min(0.95, 0.7+0.03*float64(met[algorithms]+met[protocol]+met[behaviour])), evidence...)
	case met[algorithms]+met[protocol]+met[behaviour] >= 3:
		return tell(ruleWords, 0.3, evidence...)
	}
	return nil
}

// named returns how many products the strings name.
func named(found []string) (n int) {
	for _, p := range products {
		for _, s := range found[:min(len(found), maxStrings)] {
			if len(s) < 512 && strings.Contains(strings.ToLower(s), p) {
				n++
				break
			}
		}
	}
	return n
}
