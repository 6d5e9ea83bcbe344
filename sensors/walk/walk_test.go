package walk

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"io/fs"
	"log/slog"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"testing/fstest"
	"time"

	"golang.org/x/sys/unix"

	"github.com/minewarden/minewarden"
	"github.com/minewarden/minewarden/internal/host"
)

// made up for tests: the shape of an address, nobody's
var address = "4" + strings.Repeat("9aBcD3fGhJ", 10)[:94]

func walk(t *testing.T, root fs.FS, change func(*Config)) (map[string]*minewarden.File, Counts) {
	t.Helper()
	s, err := New(minewarden.Env{
		Log: slog.New(slog.DiscardHandler), Root: root, Now: time.Now,
		Decode: func(c any) error {
			if cfg, ok := c.(*Config); ok && change != nil {
				change(cfg)
			}
			return nil
		},
	})
	if err != nil {
		t.Fatal(err)
	}
	got := map[string]*minewarden.File{}
	if err := s.Run(t.Context(), func(e minewarden.Event) {
		f, ok := e.Data.(*minewarden.File)
		if !ok {
			t.Errorf("event %s", e.Data.Kind())
			return
		}
		if got[f.Path] != nil {
			t.Errorf("%s is reported twice", f.Path)
		}
		got[f.Path] = f
	}); err != nil {
		t.Fatal(err)
	}
	w, ok := s.(*Walker)
	if !ok {
		t.Fatal("not a Walker")
	}
	return got, w.Counts()
}

func TestWalk(t *testing.T) {
	elf := append([]byte("\x7fELF"), bytes.Repeat([]byte{0}, 300<<10)...)
	// Across the border between two pieces.
	copy(elf[margin+chunkLen-8:], "stratum+tcp://pool.example.org:3333\x00")
	copy(elf[chunkLen-100:], address+"\x00")
	sum := sha256.Sum256(elf)
	large := append([]byte("\x7fELF"), bytes.Repeat([]byte("-"), 3<<20)...)
	copy(large[2<<20:], "RandomX init\x00CRYPTONIGHT rx/0\x00")
	root := fstest.MapFS{
		"opt/large":                        {Data: large, Mode: 0o755},
		"etc/cron.d/job":                   {Data: []byte("* * * * * root /tmp/x\n"), Mode: 0o644},
		"etc/passwd":                       {Data: []byte("root:x:0:0::/root:/bin/sh\n"), Mode: 0o644},
		"root/.ssh/authorized_keys":        {Data: []byte("ssh-ed25519 AAAA x\n"), Mode: 0o600},
		"root/.ssh/id_ed25519":             {Data: []byte("secret"), Mode: 0o600},
		"etc/systemd/system/a.service.d/x": {Data: []byte("[Service]\n"), Mode: 0o644},
		"tmp/a/miner":                      {Data: elf, Mode: 0o755},
		"tmp/note.txt":                     {Data: []byte("hello"), Mode: 0o644},
		"tmp/run.sh":                       {Data: []byte("#!/bin/sh\n"), Mode: 0o755},
		"home/ann/config.json":             {Data: []byte(`{"url":"pool.example:443","user":"` + address + `"}`), Mode: 0o644},
		"home/ann/notes":                   {Data: []byte("nothing here"), Mode: 0o644},
		"home/ann/word":                    {Data: bytes.Repeat([]byte("ab4C"), 100), Mode: 0o644},
		"usr/bin/ls":                       {Data: []byte("\x7fELF randomx"), Mode: 0o755},
		"usr/bin/extra":                    {Data: []byte("\x7fELF"), Mode: 0o755},
		"usr/bin/.cache/crond":             {Data: []byte("\x7fELF"), Mode: 0o755},
		"var/lib/dpkg/info/coreutils.list": {Data: []byte("/usr\n/usr/bin\n/usr/bin/ls\n")},
		"usr/lib/.x/y":                     {Data: []byte("#!"), Mode: 0o755},
		"tmp/link":                         {Data: []byte("/etc/passwd"), Mode: fs.ModeSymlink | 0o777},
		"tmp/pipe":                         {Mode: fs.ModeNamedPipe | 0o644},
		"tmp/xmrig.tar.gz":                 {Data: append([]byte("\x1f\x8b"), bytes.Repeat([]byte("x"), 200<<10)...), Mode: 0o644},
	}
	got, counts := walk(t, root, nil)
	var paths []string
	for p := range got {
		paths = append(paths, p)
	}
	slices.Sort(paths)
	want := []string{
		"/etc/cron.d/job", "/etc/passwd", "/etc/systemd/system/a.service.d/x", "/home/ann/config.json", "/opt/large", "/root/.ssh/authorized_keys",
		"/tmp/a/miner", "/tmp/run.sh", "/usr/bin/.cache/crond", "/usr/bin/extra", "/usr/lib/.x/y",
	}
	if !slices.Equal(paths, want) {
		t.Errorf("got  %v\nwant %v", paths, want)
	}
	if m := got["/tmp/a/miner"]; m != nil {
		if !slices.Equal(m.Strings, []string{address, "stratum+tcp://pool.example.org:3333"}) {
			t.Errorf("strings: %q", m.Strings)
		}
		if m.SHA256 != hex.EncodeToString(sum[:]) || len(m.Head) != headLen || !m.Existing {
			t.Errorf("got %d bytes, %s, existing %v", len(m.Head), m.SHA256, m.Existing)
		}
	}
	if m := got["/opt/large"]; m != nil && !slices.Equal(m.Strings, []string{"randomx", "cryptonight", "rx/0"}) {
		t.Errorf("strings: %q", m.Strings)
	}
	if c := got["/home/ann/config.json"]; c != nil && !slices.Contains(c.Strings, address) {
		t.Errorf("strings: %q", c.Strings)
	}
	if counts.Skipped[reasonSpecial] != 1 || counts.Files == 0 || counts.Bytes == 0 {
		t.Errorf("counts: %+v", counts)
	}
}

// TestHostileTree walks over what is made to stop a walk.
func TestHostileTree(t *testing.T) {
	dir := t.TempDir()
	must := func(err error) {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
	}
	tmp := filepath.Join(dir, "tmp")
	must(os.MkdirAll(filepath.Join(tmp, "sub"), 0o755))
	must(os.Symlink("..", filepath.Join(tmp, "sub/loop")))
	must(os.Symlink("/etc/passwd", filepath.Join(tmp, "outside")))
	must(unix.Mkfifo(filepath.Join(tmp, "fifo"), 0o666))
	big, err := os.Create(filepath.Join(tmp, "sparse"))
	must(err)
	must(big.Truncate(1 << 40))
	must(big.Close())
	deep := tmp
	for i := range maxDeep + 10 {
		deep = filepath.Join(deep, "d"+fmt.Sprint(i%10))
	}
	must(os.MkdirAll(deep, 0o755))
	must(os.WriteFile(filepath.Join(dir, "tmp/sub/m"), []byte("xx stratum+ssl://a.b:443 xx"), 0o644))
	must(os.MkdirAll(filepath.Join(dir, "etc/cron.d"), 0o755))
	must(unix.Mkfifo(filepath.Join(dir, "etc/cron.d/fifo"), 0o666))
	must(os.Symlink("/tmp/sub/m", filepath.Join(dir, "etc/cron.d/linked")))
	root, err := host.OpenRoot(dir)
	must(err)
	defer root.Close()
	got, counts := walk(t, root, func(c *Config) { c.MaxFile = 1 << 20 })
	if len(got) != 2 || got["/tmp/sub/m"] == nil || got["/etc/cron.d/linked"] == nil {
		t.Errorf("got %v", got)
	}
	for _, reason := range []string{reasonSpecial, reasonLarge, reasonDeep} {
		if counts.Skipped[reason] == 0 {
			t.Errorf("nothing is counted as %s: %v", reason, counts.Skipped)
		}
	}
}

// The running program holds the words that it looks for; a copy of it is a file like any other.
func TestSelfIsNotLookedAt(t *testing.T) {
	self, err := filepath.EvalSymlinks("/proc/self/exe")
	if err != nil {
		t.Fatal(err)
	}
	program, err := os.ReadFile(self)
	if err != nil {
		t.Fatal(err)
	}
	other := filepath.Join(t.TempDir(), filepath.Base(self))
	if err := os.WriteFile(other, program, 0o755); err != nil {
		t.Fatal(err)
	}
	root, err := host.OpenRoot("/")
	if err != nil {
		t.Fatal(err)
	}
	defer root.Close()
	got, counts := walk(t, root, func(c *Config) { c.Paths = []string{self, other} })
	if got[self] != nil || counts.Skipped[reasonSelf] != 1 {
		t.Errorf("reported %v, skipped %v", got, counts.Skipped)
	}
	if f := got[other]; f == nil || len(f.Strings) == 0 {
		t.Errorf("the copy at %s is not reported with its words: %+v", other, f)
	}
}

func TestBudgetIsCounted(t *testing.T) {
	root := fstest.MapFS{"tmp/a": {Data: []byte("stratum+tcp://x")}}
	_, counts := walk(t, root, func(c *Config) { c.Budget = 1 })
	if counts.Skipped[reasonTime] == 0 {
		t.Errorf("counts: %+v", counts)
	}
}

func TestPaths(t *testing.T) {
	root := fstest.MapFS{"data/a/m": {Data: []byte("kawpow")}, "tmp/m": {Data: []byte("kawpow")}}
	got, _ := walk(t, root, func(c *Config) { c.Paths = []string{"/data/../data"} })
	if len(got) != 1 || got["/data/a/m"] == nil {
		t.Errorf("got %v", got)
	}
}

// TestMatcher compares the automaton with a plain search.
func TestMatcher(t *testing.T) {
	m := newMatcher(words[:])
	sv := newSieve(words[:])
	rng := rand.New(rand.NewPCG(1, 2))
	for range 200 {
		var text []byte
		for range rng.IntN(40) {
			w := words[rng.IntN(len(words))]
			switch rng.IntN(4) {
			case 0:
				w = strings.ToUpper(w)
			case 1:
				w = w[:rng.IntN(len(w))]
			case 2:
				w = string(rune(rng.IntN(256)))
			}
			text = append(text, w...)
		}
		got := map[int]bool{}
		cut := rng.IntN(len(text) + 1)
		state := m.scan(0, text[:cut], func(w, _ int) { got[w] = true })
		m.scan(state, text[cut:], func(w, _ int) { got[w] = true })
		long := map[int]bool{}
		sv.scan(text, func(w, _ int) { long[w] = true })
		lower := bytes.Map(func(r rune) rune {
			if r >= 'A' && r <= 'Z' {
				return r + 32
			}
			return r
		}, text)
		for i, w := range words {
			if want := bytes.Contains(lower, []byte(w)); got[i] != want {
				t.Fatalf("%q in %q: got %v, want %v", w, text, got[i], want)
			}
			if want := len(w) >= sieveLen && bytes.Contains(lower, []byte(w)); long[i] != want {
				t.Fatalf("sieve: %q in %q: got %v, want %v", w, text, long[i], want)
			}
		}
	}
}

func TestWordsAreInLowerCase(t *testing.T) {
	seen := map[string]bool{}
	for _, w := range words {
		if w != strings.ToLower(w) || seen[w] || len(w) < 4 || len(w) > margin/2 {
			t.Errorf("word %q", w)
		}
		seen[w] = true
	}
}

func FuzzFinder(f *testing.F) {
	m := newMatcher(words[:])
	f.Add([]byte("stratum+tcp://x:1 "+address), 5)
	f.Fuzz(func(t *testing.T, data []byte, cut int) {
		fi := newFinder(m, newSieve(words[:]))
		fi.add(data, 0, len(data))
		for _, s := range fi.found {
			if len(s) == 0 || len(s) > margin {
				t.Errorf("found %q", s)
			}
		}
		if len(fi.found) > maxFound {
			t.Errorf("%d strings", len(fi.found))
		}
	})
}

func FuzzMounts(f *testing.F) {
	f.Add([]byte("proc /proc proc rw 0 0\nx /a\\040b nfs4 rw 0 0\n"))
	f.Fuzz(func(t *testing.T, data []byte) {
		if n := len(parseMounts(data)); n > bytes.Count(data, []byte("\n"))+1 {
			t.Errorf("%d mounts", n)
		}
	})
}

func BenchmarkSearch(b *testing.B) {
	m := newMatcher(words[:])
	program, err := os.ReadFile("/proc/self/exe")
	if err != nil {
		b.Fatal(err)
	}
	for _, c := range []struct {
		name string
		data []byte
	}{{"program", program}, {"zeros", make([]byte, 8<<20)}, {"text", bytes.Repeat([]byte("the quick brown fox said that mining is a monetary matter; "), 100000)}} {
		b.Run(c.name, func(b *testing.B) {
			b.SetBytes(int64(len(c.data)))
			f := newFinder(m, newSieve(words[:]))
			for b.Loop() {
				f.reset()
				f.add(c.data, 0, len(c.data))
			}
		})
		b.Run("skim "+c.name, func(b *testing.B) {
			b.SetBytes(int64(len(c.data)))
			f := newFinder(m, newSieve(words[:]))
			for b.Loop() {
				f.reset()
				f.skim(c.data, 0, len(c.data))
			}
		})
	}
}

// BenchmarkHost walks over the usual places of this host.
func BenchmarkHost(b *testing.B) {
	root, err := host.OpenRoot("/")
	if err != nil {
		b.Fatal(err)
	}
	defer root.Close()
	for b.Loop() {
		s, err := New(minewarden.Env{Log: slog.New(slog.DiscardHandler), Root: root, Now: time.Now})
		if err != nil {
			b.Fatal(err)
		}
		if err := s.Run(b.Context(), func(minewarden.Event) {}); err != nil {
			b.Fatal(err)
		}
		if w, ok := s.(*Walker); ok {
			c := w.Counts()
			b.ReportMetric(float64(c.Files), "files")
			b.ReportMetric(float64(c.Bytes)/1e6, "MB")
			b.ReportMetric(float64(c.Events), "events")
			b.Log(c.Skipped)
		}
	}
}
