package terminal_test

import (
	"strings"
	"testing"
	"unicode"
	"unicode/utf8"

	"github.com/minewarden/minewarden/internal/terminal"
)

func TestSafe(t *testing.T) {
	for _, tt := range []struct{ in, want string }{
		{"nginx: worker", "nginx: worker"},
		{"矿工 é", "矿工 é"},
		{"a\x1b[2Jb", `a\u001b[2Jb`},
		{"a\nb\tc\r", `a\nb\tc\u000d`},
		{"txt\u202egpj", `txt\u202egpj`},
		{"a\u200bb", `a\u200bb`},
		{"bad\xff", `bad\xff`},
		{"\U000e0001", `\U000e0001`},
	} {
		if got := terminal.Safe(tt.in); got != tt.want {
			t.Errorf("Safe(%q) = %q, want %q", tt.in, got, tt.want)
		}
	}
}

func FuzzSafe(f *testing.F) {
	f.Add("a\x1b[2J\xff\u202e")
	f.Fuzz(func(t *testing.T, in string) {
		out := terminal.Safe(in)
		if !utf8.ValidString(out) || strings.IndexFunc(out, func(r rune) bool { return !unicode.IsPrint(r) }) >= 0 {
			t.Errorf("Safe(%q) = %q is not safe", in, out)
		}
	})
}
