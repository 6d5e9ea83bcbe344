// Package accounts reads who may log in to a host, and says whom it would lock out to take a way in away.
package accounts

import (
	"bufio"
	"bytes"
	"crypto/sha256"
	"encoding/base64"
	"errors"
	"fmt"
	"io/fs"
	"strconv"
	"strings"

	"github.com/minewarden/minewarden/responders/internal/edit"
)

const (
	maxAccounts = 20_000
	maxKeys     = 4096 // of one file
)

// An Account is a line of passwd with what shadow and group say of it.
type Account struct {
	Name   string
	UID    uint32
	GID    uint32
	Groups []uint32 // with GID
	Home   string
	Shell  string
	// Password says that a hash is set which somebody could type a password for.
	Password bool
	Shadow   bool // shadow has a line for it
	Expired  bool // field 8 of shadow is set, and not 0
	Admin    bool // root's uid, or in a group that may become root
}

// NoLogin says that its shell lets nobody in.
func (a *Account) NoLogin() bool {
	return strings.HasSuffix(a.Shell, "/nologin") || strings.HasSuffix(a.Shell, "/false") || strings.HasSuffix(a.Shell, "/sync")
}

// adminGroups may become root by the sudoers that distributions ship.
var adminGroups = [...]string{"sudo", "wheel", "admin"}

// Read returns the accounts of a host. A host without shadow or group is one whose passwords and groups are not known.
func Read(root edit.Root) ([]Account, error) {
	passwd, err := readFile(root, "/etc/passwd")
	if err != nil {
		return nil, err
	}
	shadow, err := readFile(root, "/etc/shadow")
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return nil, err
	}
	group, err := readFile(root, "/etc/group")
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return nil, err
	}
	return Parse(passwd, shadow, group), nil
}

func readFile(root edit.Root, path string) ([]byte, error) {
	f, err := root.Open(path)
	if err != nil {
		return nil, err
	}
	return f.Data, f.Close()
}

// Parse reads the three files. Lines that are none are left out.
func Parse(passwd, shadow, group []byte) []Account {
	var out []Account
	at := map[string]int{}
	for f := range fields(passwd, 7) {
		uid, err1 := strconv.ParseUint(f[2], 10, 32)
		gid, err2 := strconv.ParseUint(f[3], 10, 32)
		if err1 != nil || err2 != nil || f[0] == "" || len(out) >= maxAccounts {
			continue
		}
		if _, twice := at[f[0]]; twice {
			continue
		}
		at[f[0]] = len(out)
		out = append(out, Account{
			Name: f[0], UID: uint32(uid), GID: uint32(gid), Groups: []uint32{uint32(gid)}, Home: f[5], Shell: f[6], Admin: uid == 0,
			Password: f[1] != "x" && Usable(f[1]),
		})
	}
	for f := range fields(shadow, 9) {
		if i, ok := at[f[0]]; ok {
			out[i].Shadow, out[i].Password, out[i].Expired = true, Usable(f[1]), f[7] != "" && f[7] != "0"
		}
	}
	admin := map[uint32]bool{}
	for f := range fields(group, 4) {
		gid, err := strconv.ParseUint(f[2], 10, 32)
		if err != nil {
			continue
		}
		is := false
		for _, g := range adminGroups {
			is = is || f[0] == g
		}
		admin[uint32(gid)] = admin[uint32(gid)] || is
		for name := range strings.SplitSeq(f[3], ",") {
			if i, ok := at[name]; ok && len(out[i].Groups) < 1024 {
				out[i].Groups = append(out[i].Groups, uint32(gid))
			}
		}
	}
	for i := range out {
		for _, g := range out[i].Groups {
			out[i].Admin = out[i].Admin || admin[g]
		}
	}
	return out
}

func fields(data []byte, n int) func(func([]string) bool) {
	return func(yield func([]string) bool) {
		lines := bufio.NewScanner(bytes.NewReader(data))
		lines.Buffer(nil, edit.MaxSize+1)
		for lines.Scan() {
			if f := strings.Split(lines.Text(), ":"); len(f) >= n && !yield(f) {
				return
			}
		}
	}
}

// Usable reports whether the password field of shadow lets somebody in.
func Usable(hash string) bool { return hash != "" && hash[0] != '!' && hash[0] != '*' }

// Find returns the account of that name, or nil.
func Find(all []Account, name string) *Account {
	for i := range all {
		if all[i].Name == name {
			return &all[i]
		}
	}
	return nil
}

// Owner returns the account in whose home path is, the deepest home first, or nil.
func Owner(all []Account, path string) *Account {
	var best *Account
	for i := range all {
		h := strings.TrimSuffix(all[i].Home, "/")
		if len(h) > 1 && strings.HasPrefix(path, h+"/") && (best == nil || len(h) > len(best.Home)) {
			best = &all[i]
		}
	}
	return best
}

// A Key is a public key in authorized_keys.
type Key struct {
	Line        int // from 0
	Fingerprint string
	Comment     string
}

// KeyFiles are where sshd looks for an account's keys unless it is told otherwise.
func KeyFiles(a *Account) []string {
	if a.Home == "" || a.Home[0] != '/' || a.Home == "/" || a.Home == "/nonexistent" {
		return nil
	}
	dir := strings.TrimSuffix(a.Home, "/") + "/.ssh/"
	return []string{dir + "authorized_keys", dir + "authorized_keys2"}
}

// Keys reads the keys of authorized_keys: the first word that is base64 of a key, after options and type.
func Keys(data []byte) []Key {
	var out []Key
	for i, l := range edit.Split(data) {
		l = strings.TrimSpace(l)
		if l == "" || l[0] == '#' || len(out) >= maxKeys {
			continue
		}
		if k, ok := ParseKey(l); ok {
			k.Line = i
			out = append(out, k)
		}
	}
	return out
}

// ParseKey reads one line of authorized_keys, or the key alone.
func ParseKey(l string) (Key, bool) {
	words := strings.Fields(l)
	for i, w := range words {
		if len(w) < 40 || !strings.HasPrefix(w, "AAAA") {
			continue
		}
		blob, err := base64.StdEncoding.DecodeString(w)
		if err != nil || len(blob) < 8 {
			continue
		}
		// The blob begins with the length of its type and the type, which stands before it in the line as well.
		n := int(blob[0])<<24 | int(blob[1])<<16 | int(blob[2])<<8 | int(blob[3])
		if n < 4 || n > 64 || n > len(blob)-4 || i > 0 && words[i-1] != string(blob[4:4+n]) {
			continue
		}
		sum := sha256.Sum256(blob)
		return Key{Fingerprint: "SHA256:" + base64.RawStdEncoding.EncodeToString(sum[:]), Comment: strings.Join(words[i+1:], " ")}, true
	}
	return Key{}, false
}

// ErrLockOut is wrapped when nobody could become root any more.
var ErrLockOut = errors.New("then nobody who may become root could log in")

// Locked says why it must not be: after the file at path, which may be one of keys, holds data, nobody who may become root could
// log in, but now somebody can. Passwords of locked and expired accounts let nobody in.
func Locked(root edit.Root, all []Account, path string, data []byte) error {
	before, err := ways(root, all, "", nil)
	if err != nil {
		return err
	}
	after, err := ways(root, all, path, data)
	if err == nil && before > 0 && after == 0 {
		err = fmt.Errorf("%s: %w", path, ErrLockOut)
	}
	return err
}

// Last says why an account must not be locked: it is the last that may become root and can log in.
func Last(root edit.Root, all []Account, name string) error {
	var others []Account
	for i := range all {
		if all[i].Name != name {
			others = append(others, all[i])
		}
	}
	before, err := ways(root, all, "", nil)
	if err != nil {
		return err
	}
	after, err := ways(root, others, "", nil)
	if err == nil && before > 0 && after == 0 {
		err = fmt.Errorf("%s is the last: %w", name, ErrLockOut)
	}
	return err
}

// ways counts the accounts that may become root and can log in by a password or a key, when path holds data.
func ways(root edit.Root, all []Account, path string, data []byte) (int, error) {
	n := 0
	for i := range all {
		a := &all[i]
		if !a.Admin || a.NoLogin() || a.Expired {
			continue
		}
		way := a.Password
		for _, file := range KeyFiles(a) {
			if way {
				break
			}
			text := data
			if file != path {
				var err error
				text, err = readFile(root, file)
				if errors.Is(err, fs.ErrNotExist) || errors.Is(err, edit.ErrRefused) {
					continue
				}
				if err != nil {
					return 0, fmt.Errorf("who else could log in is not known: %w", err)
				}
			}
			way = len(Keys(text)) > 0
		}
		if way {
			n++
		}
	}
	return n, nil
}
