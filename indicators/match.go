package indicators

import (
	"strings"
	"time"

	"github.com/minewarden/minewarden"
)

// Match returns the indicators that values of ev meet. It allocates only when there is one.
func (s *Set) Match(ev *minewarden.Event) []minewarden.Match {
	if s.n == 0 {
		return nil
	}
	var out []minewarden.Match
	add := func(field string, hit Hit, ok bool) {
		if ok {
			out = append(out, minewarden.Match{Field: field, Indicator: hit.Indicator()})
		}
	}
	name := func(field, name string) {
		if name != "" {
			hit, ok := s.Name(lower(name), ev.Time)
			add(field, hit, ok)
		}
	}
	switch d := ev.Data.(type) {
	case *minewarden.DNS:
		name("name", d.Name)
		for _, n := range d.Names {
			name("cname", n)
		}
		for _, a := range d.Addrs {
			hit, ok := s.Addr(a, 0, ev.Time)
			add("addr", hit, ok)
		}
	case *minewarden.TLS:
		name("sni", d.SNI)
		if d.Cert != nil {
			name("certificate", strings.TrimPrefix(d.Cert.CommonName, "*."))
			for _, n := range d.Cert.Names {
				name("certificate", strings.TrimPrefix(n, "*."))
			}
		}
	case *minewarden.HTTP:
		host, _, _ := strings.Cut(d.Host, ":")
		name("host", host)
	case *minewarden.Connect:
		hit, ok := s.Addr(d.Remote.Addr(), d.Remote.Port(), ev.Time)
		add("remote", hit, ok)
	case *minewarden.Flow:
		if d.State == "open" {
			hit, ok := s.Addr(d.Key.Server.Addr(), d.Key.Server.Port(), ev.Time)
			add("server", hit, ok)
		}
	case *minewarden.Image:
		s.hashOf(d.SHA256, ev.Time, add)
	case *minewarden.File:
		s.hashOf(d.SHA256, ev.Time, add)
	}
	return out
}

func (s *Set) hashOf(sum string, now time.Time, add func(string, Hit, bool)) {
	if sum != "" {
		hit, ok := s.Exact(SHA256, sum, now)
		add("sha256", hit, ok)
	}
}

// lower avoids an allocation for names that sensors already gave in normal form.
func lower(name string) string {
	name = strings.TrimSuffix(name, ".")
	for i := range len(name) {
		if c := name[i]; c >= 'A' && c <= 'Z' {
			return strings.ToLower(name)
		}
	}
	return name
}
