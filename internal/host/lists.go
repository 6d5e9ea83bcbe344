package host

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"io/fs"
	"path"
	"runtime"
	"strings"
)

const dpkgInfo = "var/lib/dpkg/info"

// readDpkg reads the lists of files of Debian's packages.
func readDpkg(root fs.FS, b *builder) error {
	entries, err := fs.ReadDir(root, dpkgInfo)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return fmt.Errorf("list dpkg's packages: %w", err)
	}
	diverted, err := readDiversions(root)
	if err != nil {
		return err
	}
	for _, e := range entries {
		pkg, ok := strings.CutSuffix(e.Name(), ".list")
		if !ok {
			continue
		}
		pkg, _, _ = strings.Cut(pkg, ":") // "libc6:amd64"
		data, err := readAll(root, dpkgInfo+"/"+e.Name(), maxListFile)
		if err != nil {
			return err
		}
		if err := dpkgList(data, func(file string) error {
			if d, ok := diverted[file]; ok && d.by != pkg {
				file = d.to
			}
			return b.add("dpkg:"+pkg, file)
		}); err != nil {
			return fmt.Errorf("dpkg package %s: %w", pkg, err)
		}
	}
	return nil
}

// dpkgList calls add for each file of a list. A directory stands before what is in it, so a line that begins the next one
// is a directory and left out.
func dpkgList(data []byte, add func(string) error) error {
	for line := range bytes.Lines(data) {
		data = data[len(line):]
		line = bytes.TrimSuffix(line, []byte("\n"))
		if len(line) < 2 || line[0] != '/' {
			continue
		}
		if bytes.HasPrefix(data, line) && len(data) > len(line) && data[len(line)] == '/' {
			continue
		}
		if err := add(string(line)); err != nil {
			return err
		}
	}
	return nil
}

// A diversion sends a file of all packages but one to another name.
type diversion struct{ to, by string }

const maxDiversions = 65536

func readDiversions(root fs.FS) (map[string]diversion, error) {
	data, err := readAll(root, "var/lib/dpkg/diversions", maxListFile)
	if err != nil || data == nil {
		return nil, err
	}
	return parseDiversions(data), nil
}

func parseDiversions(data []byte) map[string]diversion {
	all := map[string]diversion{}
	lines := bufio.NewScanner(bytes.NewReader(data))
	for len(all) < maxDiversions && lines.Scan() {
		from := lines.Text()
		if !lines.Scan() {
			break
		}
		to := lines.Text()
		if !lines.Scan() {
			break
		}
		all[from] = diversion{to, lines.Text()} // ":" is the administrator: no package is that
	}
	return all
}

// readDistroless reads the lists of checksums that images without dpkg keep instead.
func readDistroless(root fs.FS, b *builder) error {
	const dir = "var/lib/dpkg/status.d"
	entries, err := fs.ReadDir(root, dir)
	if err != nil {
		return nil //nolint:nilerr // ordinary hosts have none
	}
	for _, e := range entries {
		pkg, ok := strings.CutSuffix(e.Name(), ".md5sums")
		if !ok {
			continue
		}
		data, err := readAll(root, dir+"/"+e.Name(), maxListFile)
		if err != nil {
			return err
		}
		for line := range bytes.Lines(data) {
			if _, file, ok := bytes.Cut(bytes.TrimSuffix(line, []byte("\n")), []byte("  ")); ok {
				if err := b.add("dpkg:"+pkg, "/"+string(bytes.TrimPrefix(file, []byte("./")))); err != nil {
					return err
				}
			}
		}
	}
	return nil
}

// readApk reads Alpine's list of installed packages.
func readApk(root fs.FS, b *builder) error {
	for _, name := range [...]string{"lib/apk/db/installed", "usr/lib/apk/db/installed"} {
		data, err := readAll(root, name, maxDatabase)
		if err != nil {
			return err
		}
		if err := apkInstalled(data, func(pkg, file string) error { return b.add("apk:"+pkg, file) }); err != nil {
			return fmt.Errorf("%s: %w", name, err)
		}
	}
	return nil
}

// apkInstalled walks over the records: P: names the package, F: a directory, R: a file in it.
func apkInstalled(data []byte, add func(pkg, file string) error) error {
	pkg, dir := "", ""
	for line := range bytes.Lines(data) {
		line = bytes.TrimSuffix(line, []byte("\n"))
		if len(line) < 2 || line[1] != ':' {
			if len(line) == 0 {
				pkg, dir = "", ""
			}
			continue
		}
		switch value := string(line[2:]); line[0] {
		case 'P':
			pkg, dir = value, ""
		case 'F':
			dir = value
		case 'R':
			if pkg == "" {
				continue
			}
			if err := add(pkg, path.Join("/", dir, value)); err != nil {
				return err
			}
		}
	}
	return nil
}

// readPacman reads the lists of files of Arch's packages.
func readPacman(root fs.FS, b *builder) error {
	const dir = "var/lib/pacman/local"
	entries, err := fs.ReadDir(root, dir)
	if err != nil {
		return nil //nolint:nilerr // other distributions have none
	}
	for _, e := range entries {
		pkg := pacmanName(e.Name())
		data, err := readAll(root, dir+"/"+e.Name()+"/files", maxListFile)
		if err != nil {
			return err
		}
		if err := pacmanFiles(data, func(file string) error { return b.add("pacman:"+pkg, file) }); err != nil {
			return fmt.Errorf("pacman package %s: %w", pkg, err)
		}
	}
	return nil
}

// pacmanName takes version and release off: "gcc-libs-14.2.1-1" is gcc-libs.
func pacmanName(dir string) string {
	for range 2 {
		if i := strings.LastIndexByte(dir, '-'); i > 0 {
			dir = dir[:i]
		}
	}
	return dir
}

func pacmanFiles(data []byte, add func(string) error) error {
	in := false
	for line := range bytes.Lines(data) {
		line = bytes.TrimSuffix(line, []byte("\n"))
		switch {
		case len(line) > 0 && line[0] == '%':
			in = string(line) == "%FILES%"
		case in && len(line) > 0 && line[len(line)-1] != '/':
			if err := add("/" + string(line)); err != nil {
				return err
			}
		}
	}
	return nil
}

// MD5 returns what dpkg says the file's MD5 was when it was installed; ok is false where it says nothing, as for
// configuration files and other package managers. It reads the package's list each time: for the background only.
func (p *Packages) MD5(file string) (sum string, ok bool) {
	pkg, ok := p.Owner(file)
	name, isDpkg := strings.CutPrefix(pkg, "dpkg:")
	if !ok || !isDpkg {
		return "", false
	}
	x := p.index.Load()
	want, _ := x.merged(file)
	// The directory has thousands of files: it is listed only for packages of a foreign architecture.
	for _, list := range []string{name, name + ":" + runtime.GOARCH} {
		if sum, ok := p.listedMD5(x, dpkgInfo+"/"+list+".md5sums", want); ok {
			return sum, true
		}
	}
	lists, err := fs.Glob(p.root, dpkgInfo+"/"+name+":*.md5sums")
	if err != nil {
		return "", false
	}
	for _, list := range lists {
		if sum, ok := p.listedMD5(x, list, want); ok {
			return sum, true
		}
	}
	return "", false
}

func (p *Packages) listedMD5(x *index, list, want string) (string, bool) {
	data, err := readAll(p.root, list, maxListFile)
	if err != nil {
		return "", false
	}
	for line := range bytes.Lines(data) {
		sum, rest, ok := bytes.Cut(bytes.TrimSuffix(line, []byte("\n")), []byte("  "))
		if !ok || len(sum) != 32 {
			continue
		}
		if got, _ := x.merged("/" + string(rest)); got == want {
			return string(sum), true
		}
	}
	return "", false
}
