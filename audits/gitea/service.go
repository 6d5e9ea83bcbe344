package gitea

import (
	"context"
	"fmt"
	"net/http"
	"net/url"
	"strings"

	mw "github.com/minewarden/minewarden"
	"github.com/minewarden/minewarden/internal/intruder"
	"github.com/minewarden/minewarden/internal/probe"
	"github.com/minewarden/minewarden/internal/verdict"
)

// Bounds of what is asked of one server.
const (
	maxRepos = 500
	maxPages = 20
)

type session struct {
	a *auditor
	c *probe.Client
	b *verdict.Builder
	t mw.Target
}

func (a *auditor) service(ctx context.Context, t mw.Target) (mw.Verdict, error) {
	c, err := probe.New(t.URL, t.Access, probe.Options{Token: setToken})
	if err != nil {
		return mw.Verdict{}, fmt.Errorf("audit gitea: %w", err)
	}
	defer c.Close()
	s := &session{a: a, c: c, t: t, b: verdict.New("gitea", t, a.now, rules())}
	root, err := c.Settle(ctx, "/")
	if err != nil {
		return mw.Verdict{}, fmt.Errorf("audit gitea at %s: %w", t.URL, err)
	}
	version, err := c.Get(ctx, "/api/v1/version")
	if err != nil {
		return mw.Verdict{}, fmt.Errorf("audit gitea at %s: %w", t.URL, err)
	}
	if !looksLikeGitea(root) && !looksLikeGitea(version) {
		return mw.Verdict{}, fmt.Errorf("audit gitea at %s: no Gitea answers there (%s: %q); a proxy or sub-path in front? give the URL with its path", t.URL, root, root.Text())
	}
	verdict.Transport(s.b, c, ruleTLS, ruleMTLS, ruleCert, nil)
	installing := s.installed(root)
	s.version(ctx, version)
	if installing {
		s.b.Rest(mw.StatusNotApplicable, "it is not installed yet", ruleRegister)
	} else {
		s.registration(ctx)
	}
	s.owner(ctx)
	s.b.Rest(mw.StatusUnknown, "strangers are not told, and without a token nobody asks: give an administrator's with --token-file, or audit app.ini", ruleHooks, ruleEditors)
	s.b.Rest(mw.StatusUnknown, "only the host's files show this: audit host there, or app.ini")
	return s.b.Verdict(), nil
}

func looksLikeGitea(r *probe.Response) bool {
	for _, c := range r.Header.Values("Set-Cookie") {
		if strings.HasPrefix(c, "i_like_gitea=") || strings.HasPrefix(c, "gitea_incredible=") {
			return true
		}
	}
	if r.Has("Git with a cup of tea") || r.Has("Powered by Gitea") || r.Has("Powered by Forgejo") {
		return true
	}
	var v struct {
		Version, Message string
	}
	if !strings.HasSuffix(r.URL, "/api/v1/version") || r.JSON(&v) != nil {
		return false
	}
	return (r.Status == http.StatusOK && v.Version != "") || strings.Contains(v.Message, "Only signed in user is allowed to call APIs")
}

// installed judges the front page: before installation it is the installation form.
func (s *session) installed(root *probe.Response) (installing bool) {
	if root.Status == http.StatusOK && root.Has(`name="db_type"`) {
		s.b.Fail(verdict.Claim{Rule: ruleInstall, Proof: root.String() + " with the installation form", Repair: repairINI("", "security", "INSTALL_LOCK", "true", "finish the installation first, then lock it")})
		return true
	}
	s.b.Pass(ruleInstall, root.String()+" without an installation form")
	return false
}

func (s *session) version(ctx context.Context, r *probe.Response) {
	var v struct{ Version string }
	if r.Status == http.StatusOK && r.JSON(&v) == nil && v.Version != "" {
		s.b.Fail(verdict.Claim{Rule: ruleBrowse, Proof: r.String() + " with version " + v.Version, Repair: repairINI("", "service", "REQUIRE_SIGNIN_VIEW", "true", "strangers then see the sign-in page only")})
	} else {
		s.b.Pass(ruleBrowse, r.String()+" to a stranger")
		if !s.c.HasOwner() {
			s.b.Rest(mw.StatusUnknown, "the version is not told to strangers", ruleTakeover, ruleCVE)
			return
		}
		or, err := s.c.Do(ctx, probe.Request{Path: "/api/v1/version", Owner: true})
		if err == nil && or.Status != http.StatusOK {
			err = fmt.Errorf("%s: %s", or, or.Text())
		}
		if err == nil {
			err = or.JSON(&v)
		}
		if err != nil {
			s.b.Rest(mw.StatusUnknown, "asked as the owner: "+err.Error(), ruleTakeover, ruleCVE)
			return
		}
	}
	s.b.Version(v.Version)
	verdict.CVE(s.b, s.a.cves, "gitea", v.Version, "GET /api/v1/version says "+v.Version, ruleTakeover, ruleCVE, nil)
}

// registration looks for the form, not the status: a server where registration is disabled answers 200 too.
func (s *session) registration(ctx context.Context) {
	r, err := s.c.Get(ctx, "/user/sign_up")
	switch {
	case err != nil:
		s.b.Unknown(ruleRegister, err.Error())
	case r.Status == http.StatusOK && r.Has(`name="user_name"`) && r.Has(`name="retype"`):
		s.b.Fail(verdict.Claim{Rule: ruleRegister, Proof: r.String() + " with a registration form (user_name, retype)", Repair: repairRegistration("")})
	case r.Status == http.StatusOK && looksLikeGitea(r):
		s.b.Pass(ruleRegister, r.String()+" without a registration form")
	case r.Status == http.StatusForbidden, r.Status == http.StatusNotFound, r.Status == http.StatusUnauthorized:
		s.b.Pass(ruleRegister, r.String())
	default:
		s.b.Unknown(ruleRegister, fmt.Sprintf("%s: %s", r, r.Text()))
	}
}

// owner asks with an administrator's token for what the policy on hooks is, who could edit them, and which there are.
func (s *session) owner(ctx context.Context) {
	if !s.c.HasOwner() {
		return
	}
	var admins []string
	var users []struct {
		Login   string
		IsAdmin bool `json:"is_admin"`
	}
	r, err := s.c.Do(ctx, probe.Request{Path: "/api/v1/admin/users", Owner: true})
	if err == nil && r.Status != http.StatusOK {
		err = fmt.Errorf("%s: %s", r, r.Text())
	}
	if err == nil {
		err = r.JSON(&users)
	}
	if err != nil {
		s.b.Unknown(ruleEditors, "read accounts: "+err.Error())
	}
	for _, u := range users {
		if u.IsAdmin {
			admins = append(admins, u.Login)
		}
	}
	repos, err := s.repos(ctx)
	if err != nil {
		s.b.Rest(mw.StatusUnknown, "read repositories: "+err.Error(), append(hookRules(), ruleHooks)...)
		return
	}
	allowed, denied, failed := 0, 0, ""
	for _, name := range repos {
		at := mw.Subject{Type: mw.SubjectService, ID: s.t.URL, Name: "repository " + name}
		owner, repo, _ := strings.Cut(name, "/")
		r, err := s.c.Do(ctx, probe.Request{Path: "/api/v1/repos/" + url.PathEscape(owner) + "/" + url.PathEscape(repo) + "/hooks/git", Owner: true})
		switch {
		case err != nil:
			failed = err.Error()
		case r.Status == http.StatusForbidden && r.Has("must be allowed to edit Git hooks"):
			denied++
		case r.Status == http.StatusOK:
			var hooks []struct {
				Name, Content string
				IsActive      bool `json:"is_active"`
			}
			if err := r.JSON(&hooks); err != nil {
				failed = err.Error()
				continue
			}
			allowed++
			for _, h := range hooks {
				if h.IsActive {
					s.a.judgeHook(s.b, h.Name+" of "+name, h.Content, at)
				}
			}
		default:
			failed = fmt.Sprintf("%s: %s", r, r.Text())
		}
	}
	switch {
	case allowed > 0:
		ev := []mw.Evidence{{Key: "accounts_that_may", Value: strings.Join(admins, " ")}}
		s.b.Fail(verdict.Claim{Rule: ruleHooks, Proof: "GET …/hooks/git answered 200 with a list to this token", Evidence: ev, Repair: repairINI("", "security", "DISABLE_GIT_HOOKS", "true", "nobody can edit hooks any more; those on disk stay and run")})
		if len(admins) > 0 {
			s.b.Fail(verdict.Claim{Rule: ruleEditors, Proof: "site administrators: " + strings.Join(admins, " ")})
		}
	case denied > 0 && len(admins) > 0:
		s.b.Pass(ruleHooks, `GET …/hooks/git answered 403 "must be allowed to edit Git hooks" to a site administrator`)
		s.b.NotApplicable(ruleEditors, "nobody may edit hooks")
		s.b.Rest(mw.StatusUnknown, "hooks that are on disk still run and the API does not show them: audit host there", hookRules()...)
	case denied > 0:
		s.b.Unknown(ruleHooks, "403 to this account, which is no site administrator: an administrator may still be allowed")
	case failed != "":
		s.b.Rest(mw.StatusUnknown, failed, append(hookRules(), ruleHooks)...)
	default:
		s.b.Rest(mw.StatusUnknown, "there is no repository that this token sees, so nothing to ask about hooks", append(hookRules(), ruleHooks)...)
	}
	if allowed > 0 && failed == "" {
		s.b.Rest(mw.StatusPass, fmt.Sprintf("read the hooks of %d repositories", allowed), hookRules()...)
	}
}

func (s *session) repos(ctx context.Context) ([]string, error) {
	var names []string
	seen := map[string]bool{}
	for page := 1; page <= maxPages && len(names) < maxRepos; page++ {
		path := "/api/v1/repos/search"
		if page > 1 {
			path += fmt.Sprint("?page=", page)
		}
		r, err := s.c.Do(ctx, probe.Request{Path: path, Owner: true})
		if err == nil && r.Status != http.StatusOK {
			err = fmt.Errorf("%s: %s", r, r.Text())
		}
		var got struct {
			Data []struct {
				FullName string `json:"full_name"`
			}
		}
		if err == nil {
			err = r.JSON(&got)
		}
		if err != nil {
			return names, err
		}
		fresh := 0
		for _, d := range got.Data {
			if strings.Count(d.FullName, "/") == 1 && !seen[d.FullName] {
				seen[d.FullName] = true
				names = append(names, d.FullName)
				fresh++
			}
		}
		if fresh == 0 {
			break
		}
	}
	return names, nil
}

// judgeHook adds what is wrong with one hook that Gitea did not write.
func (a *auditor) judgeHook(b *verdict.Builder, name, content string, at mw.Subject) {
	ev := []mw.Evidence{{Key: "content", Value: content}}
	sign := a.judge.Command(content)
	switch sign.Kind {
	case intruder.Miner:
		b.Fail(verdict.Claim{Rule: ruleMiner, Subject: at, Proof: fmt.Sprintf("hook %s shows %q", name, sign.Text), Evidence: ev})
	case intruder.Download:
		b.Fail(verdict.Claim{Rule: ruleFetch, Subject: at, Proof: fmt.Sprintf("hook %s shows %q", name, sign.Text), Evidence: ev})
	default:
		b.Fail(verdict.Claim{Rule: ruleCustom, Subject: at, Proof: "hook " + name + " was not written by Gitea", Evidence: ev})
	}
}
