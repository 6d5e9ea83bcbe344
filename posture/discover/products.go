package discover

import (
	"context"
	"net"
	"net/http"
	"strings"

	"github.com/minewarden/minewarden/audits/exposed"
	"github.com/minewarden/minewarden/internal/probe"
)

// Ports are where the services listen by default.
func Ports() []uint16 {
	ports := []uint16{4646, 8500, 8501, 2375, 2376, 3000}
	for _, s := range exposed.Services() {
		ports = append(ports, s.Ports...)
	}
	return ports
}

// Talks returns the services that do not speak HTTP.
func Talks() []Talk {
	var out []Talk
	for _, s := range exposed.Services() {
		if s.Path != "" {
			continue
		}
		out = append(out, Talk{Product: s.Name, Ports: s.Ports, Match: func(ctx context.Context, c net.Conn) (Match, bool) {
			open, known, says, err := s.Talk(ctx, c)
			return Match{Open: open, Says: says}, err == nil && known
		}})
	}
	return out
}

// Products returns the fingerprints of Nomad, Consul, Docker, Gitea and the exposed services that speak HTTP. Nomad and Consul are told apart by one question.
func Products() []Fingerprint {
	const self = "/v1/acl/token/self"
	out := []Fingerprint{
		{Product: "nomad", Path: self, Match: matchNomad},
		{Product: "consul", Path: self, Match: matchConsul},
		{Product: "docker", Path: "/version", Match: matchDocker},
		{Product: "gitea", Path: "/api/v1/version", Match: matchGitea},
		{Product: "gitea", Path: "/", Match: matchGiteaPage},
	}
	for _, s := range exposed.Services() {
		if s.Path == "" {
			continue
		}
		out = append(out, Fingerprint{Product: s.Name, Path: s.Path, Confirm: s.Confirm, Match: func(r *probe.Response) (Match, bool) {
			open, known := s.Match(r)
			return Match{Open: open}, known
		}})
	}
	return out
}

func header(r *probe.Response, prefix string) bool {
	for h := range r.Header {
		if strings.HasPrefix(h, prefix) {
			return true
		}
	}
	return false
}

func matchNomad(r *probe.Response) (Match, bool) {
	if header(r, "X-Consul-") {
		return Match{}, false
	}
	var t struct{ AccessorID, Type string }
	known := header(r, "X-Nomad-") || (r.Status == http.StatusBadRequest && r.Has("ACL support disabled")) ||
		(r.Status == http.StatusForbidden && strings.TrimSpace(string(r.Body)) == "Permission denied")
	if r.Status == http.StatusOK && r.JSON(&t) == nil && t.AccessorID != "" {
		known = true
	}
	return Match{Open: t.AccessorID == "acls-disabled" || (r.Status == http.StatusBadRequest && r.Has("ACL support disabled"))}, known
}

func matchConsul(r *probe.Response) (Match, bool) {
	off := r.Status == http.StatusUnauthorized && strings.TrimSpace(string(r.Body)) == "ACL support disabled"
	return Match{Open: off}, header(r, "X-Consul-") || off || (r.Status == http.StatusForbidden && r.Has("ACL not found"))
}

func matchDocker(r *probe.Response) (Match, bool) {
	var v struct{ APIVersion, Version string }
	ok := r.Status == http.StatusOK && r.JSON(&v) == nil && v.APIVersion != ""
	return Match{Open: ok, Version: v.Version}, ok || strings.HasPrefix(r.Header.Get("Server"), "Docker/")
}

func matchGitea(r *probe.Response) (Match, bool) {
	var v struct{ Version, Message string }
	if r.JSON(&v) != nil {
		return Match{}, false
	}
	return Match{Version: v.Version}, (r.Status == http.StatusOK && v.Version != "" && strings.Contains(r.Header.Get("Cache-Control"), "no-transform")) || strings.Contains(v.Message, "Only signed in user is allowed to call APIs")
}

func matchGiteaPage(r *probe.Response) (Match, bool) {
	cookie := false
	for _, c := range r.Header.Values("Set-Cookie") {
		cookie = cookie || strings.HasPrefix(c, "i_like_gitea=")
	}
	return Match{Open: r.Has(`name="db_type"`)}, cookie || r.Has("Git with a cup of tea")
}
