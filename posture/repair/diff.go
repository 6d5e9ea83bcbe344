package repair

import (
	"fmt"
	"strings"
)

// context is how many unchanged lines surround a change, as diff -u has it.
const context = 3

// maxDistance bounds the search for the shortest diff; beyond it the middle is shown as replaced.
const maxDistance = 1000

// Diff returns the difference as a unified diff, "" when there is none. patch -p1 applies it.
func Diff(name string, before, after []byte) string {
	if string(before) == string(after) {
		return ""
	}
	a, b := splitLines(string(before)), splitLines(string(after))
	ops := compare(a, b)
	var out strings.Builder
	name = strings.TrimPrefix(name, "/")
	fmt.Fprintf(&out, "--- a/%s\n+++ b/%s\n", name, name)
	for i := 0; i < len(ops); {
		if ops[i].kind == ' ' {
			i++
			continue
		}
		from := max(i-context, 0)
		to, quiet := i, 0
		for j := i; j < len(ops) && quiet <= 2*context; j++ {
			if ops[j].kind == ' ' {
				quiet++
			} else {
				quiet, to = 0, j+1
			}
		}
		end := min(to+context, len(ops))
		hunk(&out, ops[from:end])
		i = end
	}
	return out.String()
}

type op struct {
	kind byte // ' ', '-', '+'
	text string
	a, b int // line numbers from 1 at this op
}

func hunk(out *strings.Builder, ops []op) {
	var na, nb int
	for _, o := range ops {
		if o.kind != '+' {
			na++
		}
		if o.kind != '-' {
			nb++
		}
	}
	start := func(n, at int) string {
		switch n {
		case 0:
			return fmt.Sprintf("%d,0", at-1)
		case 1:
			return fmt.Sprint(at)
		}
		return fmt.Sprintf("%d,%d", at, n)
	}
	fmt.Fprintf(out, "@@ -%s +%s @@\n", start(na, ops[0].a), start(nb, ops[0].b))
	for _, o := range ops {
		out.WriteByte(o.kind)
		out.WriteString(o.text)
		if !strings.HasSuffix(o.text, "\n") {
			out.WriteString("\n\\ No newline at end of file\n")
		}
	}
}

func splitLines(s string) []string {
	if s == "" {
		return nil
	}
	lines := strings.SplitAfter(s, "\n")
	if lines[len(lines)-1] == "" {
		lines = lines[:len(lines)-1]
	}
	return lines
}

// compare finds the shortest script from a to b by Myers' algorithm, after what is equal at both ends is set aside.
func compare(a, b []string) []op {
	head := 0
	for head < len(a) && head < len(b) && a[head] == b[head] {
		head++
	}
	tail := 0
	for tail < len(a)-head && tail < len(b)-head && a[len(a)-1-tail] == b[len(b)-1-tail] {
		tail++
	}
	var ops []op
	add := func(kind byte, text string) {
		o := op{kind: kind, text: text, a: 1, b: 1}
		if len(ops) > 0 {
			last := ops[len(ops)-1]
			o.a, o.b = last.a, last.b
			if last.kind != '+' {
				o.a++
			}
			if last.kind != '-' {
				o.b++
			}
		}
		ops = append(ops, o)
	}
	for _, l := range a[:head] {
		add(' ', l)
	}
	x, y := a[head:len(a)-tail], b[head:len(b)-tail]
	for _, k := range script(x, y) {
		switch k {
		case ' ':
			add(' ', x[0])
			x, y = x[1:], y[1:]
		case '-':
			add('-', x[0])
			x = x[1:]
		case '+':
			add('+', y[0])
			y = y[1:]
		}
	}
	for _, l := range a[len(a)-tail:] {
		add(' ', l)
	}
	return ops
}

func script(a, b []string) []byte {
	n, m := len(a), len(b)
	limit := min(n+m, maxDistance)
	v := make([]int, 2*limit+2)
	var trace [][]int
	found := -1
search:
	for d := 0; d <= limit; d++ {
		trace = append(trace, append([]int(nil), v[limit-d:limit+d+2]...))
		for k := -d; k <= d; k += 2 {
			x := 0
			if k == -d || k != d && v[limit+k-1] < v[limit+k+1] {
				x = v[limit+k+1]
			} else {
				x = v[limit+k-1] + 1
			}
			y := x - k
			for x < n && y < m && y >= 0 && a[x] == b[y] {
				x, y = x+1, y+1
			}
			if limit+k >= 0 {
				v[limit+k] = x
			}
			if x >= n && y >= m {
				found = d
				break search
			}
		}
	}
	if found < 0 {
		return []byte(strings.Repeat("-", n) + strings.Repeat("+", m))
	}
	var out []byte
	x, y := n, m
	for d := found; d > 0; d-- {
		old := trace[d] // indexed by k+d
		at := func(k int) int { return old[k+d] }
		k := x - y
		prev := k - 1
		if k == -d || k != d && at(k-1) < at(k+1) {
			prev = k + 1
		}
		px := at(prev)
		py := px - prev
		for x > px && y > py && x > 0 && y > 0 && a[x-1] == b[y-1] && !(x == px+1 && y == py) {
			if prev == k+1 && y == py+1 && x == px || prev == k-1 && x == px+1 && y == py {
				break
			}
			out = append(out, ' ')
			x, y = x-1, y-1
		}
		if prev == k+1 {
			out = append(out, '+')
			y--
		} else {
			out = append(out, '-')
			x--
		}
	}
	for x > 0 && y > 0 {
		out = append(out, ' ')
		x, y = x-1, y-1
	}
	for i, j := 0, len(out)-1; i < j; i, j = i+1, j-1 {
		out[i], out[j] = out[j], out[i]
	}
	return out
}
