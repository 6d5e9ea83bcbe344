// Package syslog receives logs from other machines: syslog over UDP, TCP and TLS, and lines of JSON over HTTPS.
package syslog

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	_ "embed"
	"errors"
	"fmt"
	"net"
	"os"
	"sync"
	"time"

	"github.com/minewarden/minewarden"
	"github.com/minewarden/minewarden/internal/logs"
)

//go:embed README.md
var doc string

// Config is the section "syslog" of the configuration. Without an address the sensor is off.
type Config struct {
	UDP  string `yaml:"udp"`
	TCP  string `yaml:"tcp"`
	TLS  Secure `yaml:"tls"`
	HTTP Secure `yaml:"http"`
}

// Secure is a listener with TLS.
type Secure struct {
	Listen   string `yaml:"listen"`
	Cert     string `yaml:"cert"`      // PEM file
	Key      string `yaml:"key"`       // PEM file
	ClientCA string `yaml:"client_ca"` // PEM file: clients must have a certificate that one of these signed
}

const (
	maxConns   = 1024
	maxPerPeer = 64
	idle       = time.Hour
	maxFaults  = 1000 // that are logged; more are counted only
)

type sensor struct {
	env minewarden.Env
	cfg Config
}

var (
	_ minewarden.Sensor  = (*sensor)(nil)
	_ minewarden.Patient = (*sensor)(nil)
)

// New returns the listener.
func New(env minewarden.Env) (minewarden.Sensor, error) {
	var cfg Config
	if err := env.Config(&cfg); err != nil {
		return nil, err
	}
	for name, s := range map[string]Secure{"tls": cfg.TLS, "http": cfg.HTTP} {
		if s.Listen != "" && (s.Cert == "" || s.Key == "") {
			return nil, fmt.Errorf("syslog: %s needs cert and key", name)
		}
	}
	if cfg.HTTP.Listen != "" && cfg.HTTP.ClientCA == "" {
		return nil, errors.New("syslog: http needs client_ca: without it anybody could write events")
	}
	return &sensor{env, cfg}, nil
}

// Info implements minewarden.Sensor.
func (*sensor) Info() minewarden.Info {
	return minewarden.Info{Name: "syslog", Title: "logs from other machines", Doc: doc}
}

// Patient implements minewarden.Patient: senders over TCP wait.
func (*sensor) Patient() bool { return true }

// Run implements minewarden.Sensor.
func (s *sensor) Run(ctx context.Context, emit minewarden.Emit) error { return s.run(ctx, emit, nil) }

// run tells ready the addresses once all listen.
func (s *sensor) run(ctx context.Context, emit minewarden.Emit, ready func(map[string]net.Addr)) error {
	if s.cfg == (Config{}) {
		return fmt.Errorf("%w: no address to listen on is configured", minewarden.ErrUnsupported)
	}
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	srv := &server{env: s.env, emit: emit, peers: map[string]int{}}
	addrs := map[string]net.Addr{}
	var serve []func(context.Context) error
	var opened []interface{ Close() error }
	fail := func(err error) error {
		for _, l := range opened {
			err = errors.Join(err, l.Close())
		}
		return err
	}
	if s.cfg.UDP != "" {
		c, err := listenUDP(ctx, s.cfg.UDP)
		if err != nil {
			return fail(err)
		}
		opened, addrs["udp"] = append(opened, c), c.LocalAddr()
		serve = append(serve, func(ctx context.Context) error { return srv.udp(ctx, c) })
	}
	for _, l := range [...]struct {
		name string
		Secure
	}{{"tcp", Secure{Listen: s.cfg.TCP}}, {"tls", s.cfg.TLS}, {"http", s.cfg.HTTP}} {
		if l.Listen == "" {
			continue
		}
		tcp, err := (&net.ListenConfig{}).Listen(ctx, "tcp", l.Listen)
		if err != nil {
			return fail(fmt.Errorf("listen for %s: %w", l.name, err))
		}
		opened, addrs[l.name] = append(opened, tcp), tcp.Addr()
		var conf *tls.Config
		if l.name != "tcp" {
			if conf, err = l.config(); err != nil {
				return fail(err)
			}
		}
		if l.name == "http" {
			serve = append(serve, func(ctx context.Context) error { return srv.http(ctx, tcp, conf) })
		} else {
			serve = append(serve, func(ctx context.Context) error { return srv.tcp(ctx, tcp, conf) })
		}
	}
	if ready != nil {
		ready(addrs)
	}
	var all sync.WaitGroup
	errs := make([]error, len(serve))
	for i, f := range serve {
		all.Go(func() {
			defer cancel() // one that fails ends all: the sensor is started again
			errs[i] = f(ctx)
		})
	}
	all.Wait()
	return errors.Join(errs...)
}

func (c *Secure) config() (*tls.Config, error) {
	cert, err := tls.LoadX509KeyPair(c.Cert, c.Key)
	if err != nil {
		return nil, fmt.Errorf("load certificate %s: %w", c.Cert, err)
	}
	conf := &tls.Config{Certificates: []tls.Certificate{cert}, MinVersion: tls.VersionTLS12}
	if c.ClientCA == "" {
		return conf, nil
	}
	pem, err := os.ReadFile(c.ClientCA)
	if err != nil {
		return nil, fmt.Errorf("load client_ca: %w", err)
	}
	conf.ClientCAs, conf.ClientAuth = x509.NewCertPool(), tls.RequireAndVerifyClientCert
	if !conf.ClientCAs.AppendCertsFromPEM(pem) {
		return nil, fmt.Errorf("load client_ca: %s holds no certificate", c.ClientCA)
	}
	return conf, nil
}

// server is what the listeners share. emit is called by one of them at a time.
type server struct {
	env    minewarden.Env
	mu     sync.Mutex
	emit   minewarden.Emit
	faults int
	peers  map[string]int
	conns  int
}

func (s *server) out(peer string) func(time.Time, *minewarden.Record) {
	return func(t time.Time, rec *minewarden.Record) {
		if rec.Host == "" {
			rec.Host = peer
		}
		rec.Fields = append(rec.Fields, minewarden.Field{Name: "peer", Value: peer})
		s.mu.Lock()
		defer s.mu.Unlock()
		s.emit(minewarden.Event{Time: t, Data: rec})
	}
}

func (s *server) fault(peer string, err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.faults++; s.faults <= maxFaults {
		s.env.Log.Warn("a log was received that cannot be read as it stands", "peer", peer, "error", err)
	}
}

func (s *server) decoder(peer string) *logs.Decoder {
	return &logs.Decoder{Now: s.env.Now, Location: time.Local, Fault: func(err error) { s.fault(peer, err) }}
}

// take takes one message. What cannot be read is kept as text: it arrived.
func (s *server) take(d *logs.Decoder, peer string, msg []byte) {
	out := s.out(peer)
	if err := d.Line(msg, out); err != nil {
		s.fault(peer, err)
		out(s.env.Now().UTC(), &minewarden.Record{Source: "text", Message: string(toValid(msg))})
	}
}

// admit counts a connection; false: there are too many.
func (s *server) admit(peer string) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.conns >= maxConns || s.peers[peer] >= maxPerPeer {
		return false
	}
	s.conns++
	s.peers[peer]++
	return true
}

func (s *server) leave(peer string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.conns--
	if s.peers[peer]--; s.peers[peer] == 0 {
		delete(s.peers, peer)
	}
}

func host(a net.Addr) string {
	h, _, err := net.SplitHostPort(a.String())
	if err != nil {
		return a.String()
	}
	return h
}
