package capture

import (
	"bytes"
	"math/rand/v2"
	"testing"
)

// TestHeadEnd compares with a plain search for the two forms of an empty line, of which the one that ends first counts.
func TestHeadEnd(t *testing.T) {
	random := rand.New(rand.NewPCG(1, 2))
	for range 200_000 {
		b := make([]byte, random.IntN(14))
		for i := range b {
			b[i] = "\r\na"[random.IntN(3)]
		}
		end, skip := bytes.Index(b, []byte("\r\n\r\n")), 4
		before := b
		if end >= 0 {
			before = b[:end]
		}
		if lf := bytes.Index(before, []byte("\n\n")); lf >= 0 {
			end, skip = lf, 2
		}
		if end < 0 {
			skip = 0
		}
		if gotEnd, gotSkip := headEnd(b); gotEnd != end || gotSkip != skip {
			t.Fatalf("%q: %d %d, want %d %d", b, gotEnd, gotSkip, end, skip)
		}
	}
}

func TestFieldName(t *testing.T) {
	for line, want := range map[string]string{
		"Host: a:1":                    "Host",
		"Transfer-Encoding: chunked":   "Transfer-Encoding",
		"user-agent:x":                 "user-agent",
		"Strict-Transport-Security: 1": "",
		"Date: now":                    "",
		": x":                          "",
		"host":                         "",
		"":                             "",
	} {
		if got := fieldName([]byte(line)); string(got) != want {
			t.Errorf("%q: %q, want %q", line, got, want)
		}
	}
}

// TestNormal holds the short way through plain names to the long one.
func TestNormal(t *testing.T) {
	for c := range 256 {
		for _, label := range []bool{false, true} {
			name := []byte{'a', byte(c), 'Z'}
			long := appendNormal(make([]byte, 0, 2), name, label) // no room: byte by byte
			short := appendNormal(make([]byte, 0, 64), name, label)
			if !bytes.Equal(long, short) {
				t.Errorf("%q: %q, and with room %q", name, long, short)
			}
		}
	}
}
