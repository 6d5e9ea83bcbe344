package vault

import (
	"crypto/ed25519"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"time"
)

// A Collection is one that is being filled. It is not safe for concurrent use.
type Collection struct {
	Dir string
	key ed25519.PrivateKey
}

// Begin makes the directory of a new collection, which only its owner can enter, and the key that will sign it.
func (v Vault) Begin(id string) (*Collection, error) {
	dir, err := v.Path(id)
	if err != nil {
		return nil, err
	}
	key, err := v.privateKey()
	if err != nil {
		return nil, err
	}
	if err := os.MkdirAll(v.Dir, 0o700); err != nil {
		return nil, fmt.Errorf("begin evidence: %w", err)
	}
	if err := os.Mkdir(dir, 0o700); err != nil {
		return nil, fmt.Errorf("begin evidence: %w", err)
	}
	if err := syncDir(v.Dir); err != nil {
		return nil, fmt.Errorf("begin evidence: %w", err)
	}
	return &Collection{Dir: dir, key: key}, nil
}

// Resume opens a collection that was cut off before it was sealed.
func (v Vault) Resume(id string) (*Collection, error) {
	dir, err := v.Path(id)
	if err != nil {
		return nil, err
	}
	if _, err := os.Lstat(dir); err != nil {
		return nil, fmt.Errorf("resume evidence: %w", err)
	}
	key, err := v.privateKey()
	if err != nil {
		return nil, err
	}
	return &Collection{Dir: dir, key: key}, nil
}

// Sealed reports whether the collection has a manifest with its signature.
func (c *Collection) Sealed() bool {
	_, err1 := os.Lstat(filepath.Join(c.Dir, ManifestFile))
	_, err2 := os.Lstat(filepath.Join(c.Dir, SignatureFile))
	return err1 == nil && err2 == nil
}

// Seal signs the manifest and writes it down durably, with the first entry of the chain of custody. The parts are on disk
// before. A manifest that has no signature was never sealed, and is replaced.
func (c *Collection) Seal(m *Manifest) error {
	fail := func(err error) error { return fmt.Errorf("seal evidence %s: %w", m.ID, err) }
	pub, ok := c.key.Public().(ed25519.PublicKey)
	if !ok {
		return fail(errors.New("the key has no public half"))
	}
	m.Format, m.PublicKey = Format, hex.EncodeToString(pub)
	if len(m.Parts) > maxParts {
		return fail(fmt.Errorf("it has %d parts, more than %d", len(m.Parts), maxParts))
	}
	b, err := json.MarshalIndent(m, "", " ")
	if err != nil {
		return fail(err)
	}
	b = append(b, '\n')
	for _, name := range [...]string{ManifestFile, SignatureFile, CustodyFile} { // of an attempt that was cut off
		if err := os.Remove(filepath.Join(c.Dir, name)); err != nil && !errors.Is(err, os.ErrNotExist) {
			return fail(err)
		}
	}
	if err := writeNew(filepath.Join(c.Dir, ManifestFile), b, 0o400); err != nil {
		return fail(err)
	}
	first := Entry{Time: time.Now().UTC(), Who: m.Who, What: Collected, Detail: m.Why}
	if err := appendEntry(c.Dir, c.key, b, first); err != nil {
		return fail(err)
	}
	if err := writeNew(filepath.Join(c.Dir, SignatureFile), []byte(sign(c.key, manifestDomain, b)+"\n"), 0o400); err != nil {
		return fail(err)
	}
	return nil
}
