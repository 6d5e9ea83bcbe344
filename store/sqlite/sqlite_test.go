package sqlite_test

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/minewarden/minewarden"
	"github.com/minewarden/minewarden/store/sqlite"
	"github.com/minewarden/minewarden/store/storetest"
)

// childEnv makes the test binary a writer that puts incidents until it is killed, and says which are durable.
const childEnv = "MINEWARDEN_TEST_STORE"

func TestMain(m *testing.M) {
	if path := os.Getenv(childEnv); path != "" {
		if err := child(path); err != nil {
			fmt.Println("error", err)
			os.Exit(1)
		}
	}
	os.Exit(m.Run())
}

func child(path string) error {
	s, err := sqlite.Open(context.Background(), path, sqlite.Options{})
	if err != nil {
		return err
	}
	fmt.Println("ready")
	for i := 0; ; i++ {
		if err := s.Put(context.Background(), storetest.Incident(i)); err != nil {
			return err
		}
		fmt.Println(i)
	}
}

func open(t *testing.T, path string) *sqlite.Store {
	t.Helper()
	s, err := sqlite.Open(t.Context(), path, sqlite.Options{})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := s.Close(); err != nil {
			t.Error(err)
		}
	})
	return s
}

func TestStore(t *testing.T) {
	storetest.Run(t, func(t *testing.T) minewarden.Store { return open(t, filepath.Join(t.TempDir(), "a ?#%b", "s.db")) })
}

func TestReopen(t *testing.T) {
	path := filepath.Join(t.TempDir(), "s.db")
	s := open(t, path)
	want := storetest.Incident(5)
	if err := s.Put(t.Context(), want); err != nil {
		t.Fatal(err)
	}
	if _, err := sqlite.Open(t.Context(), path, sqlite.Options{}); !errors.Is(err, sqlite.ErrLocked) || !strings.Contains(err.Error(), strconv.Itoa(os.Getpid())) {
		t.Errorf("second open: %v", err)
	}
	ro, err := sqlite.Open(t.Context(), path, sqlite.Options{ReadOnly: true})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := ro.Get(t.Context(), want.ID); err != nil {
		t.Errorf("read beside the writer: %v", err)
	}
	if err := ro.Put(t.Context(), want); err == nil {
		t.Error("put into a read-only store succeeded")
	}
	if err := errors.Join(ro.Close(), s.Close()); err != nil {
		t.Fatal(err)
	}
	got, err := open(t, path).Get(t.Context(), want.ID)
	if diff := cmp.Diff(want, got); err != nil || diff != "" {
		t.Errorf("%v %s", err, diff)
	}
	if fi, err := os.Stat(path); err != nil || fi.Mode().Perm() != 0o600 {
		t.Errorf("mode %v %v, want only the owner to read", fi.Mode(), err)
	}
}

// TestKill kills a writer at any moment: what it said was written must be there.
func TestKill(t *testing.T) {
	path := filepath.Join(t.TempDir(), "s.db")
	for round := range 8 {
		cmd := exec.Command(os.Args[0])
		cmd.Env = append(os.Environ(), childEnv+"="+path)
		out, err := cmd.StdoutPipe()
		if err != nil {
			t.Fatal(err)
		}
		if err := cmd.Start(); err != nil {
			t.Fatal(err)
		}
		last, stop := -1, 1+rand.IntN(60)
		lines := bufio.NewScanner(out)
		for lines.Scan() {
			if strings.HasPrefix(lines.Text(), "error") {
				t.Errorf("writer: %s", lines.Text())
			}
			if n, err := strconv.Atoi(lines.Text()); err == nil {
				if last = n; n == stop {
					if err := cmd.Process.Kill(); err != nil {
						t.Error(err)
					}
				}
			}
		}
		if err := cmd.Wait(); err == nil {
			t.Fatal("the writer ended by itself")
		}
		s := open(t, path)
		if s.Aside() != "" {
			t.Fatalf("round %d: the store was damaged", round)
		}
		for i := 0; i <= last; i++ {
			want := storetest.Incident(i)
			got, err := s.Get(t.Context(), want.ID)
			if diff := cmp.Diff(want, got); err != nil || diff != "" {
				t.Fatalf("round %d: incident %d of %d: %v %s", round, i, last, err, diff)
			}
		}
		if err := s.Close(); err != nil {
			t.Fatal(err)
		}
	}
}

func TestDamaged(t *testing.T) {
	whole := filepath.Join(t.TempDir(), "s.db")
	s := open(t, whole)
	for i := range 200 {
		if err := s.Put(t.Context(), storetest.Incident(i)); err != nil {
			t.Fatal(err)
		}
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	content, err := os.ReadFile(whole)
	if err != nil {
		t.Fatal(err)
	}
	torn := bytes.Clone(content)
	for i := len(torn) / 3; i < len(torn)/2; i++ {
		torn[i] ^= 0x5a
	}
	for name, bad := range map[string][]byte{"torn": torn, "cut": content[:len(content)/2+100], "no database": []byte("<html>hello world, this is no database</html>")} {
		t.Run(name, func(t *testing.T) {
			path := filepath.Join(t.TempDir(), "s.db")
			if err := os.WriteFile(path, bad, 0o600); err != nil {
				t.Fatal(err)
			}
			var log bytes.Buffer
			s, err := sqlite.Open(t.Context(), path, sqlite.Options{Log: slog.New(slog.NewTextHandler(&log, nil))})
			if err != nil {
				t.Fatal(err)
			}
			defer func() {
				if err := s.Close(); err != nil {
					t.Error(err)
				}
			}()
			kept, err := os.ReadFile(s.Aside())
			if err != nil || !bytes.Equal(kept, bad) {
				t.Errorf("the damaged file was not kept as it was: %v", err)
			}
			if !strings.Contains(log.String(), s.Aside()) {
				t.Errorf("log does not say where it is kept: %s", log.String())
			}
			if err := s.Put(t.Context(), storetest.Incident(1)); err != nil {
				t.Error(err)
			}
		})
	}
}

func TestNewer(t *testing.T) {
	path := filepath.Join(t.TempDir(), "s.db")
	s := open(t, path)
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	setVersion(t, path, 99)
	if _, err := sqlite.Open(t.Context(), path, sqlite.Options{}); err == nil || !strings.Contains(err.Error(), "newer minewarden") {
		t.Errorf("got %v", err)
	}
}

// TestFull puts into a real full file system, then makes room.
func TestFull(t *testing.T) {
	dir := t.TempDir()
	if err := syscall.Mount("none", dir, "tmpfs", 0, "size=2m"); err != nil {
		if os.Getuid() == 0 && os.Getenv("CI") != "" {
			t.Fatal(err)
		}
		t.Skipf("mount tmpfs: %v", err)
	}
	t.Cleanup(func() {
		if err := syscall.Unmount(dir, syscall.MNT_DETACH); err != nil {
			t.Error(err)
		}
	})
	s := open(t, filepath.Join(dir, "s.db"))
	filler := filepath.Join(dir, "filler")
	if err := os.WriteFile(filler, make([]byte, 1<<20), 0o600); err != nil {
		t.Fatal(err)
	}
	done, err := 0, error(nil)
	for ; err == nil && done < 10000; done++ {
		err = s.Put(t.Context(), storetest.Incident(done))
	}
	if err == nil || !strings.Contains(err.Error(), "make room") {
		t.Fatalf("after %d: %v", done, err)
	}
	if err := os.Remove(filler); err != nil {
		t.Fatal(err)
	}
	for i := range done {
		if i == done-1 {
			err = s.Put(t.Context(), storetest.Incident(i)) // the retry
		}
		got, gerr := s.Get(t.Context(), storetest.Incident(i).ID)
		if diff := cmp.Diff(storetest.Incident(i), got); err != nil && i == done-1 || gerr != nil || diff != "" {
			t.Fatalf("incident %d: %v %v %s", i, err, gerr, diff)
		}
	}
}
