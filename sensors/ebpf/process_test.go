package ebpf

import (
	"bytes"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"github.com/google/go-cmp/cmp"
	"golang.org/x/sys/unix"

	"github.com/minewarden/minewarden"
)

// program copies a program that does nothing.
func program(t *testing.T, path string) *os.File {
	t.Helper()
	content, err := os.ReadFile("/bin/true")
	if err != nil {
		t.Fatal(err)
	}
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path, content, 0o755); err != nil {
		t.Fatal(err)
	}
	f, err := os.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { f.Close() })
	return f
}

func inodeOf(t *testing.T, f *os.File) minewarden.Inode {
	t.Helper()
	info, err := f.Stat()
	if err != nil {
		t.Fatal(err)
	}
	st := info.Sys().(*syscall.Stat_t)
	return minewarden.Inode{Dev: st.Dev, Ino: st.Ino, Mtime: st.Mtim.Nano()}
}

func TestExec(t *testing.T) {
	w := start(t, nil)
	dir, err := filepath.EvalSymlinks(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	// The user nobody must be able to reach it.
	for d := dir; d != "/" && d != os.TempDir(); d = filepath.Dir(d) {
		if err := os.Chmod(d, 0o755); err != nil {
			t.Fatal(err)
		}
	}
	deep := dir + strings.Repeat("/d", 80)
	plain := program(t, dir+"/plain")
	gone := program(t, dir+"/gone")
	inDeep := program(t, deep+"/deep")
	if err := os.Remove(dir + "/gone"); err != nil {
		t.Fatal(err)
	}
	if err := os.Symlink("plain", dir+"/link"); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(dir+"/script", []byte("#!"+dir+"/plain -x\n"), 0o755); err != nil {
		t.Fatal(err)
	}
	memory, err := unix.MemfdCreate("libfoo", unix.MFD_CLOEXEC)
	if err != nil {
		t.Fatal(err)
	}
	memfd := os.NewFile(uintptr(memory), "memfd")
	defer memfd.Close()
	if _, err := plain.Seek(0, 0); err != nil {
		t.Fatal(err)
	}
	if _, err := memfd.ReadFrom(plain); err != nil {
		t.Fatal(err)
	}
	here, err := os.Getwd()
	if err != nil {
		t.Fatal(err)
	}
	long := strings.Repeat("x", 5000)

	base := minewarden.Exec{Exe: dir + "/plain", Cwd: here, Inode: inodeOf(t, plain)}
	for _, tt := range []struct {
		name string
		cmd  exec.Cmd
		want func(*minewarden.Exec)
	}{
		{"plain", exec.Cmd{Path: dir + "/plain", Args: []string{"zero", "a b", "", "ü\n"}, Dir: dir}, func(e *minewarden.Exec) {
			e.Cwd = dir
		}},
		{"link", exec.Cmd{Path: dir + "/link", Args: []string{"link"}}, func(*minewarden.Exec) {}},
		{"relative", exec.Cmd{Path: "./plain", Args: []string{"./plain"}, Dir: dir}, func(e *minewarden.Exec) { e.Cwd = dir }},
		{"no arguments but one empty", exec.Cmd{Path: dir + "/plain", Args: []string{""}}, func(e *minewarden.Exec) {}},
		{"script", exec.Cmd{Path: "./script", Args: []string{"script", "y"}, Dir: dir}, func(e *minewarden.Exec) {
			e.Cwd, e.Script = dir, dir+"/script"
			e.Args = []string{dir + "/plain", "-x", "./script", "y"}
		}},
		{"memory", exec.Cmd{Path: "/proc/self/fd/3", Args: []string{"[kworker/0:0]"}, ExtraFiles: []*os.File{memfd}}, func(e *minewarden.Exec) {
			e.Exe, e.Memfd, e.Inode = "memfd:libfoo", true, inodeOf(t, memfd)
		}},
		{"deleted", exec.Cmd{Path: "/proc/self/fd/3", Args: []string{"g"}, ExtraFiles: []*os.File{gone}}, func(e *minewarden.Exec) {
			e.Exe, e.Deleted, e.Inode = dir+"/gone", true, inodeOf(t, gone)
		}},
		{"preload", exec.Cmd{Path: dir + "/plain", Args: []string{"p"}, Env: []string{"A=LD_PRELOAD=no", "LD_PRELOAD=/nonexistent.so", "B=" + long}}, func(e *minewarden.Exec) {
			e.Preload = "/nonexistent.so"
		}},
		{"nobody", exec.Cmd{Path: dir + "/plain", Args: []string{"n"}, Dir: "/", SysProcAttr: &syscall.SysProcAttr{
			Credential: &syscall.Credential{Uid: 65534, Gid: 65533},
		}}, func(e *minewarden.Exec) { e.UID, e.GID, e.Cwd = 65534, 65533, "/" }},
		{"long", exec.Cmd{Path: dir + "/plain", Args: []string{"l", long, long}}, func(e *minewarden.Exec) {
			e.ArgsTruncated = true
			e.Args = []string{"l", long, long[:maxArgs-2-len(long)-1]}
		}},
		{"limit", exec.Cmd{Path: dir + "/plain", Args: []string{strings.Repeat("y", maxArgs-1)}}, func(*minewarden.Exec) {}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			w.t = t
			var out bytes.Buffer
			cmd := tt.cmd
			cmd.Stderr = &out
			if err := cmd.Start(); err != nil {
				t.Fatal(err)
			}
			// A process that is not waited for keeps its entry in /proc.
			k := liveKey(int32(cmd.Process.Pid))
			err := cmd.Wait()
			if err != nil {
				t.Fatalf("%v: %s", err, &out)
			}
			want := base
			want.Parent, want.ParentName = liveKey(int32(os.Getpid())), comm(t)
			want.Filename, want.Args = tt.cmd.Path, tt.cmd.Args
			want.Name = filepath.Base(tt.cmd.Path)
			tt.want(&want)
			ev, got := waitData(w, "exec", func(p *minewarden.Process, _ *minewarden.Exec) bool { return p.Key.PID == k.PID })
			if ev.Process.Key != k {
				t.Errorf("process: got %s, want %s", ev.Process.Key, k)
			}
			want.CgroupID = got.CgroupID
			if got.CgroupID == 0 {
				t.Error("no cgroup")
			}
			if tt.name == "memory" { // kernels name it by the descriptor or by the file
				want.Name = got.Name
			}
			if tt.name == "deleted" {
				want.Name = got.Name
			}
			if diff := cmp.Diff(&want, got); diff != "" {
				t.Errorf("exec (-want +got):\n%s", diff)
			}
		})
	}
	t.Run("deeper than is walked", func(t *testing.T) {
		w.t = t
		cmd := exec.Command("/bin/sh", "-c", "read go; exec "+deep+"/deep")
		cmd.Dir = deep
		in, err := cmd.StdinPipe()
		if err != nil {
			t.Fatal(err)
		}
		if err := cmd.Start(); err != nil {
			t.Fatal(err)
		}
		if err := in.Close(); err != nil {
			t.Fatal(err)
		}
		// Not waited for yet: but what has ended has no links in /proc, so the mark may stay.
		_, got := waitData(w, "exec", func(p *minewarden.Process, e *minewarden.Exec) bool {
			return p.Key.PID == int32(cmd.Process.Pid) && e.Name == "deep"
		})
		if err := cmd.Wait(); err != nil {
			t.Fatal(err)
		}
		if got.Inode != inodeOf(t, inDeep) || !strings.HasSuffix(got.Exe, "/d/d/d/deep") || !strings.HasSuffix(got.Cwd, "/d/d/d") {
			t.Errorf("got %+v", got)
		}
		if got.Exe != deep+"/deep" && !strings.HasPrefix(got.Exe, cutMark) {
			t.Errorf("a path that was cut is not marked: %q", got.Exe)
		}
	})
}

func comm(t *testing.T) string {
	t.Helper()
	text, err := os.ReadFile("/proc/self/comm")
	if err != nil {
		t.Fatal(err)
	}
	return strings.TrimSpace(string(text))
}

func TestForkAndExit(t *testing.T) {
	w := start(t, nil)
	cmd := exec.Command("/bin/sh", "-c", "(exit 7); (kill -9 $(exec sh -c 'echo $PPID')); exit 3")
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	shell := liveKey(int32(cmd.Process.Pid))
	var status *exec.ExitError
	if err := cmd.Wait(); err == nil || !asExit(err, &status) || status.ExitCode() != 3 {
		t.Fatalf("the shell ended with %v", err)
	}
	waitData(w, "the shell's exit", func(p *minewarden.Process, e *minewarden.Exit) bool {
		return p.Key == shell && e.Code == 3 && e.Signal == 0
	})
	waitData(w, "its fork", func(p *minewarden.Process, f *minewarden.Fork) bool {
		return p.Key.PID == int32(os.Getpid()) && f.Child == shell
	})
	var children []minewarden.ProcessKey
	for _, f := range of[*minewarden.Fork](w, int(shell.PID)) {
		children = append(children, f.Child)
	}
	if len(children) < 2 {
		t.Fatalf("forks of the shell: %v", children)
	}
	if got := of[*minewarden.Exit](w, int(children[0].PID)); len(got) != 1 || *got[0] != (minewarden.Exit{Code: 7}) {
		t.Errorf("exit of the first child: %+v", got)
	}
	if got := of[*minewarden.Exit](w, int(children[1].PID)); len(got) != 1 || *got[0] != (minewarden.Exit{Signal: 9}) {
		t.Errorf("exit of the killed child: %+v", got)
	}
	for _, f := range of[*minewarden.Fork](w, 0) {
		if f.Child.PID == int32(os.Getpid()) {
			t.Errorf("a thread counts as a process: %+v", f)
		}
	}
}

func asExit(err error, to **exec.ExitError) bool {
	e, ok := err.(*exec.ExitError)
	*to = e
	return ok
}
