package walk

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"hash"
	"io"
	"io/fs"
	"os"
	"strings"
	"syscall"

	"github.com/minewarden/minewarden"
	"github.com/minewarden/minewarden/internal/host"
)

const (
	headLen   = 64 << 10
	chunkLen  = 256 << 10
	plainLen  = 4 << 20 // bytes searched of a file that is no program
	fullLen   = 1 << 20 // bytes searched for every word, also short ones
	packedLen = headLen // bytes searched of a file whose content is compressed
)

// looker looks at files, one after the other, in buffers that it uses again.
type looker struct {
	w        *Walker
	packages *host.Packages
	known    bool // there is a package database
	emit     minewarden.Emit
	find     finder
	buf      []byte
	head     []byte // of the file that is looked at
	sha      hash.Hash
}

func newLooker(w *Walker, m *matcher, s *sieve, packages *host.Packages, emit minewarden.Emit) *looker {
	return &looker{
		w: w, packages: packages, known: packages.Any(), emit: emit,
		find: newFinder(m, s), buf: make([]byte, margin+chunkLen), sha: sha256.New(),
	}
}

// look reports the file if there is a reason to.
func (l *looker) look(j job) {
	pkg, _ := l.packages.Owner("/" + j.name)
	if j.owned && pkg != "" && !j.place {
		return
	}
	f, err := l.w.env.Root.Open(j.name)
	if err != nil {
		if !errors.Is(err, fs.ErrNotExist) { // else it went away, or is a link to nothing
			l.w.skip(reasonRead, 1)
		}
		return
	}
	defer f.Close()
	info, err := f.Stat()
	if err != nil {
		l.w.skip(reasonRead, 1)
		return
	}
	if !info.Mode().IsRegular() {
		l.w.skip(reasonSpecial, 1)
		return
	}
	// This program holds every word that it looks for. A copy of it is another file, and is looked at.
	if l.w.self != nil && os.SameFile(info, l.w.self) {
		l.w.skip(reasonSelf, 1)
		return
	}
	l.w.files.Add(1)
	r, err := l.search(f, info, false)
	if err != nil {
		l.w.skip(reasonRead, 1)
	}
	runs := r.program || info.Mode()&0o111 != 0
	if !j.place && len(r.found) == 0 && !(j.drop && runs && pkg == "" && (l.known || !j.owned)) {
		return
	}
	sum := ""
	if again, ok := f.(io.Seeker); ok && (r.program || info.Size() > fullLen) {
		if _, err := again.Seek(0, io.SeekStart); err == nil {
			if full, err := l.search(f, info, true); err == nil {
				if r = full; r.whole && r.program {
					sum = hex.EncodeToString(r.sum)
				}
			}
		}
	}
	out := &minewarden.File{
		Path: "/" + j.name, Size: info.Size(), Mode: uint32(info.Mode().Perm()), Package: pkg,
		SHA256: sum, Head: bytes.Clone(l.head), Strings: r.found, Existing: true,
	}
	if st, ok := info.Sys().(*syscall.Stat_t); ok {
		out.Mode, out.UID, out.GID = st.Mode, st.Uid, st.Gid
		out.Inode = minewarden.Inode{Dev: uint64(st.Dev), Ino: st.Ino, Mtime: st.Mtim.Nano()}
	}
	l.emit(minewarden.Event{Time: l.w.env.Now(), Data: out})
}

type result struct {
	found   []string
	program bool
	whole   bool // all of the file was read
	sum     []byte
}

// search reads the file once. Where it is thorough it looks for all words everywhere and hashes the file, else beyond
// the first megabyte for the long words only.
func (l *looker) search(f io.Reader, info fs.FileInfo, thorough bool) (result, error) {
	l.find.reset()
	l.head = l.head[:0]
	l.sha.Reset()
	var r result
	var total int64
	limit := l.w.cfg.MaxFile
	held := 0 // bytes at the front of buf that were looked at, or held back
	done := 0 // of these, looked at
	var failed error
	for last := false; !last; {
		n, err := io.ReadFull(f, l.buf[held:held+int(min(int64(len(l.buf)-held), limit-total))])
		if err != nil && !isEnd(err) {
			failed = err
		}
		data := l.buf[:held+n]
		if total == 0 {
			r.program = isProgram(data)
			l.head = append(l.head, data[:min(len(data), headLen)]...)
			switch {
			case r.program:
			case isPacked(data):
				limit = packedLen
			default:
				limit = min(limit, plainLen)
			}
			if limit < int64(n) {
				data, n = data[:limit], int(limit)
			}
		}
		if thorough {
			l.sha.Write(data[held:])
		}
		skim := !thorough && total >= fullLen
		total += int64(n)
		last = err != nil || total >= limit
		to := len(data)
		if !last {
			to = max(done, len(data)-margin)
		}
		if skim {
			l.find.skim(data, done, to)
		} else {
			l.find.add(data, done, to)
		}
		keep := max(0, to-margin)
		held = copy(l.buf, data[keep:])
		done = to - keep
	}
	l.w.bytes.Add(uint64(total))
	r.whole = total >= info.Size() && failed == nil
	if !r.whole && limit != packedLen && !thorough {
		l.w.skip(reasonLarge, 1)
	}
	if thorough {
		r.sum = l.sha.Sum(nil)
	}
	r.found = l.find.found
	return r, failed
}

func isEnd(err error) bool {
	return errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF)
}

// isProgram tells a program of Linux or Windows by its first bytes.
func isProgram(head []byte) bool {
	return bytes.HasPrefix(head, []byte("\x7fELF")) || bytes.HasPrefix(head, []byte("MZ")) && len(head) > 64
}

// packed are the first bytes of formats in which no word can be read.
var packed = [...]string{
	"\x1f\x8b", "PK\x03\x04", "\xfd7zXZ\x00", "BZh", "\x28\xb5\x2f\xfd", "7z\xbc\xaf", "\x04\x22\x4d\x18", "Rar!",
	"\x89PNG", "\xff\xd8\xff", "GIF8", "OggS", "ID3", "\x1aE\xdf\xa3", "wOF2",
}

func isPacked(head []byte) bool {
	for _, p := range packed {
		if bytes.HasPrefix(head, []byte(p)) {
			return true
		}
	}
	return len(head) > 12 && string(head[4:8]) == "ftyp"
}

// lstat looks at a name without following a link, where the file system can.
func lstat(root fs.FS, name string) (fs.FileInfo, error) { return fs.Lstat(root, name) }

// foreign returns the mount points of the running host whose files are not on it, or no files at all. Of another root it
// knows none.
func foreign(root fs.FS) map[string]bool {
	data, _, err := host.ReadHead(root, "proc/self/mounts", 4<<20)
	if err != nil {
		data, _, err = host.ReadHead(root, "proc/1/mounts", 4<<20)
	}
	if err != nil {
		return nil
	}
	return parseMounts(data)
}

const maxMounts = 65536

func parseMounts(data []byte) map[string]bool {
	skip := map[string]bool{}
	for line := range bytes.Lines(data) {
		f := bytes.Fields(line)
		if len(f) < 3 || len(skip) >= maxMounts {
			continue
		}
		kind := string(f[2])
		switch kind {
		case "proc", "sysfs", "cgroup", "cgroup2", "devpts", "mqueue", "hugetlbfs", "debugfs", "tracefs", "bpf", "securityfs", "pstore",
			"efivarfs", "configfs", "fusectl", "autofs", "binfmt_misc", "rpc_pipefs", "nsfs", "nfs", "nfs4", "cifs", "smb3", "smbfs",
			"ceph", "glusterfs", "lustre", "9p", "afs", "beegfs":
		default:
			if !strings.HasPrefix(kind, "fuse") || kind == "fuseblk" {
				continue
			}
		}
		skip[strings.TrimPrefix(unescape(string(f[1])), "/")] = true
	}
	return skip
}

// unescape takes back the octal codes for space, tab, line feed and backslash.
func unescape(s string) string {
	return strings.NewReplacer(`\040`, " ", `\011`, "\t", `\012`, "\n", `\134`, `\`).Replace(s)
}
