// Package discover finds services in address ranges that the user names, and tells which answer strangers. A service is
// known by what it answers, not by its port.
package discover

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"sort"
	"strconv"
	"sync"
	"time"

	"github.com/minewarden/minewarden"
	"github.com/minewarden/minewarden/internal/probe"
)

// Limits of one run.
const (
	MaxAddresses   = 1 << 20
	defaultRate    = 2000 // connections a second
	defaultWorkers = 256
	defaultTimeout = 3 * time.Second // of one question; a target that is slower is told as such
	maxBody        = 256 << 10       // bytes of an answer, enough to know a service by
)

// ErrPublic is wrapped when a range is public and the user did not say that it is theirs.
var ErrPublic = errors.New("a public range")

// A Fingerprint knows one product by an answer over HTTP. Open tells that strangers get what only the owner should.
type Fingerprint struct {
	Product string
	Path    string // asked with GET; must change nothing on any server
	Match   func(r *probe.Response) (m Match, ok bool)
	// Confirm asks a service that Match knows and does not say is open; nil: Match says it all.
	Confirm func(ctx context.Context, c *probe.Client) (r *probe.Response, open bool, err error)
}

// A Talk knows one product by what it says on a plain connection. It must end by ctx.
type Talk struct {
	Product string
	Ports   []uint16 // tried only there: bytes of one protocol can upset a server of another
	Match   func(ctx context.Context, c net.Conn) (m Match, ok bool)
}

// A Match is what an answer told.
type Match struct {
	Open    bool
	Version string
	Says    string // what it said, for a Talk
}

// Options say where to look and for what.
type Options struct {
	Ranges  []netip.Prefix
	Ports   []uint16
	Own     bool // public ranges are the user's
	Rate    int  // connections a second; 0: 2000
	Workers int
	Timeout time.Duration
	HTTP    []Fingerprint
	Talks   []Talk
}

// A Service is one that was found.
type Service struct {
	Addr    netip.AddrPort `json:"address"`
	Product string         `json:"product"` // "" answers, and is none of those known
	URL     string         `json:"url,omitempty"`
	Version string         `json:"version,omitempty"`
	Open    bool           `json:"open"` // strangers get in
	Proof   string         `json:"proof"`
}

// A Result is what a run found.
type Result struct {
	Tried    int       `json:"tried"`    // address and port pairs
	Answered int       `json:"answered"` // that took a connection
	Failed   int       `json:"failed"`   // that took a connection and then gave no whole answer
	Services []Service `json:"services"` // by address
}

// Known returns how many known services were found, and how many of these are open: the exposure rate is their quotient.
func (r *Result) Known() (known, open int) {
	for _, s := range r.Services {
		if s.Product != "" {
			known++
			if s.Open {
				open++
			}
		}
	}
	return known, open
}

// ParseRange reads a CIDR range or one address.
func ParseRange(s string) (netip.Prefix, error) {
	if p, err := netip.ParsePrefix(s); err == nil {
		return p.Masked(), nil
	}
	a, err := netip.ParseAddr(s)
	if err != nil {
		return netip.Prefix{}, fmt.Errorf("range %q: write it as 10.0.0.0/24 or fd00::/120", s)
	}
	return netip.PrefixFrom(a, a.BitLen()), nil
}

// public tells a range that is not wholly for private use.
func public(p netip.Prefix) bool {
	for _, s := range []string{"10.0.0.0/8", "172.16.0.0/12", "192.168.0.0/16", "127.0.0.0/8", "169.254.0.0/16", "100.64.0.0/10", "::1/128", "fc00::/7", "fe80::/10"} {
		private := netip.MustParsePrefix(s)
		if private.Bits() <= p.Bits() && private.Contains(p.Addr().Unmap()) {
			return false
		}
	}
	return true
}

// check refuses what may not or cannot be walked, and counts the addresses.
func check(opt Options) (int, error) {
	total := 0
	for _, p := range opt.Ranges {
		if public(p) && !opt.Own {
			return 0, fmt.Errorf("discover %s: %w; name it only if it is yours, with --i-own-this", p, ErrPublic)
		}
		bits := p.Addr().BitLen() - p.Bits()
		if bits > 20 || total+1<<bits > MaxAddresses {
			return 0, fmt.Errorf("discover %s: more than %d addresses; name smaller ranges", p, MaxAddresses)
		}
		total += 1 << bits
	}
	if total == 0 || len(opt.Ports) == 0 {
		return 0, errors.New("discover: no range or no port to look at")
	}
	return total, nil
}

// Run looks at every address and port of the ranges. A target that is slow holds one worker for its timeout and nobody
// else.
func Run(ctx context.Context, opt Options) (*Result, error) {
	if _, err := check(opt); err != nil {
		return nil, err
	}
	if opt.Rate <= 0 {
		opt.Rate = defaultRate
	}
	if opt.Workers <= 0 {
		opt.Workers = defaultWorkers
	}
	if opt.Timeout <= 0 {
		opt.Timeout = defaultTimeout
	}
	s := &scan{opt: opt, pace: pace{every: time.Second / time.Duration(opt.Rate)}}
	targets := make(chan netip.AddrPort)
	var wg sync.WaitGroup
	for range opt.Workers {
		wg.Add(1)
		go func() {
			defer wg.Done()
			for t := range targets {
				s.target(ctx, t)
			}
		}()
	}
	err := s.feed(ctx, targets)
	close(targets)
	wg.Wait()
	sort.Slice(s.res.Services, func(i, j int) bool { return s.res.Services[i].Addr.Compare(s.res.Services[j].Addr) < 0 })
	return &s.res, err
}

type scan struct {
	opt  Options
	pace pace
	mu   sync.Mutex
	res  Result
}

func (s *scan) feed(ctx context.Context, targets chan<- netip.AddrPort) error {
	for _, port := range s.opt.Ports { // one port at all addresses first, so that no host is hit by all at once
		for _, p := range s.opt.Ranges {
			for a := p.Addr(); p.Contains(a); a = a.Next() {
				if err := s.pace.wait(ctx); err != nil {
					return fmt.Errorf("discover: stopped before the end: %w", err)
				}
				select {
				case targets <- netip.AddrPortFrom(a, port):
				case <-ctx.Done():
					return fmt.Errorf("discover: stopped before the end: %w", ctx.Err())
				}
			}
		}
	}
	return nil
}

// pace lets one call through every so often.
type pace struct {
	every time.Duration
	next  time.Time
}

func (p *pace) wait(ctx context.Context) error {
	now := time.Now()
	if p.next.Before(now.Add(-10 * time.Millisecond)) {
		p.next = now // never catch up more than 10 ms: a burst is what the rate forbids
	}
	d := p.next.Sub(now)
	p.next = p.next.Add(p.every)
	if d < time.Millisecond { // shorter than a timer is good for
		return ctx.Err()
	}
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

func (s *scan) target(ctx context.Context, at netip.AddrPort) {
	d := net.Dialer{Timeout: s.opt.Timeout}
	c, err := d.DialContext(ctx, "tcp", at.String())
	s.mu.Lock()
	s.res.Tried++
	if err == nil {
		s.res.Answered++
	}
	s.mu.Unlock()
	if err != nil {
		return // nobody there, or a filter: both are no service
	}
	svc := Service{Addr: at}
	for _, t := range s.opt.Talks {
		if !hasPort(t.Ports, at.Port()) {
			continue
		}
		tctx, cancel := context.WithTimeout(ctx, s.opt.Timeout)
		m, ok := t.Match(tctx, c)
		cancel()
		if ok {
			svc.Product, svc.Open, svc.Version, svc.Proof = t.Product, m.Open, m.Version, m.Says
			svc.URL = t.Product + "://" + at.String()
		}
		break
	}
	c.Close()
	if svc.Product == "" {
		err = s.http(ctx, &svc)
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if err != nil && svc.Product == "" {
		s.res.Failed++
		svc.Proof = err.Error()
	}
	s.res.Services = append(s.res.Services, svc)
}

func hasPort(ports []uint16, p uint16) bool {
	for _, x := range ports {
		if x == p {
			return true
		}
	}
	return false
}

// http asks the fingerprints' paths, each once, until one knows the answer.
func (s *scan) http(ctx context.Context, svc *Service) error {
	base := "http://" + net.JoinHostPort(svc.Addr.Addr().String(), strconv.Itoa(int(svc.Addr.Port())))
	c, err := probe.New(base, minewarden.ServiceAccess{Timeout: s.opt.Timeout}, probe.Options{MaxBody: maxBody})
	if err != nil {
		return err
	}
	defer func() { c.Close() }()
	asked := map[string]bool{}
	tls := false
	for i := 0; i < len(s.opt.HTTP); i++ {
		path := s.opt.HTTP[i].Path
		if asked[path] {
			continue
		}
		asked[path] = true
		r, err := c.Settle(ctx, path)
		if err != nil && !tls && !errors.Is(err, probe.ErrClientCert) && len(asked) == 1 {
			// No HTTP: many TLS servers just hang up on it.
			tls = true
			c.Close()
			if c, err = probe.New("https"+base[4:], minewarden.ServiceAccess{Timeout: s.opt.Timeout}, probe.Options{MaxBody: maxBody}); err != nil {
				return err
			}
			r, err = c.Settle(ctx, path)
		}
		if errors.Is(err, probe.ErrClientCert) {
			svc.Proof, svc.URL = "demands a client certificate", c.Base()
			return nil
		}
		if errors.Is(err, probe.ErrTooLarge) {
			continue
		}
		if err != nil {
			return err
		}
		svc.URL = c.Base()
		for _, f := range s.opt.HTTP {
			if f.Path != path {
				continue
			}
			if m, ok := f.Match(r); ok {
				svc.Product, svc.Open, svc.Version, svc.Proof = f.Product, m.Open, m.Version, r.String()
				if m.Open || f.Confirm == nil {
					return nil
				}
				more, open, err := f.Confirm(ctx, c)
				if err == nil {
					svc.Open, svc.Proof = open, more.String()
				}
				return nil // known all the same
			}
		}
	}
	svc.Proof = "answers HTTP, and is none of the services known"
	return nil
}
