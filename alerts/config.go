package alerts

import (
	"errors"
	"fmt"
	"net"
	"net/url"
	"os"
	"regexp"
	"slices"
	"strings"
	"time"

	"github.com/minewarden/minewarden"
)

// Config is the section "alerts" of the configuration.
type Config struct {
	Outputs []Output      `yaml:"outputs"`
	Keep    time.Duration `yaml:"keep"`    // how long something is tried to be told
	Max     int           `yaml:"max"`     // alerts that wait for one output
	Console string        `yaml:"console"` // address of the console that alerts link to, as https://web-1:7443
}

// An Output is one receiver. Which fields count depends on Type.
type Output struct {
	Name     string   `yaml:"name"`
	Type     string   `yaml:"type"`     // one of Types
	Severity string   `yaml:"severity"` // this or worse; empty: medium
	Kinds    []string `yaml:"kinds"`    // as "incident", "action.failed", "deadline"; empty: all

	// webhook, slack, teams, dingtalk, feishu, wecom
	URL        string            `yaml:"url"`
	URLFile    string            `yaml:"url_file"`    // holds the URL: those of chats are secrets
	SecretFile string            `yaml:"secret_file"` // signs: dingtalk and feishu as they want it, webhook with HMAC-SHA256
	TokenFile  string            `yaml:"token_file"`  // of webhook: sent as a bearer
	Headers    map[string]string `yaml:"headers"`
	Template   string            `yaml:"template"` // of the body for webhook, of the text for all others; text/template

	// smtp, syslog, cef, snmp
	Address  string `yaml:"address"`  // HOST:PORT
	Protocol string `yaml:"protocol"` // syslog, cef: tls (default), tcp, udp. smtp: starttls (default), tls, plain
	TLS      TLS    `yaml:"tls"`

	// smtp
	From         string   `yaml:"from"`
	To           []string `yaml:"to"`
	User         string   `yaml:"user"` // also of snmp version 3
	PasswordFile string   `yaml:"password_file"`

	// snmp
	Version             string `yaml:"version"`        // 2c or 3 (default)
	CommunityFile       string `yaml:"community_file"` // of version 2c
	AuthPasswordFile    string `yaml:"auth_password_file"`
	PrivacyPasswordFile string `yaml:"privacy_password_file"`
	Engine              string `yaml:"engine"` // of version 3: this agent's engine id, hex; empty: made from the host's name

	// file
	Path   string `yaml:"path"`
	Format string `yaml:"format"` // ocsf (default), ecs, json; also of webhook, for the body without a template
}

// TLS says whom to trust.
type TLS struct {
	CAFile     string `yaml:"ca_file"`
	CertFile   string `yaml:"cert_file"` // of this agent
	KeyFile    string `yaml:"key_file"`
	ServerName string `yaml:"server_name"`
}

// Types of outputs.
var Types = []string{"webhook", "slack", "teams", "dingtalk", "feishu", "wecom", "smtp", "syslog", "cef", "snmp", "file"}

// Formats of events for a SIEM.
var Formats = []string{"ocsf", "ecs", "json"}

// DefaultConfig is what an empty section means: nobody is told, and what could not be told is tried for three days.
func DefaultConfig() Config { return Config{Keep: 72 * time.Hour, Max: 10_000} }

// Bounds of a configuration.
const (
	maxOutputs = 32
	maxSecret  = 4096
)

var nameForm = regexp.MustCompile(`^[a-zA-Z0-9._-]{1,64}$`)

// Validate does no I/O.
func (c *Config) Validate() error {
	if c.Keep < time.Minute || c.Keep > 90*24*time.Hour {
		return fmt.Errorf("alerts: keep: %s is not between 1m and 2160h", c.Keep)
	}
	if c.Max < 1 || c.Max > 1_000_000 {
		return fmt.Errorf("alerts: max: %d is not between 1 and 1000000", c.Max)
	}
	if c.Console != "" {
		if u, err := url.Parse(c.Console); err != nil || u.Scheme != "https" || u.Host == "" {
			return fmt.Errorf("alerts: console: %q is not an https address", c.Console)
		}
	}
	if len(c.Outputs) > maxOutputs {
		return fmt.Errorf("alerts: %d outputs: at most %d", len(c.Outputs), maxOutputs)
	}
	var errs []error
	names := map[string]bool{}
	for i := range c.Outputs {
		o := &c.Outputs[i]
		if err := o.validate(); err != nil {
			errs = append(errs, fmt.Errorf("alerts: output %q: %w", o.Name, err))
		}
		if names[o.Name] {
			errs = append(errs, fmt.Errorf("alerts: two outputs are called %q", o.Name))
		}
		names[o.Name] = true
	}
	return errors.Join(errs...)
}

func (o *Output) validate() error {
	if !nameForm.MatchString(o.Name) {
		return errors.New("name: use letters, digits, dots and hyphens, at most 64")
	}
	if !slices.Contains(Types, o.Type) {
		return fmt.Errorf("type: %q: use one of %s", o.Type, strings.Join(Types, ", "))
	}
	if o.Severity != "" {
		if _, err := minewarden.ParseSeverity(o.Severity); err != nil {
			return fmt.Errorf("severity: %w", err)
		}
	}
	for _, k := range o.Kinds {
		if !slices.ContainsFunc(kinds, func(have string) bool { return wants([]string{k}, have) }) {
			return fmt.Errorf("kinds: there is no %q; there are %s", k, strings.Join(kinds, ", "))
		}
	}
	if o.Format != "" && !slices.Contains(Formats, o.Format) {
		return fmt.Errorf("format: %q: use one of %s", o.Format, strings.Join(Formats, ", "))
	}
	if o.Template != "" {
		if _, err := parseTemplate(o.Template); err != nil {
			return fmt.Errorf("template: %w", err)
		}
	}
	switch o.Type {
	case "smtp":
		if o.From == "" || len(o.To) == 0 {
			return errors.New("smtp needs from and to")
		}
		return o.address([]string{"", "starttls", "tls", "plain"})
	case "syslog", "cef":
		return o.address([]string{"", "tls", "tcp", "udp"})
	case "snmp":
		return o.snmp()
	case "file":
		if !strings.HasPrefix(o.Path, "/") {
			return fmt.Errorf("path: %q is not an absolute path", o.Path)
		}
		return nil
	}
	if (o.URL == "") == (o.URLFile == "") {
		return errors.New("give url or url_file")
	}
	if o.URL != "" {
		return checkURL(o.URL)
	}
	return nil
}

func (o *Output) snmp() error {
	switch o.Version {
	case "2c":
		if o.CommunityFile == "" {
			return errors.New("snmp 2c needs community_file")
		}
	case "", "3":
		if o.User == "" || o.AuthPasswordFile == "" || o.PrivacyPasswordFile == "" {
			return errors.New("snmp 3 needs user, auth_password_file and privacy_password_file")
		}
	default:
		return fmt.Errorf("version: %q: use 2c or 3", o.Version)
	}
	return o.address([]string{"", "udp"})
}

func (o *Output) address(protocols []string) error {
	if host, port, err := net.SplitHostPort(o.Address); err != nil || host == "" || port == "" {
		return fmt.Errorf("address: %q is not HOST:PORT", o.Address)
	}
	if !slices.Contains(protocols, o.Protocol) {
		return fmt.Errorf("protocol: %q: use one of %s", o.Protocol, strings.Join(protocols[1:], ", "))
	}
	return nil
}

func checkURL(s string) error {
	u, err := url.Parse(s)
	if err != nil || (u.Scheme != "https" && u.Scheme != "http") || u.Host == "" {
		return errors.New("url: it is not an http or https address")
	}
	return nil
}

// least is the lowest severity that is told.
func (o *Output) least() minewarden.Severity {
	if o.Severity == "" {
		return minewarden.Medium
	}
	s, err := minewarden.ParseSeverity(o.Severity)
	if err != nil { // Validate refused it
		return minewarden.Medium
	}
	return s
}

// secret reads a file that holds one; an empty path gives none.
func secret(path string) (string, error) {
	if path == "" {
		return "", nil
	}
	info, err := os.Stat(path)
	if err != nil {
		return "", fmt.Errorf("read a secret: %w", err)
	}
	if !info.Mode().IsRegular() || info.Size() > maxSecret {
		return "", fmt.Errorf("read a secret: %s is no file of at most %d bytes", path, maxSecret)
	}
	if info.Mode().Perm()&0o007 != 0 {
		return "", fmt.Errorf("read a secret: everybody may use %s: chmod o= it", path)
	}
	b, err := os.ReadFile(path)
	if err != nil {
		return "", fmt.Errorf("read a secret: %w", err)
	}
	return strings.TrimRight(string(b), "\r\n"), nil
}
