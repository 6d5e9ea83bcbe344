// Package sdn has an SDN controller, or whatever else has a REST interface, drop the traffic of an address.
package sdn

import (
	"fmt"
	"net/url"
	"regexp"
	"time"
)

// Config is one controller.
type Config struct {
	Name    string            `yaml:"name"`
	Preset  string            `yaml:"preset"` // generic, onos, opendaylight, opendaylight-restconf, ryu, kubernetes; empty: Requests are all
	URL     string            `yaml:"url"`
	Address []string          `yaml:"address"` // what to isolate; empty: this host's own addresses
	Vars    map[string]string `yaml:"vars"`    // for templates: device, node, dpid, namespace, …
	Auth    Auth              `yaml:"auth"`
	CA      string            `yaml:"ca"` // PEM file; empty: the system's
	// Timeout is that of one request, Retries how often one is tried again.
	Timeout  time.Duration `yaml:"timeout"`
	Retries  int           `yaml:"retries"`
	Requests Requests      `yaml:"requests"` // each that is not empty replaces the preset's
}

// Auth names files, so that no secret stands in the configuration.
type Auth struct {
	User         string `yaml:"user"`
	PasswordFile string `yaml:"password_file"` // basic
	TokenFile    string `yaml:"token_file"`    // bearer
}

// Defaults and bounds.
const (
	DefaultTimeout = 5 * time.Second
	DefaultRetries = 5
	maxTimeout     = time.Minute
	maxRetries     = 10
	maxVars        = 32
	maxVar         = 1024
)

var validName = regexp.MustCompile(`^[A-Za-z0-9][A-Za-z0-9._-]{0,62}$`)

// Validate does no I/O. It puts the defaults in.
func (c *Config) Validate() error {
	if !validName.MatchString(c.Name) {
		return fmt.Errorf("name %q: want letters, digits, - _ and .", c.Name)
	}
	if c.Timeout == 0 {
		c.Timeout = DefaultTimeout
	}
	if c.Retries == 0 {
		c.Retries = DefaultRetries
	}
	if c.Timeout < 100*time.Millisecond || c.Timeout > maxTimeout || c.Retries < 0 || c.Retries > maxRetries {
		return fmt.Errorf("%s: timeout between 100ms and %s, retries at most %d", c.Name, maxTimeout, maxRetries)
	}
	u, err := url.Parse(c.URL)
	if err != nil || (u.Scheme != "https" && u.Scheme != "http") || u.Host == "" || u.User != nil || u.RawQuery != "" || u.Fragment != "" {
		return fmt.Errorf("%s: url: want http or https://HOST[:PORT][/PATH], without user, query or fragment", c.Name)
	}
	a := &c.Auth
	if (a.User == "") != (a.PasswordFile == "") || (a.User != "" && a.TokenFile != "") {
		return fmt.Errorf("%s: auth: user with password_file, or token_file alone", c.Name)
	}
	if len(c.Vars) > maxVars {
		return fmt.Errorf("%s: more than %d vars", c.Name, maxVars)
	}
	for k, v := range c.Vars {
		if len(v) > maxVar {
			return fmt.Errorf("%s: var %s is longer than %d", c.Name, k, maxVar)
		}
	}
	_, err = c.compile()
	return err
}
