package chinese

import (
	"crypto/sha256"
	"encoding/hex"
	"strings"
)

// A Block is a piece of a README that is translated as one: a heading, a paragraph, an item of a list, a row of a table. What begins a
// line and is no text, such as "## " and "- ", is its Lead.
type Block struct {
	Lead, Text string
	Code       bool // as it is in every language
}

// Key names a block by its English, so that a translation ends with what it translates.
func (b Block) Key() string {
	sum := sha256.Sum256([]byte(b.Text))
	return hex.EncodeToString(sum[:6])
}

// Blocks splits a README.
func Blocks(markdown string) (out []Block) {
	fence, open := false, false // open: the next line goes on with the last block
	for line := range strings.Lines(markdown) {
		line = strings.TrimRight(line, "\n")
		text := strings.TrimSpace(line)
		switch {
		case strings.HasPrefix(line, "```"), fence:
			if strings.HasPrefix(line, "```") {
				fence = !fence
			}
			out, open = append(out, Block{Text: line, Code: true}), false
		case text == "":
			out, open = append(out, Block{Code: true}), false
		case strings.HasPrefix(line, "#"):
			lead, rest, _ := strings.Cut(line, " ")
			out, open = append(out, Block{Lead: lead + " ", Text: rest}), false
		case strings.HasPrefix(line, "|"):
			b := Block{Text: text}
			if strings.Trim(text, "|-: ") == "" {
				b.Code = true
			}
			out, open = append(out, b), false
		case strings.HasPrefix(line, "- "), strings.HasPrefix(line, "* "):
			out, open = append(out, Block{Lead: "- ", Text: text[2:]}), true
		case open:
			out[len(out)-1].Text += " " + text
		default:
			out, open = append(out, Block{Text: text}), true
		}
	}
	return out
}

// Doc returns a README in Simplified Chinese, and how many of its blocks with text have no translation: these stay English.
func Doc(markdown string) (string, int) {
	var b strings.Builder
	missing := 0
	for i, x := range Blocks(markdown) {
		zh, ok := docs()[x.Key()]
		if !ok {
			zh = x.Text
			if !x.Code && i > 0 { // the first line names the module
				missing++
			}
		}
		b.WriteString(x.Lead + zh + "\n")
	}
	return b.String(), missing
}
