package edit

import (
	"errors"
	"io/fs"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

func write(t *testing.T, root, path, text string) {
	t.Helper()
	full := filepath.Join(root, path)
	if err := os.MkdirAll(filepath.Dir(full), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(full, []byte(text), 0o644); err != nil {
		t.Fatal(err)
	}
}

func TestOpenRefuses(t *testing.T) {
	dir := t.TempDir()
	write(t, dir, "etc/file", "x\n")
	write(t, dir, "etc/huge", strings.Repeat("x", MaxSize+1))
	write(t, dir, "etc/two", "x\n")
	for _, err := range []error{
		os.Symlink("file", dir+"/etc/link"), os.Symlink("etc", dir+"/linked"), os.Link(dir+"/etc/two", dir+"/etc/three"),
		unix.Mkfifo(dir+"/etc/fifo", 0o600), os.Symlink("/", dir+"/out"),
	} {
		if err != nil {
			t.Fatal(err)
		}
	}
	r := Root{dir}
	for _, path := range []string{"/etc/link", "/linked/file", "/etc/huge", "/etc/two", "/etc/fifo", "/etc", "/out/etc/passwd", "/"} {
		if f, err := r.Open(path); !errors.Is(err, ErrRefused) {
			t.Errorf("Open(%s) = %v, %v, want it refused", path, f, err)
		}
	}
	for _, path := range []string{"/linked/none", "/linked/none/file", "/etc/none"} {
		want := fs.ErrNotExist
		if path == "/linked/none" { // its directory is there, behind a link
			want = ErrRefused
		}
		if f, err := r.Open(path); !errors.Is(err, want) {
			t.Errorf("Open(%s) = %v, %v, want %v", path, f, err, want)
		}
	}
	for _, path := range []string{"etc/file", "/etc/../etc/file", "/../etc/file", "/etc//file"} {
		if f, err := r.Open(path); err == nil {
			t.Errorf("Open(%s) = %v", path, f.Close())
		}
	}
	f, err := r.Open("/etc/file")
	if err != nil {
		t.Fatal(err)
	}
	if string(f.Data) != "x\n" {
		t.Errorf("content %q", f.Data)
	}
	if err := f.Close(); err != nil {
		t.Fatal(err)
	}
}

// TestReplaceLosesNothing changes the file between the look and the change in every way that another can.
func TestReplaceLosesNothing(t *testing.T) {
	for name, meddle := range map[string]func(path string) error{
		"written": func(p string) error { return os.WriteFile(p, []byte("theirs\n"), 0o644) },
		"replaced": func(p string) error {
			return errors.Join(os.WriteFile(p+".new", []byte("theirs\n"), 0o644), os.Rename(p+".new", p))
		},
		"linked": func(p string) error { return os.Link(p, p+".second") },
		"moded":  func(p string) error { return os.Chmod(p, 0o600) },
	} {
		t.Run(name, func(t *testing.T) {
			dir := t.TempDir()
			write(t, dir, "f", "before\n")
			f, err := Root{dir}.Open("/f")
			if err != nil {
				t.Fatal(err)
			}
			defer f.Close()
			if err := meddle(dir + "/f"); err != nil {
				t.Fatal(err)
			}
			want, err := os.ReadFile(dir + "/f")
			if err != nil {
				t.Fatal(err)
			}
			if err := f.Replace("id", []byte("after\n"), f.Meta, false); !errors.Is(err, ErrChanged) {
				t.Fatalf("Replace = %v, want %v", err, ErrChanged)
			}
			got, err := os.ReadFile(dir + "/f")
			if err != nil || string(got) != string(want) {
				t.Errorf("content %q, %v, want %q", got, err, want)
			}
			if _, err := os.Lstat(dir + "/" + hidden("id")); !errors.Is(err, os.ErrNotExist) {
				t.Errorf("the hidden file stayed: %v", err)
			}
		})
	}
}

func TestMerge(t *testing.T) {
	before := "a\nb\nEVIL\nc\nd\n"
	hunks := []Hunk{{At: 2, N: 1}}
	base, back, err := Apply([]byte(before), hunks)
	if err != nil {
		t.Fatal(err)
	}
	for _, tt := range []struct{ name, theirs, want string }{
		{"nothing", "a\nb\nc\nd\n", before},
		{"line at the end", "a\nb\nc\nd\nnew\n", before + "new\n"},
		{"line at the start", "new\na\nb\nc\nd\n", "new\n" + before},
		{"far line changed", "A\nb\nc\nd\n", "A\nb\nEVIL\nc\nd\n"},
		{"both ends", "x\na\nb\nc\ny\n", "x\na\nb\nEVIL\nc\ny\n"},
		{"line at the very place", "a\nb\nnew\nc\nd\n", ""},
		{"neighbour changed", "a\nB\nc\nd\n", ""},
		{"neighbours gone", "a\nd\n", ""},
		{"empty", "", ""},
	} {
		t.Run(tt.name, func(t *testing.T) {
			got, err := Merge(base, []byte(tt.theirs), back)
			if (tt.want == "") != errors.Is(err, ErrConflict) || err == nil && string(got) != tt.want {
				t.Errorf("Merge = %q, %v, want %q", got, err, tt.want)
			}
		})
	}
}

func TestMergeAtTheEnd(t *testing.T) {
	base, back, err := Apply([]byte("mine\nEVIL\n"), []Hunk{{At: 1, N: 1}})
	if err != nil {
		t.Fatal(err)
	}
	got, err := Merge(base, []byte("mine\nadded\n"), back)
	if err != nil || string(got) != "mine\nEVIL\nadded\n" {
		t.Errorf("Merge = %q, %v", got, err)
	}
	base, back, err = Apply([]byte("mine\nEVIL"), []Hunk{{At: 1, N: 1}})
	if err != nil {
		t.Fatal(err)
	}
	if got, err := Merge(base, []byte("mine\nadded\n"), back); !errors.Is(err, ErrConflict) {
		t.Errorf("a line without end before another: %q, %v", got, err)
	}
}

// TestApplyAndBack takes back what any changes did to any lines.
func TestApplyAndBack(t *testing.T) {
	rnd := rand.New(rand.NewPCG(1, 2))
	for range 2000 {
		var lines []string
		for range rnd.IntN(12) {
			lines = append(lines, string(rune('a'+rnd.IntN(4)))+"\n")
		}
		data := []byte(strings.Join(lines, ""))
		var hunks []Hunk
		for at := rnd.IntN(4); at < len(lines); at += 1 + rnd.IntN(4) {
			n := rnd.IntN(min(3, len(lines)-at) + 1)
			h := Hunk{At: at, N: n}
			for range rnd.IntN(2) {
				h.With = append(h.With, "+\n")
			}
			hunks, at = append(hunks, h), at+n
		}
		after, back, err := Apply(data, hunks)
		if err != nil {
			t.Fatalf("Apply(%q, %v): %v", data, hunks, err)
		}
		again, _, err := Apply(after, back)
		if err != nil || string(again) != string(data) {
			t.Fatalf("Apply(%q, %v) = %q; back: %q, %v", data, hunks, after, again, err)
		}
		if merged, err := Merge(after, after, back); err == nil && string(merged) != string(data) {
			t.Fatalf("Merge(%q, %v) = %q, want %q", after, back, merged, data)
		}
	}
}

func FuzzMerge(f *testing.F) {
	f.Add("a\nb\nEVIL\nc\n", "a\nb\nnew\nc\n", 2, 1)
	f.Add("EVIL", "x", 0, 1)
	f.Fuzz(func(t *testing.T, before, theirs string, at, n int) {
		if len(before)+len(theirs) > 4096 {
			return
		}
		base, back, err := Apply([]byte(before), []Hunk{{At: at, N: n}})
		if err != nil {
			return
		}
		got, err := Merge(base, []byte(theirs), back)
		if err != nil {
			return
		}
		removed := strings.Join(back[0].With, "")
		if len(got) != len(theirs)+len(removed) || !strings.Contains(string(got), removed) {
			t.Errorf("Merge(%q, %q) = %q: it is not theirs with %q put in", base, theirs, got, removed)
		}
		if theirs == string(base) && string(got) != before {
			t.Errorf("Merge of no change = %q, want %q", got, before)
		}
	})
}

func TestDiff(t *testing.T) {
	data := []byte("1\n2\n3\n4\n5\n6\n7\n8\n9\nlast")
	got := Diff("/etc/f", data, []Hunk{{At: 4, N: 1}, {At: 9, N: 1, With: []string{"new\n"}}}, func(s string) string { return s })
	want := "--- a/etc/f\n+++ b/etc/f\n@@ -2,9 +2,8 @@\n 2\n 3\n 4\n-5\n 6\n 7\n 8\n 9\n-last\n\\ No newline at end of file\n+new\n"
	want = strings.Replace(want, "@@ -2,9 +2,8 @@", "@@ -2,9 +2,8 @@", 1)
	if got != want {
		t.Errorf("Diff:\n%s\nwant:\n%s", got, want)
	}
}

// TestImmutable needs a file system that knows the flag.
func TestImmutable(t *testing.T) {
	dir := t.TempDir()
	write(t, dir, "f", "keep\nEVIL\n")
	fd, err := unix.Open(dir+"/f", unix.O_RDONLY, 0)
	if err != nil {
		t.Fatal(err)
	}
	err = setFlags(fd, 0, 0x10)
	if cerr := unix.Close(fd); cerr != nil {
		t.Fatal(cerr)
	}
	if err != nil {
		t.Skipf("no immutable flag here: %v", err)
	}
	t.Cleanup(func() {
		fd, err := unix.Open(dir+"/f", unix.O_RDONLY, 0)
		if err == nil {
			err = errors.Join(setFlags(fd, 0x10, 0), unix.Close(fd))
		}
		if err != nil {
			t.Error(err)
		}
	})
	r := Root{dir}
	before := open(t, r, "/f")
	var state State
	p := Plan{Path: "/f", SHA: before.SHA, Hunks: []Hunk{{At: 1, N: 1}}}
	left, err := r.Do("id", p, func(v any) error { state = v.(State); return nil })
	if err != nil {
		t.Fatal(err)
	}
	if after := open(t, r, "/f"); string(after.Data) != "keep\n" || after.Meta.Flags != 0x10 {
		t.Errorf("after: %q, flags %#x", after.Data, after.Meta.Flags)
	}
	if err := r.Undo("id", p, state, left); err != nil {
		t.Fatal(err)
	}
	if back := open(t, r, "/f"); string(back.Data) != "keep\nEVIL\n" || !back.Meta.Same(&before.Meta) {
		t.Errorf("back: %q, %+v, want %+v", back.Data, back.Meta, before.Meta)
	}
}

func open(t *testing.T, r Root, path string) *File {
	t.Helper()
	f, err := r.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	if err := f.Close(); err != nil {
		t.Fatal(err)
	}
	return f
}

func TestLookAfterACrash(t *testing.T) {
	for _, cut := range []string{"before", "after"} {
		t.Run(cut, func(t *testing.T) {
			dir := t.TempDir()
			write(t, dir, "f", "keep\nEVIL\n")
			r := Root{dir}
			f := open(t, r, "/f")
			var state State
			p := Plan{Path: "/f", SHA: f.SHA, Hunks: []Hunk{{At: 1, N: 1}}}
			killed := errors.New("killed")
			_, err := r.Do("id", p, func(v any) error {
				state = v.(State)
				if cut == "before" {
					return killed
				}
				return nil
			})
			if (cut == "before") != errors.Is(err, killed) {
				t.Fatal(err)
			}
			write(t, dir, hidden("id"), "half written") // what a crash in the middle leaves
			_, done, err := r.Look("id", p, state)
			if err != nil || done != (cut == "after") {
				t.Errorf("Look = %v, %v", done, err)
			}
			if _, err := os.Lstat(dir + "/" + hidden("id")); !errors.Is(err, os.ErrNotExist) {
				t.Errorf("the hidden file stayed: %v", err)
			}
		})
	}
}

// TestDirectoryTime lets cron see that something changed, and takes that back too.
func TestDirectoryTime(t *testing.T) {
	dir := t.TempDir()
	write(t, dir, "cron.d/f", "keep\nEVIL\n")
	old := time.Unix(1_700_000_000, 5)
	if err := os.Chtimes(dir+"/cron.d", old, old); err != nil {
		t.Fatal(err)
	}
	r := Root{dir}
	var state State
	p := Plan{Path: "/cron.d/f", SHA: open(t, r, "/cron.d/f").SHA, Hunks: []Hunk{{At: 1, N: 1}}}
	left, err := r.Do("id", p, func(v any) error { state = v.(State); return nil })
	if err != nil {
		t.Fatal(err)
	}
	if st, err := os.Stat(dir + "/cron.d"); err != nil || st.ModTime().Equal(old) {
		t.Errorf("cron would not look: %v, %v", st.ModTime(), err)
	}
	if err := r.Undo("id", p, state, left); err != nil {
		t.Fatal(err)
	}
	if st, err := os.Stat(dir + "/cron.d"); err != nil || !st.ModTime().Equal(old) {
		t.Errorf("directory time %v, %v, want %v", st.ModTime(), err, old)
	}
}
