package evidence

import (
	"archive/tar"
	"bytes"
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/minewarden/minewarden"
	"github.com/minewarden/minewarden/internal/proc"
	"github.com/minewarden/minewarden/internal/sensortest"
	"github.com/minewarden/minewarden/responders/evidence/vault"
)

func untar(t *testing.T, b []byte) map[string]string {
	t.Helper()
	out := map[string]string{}
	r := tar.NewReader(bytes.NewReader(b))
	for {
		h, err := r.Next()
		if errors.Is(err, io.EOF) {
			return out
		}
		must(t, err)
		body, err := io.ReadAll(r)
		must(t, err)
		out[h.Name] = string(body)
	}
}

// lime reads ranges, and returns how many bytes they hold and all of them.
func lime(t *testing.T, b []byte) []byte {
	t.Helper()
	var out []byte
	last := uint64(0)
	for len(b) > 0 {
		if binary.LittleEndian.Uint32(b) != limeMagic || binary.LittleEndian.Uint32(b[4:]) != limeVersion {
			t.Fatalf("no range: %x", b[:8])
		}
		from, to := binary.LittleEndian.Uint64(b[8:]), binary.LittleEndian.Uint64(b[16:])
		n := to - from + 1
		if from < last || n%pageSize != 0 || n > uint64(len(b)-32) {
			t.Fatalf("range %x to %x after %x", from, to, last)
		}
		last = to + 1
		out = append(out, b[32:32+n]...)
		b = b[32+n:]
	}
	return out
}

func TestCollect(t *testing.T) {
	dir := t.TempDir()
	name := "mi\x1b[31mner\n<b>\xff"
	exe := copyOfSelf(t, filepath.Join(dir, name))
	l, err := net.Listen("tcp", "127.0.0.1:0")
	must(t, err)
	defer l.Close()
	huge := strings.Repeat("A", 100<<10)
	cmd := start(t, "victim", exe, []string{huge, "\x1b]0;x\a"}, addrEnv+"="+l.Addr().String(), fileEnv+"="+filepath.Join(dir, "gone\n file"))
	must(t, os.Remove(exe))
	config := filepath.Join(dir, "config\x07.json")
	must(t, os.WriteFile(config, []byte(`{"url":"pool"}`), 0o640))
	fifo := filepath.Join(dir, "fifo")
	must(t, unix.Mkfifo(fifo, 0o600))
	log := filepath.Join(dir, "auth.log")
	must(t, os.WriteFile(log, []byte("2001-01-01T00:00:00+00:00 h x[1]: old\n"+time.Now().Format(time.RFC3339)+" h sshd[9]: now\n"+
		"2001-01-01T00:00:00+00:00 h y: read "+config+"\n"), 0o600))

	r := responder(t, func(c *Config) { c.Logs = []string{filepath.Join(dir, "*.log")} })
	inc := about(t, cmd.Process.Pid)
	inc.Members[0].Since = time.Now()
	inc.Findings = []minewarden.IncidentFinding{
		{Subject: minewarden.Subject{Type: minewarden.SubjectFile, ID: config}},
		{Evidence: []minewarden.Evidence{{Key: "path", Value: fifo}, {Key: "path", Value: "/proc/self/mem"}, {Key: "x", Value: "/dev/zero"}}},
	}
	a := planOne(t, r, inc)
	a.Params[ParamMemory], a.Params[ParamHold] = MemoryWhole, "yes"
	began := time.Now()
	receipt, m := do(t, r, a)
	t.Logf("%s in %s", receipt.Result, time.Since(began))
	at := receipt.State["dir"]

	want := sha256.New()
	f, err := os.Open(self(t))
	must(t, err)
	_, err = io.Copy(want, f)
	must(t, errors.Join(err, f.Close()))
	exes, _ := parts(t, at, m, "executable")
	if len(exes) != 1 || exes[0].Content != hex.EncodeToString(want.Sum(nil)) || !strings.Contains(exes[0].Source, "(deleted)") {
		t.Errorf("executable: %+v", exes)
	}
	memory, dumps := parts(t, at, m, "memory")
	if len(memory) != 2 {
		t.Fatalf("memory: %+v", memory)
	}
	jit, whole := lime(t, dumps[0]), lime(t, dumps[1])
	if !marked(jit, jitMark) || marked(jit, heapMark) {
		t.Error("the executable memory is not what it should be")
	}
	if !marked(whole, heapMark) || len(whole) > 40<<20 || len(whole) < 8<<20 {
		t.Errorf("the whole memory has %d bytes", len(whole))
	}
	_, facts := parts(t, at, m, "process")
	if len(facts) != 1 {
		t.Fatalf("%d processes", len(facts))
	}
	files := untar(t, facts[0])
	if !strings.Contains(files["cmdline"], huge) || !strings.Contains(files["environ"], addrEnv) || files["maps"] == "" || files["limits"] == "" ||
		files["status"] == "" || files["cgroup"] == "" || !strings.Contains(files["links"], "ns/net") {
		t.Errorf("facts lack something: %d bytes of arguments", len(files["cmdline"]))
	}
	if !strings.Contains(files["sockets.jsonl"], `"remote":"`+l.Addr().String()+`"`) || !strings.Contains(files["sockets.jsonl"], "established") {
		t.Errorf("sockets: %s", files["sockets.jsonl"])
	}
	if !strings.Contains(files["files.jsonl"], "gone") || !strings.Contains(files["files.jsonl"], `"deleted":true`) {
		t.Errorf("open files: %s", files["files.jsonl"])
	}
	if _, b := parts(t, at, m, "deleted"); len(b) != 1 || string(b[0]) != deletedText {
		t.Errorf("deleted files: %q", b)
	}
	if p, b := parts(t, at, m, "file"); len(b) != 1 || string(b[0]) != `{"url":"pool"}` || p[0].Meta.Mode&0o777 != 0o640 {
		t.Errorf("files: %q %+v", b, p)
	}
	if _, b := parts(t, at, m, "log"); len(b) != 1 || strings.Contains(string(b[0]), "old") || strings.Count(string(b[0]), "\n") != 2 {
		t.Errorf("logs: %q", b)
	}
	if _, b := parts(t, at, m, "incident"); len(b) != 1 || !bytes.Contains(b[0], []byte(`"i1"`)) {
		t.Errorf("incident: %q", b)
	}
	if len(m.Processes) != 1 || m.Processes[0].State != "held" || m.Partial != "" || m.Incident != "i1" || m.Host == "" || m.Boot == "" || m.Kernel == "" {
		t.Errorf("manifest: %+v", m)
	}
	if still, err := proc.Still(int32(cmd.Process.Pid), false); err != nil || still {
		t.Error("the process was not let go on")
	}
	fi, err := os.Stat(at)
	must(t, err)
	if fi.Mode().Perm() != 0o700 {
		t.Errorf("mode of the collection: %s", fi.Mode())
	}
	again, err := r.Do(t.Context(), a)
	if err != nil || again.Result != receipt.Result {
		t.Errorf("a second time: %v %v", again.Result, err)
	}
}

func TestFrozenIsSaid(t *testing.T) {
	cmd := start(t, "victim", self(t), nil, fileEnv+"="+filepath.Join(t.TempDir(), "x"))
	must(t, cmd.Process.Signal(unix.SIGSTOP))
	for {
		if still, err := proc.Still(int32(cmd.Process.Pid), false); err != nil || still {
			break
		}
	}
	r := responder(t, nil)
	_, m := do(t, r, planOne(t, r, about(t, cmd.Process.Pid)))
	if m.Processes[0].State != "frozen" || m.Processes[0].Ticks != 0 {
		t.Errorf("%+v", m.Processes)
	}
	if still, err := proc.Still(int32(cmd.Process.Pid), false); err != nil || !still {
		t.Error("what somebody else froze was let go on")
	}
}

func TestMemfd(t *testing.T) {
	fd, err := unix.MemfdCreate("kworker/0:1", 0)
	must(t, err)
	f := os.NewFile(uintptr(fd), "memfd")
	defer f.Close()
	b, err := os.ReadFile(self(t))
	must(t, err)
	_, err = f.Write(b)
	must(t, err)
	cmd := start(t, "victim", "/proc/"+itoa(os.Getpid())+"/fd/"+itoa(fd), nil, fileEnv+"="+filepath.Join(t.TempDir(), "x"))
	r := responder(t, nil)
	receipt, m := do(t, r, planOne(t, r, about(t, cmd.Process.Pid)))
	want := sha256.Sum256(b)
	p, _ := parts(t, receipt.State["dir"], m, "executable")
	if len(p) != 1 || p[0].Content != hex.EncodeToString(want[:]) || !strings.Contains(p[0].Source, "memfd:kworker") {
		t.Errorf("%+v", p)
	}
}

func TestProcessesThatEndMeanwhile(t *testing.T) {
	cmd := start(t, "churn", self(t), nil)
	r := responder(t, nil)
	for range 3 {
		a := planOne(t, r, about(t, cmd.Process.Pid))
		a.Params[ParamMemory] = MemoryWhole
		_, m := do(t, r, a)
		if m.Partial != "" {
			t.Errorf("partial: %s", m.Partial)
		}
	}
	a := planOne(t, r, about(t, cmd.Process.Pid))
	cmd.Process.Kill()
	cmd.Wait()
	if _, m := do(t, r, a); len(m.Parts) != 1 { // the incident itself
		t.Errorf("of a process that ended: %+v", m.Parts)
	}
}

func TestDeadline(t *testing.T) {
	cmd := start(t, "victim", self(t), nil, fileEnv+"="+filepath.Join(t.TempDir(), "x"))
	r := responder(t, func(c *Config) { c.Deadline = time.Nanosecond })
	a := planOne(t, r, about(t, cmd.Process.Pid))
	_, m := do(t, r, a)
	if !strings.Contains(m.Partial, "1ns") || len(m.Skipped) == 0 {
		t.Errorf("%q %+v", m.Partial, m.Skipped)
	}
}

func TestBounds(t *testing.T) {
	cmd := start(t, "victim", self(t), nil, fileEnv+"="+filepath.Join(t.TempDir(), "x"))
	t.Run("collection", func(t *testing.T) {
		r := responder(t, func(c *Config) { c.MaxSize = 4 })
		a := planOne(t, r, about(t, cmd.Process.Pid))
		a.Params[ParamMemory] = MemoryWhole
		receipt, m := do(t, r, a)
		size, err := onDisk(receipt.State["dir"])
		must(t, err)
		if size > 5<<20 || m.Partial == "" {
			t.Errorf("%d bytes, partial %q", size, m.Partial)
		}
	})
	t.Run("memory", func(t *testing.T) {
		r := responder(t, func(c *Config) { c.MaxMemory = 2 })
		a := planOne(t, r, about(t, cmd.Process.Pid))
		a.Params[ParamMemory] = MemoryWhole
		receipt, m := do(t, r, a)
		p, _ := parts(t, receipt.State["dir"], m, "memory")
		if len(p) != 2 || p[1].Size != 2<<20 || !strings.Contains(p[1].Cut, "larger than") || m.Partial != "" {
			t.Errorf("%+v %q", p, m.Partial)
		}
	})
	t.Run("all", func(t *testing.T) {
		r := responder(t, func(c *Config) { c.MaxTotal = 1 })
		do(t, r, planOne(t, r, about(t, cmd.Process.Pid)))
		receipt, err := r.Do(t.Context(), planOne(t, r, about(t, cmd.Process.Pid)))
		if err != nil || receipt.OK || !strings.Contains(receipt.Result, "max_total") {
			t.Errorf("%+v %v", receipt, err)
		}
	})
	t.Run("age", func(t *testing.T) {
		r := responder(t, func(c *Config) { c.Keep = time.Hour })
		receipt, _ := do(t, r, planOne(t, r, about(t, cmd.Process.Pid)))
		r.now = func() time.Time { return time.Now().Add(2 * time.Hour) }
		do(t, r, planOne(t, r, about(t, cmd.Process.Pid)))
		report, err := vault.Verify(t.Context(), receipt.State["dir"], nil)
		if err != nil || !report.Expired || !report.OK() {
			t.Errorf("%+v %v", report, err)
		}
		if n, err := onDisk(receipt.State["dir"]); err != nil || n > 64<<10 {
			t.Errorf("%d bytes are left: %v", n, err)
		}
	})
}

// TestFullDisk uses a file system of its own.
func TestFullDisk(t *testing.T) {
	sensortest.Root(t)
	dir := t.TempDir()
	const size = 64 << 20
	if err := unix.Mount("tmpfs", dir, "tmpfs", 0, "size=67108864,mode=700"); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { must(t, unix.Unmount(dir, unix.MNT_DETACH)) })
	cmd := start(t, "victim", self(t), nil, fileEnv+"="+filepath.Join(t.TempDir(), "x"))
	r := responder(t, func(c *Config) { c.Dir = filepath.Join(dir, "evidence") })
	for try := range 20 {
		a := planOne(t, r, about(t, cmd.Process.Pid))
		a.Params[ParamMemory] = MemoryWhole
		receipt, err := r.Do(t.Context(), a)
		must(t, err)
		free, total, err := statfs(dir)
		must(t, err)
		if free < total/reserve {
			t.Fatalf("after try %d %d of %d bytes are free", try, free, total)
		}
		if !receipt.OK {
			if try < 2 || !strings.Contains(receipt.Result, "last 10 %") {
				t.Errorf("try %d: %s", try, receipt.Result)
			}
			items, err := r.vault.List()
			if err != nil || len(items) != try {
				t.Errorf("%d collections after %d: %v", len(items), try, err)
			}
			return
		}
		sound(t, r, receipt.State["dir"])
	}
	t.Errorf("%d bytes were never full", size)
}

func TestImage(t *testing.T) {
	root := filepath.Join(t.TempDir(), "tree")
	must(t, os.MkdirAll(filepath.Join(root, "a", "b\n\x1b"), 0o755))
	must(t, os.WriteFile(filepath.Join(root, "a", "b\n\x1b", "f\xff"), bytes.Repeat([]byte("x"), 3<<20), 0o4755))
	must(t, os.Symlink("/etc/shadow", filepath.Join(root, "link")))
	must(t, unix.Mkfifo(filepath.Join(root, "fifo"), 0o600))
	must(t, unix.Mknod(filepath.Join(root, "zero"), unix.S_IFCHR|0o666, int(unix.Mkdev(1, 5))))
	l, err := net.Listen("unix", filepath.Join(root, "sock"))
	must(t, err)
	defer l.Close()
	cmd := start(t, "victim", self(t), nil, fileEnv+"="+filepath.Join(t.TempDir(), "x"))
	r := responder(t, nil)
	a := planOne(t, r, about(t, cmd.Process.Pid))
	a.Params[ParamPath], a.Params[ParamMemory] = root, MemoryNone
	receipt, m := do(t, r, a)
	p, b := parts(t, receipt.State["dir"], m, "image")
	if len(p) != 1 || p[0].Cut != "" {
		t.Fatalf("%+v %+v", p, m.Skipped)
	}
	got := untar(t, b[0])
	if len(got["a/b\n\x1b/f\xff"]) != 3<<20 || len(got) != 6 {
		t.Errorf("%d entries", len(got))
	}
	if mem, _ := parts(t, receipt.State["dir"], m, "memory"); len(mem) != 0 {
		t.Error("memory was collected")
	}
	a = planOne(t, r, about(t, cmd.Process.Pid))
	a.Params[ParamPath] = filepath.Join(root, "fifo")
	if _, m := do(t, r, a); !strings.Contains(m.Skipped[len(m.Skipped)-1].Why, "neither") {
		t.Errorf("%+v", m.Skipped)
	}
}

// TestKilled kills a collection at random moments: what the next start makes of it is signed, whole, and says that it is partial.
func TestKilled(t *testing.T) {
	victimOf := start(t, "victim", self(t), nil, fileEnv+"="+filepath.Join(t.TempDir(), "x"))
	partial := 0
	const rounds = 12
	for i := range rounds {
		r := responder(t, nil)
		a := planOne(t, r, about(t, victimOf.Process.Pid))
		a.Params[ParamMemory], a.Params[ParamHold] = MemoryWhole, "yes"
		in, err := json.Marshal(a)
		must(t, err)
		cmd := exec.Command(self(t))
		cmd.Env = append(os.Environ(), modeEnv+"=collect", dataEnv+"="+filepath.Join(r.vault.Keys, "..", "responders", Name))
		cmd.Stdin = bytes.NewReader(in)
		ready(t, cmd)
		time.Sleep(time.Duration(rand.IntN(60)*i) * time.Millisecond / rounds)
		cmd.Process.Kill()
		cmd.Wait()
		receipts, err := r.Recover(t.Context())
		must(t, err)
		items, err := r.vault.List()
		must(t, err)
		for _, item := range items {
			m := sound(t, r, item.Dir)
			if m.Partial != "" {
				partial++
			}
			if len(receipts) != 1 || !receipts[0].OK {
				t.Errorf("a collection without a receipt: %+v", receipts)
			}
		}
		if again, err := r.Recover(t.Context()); err != nil || len(again) != len(receipts) {
			t.Errorf("recovered twice: %d, then %d: %v", len(receipts), len(again), err)
		}
		if still, err := proc.Still(int32(victimOf.Process.Pid), false); err != nil || still {
			t.Fatal("what was held was left standing")
		}
	}
	t.Logf("%d of %d were cut off within", partial, rounds)
}

// TestTrap reads a process that makes its readers wait for ever: whoever asked gets an answer, the process can be killed, and what was
// collected is sealed after that.
func TestTrap(t *testing.T) {
	cmd := start(t, "trap", self(t), nil, fileEnv+"="+t.TempDir())
	r := responder(t, nil)
	r.grace = 200 * time.Millisecond
	a := planOne(t, r, about(t, cmd.Process.Pid))
	receipt, err := r.Do(t.Context(), a)
	must(t, err)
	m := sound(t, r, receipt.State["dir"])
	if m.Partial != "" {
		t.Errorf("partial: %s", m.Partial)
	}
	if _, b := parts(t, receipt.State["dir"], m, "process"); len(b) != 1 || !strings.Contains(untar(t, b[0])["files.jsonl"], "/mnt") {
		t.Error("the file that never answers is not among those that are open")
	}
	// Something that hangs all the same: a folder of logs.
	dir := t.TempDir()
	fuse, err := os.OpenFile("/dev/fuse", os.O_RDWR, 0)
	must(t, err)
	must(t, unix.Mount("x", dir, "fuse", 0, fmt.Sprintf("fd=%d,rootmode=40000,user_id=0,group_id=0", fuse.Fd())))
	defer func() { must(t, unix.Unmount(dir, unix.MNT_DETACH)) }()
	r.config.Logs, r.config.Deadline = []string{dir + "/*.log"}, 2*time.Second
	a = planOne(t, r, about(t, cmd.Process.Pid))
	receipt, err = r.Do(t.Context(), a)
	must(t, fuse.Close()) // the file system ends, and with it the wait
	if err == nil || receipt.OK || !strings.Contains(receipt.Result, "hangs") {
		t.Fatalf("%+v %v", receipt, err)
	}
	r.turn <- struct{}{} // the collection ends, and is sealed
	<-r.turn
	again, err := r.Do(t.Context(), a)
	if err != nil || !again.OK || !strings.HasPrefix(again.Result, "partial") {
		t.Fatalf("%+v %v", again, err)
	}
	sound(t, r, again.State["dir"])
}
