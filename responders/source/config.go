package source

import (
	"errors"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/minewarden/minewarden"
	"github.com/minewarden/minewarden/internal/probe"
)

// Config is the section "source" of the configuration.
type Config struct {
	// Root is the directory that is the / of the host whose files are changed.
	Root string `yaml:"root"`
	// Systemctl is the program that is told of units, when systemd runs and Root is /.
	Systemctl string `yaml:"systemctl"`
	// The services are asked only when an incident leads to them. An empty url switches one off.
	Docker Service `yaml:"docker"`
	Nomad  Service `yaml:"nomad"`
	Consul Service `yaml:"consul"`
	Gitea  Service `yaml:"gitea"`
}

// A Service is where a product is reached and how it knows us. Tokens and keys are read from files when they are needed.
type Service struct {
	URL       string `yaml:"url"` // http, https or unix
	TokenFile string `yaml:"token_file"`
	CAFile    string `yaml:"ca_file"`
	CertFile  string `yaml:"cert_file"`
	KeyFile   string `yaml:"key_file"`
}

// DefaultConfig is what an empty section means: the services where they listen when nobody says otherwise.
func DefaultConfig() Config {
	return Config{
		Root: "/", Systemctl: "systemctl", Docker: Service{URL: "unix:///var/run/docker.sock"}, Nomad: Service{URL: "http://127.0.0.1:4646"},
		Consul: Service{URL: "http://127.0.0.1:8500"}, Gitea: Service{URL: "http://127.0.0.1:3000"},
	}
}

// Validate does no I/O.
func (c *Config) Validate() error {
	if !filepath.IsAbs(c.Root) {
		return fmt.Errorf("root: %q is not an absolute path", c.Root)
	}
	if c.Systemctl == "" {
		return errors.New("systemctl: name the program")
	}
	for _, s := range [...]struct {
		name string
		s    *Service
	}{{"docker", &c.Docker}, {"nomad", &c.Nomad}, {"consul", &c.Consul}, {"gitea", &c.Gitea}} {
		if err := s.s.validate(); err != nil {
			return fmt.Errorf("%s: %w", s.name, err)
		}
	}
	return nil
}

func (s *Service) validate() error {
	if s.URL == "" {
		return nil
	}
	c, err := probe.New(s.URL, minewarden.ServiceAccess{}, probe.Options{})
	if err != nil {
		return fmt.Errorf("url: %w", err)
	}
	c.Close()
	if (s.CertFile == "") != (s.KeyFile == "") {
		return errors.New("cert_file and key_file belong together")
	}
	for _, f := range [...]string{s.TokenFile, s.CAFile, s.CertFile, s.KeyFile} {
		if f != "" && !filepath.IsAbs(f) {
			return fmt.Errorf("%q is not an absolute path", f)
		}
	}
	return nil
}

const (
	maxSecret      = 1 << 20
	serviceTimeout = time.Minute // Docker waits until a container has stopped
)

// client returns a client with the credentials that the section names. The caller closes it.
func (s *Service) client(token func(h http.Header, secret string)) (*probe.Client, error) {
	read := func(path string) ([]byte, error) {
		if path == "" {
			return nil, nil
		}
		st, err := os.Stat(path)
		if err == nil && (!st.Mode().IsRegular() || st.Size() > maxSecret) {
			err = errors.New("it is no small regular file")
		}
		if err != nil {
			return nil, fmt.Errorf("read credentials %s: %w", path, err)
		}
		return os.ReadFile(path)
	}
	access := minewarden.ServiceAccess{Timeout: serviceTimeout}
	tok, err1 := read(s.TokenFile)
	key, err2 := read(s.KeyFile)
	var err3, err4 error
	access.CA, err3 = read(s.CAFile)
	access.Cert, err4 = read(s.CertFile)
	if err := errors.Join(err1, err2, err3, err4); err != nil {
		return nil, err
	}
	access.Token, access.Key = minewarden.Secret(strings.TrimSpace(string(tok))), minewarden.Secret(key)
	return probe.New(s.URL, access, probe.Options{Token: token})
}

func header(name, prefix string) func(http.Header, string) {
	return func(h http.Header, secret string) { h.Set(name, prefix+secret) }
}
