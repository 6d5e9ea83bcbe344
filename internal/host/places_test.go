package host

import (
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"testing"
	"testing/fstest"

	"golang.org/x/sys/unix"
)

func TestPlaces(t *testing.T) {
	root := fstest.MapFS{
		"etc/passwd": file("root:x:0:0::/root:/bin/bash\ndaemon:x:1:1::/usr/sbin:/x\npg:x:100:100::/var/lib/postgresql:/bin/sh\nbad\nrel:x:1:1::../../x:/y\n"),
		"home/ann/x": file(""),
		"var/lib/gitea/data/gitea-repositories/o/r.git/hooks/post-receive": file(""),
	}
	var dirs []string
	for _, p := range Places(root) {
		if !fs.ValidPath(p.Dir) {
			t.Errorf("%q is no path below a root", p.Dir)
		}
		dirs = append(dirs, p.Dir)
	}
	for _, want := range []string{"etc/cron.d", "root/.ssh", "home/ann/.ssh", "var/lib/postgresql/.ssh", "var/lib/gitea/data/gitea-repositories/o/r.git/hooks"} {
		if !slices.Contains(dirs, want) {
			t.Errorf("%s is missing", want)
		}
	}
	if slices.Contains(dirs, "usr/sbin/.ssh") {
		t.Error("a system directory counts as a home")
	}
}

func TestRootKeepsLinksInside(t *testing.T) {
	dir := t.TempDir()
	must := func(err error) {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
	}
	must(os.MkdirAll(filepath.Join(dir, "etc"), 0o755))
	must(os.WriteFile(filepath.Join(dir, "etc/passwd"), []byte("inside"), 0o644))
	must(os.Symlink("/etc/passwd", filepath.Join(dir, "absolute")))
	must(os.Symlink("../../../../../../etc/passwd", filepath.Join(dir, "up")))
	must(os.Symlink("/etc/hostname", filepath.Join(dir, "nowhere")))
	must(os.Symlink("loop", filepath.Join(dir, "loop")))
	must(unix.Mkfifo(filepath.Join(dir, "fifo"), 0o644))
	root, err := OpenRoot(dir)
	must(err)
	defer root.Close()
	for _, name := range []string{"etc/passwd", "absolute", "up"} {
		data, _, err := ReadHead(root, name, 100)
		if err != nil || string(data) != "inside" {
			t.Errorf("%s: got %q, %v", name, data, err)
		}
	}
	for _, name := range []string{"nowhere", "loop", "fifo", "etc", "../etc/passwd"} {
		if data, _, err := ReadHead(root, name, 100); err == nil {
			t.Errorf("%s: got %q, want an error", name, data)
		}
	}
	if to, err := root.ReadLink("absolute"); err != nil || to != "/etc/passwd" {
		t.Errorf("link: got %q, %v", to, err)
	}
	if info, err := root.Lstat("loop"); err != nil || info.Mode().Type() != fs.ModeSymlink {
		t.Errorf("lstat of a link: %v, %v", info, err)
	}
	must(fstest.TestFS(mustRoot(t, filepath.Join(dir, "etc")), "passwd"))
}

func mustRoot(t *testing.T, dir string) *Root {
	t.Helper()
	root, err := OpenRoot(dir)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := root.Close(); err != nil {
			t.Error(err)
		}
	})
	return root
}
