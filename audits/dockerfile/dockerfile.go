// Package dockerfile checks Dockerfiles and Containerfiles.
package dockerfile

import (
	"bytes"
	"context"
	_ "embed"
	"encoding/json"
	"fmt"
	"path"
	"regexp"
	"strings"
	"time"

	"github.com/minewarden/minewarden"
	"github.com/minewarden/minewarden/internal/shady"
	"github.com/minewarden/minewarden/internal/verdict"
)

//go:embed README.md
var doc string

// The rules' ids.
const (
	ruleMiner      = "dockerfile/miner"
	ruleDownloader = "dockerfile/downloader"
	ruleInsecure   = "dockerfile/insecure-build"
	ruleRoot       = "dockerfile/runs-as-root"
	ruleNoVerify   = "dockerfile/unverified-download"
	ruleWritable   = "dockerfile/world-writable"
	ruleSudo       = "dockerfile/passwordless-sudo"
	ruleFlags      = "dockerfile/service-flags"
)

func rules() []minewarden.Rule {
	r := func(id, title, advice string, s minewarden.Severity, technique []string, why string, refs ...string) minewarden.Rule {
		return minewarden.Rule{ID: id, Title: title, Advice: advice, Severity: s, Technique: technique, Why: why, References: refs}
	}
	return []minewarden.Rule{
		r(ruleMiner, "the image brings a miner", "remove the line, and find who committed it", minewarden.Critical, []string{"T1496.001", "T1204.003"},
			"Public images with a miner inside were pulled millions of times.", "ATT&CK M1042", "D3FEND D3-EAL"),
		r(ruleDownloader, "the build fetches a script and runs it", "download a fixed version, check its SHA-256, then run it", minewarden.Medium, []string{"T1195.002", "T1105"},
			"Whoever holds the address, or the way to it, decides what is in the image.", "CIS Docker 1.6.0 4.11", "ATT&CK M1051", "D3FEND D3-SFV"),
		r(ruleInsecure, "the build asks for privileges on the building host", "remove --security=insecure and --network=host", minewarden.High, []string{"T1612", "T1611"},
			"A privileged build step owns the build host.", "ATT&CK M1048", "D3FEND D3-EI"),
		r(ruleRoot, "the image's program runs as root", "end the Dockerfile with USER and an unprivileged account", minewarden.Low, []string{"T1611"},
			"Root in the container is what most escapes need first.", "CIS Docker 1.6.0 4.1", "ATT&CK M1026", "D3FEND D3-UAP"),
		r(ruleNoVerify, "the build downloads without checking the server", "use https and remove the option that skips the check", minewarden.Medium, []string{"T1557", "T1195.002"},
			"Anyone on the way can put a miner into the image.", "ATT&CK M1041", "D3FEND D3-SFV"),
		r(ruleWritable, "the build makes files writable for everyone", "give the files to the account that needs them", minewarden.Low, []string{"T1222.002"},
			"An exploited service replaces the program itself.", "ATT&CK M1022", "D3FEND D3-LFP"),
		r(ruleSudo, "an account of the image may run everything as root without a password", "remove the sudoers line", minewarden.Medium, []string{"T1548.003"},
			"The unprivileged user is root in all but name.", "ATT&CK M1026", "D3FEND D3-UAP"),
		r(ruleFlags, "the image starts a service with its door open", "start it from a configuration file with access control on", minewarden.High, []string{"T1190"},
			"JINX-0132 looks for Nomad, Consul, Docker and Gitea as they come out of a demonstration.", "ATT&CK M1042", "D3FEND D3-ACH"),
	}
}

type auditor struct {
	now                            func() time.Time
	judge                          *shady.Judge
	rules                          []minewarden.Rule
	from, noVerify, writable, sudo *regexp.Regexp
}

var _ minewarden.FileAuditor = (*auditor)(nil)

// New returns the auditor.
func New(env minewarden.Env) (minewarden.Auditor, error) {
	return &auditor{
		now: env.Now, judge: shady.New(), rules: rules(),
		from:     regexp.MustCompile(`(?mi)^FROM[ \t]+(?:--platform=\S+[ \t]+)?\S+[ \t]*(?:as[ \t]+\S+[ \t]*)?\r?$`),
		noVerify: regexp.MustCompile(`(?i)\bcurl\b[^|;&]*\s(?:-[a-jl-z]*k[a-z]*|--insecure)(?:\s|$)|--no-check-certificate\b|--trusted-host\b|--allow-unauthenticated\b|--force-yes\b|\bstrict-ssl\s+false\b|sslverify[\s=]+(?:false|0)\b|NODE_TLS_REJECT_UNAUTHORIZED=0`),
		writable: regexp.MustCompile(`\bchmod\s+(?:-\S+\s+)*(?:0?777|[02-7]?[0-7]{2}[2367]|a\+\S*w|o\+\S*w|ugo\+\S*w)\b`),
		sudo:     regexp.MustCompile(`(?i)NOPASSWD\s*:\s*ALL`),
	}, nil
}

func (a *auditor) Info() minewarden.Info {
	return minewarden.Info{Name: "dockerfile", Title: "Dockerfiles and Containerfiles", Doc: doc}
}

func (a *auditor) Rules() []minewarden.Rule { return a.rules }

// Claims takes files named like a Dockerfile, and files without an extension that begin like one.
func (a *auditor) Claims(name string, head []byte) bool {
	base := strings.ToLower(path.Base(name))
	named := base == "dockerfile" || base == "containerfile" || strings.HasPrefix(base, "dockerfile.") || strings.HasSuffix(base, ".dockerfile") || strings.HasPrefix(base, "containerfile.")
	if !named && path.Ext(base) != "" {
		return false
	}
	return a.from.Match(head) && (named || firstWord(head))
}

// firstWord reports whether the first instruction is one that a Dockerfile can begin with.
func firstWord(head []byte) bool {
	for line := range bytes.Lines(head) {
		line = bytes.TrimSpace(line)
		if len(line) == 0 || line[0] == '#' {
			continue
		}
		return bytes.HasPrefix(bytes.ToUpper(line), []byte("FROM ")) || bytes.HasPrefix(bytes.ToUpper(line), []byte("ARG "))
	}
	return false
}

// maxInstructions bounds what is read of one file.
const maxInstructions = 10_000

type instruction struct {
	word, text string
	line       int
	where      map[int]int // offset in text to line, for findings inside a long RUN
}

// parse joins continued lines; a heredoc belongs to its instruction.
func parse(data []byte) []instruction {
	var out []instruction
	lines := strings.Split(string(data), "\n")
	for i := 0; i < len(lines) && len(out) < maxInstructions; i++ {
		line := strings.TrimSpace(lines[i])
		if line == "" || line[0] == '#' {
			continue
		}
		word, rest, _ := strings.Cut(line, " ")
		in := instruction{word: strings.ToUpper(word), line: i + 1, where: map[int]int{0: i + 1}}
		var b strings.Builder
		end := heredoc(rest)
		for {
			cut := strings.TrimSuffix(rest, "\\")
			b.WriteString(cut)
			if cut == rest || i+1 >= len(lines) {
				break
			}
			i++
			for i < len(lines) && (strings.HasPrefix(strings.TrimSpace(lines[i]), "#") || strings.TrimSpace(lines[i]) == "") {
				i++
			}
			if i >= len(lines) {
				break
			}
			b.WriteByte(' ')
			in.where[b.Len()] = i + 1
			rest = strings.TrimSpace(lines[i])
		}
		for end != "" && i+1 < len(lines) {
			i++
			if strings.TrimSpace(lines[i]) == end {
				break
			}
			b.WriteByte('\n')
			in.where[b.Len()] = i + 1
			b.WriteString(lines[i])
		}
		in.text = b.String()
		out = append(out, in)
	}
	return out
}

func heredoc(s string) string {
	_, rest, ok := strings.Cut(s, "<<")
	if !ok {
		return ""
	}
	f := strings.Fields(strings.TrimPrefix(rest, "-"))
	if len(f) == 0 {
		return ""
	}
	return strings.Trim(f[0], `"'`)
}

// lineOf is the line that holds the byte of the instruction's text at an offset.
func (in *instruction) lineOf(at int) int {
	best, line := -1, in.line
	for off, l := range in.where {
		if off <= at && off > best {
			best, line = off, l
		}
	}
	return line
}

func (a *auditor) Audit(_ context.Context, target minewarden.Target) (minewarden.Verdict, error) {
	if target.Kind != minewarden.TargetFile || !a.from.Match(target.Data) {
		return minewarden.Verdict{}, nil
	}
	s := verdict.New("dockerfile", target, a.now, a.rules)
	user, userLine, last := "", 0, 1
	starts := false
	var entry []string
	for _, in := range parse(target.Data) {
		last = in.line
		at := func(offset int) minewarden.Subject { return s.File(target.Path, in.lineOf(offset), 1) }
		switch in.word {
		case "FROM":
			user, userLine, starts, entry = "", in.line, false, nil // of the last stage alone the user counts
			if f := strings.Fields(in.text); len(f) > 0 {
				if v := a.judge.Image(f[0]); v.Kind == shady.Miner {
					s.Prove(ruleMiner, at(0), "the image is built from "+f[0], nil, verdict.Evidence("image", f[0])...)
				}
				if strings.Contains(f[0], "nonroot") || strings.Contains(f[0], "rootless") {
					user = "nonroot"
				}
			}
		case "USER":
			user, _, _ = strings.Cut(strings.TrimSpace(in.text), ":")
			userLine = in.line
		case "RUN":
			a.run(s, in, at)
		case "ADD", "COPY", "ENV":
			if v := a.judge.Command(in.text); v.Kind == shady.Miner {
				s.Prove(ruleMiner, at(v.At), in.word+" brings "+v.Text, nil, verdict.Evidence("instruction", in.word+" "+in.text)...)
			}
			if f := strings.Fields(in.text); in.word == "ADD" && !strings.Contains(in.text, "--checksum") {
				for _, w := range f {
					if strings.HasPrefix(w, "http://") {
						s.Prove(ruleNoVerify, at(strings.Index(in.text, w)), "ADD takes "+w+" without encryption or checksum", nil, verdict.Evidence("instruction", "ADD "+in.text)...)
					}
				}
			}
			if m := a.noVerify.FindString(in.text); in.word == "ENV" && m != "" {
				s.Prove(ruleNoVerify, at(strings.Index(in.text, m)), "ENV switches the check of certificates off: "+m, nil, verdict.Evidence("instruction", "ENV "+in.text)...)
			}
		case "CMD", "ENTRYPOINT":
			starts = true
			argv := words(in.text)
			text := strings.Join(argv, " ")
			switch v := a.judge.Command(text); v.Kind {
			case shady.Miner:
				s.Prove(ruleMiner, at(0), "the image starts "+v.Text, nil, verdict.Evidence("command", text)...)
			case shady.Downloader:
				s.Prove(ruleDownloader, at(0), "the image runs "+v.Text, nil, verdict.Evidence("command", text)...)
			}
			entry = append(entry, argv...)
			for _, f := range shady.Flaws(entry) {
				s.Prove(ruleFlags, at(0), fmt.Sprintf("the image starts %s with %s: %s", f.Product, f.Text, f.Why), nil, verdict.Evidence("flag", f.Text)...)
			}
		}
	}
	switch {
	case user == "root" || user == "0":
		s.Prove(ruleRoot, s.File(target.Path, userLine, 1), "the last USER is "+user, a.userRepair(), verdict.Evidence("user", user)...)
	case user == "" && starts:
		s.Suspect(ruleRoot, 0.6, s.File(target.Path, max(userLine, 1), 1), fmt.Sprintf("no USER follows the last FROM (until line %d); the base image decides", last), a.userRepair())
	}
	for _, r := range a.rules {
		s.Pass(r.ID, "no instruction does")
	}
	return s.Verdict(), nil
}

func (a *auditor) userRepair() *minewarden.Repair {
	return &minewarden.Repair{Summary: "run as an account without rights; files it writes must belong to it", Config: "USER 65532:65532", Format: minewarden.FormatDockerfile}
}

func (a *auditor) run(s *verdict.Builder, in instruction, at func(int) minewarden.Subject) {
	ev := verdict.Evidence("instruction", "RUN "+clip(in.text))
	switch v := a.judge.Command(in.text); v.Kind {
	case shady.Miner:
		s.Prove(ruleMiner, at(v.At), "RUN brings or starts "+v.Text, nil, ev...)
	case shady.Downloader:
		s.Prove(ruleDownloader, at(v.At), "RUN does "+v.Text, nil, ev...)
	}
	for _, f := range strings.Fields(in.text) {
		if !strings.HasPrefix(f, "--") {
			break
		}
		if f == "--security=insecure" || f == "--network=host" {
			s.Prove(ruleInsecure, at(strings.Index(in.text, f)), "RUN asks for "+f, nil, ev...)
		}
	}
	for _, p := range []struct {
		re         *regexp.Regexp
		rule, says string
	}{{a.noVerify, ruleNoVerify, "RUN skips the check of the server: "}, {a.writable, ruleWritable, "RUN does "}, {a.sudo, ruleSudo, "RUN writes "}} {
		if m := p.re.FindString(in.text); m != "" {
			s.Prove(p.rule, at(strings.Index(in.text, m)), p.says+clip(m), nil, ev...)
		}
	}
}

func clip(s string) string {
	if len(s) > 160 {
		return s[:160] + "…"
	}
	return s
}

// words reads the exec form as JSON, and the shell form as a shell would.
func words(text string) []string {
	text = strings.TrimSpace(text)
	if strings.HasPrefix(text, "[") {
		var out []string
		if json.Unmarshal([]byte(text), &out) == nil {
			return out
		}
	}
	return shady.Fields(text)
}
