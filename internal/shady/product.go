package shady

import (
	"net/netip"
	"strings"
)

// A Flaw is one way in that a product's own command line opens.
type Flaw struct {
	Product string // nomad, consul, docker, gitea
	Text    string // the flag
	Why     string
}

// Product names the product that argv starts, "" for none of the four.
func Product(argv []string) string {
	for i, a := range argv {
		base := a[strings.LastIndexByte(a, '/')+1:]
		switch base {
		case "nomad", "consul", "gitea":
			return base
		case "dockerd", "docker-daemon":
			return "docker"
		case "sudo", "env", "exec", "nohup", "tini", "dumb-init", "docker-entrypoint.sh", "dockerd-entrypoint.sh", "--", "sh", "bash", "-c", "su-exec", "gosu":
			if base == "dockerd-entrypoint.sh" {
				return "docker"
			}
			continue
		}
		if strings.Contains(base, "=") && i < 4 {
			continue // VAR=value before the program
		}
		return ""
	}
	return ""
}

// Flaws tells what is dangerous in a command line of one of the four products. Flags that name a configuration file are
// not followed.
func Flaws(argv []string) []Flaw {
	product := Product(argv)
	if product == "" {
		return nil
	}
	var out []Flaw
	add := func(text, why string) { out = append(out, Flaw{product, text, why}) }
	flags := parseFlags(argv)
	dev, listens := false, ""
	for _, f := range flags {
		on := f.value == "" || isTrue(f.value)
		switch product {
		case "nomad":
			switch f.name {
			case "dev", "dev-connect", "dev-consul", "dev-vault":
				dev = dev || on || f.name == "dev"
			case "bind":
				listens = f.value
			}
		case "consul":
			switch f.name {
			case "enable-script-checks":
				if on {
					add("-enable-script-checks", "whoever reaches the HTTP API can register a check that runs any command")
				}
			case "enable-local-script-checks":
				// Local checks come from files only.
			case "client":
				listens = f.value
			case "dev":
				dev = true
			case "disable-remote-exec":
				if !on {
					add("-disable-remote-exec=false", "consul exec runs commands on every agent")
				}
			case "default-policy":
				if f.value == "allow" {
					add("-default-policy=allow", "requests without a token may do everything")
				}
			}
		case "docker":
			switch f.name {
			case "H", "host":
				if strings.HasPrefix(f.value, "tcp://") && !hasFlag(flags, "tlsverify") {
					add("-H "+f.value, "the API on TCP without client certificates is root on this host for whoever reaches it")
				}
			case "insecure-registry":
				add("--insecure-registry "+f.value, "images from it can be replaced on the way")
			case "authorization-plugin", "tlsverify":
			}
		}
	}
	if dev {
		where := "on loopback"
		if AllAddresses(listens) {
			where = "on every address"
		}
		switch product {
		case "nomad":
			add("-dev", "development mode: no ACL, raw_exec on, so that anyone who reaches the API ("+where+") runs commands")
		case "consul":
			add("-dev", "development mode: no ACL, the API ("+where+") takes every request")
		}
	}
	return out
}

type flag struct{ name, value string }

func parseFlags(argv []string) []flag {
	const maxArgs = 512
	var out []flag
	for i := 0; i < len(argv) && i < maxArgs; i++ {
		a := argv[i]
		if len(a) < 2 || a[0] != '-' {
			continue
		}
		name, value, ok := strings.Cut(strings.TrimLeft(a, "-"), "=")
		if !ok && i+1 < len(argv) && !strings.HasPrefix(argv[i+1], "-") {
			value = argv[i+1]
		}
		if !ok && strings.HasPrefix(a, "-H") && len(a) > 2 && a[1] == 'H' {
			name, value = "H", a[2:]
		}
		out = append(out, flag{name, strings.Trim(value, `"'`)})
	}
	return out
}

func hasFlag(flags []flag, name string) bool {
	for _, f := range flags {
		if f.name == name && !strings.EqualFold(f.value, "false") {
			return true
		}
	}
	return false
}

func isTrue(s string) bool {
	switch strings.ToLower(s) {
	case "true", "1", "t", "yes":
		return true
	}
	return false
}

// AllAddresses reports whether an address a service binds to is every address of the host.
func AllAddresses(s string) bool {
	s = strings.Trim(strings.TrimSpace(s), "[]")
	if s == "*" {
		return true
	}
	a, err := netip.ParseAddr(s)
	return err == nil && a.IsUnspecified()
}

// Fields splits a command line as a shell would, as far as quotes go; nothing is expanded.
func Fields(s string) []string {
	var out []string
	var cur strings.Builder
	quote, in := byte(0), false
	for i := 0; i < len(s); i++ {
		c := s[i]
		switch {
		case quote != 0:
			if c == quote {
				quote = 0
			} else if c == '\\' && quote == '"' && i+1 < len(s) {
				i++
				cur.WriteByte(s[i])
			} else {
				cur.WriteByte(c)
			}
		case c == '"' || c == '\'':
			quote, in = c, true
		case c == '\\' && i+1 < len(s):
			i++
			if s[i] != '\n' {
				cur.WriteByte(s[i])
				in = true
			}
		case c == ' ' || c == '\t' || c == '\n' || c == '\r':
			if in {
				out = append(out, cur.String())
				cur.Reset()
				in = false
			}
		default:
			cur.WriteByte(c)
			in = true
		}
	}
	if in {
		out = append(out, cur.String())
	}
	return out
}
