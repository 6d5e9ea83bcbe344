package masquerade

import (
	"strconv"
	"strings"
	"unicode"
	"unicode/utf8"

	"github.com/minewarden/minewarden/internal/program"
)

// maxName bounds how much of a name is looked at for odd letters, in bytes.
const maxName = 512

// letters judges the characters of the names. Nearly all names are ASCII without a blank at an end, and cost one pass.
func (c *claim) letters() {
	for _, name := range [...]string{c.x.Exe, c.x.Filename, c.argv0, c.x.Script} {
		if len(name) > maxName {
			name = name[:maxName]
		}
		if plain(name) {
			continue
		}
		if r, odd := invisible(name); odd {
			c.tell(ruleInvisible, 0.9, "characters", strconv.QuoteToASCII(name)+" holds "+r)
			return
		}
		if imitates := imitated(program.Base(name)); imitates != "" {
			c.tell(ruleLookalike, 0.9, "name", strconv.QuoteToASCII(name)+" looks like "+imitates)
			return
		}
	}
}

// plain says that the name is printable ASCII and its last part does not end in a blank.
func plain(s string) bool {
	for i := range len(s) {
		if s[i] < ' ' || s[i] >= 0x7f {
			return false
		}
	}
	return !(len(s) > 1 && s[len(s)-1] == ' ' && s[0] == '/')
}

// invisible finds a character without a shape, or a blank at the end of a path.
func invisible(s string) (what string, found bool) {
	ascii := true
	for _, r := range s {
		switch {
		case r == utf8.RuneError:
			return "", false // another encoding
		case r >= 0x202a && r <= 0x202e, r >= 0x2066 && r <= 0x2069:
			return "a change of writing direction " + strconv.QuoteRuneToASCII(r), true
		case r == 0x200b, r >= 0x2060 && r <= 0x2064, r == 0xfeff, r == 0x00ad, r == 0x180e, r == 0x3164, r == 0x115f, r == 0x1160, r == 0xffa0, r == 0x2800, r >= 0xe0000 && r <= 0xe007f:
			return "the invisible " + strconv.QuoteRuneToASCII(r), true
		case r < ' ' && r != '\t' && r != '\n' && r != 0x1b && strings.HasPrefix(s, "/"):
			return "the control character " + strconv.QuoteRuneToASCII(r), true
		case r >= 0x80 && !(r >= 0x200c && r <= 0x200f || r == 0x61c):
			ascii = false
		}
	}
	// Joiners and direction marks are part of writing in some scripts, and of nothing that is Latin.
	if ascii {
		for _, r := range s {
			if r >= 0x200c && r <= 0x200f || r == 0x61c {
				return "the invisible " + strconv.QuoteRuneToASCII(r), true
			}
		}
	}
	last, _ := utf8.DecodeLastRuneInString(s)
	if strings.HasPrefix(s, "/") && (last == ' ' || last == 0xa0 || last >= 0x2000 && last <= 0x200a || last == 0x3000) {
		return "a blank at its end", true
	}
	return "", false
}

// lookalikes maps letters of other scripts to the Latin ones that they cannot be told from.
var lookalikes = map[rune]byte{
	'а': 'a', 'е': 'e', 'о': 'o', 'р': 'p', 'с': 'c', 'у': 'y', 'х': 'x', 'і': 'i', 'ј': 'j', 'ѕ': 's', 'һ': 'h', 'ԁ': 'd', 'ԛ': 'q', 'ԝ': 'w', 'к': 'k', 'м': 'm', 'т': 't', 'н': 'h', 'в': 'b', 'г': 'r', 'п': 'n',
	'А': 'A', 'В': 'B', 'Е': 'E', 'К': 'K', 'М': 'M', 'Н': 'H', 'О': 'O', 'Р': 'P', 'С': 'C', 'Т': 'T', 'Х': 'X', 'Ѕ': 'S', 'І': 'I',
	'ο': 'o', 'α': 'a', 'ν': 'v', 'ρ': 'p', 'τ': 't', 'ι': 'i', 'κ': 'k', 'υ': 'u', 'ϲ': 'c', 'ɡ': 'g', 'ı': 'i', 'ո': 'n', 'ս': 'u', 'օ': 'o', 'ց': 'g', 'ԍ': 'g',
}

// imitated returns the known name that s looks like without being it.
func imitated(s string) string {
	var out [64]byte
	n, foreign := 0, 0
	for _, r := range s {
		if n == len(out) {
			return ""
		}
		b, ok := lookalikes[r]
		switch {
		case r < utf8.RuneSelf:
			b = byte(r)
		case r >= 0xff01 && r <= 0xff5e: // full width
			b = byte(r - 0xff01 + '!')
			foreign++
		case ok:
			foreign++
		case unicode.Is(unicode.Mn, r): // a mark on the letter before
			foreign++
			continue
		default:
			return ""
		}
		out[n] = b
		n++
	}
	name := string(out[:n])
	if foreign > 0 && (daemonName(name) || kernelThread(name) || program.Of(name) != 0) {
		return name
	}
	return ""
}
