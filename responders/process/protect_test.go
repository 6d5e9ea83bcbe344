package process

import (
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"testing"

	"github.com/minewarden/minewarden"
	"github.com/minewarden/minewarden/internal/proc"
)

func TestNeverItselfNorItsAncestors(t *testing.T) {
	var chain []proc.Stat
	for pid := int32(os.Getpid()); pid > 0; {
		s, err := proc.ReadStat(pid)
		if err != nil {
			t.Fatal(err)
		}
		chain = append(chain, s)
		pid = s.PPID
	}
	r := responder(t, Config{})
	a := plan(t, r, Kill, incident(t, chain...))
	for _, s := range chain {
		if !strings.Contains(strings.Join(a.Refused, "\n"), "pid "+strconv.Itoa(int(s.PID))+" ") {
			t.Errorf("pid %d %s is not refused: %q", s.PID, s.Comm, a.Refused)
		}
	}
	if len(a.Blast) != 0 {
		t.Fatalf("would touch %q", a.Blast)
	}
	if receipt := do(t, r, a); receipt.OK {
		t.Error("an action that touched nothing was fine")
	}
}

func TestNeverKernelThreads(t *testing.T) {
	s, err := proc.ReadStat(2)
	if err != nil || !s.Kernel {
		t.Skipf("pid 2 is no kernel thread here: %+v %v", s, err)
	}
	if a := plan(t, responder(t, Config{}), Kill, incident(t, s)); len(a.Blast) != 0 || len(a.Refused) == 0 {
		t.Errorf("%+v", a)
	}
}

// copyOf makes an executable of another name.
func copyOf(t *testing.T, from, to string) string {
	t.Helper()
	in, err := os.Open(from)
	if err != nil {
		t.Fatal(err)
	}
	out, err := os.OpenFile(to, os.O_CREATE|os.O_WRONLY, 0o755)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := io.Copy(out, in); err != nil {
		t.Fatal(err)
	}
	for _, f := range []*os.File{in, out} {
		if err := f.Close(); err != nil {
			t.Fatal(err)
		}
	}
	return to
}

func TestNameAloneProtectsNothing(t *testing.T) {
	for _, name := range []string{"sshd", "systemd-journald", "containerd-shim-runc-v2"} {
		exe := copyOf(t, "/bin/sleep", filepath.Join(t.TempDir(), name))
		r := responder(t, Config{})
		if receipt := do(t, r, plan(t, r, Kill, incident(t, start(t, exec.Command(exe, "60"))))); !receipt.OK {
			t.Errorf("%s: %s", name, receipt.Result)
		}
	}
}

// TestVital puts a program where only root can, under a name that the host needs.
func TestVital(t *testing.T) {
	dir, err := os.MkdirTemp("/usr/local", "minewarden-test-")
	if err != nil {
		t.Skipf("needs a directory that only root can write: %v", err)
	}
	t.Cleanup(func() {
		if err := os.RemoveAll(dir); err != nil {
			t.Error(err)
		}
	})
	if err := os.Chmod(dir, 0o755); err != nil {
		t.Fatal(err)
	}
	exe := copyOf(t, "/bin/sleep", filepath.Join(dir, "containerd-shim-runc-v2"))
	if !rootOwned(exe) {
		t.Skipf("%s is not root's alone", dir)
	}
	s := start(t, exec.Command(exe, "60"))
	r := responder(t, Config{})
	refused := func(want bool, what string) {
		t.Helper()
		if a := plan(t, r, Freeze, incident(t, s)); (len(a.Refused) == 1 && len(a.Blast) == 0) != want {
			t.Errorf("%s: refused %q, blast %q", what, a.Refused, a.Blast)
		}
	}
	refused(true, "as installed")
	if err := os.Rename(copyOf(t, "/bin/cat", exe+".new"), exe); err != nil {
		t.Fatal(err)
	}
	refused(true, "after an upgrade")
	if err := os.Chmod(dir, 0o777); err != nil {
		t.Fatal(err)
	}
	refused(false, "where everybody can write")
}

func TestProtectList(t *testing.T) {
	exe := copyOf(t, "/bin/sleep", filepath.Join(t.TempDir(), "worker"))
	s := start(t, exec.Command(exe, "60"))
	for name, c := range map[string]struct {
		p    Protect
		want bool
	}{
		"exe":          {Protect{Exe: []string{exe}}, true},
		"pattern":      {Protect{Exe: []string{filepath.Dir(exe) + "/w*"}}, true},
		"program":      {Protect{Program: []Program{{"worker", exe}}}, true},
		"name only":    {Protect{Program: []Program{{"worker", "/opt/worker"}}}, false},
		"user":         {Protect{User: []string{"root"}}, os.Getuid() == 0},
		"uid":          {Protect{User: []string{strconv.Itoa(os.Getuid())}}, true},
		"other user":   {Protect{User: []string{"postgres"}}, false},
		"other unit":   {Protect{Unit: []string{"nginx.service"}}, false},
		"no container": {Protect{Container: []string{strings.Repeat("a", 64)}}, false},
	} {
		r := responder(t, Config{Protect: c.p})
		if a := plan(t, r, Kill, incident(t, s)); (len(a.Refused) == 1) != c.want || (len(a.Blast) == 0) != c.want {
			t.Errorf("%s: refused %q, blast %q", name, a.Refused, a.Blast)
		}
	}
	d := &details{cgroup: "/system.slice/nginx.service", container: strings.Repeat("a", 64)}
	g := newGuard(Protect{Unit: []string{"nginx.service"}}, nil)
	if g.refuses(&proc.Stat{PID: 99}, d) == "" {
		t.Error("unit is not protected")
	}
	g = newGuard(Protect{Container: []string{strings.Repeat("a", 12)}}, nil)
	if g.refuses(&proc.Stat{PID: 99}, d) == "" {
		t.Error("container is not protected")
	}
}

func TestConfig(t *testing.T) {
	for name, c := range map[string]Config{
		"relative":        {Protect{Exe: []string{"sshd"}}},
		"pattern":         {Protect{Exe: []string{"/a["}}},
		"half a program":  {Protect{Program: []Program{{Name: "x"}}}},
		"short container": {Protect{Container: []string{"abc"}}},
	} {
		if c.Validate() == nil {
			t.Errorf("%s: taken", name)
		}
	}
}

func TestWeakMembersAreLeftAlone(t *testing.T) {
	strong, weak := shell(t, "sleep 60; :"), shell(t, "sleep 60; :")
	inc := incident(t, strong, weak)
	inc.Members[1].Weak = true
	r := responder(t, Config{})
	receipt := do(t, r, plan(t, r, Freeze, inc))
	if !receipt.OK || !stopped(t, strong) || stopped(t, weak) {
		t.Errorf("%s: strong stopped %t, weak stopped %t", receipt.Result, stopped(t, strong), stopped(t, weak))
	}
}

// What started a member of which something is known is not stopped with it: it may be a person's shell.
func TestWrappersAreLeftAlone(t *testing.T) {
	for _, severity := range []minewarden.Severity{minewarden.Medium, minewarden.High} {
		found, wrapper := shell(t, "sleep 60; :"), shell(t, "sleep 60; :")
		inc := incident(t, found, wrapper)
		inc.Members[0].Severity, inc.Members[1].Severity = severity, 0
		r := responder(t, Config{})
		receipt := do(t, r, plan(t, r, Freeze, inc))
		if !receipt.OK || !stopped(t, found) || stopped(t, wrapper) {
			t.Errorf("%s: %s, found stopped %t, wrapper stopped %t", severity, receipt.Result, stopped(t, found), stopped(t, wrapper))
		}
	}
}

func TestContainerID(t *testing.T) {
	id := strings.Repeat("0a", 32)
	for _, path := range []string{
		"/docker/" + id, "/system.slice/docker-" + id + ".scope", "/kubepods/besteffort/pod1/" + id,
		"/kubepods.slice/cri-containerd-" + id + ".scope", "/machine.slice/libpod-" + id + ".scope/container",
	} {
		if got := containerID(path); got != id {
			t.Errorf("%s: %q", path, got)
		}
	}
	if got := containerID("/user.slice/user-0.slice"); got != "" {
		t.Error(got)
	}
}

var _ minewarden.Undoer = (*Responder)(nil)
