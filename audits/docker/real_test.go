package docker

import (
	"archive/tar"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	mw "github.com/minewarden/minewarden"
	"github.com/minewarden/minewarden/internal/audittest"
	"github.com/minewarden/minewarden/internal/sensortest"
)

const insideEnv = "MINEWARDEN_TEST_DOCKER_INSIDE"

// TestRealEngine runs itself again in a network namespace of its own, with a Docker engine of its own there.
func TestRealEngine(t *testing.T) {
	if os.Getenv(insideEnv) != "" {
		insideRealEngine(t)
		return
	}
	for _, p := range []string{"dockerd", "docker", "unshare", "ip"} {
		if _, err := exec.LookPath(p); err != nil {
			t.Skipf("%v", err)
		}
	}
	if os.Getuid() != 0 {
		sensortest.Need(t, errors.Join(mw.ErrUnsupported, errors.New("a Docker engine needs root")))
	}
	cmd := exec.Command("unshare", "--net", "--", os.Args[0], "-test.run=^TestRealEngine$", "-test.v", "-test.timeout=150s")
	cmd.Env = append(os.Environ(), insideEnv+"=1")
	out, err := cmd.CombinedOutput()
	t.Logf("%s", out)
	if err != nil {
		t.Fatal(err)
	}
}

// startEngine starts dockerd with conf beside what keeps it away from the host's, and stops it with the test.
func startEngine(t *testing.T, dir string, conf map[string]any) (sock string) {
	t.Helper()
	sock = filepath.Join(dir, "d.sock")
	hosts := []string{"unix://" + sock}
	if h, ok := conf["hosts"].([]string); ok {
		hosts = append(hosts, h...)
	}
	conf["hosts"] = hosts
	for k, v := range map[string]any{
		"data-root": filepath.Join(dir, "data"), "exec-root": filepath.Join(dir, "exec"), "pidfile": filepath.Join(dir, "pid"),
		"bridge": "none", "iptables": false, "ip6tables": false, "storage-driver": "vfs",
	} {
		conf[k] = v
	}
	b, err := json.Marshal(conf)
	if err != nil {
		t.Fatal(err)
	}
	file := filepath.Join(dir, "daemon.json")
	if err := os.WriteFile(file, b, 0o600); err != nil {
		t.Fatal(err)
	}
	log, err := os.Create(filepath.Join(dir, "log"))
	if err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command("dockerd", "--config-file", file)
	cmd.Stdout, cmd.Stderr = log, log
	cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGTERM}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	done := make(chan error, 1)
	go func() { done <- cmd.Wait() }()
	t.Cleanup(func() {
		if err := cmd.Process.Signal(syscall.SIGTERM); err != nil {
			t.Logf("stop dockerd: %v", err)
		}
		select {
		case <-done:
		case <-time.After(20 * time.Second):
			t.Error("dockerd did not stop")
			_ = cmd.Process.Kill()
			<-done
		}
		log.Close()
	})
	deadline := time.Now().Add(40 * time.Second)
	for exec.Command("docker", "-H", "unix://"+sock, "version").Run() != nil {
		select {
		case err := <-done:
			done <- err
			text, _ := os.ReadFile(log.Name())
			t.Fatalf("dockerd ended: %v\n%s", err, text)
		case <-time.After(100 * time.Millisecond):
		}
		if time.Now().After(deadline) {
			text, _ := os.ReadFile(log.Name())
			t.Fatalf("dockerd does not answer\n%s", text)
		}
	}
	return sock
}

func docker(t *testing.T, sock string, stdin []byte, args ...string) {
	t.Helper()
	cmd := exec.Command("docker", append([]string{"-H", "unix://" + sock}, args...)...)
	cmd.Stdin = bytes.NewReader(stdin)
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("docker %s: %v\n%s", strings.Join(args, " "), err, out)
	}
}

func insideRealEngine(t *testing.T) {
	if out, err := exec.Command("ip", "link", "set", "lo", "up").CombinedOutput(); err != nil {
		t.Fatalf("ip link set lo up: %v %s", err, out)
	}
	var image bytes.Buffer
	w := tar.NewWriter(&image)
	if err := w.WriteHeader(&tar.Header{Name: "bin/app", Mode: 0o755, Size: 1}); err != nil {
		t.Fatal(err)
	}
	if _, err := w.Write([]byte("x")); err != nil {
		t.Fatal(err)
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	t.Run("open TCP and containers", func(t *testing.T) {
		dir := t.TempDir()
		sock := startEngine(t, dir, map[string]any{"hosts": []string{"tcp://127.0.0.1:2375"}})
		docker(t, sock, image.Bytes(), "import", "-", "test/app")
		// Created and never started: what may be is what is asked.
		for name, args := range map[string][]string{
			"priv": {"--privileged"}, "vol": {"-v", "/:/host:ro"}, "mount": {"--mount", "type=bind,source=/etc,target=/e,readonly"}, "sock": {"-v", sock + ":/var/run/docker.sock"},
			"pid": {"--pid=host"}, "caps": {"--cap-add", "SYS_ADMIN", "--security-opt", "seccomp=unconfined"}, "benign": {"-v", dir + ":/data", "--security-opt", "no-new-privileges"},
		} {
			docker(t, sock, nil, append(append([]string{"create", "--name", name, "--network=none"}, args...), "test/app", "/bin/app")...)
		}
		docker(t, sock, nil, "create", "--name", "miner1", "--network=none", "test/app", "/bin/app", "-o", "stratum+tcp://pool.invalid:3333")
		v := audit(t, "http://127.0.0.1:2375", mw.ServiceAccess{})
		audittest.Want(t, v, map[string]mw.Status{ruleOpen: mw.StatusFail, ruleCreate: mw.StatusFail, ruleUserns: mw.StatusFail})
		got := failed(v)
		for _, want := range []string{"priv " + rulePriv, "vol " + ruleMount, "mount " + ruleMount, "sock " + ruleSock, "pid " + ruleHostNS, "caps " + ruleCaps, "caps " + ruleUnconf, "miner1 " + ruleMiner} {
			if got[want] == "" {
				t.Errorf("%s was not found", want)
			}
		}
		for k := range got {
			if strings.HasPrefix(k, "benign ") {
				t.Errorf("benign: %s: %s", k, got[k])
			}
		}
		before := len(v.Checks)
		if again := audit(t, "unix://"+sock, mw.ServiceAccess{}); len(failed(again)) != len(got) {
			t.Errorf("through the socket: %d container findings, over TCP %d (of %d checks)", len(failed(again)), len(got), before)
		}
		if err := os.Chmod(sock, 0o666); err != nil {
			t.Fatal(err)
		}
		host, err := newAudit(t).Audit(context.Background(), mw.Target{Kind: mw.TargetHost, Name: "host", Root: os.DirFS("/")})
		if err != nil {
			t.Fatal(err)
		}
		wrong, stored := false, 0
		for _, c := range host.Checks {
			wrong = wrong || (c.Rule == ruleSocket && c.Finding != nil && "/"+c.Subject.ID == sock)
			if c.Finding != nil && c.Subject.Type == mw.SubjectContainer {
				stored++
			}
		}
		if !wrong {
			t.Error("the socket's mode was not found")
		}
		if stored < len(got) {
			t.Errorf("%d container findings from disk, %d over the API", stored, len(got))
		}
	})
	a := audittest.NewAuthority(t)
	cert, key := a.Issue("127.0.0.1", time.Now().Add(time.Hour))
	files := t.TempDir()
	path := map[string]string{}
	for name, b := range map[string][]byte{"ca": a.PEM, "cert": cert, "key": key} {
		path[name] = filepath.Join(files, name)
		if err := os.WriteFile(path[name], b, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	t.Run("TLS without verify", func(t *testing.T) {
		startEngine(t, t.TempDir(), map[string]any{"hosts": []string{"tcp://127.0.0.1:2376"}, "tls": true, "tlsverify": false, "tlscert": path["cert"], "tlskey": path["key"]})
		audittest.Want(t, audit(t, "https://127.0.0.1:2376", mw.ServiceAccess{}), map[string]mw.Status{ruleNoVerify: mw.StatusFail, ruleCreate: mw.StatusFail, ruleOpen: mw.StatusPass})
	})
	t.Run("mutual TLS", func(t *testing.T) {
		startEngine(t, t.TempDir(), map[string]any{"hosts": []string{"tcp://127.0.0.1:2376"}, "tls": true, "tlsverify": true, "tlscacert": path["ca"], "tlscert": path["cert"], "tlskey": path["key"], "live-restore": true})
		for _, url := range []string{"https://127.0.0.1:2376", "http://127.0.0.1:2376"} {
			v := audit(t, url, mw.ServiceAccess{})
			audittest.NothingFrom(t, v, rules(), mw.Medium)
			audittest.Want(t, v, map[string]mw.Status{ruleNoVerify: mw.StatusPass, ruleCreate: mw.StatusPass, ruleOpen: mw.StatusPass})
		}
		cc, ck := a.Issue("client.example", time.Now().Add(time.Hour))
		v := audit(t, "https://127.0.0.1:2376", mw.ServiceAccess{CA: a.PEM, Cert: cc, Key: mw.Secret(ck)})
		audittest.NothingFrom(t, v, rules(), mw.Medium)
		audittest.Want(t, v, map[string]mw.Status{rulePriv: mw.StatusPass, ruleLive: mw.StatusPass})
	})
}
