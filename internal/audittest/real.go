package audittest

import (
	"context"
	"fmt"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// Program returns where a real server's program is, or skips the test where it is not installed.
func Program(t *testing.T, name string) string {
	t.Helper()
	path, err := exec.LookPath(name)
	if err != nil {
		t.Skipf("%s is not on PATH: this test asks a real one, and says nothing without it", name)
	}
	return path
}

// Ports returns n ports of loopback that are free now.
func Ports(t *testing.T, n int) []int {
	t.Helper()
	ports := make([]int, n)
	for i := range ports {
		l, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			t.Fatal(err)
		}
		defer l.Close() // all at once, so that no two are the same
		ports[i] = l.Addr().(*net.TCPAddr).Port
	}
	return ports
}

// Write puts text into a file of the test's own folder.
func Write(t *testing.T, name, text string) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), name)
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

// Run starts a server and waits until url answers with one of the statuses. It ends with the test.
func Run(t *testing.T, url string, statuses []int, env []string, argv ...string) {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), argv[0], argv[1:]...)
	cmd.Env = append(os.Environ(), env...)
	cmd.Dir = t.TempDir()
	cmd.Cancel = func() error { return cmd.Process.Signal(os.Interrupt) }
	cmd.WaitDelay = 10 * time.Second
	var log strings.Builder // read after Wait only
	cmd.Stdout, cmd.Stderr = &log, &log
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	ended := make(chan error, 1)
	go func() { ended <- cmd.Wait() }()
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	t.Cleanup(func() {
		select {
		case <-ended: // t.Context is over: it was told to end
		case <-time.After(15 * time.Second):
			t.Error("the server does not end")
		}
	})
	for {
		if err := answers(ctx, url, statuses); err == nil {
			return
		} else if ctx.Err() != nil {
			t.Fatalf("%s does not answer: %v", url, err)
		}
		select {
		case err := <-ended:
			ended <- err
			t.Fatalf("%s ended: %v\n%s", argv[0], err, log.String())
		case <-time.After(100 * time.Millisecond):
		}
	}
}

func answers(ctx context.Context, url string, statuses []int) error {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, url, nil)
	if err != nil {
		return err
	}
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		return err
	}
	if err := resp.Body.Close(); err != nil {
		return err
	}
	for _, s := range statuses {
		if resp.StatusCode == s {
			return nil
		}
	}
	return fmt.Errorf("status %d", resp.StatusCode)
}
