package sdn

import (
	"bytes"
	"context"
	"crypto/tls"
	"crypto/x509"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"net/http"
	"net/netip"
	"net/url"
	"os"
	"strconv"
	"strings"
	"time"
)

// Bounds of what is read.
const (
	maxAnswer = 32 << 20 // a switch with 100,000 flows
	maxSecret = 64 << 10
	maxCA     = 1 << 20
	excerpt   = 200
)

const (
	firstDelay = 200 * time.Millisecond
	maxDelay   = 5 * time.Second
)

// A Client talks to one controller. It keeps no connection open and no secret in memory between calls.
type Client struct {
	config Config
	plan   *plan
	vars   map[string]string
	delay  time.Duration // of the first retry; each is twice as long as the one before
}

// New returns a client of a valid configuration.
func New(c Config) (*Client, error) {
	if err := c.Validate(); err != nil {
		return nil, err
	}
	p, err := c.compile()
	if err != nil {
		return nil, err
	}
	return &Client{config: c, plan: p, vars: c.vars(), delay: firstDelay}, nil
}

// Name is the controller's.
func (c *Client) Name() string { return c.config.Name }

// Host is where the controller is, as HOST:PORT.
func (c *Client) Host() string {
	u, err := url.Parse(c.config.URL)
	if err != nil {
		return ""
	}
	port := u.Port()
	if port == "" {
		port = "443"
		if u.Scheme == "http" {
			port = "80"
		}
	}
	return net.JoinHostPort(u.Hostname(), port)
}

// Once reports whether one rule does, whatever the addresses.
func (c *Client) Once() bool { return c.plan.once }

// Preview is the request that Install would send, for a plan.
func (c *Client) Preview(action string, a netip.Addr, ends time.Duration) (string, error) {
	t := &target{addr: a, name: ruleName(action, a), ends: ends}
	path, body, err := c.plan.install.render(t, c.vars)
	if err != nil {
		return "", err
	}
	return strings.TrimSpace(fmt.Sprintf("%s %s%s %s", c.plan.install.method, strings.TrimRight(c.config.URL, "/"), path, body)), nil
}

// Install has the traffic of a dropped, and returns by which id the controller knows the rule. A rule of the same action that is
// there already is the rule. It has not succeeded before the controller shows the rule.
func (c *Client) Install(ctx context.Context, action string, a netip.Addr, ends time.Duration) (string, error) {
	t := &target{addr: a, name: ruleName(action, a), ends: ends}
	var rule string
	accepted := false // said twice, it could stand twice
	err := c.persist(ctx, func(s *session) error {
		id, ok, err := c.installed(ctx, s, t)
		if err != nil {
			return err
		}
		if !ok && !accepted {
			path, body, err := c.plan.install.render(t, c.vars)
			if err != nil {
				return permanent{err}
			}
			if _, _, err = s.send(ctx, c.plan.install.method, path, body); err != nil {
				return err
			}
			accepted = true
			if id, ok, err = c.installed(ctx, s, t); err != nil {
				return err
			}
		}
		if !ok {
			return errors.New("it accepted the rule, and does not show it")
		}
		rule = id
		return nil
	})
	if err != nil {
		return "", fmt.Errorf("controller %s: have %s dropped: %w", c.config.Name, a, err)
	}
	return rule, nil
}

// Release takes the rule back. One that is gone is no error. It has not succeeded while the controller shows the rule. An empty
// rule is looked for.
func (c *Client) Release(ctx context.Context, action string, a netip.Addr, rule string, ends time.Duration) error {
	t := &target{addr: a, name: ruleName(action, a), rule: rule, ends: ends}
	err := c.persist(ctx, func(s *session) error {
		id, ok, err := c.installed(ctx, s, t)
		if err != nil {
			return err
		}
		if !ok && t.rule == "" {
			return nil
		}
		// What it was called when it was made counts, also where it does not stand as we want it: it may be half there.
		if t.rule == "" {
			t.rule = id
		}
		path, body, err := c.plan.release.render(t, c.vars)
		if err != nil {
			return permanent{err}
		}
		status, _, err := s.send(ctx, c.plan.release.method, path, body)
		if err != nil && status != http.StatusNotFound && status != http.StatusGone {
			return err
		}
		if _, ok, err = c.installed(ctx, s, t); err == nil && ok {
			err = errors.New("it accepted the release, and still shows the rule")
		}
		return err
	})
	if err != nil {
		return fmt.Errorf("controller %s: release %s: %w", c.config.Name, a, err)
	}
	return nil
}

// installed reads back.
func (c *Client) installed(ctx context.Context, s *session, t *target) (id string, ok bool, err error) {
	want, err := c.plan.verify.wanted(t, c.vars)
	if err != nil {
		return "", false, permanent{err}
	}
	path, body, err := c.plan.verify.render(t, c.vars)
	if err != nil {
		return "", false, permanent{err}
	}
	status, answer, err := s.send(ctx, c.plan.verify.method, path, body)
	if status == http.StatusNotFound {
		return "", false, nil
	}
	if err != nil {
		return "", false, fmt.Errorf("read back: %w", err)
	}
	if len(bytes.TrimSpace(answer)) == 0 {
		return "", false, nil
	}
	v, err := decode(answer)
	if err != nil {
		return "", false, fmt.Errorf("read back: the answer is not JSON: %w", err)
	}
	m := find(v, want, 0)
	if m == nil {
		return "", false, nil
	}
	if c.plan.verify.id == "" {
		return t.name, true, nil
	}
	switch v := m[c.plan.verify.id].(type) {
	case string:
		return v, v != "", nil
	case json.Number:
		return v.String(), true, nil
	}
	return "", false, permanent{fmt.Errorf("the rule that it shows has no %q", c.plan.verify.id)}
}

// permanent is an error that another try does not change.
type permanent struct{ error }

func (p permanent) Unwrap() error { return p.error }

// persist tries until do succeeds, fails for good, or the retries are over.
func (c *Client) persist(ctx context.Context, do func(*session) error) error {
	s, err := c.open()
	if err != nil {
		return err
	}
	defer s.http.CloseIdleConnections()
	delay := c.delay
	for try := 0; ; try++ {
		err := do(s)
		var p permanent
		if err == nil || errors.As(err, &p) {
			return err
		}
		if try >= c.config.Retries {
			return fmt.Errorf("after %d tries: %w", try+1, err)
		}
		t := time.NewTimer(delay + rand.N(delay/4+1))
		select {
		case <-ctx.Done():
			t.Stop()
			return errors.Join(err, ctx.Err())
		case <-t.C:
		}
		delay = min(2*delay, maxDelay)
	}
}

// session is a client with the secrets of one call.
type session struct {
	http   *http.Client
	base   string
	set    func(*http.Request)
	hidden []string // never shown
}

func (c *Client) open() (*session, error) {
	u, err := url.Parse(c.config.URL)
	if err != nil {
		return nil, fmt.Errorf("controller %s: url: not valid", c.config.Name)
	}
	a := c.config.Auth
	s := &session{base: strings.TrimRight(c.config.URL, "/"), set: func(*http.Request) {}}
	if (a.User != "" || a.TokenFile != "") && u.Scheme != "https" && !local(u.Hostname()) {
		return nil, fmt.Errorf("controller %s: credentials are not sent over plain http: use https", c.config.Name)
	}
	switch {
	case a.User != "":
		secret, err := readSecret(a.PasswordFile)
		if err != nil {
			return nil, fmt.Errorf("controller %s: %w", c.config.Name, err)
		}
		s.hidden = []string{secret, base64.StdEncoding.EncodeToString([]byte(a.User + ":" + secret))}
		s.set = func(r *http.Request) { r.SetBasicAuth(a.User, secret) }
	case a.TokenFile != "":
		secret, err := readSecret(a.TokenFile)
		if err != nil {
			return nil, fmt.Errorf("controller %s: %w", c.config.Name, err)
		}
		s.hidden = []string{secret}
		s.set = func(r *http.Request) { r.Header.Set("Authorization", "Bearer "+secret) }
	}
	conf := &tls.Config{MinVersion: tls.VersionTLS12}
	if c.config.CA != "" {
		pem, err := readFile(c.config.CA, maxCA)
		if err != nil {
			return nil, fmt.Errorf("controller %s: ca: %w", c.config.Name, err)
		}
		conf.RootCAs = x509.NewCertPool()
		if !conf.RootCAs.AppendCertsFromPEM(pem) {
			return nil, fmt.Errorf("controller %s: ca: %s holds no certificate", c.config.Name, c.config.CA)
		}
	}
	s.http = &http.Client{
		Timeout:   c.config.Timeout,
		Transport: &http.Transport{TLSClientConfig: conf, TLSHandshakeTimeout: c.config.Timeout, MaxResponseHeaderBytes: 1 << 20},
		// Elsewhere our credentials have no business.
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}
	return s, nil
}

func local(host string) bool {
	a, err := netip.ParseAddr(host)
	return host == "localhost" || (err == nil && a.IsLoopback())
}

// readSecret refuses a file that everybody can read: what is in it is no secret.
func readSecret(path string) (string, error) {
	info, err := os.Stat(path)
	if err != nil {
		return "", fmt.Errorf("read the secret: %w", err)
	}
	if info.Mode().Perm()&0o007 != 0 {
		return "", fmt.Errorf("read the secret: %s is open to everybody (mode %o): chmod it to 600", path, info.Mode().Perm())
	}
	b, err := readFile(path, maxSecret)
	if err != nil {
		return "", fmt.Errorf("read the secret: %w", err)
	}
	secret := strings.TrimRight(string(b), "\r\n")
	if secret == "" || strings.ContainsAny(secret, "\r\n") {
		return "", fmt.Errorf("read the secret: %s is empty, or has more than one line", path)
	}
	return secret, nil
}

func readFile(path string, most int64) ([]byte, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	b, err := io.ReadAll(io.LimitReader(f, most+1))
	if int64(len(b)) > most {
		err = fmt.Errorf("%s is longer than %d bytes", path, most)
	}
	return b, errors.Join(err, f.Close())
}

// send returns the answer of a success, and for all answers the status.
func (s *session) send(ctx context.Context, method, path, body string) (int, []byte, error) {
	req, err := http.NewRequestWithContext(ctx, method, s.base+path, strings.NewReader(body))
	if err != nil {
		return 0, nil, permanent{fmt.Errorf("%s %s: %w", method, path, err)}
	}
	if body != "" {
		req.Header.Set("Content-Type", "application/json")
	}
	req.Header.Set("Accept", "application/json")
	s.set(req)
	resp, err := s.http.Do(req)
	if err != nil {
		return 0, nil, fmt.Errorf("%s %s: %w", method, path, err)
	}
	answer, err := io.ReadAll(io.LimitReader(resp.Body, maxAnswer+1))
	if err = errors.Join(err, resp.Body.Close()); err != nil {
		return resp.StatusCode, nil, fmt.Errorf("%s %s: read the answer: %w", method, path, err)
	}
	if len(answer) > maxAnswer {
		return resp.StatusCode, nil, permanent{fmt.Errorf("%s %s: the answer is longer than %d bytes", method, path, maxAnswer)}
	}
	if resp.StatusCode < 200 || resp.StatusCode > 299 {
		err := fmt.Errorf("%s %s: %d: %s", method, path, resp.StatusCode, s.excerpt(answer))
		if worthless(resp.StatusCode) {
			err = permanent{err}
		}
		return resp.StatusCode, nil, err
	}
	return resp.StatusCode, answer, nil
}

// worthless are the statuses that another try does not change.
func worthless(status int) bool {
	switch status {
	case http.StatusRequestTimeout, http.StatusConflict, http.StatusTooEarly, http.StatusTooManyRequests, http.StatusNotFound:
		return false
	}
	return status < 500
}

// excerpt is the beginning of an answer, for people: no secret that it repeats, and nothing that acts on a terminal.
func (s *session) excerpt(b []byte) string {
	text := string(b)
	for _, h := range s.hidden {
		text = strings.ReplaceAll(text, h, "…")
		quoted, err := json.Marshal(h)
		if err == nil {
			text = strings.ReplaceAll(text, string(quoted[1:len(quoted)-1]), "…")
		}
	}
	if len(text) > excerpt {
		text = text[:excerpt] + "…"
	}
	return strconv.QuoteToASCII(text)
}
