package evidence

import (
	"bytes"
	"io"
	"math/rand/v2"
	"strings"
	"testing"
	"time"

	"github.com/klauspost/compress/zstd"
)

func FuzzParseMaps(f *testing.F) {
	f.Add("00400000-00452000 r-xp 00000000 08:02 173521      /usr/bin/x y (deleted)\n7f00-8000 rwxp 0 0:0 0\n")
	f.Add("7ffc-7ffd r-xp 0 0:0 0 [vdso]\nffffffffff600000-ffffffffff601000 --xp 00000000 00:00 0                  [vsyscall]\n")
	f.Fuzz(func(t *testing.T, s string) {
		all, err := parseMaps(strings.NewReader(s))
		for i := range all {
			if all[i].end <= all[i].start || len(all[i].perms) != 4 {
				t.Errorf("%+v", all[i])
			}
		}
		_ = err //nolint:errcheck // either is right
	})
}

func FuzzSockets(f *testing.F) {
	f.Add("  0: 0100007F:1F90 0100007F:0050 01 00000000:00000000 00:00000000 00000000 0 0 77 1\n", "tcp")
	f.Add("0000: 00000002 00000000 00010000 0001 01 77 /run/x y\n", "unix")
	f.Fuzz(func(t *testing.T, s, kind string) {
		for _, x := range parseSockets(strings.NewReader(s), kind, map[string]int{"77": 3}) {
			if x.FD != 3 || x.Inode != "77" {
				t.Errorf("%+v", x)
			}
		}
	})
}

func FuzzFilter(f *testing.F) {
	f.Add("2026-11-21T20:00:00+00:00 h sshd[1]: x\nNov 21 20:00:01 h y: z\n{\"a\":1}\ntype=SYSCALL msg=audit(1.2:3): \n")
	f.Fuzz(func(t *testing.T, s string) {
		c := targets{Times: []time.Time{time.Date(2026, 11, 21, 20, 0, 0, 0, time.UTC)}, Terms: []string{"[1]"}}
		var out bytes.Buffer
		if _, err := c.filter(&out, strings.NewReader(s), time.Now, time.Minute); err != nil {
			t.Error(err)
		}
		if out.Len() > len(s)+1 {
			t.Errorf("%d bytes of %d", out.Len(), len(s))
		}
	})
}

// TestCoder reads back with the library's own decoder what was stored by us and what was compressed.
func TestCoder(t *testing.T) {
	c, err := newCoder()
	must(t, err)
	rng := rand.NewChaCha8([32]byte{7})
	for _, n := range []int{0, 1, blockSize - 1, blockSize, blockSize + 1, 3*blockSize + 5, chunkSize} {
		for name, b := range map[string][]byte{"zeros": make([]byte, n), "text": bytes.Repeat([]byte("minewarden"), n/10+1)[:n], "random": random3(rng, n)} {
			out := bytes.Clone(c.frame(b))
			d, err := zstd.NewReader(bytes.NewReader(out), zstd.WithDecoderMaxWindow(chunkSize))
			must(t, err)
			back, err := io.ReadAll(d)
			d.Close()
			if err != nil || !bytes.Equal(back, b) {
				t.Errorf("%s of %d bytes: %d bytes back: %v", name, n, len(back), err)
			}
			if name == "random" && len(out) > n+n/1000+64 || name != "random" && len(out) > n/10+64 {
				t.Errorf("%s of %d bytes takes %d", name, n, len(out))
			}
		}
	}
}

func random3(rng io.Reader, n int) []byte {
	b := make([]byte, n)
	if _, err := io.ReadFull(rng, b); err != nil {
		panic(err)
	}
	return b
}

func BenchmarkFrame(b *testing.B) {
	c, err := newCoder()
	must(b, err)
	data := random3(rand.NewChaCha8([32]byte{7}), chunkSize)
	b.SetBytes(chunkSize)
	for b.Loop() {
		c.frame(data)
	}
}
