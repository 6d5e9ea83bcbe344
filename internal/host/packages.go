package host

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"hash/maphash"
	"io"
	"io/fs"
	"path"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"time"
)

const (
	maxPackaged    = 4 << 20 // files of all packages together; a full desktop has some 500,000
	maxPackages    = 1 << 16 // names; the index has 16 bits for them
	maxDatabase    = 512 << 20
	maxListFile    = 64 << 20 // one package's list of files
	refreshPause   = 5 * time.Second
	noPackage      = ""
	listBufferSize = 64 << 10
)

// Packages knows which package installed a file. What it keeps is 10 bytes a file. It is safe for concurrent use.
type Packages struct {
	root  fs.FS
	index atomic.Pointer[index]
	load  sync.Mutex
}

// index is immutable once it is published.
type index struct {
	stamp  string // of the databases when they were read
	seed   maphash.Seed
	links  []dirLink
	hashes []uint64 // of paths, sorted; seeded, so that no path can be made up to collide
	owners []uint16 // parallel to hashes: into names
	names  []string // "dpkg:openssl"
	err    error
}

// A dirLink is a top directory that merged /usr made a symbolic link, as "/bin/" to "/usr/bin/".
type dirLink struct{ from, to string }

// NewPackages reads below root, the host's /. It does no I/O yet: the first question loads the databases, which takes
// some hundred milliseconds; Load does that beforehand.
func NewPackages(root fs.FS) *Packages { return &Packages{root: root} }

// Owner returns the package that installed the file, as "dpkg:openssl", after resolving the links of a merged /usr. Any
// other link in path the caller has resolved.
func (p *Packages) Owner(file string) (pkg string, ok bool) {
	x := p.index.Load()
	if x == nil {
		x, _ = p.reload() // the error is kept for Load, whose caller asked for it
	}
	i, ok := slices.BinarySearch(x.hashes, x.hash(file))
	if !ok {
		return noPackage, false
	}
	return x.names[x.owners[i]], true
}

// Any tells whether a package database was found at all: without one, "unpackaged" says nothing.
func (p *Packages) Any() bool {
	p.Owner("/")
	return len(p.index.Load().names) > 0
}

// Load reads the databases if that was not done yet or if they changed since. An error says which could not be read; the
// others count all the same.
func (p *Packages) Load() error {
	if x := p.index.Load(); x != nil && x.stamp == p.stamp() {
		return x.err
	}
	_, err := p.reload()
	return err
}

// Run keeps what Owner knows up to date until ctx is done. It reports errors to failed, each time a load has one.
func (p *Packages) Run(ctx context.Context, failed func(error)) {
	tick := time.NewTicker(refreshPause)
	defer tick.Stop()
	for {
		before := p.index.Load()
		if err := p.Load(); err != nil && p.index.Load() != before {
			failed(err)
		}
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
	}
}

func (p *Packages) reload() (*index, error) {
	p.load.Lock()
	defer p.load.Unlock()
	stamp := p.stamp()
	if x := p.index.Load(); x != nil && x.stamp == stamp {
		return x, x.err
	}
	b := builder{index: &index{stamp: stamp, seed: maphash.MakeSeed(), links: dirLinks(p.root)}, numbers: map[string]uint16{}}
	var errs []error
	for _, read := range [...]func(fs.FS, *builder) error{readDpkg, readDistroless, readApk, readPacman, readRpm} {
		if err := read(p.root, &b); err != nil {
			errs = append(errs, err)
		}
	}
	x := b.finish()
	x.err = errors.Join(errs...)
	p.index.Store(x)
	return x, x.err
}

// databases are the files and directories that change whenever a package is installed or removed.
var databases = [...]string{
	"var/lib/dpkg/info", "var/lib/dpkg/status", "var/lib/dpkg/diversions", "var/lib/dpkg/status.d",
	"lib/apk/db/installed", "usr/lib/apk/db/installed", "var/lib/pacman/local",
	"var/lib/rpm/rpmdb.sqlite", "usr/lib/sysimage/rpm/rpmdb.sqlite", "var/lib/rpm/Packages.db", "usr/lib/sysimage/rpm/Packages.db",
}

func (p *Packages) stamp() string {
	var b strings.Builder
	for _, name := range databases {
		if info, err := fs.Stat(p.root, name); err == nil {
			fmt.Fprintf(&b, "%s %d %d\n", name, info.ModTime().UnixNano(), info.Size())
		}
	}
	return b.String()
}

// builder collects what the readers of the databases find.
type builder struct {
	*index
	files   []owned
	numbers map[string]uint16
}

type owned struct {
	hash  uint64
	owner uint16
}

// errFull stops a reader: there are more files than any host has.
var errFull = fmt.Errorf("more than %d packaged files", maxPackaged)

func (b *builder) add(pkg, file string) error {
	n, ok := b.numbers[pkg]
	if !ok {
		if len(b.names) >= maxPackages {
			return fmt.Errorf("more than %d packages", maxPackages)
		}
		n = uint16(len(b.names))
		b.names = append(b.names, pkg)
		b.numbers[pkg] = n
	}
	if len(b.files) >= maxPackaged {
		return errFull
	}
	b.files = append(b.files, owned{b.hash(file), n})
	return nil
}

func (b *builder) finish() *index {
	slices.SortFunc(b.files, func(x, y owned) int { return cmp.Compare(x.hash, y.hash) })
	b.files = slices.CompactFunc(b.files, func(x, y owned) bool { return x.hash == y.hash })
	b.hashes, b.owners = make([]uint64, len(b.files)), make([]uint16, len(b.files))
	for i, f := range b.files {
		b.hashes[i], b.owners[i] = f.hash, f.owner
	}
	return b.index
}

func (x *index) hash(file string) uint64 {
	file, _ = x.merged(file)
	return maphash.String(x.seed, file)
}

// merged returns the path with the links of a merged /usr resolved.
func (x *index) merged(file string) (string, bool) {
	changed := false
	for _, l := range x.links {
		if rest, ok := strings.CutPrefix(file, l.from); ok {
			file, changed = l.to+rest, true
		}
	}
	return file, changed
}

// dirLinks finds the top directories that are links on this host. The order matters: /sbin may lead to /usr/sbin, which
// may itself lead to /usr/bin.
func dirLinks(root fs.FS) []dirLink {
	var links []dirLink
	for _, dir := range [...]string{"bin", "sbin", "lib", "lib32", "lib64", "libx32", "usr/sbin", "usr/lib64"} {
		to, err := fs.ReadLink(root, dir)
		if err != nil {
			continue
		}
		if !path.IsAbs(to) {
			to = path.Join("/", path.Dir(dir), to)
		}
		links = append(links, dirLink{"/" + dir + "/", path.Clean(to) + "/"})
	}
	return links
}

// readAll reads a file of a database, at most limit bytes. A file that is not there is nil without an error.
func readAll(root fs.FS, name string, limit int64) ([]byte, error) {
	f, err := root.Open(name)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("open package database: %w", err)
	}
	defer f.Close()
	data, err := io.ReadAll(io.LimitReader(f, limit+1))
	if err != nil {
		return nil, fmt.Errorf("read package database %s: %w", name, err)
	}
	if int64(len(data)) > limit {
		return nil, fmt.Errorf("package database %s is larger than %d bytes", name, limit)
	}
	return data, nil
}

// OwnerOf is Owner for a file that runs: only if path still names it. Paths that a container's processes show are those of
// their own root, and a deleted file's path may name another by now.
func (p *Packages) OwnerOf(file string, dev, ino uint64) (pkg string, ok bool) {
	if pkg, ok = p.Owner(file); !ok {
		return noPackage, false
	}
	info, err := fs.Stat(p.root, strings.TrimPrefix(file, "/"))
	if err != nil {
		return noPackage, false
	}
	st, isStat := info.Sys().(*syscall.Stat_t)
	if !isStat || st.Ino != ino || dev != 0 && uint64(st.Dev) != dev {
		return noPackage, false
	}
	return pkg, true
}
