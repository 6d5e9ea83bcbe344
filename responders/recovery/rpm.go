package recovery

import (
	"context"
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
)

// red asks rpm, a program of its own, about the packages below a root.
type red struct{ root string }

// present reports whether the host has rpm's database and its program.
func (r red) present() bool {
	if _, err := exec.LookPath("rpm"); err != nil {
		return false
	}
	for _, dir := range [...]string{"var/lib/rpm", "usr/lib/sysimage/rpm"} {
		for _, db := range [...]string{"rpmdb.sqlite", "Packages.db", "Packages"} {
			if _, err := os.Stat(filepath.Join(r.root, dir, db)); err == nil {
				return true
			}
		}
	}
	return false
}

// owners returns which package owns each path; what rpm does not own is left out.
func (r red) owners(ctx context.Context, paths []string) map[string]string {
	out := map[string]string{}
	if !r.present() {
		return out
	}
	for _, p := range paths {
		name, err := run(ctx, "/", "rpm", "--root", r.root, "-qf", "--qf", "%{NAME}-%{VERSION}-%{RELEASE}.%{ARCH}\n", "--", p)
		if name, _, _ = strings.Cut(name, "\n"); err == nil && isRPM(name) {
			out[p] = name
		}
	}
	return out
}

func isRPM(s string) bool {
	return s != "" && s[0] != '-' && len(s) < 256 && !strings.ContainsFunc(s, func(r rune) bool {
		return (r < 'a' || r > 'z') && (r < 'A' || r > 'Z') && (r < '0' || r > '9') && !strings.ContainsRune("+-._~^", r)
	})
}

// verify compares a package's files with rpm's database. Dependencies and scripts are not looked at.
func (r red) verify(ctx context.Context, id string) ([]Difference, error) {
	if !isRPM(id) {
		return nil, errors.New("it is no name of a package")
	}
	if !r.present() {
		return nil, errors.New("there is no rpm, or no database of it")
	}
	out, err := run(ctx, "/", "rpm", "--root", r.root, "-V", "--nodeps", "--noscripts", "--", id)
	found := parseVerify(out)
	var exit *exec.ExitError
	if err != nil && (len(found) == 0 || !errors.As(err, &exit)) { // rpm ends with 1 where something differs
		return nil, err
	}
	return found, nil
}

// parseVerify reads lines as "S.5....T.  c /etc/x" and "missing     /usr/bin/x". A file of which only the times differ is as it was.
func parseVerify(out string) []Difference {
	var all []Difference
	for line := range strings.Lines(out) {
		line = strings.TrimRight(line, "\n")
		flags, rest, ok := strings.Cut(line, " ")
		rest = strings.TrimLeft(rest, " ")
		if !ok || len(all) >= maxVerified {
			continue
		}
		d := Difference{}
		if len(rest) > 2 && rest[1] == ' ' && strings.ContainsRune("cdglr", rune(rest[0])) {
			d.Conf = rest[0] == 'c'
			rest = strings.TrimLeft(rest[2:], " ")
		}
		if rest == "" || rest[0] != '/' {
			continue
		}
		d.Path, _, _ = strings.Cut(rest, " (") // the reason that follows a missing file
		switch {
		case flags == "missing":
			d.What = "missing"
		case len(flags) == 9 && strings.Trim(flags, ".?SM5DLUGTP") == "":
			if d.What = differs(flags); d.What == "" {
				continue
			}
		default:
			continue
		}
		all = append(all, d)
	}
	return all
}

func differs(flags string) string {
	var what []string
	for _, f := range [...]struct{ flag, name string }{
		{"5", "changed"}, {"S", "size"}, {"M", "mode"}, {"U", "owner"}, {"G", "group"}, {"L", "link"}, {"D", "device"}, {"P", "capabilities"},
	} {
		if strings.Contains(flags, f.flag) {
			what = append(what, f.name)
		}
	}
	if strings.HasPrefix(flags, "..?") {
		what = append(what, "unreadable")
	}
	return strings.Join(what, ", ")
}
