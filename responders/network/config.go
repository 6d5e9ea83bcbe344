package network

import (
	"fmt"
	"net/netip"
	"path/filepath"
	"time"
)

// Config is the section "network" of the configuration.
type Config struct {
	// Cgroup is the v2 cgroup whose processes are held to the blocks; empty: the root, so everybody.
	Cgroup string `yaml:"cgroup"`
	// Persist lets blocks outlive the agent: the programs are pinned in Pins.
	Persist bool   `yaml:"persist"`
	Pins    string `yaml:"pins"`
	// Expires is how long a block lasts.
	Expires time.Duration `yaml:"expires"`
	// Firewall is the second line.
	Firewall bool `yaml:"firewall"`
	// Namespaces looks for connections to end in every network namespace of the host, not only in the agent's own.
	Namespaces bool `yaml:"namespaces"`
	// Protect lists addresses, CIDRs and names that are never blocked.
	Protect []string `yaml:"protect"`
	// Management are local ports whose present peers are never blocked.
	Management []uint16 `yaml:"management"`
	// MinConfidence is how sure an indicator must be for the guard to block it.
	MinConfidence float64 `yaml:"min_confidence"`
}

// DefaultConfig is what an empty section means.
func DefaultConfig() Config {
	return Config{
		Pins: "/sys/fs/bpf/minewarden", Expires: time.Hour, Firewall: true, Namespaces: true,
		Management: []uint16{22}, MinConfidence: 0.8,
	}
}

// Persists reports whether blocks outlive the process that made them.
func (r *Responder) Persists() bool { return r.config.Persist }

// Validate does no I/O.
func (c *Config) Validate() error {
	if c.Expires < time.Second || c.Expires > 366*24*time.Hour {
		return fmt.Errorf("expires: %s is not between 1s and a year", c.Expires)
	}
	if c.MinConfidence <= 0 || c.MinConfidence > 1 {
		return fmt.Errorf("min_confidence: %g is not above 0 and at most 1", c.MinConfidence)
	}
	if c.Cgroup != "" && !filepath.IsAbs(c.Cgroup) {
		return fmt.Errorf("cgroup: %q is not an absolute path", c.Cgroup)
	}
	if !filepath.IsAbs(c.Pins) || filepath.Clean(c.Pins) == "/" {
		return fmt.Errorf("pins: %q is not an absolute path", c.Pins)
	}
	for _, p := range c.Protect {
		if _, _, err := parseProtect(p); err != nil {
			return err
		}
	}
	return nil
}

// parseProtect returns a prefix, or a name where that is none.
func parseProtect(s string) (netip.Prefix, string, error) {
	it, name, err := ParseTarget(s)
	switch {
	case err != nil:
		return netip.Prefix{}, "", fmt.Errorf("protect: %w", err)
	case name != "":
		return netip.Prefix{}, name, nil
	case it.Kind != Address:
		return netip.Prefix{}, "", fmt.Errorf("protect: %q is not an address, a CIDR or a name", s)
	}
	return it.Prefix, "", nil
}
