package edit

import (
	"errors"
	"fmt"
	"strings"
)

// A Hunk puts With in the place of the N lines from At on, counted from 0. Lines keep their ends.
type Hunk struct {
	At   int      `json:"at"`
	N    int      `json:"n"`
	With []string `json:"with,omitempty"`
}

// Split returns the lines of data with their ends.
func Split(data []byte) []string {
	lines := strings.SplitAfter(string(data), "\n")
	if lines[len(lines)-1] == "" {
		lines = lines[:len(lines)-1]
	}
	return lines
}

// Apply makes the changes, which are in order and apart, and returns with the new content what takes them back.
func Apply(data []byte, hunks []Hunk) ([]byte, []Hunk, error) {
	lines := Split(data)
	var out []string
	var back []Hunk
	at := 0
	for _, h := range hunks {
		if h.At < at || h.N < 0 || h.At > len(lines) || h.N > len(lines)-h.At {
			return nil, nil, fmt.Errorf("change of %d lines at %d: the file has %d, or the one before ends after it", h.N, h.At, len(lines))
		}
		out = append(out, lines[at:h.At]...)
		back = append(back, Hunk{At: len(out), N: len(h.With), With: lines[h.At : h.At+h.N]})
		out = append(out, h.With...)
		at = h.At + h.N
	}
	out = append(out, lines[at:]...)
	return []byte(strings.Join(out, "")), back, nil
}

// ErrConflict is wrapped when somebody else changed the very lines around a change that shall be taken back.
var ErrConflict = errors.New("the lines around it were changed by somebody else: it cannot be put back exactly")

const maxCells = 16 << 20 // of the table that matches lines

// Merge makes in theirs the changes that hunks make in base: each where the same lines stand before and after it. Lines that
// somebody added at the end of the file stay behind what is put back there.
func Merge(base, theirs []byte, hunks []Hunk) ([]byte, error) {
	a, b := Split(base), Split(theirs)
	match, err := align(a, b)
	if err != nil {
		return nil, err
	}
	moved := make([]Hunk, 0, len(hunks))
	for _, h := range hunks {
		if h.At < 0 || h.N < 0 || h.At+h.N > len(a) {
			return nil, ErrConflict
		}
		at := 0
		if h.At > 0 {
			if at = match[h.At-1] + 1; at == 0 {
				return nil, ErrConflict
			}
		}
		for i := range h.N {
			if match[h.At+i] != at+i {
				return nil, ErrConflict
			}
		}
		end := h.At + h.N
		if end < len(a) && match[end] != at+h.N {
			return nil, ErrConflict
		}
		// Before the first line somebody may have put others: then it is not known on which side ours was.
		if h.At == 0 && end == len(a) && len(b) > h.N {
			return nil, ErrConflict
		}
		// A last line without its end would run into what follows.
		if n := len(h.With); n > 0 && at+h.N < len(b) && !strings.HasSuffix(h.With[n-1], "\n") {
			return nil, ErrConflict
		}
		if at > 0 && len(h.With) > 0 && !strings.HasSuffix(b[at-1], "\n") {
			return nil, ErrConflict
		}
		moved = append(moved, Hunk{At: at, N: h.N, With: h.With})
	}
	out, _, err := Apply(theirs, moved)
	return out, err
}

// align returns for each line of a the line of b that is the same by the longest common subsequence, or -1.
func align(a, b []string) ([]int, error) {
	match := make([]int, len(a))
	for i := range match {
		match[i] = -1
	}
	head := 0
	for head < len(a) && head < len(b) && a[head] == b[head] {
		match[head] = head
		head++
	}
	tail := 0
	for tail < len(a)-head && tail < len(b)-head && a[len(a)-1-tail] == b[len(b)-1-tail] {
		tail++
		match[len(a)-tail] = len(b) - tail
	}
	x, y := a[head:len(a)-tail], b[head:len(b)-tail]
	if len(x) == 0 || len(y) == 0 {
		return match, nil
	}
	if (len(x)+1)*(len(y)+1) > maxCells {
		return nil, fmt.Errorf("%d and %d lines differ, too many to compare: %w", len(x), len(y), ErrConflict)
	}
	w := len(y) + 1
	best := make([]int32, (len(x)+1)*w)
	for i := len(x) - 1; i >= 0; i-- {
		for j := len(y) - 1; j >= 0; j-- {
			if x[i] == y[j] {
				best[i*w+j] = best[(i+1)*w+j+1] + 1
			} else {
				best[i*w+j] = max(best[(i+1)*w+j], best[i*w+j+1])
			}
		}
	}
	for i, j := 0, 0; i < len(x) && j < len(y); {
		switch {
		case x[i] == y[j]:
			match[head+i] = head + j
			i, j = i+1, j+1
		case best[(i+1)*w+j] >= best[i*w+j+1]:
			i++
		default:
			j++
		}
	}
	return match, nil
}

const around = 3 // unchanged lines around a change, as diff -u has it

// Diff shows the changes as a unified diff. show may hide what is secret in a line.
func Diff(path string, data []byte, hunks []Hunk, show func(string) string) string {
	lines := Split(data)
	var out strings.Builder
	name := strings.TrimPrefix(path, "/")
	fmt.Fprintf(&out, "--- a/%s\n+++ b/%s\n", name, name)
	write := func(kind byte, l string) {
		out.WriteByte(kind)
		out.WriteString(show(strings.TrimRight(l, "\r\n")))
		out.WriteByte('\n')
		if !strings.HasSuffix(l, "\n") {
			out.WriteString("\\ No newline at end of file\n")
		}
	}
	shift := 0
	for i := 0; i < len(hunks); {
		j := i + 1 // those that are near share their context
		for j < len(hunks) && hunks[j].At-(hunks[j-1].At+hunks[j-1].N) <= 2*around {
			j++
		}
		from := max(hunks[i].At-around, 0)
		to := min(hunks[j-1].At+hunks[j-1].N+around, len(lines))
		grown := 0
		for _, h := range hunks[i:j] {
			grown += len(h.With) - h.N
		}
		fmt.Fprintf(&out, "@@ -%s +%s @@\n", span(from, to-from), span(from+shift, to-from+grown))
		at := from
		for _, h := range hunks[i:j] {
			for ; at < h.At; at++ {
				write(' ', lines[at])
			}
			for ; at < h.At+h.N; at++ {
				write('-', lines[at])
			}
			for _, l := range h.With {
				write('+', l)
			}
		}
		for ; at < to; at++ {
			write(' ', lines[at])
		}
		shift += grown
		i = j
	}
	return out.String()
}

func span(from, n int) string {
	if n == 0 {
		return fmt.Sprintf("%d,0", from)
	}
	return fmt.Sprintf("%d,%d", from+1, n)
}
