package recovery

import (
	"context"
	"errors"
	"fmt"
	"os/exec"
	"slices"
	"strings"

	"github.com/minewarden/minewarden"
)

// isUnit reports whether s is the name of a unit that can be asked about.
func isUnit(s string) bool {
	name, kind, ok := cutLast(s, ".")
	return ok && name != "" && len(s) <= 255 && s[0] != '-' && s[0] != '.' &&
		slices.Contains([]string{"service", "socket", "timer", "mount", "path", "target", "swap", "slice", "scope"}, kind) &&
		!strings.ContainsFunc(name, func(r rune) bool {
			return (r < 'a' || r > 'z') && (r < 'A' || r > 'Z') && (r < '0' || r > '9') && !strings.ContainsRune(`:-_.\@`, r)
		})
}

func cutLast(s, sep string) (before, after string, found bool) {
	if i := strings.LastIndex(s, sep); i >= 0 {
		return s[:i], s[i+len(sep):], true
	}
	return s, "", false
}

// units returns those of the configuration, and those in which the incident's processes ran.
func (r *Responder) units(inc *minewarden.Incident) []string {
	out := slices.Clone(r.config.Units)
	for i := range inc.Members {
		m := &inc.Members[i]
		if m.Container.ID != "" {
			continue
		}
		for part := range strings.SplitSeq(m.Cgroup, "/") {
			if strings.HasSuffix(part, ".service") && isUnit(part) && !slices.Contains(out, part) && len(out) < maxUnits {
				out = append(out, part)
			}
		}
	}
	return out
}

// noUnits returns why units cannot be asked about; "": they can.
func (r *Responder) noUnits() string {
	if _, err := r.root.lstat("/run/systemd/system"); err != nil {
		return "systemd does not run here"
	}
	if _, err := exec.LookPath("systemctl"); err != nil {
		return "there is no systemctl"
	}
	return ""
}

// check asks systemd about a unit.
func (r *Responder) check(ctx context.Context, unit string, state map[string]string) (string, error) {
	if !isUnit(unit) {
		return "", fmt.Errorf("%q is no name of a unit", unit)
	}
	if why := r.noUnits(); why != "" {
		return "", fmt.Errorf("unit %s: %s: %w", unit, why, minewarden.ErrUnsupported)
	}
	out, err := run(ctx, "/", "systemctl", "show", "--no-pager", "--property=LoadState,ActiveState,SubState,Result,UnitFileState,NRestarts", "--", unit)
	if err != nil {
		return "", err
	}
	p := properties(out)
	if p["LoadState"] == "" || p["ActiveState"] == "" {
		return "", errors.New("systemctl does not say how unit " + unit + " is")
	}
	healthy := p["LoadState"] == "loaded" && p["ActiveState"] == "active" && (p["Result"] == "success" || p["Result"] == "")
	state["healthy"] = fmt.Sprint(healthy)
	for k, v := range p {
		state[k] = v
	}
	word := "healthy"
	if !healthy {
		word = "NOT healthy"
	}
	s := fmt.Sprintf("unit %s is %s: %s, %s (%s)", unit, word, p["LoadState"], p["ActiveState"], p["SubState"])
	if p["Result"] != "" && p["Result"] != "success" {
		s += ", last result " + p["Result"]
	}
	if n := p["NRestarts"]; n != "" && n != "0" {
		s += ", restarted " + n + " times"
	}
	return s, nil
}

func properties(out string) map[string]string {
	p := map[string]string{}
	for line := range strings.Lines(out) {
		if key, value, ok := strings.Cut(strings.TrimRight(line, "\r\n"), "="); ok && len(p) < 32 {
			p[key] = value
		}
	}
	return p
}
