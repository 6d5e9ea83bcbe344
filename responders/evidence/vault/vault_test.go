package vault_test

import (
	"archive/tar"
	"bytes"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/minewarden/minewarden"
	"github.com/minewarden/minewarden/responders/evidence/vault"
)

func must(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// fill makes a sealed collection with parts of some sizes.
func fill(t testing.TB, v vault.Vault, id string) string {
	t.Helper()
	c, err := v.Begin(id)
	must(t, err)
	m := vault.Manifest{ID: id, Who: "user \x1b[31m", Why: "a\nb", Host: "h", Started: time.Now(), Done: time.Now()}
	rng := rand.New(rand.NewPCG(1, 2))
	for i, n := range []int{0, 1, 100, 70000, 400_000} {
		b := make([]byte, n)
		for j := range b {
			b[j] = byte(rng.Uint32())
		}
		name := fmt.Sprintf("%04d-x.zst", i)
		path := filepath.Join(c.Dir, name)
		must(t, os.WriteFile(path, b, 0o400))
		size, sum, err := vault.Hash(t.Context(), path)
		must(t, err)
		m.Parts = append(m.Parts, vault.Part{File: name, What: "x", Source: "\xff<script>", Size: size, Stored: size, SHA256: sum})
	}
	must(t, c.Seal(&m))
	must(t, v.Note(c.Dir, "user b", vault.Viewed, "detail"))
	must(t, v.Note(c.Dir, "user c", vault.Exported, "to \x00"))
	return c.Dir
}

func verify(t testing.TB, v vault.Vault, dir string) vault.Report {
	t.Helper()
	pub, err := v.PublicKey()
	must(t, err)
	r, err := vault.Verify(t.Context(), dir, pub)
	must(t, err)
	return r
}

// TestEveryBit flips single bits of every file of a collection: of the small ones all, of the large ones at random.
func TestEveryBit(t *testing.T) {
	v := vault.Beside(t.TempDir())
	dir := fill(t, v, "c-1")
	if r := verify(t, v, dir); !r.OK() || r.Parts != 5 || !r.Known || len(r.Custody) != 3 {
		t.Fatalf("before: %+v", r)
	}
	entries, err := os.ReadDir(dir)
	must(t, err)
	flips := 0
	for _, e := range entries {
		path := filepath.Join(dir, e.Name())
		must(t, os.Chmod(path, 0o600))
		b, err := os.ReadFile(path)
		must(t, err)
		f, err := os.OpenFile(path, os.O_RDWR, 0)
		must(t, err)
		bits := rand.Perm(len(b) * 8)
		most := 150
		if !strings.HasSuffix(e.Name(), ".zst") {
			most = 1200
		}
		for _, bit := range bits[:min(len(bits), most)] {
			b[bit/8] ^= 1 << (bit % 8)
			_, err := f.WriteAt(b[bit/8:bit/8+1], int64(bit/8))
			must(t, err)
			if r := verify(t, v, dir); r.OK() {
				t.Errorf("bit %d of %s: not found", bit, e.Name())
			}
			b[bit/8] ^= 1 << (bit % 8)
			_, err = f.WriteAt(b[bit/8:bit/8+1], int64(bit/8))
			must(t, err)
			flips++
		}
		must(t, f.Close())
	}
	t.Logf("%d bits flipped in %d files", flips, len(entries))
	if r := verify(t, v, dir); !r.OK() {
		t.Fatalf("after: %+v", r.Faults)
	}
}

func TestTampering(t *testing.T) {
	for name, c := range map[string]struct {
		do   func(t *testing.T, dir string)
		want string
	}{
		"a part is missing":    {func(t *testing.T, dir string) { must(t, os.Remove(dir+"/0002-x.zst")) }, "is missing"},
		"a part is added":      {func(t *testing.T, dir string) { must(t, os.WriteFile(dir+"/0009-x.zst", nil, 0o600)) }, "not in the manifest"},
		"a hidden one":         {func(t *testing.T, dir string) { must(t, os.WriteFile(dir+"/.x", nil, 0o600)) }, "not in the manifest"},
		"a folder":             {func(t *testing.T, dir string) { must(t, os.Mkdir(dir+"/x", 0o700)) }, "not in the manifest"},
		"a part is a link":     {func(t *testing.T, dir string) { swap(t, dir, func(p, old string) error { return os.Symlink(old, p) }) }, "0003-x.zst"},
		"a part is a FIFO":     {func(t *testing.T, dir string) { swap(t, dir, func(p, _ string) error { return unix.Mkfifo(p, 0o600) }) }, "no regular file"},
		"it is longer":         {func(t *testing.T, dir string) { appendTo(t, dir+"/0003-x.zst", "x") }, "bytes, not"},
		"manifest is longer":   {func(t *testing.T, dir string) { appendTo(t, dir+"/manifest.json", " ") }, "signature does not match"},
		"signature is longer":  {func(t *testing.T, dir string) { appendTo(t, dir+"/manifest.sig", "\n") }, "signature"},
		"signature is missing": {func(t *testing.T, dir string) { must(t, os.Remove(dir+"/manifest.sig")) }, "signature"},
		"no manifest":          {func(t *testing.T, dir string) { must(t, os.Remove(dir+"/manifest.json")) }, "no manifest"},
		"manifest is no JSON":  {func(t *testing.T, dir string) { must(t, os.WriteFile(dir+"/manifest.json", []byte("{"), 0)) }, "manifest"},
		"no custody":           {func(t *testing.T, dir string) { must(t, os.Remove(dir+"/custody.jsonl")) }, "custody"},
		"custody is emptied":   {func(t *testing.T, dir string) { must(t, os.Truncate(dir+"/custody.jsonl", 0)) }, "does not begin"},
		"an entry is cut out": {func(t *testing.T, dir string) {
			lines(t, dir, func(l []string) []string { return append(l[:1], l[2]) })
		}, "does not follow"},
		"entries are swapped": {func(t *testing.T, dir string) {
			lines(t, dir, func(l []string) []string { return []string{l[0], l[2], l[1]} })
		}, "does not follow"},
	} {
		t.Run(name, func(t *testing.T) {
			v := vault.Beside(t.TempDir())
			dir := fill(t, v, "c-1")
			for _, f := range []string{"manifest.json", "manifest.sig", "0003-x.zst"} {
				must(t, os.Chmod(filepath.Join(dir, f), 0o600))
			}
			c.do(t, dir)
			r := verify(t, v, dir)
			if r.OK() || !strings.Contains(strings.Join(r.Faults, "\n"), c.want) {
				t.Errorf("faults %q, want %q", r.Faults, c.want)
			}
		})
	}
}

func swap(t *testing.T, dir string, put func(path, old string) error) {
	p := filepath.Join(dir, "0003-x.zst")
	old := filepath.Join(dir, "..", "old")
	must(t, os.Rename(p, old))
	must(t, put(p, old))
}

func appendTo(t *testing.T, path, s string) {
	f, err := os.OpenFile(path, os.O_WRONLY|os.O_APPEND, 0)
	must(t, err)
	_, err = f.WriteString(s)
	must(t, errors.Join(err, f.Close()))
}

func lines(t *testing.T, dir string, change func([]string) []string) {
	p := filepath.Join(dir, vault.CustodyFile)
	b, err := os.ReadFile(p)
	must(t, err)
	l := strings.SplitAfter(string(b), "\n")
	must(t, os.WriteFile(p, []byte(strings.Join(change(l[:len(l)-1]), "")), 0o600))
}

// TestAnotherKey lets somebody sign the same with a key of his own.
func TestAnotherKey(t *testing.T) {
	v, other := vault.Beside(t.TempDir()), vault.Beside(t.TempDir())
	fill(t, v, "c-1")
	dir := fill(t, other, "c-1")
	if r := verify(t, v, dir); r.OK() || !strings.Contains(r.Faults[0], "another key") {
		t.Errorf("%+v", r.Faults)
	}
	if r, err := vault.Verify(t.Context(), dir, nil); err != nil || !r.OK() || r.Known {
		t.Errorf("without a key to compare with: %+v %v", r, err)
	}
	// A chain of custody of another collection does not fit, although the same key signed it.
	second := fill(t, v, "c-2")
	b, err := os.ReadFile(filepath.Join(second, vault.CustodyFile))
	must(t, err)
	first, err := v.Path("c-1")
	must(t, err)
	must(t, os.WriteFile(filepath.Join(first, vault.CustodyFile), b, 0o600))
	if r := verify(t, v, first); r.OK() {
		t.Error("a chain of another collection is taken")
	}
	if err := v.Note(first, "x", vault.Viewed, ""); err == nil {
		t.Error("a broken chain is gone on with")
	}
}

func TestTornCustodyGoesOn(t *testing.T) {
	v := vault.Beside(t.TempDir())
	dir := fill(t, v, "c-1")
	appendTo(t, filepath.Join(dir, vault.CustodyFile), `{"entry":{"seq":4,`)
	if r := verify(t, v, dir); r.OK() {
		t.Error("a torn line is taken")
	}
	must(t, v.Note(dir, "x", vault.Viewed, ""))
	if r := verify(t, v, dir); !r.OK() || len(r.Custody) != 4 {
		t.Errorf("%+v", r)
	}
}

func TestManyAtOnce(t *testing.T) {
	dir := t.TempDir()
	var all sync.WaitGroup
	for i := range 8 {
		all.Go(func() {
			v := vault.Beside(dir) // none has the key yet
			d := fill(t, v, fmt.Sprintf("c-%d", i))
			if err := v.Note(d, "x", vault.Viewed, ""); err != nil {
				t.Error(err)
			}
		})
	}
	all.Wait()
	v := vault.Beside(dir)
	items, err := v.List()
	must(t, err)
	if len(items) != 8 {
		t.Fatalf("%d collections", len(items))
	}
	for i := range 8 {
		all.Go(func() {
			if err := v.Note(items[0].Dir, fmt.Sprint(i), vault.Viewed, ""); err != nil {
				t.Error(err)
			}
		})
	}
	all.Wait()
	for _, i := range items {
		if r := verify(t, v, i.Dir); !r.OK() {
			t.Errorf("%+v", r.Faults)
		}
	}
}

func TestExportVerifiesElsewhere(t *testing.T) {
	v := vault.Beside(t.TempDir())
	dir := fill(t, v, "c-1")
	var b bytes.Buffer
	must(t, vault.Export(t.Context(), dir, &b))
	out := t.TempDir()
	r := tar.NewReader(&b)
	for {
		h, err := r.Next()
		if errors.Is(err, io.EOF) {
			break
		}
		must(t, err)
		p := filepath.Join(out, h.Name)
		if h.Typeflag == tar.TypeDir {
			must(t, os.Mkdir(p, 0o700))
			continue
		}
		body, err := io.ReadAll(r)
		must(t, err)
		must(t, os.WriteFile(p, body, 0o600))
	}
	if r := verify(t, v, filepath.Join(out, "c-1")); !r.OK() {
		t.Errorf("%+v", r.Faults)
	}
}

func TestFind(t *testing.T) {
	v := vault.Beside(t.TempDir())
	a := fill(t, v, "collect-ABCDEF")
	fill(t, v, "collect-ABCXYZ")
	for name, want := range map[string]string{"collect-ABCDEF": a, "ABCD": a, "collect-ABCD": a} {
		if got, err := v.Find(name, true); err != nil || got != want {
			t.Errorf("%s: %s %v", name, got, err)
		}
	}
	for _, name := range []string{"ABC", "collect-ABC", "nothing", "../x", "", "a/b", "..", "\x00"} {
		if got, err := v.Find(name, false); err == nil {
			t.Errorf("%q: %s", name, got)
		}
	}
	if _, err := v.Find("ABCQ", false); !errors.Is(err, minewarden.ErrNotFound) {
		t.Error(err)
	}
	if got, err := v.Find(a, true); err != nil || got != a {
		t.Error(got, err)
	}
	must(t, os.Mkdir(filepath.Join(v.Dir, "collect-open"), 0o700))
	items, err := v.List()
	must(t, err)
	if len(items) != 3 || !items[2].Open {
		t.Errorf("%+v", items)
	}
	if r := verify(t, v, items[2].Dir); r.OK() {
		t.Error("a collection that is not sealed is taken for whole")
	}
}

// FuzzVerify gives it manifests, signatures and chains that nobody signed.
func FuzzVerify(f *testing.F) {
	v := vault.Beside(f.TempDir())
	dir := fill(f, v, "c-1")
	read := func(name string) []byte {
		b, err := os.ReadFile(filepath.Join(dir, name))
		must(f, err)
		return b
	}
	manifest := read(vault.ManifestFile)
	f.Add(manifest, read(vault.SignatureFile), read(vault.CustodyFile))
	f.Add([]byte(`{"format":1,"parts":[{"file":"../../etc/shadow"}]}`), []byte("00"), []byte("{}\n"))
	f.Fuzz(func(t *testing.T, m, sig, custody []byte) {
		if bytes.Equal(m, manifest) {
			return
		}
		out := t.TempDir()
		must(t, os.WriteFile(filepath.Join(out, vault.ManifestFile), m, 0o600))
		must(t, os.WriteFile(filepath.Join(out, vault.SignatureFile), sig, 0o600))
		must(t, os.WriteFile(filepath.Join(out, vault.CustodyFile), custody, 0o600))
		pub, err := v.PublicKey()
		must(t, err)
		if r, err := vault.Verify(t.Context(), out, pub); err == nil && r.OK() {
			t.Errorf("taken for signed")
		}
	})
}
