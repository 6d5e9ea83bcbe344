package probe

import (
	"bytes"
	"context"
	"crypto/sha256"
	"crypto/tls"
	"crypto/x509"
	"encoding/hex"
	"errors"
	"fmt"
	"net"
	"strings"
	"time"
)

// TLSFacts are what a handshake told about the service.
type TLSFacts struct {
	Used         bool // a handshake came far enough to see the certificate
	Version      string
	ClientAsked  bool // the service asked for a client certificate
	ClientNeeded bool // and refused to go on without
	SelfSigned   bool
	Expired      bool
	WrongName    bool
	Untrusted    string // why the chain does not verify; "" when it does
	Subject      string
	SHA256       string // of the leaf
	NotAfter     time.Time
}

// TLS returns the facts of the last handshake made as a stranger.
func (c *Client) TLS() TLSFacts {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.facts
}

func (c *Client) roots() (*x509.CertPool, error) {
	if len(c.access.CA) == 0 {
		return nil, nil // the system's
	}
	pool := x509.NewCertPool()
	if !pool.AppendCertsFromPEM(c.access.CA) {
		return nil, errors.New("read the CA file: no PEM certificate in it")
	}
	return pool, nil
}

// anonTLS talks to anybody, for a stranger sends nothing secret, and notes what a verifying client would have said.
func (c *Client) anonTLS() *tls.Config {
	return &tls.Config{
		MinVersion:         tls.VersionTLS10, // old servers are to be reported, not missed
		InsecureSkipVerify: true,             // verified below, as a fact
		GetClientCertificate: func(*tls.CertificateRequestInfo) (*tls.Certificate, error) {
			c.mu.Lock()
			c.facts.ClientAsked = true
			c.mu.Unlock()
			return &tls.Certificate{}, nil
		},
		VerifyConnection: func(cs tls.ConnectionState) error {
			f := c.judge(cs)
			c.mu.Lock()
			defer c.mu.Unlock()
			f.ClientAsked, f.ClientNeeded = c.facts.ClientAsked, c.facts.ClientNeeded
			c.facts = f
			return nil
		},
	}
}

func (c *Client) judge(cs tls.ConnectionState) TLSFacts {
	f := TLSFacts{Used: true, Version: tls.VersionName(cs.Version)}
	if len(cs.PeerCertificates) == 0 {
		return f
	}
	leaf := cs.PeerCertificates[0]
	sum := sha256.Sum256(leaf.Raw)
	f.Subject, f.SHA256, f.NotAfter = leaf.Subject.String(), hex.EncodeToString(sum[:]), leaf.NotAfter
	f.SelfSigned = bytes.Equal(leaf.RawIssuer, leaf.RawSubject) && leaf.CheckSignature(leaf.SignatureAlgorithm, leaf.RawTBSCertificate, leaf.Signature) == nil
	f.Expired = time.Now().After(leaf.NotAfter)
	c.mu.Lock()
	host := c.base.Hostname()
	c.mu.Unlock()
	f.WrongName = leaf.VerifyHostname(host) != nil
	roots, err := c.roots()
	if err == nil {
		inter := x509.NewCertPool()
		for _, p := range cs.PeerCertificates[1:] {
			inter.AddCert(p)
		}
		_, err = leaf.Verify(x509.VerifyOptions{Roots: roots, Intermediates: inter, DNSName: host})
	}
	if err != nil {
		f.Untrusted = err.Error()
	}
	return f
}

func (c *Client) ownerTLS() (*tls.Config, error) {
	roots, err := c.roots()
	if err != nil {
		return nil, err
	}
	conf := &tls.Config{RootCAs: roots, MinVersion: tls.VersionTLS12}
	if len(c.access.Cert) > 0 {
		cert, err := tls.X509KeyPair(c.access.Cert, []byte(c.access.Key))
		if err != nil {
			return nil, fmt.Errorf("read the client certificate and key: %w", err)
		}
		conf.Certificates = []tls.Certificate{cert}
	}
	return conf, nil
}

// explain turns what the TLS stack and the dialler say into what a person can act on.
func (c *Client) explain(err error, owner bool) error {
	var verify *tls.CertificateVerificationError
	var op *net.OpError
	switch {
	case errors.As(err, &verify):
		if owner {
			return fmt.Errorf("%w: the certificate does not verify (%w); give its authority with --ca", ErrCredentials, verify.Err)
		}
	case errors.As(err, &op) && op.Op == "remote error" && clientCertAlert(op.Err.Error()) && (owner || c.TLS().ClientAsked):
		if !owner {
			c.mu.Lock()
			c.facts.Used, c.facts.ClientNeeded = true, true
			c.mu.Unlock()
		}
		return fmt.Errorf("%w (%w)", ErrClientCert, op.Err)
	case errors.Is(err, context.DeadlineExceeded):
		return fmt.Errorf("no whole answer within %v: %w", c.timeout, err)
	}
	return err
}

// clientCertAlert knows the alerts that servers send to a client without a certificate, or with one they do not trust.
func clientCertAlert(msg string) bool {
	for _, s := range []string{"certificate required", "bad certificate", "unknown certificate", "handshake failure"} {
		if strings.Contains(msg, s) {
			return true
		}
	}
	return false
}
