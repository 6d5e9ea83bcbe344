package vault

import (
	"bytes"
	"crypto/ed25519"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"time"

	"golang.org/x/sys/unix"
)

// What is written into the chain of custody.
const (
	Collected = "collected"
	Viewed    = "viewed"
	Verified  = "verified"
	Exported  = "exported"
	Expired   = "expired" // its parts were removed when their time was over; the manifest stays
)

const (
	maxCustody = 64 << 20
	maxDetail  = 4 << 10
)

// An Entry says who did what with a collection. Each holds the hash of the line before it, the first that of the manifest.
type Entry struct {
	Seq    int       `json:"seq"` // from 1
	Time   time.Time `json:"time"`
	Who    string    `json:"who"`
	What   string    `json:"what"`
	Detail string    `json:"detail,omitempty"`
	Prev   string    `json:"prev"`
}

type custodyLine struct {
	Entry json.RawMessage `json:"entry"`
	Sig   string          `json:"sig"`
}

// Note appends to the chain of custody of a collection of this vault. The entry is on disk when it returns.
func (v Vault) Note(dir, who, what, detail string) error {
	m, b, err := ReadManifest(dir)
	if err != nil {
		return fmt.Errorf("chain of custody: %w", err)
	}
	key, err := v.privateKey()
	if err != nil {
		return err
	}
	if err := appendEntry(dir, key, b, Entry{Time: time.Now().UTC(), Who: cutText(who), What: what, Detail: cutText(detail)}); err != nil {
		return fmt.Errorf("chain of custody of %s: %w", m.ID, err)
	}
	return nil
}

func cutText(s string) string { return s[:min(len(s), maxDetail)] }

// appendEntry refuses to go on from a chain that is broken: it would look whole again from there.
func appendEntry(dir string, key ed25519.PrivateKey, manifest []byte, e Entry) error {
	path := filepath.Join(dir, CustodyFile)
	f, err := os.OpenFile(path, os.O_RDWR|os.O_CREATE|unix.O_NOFOLLOW|unix.O_NONBLOCK|unix.O_CLOEXEC, 0o600)
	if err != nil {
		return err
	}
	defer func() { _ = f.Close() }() // what is written is synced before
	if err := unix.Flock(int(f.Fd()), unix.LOCK_EX); err != nil {
		return err
	}
	b, err := io.ReadAll(io.LimitReader(f, maxCustody))
	if err != nil {
		return err
	}
	if end := bytes.LastIndexByte(b, '\n') + 1; end < len(b) { // a line that a crash cut: its act was never confirmed
		if err := f.Truncate(int64(end)); err != nil {
			return err
		}
		b = b[:end]
	}
	pub, ok := key.Public().(ed25519.PublicKey)
	if !ok {
		return errors.New("the key has no public half")
	}
	entries, last, err := parseCustody(b, pub, manifest)
	if err != nil {
		return err
	}
	e.Seq, e.Prev = len(entries)+1, last
	line, err := encodeEntry(key, e)
	if err != nil {
		return err
	}
	if len(b)+len(line) > maxCustody {
		return fmt.Errorf("it is full: %d bytes", len(b))
	}
	if _, err := f.WriteAt(line, int64(len(b))); err != nil {
		return err
	}
	if err := f.Sync(); err != nil {
		return err
	}
	return syncDir(dir)
}

func encodeEntry(key ed25519.PrivateKey, e Entry) ([]byte, error) {
	raw, err := json.Marshal(e)
	if err != nil {
		return nil, err
	}
	return joinLine(raw, sign(key, custodyDomain, raw)), nil
}

func joinLine(raw []byte, sig string) []byte {
	return fmt.Appendf(nil, "{\"entry\":%s,\"sig\":\"%s\"}\n", raw, sig)
}

// parseCustody checks the chain, and returns its entries and what the next must hold as Prev.
func parseCustody(b []byte, pub ed25519.PublicKey, manifest []byte) ([]Entry, string, error) {
	var entries []Entry
	prev := hexSum(manifest)
	for line := range bytes.Lines(b) {
		n := len(entries) + 1
		var l custodyLine
		if err := json.Unmarshal(line, &l); err != nil {
			return entries, prev, fmt.Errorf("entry %d: %w", n, err)
		}
		if !bytes.Equal(joinLine(l.Entry, l.Sig), line) { // no bit of the line is outside of what is compared
			return entries, prev, fmt.Errorf("entry %d: it is not as it was written", n)
		}
		if err := checkSignature(pub, custodyDomain, l.Entry, l.Sig); err != nil {
			return entries, prev, fmt.Errorf("entry %d: %w", n, err)
		}
		var e Entry
		if err := json.Unmarshal(l.Entry, &e); err != nil {
			return entries, prev, fmt.Errorf("entry %d: %w", n, err)
		}
		if e.Seq != n || e.Prev != prev {
			return entries, prev, fmt.Errorf("entry %d: it does not follow what is before it: one was taken out, moved, or is of another collection", n)
		}
		prev = hexSum(line)
		entries = append(entries, e)
	}
	return entries, prev, nil
}
