package console

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/sha256"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"math/big"
	"net"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"time"
)

const (
	certFor    = 397 * 24 * time.Hour // what browsers take
	certRenew  = 30 * 24 * time.Hour  // before its end a self-signed one is made anew
	certRecent = time.Minute          // between looks at the files
)

// Config is the section console of the configuration. Without a certificate the console has one of its own, kept in the data
// directory.
type Config struct {
	Certificate string `yaml:"certificate"` // PEM file, with the chain
	Key         string `yaml:"key"`         // PEM file of its key
	// Names are those by which people reach the console, beside the host's own and localhost; requests for other names are refused.
	Names []string `yaml:"names"`
}

// Validate checks what can be checked without looking at the machine.
func (c *Config) Validate() error {
	if (c.Certificate == "") != (c.Key == "") {
		return errors.New("console: certificate and key belong together")
	}
	return nil
}

// A Certificate is the server's, from two PEM files that are read again when they change.
type Certificate struct {
	cert, key string
	own       bool // made here: renewed here
	names     []string
	log       *slog.Logger

	mu     sync.Mutex
	looked time.Time
	mtime  time.Time
	now    *tls.Certificate
}

// NewCertificate reads the files, where they are given. Else it keeps a self-signed one in dir, made for names.
func NewCertificate(dir string, conf Config, names []string, log *slog.Logger) (*Certificate, error) {
	c := &Certificate{cert: conf.Certificate, key: conf.Key, names: names, log: log}
	if err := conf.Validate(); err != nil {
		return nil, err
	}
	if c.cert == "" {
		c.own, c.cert, c.key = true, filepath.Join(dir, "cert.pem"), filepath.Join(dir, "key.pem")
		if err := os.MkdirAll(dir, 0o700); err != nil {
			return nil, fmt.Errorf("keep the console's certificate: %w", err)
		}
	}
	return c, c.load(time.Now())
}

// Get is for tls.Config.GetCertificate. What cannot be read any more is told, and the certificate before it serves on.
func (c *Certificate) Get(*tls.ClientHelloInfo) (*tls.Certificate, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if now := time.Now(); now.Sub(c.looked) > certRecent {
		if err := c.load(now); err != nil {
			c.log.Error("the console's certificate stays the one before", "error", err)
		}
	}
	return c.now, nil
}

// Fingerprint is the SHA-256 of the certificate, by which a person knows it on the first visit.
func (c *Certificate) Fingerprint() string {
	c.mu.Lock()
	defer c.mu.Unlock()
	sum := sha256.Sum256(c.now.Certificate[0])
	return strings.ToUpper(strings.Join(strings.Fields(fmt.Sprintf("% x", sum[:])), ":"))
}

func (c *Certificate) load(now time.Time) error {
	c.looked = now
	st, err := os.Stat(c.cert)
	if c.own && errors.Is(err, fs.ErrNotExist) {
		if err = c.make(now); err == nil {
			st, err = os.Stat(c.cert)
		}
	}
	if err != nil {
		return fmt.Errorf("read the console's certificate: %w", err)
	}
	if c.now != nil && st.ModTime().Equal(c.mtime) && (!c.own || now.Add(certRenew).Before(c.now.Leaf.NotAfter)) {
		return nil
	}
	pair, err := tls.LoadX509KeyPair(c.cert, c.key)
	if err == nil && c.own && now.Add(certRenew).After(pair.Leaf.NotAfter) || err != nil && c.own && c.now == nil {
		if err = c.make(now); err == nil {
			pair, err = tls.LoadX509KeyPair(c.cert, c.key)
		}
		if err == nil {
			st, err = os.Stat(c.cert)
		}
	}
	if err != nil {
		return fmt.Errorf("read the console's certificate %s: %w", c.cert, err)
	}
	c.now, c.mtime = &pair, st.ModTime()
	return nil
}

// make writes a new self-signed certificate. The key is written first: a crash between leaves a pair that does not fit, which
// load makes anew.
func (c *Certificate) make(now time.Time) error {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return err
	}
	serial, err := rand.Int(rand.Reader, new(big.Int).Lsh(big.NewInt(1), 120))
	if err != nil {
		return err
	}
	t := &x509.Certificate{
		SerialNumber: serial, Subject: pkix.Name{CommonName: "minewarden", Organization: c.names[:min(1, len(c.names))]},
		NotBefore: now.Add(-time.Hour), NotAfter: now.Add(certFor), KeyUsage: x509.KeyUsageDigitalSignature,
		ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth}, BasicConstraintsValid: true,
	}
	for _, n := range append([]string{"localhost", "127.0.0.1", "::1"}, c.names...) {
		if ip := net.ParseIP(n); ip != nil {
			t.IPAddresses = append(t.IPAddresses, ip)
		} else if n != "" {
			t.DNSNames = append(t.DNSNames, n)
		}
	}
	der, err := x509.CreateCertificate(rand.Reader, t, t, &key.PublicKey, key)
	if err != nil {
		return fmt.Errorf("make the console's certificate: %w", err)
	}
	private, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		return err
	}
	return errors.Join(
		replace(c.key, pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: private}), 0o600),
		replace(c.cert, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der}), 0o644),
	)
}

// replace writes a file whole or not at all.
func replace(path string, data []byte, mode fs.FileMode) error {
	f, err := os.CreateTemp(filepath.Dir(path), ".new-")
	if err != nil {
		return err
	}
	_, err = f.Write(data)
	err = errors.Join(err, f.Chmod(mode), f.Sync(), f.Close())
	if err == nil {
		err = os.Rename(f.Name(), path)
	}
	if err != nil {
		return errors.Join(fmt.Errorf("write %s: %w", path, err), os.Remove(f.Name()))
	}
	return nil
}
