package app_test

import (
	"archive/tar"
	"bytes"
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/minewarden/minewarden"
	"github.com/minewarden/minewarden/internal/sensortest"
)

// docker is an engine of the test's own, in namespaces of its own, without a bridge and without a firewall.
type docker struct {
	t      *testing.T
	socket string
}

// startDocker starts the engine as the first process of a pid namespace: when it ends, whatever it left running ends too.
func startDocker(t *testing.T) *docker {
	t.Helper()
	sensortest.Root(t)
	daemon, err := exec.LookPath("dockerd")
	if err == nil {
		_, err = exec.LookPath("docker")
	}
	if err != nil {
		sensortest.Need(t, fmt.Errorf("%w: Debian's docker.io is not installed: %w", minewarden.ErrUnsupported, err))
	}
	dir, err := os.MkdirTemp("", "mwd") // the path of a socket holds 107 bytes
	if err != nil {
		t.Fatal(err)
	}
	d := &docker{t, filepath.Join(dir, "d.sock")}
	before := engineCgroups(t)
	log := new(bytes.Buffer)
	cmd := exec.Command("/bin/sh", "-c", `mount -t proc proc /proc && ip link set lo up && exec "$@"`, "sh", daemon,
		"--host=unix://"+d.socket, "--data-root="+dir+"/data", "--exec-root="+dir+"/exec", "--pidfile="+dir+"/pid", "--config-file="+dir+"/none.json",
		"--bridge=none", "--iptables=false", "--ip6tables=false", "--storage-driver=vfs", "--exec-opt=native.cgroupdriver=cgroupfs")
	if err := os.WriteFile(dir+"/none.json", []byte("{}"), 0o600); err != nil {
		t.Fatal(err)
	}
	cmd.Stdout, cmd.Stderr = log, log
	cmd.SysProcAttr = &syscall.SysProcAttr{
		Cloneflags: syscall.CLONE_NEWNET | syscall.CLONE_NEWPID, Unshareflags: syscall.CLONE_NEWNS, Setpgid: true,
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	ended := make(chan error, 1)
	go func() { ended <- cmd.Wait() }()
	t.Cleanup(func() {
		for _, id := range strings.Fields(d.try("ps", "-aq", "--no-trunc")) {
			d.try("rm", "-f", id)
		}
		cmd.Process.Signal(syscall.SIGTERM)
		select {
		case <-ended:
		case <-time.After(15 * time.Second):
			cmd.Process.Kill()
			<-ended
		}
		for cgroup := range engineCgroups(t) {
			if !before[cgroup] {
				syscall.Rmdir(cgroup) // fails where another engine uses it by now
			}
		}
		if t.Failed() {
			t.Logf("dockerd said:\n%s", log)
		}
		if err := os.RemoveAll(dir); err != nil {
			t.Error(err)
		}
	})
	for deadline := time.Now().Add(60 * time.Second); ; time.Sleep(100 * time.Millisecond) {
		if strings.TrimSpace(d.try("version", "-f", "{{.Server.Version}}")) != "" {
			return d
		}
		select {
		case err := <-ended:
			ended <- err
			t.Fatalf("dockerd ended: %v", err)
		default:
		}
		if time.Now().After(deadline) {
			t.Fatal("dockerd does not answer")
		}
	}
}

// engineCgroups are the parents of containers' cgroups. An engine makes them and leaves them.
func engineCgroups(t *testing.T) map[string]bool {
	t.Helper()
	all := map[string]bool{}
	for _, pattern := range [...]string{"/sys/fs/cgroup/docker", "/sys/fs/cgroup/*/docker"} {
		found, err := filepath.Glob(pattern)
		if err != nil {
			t.Fatal(err)
		}
		for _, dir := range found {
			all[dir] = true
		}
	}
	return all
}

func (d *docker) command(args ...string) *exec.Cmd {
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	d.t.Cleanup(cancel)
	return exec.CommandContext(ctx, "docker", append([]string{"-H", "unix://" + d.socket}, args...)...)
}

// try returns what the client printed, or nothing.
func (d *docker) try(args ...string) string {
	out, err := d.command(args...).Output()
	if err != nil {
		return ""
	}
	return string(out)
}

func (d *docker) must(stdin []byte, args ...string) string {
	d.t.Helper()
	cmd := d.command(args...)
	cmd.Stdin = bytes.NewReader(stdin)
	var stderr bytes.Buffer
	cmd.Stderr = &stderr
	out, err := cmd.Output()
	if err != nil {
		d.t.Fatalf("docker %s: %v: %s", strings.Join(args, " "), err, &stderr)
	}
	return strings.TrimSpace(string(out))
}

// run starts a container that holds nothing but the program, and returns its id and the pid of its first process.
func (d *docker) run(args ...string) (id string, pid int) {
	d.t.Helper()
	id = d.must(nil, append(append([]string{"run", "-d", "--network", "none"}, args...), "load", "/server")...)
	pid, err := strconv.Atoi(d.must(nil, "inspect", "-f", "{{.State.Pid}}", id))
	if err != nil {
		d.t.Fatal(err)
	}
	return id, d.outer(id, pid)
}

// outer returns the pid that a container's first process has here: the engine tells the one of its own namespace.
func (d *docker) outer(id string, inner int) int {
	d.t.Helper()
	lists, err := filepath.Glob("/proc/[0-9]*/cgroup")
	if err != nil {
		d.t.Fatal(err)
	}
	for _, list := range lists {
		groups, err := os.ReadFile(list)
		if err != nil || !strings.Contains(string(groups), id) {
			continue
		}
		status, err := os.ReadFile(filepath.Join(filepath.Dir(list), "status"))
		if err != nil {
			continue
		}
		for line := range strings.Lines(string(status)) {
			// From the outermost namespace in: here, the engine, the container.
			f := strings.Fields(line)
			if len(f) > 2 && f[0] == "NSpid:" && f[len(f)-2] == strconv.Itoa(inner) {
				pid, err := strconv.Atoi(filepath.Base(filepath.Dir(list)))
				if err != nil {
					d.t.Fatal(err)
				}
				return pid
			}
		}
	}
	d.t.Fatalf("no process %d of container %s is seen here", inner, id)
	return 0
}

// image is a tar archive with the test's workload as /server.
func image(t *testing.T) []byte {
	t.Helper()
	path := filepath.Join(t.TempDir(), "server")
	cmd := exec.Command("go", "build", "-trimpath", "-ldflags", "-s -w", "-o", path, "./testdata/load")
	cmd.Env = append(os.Environ(), "CGO_ENABLED=0")
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("build the workload: %v: %s", err, out)
	}
	program, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	var b bytes.Buffer
	w := tar.NewWriter(&b)
	if err := w.WriteHeader(&tar.Header{Name: "server", Mode: 0o755, Size: int64(len(program)), Typeflag: tar.TypeReg}); err != nil {
		t.Fatal(err)
	}
	if _, err := w.Write(program); err != nil {
		t.Fatal(err)
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

// worked returns what the process's threads have used of processors, in nanoseconds.
func worked(t *testing.T, pid int) uint64 {
	t.Helper()
	tasks, err := filepath.Glob(fmt.Sprintf("/proc/%d/task/*/schedstat", pid))
	if err != nil || len(tasks) == 0 {
		t.Fatalf("process %d has no threads: %v", pid, err)
	}
	var sum uint64
	for _, task := range tasks {
		b, err := os.ReadFile(task)
		if err != nil {
			continue
		}
		n, err := strconv.ParseUint(strings.Fields(string(b))[0], 10, 64)
		if err != nil {
			t.Fatal(err)
		}
		sum += n
	}
	return sum
}

// works says whether the process gets anything done within a short time.
func works(t *testing.T, pid int) bool {
	t.Helper()
	before := worked(t, pid)
	for range 50 {
		time.Sleep(20 * time.Millisecond)
		if worked(t, pid) > before {
			return true
		}
	}
	return false
}

func TestMinerInContainer(t *testing.T) {
	d := startDocker(t)
	d.must(image(t), "import", "-", "load")
	dir := t.TempDir()
	startAgent(t, dir)
	honestID, honest := d.run("--name", "honest")
	minerID, miner := d.run("--name", "miner", "-e", "MINEWARDEN_DRILL=rounding:0")
	w, done := work(t, dir)
	defer done()

	inc := incidentOf(t, w, miner, high)
	if inc.Subject.Type != minewarden.SubjectProcess || int(inc.Subject.PID) != miner {
		t.Errorf("the incident is about %+v, want process %d", inc.Subject, miner)
	}
	for _, m := range inc.Members {
		want := minewarden.Container{Runtime: "docker", ID: minerID}
		if int(m.Key.PID) == miner && m.Container != want {
			t.Errorf("the miner runs in %+v, want %+v", m.Container, want)
		}
		if m.Container.ID == honestID || int(m.Key.PID) == honest {
			t.Errorf("the honest container belongs to the incident: %+v", m)
		}
	}

	receipt := do(t, w, inc.ID, "freeze")
	if !receipt.OK {
		t.Errorf("freeze: %+v", receipt)
	}
	if works(t, miner) {
		t.Error("the miner goes on after the freeze")
	}
	if !works(t, honest) {
		t.Error("the honest container was frozen too")
	}
	for _, touched := range receipt.Action.Blast {
		if strings.Contains(touched, strconv.Itoa(honest)+" ") || strings.Contains(touched, honestID[:12]) {
			t.Errorf("the freeze says that it touches the honest container: %s", touched)
		}
	}
	if d.try("ps", "-q", "--no-trunc", "--filter", "name=honest") != honestID+"\n" {
		t.Error("the engine does not answer, or lost the honest container")
	}

	if _, err := w.Undo(t.Context(), inc.ID, "", "user test", "a test"); err != nil {
		t.Fatal(err)
	}
	if !works(t, miner) {
		t.Error("the miner stands still after the freeze was taken back")
	}
}
