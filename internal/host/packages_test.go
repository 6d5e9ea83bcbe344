package host

import (
	"bytes"
	"context"
	"encoding/binary"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"testing/fstest"
	"time"
)

func file(text string) *fstest.MapFile { return &fstest.MapFile{Data: []byte(text)} }

func link(to string) *fstest.MapFile {
	return &fstest.MapFile{Data: []byte(to), Mode: os.ModeSymlink | 0o777}
}

func TestOwner(t *testing.T) {
	root := fstest.MapFS{
		"bin":                                          link("usr/bin"),
		"sbin":                                         link("/usr/sbin"),
		"usr/bin/x":                                    file(""),
		"var/lib/dpkg/info/coreutils.list":             file("/.\n/bin\n/bin/cat\n/usr\n/usr/bin\n/usr/bin/sort\n"),
		"var/lib/dpkg/info/libc6:amd64.list":           file("/lib\n/lib/ld.so\n"),
		"var/lib/dpkg/info/dash.list":                  file("/bin/sh\n"),
		"var/lib/dpkg/info/bash.list":                  file("/bin/bash\n/usr/share/x\n/usr/share/xy\n"),
		"var/lib/dpkg/diversions":                      file("/bin/sh\n/bin/sh.distrib\ndiverter\n"),
		"var/lib/dpkg/info/diverter.list":              file("/bin/sh\n"),
		"var/lib/dpkg/status.d/tzdata.md5sums":         file("0123  usr/share/zoneinfo/UTC\n"),
		"lib/apk/db/installed":                         file("P:busybox\nV:1.36\nF:bin\nR:busybox\na:0:0:755\nZ:Q1x=\nF:\nR:top\n\nP:musl\nF:lib\nR:ld-musl-x86_64.so.1\n"),
		"var/lib/pacman/local/gcc-libs-14.2.1-1/files": file("%FILES%\nusr/\nusr/lib/\nusr/lib/libgcc_s.so.1\n\n%BACKUP%\netc/no\n"),
	}
	p := NewPackages(root)
	if err := p.Load(); err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct{ path, want string }{
		{"/bin/cat", "dpkg:coreutils"},
		{"/usr/bin/cat", "dpkg:coreutils"},
		{"/usr/bin/sort", "dpkg:coreutils"},
		{"/bin/sort", "dpkg:coreutils"},
		{"/sbin/sort", ""},
		{"/lib/ld.so", "dpkg:libc6"},
		{"/usr/lib/ld.so", ""}, // /lib is no link here
		{"/usr/bin/sh", "dpkg:diverter"},
		{"/bin/sh.distrib", "dpkg:dash"},
		{"/usr/share/x", "dpkg:bash"},
		{"/usr/bin", ""},
		{"/usr/share/zoneinfo/UTC", "dpkg:tzdata"},
		{"/usr/bin/busybox", "apk:busybox"},
		{"/top", "apk:busybox"},
		{"/lib/ld-musl-x86_64.so.1", "apk:musl"},
		{"/usr/lib/libgcc_s.so.1", "pacman:gcc-libs"},
		{"/etc/no", ""},
		{"", ""},
		{"/tmp/cat", ""},
	} {
		if got, ok := p.Owner(c.path); got != c.want || ok != (c.want != "") {
			t.Errorf("owner of %q: got %q, want %q", c.path, got, c.want)
		}
	}
	if NewPackages(fstest.MapFS{}).Any() {
		t.Error("a host without databases says that it has one")
	}

	root["var/lib/dpkg/info/new.list"] = file("/opt/new\n")
	root["var/lib/dpkg/info"] = &fstest.MapFile{Mode: os.ModeDir | 0o755, ModTime: time.Unix(1, 0)}
	if err := p.Load(); err != nil {
		t.Fatal(err)
	}
	if got, _ := p.Owner("/opt/new"); got != "dpkg:new" {
		t.Errorf("owner of a file installed meanwhile: got %q, want dpkg:new", got)
	}
}

func TestOwnerOnThisHost(t *testing.T) {
	if _, err := os.Stat("/var/lib/dpkg/info/coreutils.list"); err != nil {
		t.Skip("not a Debian host")
	}
	p := NewPackages(os.DirFS("/"))
	for _, path := range []string{"/bin/cat", "/usr/bin/cat"} {
		if got, _ := p.Owner(path); got != "dpkg:coreutils" {
			t.Errorf("owner of %s: got %q, want dpkg:coreutils", path, got)
		}
	}
	if got, ok := p.Owner("/usr/bin/no such program"); ok {
		t.Errorf("owner of nothing: %q", got)
	}
}

func TestBerkeleyIsAnError(t *testing.T) {
	p := NewPackages(fstest.MapFS{"var/lib/rpm/Packages": file("x")})
	if err := p.Load(); err == nil {
		t.Error("a database that cannot be read is no error")
	}
}

// TestRpm reads databases that the real rpm wrote.
func TestRpm(t *testing.T) {
	for _, tool := range []string{"rpm", "rpmbuild"} {
		if _, err := exec.LookPath(tool); err != nil {
			t.Skip("rpm is not installed")
		}
	}
	dir := t.TempDir()
	db := filepath.Join(dir, "root/var/lib/rpm")
	if err := os.MkdirAll(db, 0o755); err != nil {
		t.Fatal(err)
	}
	for i := range 3 {
		buildRpm(t, dir, db, fmt.Sprintf("probe%d", i))
	}
	check := func(t *testing.T, root fs.FS) {
		p := NewPackages(root)
		if err := p.Load(); err != nil {
			t.Fatal(err)
		}
		for i := range 3 {
			name := fmt.Sprintf("probe%d", i)
			if got, _ := p.Owner("/opt/" + name + "/bin/run"); got != "rpm:"+name {
				t.Errorf("owner of /opt/%s/bin/run: got %q, want rpm:%s", name, got, name)
			}
			if got, ok := p.Owner("/opt/" + name + "/ghost"); ok {
				t.Errorf("owner of a file that was never installed: %q", got)
			}
		}
	}
	root := os.DirFS(filepath.Join(dir, "root"))
	t.Run("sqlite", func(t *testing.T) { check(t, root) })
	t.Run("ndb", func(t *testing.T) { // Debian's rpm cannot write this form: the same headers, wrapped here
		var headers [][]byte
		if err := rpmSQLite(root, "var/lib/rpm/rpmdb.sqlite", func(h []byte) error {
			headers = append(headers, bytes.Clone(h))
			return nil
		}); err != nil {
			t.Fatal(err)
		}
		check(t, fstest.MapFS{"usr/lib/sysimage/rpm/Packages.db": {Data: ndbOf(headers)}})
	})
}

// ndbOf lays out headers as rpm's ndb does: a page of slots, then blobs on 16-byte blocks.
func ndbOf(headers [][]byte) []byte {
	le := binary.LittleEndian
	data := make([]byte, 4096)
	copy(data, "RpmP")
	le.PutUint32(data[12:], 1)
	for i, h := range headers {
		slot := data[32+16*i:]
		copy(slot, "Slot")
		le.PutUint32(slot[4:], uint32(i+1))
		le.PutUint32(slot[8:], uint32(len(data)/16))
		head := make([]byte, 16)
		copy(head, "BlbS")
		le.PutUint32(head[4:], uint32(i+1))
		le.PutUint32(head[12:], uint32(len(h)))
		data = append(append(data, head...), h...)
		data = append(data, make([]byte, 16-len(data)%16)...)
	}
	return data
}

func buildRpm(t *testing.T, dir, db, name string) {
	t.Helper()
	spec := filepath.Join(dir, name+".spec")
	text := "Name: " + name + "\nVersion: 1\nRelease: 1\nSummary: s\nLicense: none\nBuildArch: noarch\n%description\nd\n" +
		"%install\nmkdir -p %{buildroot}/opt/" + name + "/bin\necho x > %{buildroot}/opt/" + name + "/bin/run\necho y > %{buildroot}/opt/" + name + "/ghost\n" +
		"%files\n%dir /opt/" + name + "/bin\n/opt/" + name + "/bin/run\n%ghost /opt/" + name + "/ghost\n"
	if err := os.WriteFile(spec, []byte(text), 0o644); err != nil {
		t.Fatal(err)
	}
	for _, args := range [][]string{
		{"rpmbuild", "-bb", "--define", "_topdir " + dir, "--define", "_rpmdir " + dir, spec},
		{"rpm", "--dbpath", db, "--justdb", "--nodeps", "-i", filepath.Join(dir, "noarch", name+"-1-1.noarch.rpm")},
	} {
		cmd := exec.Command(args[0], args[1:]...)
		cmd.Env = append(os.Environ(), "HOME="+dir)
		if out, err := cmd.CombinedOutput(); err != nil {
			t.Fatalf("%s: %v\n%s", strings.Join(args, " "), err, out)
		}
	}
}

func TestRunEnds(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	NewPackages(fstest.MapFS{}).Run(ctx, func(err error) { t.Error(err) })
}

func FuzzRpmFiles(f *testing.F) {
	f.Add([]byte{0, 0, 0, 1, 0, 0, 0, 4, 0, 0, 3, 232, 0, 0, 0, 6, 0, 0, 0, 0, 0, 0, 0, 1, 'a', 'b', 'c', 0})
	f.Fuzz(func(t *testing.T, blob []byte) {
		n := 0
		err := rpmFiles(blob, func(string, string) error { n++; return nil })
		if n > len(blob) {
			t.Errorf("%d files from %d bytes (%v)", n, len(blob), err)
		}
	})
}

func FuzzNdb(f *testing.F) {
	page := make([]byte, 4096+64)
	copy(page, "RpmP\x00\x00\x00\x00\x00\x00\x00\x00\x01\x00\x00\x00")
	copy(page[32:], "Slot\x01\x00\x00\x00\x00\x01\x00\x00\x02\x00\x00\x00")
	copy(page[4096:], "BlbS\x01\x00\x00\x00\x00\x00\x00\x00\x08\x00\x00\x00")
	f.Add(page)
	f.Fuzz(func(t *testing.T, data []byte) {
		total := 0
		err := ndbBlobs(data, func(b []byte) error { total++; return nil })
		if total > len(data)/16 {
			t.Errorf("%d headers in %d bytes (%v)", total, len(data), err)
		}
	})
}

func FuzzLists(f *testing.F) {
	f.Add([]byte("P:x\nF:a\nR:b\n\n%FILES%\nusr/x\n/a\n/a/b\n"))
	f.Fuzz(func(t *testing.T, data []byte) {
		n := 0
		count := func(string) error { n++; return nil }
		for _, err := range []error{dpkgList(data, count), pacmanFiles(data, count), apkInstalled(data, func(_, file string) error { return count(file) })} {
			if err != nil {
				t.Error(err)
			}
		}
		if n+len(parseDiversions(data)) > 3*(strings.Count(string(data), "\n")+2) {
			t.Errorf("%d files from %q", n, data)
		}
	})
}

func BenchmarkLoad(b *testing.B) {
	for b.Loop() {
		p := NewPackages(os.DirFS("/"))
		if err := p.Load(); err != nil {
			b.Fatal(err)
		}
		b.ReportMetric(float64(len(p.index.Load().hashes)), "files")
	}
}

func BenchmarkOwner(b *testing.B) {
	p := NewPackages(os.DirFS("/"))
	p.Owner("/")
	b.ReportAllocs()
	for b.Loop() {
		p.Owner("/usr/bin/cat")
	}
}

func TestOwnerOfWhatRuns(t *testing.T) {
	dir := t.TempDir()
	for name, text := range map[string]string{"var/lib/dpkg/info/web.list": "/usr/bin/web\n", "usr/bin/web": "x", "other": "y"} {
		if err := os.MkdirAll(filepath.Join(dir, filepath.Dir(name)), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o755); err != nil {
			t.Fatal(err)
		}
	}
	p := NewPackages(os.DirFS(dir))
	if got, _ := p.OwnerOf("/usr/bin/web", 0, inode(t, filepath.Join(dir, "usr/bin/web"))); got != "dpkg:web" {
		t.Errorf("got %q, want dpkg:web", got)
	}
	if got, ok := p.OwnerOf("/usr/bin/web", 0, inode(t, filepath.Join(dir, "other"))); ok {
		t.Errorf("another file of that name belongs to %q", got)
	}
}
