// Package audit measures what an audit of many targets and of a large repository costs, with the program as it is shipped:
//
//	MINEWARDEN_BENCH=1 go test -count=1 -v ./bench/audit/
package audit

import (
	"bytes"
	"errors"
	"fmt"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/minewarden/minewarden/internal/audittest"
)

const latency = 20 * time.Millisecond

// build makes the program.
func build(t *testing.T) string {
	t.Helper()
	if os.Getenv("MINEWARDEN_BENCH") == "" {
		t.Skip("it measures, and says nothing of right and wrong: set MINEWARDEN_BENCH=1")
	}
	bin := filepath.Join(t.TempDir(), "minewarden")
	cmd := exec.Command("go", "build", "-o", bin, "../../cmd/minewarden")
	cmd.Env = append(os.Environ(), "CGO_ENABLED=0")
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	return bin
}

// spent is what one run cost.
type spent struct {
	wall, cpu time.Duration
	peak      int64 // KiB, resident
	out       string
	err       string
}

func run(t *testing.T, bin string, args ...string) spent {
	t.Helper()
	cmd := exec.Command(bin, append([]string{"audit", "--data", t.TempDir()}, args...)...)
	var out, errOut bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &errOut
	start := time.Now()
	err := cmd.Run()
	wall := time.Since(start)
	var exit *exec.ExitError
	if err != nil && (!errors.As(err, &exit) || exit.ExitCode() > 2) {
		t.Fatalf("%v\n%s", err, errOut.String())
	}
	use := cmd.ProcessState.SysUsage().(*syscall.Rusage)
	return spent{wall, cmd.ProcessState.UserTime() + cmd.ProcessState.SystemTime(), use.Maxrss, out.String(), errOut.String()}
}

func (s spent) String() string {
	return fmt.Sprintf("%.2f s, %.2f s of processor time, %d MiB at most", s.wall.Seconds(), s.cpu.Seconds(), s.peak>>10)
}

// stub answers on every loopback address of a /22 like the recorded Nomad, 20 ms late; each 50th takes a connection and never
// answers.
func stub(t *testing.T) (port int, silent int) {
	t.Helper()
	h := audittest.Load(t, audittest.Fixtures(t, "nomad", "insecure"), "v1_")
	l, err := net.Listen("tcp", "0.0.0.0:0")
	if err != nil {
		t.Fatal(err)
	}
	stop := make(chan struct{})
	srv := &http.Server{Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		wait := latency
		if a, ok := r.Context().Value(http.LocalAddrContextKey).(*net.TCPAddr); ok && a.IP.To4()[3]%50 == 7 {
			wait = time.Hour
		}
		select {
		case <-time.After(wait):
			h.ServeHTTP(w, r)
		case <-r.Context().Done():
		case <-stop:
		}
	})}
	go func() { _ = srv.Serve(l) }() // ends with Close
	t.Cleanup(func() { close(stop); srv.Close() })
	for i := range 1000 {
		if i%256%50 == 7 {
			silent++
		}
	}
	return l.Addr().(*net.TCPAddr).Port, silent
}

func TestThousandTargets(t *testing.T) {
	bin := build(t)
	port, silent := stub(t)
	t.Run("discovered and audited", func(t *testing.T) {
		s := run(t, bin, "--discover", "127.9.0.0/22", "--ports", strconv.Itoa(port), "--json", "--timeout", "3s")
		if !strings.Contains(s.err, "1024 places tried") || strings.Count(s.out, `"rule":"nomad/anonymous-submit"`) < 1000-silent {
			t.Errorf("%.2000s", s.err)
		}
		t.Log(s)
	})
	t.Run("named", func(t *testing.T) {
		args := []string{"--json", "--timeout", "3s"}
		for i := range 1000 {
			args = append(args, fmt.Sprintf("nomad=http://127.9.%d.%d:%d", i/256, i%256, port))
		}
		s := run(t, bin, args...)
		if n := strings.Count(s.out, `"rule":"nomad/anonymous-submit"`); n < 1000-silent {
			t.Errorf("%d of them were seen to take jobs; %.2000s", n, s.err)
		}
		t.Log(s)
	})
}

func TestRepository(t *testing.T) {
	bin := build(t)
	for _, files := range []int{1000, 5000, 10_000, 20_000} {
		dir := t.TempDir()
		write(t, dir, files)
		s := run(t, bin, "--json", dir)
		if !strings.Contains(s.err, fmt.Sprintf("%d files met", files)) {
			t.Errorf("%.500s", s.err)
		}
		t.Logf("%6d files: %v", files, s)
	}
}

// write makes a repository: three quarters source and text, a quarter configuration, most of it sound.
func write(t *testing.T, dir string, files int) {
	t.Helper()
	source := strings.Repeat("func work(a, b int) int { return a*b + 1 } // nothing to see\n", 60)
	for i := range files {
		name, text := fmt.Sprintf("src/p%02d/f%d.go", i%100, i), source
		switch i % 16 {
		case 1:
			name, text = fmt.Sprintf("deploy/d%02d/app%d.yaml", i%100, i), manifest
		case 5:
			name, text = fmt.Sprintf("deploy/d%02d/job%d.nomad.hcl", i%100, i), job
		case 9:
			name, text = fmt.Sprintf("images/i%02d/n%d/Dockerfile", i%100, i), "FROM debian:12\nRUN apt-get update && apt-get install -y curl\nUSER 1000\nCMD [\"sleep\", \"1\"]\n"
		case 13:
			name, text = fmt.Sprintf("stacks/s%02d/n%d/compose.yaml", i%100, i), "services:\n  web:\n    image: nginx:1.27\n    ports: [\"127.0.0.1:80:80\"]\n    privileged: true\n"
		}
		path := filepath.Join(dir, name)
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
}

const manifest = `apiVersion: apps/v1
kind: Deployment
metadata: {name: web}
spec:
  template:
    spec:
      automountServiceAccountToken: false
      containers:
        - name: web
          image: nginx:1.27
          securityContext: {runAsNonRoot: true, allowPrivilegeEscalation: false}
---
apiVersion: v1
kind: Service
metadata: {name: web}
spec: {ports: [{port: 80}]}
`

const job = `job "web" {
  group "web" {
    task "web" {
      driver = "docker"
      config {
        image = "nginx:1.27"
      }
    }
  }
}
`
