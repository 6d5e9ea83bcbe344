package terminal

import (
	"encoding/binary"
	"encoding/json"
	"io"
	"unicode"
	"unicode/utf8"
)

// JSON returns an encoder whose output is the same to a program and harmless on a screen: what Safe would escape and JSON leaves as it
// is, such as bidirectional marks and C1 control characters, is escaped as JSON has it.
func JSON(w io.Writer) *json.Encoder { return json.NewEncoder(jsonWriter{w}) }

// MarshalJSON is json.Marshal with what JSON's encoder escapes.
func MarshalJSON(v any) ([]byte, error) {
	b, err := json.Marshal(v)
	return SafeJSON(b), err
}

// jsonWriter relies on the encoder, which writes each value at once: no character is cut.
type jsonWriter struct{ w io.Writer }

func (j jsonWriter) Write(p []byte) (int, error) {
	if _, err := j.w.Write(SafeJSON(p)); err != nil {
		return 0, err
	}
	return len(p), nil
}

// SafeJSON returns valid JSON with the same meaning as b.
func SafeJSON(b []byte) []byte {
	const hex = "0123456789abcdef"
	var out []byte
	kept := 0
	for i := 0; i < len(b); {
		for i+8 <= len(b) && plain(binary.LittleEndian.Uint64(b[i:])) {
			i += 8
		}
		if i == len(b) {
			break
		}
		r, n := rune(b[i]), 1
		if r >= utf8.RuneSelf {
			r, n = utf8.DecodeRune(b[i:])
		}
		if r == 0x7f || r > 0x7f && !unicode.IsPrint(r) {
			out = append(out, b[kept:i]...)
			for _, u := range utf16of(r) {
				out = append(out, '\\', 'u', hex[u>>12&15], hex[u>>8&15], hex[u>>4&15], hex[u&15])
			}
			kept = i + n
		}
		i += n
	}
	if kept == 0 {
		return b
	}
	return append(out, b[kept:]...)
}

// plain says that none of eight bytes is beyond ASCII or DEL.
func plain(b uint64) bool {
	const ones = 0x0101010101010101
	return (b|(b+ones))&(0x80*ones) == 0
}

func utf16of(r rune) []rune {
	if r <= 0xffff {
		return []rune{r}
	}
	r -= 0x10000
	return []rune{0xd800 + r>>10, 0xdc00 + r&0x3ff}
}
