package gate

import (
	"bytes"
	"errors"
	"regexp"
	"strconv"
	"strings"

	"github.com/hashicorp/hcl/v2"

	"github.com/minewarden/minewarden/internal/yamltree"
)

// lines finds the lines of a file, which is cut only when a finding asks.
type lines struct {
	data []byte
	cut  [][]byte
	mark bool // the file speaks to us at all
}

// marker begins a comment that takes a finding out: minewarden:ignore RULE[,RULE…] reason.
const marker = "minewarden:ignore"

func newLines(data []byte) *lines {
	return &lines{data: data, mark: bytes.Contains(data, []byte(marker))}
}

func (l *lines) line(n int) []byte {
	if l.cut == nil {
		l.cut = bytes.Split(l.data, []byte("\n"))
	}
	if n < 1 || n > len(l.cut) {
		return nil
	}
	return l.cut[n-1]
}

func (l *lines) text(n int) string {
	const maxSnippet = 200
	s := strings.TrimSpace(strings.ToValidUTF8(string(l.line(n)), "\uFFFD"))
	if r := []rune(s); len(r) > maxSnippet {
		s = string(r[:maxSnippet])
	}
	return s
}

// suppressed returns the reason with which the file takes rule out at line: on the line itself, or in the comment right
// above it. A finding about the whole file is taken out by the comment at the file's top. Without a reason nothing is.
func (l *lines) suppressed(rule string, n int) string {
	if !l.mark {
		return ""
	}
	if n > 0 {
		if r := reason(string(l.line(n)), rule); r != "" {
			return r
		}
		for n--; n > 0 && isComment(l.line(n)); n-- {
			if r := reason(string(l.line(n)), rule); r != "" {
				return r
			}
		}
		return ""
	}
	for n = 1; isComment(l.line(n)) || n == 1 && bytes.HasPrefix(l.line(n), []byte("---")); n++ {
		if r := reason(string(l.line(n)), rule); r != "" {
			return r
		}
	}
	return ""
}

func isComment(line []byte) bool {
	line = bytes.TrimSpace(line)
	return bytes.HasPrefix(line, []byte("#")) || bytes.HasPrefix(line, []byte("//")) || bytes.HasPrefix(line, []byte(";"))
}

func reason(line, rule string) string {
	at := strings.Index(line, marker)
	if at < 1 {
		return ""
	}
	// Only a comment speaks: the words inside a value would let a value silence its own line.
	before := strings.TrimRight(line[:at], " \t")
	if !strings.HasSuffix(before, "#") && !strings.HasSuffix(before, "//") && !strings.HasSuffix(before, ";") && !strings.HasSuffix(before, "/*") {
		return ""
	}
	rules, why, _ := strings.Cut(strings.TrimSpace(line[at+len(marker):]), " ")
	why = strings.TrimSpace(strings.TrimSuffix(strings.TrimSpace(why), "*/"))
	for _, r := range strings.Split(rules, ",") {
		if r == rule {
			return why
		}
	}
	return ""
}

// position finds line and column in an error of any of the parsers.
func position(err error) (line, column int) {
	var ye *yamltree.Error
	if errors.As(err, &ye) {
		return ye.Line, ye.Column
	}
	var diags hcl.Diagnostics
	if errors.As(err, &diags) {
		for _, d := range diags {
			if d.Subject != nil {
				return d.Subject.Start.Line, d.Subject.Start.Column
			}
		}
	}
	var pos interface{ Position() (line, column int) }
	if errors.As(err, &pos) {
		return pos.Position()
	}
	if m := regexp.MustCompile(`line (\d+)(?:[, ]+column (\d+))?|:(\d+)[,:](\d+)`).FindStringSubmatch(err.Error()); m != nil {
		line, column = atoi(m[1])+atoi(m[3]), atoi(m[2])+atoi(m[4])
	}
	return line, column
}

func atoi(s string) int {
	n, err := strconv.Atoi(s)
	if err != nil {
		return 0
	}
	return n
}
