package audittrail

import (
	"bytes"
	"crypto/ed25519"
	"crypto/rand"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"

	"golang.org/x/sys/unix"
)

const (
	slotSize = 512                             // one sector: written whole or not at all
	slotStep = 4096                            // the two places share no block
	headOf   = "minewarden audit trail head\n" // what is signed begins with it
)

// head is the last entry, as it is signed.
type head struct {
	Seq       uint64 `json:"seq"`
	Hash      string `json:"hash"`
	Signature string `json:"signature"`
}

func (h *head) message() []byte { return fmt.Appendf(nil, "%s%d %s\n", headOf, h.Seq, h.Hash) }

func (h *head) encode() ([]byte, error) {
	b, err := json.Marshal(h)
	if err != nil || len(b) >= slotSize {
		return nil, errors.Join(errors.New("encode the head of the audit trail"), err)
	}
	b = append(b, bytes.Repeat([]byte{' '}, slotSize-1-len(b))...)
	return append(b, '\n'), nil
}

// parseHead reads one place. A place never written is the zero head.
func parseHead(slot []byte, key ed25519.PublicKey) (head, error) {
	var h head
	if len(bytes.Trim(slot, "\x00")) == 0 {
		return h, nil
	}
	if err := json.Unmarshal(slot, &h); err != nil {
		return head{}, fmt.Errorf("signed head: %w", err)
	}
	sig, err := hex.DecodeString(h.Signature)
	if err != nil || hex.EncodeToString(sig) != h.Signature || !ed25519.Verify(key, h.message(), sig) {
		return head{}, errors.New("signed head: the signature is not of this trail's key")
	}
	if again, err := h.encode(); err != nil || !bytes.Equal(again, slot) {
		return head{}, errors.New("signed head: is not written as heads are")
	}
	return h, nil
}

// readHead returns the newer of the two places, which one it is, and what is wrong with either.
func readHead(r io.ReaderAt, key ed25519.PublicKey) (h head, at int, wrong error) {
	found := false
	for i := range 2 {
		slot := make([]byte, slotStep)
		n, err := r.ReadAt(slot, int64(i)*slotStep)
		if err != nil && !errors.Is(err, io.EOF) {
			return h, at, fmt.Errorf("signed head: %w", err)
		}
		if n > slotSize && len(bytes.Trim(slot[slotSize:n], "\x00")) > 0 {
			wrong = errors.Join(wrong, errors.New("signed head: there is something between its places"))
		}
		x, err := parseHead(slot[:min(n, slotSize)], key)
		if err != nil {
			wrong = errors.Join(wrong, err)
			continue
		}
		if x.Seq > h.Seq {
			h, at, found = x, i, true
		}
	}
	if !found && wrong == nil {
		wrong = errors.New("signed head: there is none")
	}
	return h, at, wrong
}

// headFile writes the two places in turn.
type headFile struct {
	f    *os.File
	last int
	key  ed25519.PrivateKey
}

func (w *headFile) write(seq uint64, hash string) error {
	h := head{Seq: seq, Hash: hash}
	h.Signature = hex.EncodeToString(ed25519.Sign(w.key, h.message()))
	b, err := h.encode()
	if err != nil {
		return err
	}
	if _, err := w.f.WriteAt(b, int64(1-w.last)*slotStep); err != nil {
		return fmt.Errorf("write the signed head: %w", err)
	}
	if err := unix.Fdatasync(int(w.f.Fd())); err != nil {
		return fmt.Errorf("sync the signed head: %w", err)
	}
	w.last = 1 - w.last
	return nil
}

// openHead makes the file at its full size, so that a full disk cannot keep a head from being written.
func openHead(dir string) (*os.File, error) {
	f, err := os.OpenFile(filepath.Join(dir, headName), os.O_RDWR|os.O_CREATE, 0o600)
	if err != nil {
		return nil, fmt.Errorf("signed head: %w", err)
	}
	st, err := f.Stat()
	if err == nil && st.Size() < 2*slotStep {
		_, err = f.WriteAt(make([]byte, 2*slotStep-st.Size()), st.Size())
	}
	if err == nil {
		err = f.Sync()
	}
	if err != nil {
		return nil, errors.Join(fmt.Errorf("signed head: %w", err), f.Close())
	}
	return f, nil
}

// readKey returns the key of dir; fs.ErrNotExist is wrapped where there is none.
func readKey(dir string) (ed25519.PrivateKey, error) {
	b, err := os.ReadFile(filepath.Join(dir, keyName))
	if err != nil {
		return nil, fmt.Errorf("key of the audit trail: %w", err)
	}
	seed, err := hex.DecodeString(string(bytes.TrimSuffix(b, []byte("\n"))))
	if err != nil || len(seed) != ed25519.SeedSize || hex.EncodeToString(seed)+"\n" != string(b) {
		return nil, fmt.Errorf("key of the audit trail: %s does not hold %d bytes as small hexadecimal digits", keyName, ed25519.SeedSize)
	}
	return ed25519.NewKeyFromSeed(seed), nil
}

// makeKey returns the key of dir, and makes one where there is none or none that can be read.
func makeKey(dir string) (key ed25519.PrivateKey, made bool, err error) {
	key, err = readKey(dir)
	if err == nil {
		return key, false, nil
	}
	if !errors.Is(err, fs.ErrNotExist) {
		if errors.Is(err, fs.ErrPermission) {
			return nil, false, err
		}
		if _, err := aside(filepath.Join(dir, keyName), dir, "key"); err != nil {
			return nil, false, err
		}
	}
	seed := make([]byte, ed25519.SeedSize)
	if _, err := rand.Read(seed); err != nil {
		return nil, false, fmt.Errorf("key of the audit trail: %w", err)
	}
	tmp := filepath.Join(dir, keyName+".new")
	if err := writeSynced(tmp, []byte(hex.EncodeToString(seed)+"\n")); err != nil {
		return nil, false, fmt.Errorf("key of the audit trail: %w", err)
	}
	if err := errors.Join(os.Rename(tmp, filepath.Join(dir, keyName)), syncDir(dir)); err != nil {
		return nil, false, fmt.Errorf("key of the audit trail: %w", err)
	}
	return ed25519.NewKeyFromSeed(seed), true, nil
}

func public(key ed25519.PrivateKey) ed25519.PublicKey {
	return key.Public().(ed25519.PublicKey) //nolint:errcheck,forcetypeassert // documented type
}
