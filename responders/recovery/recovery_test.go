package recovery

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/google/go-cmp/cmp"
	"github.com/minewarden/minewarden"
	"github.com/minewarden/minewarden/internal/sensortest"
)

const (
	modeEnv = "MINEWARDEN_TEST_MODE"
	dataEnv = "MINEWARDEN_TEST_DATA"
	rootEnv = "MINEWARDEN_TEST_ROOT"
)

func TestMain(m *testing.M) {
	if os.Getenv(modeEnv) == "act" {
		if err := act(); err != nil {
			fmt.Println("error", err)
			os.Exit(1)
		}
		os.Exit(0)
	}
	os.Exit(m.Run())
}

func act() error {
	var a minewarden.Action
	if err := json.NewDecoder(os.Stdin).Decode(&a); err != nil {
		return err
	}
	r, err := New(minewarden.Env{Data: os.Getenv(dataEnv), Decode: func(c any) error { c.(*Config).Root = os.Getenv(rootEnv); return nil }})
	if err != nil {
		return err
	}
	fmt.Println("ready")
	_, err = r.Do(context.Background(), a)
	return err
}

func must(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func write(t *testing.T, path, text string, mode os.FileMode) {
	t.Helper()
	must(t, os.MkdirAll(filepath.Dir(path), 0o755))
	must(t, os.WriteFile(path, []byte(text), 0o600))
	must(t, os.Chmod(path, mode))
}

// host is a root with dpkg's own database, and packages that dpkg itself installed there.
type host struct {
	t     *testing.T
	root  string
	cache string
	data  string
}

func newHost(t *testing.T) *host {
	t.Helper()
	sensortest.Root(t)
	if _, err := exec.LookPath("dpkg-deb"); err != nil {
		sensortest.Need(t, fmt.Errorf("%w: dpkg is not installed", minewarden.ErrUnsupported))
	}
	dir := t.TempDir()
	h := &host{t, filepath.Join(dir, "root"), filepath.Join(dir, "cache"), filepath.Join(dir, "data")}
	for _, d := range []string{"var/lib/dpkg/info", "var/lib/dpkg/updates", "var/lib/dpkg/triggers", "usr/bin", "etc"} {
		must(t, os.MkdirAll(filepath.Join(h.root, d), 0o755))
	}
	must(t, os.Symlink("usr/bin", filepath.Join(h.root, "bin")))
	write(t, filepath.Join(h.root, "var/lib/dpkg/status"), "", 0o644)
	must(t, os.MkdirAll(h.cache, 0o755))
	return h
}

func (h *host) path(p string) string { return filepath.Join(h.root, p) }

// install builds a package and lets dpkg install it below the root.
func (h *host) install(name, version string, files map[string]string, conf ...string) {
	h.t.Helper()
	tree := filepath.Join(h.t.TempDir(), name)
	for p, text := range files {
		write(h.t, filepath.Join(tree, p), text, 0o755)
	}
	control := fmt.Sprintf("Package: %s\nVersion: %s\nArchitecture: all\nMaintainer: x <x@example.org>\nDescription: x\n", name, version)
	write(h.t, filepath.Join(tree, "DEBIAN/control"), control, 0o644)
	if len(conf) > 0 {
		write(h.t, filepath.Join(tree, "DEBIAN/conffiles"), strings.Join(conf, "\n")+"\n", 0o644)
	}
	var sums strings.Builder
	for p := range files {
		if slices.Contains(conf, "/"+p) {
			continue
		}
		out, err := exec.Command("md5sum", filepath.Join(tree, p)).Output()
		must(h.t, err)
		fmt.Fprintf(&sums, "%s  %s\n", out[:32], p)
	}
	write(h.t, filepath.Join(tree, "DEBIAN/md5sums"), sums.String(), 0o644)
	deb := filepath.Join(h.cache, name+"_"+strings.ReplaceAll(version, ":", "%3a")+"_all.deb")
	h.run("dpkg-deb", "--root-owner-group", "--build", tree, deb)
	h.run("dpkg", "--root="+h.root, "--force-not-root", "--force-unsafe-io", "--force-bad-path", "-i", deb)
}

func (h *host) run(name string, args ...string) string {
	h.t.Helper()
	out, err := exec.Command(name, args...).CombinedOutput()
	if err != nil {
		h.t.Fatalf("%s %v: %v: %s", name, args, err, out)
	}
	return string(out)
}

func (h *host) responder(change func(*Config)) *Responder {
	h.t.Helper()
	r, err := New(minewarden.Env{Data: h.data, Decode: func(into any) error {
		c := into.(*Config)
		c.Root, c.Archives = h.root, []string{h.cache}
		if change != nil {
			change(c)
		}
		return nil
	}})
	must(h.t, err)
	return r.(*Responder)
}

func about(paths ...string) minewarden.Incident {
	inc := minewarden.Incident{ID: "i1"}
	for _, p := range paths {
		inc.Findings = append(inc.Findings, minewarden.IncidentFinding{Subject: minewarden.Subject{Type: minewarden.SubjectFile, ID: p}})
	}
	return inc
}

func plan(t *testing.T, r *Responder, inc minewarden.Incident, op string) []minewarden.Action {
	t.Helper()
	all, err := r.Plan(t.Context(), inc)
	must(t, err)
	return slices.DeleteFunc(all, func(a minewarden.Action) bool { return a.Op != op })
}

func only(t *testing.T, all []minewarden.Action) minewarden.Action {
	t.Helper()
	if len(all) != 1 {
		t.Fatalf("%d actions: %+v", len(all), all)
	}
	return all[0]
}

func do(t *testing.T, r *Responder, a minewarden.Action) minewarden.Receipt {
	t.Helper()
	receipt, err := r.Do(t.Context(), a)
	must(t, err)
	if !receipt.OK {
		t.Fatalf("%s: %s", a.Summary, receipt.Result)
	}
	return receipt
}

// picture is all of a tree that must be the same after an undo.
func picture(t *testing.T, root string) map[string]string {
	t.Helper()
	out := map[string]string{}
	must(t, filepath.WalkDir(root, func(path string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		fi, err := os.Lstat(path)
		if err != nil {
			return err
		}
		s := fmt.Sprintf("%s %d %d", fi.Mode(), fi.ModTime().UnixNano(), fi.Size())
		var st unix.Stat_t
		must(t, unix.Lstat(path, &st))
		s += fmt.Sprintf(" %d:%d", st.Uid, st.Gid)
		if fi.Mode()&os.ModeSymlink != 0 {
			to, err := os.Readlink(path)
			must(t, err)
			s += " > " + to
		} else {
			b, err := os.ReadFile(path)
			must(t, err)
			s += " " + fmt.Sprintf("%q", b)
			buf := make([]byte, 100)
			if n, err := unix.Getxattr(path, "user.x", buf); err == nil {
				s += " user.x=" + string(buf[:n])
			}
		}
		out[path[len(root):]] = s
		return nil
	}))
	return out
}

var procps = map[string]string{"usr/bin/ps": "the real ps\n", "usr/bin/top": "the real top\n", "etc/procps.conf": "a=1\n", "usr/share/doc/procps/x y": "doc\n"}

func TestVerifyIsAsDpkgHasIt(t *testing.T) {
	h := newHost(t)
	h.install("procps", "2:4.0-1", procps, "/etc/procps.conf")
	h.install("other", "1", map[string]string{"usr/bin/other": "x"})
	r := h.responder(nil)
	inc := about("/usr/bin/ps")
	receipt := do(t, r, only(t, plan(t, r, inc, VerifyPackage)))
	if receipt.State["healthy"] != "true" || receipt.State["checked"] != "4" {
		t.Errorf("%+v", receipt)
	}
	for name, harm := range map[string]func(){
		"changed":    func() { write(t, h.path("usr/bin/ps"), "trojan\n", 0o755) },
		"missing":    func() { must(t, os.Remove(h.path("usr/bin/top"))) },
		"conf":       func() { write(t, h.path("etc/procps.conf"), "a=2\n", 0o644) },
		"a space":    func() { write(t, h.path("usr/share/doc/procps/x y"), "", 0o644) },
		"conf, gone": func() { must(t, os.Remove(h.path("etc/procps.conf"))) },
		"a link": func() {
			must(t, os.Remove(h.path("usr/bin/ps")))
			must(t, os.Symlink("/usr/bin/other", h.path("usr/bin/ps")))
		},
	} {
		harm()
		receipt := do(t, r, only(t, plan(t, r, inc, VerifyPackage)))
		var got []Difference
		must(t, json.Unmarshal([]byte(receipt.State["damaged"]), &got))
		var mine []string
		for _, d := range got {
			if d.Path != "" {
				mine = append(mine, d.Path)
			}
		}
		out, _ := exec.Command("dpkg", "--root="+h.root, "--verify", "procps").Output() // ends with 1 where something differs
		var its []string
		for line := range strings.Lines(string(out)) {
			if i := strings.IndexByte(line, '/'); i > 0 {
				its = append(its, strings.TrimSuffix(strings.TrimRight(line[i:], "\n"), " (No such file or directory)"))
			}
		}
		slices.Sort(its)
		if diff := cmp.Diff(its, mine); diff != "" {
			t.Errorf("%s: dpkg - ours +:\n%s", name, diff)
		}
	}
}

func TestRestoreFromPackageAndBack(t *testing.T) {
	for name, harm := range map[string]func(t *testing.T, path string){
		"a trojan": func(t *testing.T, path string) {
			write(t, path, "trojan\n", 0o4755)
			must(t, os.Chown(path, 33, 12))
			must(t, os.Chmod(path, 0o4755))
			must(t, os.Chtimes(path, time.Unix(1e9, 5), time.Unix(1e9, 123456789)))
			if err := unix.Setxattr(path, "user.x", []byte("y"), 0); err != nil {
				t.Logf("no extended attributes here: %v", err)
			}
		},
		"missing": func(t *testing.T, path string) { must(t, os.Remove(path)) },
		"a link": func(t *testing.T, path string) {
			must(t, os.Remove(path))
			must(t, os.Symlink("/tmp/.x/miner\x1b[1m", path))
		},
	} {
		t.Run(name, func(t *testing.T) {
			h := newHost(t)
			h.install("procps", "2:4.0-1", procps, "/etc/procps.conf")
			clean := picture(t, h.path("usr"))
			r := h.responder(nil)
			if all := plan(t, r, about("/bin/ps"), RestoreFile); len(all) != 0 {
				t.Errorf("a file that is as it was: %+v", all)
			}
			harm(t, h.path("usr/bin/ps"))
			before := picture(t, h.path("usr"))
			a := only(t, plan(t, r, about("/bin/ps"), RestoreFile)) // by its name on a system that is not merged
			if !a.Reversible || len(a.Blast) != 1 || a.Target.ID != "/usr/bin/ps" {
				t.Fatalf("%+v", a)
			}
			receipt := do(t, r, a)
			if diff := cmp.Diff(clean, picture(t, h.path("usr"))); diff != "" {
				t.Errorf("restored:\n%s", diff)
			}
			if again := do(t, r, a); again.Result != receipt.Result {
				t.Error(again.Result)
			}
			for range 2 {
				must(t, r.Undo(t.Context(), receipt))
				if diff := cmp.Diff(before, picture(t, h.path("usr"))); diff != "" {
					t.Fatalf("undone:\n%s", diff)
				}
			}
		})
	}
}

// TestRestoreLeavesTheRest: what follows the file in its archive is more than a pipe holds, and nobody reads it.
func TestRestoreLeavesTheRest(t *testing.T) {
	h := newHost(t)
	big := make([]byte, 1<<20)
	for i := range big {
		big[i] = byte(rand.Uint32())
	}
	h.install("less", "590-2", map[string]string{"usr/bin/a": "a program\n", "usr/share/z": string(big)})
	write(t, h.path("usr/bin/a"), "trojan\n", 0o755)
	r := h.responder(nil)
	a := only(t, plan(t, r, about("/usr/bin/a"), RestoreFile))
	ended := make(chan minewarden.Receipt, 1)
	go func() {
		receipt, _ := r.Do(t.Context(), a) // a failure shows in the receipt
		ended <- receipt
	}()
	select {
	case receipt := <-ended:
		if !receipt.OK {
			t.Error(receipt.Result)
		}
	case <-time.After(time.Minute):
		t.Fatal("it waits for a program that waits for it")
	}
	if got, err := os.ReadFile(h.path("usr/bin/a")); err != nil || string(got) != "a program\n" {
		t.Errorf("%q, %v", got, err)
	}
}

func TestRestoreRefuses(t *testing.T) {
	t.Run("an archive that was changed", func(t *testing.T) {
		h := newHost(t)
		h.install("procps", "1", procps)
		write(t, h.path("usr/bin/ps"), "trojan", 0o755)
		h.install2("procps", "1", map[string]string{"usr/bin/ps": "another trojan"})
		r := h.responder(nil)
		receipt, err := r.Do(t.Context(), only(t, plan(t, r, about("/usr/bin/ps"), RestoreFile)))
		if err != nil || receipt.OK || !strings.Contains(receipt.Result, "one of them was changed") {
			t.Errorf("%+v %v", receipt, err)
		}
		h.clean("usr/bin")
	})
	t.Run("an archive that apt's lists know otherwise", func(t *testing.T) {
		h := newHost(t)
		h.install("procps", "1", procps)
		write(t, h.path("var/lib/apt/lists/x_Packages"), "Package: procps\nVersion: 1\nArchitecture: all\nSHA256: "+strings.Repeat("0", 64)+"\n", 0o644)
		write(t, h.path("usr/bin/ps"), "trojan", 0o755)
		r := h.responder(nil)
		receipt, err := r.Do(t.Context(), only(t, plan(t, r, about("/usr/bin/ps"), RestoreFile)))
		if err != nil || receipt.OK || !strings.Contains(receipt.Result, "signed lists") {
			t.Errorf("%+v %v", receipt, err)
		}
	})
	t.Run("no archive", func(t *testing.T) {
		h := newHost(t)
		h.install("procps", "1", procps)
		write(t, h.path("usr/bin/ps"), "trojan", 0o755)
		r := h.responder(func(c *Config) { c.Archives = []string{"/nonexistent"} })
		a := only(t, plan(t, r, about("/usr/bin/ps"), RestoreFile))
		if len(a.Blast) != 0 || len(a.Refused) != 1 {
			t.Errorf("%+v", a)
		}
	})
	t.Run("changed since it was planned", func(t *testing.T) {
		h := newHost(t)
		h.install("procps", "1", procps)
		write(t, h.path("usr/bin/ps"), "trojan", 0o755)
		r := h.responder(nil)
		a := only(t, plan(t, r, about("/usr/bin/ps"), RestoreFile))
		must(t, os.Remove(h.path("usr/bin/ps")))
		write(t, h.path("usr/bin/ps"), "mended by hand", 0o755)
		receipt, err := r.Do(t.Context(), a)
		if err != nil || receipt.OK || !strings.Contains(receipt.Result, "plan again") {
			t.Errorf("%+v %v", receipt, err)
		}
		h.clean("usr/bin")
	})
	t.Run("undo of what somebody changed", func(t *testing.T) {
		h := newHost(t)
		h.install("procps", "1", procps)
		write(t, h.path("usr/bin/ps"), "trojan", 0o755)
		r := h.responder(nil)
		receipt := do(t, r, only(t, plan(t, r, about("/usr/bin/ps"), RestoreFile)))
		write(t, h.path("usr/bin/ps"), "newer", 0o755)
		if err := r.Undo(t.Context(), receipt); err == nil {
			t.Error("undone")
		}
		if b, err := os.ReadFile(h.path("usr/bin/ps")); err != nil || string(b) != "newer" {
			t.Error(string(b), err)
		}
		h.clean("usr/bin")
	})
	t.Run("a directory that is a link out of the root", func(t *testing.T) {
		h := newHost(t)
		out := t.TempDir()
		must(t, os.Symlink(out, h.path("opt")))
		backup := filepath.Join(t.TempDir(), "b")
		write(t, filepath.Join(backup, out, "x"), "y", 0o644)
		r := h.responder(func(c *Config) { c.Backup = []string{backup} })
		for _, a := range plan(t, r, about("/opt/x"), RestoreFile) {
			if receipt, err := r.Do(t.Context(), a); err == nil && receipt.OK {
				t.Errorf("%+v", receipt)
			}
		}
		if _, err := os.Lstat(filepath.Join(out, "x")); err == nil {
			t.Error("written outside of the root")
		}
	})
}

// install2 builds a package in the cache without installing it.
func (h *host) install2(name, version string, files map[string]string) {
	h.t.Helper()
	tree := filepath.Join(h.t.TempDir(), name)
	for p, text := range files {
		write(h.t, filepath.Join(tree, p), text, 0o755)
	}
	write(h.t, filepath.Join(tree, "DEBIAN/control"), fmt.Sprintf("Package: %s\nVersion: %s\nArchitecture: all\nMaintainer: x <x@example.org>\nDescription: x\n", name, version), 0o644)
	h.run("dpkg-deb", "--root-owner-group", "--build", tree, filepath.Join(h.cache, name+"_"+version+"_all.deb"))
}

// clean says that nothing of ours is left in a directory.
func (h *host) clean(dir string) {
	h.t.Helper()
	entries, err := os.ReadDir(h.path(dir))
	must(h.t, err)
	for _, e := range entries {
		if strings.HasPrefix(e.Name(), ".minewarden") {
			h.t.Errorf("%s is left", e.Name())
		}
	}
}

func TestConfigurationAndBackup(t *testing.T) {
	h := newHost(t)
	h.install("procps", "1", procps, "/etc/procps.conf")
	backup := filepath.Join(t.TempDir(), "backup")
	r := h.responder(func(c *Config) { c.Backup = []string{"/nonexistent", backup} })
	write(t, h.path("etc/procps.conf"), "a=1\npool=x\n", 0o644)
	inc := minewarden.Incident{ID: "i", Findings: []minewarden.IncidentFinding{{Evidence: []minewarden.Evidence{{Key: "path", Value: "/etc/procps.conf"}}}}}
	if all := plan(t, r, inc, RestoreFile); len(all) != 0 {
		t.Errorf("configuration that nobody named: %+v", all)
	}
	if a := only(t, plan(t, r, about("/etc/procps.conf"), RestoreFile)); !strings.Contains(a.Summary, "package procps") {
		t.Errorf("%+v", a)
	}
	// What no package has comes from the backup.
	write(t, h.path("etc/crontab"), "* * * * * root curl x | sh\n", 0o644)
	write(t, filepath.Join(backup, "etc/crontab"), "17 * * * * root x\n", 0o600)
	must(t, os.Chown(filepath.Join(backup, "etc/crontab"), 0, 42))
	before := picture(t, h.path("etc"))
	receipt := do(t, r, only(t, plan(t, r, about("/etc/crontab"), RestoreFile)))
	b, err := os.ReadFile(h.path("etc/crontab"))
	must(t, err)
	var st unix.Stat_t
	must(t, unix.Stat(h.path("etc/crontab"), &st))
	if string(b) != "17 * * * * root x\n" || st.Gid != 42 || st.Mode&0o777 != 0o600 {
		t.Errorf("%q %d %o", b, st.Gid, st.Mode)
	}
	if all := plan(t, r, about("/etc/crontab"), RestoreFile); len(all) != 0 {
		t.Errorf("it is as in the backup: %+v", all)
	}
	must(t, r.Undo(t.Context(), receipt))
	if diff := cmp.Diff(before, picture(t, h.path("etc"))); diff != "" {
		t.Errorf("undone:\n%s", diff)
	}
	// A miner that was there when the backup was made is not brought back.
	write(t, filepath.Join(backup, "opt/m"), "miner", 0o755)
	must(t, os.MkdirAll(h.path("opt"), 0o755))
	inc = minewarden.Incident{ID: "i", Actions: []minewarden.Receipt{{
		Action: minewarden.Action{Responder: "quarantine"}, OK: true, State: map[string]string{"path": "/opt/m", "sha256": sum("miner")},
	}}}
	if all := plan(t, r, inc, RestoreFile); len(all) != 0 {
		t.Errorf("a miner: %+v", all)
	}
}

func sum(s string) string {
	got, err := shaOfFile(context.Background(), strings.NewReader(s))
	if err != nil {
		return err.Error()
	}
	return got
}

// TestVerifiedThenRestored goes the whole way: a package is verified, and what that finds is offered.
func TestVerifiedThenRestored(t *testing.T) {
	h := newHost(t)
	h.install("procps", "1", procps)
	clean := picture(t, h.path("usr"))
	write(t, h.path("usr/bin/ps"), "trojan", 0o755)
	write(t, h.path("usr/bin/top"), "trojan", 0o755)
	r := h.responder(nil)
	inc := about("/usr/bin/ps")
	inc.Actions = append(inc.Actions, do(t, r, only(t, plan(t, r, inc, VerifyPackage))))
	all := plan(t, r, inc, RestoreFile)
	if len(all) != 2 {
		t.Fatalf("%+v", all)
	}
	for _, a := range all {
		do(t, r, a)
	}
	if diff := cmp.Diff(clean, picture(t, h.path("usr"))); diff != "" {
		t.Error(diff)
	}
	receipts, err := h.responder(nil).Recover(t.Context())
	if err != nil || len(receipts) != 2 {
		t.Errorf("%d receipts: %v", len(receipts), err)
	}
}

func TestDiverted(t *testing.T) {
	h := newHost(t)
	h.install("real", "1", map[string]string{"usr/bin/tool": "real"})
	h.run("dpkg-divert", "--instdir", h.root, "--admindir", h.path("var/lib/dpkg"), "--package", "wrap", "--rename", "--divert", "/usr/bin/tool.real", "--add", "/usr/bin/tool")
	h.install("wrap", "1", map[string]string{"usr/bin/tool": "wrapper"})
	d := debian{tree{h.root}}
	got, err := d.owners(t.Context(), []string{"/usr/bin/tool", "/usr/bin/tool.real"})
	if diff := cmp.Diff(map[string]string{"/usr/bin/tool": "wrap", "/usr/bin/tool.real": "real"}, got); diff != "" || err != nil {
		t.Errorf("%v %s", err, diff)
	}
	write(t, h.path("usr/bin/tool.real"), "trojan", 0o755)
	r := h.responder(nil)
	do(t, r, only(t, plan(t, r, about("/usr/bin/tool.real"), RestoreFile)))
	if b, err := os.ReadFile(h.path("usr/bin/tool.real")); err != nil || string(b) != "real" {
		t.Errorf("%q %v", b, err)
	}
	if receipt := do(t, r, only(t, plan(t, r, about("/usr/bin/tool.real"), VerifyPackage))); receipt.State["healthy"] != "true" {
		t.Errorf("%+v", receipt)
	}
}

// TestKilled kills restores at random moments: the file is one or the other, whole, and a receipt says which.
func TestKilled(t *testing.T) {
	h := newHost(t)
	big := strings.Repeat("the real one\n", 300_000)
	h.install("big", "1", map[string]string{"usr/bin/big": big})
	want := picture(t, h.path("usr"))["/bin/big"]
	done := 0
	self, err := os.Executable()
	must(t, err)
	const rounds = 15
	for i := range rounds {
		r := h.responder(nil)
		write(t, h.path("usr/bin/big"), strings.Repeat("trojan", 1000+i), 0o4755)
		harmed := picture(t, h.path("usr"))["/bin/big"]
		a := only(t, plan(t, r, about("/usr/bin/big"), RestoreFile))
		in, err := json.Marshal(a)
		must(t, err)
		cmd := exec.Command(self)
		cmd.Env = append(os.Environ(), modeEnv+"=act", dataEnv+"="+h.data, rootEnv+"="+h.root)
		cmd.Stdin = bytes.NewReader(in)
		out, err := cmd.StdoutPipe()
		must(t, err)
		must(t, cmd.Start())
		if _, err := bufio.NewReader(out).ReadString('\n'); err != nil {
			t.Fatal(err)
		}
		time.Sleep(time.Duration(rand.IntN(80)) * time.Millisecond)
		cmd.Process.Kill()
		cmd.Wait()
		receipts, err := r.Recover(t.Context())
		must(t, err)
		h.clean("usr/bin")
		now := picture(t, h.path("usr"))["/bin/big"]
		at := slices.IndexFunc(receipts, func(x minewarden.Receipt) bool { return x.Action.ID == a.ID })
		switch {
		case now == want && at >= 0 && receipts[at].OK:
			done++
			must(t, r.Undo(t.Context(), receipts[at]))
			if got := picture(t, h.path("usr"))["/bin/big"]; got != harmed {
				t.Fatal("undo does not lead back")
			}
		case now == harmed && (at < 0 || !receipts[at].OK):
		default:
			t.Fatalf("round %d: neither one nor the other: %+v", i, receipts)
		}
	}
	t.Logf("%d of %d were done", done, rounds)
}

func TestImmutable(t *testing.T) {
	h := newHost(t)
	h.install("procps", "1", procps)
	path := h.path("usr/bin/ps")
	write(t, path, "trojan", 0o755)
	f, err := os.Open(path)
	must(t, err)
	defer f.Close()
	if err := unix.IoctlSetPointerInt(int(f.Fd()), unix.FS_IOC_SETFLAGS, 0x10); err != nil {
		t.Skipf("no immutable files here: %v", err)
	}
	t.Cleanup(func() {
		if f, err := os.Open(path); err == nil {
			unix.IoctlSetPointerInt(int(f.Fd()), unix.FS_IOC_SETFLAGS, 0)
			f.Close()
		}
	})
	r := h.responder(nil)
	receipt := do(t, r, only(t, plan(t, r, about("/usr/bin/ps"), RestoreFile)))
	h.clean("usr/bin")
	must(t, r.Undo(t.Context(), receipt))
	if _, m, err := openFile(path); err != nil || m.Flags != 0x10 {
		t.Errorf("flags after the undo: %+v %v", m, err)
	}
}

func TestUnits(t *testing.T) {
	h := newHost(t)
	bin := t.TempDir()
	write(t, filepath.Join(bin, "systemctl"), "#!/bin/sh\nfor last; do :; done\ncase $last in\nnginx.service) printf 'LoadState=loaded\\nActiveState=active\\nSubState=running\\nResult=success\\nNRestarts=0\\n';;\n"+
		"*) printf 'LoadState=loaded\\nActiveState=failed\\nSubState=failed\\nResult=exit-code\\nNRestarts=3\\n';;\nesac\n", 0o755)
	t.Setenv("PATH", bin+":"+os.Getenv("PATH"))
	r := h.responder(func(c *Config) { c.Units = []string{"nginx.service"} })
	inc := minewarden.Incident{ID: "i", Members: []minewarden.Member{{Cgroup: "/system.slice/web\x2d1.service/x"}, {Cgroup: "/a/-x.service"}}}
	all := plan(t, r, inc, CheckUnit)
	if len(all) != 2 || len(all[0].Refused) != 1 || len(all[0].Blast) != 0 {
		t.Fatalf("without systemd: %+v", all)
	}
	if receipt, err := r.Do(t.Context(), all[0]); err != nil || receipt.OK {
		t.Errorf("without systemd: %+v %v", receipt, err)
	}
	must(t, os.MkdirAll(h.path("run/systemd/system"), 0o755))
	all = plan(t, r, inc, CheckUnit)
	good, bad := do(t, r, all[0]), do(t, r, all[1])
	if good.State["healthy"] != "true" || bad.State["healthy"] != "false" || !strings.Contains(bad.Result, "NOT healthy: loaded, failed (failed), last result exit-code, restarted 3 times") {
		t.Errorf("%s\n%s", good.Result, bad.Result)
	}
}

func TestParseVerify(t *testing.T) {
	got := parseVerify("S.5....T.  c /etc/x.conf\nmissing     /usr/bin/ps\nmissing   c /etc/y (Permission denied)\n.......T.    /usr/bin/touched\n..5......    /a b\n.M....G..  g /run/x\n" +
		"package x is not installed\nUnsatisfied dependencies for x:\n.........    relative\n")
	want := []Difference{
		{Path: "/etc/x.conf", What: "changed, size", Conf: true},
		{Path: "/usr/bin/ps", What: "missing"},
		{Path: "/etc/y", What: "missing", Conf: true},
		{Path: "/a b", What: "changed"},
		{Path: "/run/x", What: "mode, group"},
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
}

func FuzzParseVerify(f *testing.F) {
	f.Add("S.5....T.  c /etc/x\n")
	f.Fuzz(func(t *testing.T, s string) {
		for _, d := range parseVerify(s) {
			if d.Path == "" || d.Path[0] != '/' || d.What == "" {
				t.Errorf("%+v", d)
			}
		}
	})
}

func FuzzSums(f *testing.F) {
	f.Add("d41d8cd98f00b204e9800998ecf8427e  usr/bin/x y")
	f.Fuzz(func(t *testing.T, s string) {
		if sum, path, ok := parseSum(s); ok && (len(sum) != 32 || path[0] != '/' || strings.Contains(path, "/../")) {
			t.Errorf("%q %q", sum, path)
		}
	})
}

func FuzzExtract(f *testing.F) {
	f.Add([]byte("x"), "/usr/bin/x")
	f.Fuzz(func(t *testing.T, b []byte, member string) {
		var out bytes.Buffer
		if _, err := extract(bytes.NewReader(b), member, "d41d8cd98f00b204e9800998ecf8427e", &out); err == nil && out.Len() > 0 {
			t.Error("taken with another sum")
		}
	})
}

func TestIsUnit(t *testing.T) {
	for name, want := range map[string]bool{"nginx.service": true, "a@b\\x2d.socket": true, "-x.service": false, "x": false, "a b.service": false, "../x.service": false, ".service": false, "x.conf": false} {
		if isUnit(name) != want {
			t.Errorf("%q", name)
		}
	}
}

func TestConfig(t *testing.T) {
	for name, c := range map[string]Config{"root": {Root: "x"}, "backup": {Root: "/", Backup: []string{"b"}}, "unit": {Root: "/", Units: []string{"--help"}}} {
		if err := c.Validate(); err == nil {
			t.Errorf("%s: taken", name)
		}
	}
	c := DefaultConfig()
	if err := c.Validate(); err != nil {
		t.Error(err)
	}
	if _, err := (tree{"/"}).open("/nonexistent"); !errors.Is(err, fs.ErrNotExist) {
		t.Error(err)
	}
}
