package docker

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"strings"

	mw "github.com/minewarden/minewarden"
	"github.com/minewarden/minewarden/internal/probe"
	"github.com/minewarden/minewarden/internal/verdict"
)

// maxContainers is how many containers are read in full.
const maxContainers = 1000

type session struct {
	a     *auditor
	c     *probe.Client
	b     *verdict.Builder
	t     mw.Target
	owner bool // ask with the certificate
}

func (a *auditor) service(ctx context.Context, t mw.Target) (mw.Verdict, error) {
	c, err := probe.New(t.URL, t.Access, probe.Options{})
	if err != nil {
		return mw.Verdict{}, fmt.Errorf("audit docker: %w", err)
	}
	defer c.Close()
	s := &session{a: a, c: c, t: t, b: verdict.New("docker", t, a.now, rules())}
	first, err := c.Settle(ctx, "/version")
	switch {
	case errors.Is(err, probe.ErrClientCert):
		s.b.Pass(ruleOpen, "TLS, and the handshake fails without a client certificate")
		s.b.Pass(ruleNoVerify, "the TLS handshake fails without a client certificate: "+err.Error())
		s.b.Pass(ruleCreate, "nobody without a client certificate that the daemon trusts can ask")
		s.owner = true
		if !c.HasOwner() {
			s.b.Rest(mw.StatusUnknown, "only a client with a certificate sees this: give one with --cert and --key, or audit the host")
			return s.b.Verdict(), nil
		}
	case err != nil:
		return mw.Verdict{}, fmt.Errorf("audit docker at %s: %w", t.URL, err)
	case !looksLikeDocker(first):
		return mw.Verdict{}, fmt.Errorf("audit docker at %s: no Docker API answers there (%s: %q); a proxy or sub-path in front? give the URL with its path", t.URL, first, first.Text())
	default:
		s.stranger(ctx, first)
	}
	s.engine(ctx)
	s.containers(ctx)
	s.b.Rest(mw.StatusUnknown, "only the host's files show this: audit host there", ruleSocket, ruleGroup)
	s.b.Rest(mw.StatusUnknown, "the API does not tell: audit the host or its daemon.json")
	return s.b.Verdict(), nil
}

func looksLikeDocker(r *probe.Response) bool {
	if r.Header.Get("Api-Version") != "" && (r.Header.Get("Ostype") != "" || strings.HasPrefix(r.Header.Get("Server"), "Docker/")) {
		return true
	}
	var v struct{ APIVersion, MinAPIVersion string }
	return r.Status == http.StatusOK && r.JSON(&v) == nil && v.APIVersion != ""
}

// stranger judges what was answered to somebody without a certificate.
func (s *session) stranger(ctx context.Context, first *probe.Response) {
	if s.c.Unix() {
		why := "asked through a socket on this host"
		s.b.Rest(mw.StatusNotApplicable, why, ruleOpen, ruleNoVerify, ruleCreate)
		return
	}
	tls := strings.HasPrefix(s.c.Base(), "https:")
	refused := first.Status == http.StatusForbidden || first.Status == http.StatusUnauthorized
	ev := []mw.Evidence{{Key: "api", Value: s.c.Base()}}
	var info struct{ Warnings []string }
	if r, err := s.c.Get(ctx, "/info"); err == nil && r.Status == http.StatusOK && r.JSON(&info) == nil {
		for _, w := range info.Warnings {
			if strings.Contains(w, "without encryption") || strings.Contains(w, "without TLS client verification") {
				ev = append(ev, mw.Evidence{Key: "daemon_says", Value: strings.Join(strings.Fields(w), " ")})
			}
		}
	}
	switch {
	case refused && tls:
		s.b.Pass(ruleOpen, "TLS")
		s.b.Pass(ruleNoVerify, first.String()+" to a stranger: something in front refuses")
	case refused:
		s.b.Pass(ruleOpen, first.String()+" to a stranger: something in front refuses")
		s.b.NotApplicable(ruleNoVerify, "there is no TLS")
	case tls:
		s.b.Pass(ruleOpen, "TLS; see "+ruleNoVerify)
		s.b.Fail(verdict.Claim{Rule: ruleNoVerify, Proof: first.String() + " over TLS to a client without a certificate", Evidence: ev, Repair: repairVerify("", nil)})
	default:
		s.b.Fail(verdict.Claim{Rule: ruleOpen, Proof: first.String() + " in plain HTTP to a stranger", Evidence: ev, Repair: repairClose("")})
		s.b.NotApplicable(ruleNoVerify, "there is no TLS")
	}
	s.create(ctx)
}

// create asks to create a container without any configuration: the daemon refuses it for being empty, after the access
// control has let it pass, and creates nothing.
func (s *session) create(ctx context.Context) {
	r, err := s.c.Do(ctx, probe.Request{Method: http.MethodPost, Path: "/containers/create", Body: []byte("{}")})
	switch {
	case err != nil:
		s.b.Unknown(ruleCreate, err.Error())
	case r.Status == http.StatusBadRequest && strings.Contains(strings.ToLower(string(r.Body)), "config cannot be empty"):
		s.b.Fail(verdict.Claim{
			Rule: ruleCreate, Proof: r.String() + ` with "config cannot be empty": the request passed, only its content was refused`,
			Evidence: []mw.Evidence{{Key: "created", Value: "nothing"}}, Repair: repairClose(""),
		})
	case r.Status == http.StatusForbidden || r.Status == http.StatusUnauthorized || r.Status == http.StatusMethodNotAllowed:
		s.b.Pass(ruleCreate, r.String()+" to a stranger")
	default:
		s.b.Unknown(ruleCreate, fmt.Sprintf("%s: %s", r, r.Text()))
	}
}

func (s *session) get(ctx context.Context, path string, v any) error {
	r, err := s.c.Do(ctx, probe.Request{Path: path, Owner: s.owner})
	if err != nil {
		return err
	}
	if r.Status != http.StatusOK {
		return fmt.Errorf("%s: %s", r, r.Text())
	}
	return r.JSON(v)
}

// engine reads what the daemon tells of itself.
func (s *session) engine(ctx context.Context) {
	var ver struct {
		Version    string
		Components []struct{ Name, Version string }
	}
	var info struct {
		SecurityOptions    []string
		LiveRestoreEnabled bool
		Plugins            struct{ Authorization []string }
		Warnings           []string
		RegistryConfig     struct {
			InsecureRegistryCIDRs []string
			IndexConfigs          map[string]struct {
				Name   string
				Secure bool
			}
		}
	}
	infoErr := s.get(ctx, "/info", &info)
	if err := s.get(ctx, "/version", &ver); err != nil {
		s.b.Rest(mw.StatusUnknown, err.Error(), ruleTakeover, ruleCVE)
	} else {
		s.b.Version(ver.Version)
		s.versions(ver.Version, ver.Components, infoErr == nil, len(info.Plugins.Authorization) > 0)
	}
	if infoErr != nil {
		s.b.Rest(mw.StatusUnknown, infoErr.Error(), ruleUserns, ruleLive, ruleSeccomp, ruleNoNewPriv, ruleRegistry)
		return
	}
	options := strings.Join(info.SecurityOptions, " ")
	says := "GET /info says SecurityOptions " + fmt.Sprint(info.SecurityOptions)
	flag := func(rule string, good bool, proof string, r *mw.Repair) {
		if good {
			s.b.Pass(rule, proof)
		} else {
			s.b.Fail(verdict.Claim{Rule: rule, Proof: proof, Repair: r})
		}
	}
	flag(ruleUserns, strings.Contains(options, "name=userns") || strings.Contains(options, "name=rootless"), says, repairSet("", "userns-remap", "default", "containers' root becomes an unprivileged account; volumes need new owners, and existing containers are hidden"))
	flag(ruleSeccomp, strings.Contains(options, "name=seccomp") && !strings.Contains(options, "seccomp,profile=unconfined"), says, nil)
	if strings.Contains(options, "no-new-privileges") {
		s.b.Pass(ruleNoNewPriv, says)
	}
	flag(ruleLive, info.LiveRestoreEnabled, fmt.Sprint("GET /info says LiveRestoreEnabled ", info.LiveRestoreEnabled), repairSet("", "live-restore", true, "containers go on while the daemon restarts; not for swarm"))
	var insecure []string
	for _, c := range info.RegistryConfig.InsecureRegistryCIDRs {
		if c != "127.0.0.0/8" && c != "::1/128" {
			insecure = append(insecure, c)
		}
	}
	for _, i := range info.RegistryConfig.IndexConfigs {
		if !i.Secure {
			insecure = append(insecure, i.Name)
		}
	}
	flag(ruleRegistry, len(insecure) == 0, fmt.Sprint("GET /info says insecure registries ", insecure), nil)
}

func (s *session) versions(engine string, components []struct{ Name, Version string }, knowPlugins, authz bool) {
	has := func(f string) bool { return !knowPlugins || f != "authorization-plugin" || authz }
	verdict.CVE(s.b, s.a.cves, "docker", engine, "GET /version says "+engine, ruleTakeover, ruleCVE, has)
	for _, c := range components {
		if c.Name == "runc" || c.Name == "containerd" {
			verdict.CVE(s.b, s.a.cves, c.Name, c.Version, "GET /version says "+c.Name+" "+c.Version, ruleTakeover, ruleCVE, has)
		}
	}
}

// containers reads every container, running or not.
func (s *session) containers(ctx context.Context) {
	var list []struct {
		ID    string `json:"Id"`
		Names []string
	}
	if err := s.get(ctx, "/containers/json?all=1", &list); err != nil {
		s.b.Rest(mw.StatusUnknown, "read containers: "+err.Error(), containerRules()...)
		return
	}
	for i, c := range list {
		if i >= maxContainers {
			s.b.Unknown(rulePriv, fmt.Sprintf("%d containers more than the limit were not read", len(list)-maxContainers))
			break
		}
		name := c.ID
		if len(c.Names) > 0 {
			name = strings.TrimPrefix(c.Names[0], "/")
		}
		var in inspect
		err := s.get(ctx, "/containers/"+url.PathEscape(name)+"/json", &in)
		if err != nil && name != c.ID && ctx.Err() == nil {
			err = s.get(ctx, "/containers/"+url.PathEscape(c.ID)+"/json", &in)
		}
		if err != nil {
			s.b.Unknown(rulePriv, "container "+name+": "+err.Error())
			continue
		}
		s.a.judgeContainer(s.b, name, &in, mw.Subject{Type: mw.SubjectContainer, ID: in.ID, Name: name})
	}
	s.b.Rest(mw.StatusPass, fmt.Sprintf("read %d containers", len(list)), containerRules()...)
}
