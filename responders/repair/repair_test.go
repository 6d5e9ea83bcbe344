package repair

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/minewarden/minewarden"
	"github.com/minewarden/minewarden/internal/verdict"
)

func newResponder(t *testing.T) *responder {
	t.Helper()
	r, err := New(minewarden.Env{Decode: func(c any) error {
		c.(*Config).Dir = filepath.Join(t.TempDir(), "repairs")
		return nil
	}})
	if err != nil {
		t.Fatal(err)
	}
	return r.(*responder)
}

func failed(edits ...minewarden.Edit) []minewarden.Check {
	return []minewarden.Check{{Rule: "a/b", Status: minewarden.StatusFail, Finding: &minewarden.Finding{}, Repair: &minewarden.Repair{Edits: edits}}}
}

func planOne(t *testing.T, root string, edits ...minewarden.Edit) File {
	t.Helper()
	fs := Actions(root, failed(edits...), false, time.Now())
	if len(fs) != 1 || fs[0].Err != nil {
		t.Fatalf("%+v", fs)
	}
	return fs[0]
}

func TestDoAndUndo(t *testing.T) {
	dir := t.TempDir()
	path := filepath.Join(dir, "daemon.json")
	const before = "{\n  \"hosts\": [\"tcp://0.0.0.0:2375\"] \n}"
	if err := os.WriteFile(path, []byte(before), 0o640); err != nil {
		t.Fatal(err)
	}
	r := newResponder(t)
	f := planOne(t, dir, verdict.Set("daemon.json", minewarden.FormatJSON, true, "tlsverify"))
	if !strings.Contains(f.Diff, "+  \"tlsverify\": true") {
		t.Errorf("diff:\n%s", f.Diff)
	}
	if got, _ := os.ReadFile(path); string(got) != before {
		t.Fatal("planning changed the file")
	}
	rc, err := r.Do(context.Background(), f.Action)
	if err != nil || !rc.OK {
		t.Fatal(rc, err)
	}
	after, _ := os.ReadFile(path)
	if !strings.Contains(string(after), "tlsverify") {
		t.Fatalf("not repaired: %s", after)
	}
	if st, _ := os.Stat(path); st.Mode().Perm() != 0o640 {
		t.Errorf("mode %v", st.Mode())
	}
	if _, err := r.Do(context.Background(), f.Action); err != nil {
		t.Errorf("twice: %v", err)
	}
	recs, err := r.Records(context.Background())
	if err != nil || len(recs) != 1 {
		t.Fatal(recs, err)
	}
	for range 2 {
		if err := r.Undo(context.Background(), recs[0]); err != nil {
			t.Fatal(err)
		}
	}
	if recs, err = r.Records(context.Background()); err != nil || len(recs) != 1 || recs[0].Undone.IsZero() {
		t.Errorf("after undo: %+v, %v", recs, err)
	}
	if got, _ := os.ReadFile(path); string(got) != before {
		t.Errorf("undo left %q", got)
	}
	left, _ := filepath.Glob(filepath.Join(dir, ".minewarden*"))
	if len(left) > 0 {
		t.Errorf("left behind: %v", left)
	}
}

func TestChangedMeanwhile(t *testing.T) {
	dir := t.TempDir()
	path := filepath.Join(dir, "a.yml")
	write := func(s string) {
		if err := os.WriteFile(path, []byte(s), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	write("a: 1\n")
	r := newResponder(t)
	f := planOne(t, dir, verdict.Set("a.yml", minewarden.FormatYAML, 2, "a"))
	write("a: 1\nb: 1\n")
	if _, err := r.Do(context.Background(), f.Action); !errors.Is(err, ErrChanged) {
		t.Errorf("do: %v", err)
	}
	write("a: 1\n")
	rc, err := r.Do(context.Background(), f.Action)
	if err != nil {
		t.Fatal(err)
	}
	write("a: 2\n# by a person\n")
	if err := r.Undo(context.Background(), rc); !errors.Is(err, ErrChanged) {
		t.Errorf("undo: %v", err)
	}
}

func TestModeRemoveAndNewFile(t *testing.T) {
	dir := t.TempDir()
	r := newResponder(t)
	ctx := context.Background()
	key := filepath.Join(dir, "authorized_keys")
	if err := os.WriteFile(key, []byte("k\n"), 0o666); err != nil {
		t.Fatal(err)
	}
	if err := os.Chmod(key, 0o666); err != nil {
		t.Fatal(err)
	}
	e := verdict.Set("authorized_keys", minewarden.FormatMode, "0600")
	rc, err := r.Do(ctx, planOne(t, dir, e).Action)
	if err != nil {
		t.Fatal(err)
	}
	if st, _ := os.Stat(key); st.Mode().Perm() != 0o600 {
		t.Errorf("mode %v", st.Mode())
	}
	if err := r.Undo(ctx, rc); err != nil {
		t.Fatal(err)
	}
	if st, _ := os.Stat(key); st.Mode().Perm() != 0o666 {
		t.Errorf("undone mode %v", st.Mode())
	}

	rc, err = r.Do(ctx, planOne(t, dir, minewarden.Edit{Path: "authorized_keys", Op: minewarden.EditRemove}).Action)
	if err != nil {
		t.Fatal(err)
	}
	if exists(key) {
		t.Error("not removed")
	}
	if err := r.Undo(ctx, rc); err != nil {
		t.Fatal(err)
	}
	if got, _ := os.ReadFile(key); string(got) != "k\n" {
		t.Errorf("undone: %q", got)
	}

	drop := verdict.Set("etc/sysctl.d/99-minewarden.conf", minewarden.FormatKeyValue, 1, "kernel.yama.ptrace_scope")
	rc, err = r.Do(ctx, planOne(t, dir, drop).Action)
	if err != nil {
		t.Fatal(err)
	}
	if got, _ := os.ReadFile(filepath.Join(dir, "etc/sysctl.d/99-minewarden.conf")); string(got) != "kernel.yama.ptrace_scope = 1\n" {
		t.Errorf("new file: %q", got)
	}
	if err := r.Undo(ctx, rc); err != nil {
		t.Fatal(err)
	}
	if exists(filepath.Join(dir, "etc/sysctl.d")) {
		t.Error("the folder that was made is left")
	}
}

func TestOddTargets(t *testing.T) {
	dir := t.TempDir()
	r := newResponder(t)
	if err := os.WriteFile(filepath.Join(dir, "real.yml"), []byte("a: 1\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.Symlink("real.yml", filepath.Join(dir, "link.yml")); err != nil {
		t.Fatal(err)
	}
	f := planOne(t, dir, verdict.Set("link.yml", minewarden.FormatYAML, 2, "a"))
	if _, err := r.Do(context.Background(), f.Action); err != nil {
		t.Fatal(err)
	}
	if st, _ := os.Lstat(filepath.Join(dir, "link.yml")); st.Mode()&os.ModeSymlink == 0 {
		t.Error("the link was replaced by a file")
	}
	if got, _ := os.ReadFile(filepath.Join(dir, "real.yml")); string(got) != "a: 2\n" {
		t.Errorf("got %q", got)
	}
	for _, id := range []string{"", "../x", ".x", "a/b"} {
		if _, err := r.Do(context.Background(), minewarden.Action{ID: id, Params: map[string]string{"path": "/x"}}); err == nil {
			t.Errorf("action id %q was taken", id)
		}
	}
	bad := Actions(dir, failed(verdict.Set("gone.yml", minewarden.FormatMode, "0600")), false, time.Now())
	if bad[0].Err == nil {
		t.Error("the mode of a file that is not there was planned")
	}
}
