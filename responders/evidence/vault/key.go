package vault

import (
	"crypto/ed25519"
	"crypto/rand"
	"crypto/x509"
	"encoding/hex"
	"encoding/pem"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"

	"golang.org/x/sys/unix"
)

const (
	privateFile = "evidence.key" // PKCS #8 in PEM, for root alone
	publicFile  = "evidence.pub" // PKIX in PEM, for whoever verifies elsewhere
	maxKey      = 16 << 10
)

// domain keeps a signature of a manifest from being taken for one of anything else.
const (
	manifestDomain = "minewarden evidence manifest\n"
	custodyDomain  = "minewarden evidence custody\n"
)

// PublicKey returns this machine's public key; os.ErrNotExist is wrapped where it has none yet.
func (v Vault) PublicKey() (ed25519.PublicKey, error) {
	return ReadPublicKey(filepath.Join(v.Keys, publicFile))
}

// ReadPublicKey reads a public key from a PEM file.
func ReadPublicKey(path string) (ed25519.PublicKey, error) {
	b, err := readFile(path, maxKey)
	if err != nil {
		return nil, fmt.Errorf("public key: %w", err)
	}
	block, _ := pem.Decode(b)
	if block == nil {
		return nil, fmt.Errorf("public key %s: it is no PEM file", path)
	}
	key, err := x509.ParsePKIXPublicKey(block.Bytes)
	if err != nil {
		return nil, fmt.Errorf("public key %s: %w", path, err)
	}
	pub, ok := key.(ed25519.PublicKey)
	if !ok {
		return nil, fmt.Errorf("public key %s: it is of another kind than Ed25519", path)
	}
	return pub, nil
}

// privateKey returns this machine's key, and makes it at the first call. Of several that make it at once one wins.
func (v Vault) privateKey() (ed25519.PrivateKey, error) {
	if v.Keys == "" {
		return nil, errors.New("there is no data directory for the key that signs")
	}
	path := filepath.Join(v.Keys, privateFile)
	key, err := readPrivate(path)
	if errors.Is(err, os.ErrNotExist) {
		if err = v.makeKey(path); err == nil || errors.Is(err, os.ErrExist) {
			key, err = readPrivate(path)
		}
	}
	if err != nil {
		return nil, fmt.Errorf("key that signs evidence: %w", err)
	}
	pub, ok := key.Public().(ed25519.PublicKey)
	if !ok {
		return nil, errors.New("key that signs evidence: it has no public half")
	}
	if err := v.publish(pub); err != nil {
		return nil, fmt.Errorf("key that signs evidence: %w", err)
	}
	return key, nil
}

func readPrivate(path string) (ed25519.PrivateKey, error) {
	b, err := readFile(path, maxKey)
	if err != nil {
		return nil, err
	}
	block, _ := pem.Decode(b)
	if block == nil {
		return nil, fmt.Errorf("%s is no PEM file", path)
	}
	key, err := x509.ParsePKCS8PrivateKey(block.Bytes)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", path, err)
	}
	k, ok := key.(ed25519.PrivateKey)
	if !ok {
		return nil, fmt.Errorf("%s is of another kind than Ed25519", path)
	}
	return k, nil
}

func (v Vault) makeKey(path string) error {
	_, key, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		return err
	}
	der, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		return err
	}
	if err := os.MkdirAll(v.Keys, 0o700); err != nil {
		return err
	}
	return writeNew(path, pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: der}), 0o400)
}

// publish writes the public half beside the key, if it is not there.
func (v Vault) publish(pub ed25519.PublicKey) error {
	path := filepath.Join(v.Keys, publicFile)
	if _, err := os.Lstat(path); err == nil {
		return nil
	}
	der, err := x509.MarshalPKIXPublicKey(pub)
	if err != nil {
		return err
	}
	err = writeNew(path, pem.EncodeToMemory(&pem.Block{Type: "PUBLIC KEY", Bytes: der}), 0o444)
	if errors.Is(err, os.ErrExist) {
		return nil
	}
	return err
}

// writeNew makes path with the whole of b, durably, or not at all. It never replaces.
func writeNew(path string, b []byte, mode os.FileMode) (err error) {
	f, err := os.CreateTemp(filepath.Dir(path), ".new-*")
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, os.Remove(f.Name())) }()
	if _, err = f.Write(b); err == nil {
		err = f.Chmod(mode)
	}
	if err == nil {
		err = f.Sync()
	}
	if err = errors.Join(err, f.Close()); err != nil {
		return err
	}
	if err := unix.Link(f.Name(), path); err != nil {
		return &os.PathError{Op: "link", Path: path, Err: err}
	}
	return syncDir(filepath.Dir(path))
}

func syncDir(dir string) error {
	d, err := os.Open(dir)
	if err != nil {
		return err
	}
	return errors.Join(d.Sync(), d.Close())
}

// parseKey reads a public key as manifests have it: exactly as it is written, for every bit of a manifest counts.
func parseKey(s string) (ed25519.PublicKey, error) {
	b, err := hex.DecodeString(s)
	if err != nil || len(b) != ed25519.PublicKeySize || hex.EncodeToString(b) != s {
		return nil, errors.New("the public key is not 64 hexadecimal digits")
	}
	return b, nil
}

func sign(key ed25519.PrivateKey, domain string, b []byte) string {
	return hex.EncodeToString(ed25519.Sign(key, append([]byte(domain), b...)))
}

// checkSignature accepts a signature only in the one form in which sign writes it.
func checkSignature(pub ed25519.PublicKey, domain string, b []byte, sig string) error {
	raw, err := hex.DecodeString(sig)
	if err != nil || len(raw) != ed25519.SignatureSize || strings.ToLower(sig) != sig {
		return errors.New("the signature is not 128 hexadecimal digits")
	}
	if !ed25519.Verify(pub, append([]byte(domain), b...), raw) {
		return errors.New("the signature does not match: it was changed after it was signed")
	}
	return nil
}
