package quarantine

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/minewarden/minewarden"
	"github.com/minewarden/minewarden/internal/proc"
	"github.com/minewarden/minewarden/internal/sensortest"
	"golang.org/x/sys/unix"
)

const (
	modeEnv = "MINEWARDEN_TEST_MODE"
	dataEnv = "MINEWARDEN_TEST_DATA"
)

func TestMain(m *testing.M) {
	switch os.Getenv(modeEnv) {
	case "sleep":
		time.Sleep(time.Minute)
		os.Exit(0)
	case "act":
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
	r, err := New(minewarden.Env{Data: os.Getenv(dataEnv)})
	if err != nil {
		return err
	}
	fmt.Println("ready")
	_, err = r.Do(context.Background(), a)
	return err
}

func responder(t *testing.T) *Responder {
	t.Helper()
	r, err := New(minewarden.Env{Data: filepath.Join(t.TempDir(), "quarantine")})
	if err != nil {
		t.Fatal(err)
	}
	return r.(*Responder)
}

func about(path string) minewarden.Incident {
	return minewarden.Incident{ID: "i1", Findings: []minewarden.IncidentFinding{{Subject: minewarden.Subject{Type: minewarden.SubjectFile, ID: path}}}}
}

func plan(t *testing.T, r *Responder, inc minewarden.Incident) []minewarden.Action {
	t.Helper()
	actions, err := r.Plan(t.Context(), inc)
	if err != nil {
		t.Fatal(err)
	}
	return actions
}

func one(t *testing.T, r *Responder, inc minewarden.Incident) minewarden.Action {
	t.Helper()
	actions := plan(t, r, inc)
	if len(actions) != 1 {
		t.Fatalf("%d actions: %+v", len(actions), actions)
	}
	return actions[0]
}

func do(t *testing.T, r *Responder, a minewarden.Action) minewarden.Receipt {
	t.Helper()
	receipt, err := r.Do(t.Context(), a)
	if err != nil {
		t.Fatal(err)
	}
	return receipt
}

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// look is all that must be the same after an undo.
func look(t *testing.T, path string) (m meta, content string) {
	t.Helper()
	f, refused, err := openTarget(&target{Path: path}, "packaged")
	if err != nil || refused != "" {
		t.Fatal(refused, err)
	}
	b, err := os.ReadFile(path)
	must(t, err)
	must(t, f.close())
	m = f.meta
	m.Dev, m.Ino = 0, 0 // another inode is what a restore makes
	m.Atime = unix.Timespec{}
	return m, string(b)
}

func miner(t *testing.T, dir string) string {
	t.Helper()
	path := filepath.Join(dir, "xm rig")
	must(t, os.WriteFile(path, bytes.Repeat([]byte("randomx"), 300000), 0o600))
	must(t, os.Chown(path, 65534, 12))
	must(t, os.Chmod(path, 0o755|os.ModeSetuid))
	must(t, os.Chtimes(path, time.Unix(1e9, 5), time.Unix(1e9, 123456789)))
	if err := unix.Setxattr(path, "user.origin", []byte("a\x00b"), 0); err != nil {
		t.Logf("no extended attributes here: %v", err)
	}
	return path
}

func TestRoundTrip(t *testing.T) {
	for name, dir := range map[string]func() string{
		"same file system": t.TempDir,
		"another one": func() string {
			dir, err := os.MkdirTemp("/dev/shm", "minewarden-test-")
			must(t, err)
			t.Cleanup(func() { must(t, os.RemoveAll(dir)) })
			return dir
		},
	} {
		t.Run(name, func(t *testing.T) {
			path := miner(t, dir())
			wantMeta, want := look(t, path)
			r := responder(t)
			a := one(t, r, about(path))
			if len(a.Blast) != 1 || len(a.Refused) != 0 || !a.Reversible {
				t.Fatalf("%+v", a)
			}
			receipt := do(t, r, a)
			if _, err := os.Lstat(path); !receipt.OK || !os.IsNotExist(err) {
				t.Fatal(receipt.Result, err)
			}
			items, err := r.List()
			if err != nil || len(items) != 1 || items[0].Path != path {
				t.Fatalf("%+v %v", items, err)
			}
			if fi, err := os.Stat(items[0].File); err != nil || fi.Mode() != 0o400 {
				t.Errorf("it could be run in quarantine: %v %v", fi.Mode(), err)
			}
			if fi, err := os.Stat(r.dir); err != nil || fi.Mode().Perm() != 0o700 {
				t.Errorf("others can enter: %v %v", fi.Mode(), err)
			}
			if again := do(t, r, a); !again.Done.Equal(receipt.Done) {
				t.Error("done twice")
			}
			must(t, os.WriteFile(path, []byte("new tenant"), 0o644))
			if err := r.Undo(t.Context(), receipt); err == nil || !strings.Contains(err.Error(), "another file") {
				t.Errorf("restored over another file: %v", err)
			}
			must(t, os.Remove(path))
			for range 2 {
				must(t, r.Undo(t.Context(), receipt))
			}
			gotMeta, got := look(t, path)
			if diff := cmp.Diff(wantMeta, gotMeta); diff != "" || want != got {
				t.Errorf("not as it was: %s", diff)
			}
			if items, err := r.List(); err != nil || len(items) != 0 {
				t.Errorf("%v %v", items, err)
			}
			if left, err := os.ReadDir(filepath.Dir(path)); err != nil || len(left) != 1 {
				t.Errorf("left behind: %v %v", left, err)
			}
		})
	}
}

func TestImmutable(t *testing.T) {
	path := miner(t, t.TempDir())
	f, err := os.Open(path)
	must(t, err)
	t.Cleanup(func() {
		if g, err := os.Open(path); err == nil {
			must(t, setFlags(int(g.Fd()), keepFlags, 0))
			must(t, g.Close())
		}
	})
	if err := setFlags(int(f.Fd()), keepFlags, 0x10); err != nil {
		t.Skipf("no immutable flag here: %v", err)
	}
	must(t, f.Close())
	want, _ := look(t, path)
	r := responder(t)
	receipt := do(t, r, one(t, r, about(path)))
	if _, err := os.Lstat(path); !receipt.OK || !os.IsNotExist(err) {
		t.Fatal(receipt.Result)
	}
	must(t, r.Undo(t.Context(), receipt))
	if got, _ := look(t, path); cmp.Diff(want, got) != "" || got.Flags != 0x10 {
		t.Error(cmp.Diff(want, got))
	}
}

func TestChangedSincePlan(t *testing.T) {
	for name, change := range map[string]func(path string) error{
		"content": func(p string) error { return os.WriteFile(p, []byte("other"), 0o755) },
		"swapped": func(p string) error {
			if err := os.WriteFile(p+"2", bytes.Repeat([]byte("randomx"), 300000), 0o755); err != nil {
				return err
			}
			return os.Rename(p+"2", p)
		},
		"link":           func(p string) error { return os.Rename(link(t, "/etc/passwd", p+"2"), p) },
		"directory link": func(p string) error { return swapDir(filepath.Dir(p)) },
	} {
		t.Run(name, func(t *testing.T) {
			dir := filepath.Join(t.TempDir(), "d")
			must(t, os.Mkdir(dir, 0o755))
			path := miner(t, dir)
			r := responder(t)
			a := one(t, r, about(path))
			must(t, change(path))
			before, err := os.ReadFile(path)
			must(t, err)
			receipt := do(t, r, a)
			after, err := os.ReadFile(path)
			if receipt.OK || err != nil || !bytes.Equal(before, after) {
				t.Errorf("%q, %v", receipt.Result, err)
			}
			if files, err := os.ReadDir(filepath.Join(r.dir, "files")); err == nil && len(files) > 0 {
				t.Errorf("a copy is left: %v", files)
			}
		})
	}
}

func link(t *testing.T, to, at string) string { must(t, os.Symlink(to, at)); return at }

func swapDir(dir string) error {
	if err := os.Rename(dir, dir+"2"); err != nil {
		return err
	}
	return os.Symlink(dir+"2", dir)
}

// TestSwapBeforeUnlink puts another file under the name between copy and unlink: it must stay.
func TestSwapBeforeUnlink(t *testing.T) {
	path := miner(t, t.TempDir())
	f, refused, err := openTarget(&target{Path: path}, "")
	if err != nil || refused != "" {
		t.Fatal(refused, err)
	}
	must(t, os.Rename(path, path+".moved"))
	must(t, os.WriteFile(path, []byte("innocent"), 0o644))
	if err := f.unlink("x"); err == nil {
		t.Error("took another file away")
	}
	must(t, f.close())
	if b, err := os.ReadFile(path); err != nil || string(b) != "innocent" {
		t.Errorf("%q %v", b, err)
	}
}

func TestRefused(t *testing.T) {
	r := responder(t)
	keys := filepath.Join(t.TempDir(), ".ssh", "authorized_keys")
	must(t, os.Mkdir(filepath.Dir(keys), 0o700))
	must(t, os.WriteFile(keys, []byte("ssh-ed25519 AAAA admin\nssh-ed25519 AAAA intruder\n"), 0o600))
	for path, why := range map[string]string{"/dev/null": "kernel", "/proc/self/status": "kernel", "/bin/true": "package", keys: "lines", "/etc/passwd": "lines"} {
		a := one(t, r, about(path))
		if len(a.Refused) != 1 || !strings.Contains(a.Refused[0], why) || len(a.Blast) != 0 {
			t.Errorf("%s: %+v", path, a)
		}
		if receipt := do(t, r, a); receipt.OK {
			t.Errorf("%s: %s", path, receipt.Result)
		}
		if _, err := os.Stat(path); err != nil {
			t.Fatal(err)
		}
	}
	if actions := plan(t, r, about("/no/such/file")); len(actions) != 0 {
		t.Errorf("%+v", actions)
	}
}

// A drill's processes run the agent's own file, which no force takes away.
func TestNotItself(t *testing.T) {
	own, err := os.Readlink("/proc/self/exe")
	must(t, err)
	r := responder(t)
	inc := minewarden.Incident{ID: "i1", Members: []minewarden.Member{start(t, exec.Command(own))}}
	a := one(t, r, inc)
	if len(a.Blast) > 0 || len(a.Refused) != 1 || !strings.Contains(a.Refused[0], "minewarden itself") {
		t.Errorf("%+v", a)
	}
	a.Params[ParamForce] = "packaged"
	if receipt := do(t, r, a); receipt.OK {
		t.Error(receipt.Result)
	}
	if _, err := os.Stat(own); err != nil {
		t.Fatal(err)
	}
}

// The shell that waits for a miner is not the miner's file; its script is.
func TestWrapper(t *testing.T) {
	script := filepath.Join(t.TempDir(), "run")
	must(t, os.WriteFile(script, []byte("#!/bin/sh\nread x\n"), 0o755))
	m := minewarden.Member{Key: minewarden.ProcessKey{PID: 1 << 22, Start: 1}, Name: "sh", Exe: "/bin/sh", Package: "dpkg:dash", Args: []string{"/bin/sh", script}}
	if a := one(t, responder(t), minewarden.Incident{ID: "i1", Members: []minewarden.Member{m}}); a.Target.ID != script {
		t.Errorf("%+v", a)
	}
}

func start(t *testing.T, cmd *exec.Cmd) minewarden.Member {
	t.Helper()
	cmd.Env = append(os.Environ(), modeEnv+"=sleep")
	must(t, cmd.Start())
	t.Cleanup(func() {
		must(t, cmd.Process.Kill())
		if err := cmd.Wait(); err == nil {
			t.Error("the child ended by itself")
		}
	})
	s, err := proc.ReadStat(int32(cmd.Process.Pid))
	must(t, err)
	boot, err := proc.Boot()
	must(t, err)
	return minewarden.Member{Key: minewarden.ProcessKey{Boot: boot, PID: s.PID, Start: s.Start}, Exe: cmd.Path, Args: cmd.Args}
}

func self(t *testing.T, to string) string {
	t.Helper()
	b, err := os.ReadFile("/proc/self/exe")
	must(t, err)
	must(t, os.WriteFile(to, b, 0o755))
	return to
}

// static builds a program that waits and needs no libraries, so that it runs where there are none.
func static(t *testing.T, to string) string {
	t.Helper()
	src := filepath.Join(t.TempDir(), "wait.c")
	must(t, os.WriteFile(src, []byte("#include <unistd.h>\nint main(void) { for (;;) pause(); }\n"), 0o644))
	if out, err := exec.Command("gcc", "-static", "-o", to, src).CombinedOutput(); err != nil {
		sensortest.Need(t, fmt.Errorf("%w: gcc -static: %w: %s", minewarden.ErrUnsupported, err, out))
	}
	return to
}

func TestDeletedExecutable(t *testing.T) {
	exe := self(t, filepath.Join(t.TempDir(), "xmrig"))
	m := start(t, exec.Command(exe))
	must(t, os.Remove(exe))
	r := responder(t)
	receipt := do(t, r, one(t, r, minewarden.Incident{ID: "i", Members: []minewarden.Member{m}}))
	items, err := r.List()
	if err != nil || !receipt.OK || len(items) != 1 {
		t.Fatal(receipt.Result, items, err)
	}
	me, err := os.Executable()
	must(t, err)
	want, err := hashFile(t.Context(), me)
	must(t, err)
	if got, err := hashFile(t.Context(), items[0].File); err != nil || got != want {
		t.Errorf("copy has %s, want %s: %v", got, want, err)
	}
	must(t, r.Undo(t.Context(), receipt))
	if _, err := os.Lstat(exe); !os.IsNotExist(err) {
		t.Errorf("undo made a file that was not there: %v", err)
	}
}

// What runs on while its file is in quarantine is not offered again, under the name that the file had on its way there.
func TestNotTwice(t *testing.T) {
	exe := self(t, filepath.Join(t.TempDir(), "xmrig"))
	inc := minewarden.Incident{ID: "i1", Members: []minewarden.Member{start(t, exec.Command(exe))}}
	r := responder(t)
	receipt := do(t, r, one(t, r, inc))
	if !receipt.OK {
		t.Fatal(receipt.Result)
	}
	if actions := plan(t, r, inc); len(actions) != 0 {
		t.Errorf("%+v", actions)
	}
	must(t, r.Undo(t.Context(), receipt))
}

func TestExecutableWithConfig(t *testing.T) {
	dir := t.TempDir()
	exe := self(t, filepath.Join(dir, "nginx"))
	must(t, os.WriteFile(filepath.Join(dir, "config.json"), []byte(`{"pools":[{"url":"p:1","user":"4x"}]}`), 0o644))
	must(t, os.WriteFile(filepath.Join(dir, "other.conf"), []byte(`wallet=4x algo=rx/0`), 0o644))
	must(t, os.WriteFile(filepath.Join(dir, "notes.txt"), []byte(`shopping list`), 0o644))
	cmd := exec.Command(exe, "--config=other.conf", "-x", filepath.Join(dir, "notes.txt"))
	cmd.Dir = dir
	m := start(t, cmd)
	var got []string
	r := responder(t)
	for _, a := range plan(t, r, minewarden.Incident{ID: "i", Members: []minewarden.Member{m}}) {
		got = append(got, filepath.Base(a.Target.ID))
	}
	if diff := cmp.Diff([]string{"nginx", "other.conf", "config.json"}, got); diff != "" {
		t.Error(diff)
	}
}

// TestOtherRoot quarantines a file in the file system that the process sees, not the host's of the same name.
func TestOtherRoot(t *testing.T) {
	if os.Getuid() != 0 {
		t.Skip("needs root")
	}
	root := t.TempDir()
	inside := static(t, filepath.Join(root, "miner"))
	cmd := exec.Command("/miner")
	cmd.SysProcAttr = &syscall.SysProcAttr{Chroot: root}
	cmd.Dir = "/"
	m := start(t, cmd)
	m.Container.ID = "c"
	r := responder(t)
	receipt := do(t, r, one(t, r, minewarden.Incident{ID: "i", Members: []minewarden.Member{m}}))
	if _, err := os.Lstat(inside); !receipt.OK || !os.IsNotExist(err) {
		t.Fatal(receipt.Result, err)
	}
	must(t, r.Undo(t.Context(), receipt))
	if _, err := os.Lstat(inside); err != nil {
		t.Error(err)
	}
}

// TestOtherMounts quarantines a file that only the process sees.
func TestOtherMounts(t *testing.T) {
	if os.Getuid() != 0 {
		t.Skip("needs root")
	}
	me, err := os.Executable()
	must(t, err)
	path := filepath.Join(t.TempDir(), "miner")
	m := start(t, exec.Command("unshare", "-m", "sh", "-c", `mount -t tmpfs none "$1" && cp "$2" "$1/miner" && exec "$1/miner"`, "sh", filepath.Dir(path), me))
	exe := fmt.Sprintf("/proc/%d/exe", m.Key.PID)
	for end := time.Now().Add(20 * time.Second); ; time.Sleep(2 * time.Millisecond) {
		if at, err := os.Readlink(exe); err == nil && at == path {
			break
		}
		if time.Now().After(end) {
			t.Fatal("the child did not start")
		}
	}
	inside := fmt.Sprintf("/proc/%d/root%s", m.Key.PID, path)
	r := responder(t)
	receipt := do(t, r, one(t, r, minewarden.Incident{ID: "i", Members: []minewarden.Member{m}}))
	if _, err := os.Lstat(inside); !receipt.OK || !os.IsNotExist(err) {
		t.Fatal(receipt.Result, err)
	}
	must(t, r.Undo(t.Context(), receipt))
	if _, err := os.Lstat(inside); err != nil {
		t.Error(err)
	}
}

// TestRecover kills the agent at any moment: the file is in quarantine whole or where it was, and never lost.
func TestRecover(t *testing.T) {
	for range 20 {
		dir := t.TempDir()
		path := miner(t, dir)
		wantMeta, want := look(t, path)
		r := responder(t)
		input, err := json.Marshal(one(t, r, about(path)))
		must(t, err)
		cmd := exec.Command(os.Args[0])
		cmd.Env = append(os.Environ(), modeEnv+"=act", dataEnv+"="+r.dir)
		cmd.Stdin = bytes.NewReader(input)
		out, err := cmd.StdoutPipe()
		must(t, err)
		must(t, cmd.Start())
		if lines := bufio.NewScanner(out); !lines.Scan() || lines.Text() != "ready" {
			t.Fatalf("the agent did not start: %q", lines.Text())
		}
		time.Sleep(time.Duration(rand.IntN(50000)) * time.Microsecond)
		must(t, cmd.Process.Kill())
		_ = cmd.Wait() // it was killed, or had ended
		receipts, err := r.Recover(t.Context())
		must(t, err)
		if len(receipts) == 1 && receipts[0].OK {
			if _, err := os.Lstat(path); !os.IsNotExist(err) {
				t.Errorf("%s, but it is there: %v", receipts[0].Result, err)
			}
			must(t, r.Undo(t.Context(), receipts[0]))
		}
		gotMeta, got := look(t, path)
		if diff := cmp.Diff(wantMeta, gotMeta); diff != "" || got != want {
			t.Errorf("not as it was: %s", diff)
		}
		if left, err := os.ReadDir(dir); err != nil || len(left) != 1 {
			t.Errorf("left behind: %v %v", left, err)
		}
		if left, err := os.ReadDir(filepath.Join(r.dir, "files")); err == nil && len(left) != 0 {
			t.Errorf("left in quarantine: %v", left)
		}
	}
}
