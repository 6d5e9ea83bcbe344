package gitea

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"path"
	"strings"

	mw "github.com/minewarden/minewarden"
	"github.com/minewarden/minewarden/internal/conftree"
	"github.com/minewarden/minewarden/internal/hostfs"
	"github.com/minewarden/minewarden/internal/verdict"
)

// Claims takes app.ini by its name, and other INI files that hold Gitea's keys.
func (a *auditor) Claims(name string, head []byte) bool {
	base := strings.ToLower(path.Base(name))
	if base == "app.ini" {
		return true
	}
	if !strings.HasSuffix(base, ".ini") && !strings.Contains(base, ".ini.") {
		return false
	}
	for _, k := range []string{"DISABLE_GIT_HOOKS", "INSTALL_LOCK", "DISABLE_REGISTRATION", "REQUIRE_SIGNIN_VIEW"} {
		if bytes.Contains(head, []byte(k)) {
			return true
		}
	}
	return false
}

func (a *auditor) file(t mw.Target) (mw.Verdict, error) {
	if !a.Claims(t.Path, t.Data[:min(len(t.Data), mw.ClaimHead)]) {
		return mw.Verdict{}, nil
	}
	tree, err := conftree.ParseINI(t.Path, t.Data)
	if err != nil {
		var e *conftree.Error
		if t.Line > 1 && errors.As(err, &e) {
			moved := *e
			moved.Line += t.Line - 1
			err = &moved
		}
		return mw.Verdict{}, fmt.Errorf("audit gitea: %w", err)
	}
	if !isGitea(tree) {
		return mw.Verdict{}, nil
	}
	b := verdict.New("gitea", t, a.now, rules())
	(&conf{b: b, tree: tree, file: t.Path, line: t.Line}).judge()
	return b.Verdict(), nil
}

// isGitea tells Gitea's app.ini from other programs'.
func isGitea(n *conftree.Node) bool {
	known := 0
	for _, k := range [][]string{
		{"", "APP_NAME"},
		{"", "RUN_USER"},
		{"", "RUN_MODE"},
		{"", "WORK_PATH"},
		{"repository", "ROOT"},
		{"security", "INSTALL_LOCK"},
		{"security", "DISABLE_GIT_HOOKS"},
		{"security", "INTERNAL_TOKEN"},
		{"service", "DISABLE_REGISTRATION"},
		{"service", "REQUIRE_SIGNIN_VIEW"},
		{"server", "ROOT_URL"},
		{"server", "SSH_DOMAIN"},
	} {
		if n.Get(k...) != nil {
			known++
		}
	}
	return known > 0
}

// conf judges one app.ini. Every default is Gitea's own, so what is not set is known as well.
type conf struct {
	b    *verdict.Builder
	tree *conftree.Node
	file string
	line int
}

func (c *conf) want(rule, section, key string, good, def bool, summary string) bool {
	n := c.tree.Get(section, key)
	on, known := n.Bool()
	proof := fmt.Sprintf("[%s] %s is not set; its default is %v", section, key, def)
	if n == nil {
		on = def
	} else {
		proof = fmt.Sprintf("%s:%d: [%s] %s = %s", n.File, n.Line, section, key, n.Text)
		if !known || strings.Contains(n.Text, "{{") || strings.Contains(n.Text, "${") {
			c.b.Unknown(rule, proof+": neither true nor false")
			return false
		}
	}
	if on == good {
		c.b.Pass(rule, proof)
		return true
	}
	c.b.Fail(verdict.Claim{Rule: rule, Subject: c.subject(n), Proof: proof, Repair: repairINI(c.file, section, key, fmt.Sprint(good), summary)})
	return false
}

func (c *conf) subject(n *conftree.Node) mw.Subject {
	at := mw.Subject{Type: mw.SubjectFile, ID: c.file, Line: max(c.line, 1), Column: 1}
	if n != nil {
		at.Line, at.Column = n.Line, n.Column
		if c.line > 1 {
			at.Line += c.line - 1
		}
	}
	return at
}

func (c *conf) judge() {
	c.want(ruleInstall, "security", "INSTALL_LOCK", true, false, "finish the installation first, then lock it")
	c.want(ruleHooks, "security", "DISABLE_GIT_HOOKS", true, true, "nobody can edit hooks any more; those on disk stay and run")
	c.want(ruleImport, "security", "IMPORT_LOCAL_PATHS", false, false, "repositories are imported over the network only")
	if c.tree.Get("service", "ALLOW_ONLY_EXTERNAL_REGISTRATION").True() {
		c.b.Pass(ruleRegister, "[service] ALLOW_ONLY_EXTERNAL_REGISTRATION = true")
		c.b.NotApplicable(ruleConfirm, "accounts come from your own sign-in")
	} else if c.want(ruleRegister, "service", "DISABLE_REGISTRATION", true, false, "administrators then make the accounts") {
		c.b.NotApplicable(ruleConfirm, "nobody can register")
	} else {
		c.want(ruleConfirm, "service", "REGISTER_EMAIL_CONFIRM", true, false, "a new account must answer a mail first")
	}
	c.want(ruleBrowse, "service", "REQUIRE_SIGNIN_VIEW", true, false, "strangers then see the sign-in page only")
	addr := c.tree.Get("server", "HTTP_ADDR")
	protocol := c.tree.Get("server", "PROTOCOL").Str()
	loopback := strings.HasPrefix(addr.Str(), "127.") || addr.Str() == "::1" || addr.Str() == "localhost" || strings.Contains(protocol, "unix")
	switch {
	case loopback:
		c.b.Pass(ruleListen, "it listens on this host only")
	case addr.Str() == "" || addr.Str() == "0.0.0.0" || addr.Str() == "::":
		c.b.Fail(verdict.Claim{
			Rule: ruleListen, Subject: c.subject(addr), Proof: fmt.Sprintf("[server] HTTP_ADDR = %q, which is every address", addr.Str()),
			Repair: repairINI(c.file, "server", "HTTP_ADDR", "127.0.0.1", "only a proxy on this host reaches it then"),
		})
	default:
		c.b.Pass(ruleListen, "it listens on "+addr.Str())
	}
	if protocol == "https" || loopback {
		c.b.Pass(ruleTLS, "https, or reached through this host only")
	} else {
		c.b.Fail(verdict.Claim{Rule: ruleTLS, Subject: c.subject(c.tree.Get("server", "PROTOCOL")), Proof: "[server] PROTOCOL is not https and other hosts reach it"})
	}
	trusted := c.tree.Get("security", "REVERSE_PROXY_TRUSTED_PROXIES")
	if c.tree.Get("service", "ENABLE_REVERSE_PROXY_AUTHENTICATION").True() && (strings.Contains(trusted.Str(), "*") || strings.Contains(trusted.Str(), "0.0.0.0/0") || strings.Contains(trusted.Str(), "::/0")) {
		c.b.Fail(verdict.Claim{
			Rule: ruleProxy, Subject: c.subject(trusted), Proof: "sign-in by proxy header, believed from " + trusted.Text,
			Repair: repairINI(c.file, "security", "REVERSE_PROXY_TRUSTED_PROXIES", "127.0.0.0/8,::1/128", "name your proxy's own address where it is another host"),
		})
	} else {
		c.b.Pass(ruleProxy, "no sign-in by proxy header, or only from named proxies")
	}
}

// host judges every app.ini in use, and reads the hooks of the repositories that it names.
func (a *auditor) host(ctx context.Context, t mw.Target) (mw.Verdict, error) {
	if t.Root == nil {
		return mw.Verdict{}, errors.New("audit gitea: the host target has no files")
	}
	b := verdict.New("gitea", t, a.now, rules())
	cmds, cerr := hostfs.Commands(t.Root, "gitea")
	type place struct{ below, name string }
	var places []place
	for _, c := range cmds {
		if vs, ok := c.Flag("config", "c"); ok {
			places = append(places, place{c.Root, vs[len(vs)-1]})
		} else if vs, ok := c.Flag("work-path", "w"); ok {
			places = append(places, place{c.Root, vs[len(vs)-1] + "/custom/conf/app.ini"})
		}
	}
	for _, p := range []string{"/etc/gitea/app.ini", "/etc/gitea/conf/app.ini", "/var/lib/gitea/custom/conf/app.ini", "/data/gitea/conf/app.ini", "/etc/forgejo/app.ini"} {
		places = append(places, place{"", p})
		for _, c := range cmds {
			places = append(places, place{c.Root, p})
		}
	}
	seen, found := map[string]bool{}, false
	for i, p := range places {
		files, err := hostfs.Configs(t.Root, p.below, p.name, ".ini")
		if err != nil || len(files) != 1 {
			if i < len(cmds) && len(places) > len(cmds) && err != nil && !strings.Contains(err.Error(), "not exist") {
				b.Unknown(ruleHooks, err.Error())
			}
			continue
		}
		f := files[0]
		if seen[string(f.Data)] {
			continue // the same file through a process' own root
		}
		seen[string(f.Data)], found = true, true
		tree, err := conftree.ParseINI(f.Path, f.Data)
		if err != nil {
			b.Unknown(ruleHooks, err.Error())
			continue
		}
		(&conf{b: b, tree: tree, file: f.Path}).judge()
		a.disk(ctx, b, t.Root, p.below, tree)
	}
	if !found && len(cmds) == 0 {
		return mw.Verdict{}, cerr
	}
	if cerr != nil {
		b.Unknown(ruleHooks, cerr.Error())
	}
	b.Rest(mw.StatusUnknown, "no app.ini was found, or the files do not tell: ask the service with gitea=URL")
	return b.Verdict(), nil
}
