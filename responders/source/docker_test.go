package source

import (
	"archive/tar"
	"bytes"
	"encoding/json"
	"fmt"
	"maps"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/minewarden/minewarden"
	"github.com/minewarden/minewarden/internal/sensortest"
)

// engine is a Docker engine of the test's own, in namespaces of its own and without a firewall.
type engine struct {
	t      *testing.T
	socket string
}

func startEngine(t *testing.T) *engine {
	t.Helper()
	sensortest.Root(t)
	daemon, err := exec.LookPath("dockerd")
	if err == nil {
		_, err = exec.LookPath("docker")
	}
	if err != nil {
		sensortest.Need(t, fmt.Errorf("%w: Debian's docker.io is not installed: %w", minewarden.ErrUnsupported, err))
	}
	dir, err := os.MkdirTemp("", "mws") // the path of a socket holds 107 bytes
	if err != nil {
		t.Fatal(err)
	}
	e := &engine{t, dir + "/d.sock"}
	if err := os.WriteFile(dir+"/none.json", []byte("{}"), 0o600); err != nil {
		t.Fatal(err)
	}
	before := engineCgroups(t)
	var log bytes.Buffer
	cmd := exec.Command("/bin/sh", "-c", `mount -t proc proc /proc && ip link set lo up && exec "$@"`, "sh", daemon,
		"--host=unix://"+e.socket, "--data-root="+dir+"/data", "--exec-root="+dir+"/exec", "--pidfile="+dir+"/pid", "--config-file="+dir+"/none.json",
		"--bridge=none", "--iptables=false", "--ip6tables=false", "--storage-driver=vfs", "--exec-opt=native.cgroupdriver=cgroupfs")
	cmd.Stdout, cmd.Stderr = &log, &log
	cmd.SysProcAttr = &syscall.SysProcAttr{Cloneflags: syscall.CLONE_NEWNET | syscall.CLONE_NEWPID, Unshareflags: syscall.CLONE_NEWNS, Setpgid: true}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	ended := make(chan error, 1)
	go func() { ended <- cmd.Wait() }()
	t.Cleanup(func() {
		for _, id := range strings.Fields(e.try("ps", "-aq", "--no-trunc")) {
			e.try("rm", "-f", id)
		}
		cmd.Process.Signal(syscall.SIGTERM) // the first of a pid namespace: all that it left ends with it
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
			t.Logf("dockerd said:\n%s", log.String())
		}
		if err := os.RemoveAll(dir); err != nil {
			t.Error(err)
		}
	})
	for deadline := time.Now().Add(60 * time.Second); ; time.Sleep(100 * time.Millisecond) {
		if strings.TrimSpace(e.try("version", "-f", "{{.Server.Version}}")) != "" {
			return e
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

func (e *engine) run(stdin []byte, args ...string) (string, error) {
	cmd := exec.Command("timeout", append([]string{"60", "docker", "-H", "unix://" + e.socket}, args...)...)
	cmd.Stdin = bytes.NewReader(stdin)
	var stderr bytes.Buffer
	cmd.Stderr = &stderr
	out, err := cmd.Output()
	if err != nil {
		err = fmt.Errorf("docker %s: %w: %s", strings.Join(args, " "), err, &stderr)
	}
	return strings.TrimSpace(string(out)), err
}

func (e *engine) try(args ...string) string {
	out, err := e.run(nil, args...)
	if err != nil {
		return ""
	}
	return out
}

func (e *engine) must(stdin []byte, args ...string) string {
	e.t.Helper()
	out, err := e.run(stdin, args...)
	if err != nil {
		e.t.Fatal(err)
	}
	return out
}

func (e *engine) inspect(name string) map[string]any {
	e.t.Helper()
	var list []map[string]any
	if err := json.Unmarshal([]byte(e.must(nil, "inspect", name)), &list); err != nil || len(list) != 1 {
		e.t.Fatalf("inspect %s: %v, %d", name, err, len(list))
	}
	return list[0]
}

func idleImage(t *testing.T) []byte {
	t.Helper()
	path := t.TempDir() + "/idle"
	cmd := exec.Command("go", "build", "-trimpath", "-ldflags", "-s -w", "-o", path, "./testdata/idle")
	cmd.Env = append(os.Environ(), "CGO_ENABLED=0")
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("build what the containers run: %v: %s", err, out)
	}
	program, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	var b bytes.Buffer
	w := tar.NewWriter(&b)
	if err := w.WriteHeader(&tar.Header{Name: "idle", Mode: 0o755, Size: int64(len(program)), Typeflag: tar.TypeReg}); err != nil {
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

// What the engine itself must make anew when a container is started again, and when it is made again.
var (
	restarted = []string{"State.StartedAt", "State.FinishedAt", "State.Pid", "State.ExitCode", "NetworkSettings.SandboxID", "NetworkSettings.SandboxKey", "NetworkSettings.Networks.*.EndpointID"}
	recreated = append([]string{"Id", "Created", "LogPath", "HostnamePath", "HostsPath", "ResolvConfPath", "GraphDriver.Data", "NetworkSettings.Networks.*.Aliases", "NetworkSettings.Networks.*.DNSNames", "NetworkSettings.Networks.*.MacAddress", "NetworkSettings.MacAddress"}, restarted...)
)

func without(v map[string]any, paths []string) map[string]any {
	var drop func(v any, path []string)
	drop = func(v any, path []string) {
		m, ok := v.(map[string]any)
		if !ok {
			return
		}
		if path[0] == "*" {
			for _, e := range m {
				drop(e, path[1:])
			}
			return
		}
		if len(path) == 1 {
			delete(m, path[0])
			return
		}
		drop(m[path[0]], path[1:])
	}
	b, err := json.Marshal(v)
	if err != nil {
		panic(err)
	}
	var out map[string]any
	if err := json.Unmarshal(b, &out); err != nil {
		panic(err)
	}
	for _, p := range paths {
		drop(out, strings.Split(p, "."))
	}
	return out
}

func inContainer(id string) minewarden.Incident {
	return minewarden.Incident{ID: "i1", Members: []minewarden.Member{{
		Key: minewarden.ProcessKey{Boot: "another", PID: 1 << 20, Start: 1}, Name: "idle", Severity: minewarden.Critical,
		Container: minewarden.Container{Runtime: "docker", ID: id},
	}}}
}

// TestRealEngine does, does again and undoes each action on containers of every sort, and compares what the engine tells.
func TestRealEngine(t *testing.T) {
	e := startEngine(t)
	e.must(idleImage(t), "import", "-", "idle:1")
	network := true
	for _, n := range []string{"front", "back"} {
		if out, err := e.run(nil, "network", "create", n); err != nil {
			t.Logf("this engine makes no networks: %v %s", err, out)
			network = false
		}
	}
	e.must(nil, "volume", "create", "named")
	sorts := map[string][]string{
		"plain": {"--network", "none"},
		"rich": {
			"--network", "none", "--hostname", "h", "-e", "POOL_PASSWORD=hunter2", "-l", "a=b", "--restart", "always", "-m", "64m", "--cpu-shares", "2", "--cap-add", "SYS_PTRACE",
			"-v", "named:/data", "-v", "/anonymous", "--mount", "type=tmpfs,destination=/t", "--read-only", "--user", "7:8", "--pid", "host", "--security-opt", "no-new-privileges",
		},
	}
	if network {
		sorts["connected"] = []string{"--network", "front", "--network-alias", "alias1"}
	}
	r := newSource(t, t.TempDir(), t.TempDir(), func(c *Config) { c.Docker.URL = "unix://" + e.socket })
	for _, name := range slices.Sorted(maps.Keys(sorts)) {
		args := append([]string{"run", "-d", "--name", name}, sorts[name]...)
		args = append(args, "idle:1", "/idle")
		if name == "plain" {
			args = append(args, "/written")
		}
		e.must(nil, args...)
		if name == "connected" {
			e.must(nil, "network", "connect", "back", name)
		}
		for _, op := range []string{OpPauseContainer, OpStopContainer, OpRemoveContainer} {
			t.Run(name+" "+op, func(t *testing.T) {
				before := e.inspect(name)
				todo, _ := plan(t, r, inContainer(before["Id"].(string)))
				i := slices.IndexFunc(todo, func(a minewarden.Action) bool { return a.Op == op })
				if i < 0 {
					t.Fatalf("no %s in %v", op, todo)
				}
				a := todo[i]
				if strings.Contains(fmt.Sprint(a), "hunter2") {
					t.Errorf("a secret is shown: %v", a)
				}
				if op == OpRemoveContainer && name == "plain" && !strings.Contains(fmt.Sprint(a.Blast), "1 paths") {
					t.Errorf("blast %q does not say what is lost", a.Blast)
				}
				receipt, err := r.Do(t.Context(), a)
				if err != nil || !receipt.OK {
					t.Fatalf("Do: %v, %s", err, receipt.Result)
				}
				if strings.Contains(fmt.Sprint(receipt), "hunter2") {
					t.Errorf("a secret is shown: %v", receipt)
				}
				got := e.try("inspect", "-f", "{{.State.Status}}", name)
				if want := map[string]string{OpPauseContainer: "paused", OpStopContainer: "exited", OpRemoveContainer: ""}[op]; got != want {
					t.Errorf("state %q, want %q", got, want)
				}
				again, err := r.Do(t.Context(), a)
				if err != nil || cmp.Diff(receipt, again) != "" {
					t.Errorf("Do again: %v %s", err, cmp.Diff(receipt, again))
				}
				for range 2 {
					if err := r.Undo(t.Context(), receipt); err != nil {
						t.Fatalf("Undo: %v", err)
					}
					moving := map[string][]string{OpPauseContainer: nil, OpStopContainer: restarted, OpRemoveContainer: recreated}[op]
					want, got := without(before, moving), without(e.inspect(name), moving)
					normal(op == OpRemoveContainer, want, got)
					if diff := cmp.Diff(want, got); diff != "" {
						t.Errorf("undone (-before +after):\n%s", diff)
					}
				}
			})
		}
	}
	t.Run("changed", func(t *testing.T) {
		id := e.inspect("plain")["Id"].(string)
		todo, _ := plan(t, r, inContainer(id))
		e.must(nil, "restart", "-t", "1", "plain")
		if receipt, err := r.Do(t.Context(), todo[0]); err != nil || receipt.OK {
			t.Errorf("what was restarted since the plan was paused: %v, %v", receipt, err)
		}
	})
	t.Run("crash", func(t *testing.T) {
		id := e.inspect("plain")["Id"].(string)
		data := t.TempDir()
		r := newSource(t, t.TempDir(), data, func(c *Config) { c.Docker.URL = "unix://" + e.socket })
		todo, _ := plan(t, r, inContainer(id))
		receipt, err := r.Do(t.Context(), todo[0])
		if err != nil || !receipt.OK {
			t.Fatal(err, receipt)
		}
		cutJournal(t, filepath.Join(data, "journal", receipt.Action.ID+".jsonl"), 2)
		r = newSource(t, t.TempDir(), data, func(c *Config) { c.Docker.URL = "unix://" + e.socket })
		receipts, err := r.Recover(t.Context())
		if err != nil || len(receipts) != 1 || !receipts[0].OK {
			t.Fatalf("Recover = %v, %v", receipts, err)
		}
		if err := r.Undo(t.Context(), receipts[0]); err != nil {
			t.Error(err)
		}
		if got := e.must(nil, "inspect", "-f", "{{.State.Status}}", "plain"); got != "running" {
			t.Errorf("state %q", got)
		}
	})
	t.Run("--rm", func(t *testing.T) {
		id := e.must(nil, "run", "-d", "--rm", "--network", "none", "idle:1", "/idle")
		todo, refused := plan(t, r, inContainer(id))
		if len(todo) != 2 || !strings.Contains(strings.Join(refused, "\n"), "Docker removes it") {
			t.Errorf("todo %v, refused %q", todo, refused)
		}
	})
	t.Run("gone", func(t *testing.T) {
		if todo, refused := plan(t, r, inContainer(strings.Repeat("a", 64))); len(todo)+len(refused) > 0 {
			t.Errorf("todo %v, refused %q", todo, refused)
		}
	})
}

// normal gives mounts one order, for theirs is the engine's choice each time, and where a container was made again takes away
// that a volume without a name of its own is asked for by name.
func normal(again bool, list ...map[string]any) {
	for _, v := range list {
		mounts, ok := v["Mounts"].([]any)
		if !ok {
			continue
		}
		hc := v["HostConfig"].(map[string]any)
		if binds, ok := hc["Binds"].([]any); ok && again {
			hc["Binds"] = slices.DeleteFunc(binds, func(b any) bool { return strings.HasSuffix(b.(string), ":/anonymous") })
		}
		for _, m := range mounts {
			if m := m.(map[string]any); again && m["Destination"] == "/anonymous" {
				delete(m, "Mode")
			}
		}
		slices.SortFunc(mounts, func(a, b any) int { return strings.Compare(fmt.Sprint(a), fmt.Sprint(b)) })
	}
}

// TestEngineDown says so instead of calling the container clean.
func TestEngineDown(t *testing.T) {
	r := newSource(t, t.TempDir(), t.TempDir(), func(c *Config) { c.Docker.URL = "unix://" + t.TempDir() + "/none.sock" })
	todo, refused := plan(t, r, inContainer(strings.Repeat("a", 64)))
	if len(todo) != 0 || len(refused) != 1 || !strings.Contains(refused[0], "ask Docker") {
		t.Errorf("todo %v, refused %q", todo, refused)
	}
	if status(&statusError{http.StatusNotFound, ""}) != http.StatusNotFound {
		t.Error("the status of an answer is lost")
	}
}
