package trim

import (
	"os"
	"regexp"
	"strconv"
	"testing"
)

// fileKB is RssFile of this process.
func fileKB(t *testing.T) int {
	t.Helper()
	text, err := os.ReadFile("/proc/self/status")
	if err != nil {
		t.Fatal(err)
	}
	m := regexp.MustCompile(`RssFile:\s+(\d+) kB`).FindSubmatch(text)
	if m == nil {
		t.Skip("this kernel does not tell RssFile")
	}
	n, err := strconv.Atoi(string(m[1]))
	if err != nil {
		t.Fatal(err)
	}
	return n
}

func TestProgram(t *testing.T) {
	before := fileKB(t)
	n, err := Program()
	if err != nil || n == 0 {
		t.Fatalf("%d bytes, %v", n, err)
	}
	if after := fileKB(t); after >= before {
		t.Errorf("%d KiB of files before, %d after", before, after)
	}
}

func TestConstant(t *testing.T) {
	for line, want := range map[string]bool{
		"00400000-00c00000 r-xp 00000000 fe:00 12345                              /usr/bin/minewarden":           true,
		"00c00000-01200000 r--p 00800000 fe:00 12345                              /usr/bin/minewarden":           true,
		"01200000-01300000 rw-p 00e00000 fe:00 12345                              /usr/bin/minewarden":           false,
		"01200000-01300000 r--s 00e00000 fe:00 12345                              /usr/bin/minewarden":           false,
		"7f0000000000-7f0000001000 r--p 00000000 fe:00 99                         /usr/bin/minewarden (deleted)": false,
		"7f0000000000-7f0000001000 r--p 00000000 00:00 0 ":                                                       false,
		"": false,
	} {
		if _, _, ok := constant(line, "/usr/bin/minewarden"); ok != want {
			t.Errorf("%q: %t", line, ok)
		}
	}
}
