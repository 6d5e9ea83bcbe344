package evidence

import (
	"bufio"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"testing"
	"time"

	"github.com/klauspost/compress/zstd"
	"golang.org/x/sys/unix"

	"github.com/minewarden/minewarden"
	"github.com/minewarden/minewarden/internal/proc"
	"github.com/minewarden/minewarden/internal/sensortest"
	"github.com/minewarden/minewarden/responders/evidence/vault"
)

const (
	modeEnv = "MINEWARDEN_TEST_MODE"
	dataEnv = "MINEWARDEN_TEST_DATA"
	addrEnv = "MINEWARDEN_TEST_ADDR"
	fileEnv = "MINEWARDEN_TEST_FILE"
)

const (
	jitMark     = "executable-memory-of-the-victim!"
	heapMark    = "ordinary-memory-of-the-victim!!!"
	deletedText = "a file that has no name any more"
)

func TestMain(m *testing.M) {
	var err error
	switch os.Getenv(modeEnv) {
	case "":
		os.Exit(m.Run())
	case "victim":
		err = victim()
	case "collect":
		err = collectChild()
	case "churn":
		err = churn()
	case "trap":
		err = trap()
	}
	if err != nil {
		fmt.Println("error", err)
		os.Exit(1)
	}
	os.Exit(0)
}

// mark writes a text that is in no file: the binary holds it turned around.
func mark(b []byte, s string) {
	for i := range len(s) {
		b[i] = s[i] ^ 0x55
	}
}

func marked(b []byte, s string) bool {
	want := make([]byte, len(s))
	mark(want, s)
	return strings.Contains(string(b), string(want))
}

// victim is what a miner looks like from outside: executable memory without a file, a large table, a deleted file, a connection.
func victim() error {
	jit, err := unix.Mmap(-1, 0, 64<<10, unix.PROT_READ|unix.PROT_WRITE|unix.PROT_EXEC, unix.MAP_PRIVATE|unix.MAP_ANON)
	if err != nil {
		return err
	}
	mark(jit[5000:], jitMark)
	table, err := unix.Mmap(-1, 0, 64<<20, unix.PROT_READ|unix.PROT_WRITE, unix.MAP_PRIVATE|unix.MAP_ANON)
	if err != nil {
		return err
	}
	rng := rand.NewChaCha8([32]byte{1})
	rng.Read(table[:8<<20])
	clear(table[8<<20 : 16<<20]) // touched, but zero
	mark(table[3<<20:], heapMark)
	f, err := os.Create(os.Getenv(fileEnv))
	if err != nil {
		return err
	}
	if _, err := f.WriteString(deletedText); err != nil {
		return err
	}
	if err := os.Remove(f.Name()); err != nil {
		return err
	}
	if addr := os.Getenv(addrEnv); addr != "" {
		c, err := net.Dial("tcp", addr)
		if err != nil {
			return err
		}
		defer c.Close()
	}
	fmt.Println("ready")
	time.Sleep(time.Minute)
	return f.Close()
}

// churn starts processes that end at once, and grows and shrinks its memory.
func churn() error {
	fmt.Println("ready")
	for end := time.Now().Add(20 * time.Second); time.Now().Before(end); {
		cmd := exec.Command("/bin/true")
		if err := cmd.Run(); err != nil {
			return err
		}
		b, err := unix.Mmap(-1, 0, 4<<20, unix.PROT_READ|unix.PROT_WRITE|unix.PROT_EXEC, unix.MAP_PRIVATE|unix.MAP_ANON)
		if err != nil {
			return err
		}
		for i := range b {
			b[i] = byte(i * 7)
		}
		if err := unix.Munmap(b); err != nil {
			return err
		}
	}
	return nil
}

// trap makes whoever looks at its open files wait: one is of a file system that never answers.
func trap() error {
	runtime.LockOSThread() // the mount namespace is this thread's
	dev := filepath.Join(os.Getenv(fileEnv), "fuse")
	if err := unix.Mknod(dev, unix.S_IFCHR|0o600, int(unix.Mkdev(10, 229))); err != nil {
		return err
	}
	fd, err := unix.Open(dev, unix.O_RDWR|unix.O_CLOEXEC, 0)
	if err != nil {
		fmt.Println("unsupported", err)
		return nil
	}
	if err := unix.Unshare(unix.CLONE_NEWNS); err != nil {
		return err
	}
	if err := unix.Mount("", "/", "", unix.MS_REC|unix.MS_PRIVATE, ""); err != nil {
		return err
	}
	dir := filepath.Join(os.Getenv(fileEnv), "mnt")
	if err := os.Mkdir(dir, 0o700); err != nil {
		return err
	}
	if err := unix.Mount("x", dir, "fuse", 0, fmt.Sprintf("fd=%d,rootmode=40000,user_id=0,group_id=0", fd)); err != nil {
		fmt.Println("unsupported", err)
		return nil
	}
	if _, err := unix.Open(dir, unix.O_PATH, 0); err != nil { // asks nobody
		return err
	}
	fmt.Println("ready")
	select {}
}

func collectChild() error {
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

// start runs this test again in a mode, under a name, and waits until it is ready.
func start(t *testing.T, mode, exe string, args []string, env ...string) *exec.Cmd {
	t.Helper()
	cmd := exec.Command(exe, args...)
	cmd.Env = append(os.Environ(), append(env, modeEnv+"="+mode)...)
	return ready(t, cmd)
}

func ready(t *testing.T, cmd *exec.Cmd) *exec.Cmd {
	t.Helper()
	out, err := cmd.StdoutPipe()
	must(t, err)
	cmd.Stderr = os.Stderr
	must(t, cmd.Start())
	t.Cleanup(func() {
		cmd.Process.Kill()
		cmd.Wait()
	})
	line, err := bufio.NewReader(out).ReadString('\n')
	if strings.HasPrefix(line, "unsupported") {
		sensortest.Need(t, fmt.Errorf("%w: %s", minewarden.ErrUnsupported, line))
	}
	if err != nil || line != "ready\n" {
		t.Fatalf("child says %q: %v", line, err)
	}
	return cmd
}

func must(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func self(t *testing.T) string {
	t.Helper()
	exe, err := os.Executable()
	must(t, err)
	return exe
}

// copyOfSelf puts this program at path.
func copyOfSelf(t *testing.T, path string) string {
	t.Helper()
	b, err := os.ReadFile(self(t))
	must(t, err)
	must(t, os.WriteFile(path, b, 0o755))
	return path
}

func responder(t *testing.T, change func(*Config)) *Responder {
	t.Helper()
	sensortest.Root(t)
	env := minewarden.Env{Data: filepath.Join(t.TempDir(), "data", "responders", Name)}
	env.Decode = func(into any) error {
		c := into.(*Config)
		c.Logs, c.Docker = nil, ""
		if change != nil {
			change(c)
		}
		return nil
	}
	r, err := New(env)
	must(t, err)
	return r.(*Responder)
}

func about(t *testing.T, pids ...int) minewarden.Incident {
	t.Helper()
	inc := minewarden.Incident{ID: "i1", Opened: time.Now(), Updated: time.Now(), Subject: minewarden.Subject{Type: minewarden.SubjectProcess}}
	for _, pid := range pids {
		s, err := proc.ReadStat(int32(pid))
		must(t, err)
		inc.Members = append(inc.Members, minewarden.Member{Key: minewarden.ProcessKey{PID: s.PID, Start: s.Start}, Name: s.Comm})
	}
	return inc
}

func planOne(t *testing.T, r *Responder, inc minewarden.Incident) minewarden.Action {
	t.Helper()
	actions, err := r.Plan(t.Context(), inc)
	must(t, err)
	if len(actions) != 1 {
		t.Fatalf("%d actions: %+v", len(actions), actions)
	}
	a := actions[0]
	a.Params[ParamWho], a.Params[ParamWhy] = "user test", "to see \x1b[31mwhat\x00 happens"
	return a
}

func do(t *testing.T, r *Responder, a minewarden.Action) (minewarden.Receipt, vault.Manifest) {
	t.Helper()
	receipt, err := r.Do(t.Context(), a)
	must(t, err)
	if !receipt.OK {
		t.Fatalf("not done: %s", receipt.Result)
	}
	return receipt, sound(t, r, receipt.State["dir"])
}

// sound verifies a collection and returns its manifest.
func sound(t *testing.T, r *Responder, dir string) vault.Manifest {
	t.Helper()
	pub, err := r.vault.PublicKey()
	must(t, err)
	report, err := vault.Verify(t.Context(), dir, pub)
	must(t, err)
	if !report.OK() || !report.Known {
		t.Fatalf("faults: %q", report.Faults)
	}
	return report.Manifest
}

// parts returns the contents of the parts of a kind.
func parts(t *testing.T, dir string, m vault.Manifest, what string) (found []vault.Part, contents [][]byte) {
	t.Helper()
	for _, p := range m.Parts {
		if p.What != what {
			continue
		}
		f, err := os.Open(filepath.Join(dir, p.File))
		must(t, err)
		d, err := zstd.NewReader(f)
		must(t, err)
		b, err := io.ReadAll(d)
		must(t, err)
		d.Close()
		must(t, f.Close())
		if int64(len(b)) != p.Size {
			t.Errorf("%s holds %d bytes, its part says %d", p.File, len(b), p.Size)
		}
		found, contents = append(found, p), append(contents, b)
	}
	return found, contents
}

func itoa(n int) string { return fmt.Sprint(n) }
