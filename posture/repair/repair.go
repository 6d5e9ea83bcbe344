// Package repair turns the edits of failed checks into new file contents that keep everything else as it was: order, comments,
// indentation, line ends. It touches no file.
package repair

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/minewarden/minewarden"
)

// ErrByHand is wrapped when an edit cannot be made without rewriting what a person wrote.
var ErrByHand = errors.New("must be repaired by hand")

// MaxSize is the largest file that is edited, in bytes.
const MaxSize = 4 << 20

// maxDepth bounds the nesting of JSON and HCL that is edited.
const maxDepth = 200

// Apply returns data with the edits made, all of them to one file. The result has been read again: it is what the format's
// parser accepts, and holds what the edits say. Applying them again changes nothing, unless they delete from a list by index.
func Apply(data []byte, edits []minewarden.Edit) ([]byte, error) {
	if len(data) > MaxSize {
		return nil, fmt.Errorf("%d bytes are more than the %d that are edited: %w", len(data), MaxSize, ErrByHand)
	}
	out := data
	for _, e := range ordered(edits) {
		next, err := one(out, e)
		if err != nil {
			return nil, fmt.Errorf("%s %s in %s: %w", e.Op, strings.Join(e.Key, "."), e.Path, err)
		}
		out = next
	}
	if bytes.Equal(out, data) {
		return out, nil
	}
	// Deleting from a list moves what follows, so only edits without that mean the same twice.
	moved := slices.ContainsFunc(edits, func(e minewarden.Edit) bool {
		_, index := number(e.Key[len(e.Key)-1])
		return e.Op == minewarden.EditDelete && index
	})
	for _, e := range edits {
		if moved {
			e = minewarden.Edit{Path: e.Path, Format: e.Format, Op: minewarden.EditDelete, Key: []string{"minewarden\x00", "none"}} // reads, changes nothing
			if e.Format == minewarden.FormatYAML || e.Format == minewarden.FormatKeyValue {
				continue // YAML was read again after each edit; the other has no syntax to break
			}
		}
		again, err := one(out, e)
		if err != nil {
			return nil, fmt.Errorf("read the repaired %s again: %w", e.Path, err)
		}
		if !bytes.Equal(again, out) && e.Op == minewarden.EditSet {
			return nil, fmt.Errorf("%s: the edits of %s contradict each other: %w", e.Path, strings.Join(e.Key, "."), ErrByHand)
		}
	}
	return out, nil
}

// ordered puts what deletes after what sets, and of two deletions in one list the later index first, so that an edit does
// not move what another one means.
func ordered(edits []minewarden.Edit) []minewarden.Edit {
	out := slices.Clone(edits)
	slices.SortStableFunc(out, func(a, b minewarden.Edit) int {
		da, db := a.Op == minewarden.EditDelete, b.Op == minewarden.EditDelete
		switch {
		case da != db && da:
			return 1
		case da != db:
			return -1
		case !da:
			return 0
		}
		for i := 0; i < len(a.Key) && i < len(b.Key); i++ {
			if a.Key[i] != b.Key[i] {
				x, okx := number(a.Key[i])
				y, oky := number(b.Key[i])
				if okx && oky {
					return y - x
				}
				return strings.Compare(a.Key[i], b.Key[i])
			}
		}
		return len(b.Key) - len(a.Key)
	})
	return out
}

func number(s string) (int, bool) {
	if s == "" || len(s) > 9 {
		return 0, false
	}
	n := 0
	for _, c := range s {
		if c < '0' || c > '9' {
			return 0, false
		}
		n = n*10 + int(c-'0')
	}
	return n, true
}

func one(data []byte, e minewarden.Edit) ([]byte, error) {
	if e.Op != minewarden.EditSet && e.Op != minewarden.EditDelete {
		return nil, fmt.Errorf("%w: %s is no edit of a file's content", ErrByHand, e.Op)
	}
	if len(e.Key) == 0 {
		return nil, fmt.Errorf("%w: no key", ErrByHand)
	}
	var value any
	if e.Op == minewarden.EditSet {
		d := json.NewDecoder(bytes.NewReader(e.Value))
		d.UseNumber()
		if err := d.Decode(&value); err != nil {
			return nil, fmt.Errorf("value: %w", err)
		}
	}
	switch e.Format {
	case minewarden.FormatJSON:
		return editJSON(data, e, value)
	case minewarden.FormatHCL:
		return editHCL(data, e, value)
	case minewarden.FormatINI:
		return editLines(data, e, value, iniStyle)
	case minewarden.FormatSystemd:
		return editLines(data, e, value, systemdStyle)
	case minewarden.FormatKeyValue:
		if isSysctl(e.Path) {
			return editLines(data, e, value, sysctlStyle)
		}
		return editLines(data, e, value, sshdStyle)
	case minewarden.FormatYAML:
		if trimmed := bytes.TrimSpace(data); len(trimmed) > 0 && trimmed[0] == '{' && json.Valid(trimmed) {
			return editJSON(data, e, value) // JSON read by a YAML reader stays JSON
		}
		return editYAML(data, e, value)
	}
	return nil, fmt.Errorf("%w: no editor for %s", ErrByHand, e.Format)
}

// A splice replaces data[from:to] with text.
func splice(data []byte, from, to int, text string) []byte {
	out := make([]byte, 0, len(data)-(to-from)+len(text))
	out = append(out, data[:from]...)
	out = append(out, text...)
	return append(out, data[to:]...)
}

// newline is how the file ends its lines.
func newline(data []byte) string {
	if i := bytes.IndexByte(data, '\n'); i > 0 && data[i-1] == '\r' {
		return "\r\n"
	}
	return "\n"
}

// indentAt returns the white space at the beginning of the line that holds offset.
func indentAt(data []byte, offset int) string {
	start := bytes.LastIndexByte(data[:offset], '\n') + 1
	end := start
	for end < len(data) && (data[end] == ' ' || data[end] == '\t') {
		end++
	}
	return string(data[start:end])
}

// wholeLines widens a range to the lines it is alone on, line end included; ok is false when something else is there.
func wholeLines(data []byte, from, to int) (start, end int, ok bool) {
	start = bytes.LastIndexByte(data[:from], '\n') + 1
	if strings.TrimSpace(string(data[start:from])) != "" {
		return from, to, false
	}
	end = len(data)
	if i := bytes.IndexByte(data[to:], '\n'); i >= 0 {
		end = to + i + 1
	}
	rest := strings.TrimSpace(string(data[to:end]))
	if rest != "" && rest[0] != '#' && !strings.HasPrefix(rest, "//") {
		return from, to, false
	}
	return start, end, true
}

// text writes a value for formats that know only words: lists are joined by spaces.
func text(value any) (string, error) {
	switch v := value.(type) {
	case string:
		return v, nil
	case bool:
		if v {
			return "true", nil
		}
		return "false", nil
	case json.Number:
		return v.String(), nil
	case nil:
		return "", nil
	case []any:
		var out []string
		for _, x := range v {
			t, err := text(x)
			if err != nil {
				return "", err
			}
			out = append(out, t)
		}
		return strings.Join(out, " "), nil
	}
	return "", fmt.Errorf("%w: the value is not a word", ErrByHand)
}
