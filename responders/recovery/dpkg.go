package recovery

import (
	"bufio"
	"context"
	"crypto/md5" //nolint:gosec // what dpkg keeps; the archive itself is checked by SHA-256 where apt's lists have it
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
)

const (
	infoDir     = "/var/lib/dpkg/info"
	statusFile  = "/var/lib/dpkg/status"
	divertFile  = "/var/lib/dpkg/diversions"
	maxList     = 64 << 20 // of a file of dpkg's database
	maxPackages = 1 << 16
	maxVerified = 1 << 18 // files of one package
	maxFile     = 1 << 30 // that is hashed or restored
)

// debian reads dpkg's database below a root. It never runs dpkg.
type debian struct{ root tree }

// A pkg is an installed package.
type pkg struct {
	ID      string            // as dpkg names its files: "bash", "libc6:amd64"
	Name    string            // "libc6"
	Version string            // with epoch
	Arch    string            // "amd64"
	Conf    map[string]string // configuration files: path → MD5 as installed
}

// present reports whether the host has dpkg's database.
func (d debian) present() bool {
	fi, err := d.root.lstat(statusFile)
	return err == nil && fi.regular()
}

// spellings returns the paths under which dpkg may list a file of a merged /usr.
func spellings(path string) []string {
	out := []string{path}
	for _, top := range [...]string{"/bin/", "/sbin/", "/lib/", "/lib32/", "/lib64/", "/libx32/"} {
		if strings.HasPrefix(path, top) {
			out = append(out, "/usr"+path)
		}
		if strings.HasPrefix(path, "/usr"+top) {
			out = append(out, strings.TrimPrefix(path, "/usr"))
		}
	}
	return out
}

// owners returns which package lists each of the paths. A path that a diversion moved belongs to who diverted it.
func (d debian) owners(ctx context.Context, paths []string) (map[string]string, error) {
	want := map[string]string{}
	for _, p := range paths {
		for _, s := range spellings(p) {
			want[s] = p
		}
	}
	names, err := d.root.names(infoDir)
	if err != nil {
		return nil, fmt.Errorf("ask dpkg's database for owners: %w", err)
	}
	diverted, err := d.diversions()
	if err != nil {
		return nil, err
	}
	type moved struct{ path, by string }
	away := map[string]moved{} // the name under which a package lists a file that a diversion moved
	for s, p := range want {
		if v, ok := diverted[s]; ok && v.to == s {
			away[v.from] = moved{p, v.by}
		}
	}
	out := map[string]string{}
	for _, n := range names {
		id, ok := strings.CutSuffix(n, ".list")
		if !ok {
			continue
		}
		if err := ctx.Err(); err != nil {
			return nil, err
		}
		err := d.lines(infoDir+"/"+n, func(line string) error {
			if p, ok := want[line]; ok {
				if v, is := diverted[line]; !is || v.by == bare(id) {
					out[p] = id
				}
			}
			if m, ok := away[line]; ok && m.by != bare(id) {
				out[m.path] = id
			}
			return nil
		})
		if err != nil {
			return nil, err
		}
	}
	return out, nil
}

func bare(id string) string { name, _, _ := strings.Cut(id, ":"); return name }

type diversion struct{ from, to, by string }

// diversions returns them under both names.
func (d debian) diversions() (map[string]diversion, error) {
	out := map[string]diversion{}
	var three []string
	err := d.lines(divertFile, func(line string) error {
		if three = append(three, line); len(three) == 3 {
			v := diversion{three[0], three[1], three[2]}
			out[v.from], out[v.to] = v, v
			three = nil
		}
		return nil
	})
	if errors.Is(err, fs.ErrNotExist) {
		err = nil
	}
	return out, err
}

// lines calls f with each line of a file of the database.
func (d debian) lines(path string, f func(string) error) error {
	file, err := d.root.open(path)
	if err != nil {
		return fmt.Errorf("read dpkg's database: %w", err)
	}
	s := bufio.NewScanner(io.LimitReader(file, maxList))
	s.Buffer(nil, 1<<20)
	for err == nil && s.Scan() {
		err = f(s.Text())
	}
	if err = errors.Join(err, s.Err(), file.Close()); err != nil {
		return fmt.Errorf("read dpkg's database: %s: %w", path, err)
	}
	return nil
}

// load reads what the database says of packages, by their ids.
func (d debian) load(ids []string) (map[string]*pkg, error) {
	out := map[string]*pkg{}
	cur, conf := &pkg{Conf: map[string]string{}}, false
	installed := false
	flush := func() {
		if cur.Name != "" && installed {
			for _, id := range [...]string{cur.Name, cur.Name + ":" + cur.Arch} {
				if slices.Contains(ids, id) {
					p := *cur
					p.ID = id
					out[id] = &p
				}
			}
		}
		cur, conf, installed = &pkg{Conf: map[string]string{}}, false, false
	}
	err := d.lines(statusFile, func(line string) error {
		if line == "" {
			flush()
			return nil
		}
		if line[0] == ' ' || line[0] == '\t' {
			if f := strings.Fields(line); conf && len(f) >= 2 && len(f[1]) == 32 && (len(f) == 2 || f[2] != "obsolete") {
				cur.Conf[f[0]] = f[1]
			}
			return nil
		}
		key, value, _ := strings.Cut(line, ":")
		value = strings.TrimSpace(value)
		conf = false
		switch key {
		case "Package":
			cur.Name = value
		case "Version":
			cur.Version = value
		case "Architecture":
			cur.Arch = value
		case "Status":
			installed = strings.HasSuffix(value, " installed")
		case "Conffiles":
			conf = true
		}
		return nil
	})
	flush()
	return out, err
}

// sums returns the MD5 of every file of a package but its configuration files, by path.
func (d debian) sums(id string) (map[string]string, error) {
	out := map[string]string{}
	err := d.lines(infoDir+"/"+id+".md5sums", func(line string) error {
		sum, path, ok := parseSum(line)
		if !ok {
			return nil // a line that dpkg too leaves out
		}
		if len(out) >= maxVerified {
			return fmt.Errorf("it lists more than %d files", maxVerified)
		}
		out[path] = sum
		return nil
	})
	if errors.Is(err, fs.ErrNotExist) {
		return out, nil // a package without files
	}
	return out, err
}

// parseSum reads a line of a md5sums file: 32 digits, two spaces, a path without its first slash.
func parseSum(line string) (sum, path string, ok bool) {
	if len(line) < 35 || line[32:34] != "  " {
		return "", "", false
	}
	sum, path = line[:32], "/"+strings.TrimPrefix(line[34:], "./")
	if _, err := hex.DecodeString(sum); err != nil || strings.ContainsRune(path, 0) || filepath.Clean(path) != path {
		return "", "", false
	}
	return sum, path, true
}

// A Difference is a file that is not as its package installed it.
type Difference struct {
	Path string `json:"path"`
	What string `json:"what"` // missing, changed, not a file, unreadable
	Conf bool   `json:"conf,omitempty"`
	MD5  string `json:"-"` // as it should be
}

// verify compares the files of a package with what the database says.
func (d debian) verify(ctx context.Context, p *pkg) (checked int, out []Difference, err error) {
	sums, err := d.sums(p.ID)
	if err != nil {
		return 0, nil, err
	}
	diverted, err := d.diversions()
	if err != nil {
		return 0, nil, err
	}
	conf := map[string]bool{}
	for path, sum := range p.Conf {
		sums[path] = sum
		conf[path] = true
	}
	paths := make([]string, 0, len(sums))
	for path := range sums {
		paths = append(paths, path)
	}
	slices.Sort(paths)
	for _, path := range paths {
		if err := ctx.Err(); err != nil {
			return checked, out, err
		}
		at := path
		if v, ok := diverted[path]; ok && v.from == path && v.by != p.Name {
			at = v.to
		}
		checked++
		if what := d.compare(ctx, at, sums[path]); what != "" {
			out = append(out, Difference{Path: at, What: what, Conf: conf[path], MD5: sums[path]})
		}
	}
	return checked, out, ctx.Err()
}

// compare returns how a file differs from its sum; "": it does not.
func (d debian) compare(ctx context.Context, path, want string) string {
	f, err := d.root.open(path)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return "missing"
	case errors.Is(err, errKind):
		return "not a file"
	case err != nil:
		return "unreadable: " + err.Error()
	}
	sum, err := md5Of(ctx, f)
	if err = errors.Join(err, f.Close()); err != nil {
		return "unreadable: " + err.Error()
	}
	if sum != want {
		return "changed"
	}
	return ""
}

func md5Of(ctx context.Context, r io.Reader) (string, error) {
	h := md5.New() //nolint:gosec // see the import
	if _, err := io.Copy(h, &bounded{ctx: ctx, r: r, left: maxFile}); err != nil {
		return "", err
	}
	return hex.EncodeToString(h.Sum(nil)), nil
}

// bounded reads until ctx is done, and no more than left bytes.
type bounded struct {
	ctx  context.Context //nolint:containedctx // of one read of one file
	r    io.Reader
	left int64
}

func (b *bounded) Read(p []byte) (int, error) {
	if err := b.ctx.Err(); err != nil {
		return 0, err
	}
	if b.left <= 0 {
		return 0, fmt.Errorf("it is larger than %d bytes", int64(maxFile))
	}
	n, err := b.r.Read(p[:min(int64(len(p)), b.left)])
	b.left -= int64(n)
	return n, err
}

// archive returns the package's own archive among the caches, by the name that apt gives it; "": there is none.
func (d debian) archive(p *pkg, caches []string) string {
	name := p.Name + "_" + strings.ReplaceAll(p.Version, ":", "%3a") + "_" + p.Arch + ".deb"
	if strings.ContainsRune(name, '/') {
		return ""
	}
	for _, c := range caches {
		path := filepath.Join(c, name)
		if fi, err := os.Lstat(path); err == nil && fi.Mode().IsRegular() {
			return path
		}
	}
	return ""
}

// listed returns the SHA-256 that apt's lists, which are signed, have for the package's archive; "": they do not have it.
func (d debian) listed(p *pkg) (string, error) {
	const lists = "/var/lib/apt/lists"
	names, err := d.root.names(lists)
	if errors.Is(err, fs.ErrNotExist) {
		return "", nil
	}
	if err != nil {
		return "", err
	}
	found := ""
	for _, n := range names {
		if !strings.HasSuffix(n, "_Packages") {
			continue
		}
		var name, version, arch string
		err := d.lines(lists+"/"+n, func(line string) error {
			key, value, ok := strings.Cut(line, ": ")
			switch {
			case line == "":
				name, version, arch = "", "", ""
			case !ok:
			case key == "Package":
				name = value
			case key == "Version":
				version = value
			case key == "Architecture":
				arch = value
			case key == "SHA256" && name == p.Name && version == p.Version && arch == p.Arch:
				found = value
			}
			return nil
		})
		if err != nil || found != "" {
			return found, err
		}
	}
	return "", nil
}
