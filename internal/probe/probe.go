// Package probe asks network services questions, and survives any answer. It is the one HTTP client of the audits: bounded
// in bytes, time and redirects, deaf to proxy variables, and careful with credentials, which go to the origin that the
// user named, over a connection that was verified, and nowhere else.
package probe

import (
	"bytes"
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"path"
	"strings"
	"sync"
	"time"

	"github.com/minewarden/minewarden"
)

// Limits of one request. A service that needs more than these is not answering like itself.
const (
	MaxBody        = 8 << 20 // bytes of an answer, after decompression
	maxHeader      = 64 << 10
	maxRedirects   = 3
	DefaultTimeout = 10 * time.Second // of one request, to the last byte of the body
	dialTimeout    = 5 * time.Second
)

// ErrCredentials is wrapped by the error of a request that would have sent a token or used a client certificate over a
// connection whose other end is not proven to be the target.
var ErrCredentials = errors.New("credentials not sent")

// ErrClientCert is wrapped by the error of a request that the service refused for want of a client certificate it trusts.
var ErrClientCert = errors.New("the service demands a client certificate")

// ErrTooLarge is wrapped by the error of an answer that is longer than MaxBody, packed or unpacked.
var ErrTooLarge = errors.New("answer too large")

// Options are what differs between products.
type Options struct {
	// Token puts the secret into the request; nil: the product knows no token.
	Token   func(h http.Header, secret string)
	MaxBody int64 // 0: MaxBody
}

// A Client talks to one service. It is safe for concurrent use. Close ends its idle connections.
type Client struct {
	opt     Options
	access  minewarden.ServiceAccess
	timeout time.Duration
	unix    string // socket path, when the URL is unix://
	anon    *http.Transport
	owner   *http.Transport

	mu    sync.Mutex
	base  *url.URL
	facts TLSFacts
}

// New returns a client of the service at base, a URL with scheme http, https or unix. It does no I/O.
func New(base string, access minewarden.ServiceAccess, opt Options) (*Client, error) {
	u, err := parseBase(base)
	if err != nil {
		return nil, err
	}
	c := &Client{opt: opt, access: access, timeout: access.Timeout, base: u}
	if c.timeout <= 0 {
		c.timeout = DefaultTimeout
	}
	if c.opt.MaxBody <= 0 {
		c.opt.MaxBody = MaxBody
	}
	if u.Scheme == "unix" {
		c.unix = u.Path
		c.base = &url.URL{Scheme: "http", Host: "localhost"}
	}
	ownerTLS, err := c.ownerTLS()
	if err != nil {
		return nil, err
	}
	c.anon = c.transport(c.anonTLS())
	c.owner = c.transport(ownerTLS)
	return c, nil
}

func parseBase(base string) (*url.URL, error) {
	if !strings.Contains(base, "://") {
		base = "http://" + base
	}
	u, err := url.Parse(base)
	if err != nil {
		// url.Parse quotes its input, which may hold a password.
		return nil, errors.New("parse the target URL: not a URL; write it as http://host:port or unix:///path")
	}
	if u.Scheme == "tcp" {
		u.Scheme = "http"
	}
	switch {
	case u.User != nil:
		return nil, errors.New("the target URL holds a user or password: give the token in a file instead")
	case u.RawQuery != "" || u.Fragment != "":
		return nil, fmt.Errorf("target URL %s://%s: a query or fragment has no meaning here", u.Scheme, u.Host)
	case u.Scheme == "unix" && u.Path != "":
		return u, nil
	case u.Scheme != "http" && u.Scheme != "https":
		return nil, fmt.Errorf("target URL scheme %q: use http, https or unix", u.Scheme)
	case u.Hostname() == "":
		return nil, errors.New("the target URL names no host")
	}
	u.Path = strings.TrimSuffix(path.Clean("/"+u.Path), "/")
	u.RawPath = ""
	return u, nil
}

func (c *Client) transport(conf *tls.Config) *http.Transport {
	d := &net.Dialer{Timeout: min(dialTimeout, c.timeout)}
	return &http.Transport{
		Proxy: nil, // an audit of a host must reach that host, and tokens must reach nobody else
		DialContext: func(ctx context.Context, network, addr string) (net.Conn, error) {
			if c.unix != "" {
				return d.DialContext(ctx, "unix", c.unix)
			}
			return d.DialContext(ctx, network, addr)
		},
		TLSClientConfig:        conf,
		TLSHandshakeTimeout:    min(dialTimeout, c.timeout),
		DisableCompression:     true, // unpacked here, with a limit
		MaxResponseHeaderBytes: maxHeader,
		MaxIdleConnsPerHost:    2,
		IdleConnTimeout:        5 * time.Second,
		TLSNextProto:           map[string]func(string, *tls.Conn) http.RoundTripper{}, // HTTP/1 only: fewer ways to be hostile
	}
}

// Close ends the idle connections.
func (c *Client) Close() {
	c.anon.CloseIdleConnections()
	c.owner.CloseIdleConnections()
}

// Base returns the URL asked now: Settle may have moved it to https.
func (c *Client) Base() string {
	if c.unix != "" {
		return "unix://" + c.unix
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.base.String()
}

// Unix tells whether the service is asked through a socket on this host.
func (c *Client) Unix() bool { return c.unix != "" }

// HasOwner tells whether there are credentials to ask with.
func (c *Client) HasOwner() bool {
	return (c.access.Token != "" && c.opt.Token != nil) || len(c.access.Cert) > 0
}

// A Request is one question.
type Request struct {
	Method string      // "": GET
	Path   string      // below the base, with query
	Body   []byte      // JSON
	Owner  bool        // with the token and the client certificate
	Header http.Header // in addition; nothing secret: it goes wherever a redirect leads on the same host
}

// Get asks for path as a stranger.
func (c *Client) Get(ctx context.Context, path string) (*Response, error) {
	return c.Do(ctx, Request{Path: path})
}

// Do asks and reads the whole answer. An answer of any status is no error. Redirects are followed for GET only, at most
// three, within the same host name; credentials stay with the origin asked first.
func (c *Client) Do(ctx context.Context, r Request) (*Response, error) {
	ctx, cancel := context.WithTimeout(ctx, c.timeout)
	defer cancel()
	if r.Method == "" {
		r.Method = http.MethodGet
	}
	c.mu.Lock()
	base := *c.base
	c.mu.Unlock()
	first, err := base.Parse(strings.TrimSuffix(base.Path, "/") + "/" + strings.TrimPrefix(r.Path, "/"))
	if err != nil {
		return nil, fmt.Errorf("%s %s: %w", r.Method, r.Path, err)
	}
	at := first
	for hops := 0; ; hops++ {
		resp, err := c.once(ctx, r, at, sameOrigin(at, first))
		if err != nil {
			return nil, fmt.Errorf("%s %s: %w", r.Method, at.Redacted(), err)
		}
		next := resp.redirect(at)
		if next == nil {
			return resp, nil
		}
		resp.Redirect = next.Redacted()
		if r.Method != http.MethodGet || hops == maxRedirects || next.Hostname() != first.Hostname() || next.User != nil ||
			(at.Scheme == "https" && next.Scheme != "https") {
			return resp, nil
		}
		at = next
	}
}

func sameOrigin(a, b *url.URL) bool { return a.Scheme == b.Scheme && a.Host == b.Host }

func (c *Client) once(ctx context.Context, r Request, at *url.URL, credentials bool) (*Response, error) {
	var body io.Reader
	if r.Body != nil {
		body = bytes.NewReader(r.Body)
	}
	req, err := http.NewRequestWithContext(ctx, r.Method, at.String(), body)
	if err != nil {
		return nil, err
	}
	req.Header.Set("User-Agent", "minewarden-audit")
	req.Header.Set("Accept", "application/json, text/html;q=0.5, */*;q=0.1")
	if r.Body != nil {
		req.Header.Set("Content-Type", "application/json")
	}
	for k, vs := range r.Header {
		req.Header[k] = vs
	}
	t := c.anon
	if r.Owner && credentials {
		t = c.owner
		if c.access.Token != "" && c.opt.Token != nil {
			c.opt.Token(req.Header, string(c.access.Token))
		}
	}
	hr, err := t.RoundTrip(req)
	if err != nil {
		return nil, c.explain(err, t == c.owner)
	}
	defer hr.Body.Close()
	resp := &Response{Status: hr.StatusCode, Header: hr.Header, URL: at.Redacted(), Method: r.Method}
	resp.Body, err = readBody(hr, c.opt.MaxBody)
	if err != nil {
		return nil, fmt.Errorf("read the answer (status %d): %w", hr.StatusCode, c.explain(err, t == c.owner))
	}
	return resp, nil
}

// Settle asks for path as a stranger and, when the service turns out to speak TLS behind a URL that says http, or sends
// there by a redirect on the same host name, moves the base to it. It returns the last answer.
func (c *Client) Settle(ctx context.Context, path string) (*Response, error) {
	resp, err := c.Get(ctx, path)
	if err != nil {
		return nil, err
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.base.Scheme == "http" && c.unix == "" {
		if resp.PlainOnTLS() {
			moved := *c.base
			moved.Scheme = "https"
			c.base = &moved
		} else if u, err := url.Parse(resp.URL); err == nil && u.Scheme == "https" && u.Hostname() == c.base.Hostname() {
			suffix := "/" + strings.TrimPrefix(strings.SplitN(path, "?", 2)[0], "/")
			if base, ok := strings.CutSuffix(u.Path, suffix); ok {
				c.base = &url.URL{Scheme: "https", Host: u.Host, Path: base}
			}
		}
		if c.base.Scheme == "https" && !strings.HasPrefix(resp.URL, "https:") {
			c.mu.Unlock()
			resp, err = c.Get(ctx, path)
			c.mu.Lock()
		}
	}
	return resp, err
}
