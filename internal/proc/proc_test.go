package proc

import (
	"os"
	"strings"
	"testing"
)

func TestParseStat(t *testing.T) {
	line := "42 (a) R (b c) S 1 42 42 0 -1 4194560 1 0 0 0 7 5 0 0 20 0 3 0 123456 1 2 18446744073709551615 0\n"
	s, err := ParseStat([]byte(line))
	if err != nil || s.PID != 42 || s.Comm != "a) R (b c" || s.State != 'S' || s.PPID != 1 || s.Session != 42 || s.CPU != 12 || s.Threads != 3 ||
		s.Start != 123456 || s.Kernel {
		t.Errorf("%+v %v", s, err)
	}
	for _, bad := range []string{"", "1", "1 (a)", "1 (a) S 1", ") (", strings.Replace(line, "42 (", "x (", 1)} {
		if _, err := ParseStat([]byte(bad)); err == nil {
			t.Errorf("%q was taken", bad)
		}
	}
}

func TestSelf(t *testing.T) {
	s, err := ReadStat(int32(os.Getpid()))
	if err != nil || s.PPID != int32(os.Getppid()) || s.Dead() {
		t.Fatalf("%+v %v", s, err)
	}
	all, err := All()
	if err != nil || all[s.PID].Start != s.Start {
		t.Errorf("%v", err)
	}
	h, err := Open(s.PID, s.Start)
	if err != nil {
		t.Fatal(err)
	}
	if err := h.Close(); err != nil {
		t.Error(err)
	}
	if _, err := Open(s.PID, s.Start+1); err == nil {
		t.Error("another process of the same pid was held")
	}
}

func FuzzParseStat(f *testing.F) {
	f.Add([]byte("42 (a) S 1 42 42 0 -1 4194560 1 0 0 0 7 5 0 0 20 0 3 0 123456 1 2"))
	f.Fuzz(func(t *testing.T, b []byte) {
		if _, err := ParseStat(b); err != nil {
			return
		}
	})
}

func FuzzParseCgroups(f *testing.F) {
	f.Add([]byte("5:freezer,cpu:/a\n0::/b\n"))
	f.Fuzz(func(t *testing.T, b []byte) {
		if len(ParseCgroups(b)) > len(b)+1 {
			t.Error("more than there is")
		}
	})
}
