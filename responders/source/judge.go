package source

import (
	"regexp"
	"strings"

	"github.com/minewarden/minewarden/internal/command"
	"github.com/minewarden/minewarden/responders/internal/edit"
)

const (
	minText = 8    // bytes of a line that is found within evidence
	maxLine = 8192 // bytes of a line that is judged
)

const (
	ownActs = command.Miner | command.MinerFetch | command.ReverseShell | command.RunHidden
	runActs = command.PipeToShell | command.DecodeToRun | command.RunWritable | command.Executable
)

// minerLine reports whether a line is the miner's: by a finding's own words, because it names a program of the lineage, or by
// what it would do. Comments never are.
func (f *facts) minerLine(line string, c claim) bool {
	t := strings.TrimSpace(line)
	if t == "" || t[0] == '#' || t[0] == ';' || len(t) > maxLine {
		return false
	}
	for _, text := range c.texts {
		text = strings.TrimSpace(text)
		if tail, cut := strings.CutPrefix(text, "…"); cut {
			if len(tail) >= minText && strings.HasSuffix(strings.ToValidUTF8(t, ""), tail) {
				return true
			}
		} else if text != "" && (strings.Contains(t, text) || len(t) >= minText && strings.Contains(text, t)) {
			return true
		}
	}
	if f.named(t) {
		return true
	}
	acts := command.Text(commandOf(t)).Acts
	return acts.Has(ownActs) || acts.Has(command.RawHost) && acts.Has(runActs) && acts.Has(command.Download) ||
		c.broken && (acts.Has(command.Download) || acts.Has(runActs))
}

// commandOf returns the command of a unit's line.
func commandOf(line string) string {
	if key, value, ok := strings.Cut(line, "="); ok && strings.HasPrefix(strings.TrimSpace(key), "Exec") {
		return strings.TrimLeft(strings.TrimSpace(value), "-@:+!|")
	}
	return line
}

// named reports whether a line names a program of the lineage, as a whole path.
func (f *facts) named(line string) bool {
	for _, p := range f.paths {
		if hasPath(line, p) {
			return true
		}
	}
	return false
}

func hasPath(line, path string) bool {
	for at := 0; ; {
		i := strings.Index(line[at:], path)
		if i < 0 {
			return false
		}
		i += at
		end := i + len(path)
		if (i == 0 || !inPath(line[i-1])) && (end == len(line) || !inPath(line[end])) {
			return true
		}
		at = i + 1
	}
}

func inPath(c byte) bool {
	return c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z' || c >= '0' && c <= '9' || strings.IndexByte("._-/+~", c) >= 0 || c >= 0x80
}

// minerHunks returns the changes that take the miner's lines out of a file of that sort. byHand says that one of them is
// woven into shell that goes on in other lines.
func (f *facts) minerHunks(is spot, data []byte, c claim) (_ []edit.Hunk, byHand bool) {
	lines := edit.Split(data)
	var hunks []edit.Hunk
	for i := 0; i < len(lines); {
		end := i + 1
		if is != spotKeys && is != spotPreload {
			for end < len(lines) && continued(lines[end-1]) {
				end++
			}
		}
		whole := strings.Join(lines[i:end], "")
		bad := f.minerLine(strings.ReplaceAll(strings.ReplaceAll(whole, "\\\r\n", " "), "\\\n", " "), c)
		if is == spotPreload {
			if h, ok := f.preloadHunk(i, lines[i], c); ok {
				hunks = append(hunks, h)
			}
		} else if bad && is == spotProfile && woven(whole) {
			// A condition that only asks for the program may stay; one that runs it may not.
			byHand = byHand || command.Text(whole).Acts.Has(ownActs|runActs|command.Download) && !strings.Contains(whole, "[")
		} else if bad {
			h := edit.Hunk{At: i, N: end - i}
			if n := len(hunks); n > 0 && hunks[n-1].At+hunks[n-1].N == h.At {
				hunks[n-1].N += h.N
			} else {
				hunks = append(hunks, h)
			}
		}
		i = end
	}
	if is == spotProfile {
		fillBlocks(lines, hunks)
	}
	return hunks, byHand
}

// woven says that a line of shell opens or closes what other lines go on with.
func woven(line string) bool {
	depth, words := 0, map[string]bool{}
	for _, w := range strings.FieldsFunc(line, func(r rune) bool { return strings.ContainsRune(" \t\r\n;&|()", r) }) {
		words[w] = true
		switch w {
		case "if", "case", "do", "{":
			depth++
		case "fi", "esac", "done", "}":
			depth--
		}
	}
	loop := words["for"] || words["while"] || words["until"]
	return depth != 0 || (words["then"] || words["else"] || words["elif"]) && !words["if"] || loop != words["do"] || strings.Contains(line, "<<") ||
		strings.Count(line, "'")%2+strings.Count(line, `"`)%2 > 0 || strings.Count(line, "(") != strings.Count(line, ")")
}

// fillBlocks leaves a command that does nothing where all of a block of shell is taken out: an empty one is an error there.
func fillBlocks(lines []string, hunks []edit.Hunk) {
	opens := ""
	for i, at := 0, 0; i < len(hunks); {
		for ; at < hunks[i].At; at++ { // what stays before
			if c := code(lines[at]); c != "" {
				opens = c
			}
		}
		first, closes := i, ""
		for ; closes == "" && at < len(lines); at++ { // the next that stays, past other hunks
			if i < len(hunks) && at == hunks[i].At {
				at += hunks[i].N - 1
				i++
				continue
			}
			closes = code(lines[at])
		}
		i = max(i, first+1)
		if alone(opens, closes) {
			hunks[first].With = []string{indent(lines[hunks[first].At]) + ":\n"}
		}
		opens = closes
	}
}

func continued(line string) bool {
	line = strings.TrimRight(line, "\r\n")
	return strings.HasSuffix(line, "\\") && !strings.HasSuffix(line, "\\\\")
}

// alone says that nothing stays between the lines that open and close a block of shell.
func alone(opens, closes string) bool {
	word := closes
	if i := strings.IndexAny(word, " \t;&|)"); i > 0 {
		word = word[:i]
	}
	closed := word == "fi" || word == "done" || word == "else" || word == "elif" || word == "}" || word == "esac" || strings.HasPrefix(closes, ";;") || strings.HasPrefix(closes, ")")
	return closed && (strings.HasSuffix(opens, "then") || strings.HasSuffix(opens, "do") || strings.HasSuffix(opens, "{") || strings.HasSuffix(opens, "else") || strings.HasSuffix(opens, ")") || strings.HasSuffix(opens, "("))
}

// code returns a line without white space; "" for a comment.
func code(line string) string {
	line = strings.TrimSpace(line)
	if strings.HasPrefix(line, "#") {
		return ""
	}
	return line
}

func indent(line string) string { return line[:len(line)-len(strings.TrimLeft(line, " \t"))] }

// preloadHunk takes libraries out of a line of ld.so.preload, which holds several parted by blanks or colons.
func (f *facts) preloadHunk(at int, line string, c claim) (edit.Hunk, bool) {
	libraries, _, _ := strings.Cut(line, "#")
	words := strings.FieldsFunc(libraries, func(r rune) bool { return r == ' ' || r == '\t' || r == ':' || r == '\n' || r == '\r' })
	var keep []string
	for _, w := range words {
		if !f.minerLine(w, c) {
			keep = append(keep, w)
		}
	}
	if len(keep) == len(words) || len(words) > 1 && len(c.texts) > 0 && !f.anyNamed(words) && len(keep) == 0 && !wholeLine(line, c.texts) {
		return edit.Hunk{}, false
	}
	h := edit.Hunk{At: at, N: 1}
	if len(keep) > 0 {
		h.With = []string{strings.Join(keep, " ") + "\n"}
	}
	return h, true
}

func (f *facts) anyNamed(words []string) bool {
	for _, w := range words {
		if f.named(w) {
			return true
		}
	}
	return false
}

func wholeLine(line string, texts []string) bool {
	for _, t := range texts {
		if strings.TrimSpace(line) == strings.TrimSpace(t) {
			return true
		}
	}
	return false
}

var (
	secretWord = regexp.MustCompile(`(?i)((?:token|secret|passw(?:or)?d|passwd|api_?-?key|access_?key|private_?key|credential|authorization|auth)[A-Za-z0-9_-]*["']?\s*[=:]\s*(?:bearer |basic )?)("[^"]*"|'[^']*'|[^\s,;}]+)`)
	userInfo   = regexp.MustCompile(`(://)[^/@\s]+@`)
)

const hiddenSecret = "[hidden]"

// show makes a line fit for a screen: what looks like a secret is hidden, and control characters do nothing.
func show(line string) string {
	if len(line) > 1000 {
		line = line[:1000] + "…"
	}
	line = strings.Map(func(r rune) rune {
		if r != '\t' && (r < ' ' || r >= 0x7f && r < 0xa0 || r == '\u202e' || r == '\u2066' || r == '\u2067' || r == '\u2068' || r == '\u202d') {
			return '\uFFFD'
		}
		return r
	}, strings.ToValidUTF8(line, "\uFFFD"))
	return userInfo.ReplaceAllString(secretWord.ReplaceAllString(line, "${1}"+hiddenSecret), "${1}"+hiddenSecret+"@")
}
