// Package vault keeps collections of evidence: one directory each, with parts, a signed manifest and a chain of custody. Whoever
// has the public key can tell whether any bit of one was changed, and whether a part is missing or was added.
package vault

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"time"

	"golang.org/x/sys/unix"

	"github.com/minewarden/minewarden"
)

// The files of a collection beside its parts.
const (
	ManifestFile  = "manifest.json"
	SignatureFile = "manifest.sig" // hexadecimal Ed25519 over the manifest's bytes
	CustodyFile   = "custody.jsonl"
)

// Format is the version of what is written.
const Format = 1

const (
	maxManifest = 64 << 20
	maxParts    = 1 << 16
	maxID       = 96
)

// A Manifest says what a collection holds, of what, by whom and why.
type Manifest struct {
	Format    int                `json:"format"`
	ID        string             `json:"id"`
	Tool      string             `json:"tool"`
	Host      string             `json:"host"`
	Boot      string             `json:"boot"`
	Kernel    string             `json:"kernel"`
	Incident  string             `json:"incident,omitempty"`
	Subject   minewarden.Subject `json:"subject,omitzero"`
	Who       string             `json:"who"`
	Why       string             `json:"why"`
	Started   time.Time          `json:"started"`
	Done      time.Time          `json:"done"`
	Memory    string             `json:"memory"` // none, exec or whole
	Processes []Process          `json:"processes,omitempty"`
	Parts     []Part             `json:"parts"`
	Skipped   []Skip             `json:"skipped,omitempty"` // what was not collected, and why: nothing is left out silently
	// Partial says why the collection ended early; empty: it ended by itself.
	Partial   string `json:"partial,omitempty"`
	PublicKey string `json:"public_key"` // hexadecimal Ed25519
}

// A Part is one file of a collection.
type Part struct {
	File    string    `json:"file"` // in the collection's directory; a name of ours, whatever the source is called
	What    string    `json:"what"` // executable, memory, process, container, file, log, packets, image, incident
	Source  string    `json:"source"`
	PID     int32     `json:"pid,omitempty"`
	Time    time.Time `json:"time"`              // when reading began
	Size    int64     `json:"size"`              // bytes that were read
	Stored  int64     `json:"stored"`            // bytes of File
	SHA256  string    `json:"sha256"`            // of File
	Content string    `json:"content,omitempty"` // SHA-256 of what was read
	Coding  string    `json:"coding,omitempty"`  // "zstd"
	Cut     string    `json:"cut,omitempty"`     // why it is not the whole source
	Meta    *Meta     `json:"meta,omitempty"`
}

// Meta is what a source file was beside its content.
type Meta struct {
	Mode  uint32    `json:"mode"`
	UID   uint32    `json:"uid"`
	GID   uint32    `json:"gid"`
	Dev   uint64    `json:"dev"`
	Ino   uint64    `json:"ino"`
	Links uint64    `json:"links"`
	Size  int64     `json:"size"`
	Mtime time.Time `json:"mtime"`
	Ctime time.Time `json:"ctime"`
}

// A Process says in which state one was while it was read.
type Process struct {
	Key   minewarden.ProcessKey `json:"key"`
	Name  string                `json:"name"`
	Exe   string                `json:"exe,omitempty"`
	State string                `json:"state"` // frozen, held (by the collection), running, ended
	// Ticks is the processor time, in 1/100 s, that it used while it was read: 0 of a frozen one.
	Ticks uint64 `json:"ticks"`
}

// A Skip is something that was not collected.
type Skip struct {
	What string `json:"what"`
	Why  string `json:"why"`
}

// A Vault is the directory of all collections with the key that signs them. It does no I/O until it is used.
type Vault struct {
	Dir  string // one directory a collection
	Keys string // of this machine's key
}

// Beside returns the vault of an agent's data directory.
func Beside(data string) Vault {
	return Vault{Dir: filepath.Join(data, "evidence"), Keys: filepath.Join(data, "keys")}
}

// ErrID is wrapped for what cannot be the name of a collection.
var ErrID = errors.New("it is no id of a collection")

// Path returns the directory of a collection.
func (v Vault) Path(id string) (string, error) {
	if v.Dir == "" {
		return "", errors.New("there is no data directory to keep evidence in")
	}
	if id == "" || len(id) > maxID || id[0] == '.' || strings.ContainsFunc(id, func(r rune) bool {
		return (r < 'a' || r > 'z') && (r < 'A' || r > 'Z') && (r < '0' || r > '9') && r != '-' && r != '_' && r != '.'
	}) {
		return "", fmt.Errorf("%q: %w", id, ErrID)
	}
	return filepath.Join(v.Dir, id), nil
}

// An Item is a collection as a list shows it.
type Item struct {
	Manifest Manifest `json:"manifest"`
	Bytes    int64    `json:"bytes"` // of its parts, as the manifest says
	Dir      string   `json:"dir"`
	// Open says that it has no manifest: it is being collected, or was cut off and is not sealed yet.
	Open bool `json:"open,omitempty"`
	// Err says why its manifest cannot be read.
	Err string `json:"error,omitempty"`
}

// List returns all collections, in order of id. It does not verify them.
func (v Vault) List() ([]Item, error) {
	if v.Dir == "" {
		return nil, nil
	}
	entries, err := os.ReadDir(v.Dir)
	if errors.Is(err, os.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("list evidence: %w", err)
	}
	var items []Item
	for _, e := range entries {
		if !e.IsDir() || strings.HasPrefix(e.Name(), ".") {
			continue
		}
		item := Item{Dir: filepath.Join(v.Dir, e.Name())}
		m, _, err := ReadManifest(item.Dir)
		switch {
		case errors.Is(err, os.ErrNotExist):
			item.Open, m.ID = true, e.Name()
		case err != nil:
			item.Err, m.ID = err.Error(), e.Name()
		}
		item.Manifest = m
		for i := range m.Parts {
			item.Bytes += m.Parts[i].Stored
		}
		items = append(items, item)
	}
	return items, nil
}

// Find returns the directory of a collection by its id, by a beginning of at least four characters that no other has, or, where
// dirs is set, by its path.
func (v Vault) Find(name string, dirs bool) (string, error) {
	if dirs && strings.ContainsRune(name, os.PathSeparator) || dirs && (name == "." || name == "..") {
		if _, err := os.Stat(name); err != nil {
			return "", fmt.Errorf("evidence: %w", err)
		}
		return name, nil
	}
	path, err := v.Path(name)
	if err != nil {
		return "", fmt.Errorf("evidence: %w", err)
	}
	if _, err := os.Stat(path); err == nil {
		return path, nil
	}
	if dirs {
		if _, err := os.Stat(filepath.Join(name, ManifestFile)); err == nil {
			return name, nil
		}
	}
	items, err := v.List()
	if err != nil {
		return "", err
	}
	found := ""
	for _, i := range items {
		base := filepath.Base(i.Dir)
		if len(name) >= 4 && (strings.HasPrefix(base, name) || strings.HasPrefix(strings.TrimPrefix(base, "collect-"), name)) {
			if found != "" {
				return "", fmt.Errorf("%q begins more than one collection: type more of it", name)
			}
			found = i.Dir
		}
	}
	if found == "" {
		return "", fmt.Errorf("evidence %q: %w", name, minewarden.ErrNotFound)
	}
	return found, nil
}

// ReadManifest reads the manifest of a collection, and its bytes, which are what is signed.
func ReadManifest(dir string) (Manifest, []byte, error) {
	var m Manifest
	b, err := readFile(filepath.Join(dir, ManifestFile), maxManifest)
	if err != nil {
		return m, nil, fmt.Errorf("manifest of %s: %w", dir, err)
	}
	if err := json.Unmarshal(b, &m); err != nil {
		return m, b, fmt.Errorf("manifest of %s: %w", dir, err)
	}
	if m.Format != Format {
		return m, b, fmt.Errorf("manifest of %s: format %d is not known, only %d", dir, m.Format, Format)
	}
	return m, b, nil
}

// readFile reads a regular file of at most limit bytes, without following a link and without waiting.
func readFile(path string, limit int64) ([]byte, error) {
	f, err := openPart(path)
	if err != nil {
		return nil, err
	}
	b, err := io.ReadAll(io.LimitReader(f, limit+1))
	if err = errors.Join(err, f.Close()); err != nil {
		return nil, err
	}
	if int64(len(b)) > limit {
		return nil, fmt.Errorf("it is larger than %d bytes", limit)
	}
	return b, nil
}

func openPart(path string) (*os.File, error) {
	f, err := os.OpenFile(path, os.O_RDONLY|unix.O_NOFOLLOW|unix.O_NONBLOCK|unix.O_CLOEXEC, 0)
	if err != nil {
		return nil, err
	}
	fi, err := f.Stat()
	if err == nil && !fi.Mode().IsRegular() {
		err = errors.New("it is no regular file")
	}
	if err != nil {
		return nil, errors.Join(err, f.Close())
	}
	return f, nil
}

func hexSum(b []byte) string {
	s := sha256.Sum256(b)
	return hex.EncodeToString(s[:])
}
