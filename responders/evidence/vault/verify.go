package vault

import (
	"context"
	"crypto/ed25519"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
)

// A Report is what verifying found.
type Report struct {
	Manifest Manifest `json:"manifest"`
	Custody  []Entry  `json:"custody,omitempty"`
	Parts    int      `json:"parts"` // that are as they were
	Bytes    int64    `json:"bytes"` // of these
	// Faults are what is not as it was when it was sealed; none: all is.
	Faults []string `json:"faults,omitempty"`
	// Partial says why the collection ended early. It is not a fault: what there is, is as it was.
	Partial string `json:"partial,omitempty"`
	// Key is the fingerprint of the key that signed; Known says that it is the one it was compared with.
	Key   string `json:"key,omitempty"`
	Known bool   `json:"known_key"`
	// Expired says that its parts were removed on purpose.
	Expired bool `json:"expired,omitempty"`
}

// OK reports that no bit was changed.
func (r *Report) OK() bool { return len(r.Faults) == 0 }

func (r *Report) fault(format string, args ...any) {
	r.Faults = append(r.Faults, fmt.Sprintf(format, args...))
}

// Verify checks every bit of a collection. With trusted it must be signed by that key; without, a key of its own is believed, and
// Report.Known is false: then its fingerprint must be compared by other means. The error says why it could not look.
func Verify(ctx context.Context, dir string, trusted ed25519.PublicKey) (Report, error) {
	var r Report
	fi, err := os.Stat(dir)
	if err != nil {
		return r, fmt.Errorf("verify evidence: %w", err)
	}
	if !fi.IsDir() {
		return r, fmt.Errorf("verify evidence: %s is no directory", dir)
	}
	m, raw, err := ReadManifest(dir)
	r.Manifest = m
	if errors.Is(err, os.ErrNotExist) {
		r.fault("there is no manifest: the collection was cut off, or is still being made")
		return r, nil
	}
	if err != nil && raw == nil {
		return r, err
	}
	if err != nil {
		r.fault("%v", err)
		return r, nil
	}
	r.Partial = m.Partial
	pub := r.signature(dir, raw, trusted)
	if pub == nil {
		return r, nil // nothing of it can be believed
	}
	if b, err := readFile(filepath.Join(dir, CustodyFile), maxCustody); err != nil {
		r.fault("chain of custody: %v", err)
	} else if r.Custody, _, err = parseCustody(b, pub, raw); err != nil {
		r.fault("chain of custody: %v", err)
	} else if len(r.Custody) == 0 || r.Custody[0].What != Collected {
		r.fault("chain of custody: it does not begin with the collection")
	} else {
		r.Expired = slices.ContainsFunc(r.Custody, func(e Entry) bool { return e.What == Expired })
	}
	if r.Expired {
		return r, r.extra(dir, map[string]bool{})
	}
	return r, r.parts(ctx, dir)
}

// signature returns the key that the rest is checked with; nil: none.
func (r *Report) signature(dir string, raw []byte, trusted ed25519.PublicKey) ed25519.PublicKey {
	pub, err := parseKey(r.Manifest.PublicKey)
	if err != nil {
		r.fault("manifest: %v", err)
		return nil
	}
	r.Key = hexSum(pub)
	if trusted != nil {
		if !pub.Equal(trusted) {
			r.fault("manifest: it is signed by another key (%.16s…) than the one that is trusted (%.16s…)", r.Key, hexSum(trusted))
			return nil
		}
		r.Known = true
	}
	b, err := readFile(filepath.Join(dir, SignatureFile), 4<<10)
	if err != nil {
		r.fault("signature: %v", err)
		return nil
	}
	sig, ok := strings.CutSuffix(string(b), "\n")
	if !ok {
		r.fault("signature: it is not as it was written")
		return nil
	}
	if err := checkSignature(pub, manifestDomain, raw, sig); err != nil {
		r.fault("manifest: %v", err)
		return nil
	}
	return pub
}

func (r *Report) parts(ctx context.Context, dir string) error {
	known := map[string]bool{}
	for i := range r.Manifest.Parts {
		p := &r.Manifest.Parts[i]
		if p.File != filepath.Base(p.File) || known[p.File] {
			r.fault("part %q: the manifest names it outside of the collection or twice", p.File)
			continue
		}
		known[p.File] = true
		size, sum, err := Hash(ctx, filepath.Join(dir, p.File))
		switch {
		case ctx.Err() != nil:
			return ctx.Err()
		case errors.Is(err, os.ErrNotExist):
			r.fault("part %q is missing", p.File)
		case err != nil:
			r.fault("part %q: %v", p.File, err)
		case size != p.Stored:
			r.fault("part %q has %d bytes, not %d", p.File, size, p.Stored)
		case sum != p.SHA256:
			r.fault("part %q was changed: sha256 %s, not %s", p.File, sum, p.SHA256)
		default:
			r.Parts++
			r.Bytes += size
		}
	}
	return r.extra(dir, known)
}

// extra finds what is there and should not be.
func (r *Report) extra(dir string, known map[string]bool) error {
	known[ManifestFile], known[SignatureFile], known[CustodyFile] = true, true, true
	d, err := os.Open(dir)
	if err != nil {
		return fmt.Errorf("verify evidence: %w", err)
	}
	names, err := d.Readdirnames(2 * maxParts)
	if errors.Is(err, io.EOF) {
		err = nil
	}
	if err = errors.Join(err, d.Close()); err != nil {
		return fmt.Errorf("verify evidence: %w", err)
	}
	slices.Sort(names)
	for _, n := range names {
		if !known[n] {
			r.fault("%q is there, but not in the manifest", n)
		}
	}
	return nil
}

// Hash returns the size and the SHA-256 of a regular file. It follows no link.
func Hash(ctx context.Context, path string) (int64, string, error) {
	f, err := openPart(path)
	if err != nil {
		return 0, "", err
	}
	h := sha256.New()
	buf := make([]byte, 1<<20)
	var n int64
	for err == nil {
		if err = ctx.Err(); err != nil {
			break
		}
		var k int
		k, err = f.Read(buf)
		h.Write(buf[:k])
		n += int64(k)
	}
	if errors.Is(err, io.EOF) {
		err = nil
	}
	return n, hex.EncodeToString(h.Sum(nil)), errors.Join(err, f.Close())
}
