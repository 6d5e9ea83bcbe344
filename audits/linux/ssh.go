package linux

import (
	"fmt"
	"io/fs"
	"path"
	"strings"

	"github.com/minewarden/minewarden"
	"github.com/minewarden/minewarden/internal/verdict"
)

// An sshConfig is what sshd would read, in its order: the first value of a keyword counts.
type sshConfig struct {
	settings []sshSetting
	files    int
	errs     []string
	match    string // the Match block being read
	include  func(pattern string)
}

type sshSetting struct {
	keyword, value, match, file string
	line                        int
}

const (
	maxIncludes = 256
	maxSettings = 10_000
)

func (c *sshConfig) text(name string, data []byte) {
	c.files++
	line := 0
	for l := range strings.Lines(string(data)) {
		line++
		l = strings.TrimSpace(l)
		if l == "" || l[0] == '#' {
			continue
		}
		keyword, value, ok := strings.Cut(l, " ")
		if i := strings.IndexAny(l, " \t="); i > 0 {
			keyword, value, ok = l[:i], strings.TrimLeft(l[i:], " \t="), true
		}
		if !ok {
			continue
		}
		if i := strings.Index(value, " #"); i >= 0 {
			value = value[:i]
		}
		value = strings.Trim(strings.TrimSpace(value), `"`)
		keyword = strings.ToLower(keyword)
		switch keyword {
		case "match":
			c.match = value
			if strings.EqualFold(value, "all") {
				c.match = ""
			}
			continue
		case "include":
			if c.include != nil && c.files < maxIncludes {
				held := c.match // a Match in an included file ends with the file
				for _, pattern := range strings.Fields(value) {
					c.include(strings.Trim(pattern, `"`))
				}
				c.match = held
			}
			continue
		}
		if len(c.settings) < maxSettings {
			c.settings = append(c.settings, sshSetting{keyword, value, c.match, name, line})
		}
	}
}

// first is the value that holds for everybody.
func (c *sshConfig) first(keyword string) (sshSetting, bool) {
	for _, s := range c.settings {
		if s.keyword == keyword && s.match == "" {
			return s, true
		}
	}
	return sshSetting{}, false
}

func (s *sheet) sshHost() {
	const main = "etc/ssh/sshd_config"
	b, err := s.read(main)
	if missing(err) {
		if b, err = s.read("usr" + "/" + main); missing(err) {
			for _, r := range []string{ruleSSHPassword, ruleSSHRoot, ruleSSHEmpty} {
				s.NotApplicable(r, "there is no sshd_config")
			}
			return
		}
	}
	if err != nil {
		for _, r := range []string{ruleSSHPassword, ruleSSHRoot, ruleSSHEmpty} {
			s.Unknown(r, "sshd_config could not be read: "+err.Error())
		}
		return
	}
	c := &sshConfig{}
	c.include = func(pattern string) {
		if !strings.HasPrefix(pattern, "/") {
			pattern = "/etc/ssh/" + pattern
		}
		names, err := fs.Glob(s.root, strings.TrimPrefix(path.Clean(pattern), "/"))
		if err != nil {
			c.errs = append(c.errs, err.Error())
		}
		for _, n := range names {
			b, err := s.read(n)
			if err != nil {
				c.errs = append(c.errs, err.Error())
				continue
			}
			if c.files < maxIncludes {
				c.text(n, b)
			}
		}
	}
	c.text(main, b)
	s.ssh(c, main)
}

func (s *sheet) ssh(c *sshConfig, main string) {
	fix := func(summary, keyword, value string, at sshSetting) *minewarden.Repair {
		file := at.file
		if file == "" || at.match != "" {
			file = main
		}
		r := &minewarden.Repair{Summary: summary, Config: keyword + " " + value, Format: minewarden.FormatKeyValue}
		if at.match == "" {
			r.Edits = []minewarden.Edit{verdict.Set(file, minewarden.FormatKeyValue, value, keyword)}
		}
		return r
	}
	report := func(rule, proof string, at sshSetting, repair *minewarden.Repair) {
		file, line := at.file, at.line
		if file == "" {
			file = main
		}
		ev := verdict.Evidence("keyword", at.keyword, "value", at.value, "match", at.match)
		if at.match != "" {
			s.Suspect(rule, 0.7, s.File(file, line, 1), proof+", for Match "+at.match, repair, ev...)
			return
		}
		s.Prove(rule, s.File(file, line, 1), proof, repair, ev...)
	}
	where := func(x sshSetting) string { return fmt.Sprintf("%s line %d: %s %s", x.file, x.line, x.keyword, x.value) }

	password, set := c.first("passwordauthentication")
	kbd, kbdSet := c.first("kbdinteractiveauthentication")
	if !kbdSet {
		kbd, kbdSet = c.first("challengeresponseauthentication")
	}
	pam, _ := c.first("usepam")
	switch {
	case !set:
		report(ruleSSHPassword, "PasswordAuthentication is not set and is yes by default", sshSetting{}, fix("accounts without a key can no longer log in", "PasswordAuthentication", "no", sshSetting{}))
	case !strings.EqualFold(password.value, "no"):
		report(ruleSSHPassword, where(password), password, fix("accounts without a key can no longer log in", "PasswordAuthentication", "no", password))
	case strings.EqualFold(pam.value, "yes") && (!kbdSet || strings.EqualFold(kbd.value, "yes")):
		s.Suspect(ruleSSHPassword, 0.6, s.File(password.file, password.line, 1), "PasswordAuthentication is no, but PAM still asks for passwords through KbdInteractiveAuthentication",
			fix("PAM asks for no password over ssh", "KbdInteractiveAuthentication", "no", kbd))
	default:
		s.Pass(ruleSSHPassword, where(password))
	}
	root, set := c.first("permitrootlogin")
	if set && strings.EqualFold(root.value, "yes") {
		report(ruleSSHRoot, where(root), root, fix("root logs in with a key only", "PermitRootLogin", "prohibit-password", root))
	}
	empty, _ := c.first("permitemptypasswords")
	if strings.EqualFold(empty.value, "yes") {
		report(ruleSSHEmpty, where(empty), empty, fix("accounts without a password cannot log in", "PermitEmptyPasswords", "no", empty))
	}
	for _, x := range c.settings {
		if x.match == "" || !strings.EqualFold(x.value, "yes") {
			continue
		}
		if rule := map[string]string{"passwordauthentication": ruleSSHPassword, "permitrootlogin": ruleSSHRoot, "permitemptypasswords": ruleSSHEmpty}[x.keyword]; rule != "" {
			report(rule, where(x), x, nil)
		}
	}
	for _, e := range c.errs {
		s.Unknown(ruleSSHRoot, "an included file could not be read: "+e)
	}
	s.Pass(ruleSSHRoot, "PermitRootLogin is not yes; the default is prohibit-password")
	s.Pass(ruleSSHEmpty, "PermitEmptyPasswords is not yes; the default is no")
}
