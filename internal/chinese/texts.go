package chinese

import (
	_ "embed"
	"maps"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"sync"
	"unicode"
)

// textsTSV is by line: English as the program has it, with the verbs of fmt where it puts something in, and Chinese, with {1} for what
// the first verb stands for and {1~} where that is a text of this table itself.
//
//go:embed texts.tsv
var textsTSV string

// A Pattern is a sentence of the program in both languages.
type Pattern struct {
	English string `json:"en"` // with verbs of fmt
	Chinese string `json:"zh"` // with {1}
}

type pattern struct {
	literals []string // what stands around the holes: one more than these
	kinds    []byte   // of the verbs
	length   int      // of the literals
	chinese  string
}

type book struct {
	all   []Pattern
	whole map[string]string // without holes
	open  []pattern         // those that begin with a word first, then the most literal
}

var texts = sync.OnceValue(func() book {
	b := book{whole: map[string]string{}}
	for line := range strings.Lines(textsTSV) {
		en, zh, _ := strings.Cut(strings.TrimSuffix(line, "\n"), "\t")
		b.all = append(b.all, Pattern{en, zh})
		p := parse(en, zh)
		if len(p.kinds) == 0 {
			b.whole[p.literals[0]] = zh
			continue
		}
		b.open = append(b.open, p)
	}
	slices.SortStableFunc(b.open, func(x, y pattern) int {
		if a, b := x.literals[0] != "", y.literals[0] != ""; a != b { // what begins with a word says most
			return map[bool]int{true: -1, false: 1}[a]
		}
		return y.length - x.length
	})
	return b
})

var verb = regexp.MustCompile(`%(?:%|[-+# 0]*[0-9]*(?:\.[0-9]+)?([a-zA-Z]))`)

func parse(en, zh string) pattern {
	p := pattern{chinese: zh}
	literal := ""
	at := 0
	for _, m := range verb.FindAllStringSubmatchIndex(en, -1) {
		literal += en[at:m[0]]
		at = m[1]
		if m[2] < 0 {
			literal += "%"
			continue
		}
		p.literals, p.kinds = append(p.literals, literal), append(p.kinds, en[m[2]])
		p.length += len(literal)
		literal = ""
	}
	literal += en[at:]
	p.literals = append(p.literals, literal)
	p.length += len(literal)
	return p
}

// Texts returns every sentence of the table, in its order.
func Texts() []Pattern { return texts().all }

// maxText bounds what is compared with the table: sentences are short, whatever names stand in them.
const maxText = 4096

// Text returns a sentence of the program in Simplified Chinese. What nobody translated stays as it is.
func Text(english string) (string, bool) { return translate(english, 3) }

func translate(s string, depth int) (string, bool) {
	b := texts()
	if zh, ok := b.whole[s]; ok {
		return zh, true
	}
	if len(s) > maxText || depth == 0 {
		return s, false
	}
	for i := range b.open {
		if holes, ok := b.open[i].match(s); ok {
			if zh, ok := b.open[i].fill(holes, depth); ok {
				return zh, true
			}
		}
	}
	if strings.Contains(s, "; ") {
		var out []string
		for part := range strings.SplitSeq(s, "; ") {
			zh, ok := translate(part, depth-1)
			if !ok {
				return s, false
			}
			out = append(out, zh)
		}
		return strings.Join(out, "；"), true
	}
	return s, false
}

// match returns what stands for the verbs. It looks at each byte a few times at most, whoever wrote the text.
func (p *pattern) match(s string) (holes []string, ok bool) {
	s, ok = strings.CutPrefix(s, p.literals[0])
	if !ok {
		return nil, false
	}
	for i, kind := range p.kinds {
		literal, last := p.literals[i+1], i == len(p.kinds)-1
		end := 0
		switch {
		case kind == 'q':
			quoted, err := strconv.QuotedPrefix(s)
			if err != nil {
				return nil, false
			}
			end = len(quoted)
		case kind == 'd':
			for end < len(s) && (s[end] >= '0' && s[end] <= '9' || end == 0 && s[end] == '-') {
				end++
			}
		case last:
			end = len(s) - len(literal)
		default:
			end = strings.Index(s, literal)
		}
		if end <= 0 || !strings.HasPrefix(s[end:], literal) || last && len(s) != end+len(literal) {
			return nil, false
		}
		holes = append(holes, s[:end])
		s = s[end+len(literal):]
	}
	return holes, true
}

var hole = regexp.MustCompile(`\{([1-9])(~?)\}`)

// fill puts in what stands for the verbs. A pattern without a word says nothing by itself: something in it must be translated.
func (p *pattern) fill(holes []string, depth int) (string, bool) {
	said := strings.ContainsFunc(strings.Join(p.literals, ""), unicode.IsLetter)
	out := hole.ReplaceAllStringFunc(p.chinese, func(m string) string {
		n := int(m[1] - '1')
		if n >= len(holes) {
			return m
		}
		if m[2] != '~' {
			return holes[n]
		}
		t, ok := translate(holes[n], depth-1)
		said = said || ok
		return t
	})
	return out, said
}

// docsTSV is by line: the first 12 digits of the SHA-256 of a paragraph, list item, heading or row of a module's README, and Chinese.
//
//go:embed docs.tsv
var docsTSV string

var docs = sync.OnceValue(func() map[string]string {
	all := map[string]string{}
	for line := range strings.Lines(docsTSV) {
		key, zh, _ := strings.Cut(strings.TrimSuffix(line, "\n"), "\t")
		all[key] = zh
	}
	return all
})

// DocKeys returns the keys of the paragraphs that have a translation.
func DocKeys() []string { return slices.Sorted(maps.Keys(docs())) }
