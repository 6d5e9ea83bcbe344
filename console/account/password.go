package account

import (
	"context"
	"crypto/rand"
	"crypto/subtle"
	"encoding/base64"
	"fmt"
	"runtime/debug"
	"strings"
	"sync/atomic"
	"time"
	"unicode/utf8"

	"golang.org/x/crypto/argon2"
	"golang.org/x/text/unicode/norm"
)

// The cost of a password, OWASP's smallest for Argon2id: 19 MiB, two passes. One at a time, so that a crowd at the door costs an
// agent of a few dozen MiB no more memory than one.
const (
	argonMemory  = 19 << 10 // KiB
	argonTime    = 2
	argonThreads = 1
	saltSize     = 16
	keySize      = 32
)

const (
	maxWaiting  = 8               // for their turn; the next is told to come again
	maxWait     = 5 * time.Second // eight of them take about one
	minPassword = 12              // characters
	maxPassword = 256             // bytes
	minDistinct = 5               // different characters
)

// A hasher does one hash at a time.
type hasher struct {
	turn    chan struct{}
	waiting atomic.Int32
	nobody  string // hash of a password that nobody has
}

func newHasher() *hasher {
	h := &hasher{turn: make(chan struct{}, 1)}
	salt, key := make([]byte, saltSize), make([]byte, keySize)
	rand.Read(salt) //nolint:errcheck // crypto/rand.Read never fails
	rand.Read(key)  //nolint:errcheck // crypto/rand.Read never fails
	h.nobody = encode(params{argonMemory, argonTime, argonThreads}, salt, key)
	return h
}

func (h *hasher) do(ctx context.Context, f func()) error {
	defer h.waiting.Add(-1)
	if h.waiting.Add(1) > maxWaiting {
		return ErrBusy
	}
	end := time.NewTimer(maxWait)
	defer end.Stop()
	select {
	case h.turn <- struct{}{}:
		defer func() { <-h.turn }()
		f()
		debug.FreeOSMemory() // a hash's 19 MiB are garbage now: given back before the next takes its own
		return nil
	case <-end.C:
		return ErrBusy
	case <-ctx.Done():
		return ctx.Err()
	}
}

type params struct {
	memory, time uint32
	threads      uint8
}

func encode(p params, salt, key []byte) string {
	b64 := base64.RawStdEncoding.EncodeToString
	return fmt.Sprintf("$argon2id$v=%d$m=%d,t=%d,p=%d$%s$%s", argon2.Version, p.memory, p.time, p.threads, b64(salt), b64(key))
}

func decode(s string) (p params, salt, key []byte, err error) {
	part := strings.Split(s, "$")
	var v int
	if len(part) != 6 || part[0] != "" || part[1] != "argon2id" {
		return p, nil, nil, fmt.Errorf("a password is kept in a form that is not known")
	}
	if _, err := fmt.Sscanf(part[2], "v=%d", &v); err != nil || v != argon2.Version {
		return p, nil, nil, fmt.Errorf("a password is kept by Argon2 version %q, which is not known", part[2])
	}
	if _, err = fmt.Sscanf(part[3], "m=%d,t=%d,p=%d", &p.memory, &p.time, &p.threads); err != nil {
		return p, nil, nil, fmt.Errorf("parameters of a password: %w", err)
	}
	if salt, err = base64.RawStdEncoding.DecodeString(part[4]); err == nil {
		key, err = base64.RawStdEncoding.DecodeString(part[5])
	}
	// Bounds: the file is ours, but a damaged one must not take all memory.
	if err != nil || p.memory < 8 || p.memory > 1<<20 || p.time < 1 || p.time > 64 || p.threads < 1 || len(salt) < 8 || len(key) < 16 || len(key) > 64 {
		return p, nil, nil, fmt.Errorf("a password is kept in a form that is not known")
	}
	return p, salt, key, nil
}

// make returns the form in which a password is kept.
func (h *hasher) make(ctx context.Context, password string) (out string, err error) {
	p := params{argonMemory, argonTime, argonThreads}
	salt := make([]byte, saltSize)
	rand.Read(salt) //nolint:errcheck // crypto/rand.Read never fails
	err = h.do(ctx, func() {
		out = encode(p, salt, argon2.IDKey(normal(password), salt, p.time, p.memory, p.threads, keySize))
	})
	return out, err
}

// check compares a password with how it is kept. Where none is kept it takes as long, and says no. old: it is to be kept anew, for
// the cost has changed since.
func (h *hasher) check(ctx context.Context, kept, password string) (ok, old bool, err error) {
	known := kept != ""
	if !known {
		kept = h.nobody
	}
	p, salt, key, err := decode(kept)
	if err != nil {
		return false, false, err
	}
	err = h.do(ctx, func() {
		ok = subtle.ConstantTimeCompare(argon2.IDKey(normal(password), salt, p.time, p.memory, p.threads, uint32(len(key))), key) == 1
	})
	return ok && known && err == nil, p != params{argonMemory, argonTime, argonThreads} || len(key) != keySize, err
}

// normal makes a password the same whatever keyboard wrote it.
func normal(password string) []byte { return norm.NFKC.Bytes([]byte(password)) }

// common are pieces of which passwords are made that are tried first.
var common = []string{"password", "passwort", "qwerty", "letmein", "minewarden", "welcome", "administrator", "iloveyou", "changeme", "12345678", "87654321", "abcdefgh", "asdfghjk"}

// acceptable refuses passwords that would be guessed.
func acceptable(name, password string) error {
	small := strings.ToLower(password)
	n := utf8.RuneCountInString(password)
	distinct := map[rune]bool{}
	for _, r := range small {
		distinct[r] = true
	}
	rest := small
	for _, c := range append([]string{name}, common...) {
		if len(c) >= 4 {
			rest = strings.ReplaceAll(rest, c, "")
		}
	}
	switch {
	case !utf8.ValidString(password) || len(password) > maxPassword:
		return fmt.Errorf("the password: want text of at most %d bytes: %w", maxPassword, ErrInvalid)
	case n < minPassword:
		return fmt.Errorf("the password: want at least %d characters: %w", minPassword, ErrInvalid)
	case len(distinct) < minDistinct:
		return fmt.Errorf("the password: want at least %d different characters: %w", minDistinct, ErrInvalid)
	case utf8.RuneCountInString(rest) < minPassword/2:
		return fmt.Errorf("the password: it is little more than the name, or a word that is tried first: %w", ErrInvalid)
	}
	return nil
}
