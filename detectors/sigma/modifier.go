package sigma

import (
	"encoding/base64"
	"net/netip"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"unicode/utf16"
)

const (
	maxModifiers    = 8
	maxAlternatives = 4096    // forms of one value that windash, base64offset and expand make
	maxRegexpBytes  = 16_384  // of one pattern
	maxValueBytes   = 1 << 16 // of one value of a rule
	maxPlaceholder  = 10_000  // values of one placeholder
)

// compiler turns the selections of one rule into tests.
type compiler struct {
	placeholders map[string][]string
	fields       []string
}

// modifiers is what the words after a field's name ask for. Their order matters only among the transformations.
type modifiers struct {
	mode                             string // "", contains, startswith, endswith, re, cidr, exists, lt, lte, gt, gte, fieldref
	position                         string // with re and fieldref: contains, startswith, endswith
	all, cased, neq, expand, i, m, s bool
	transforms                       []string
	part                             timePart
}

func parseModifiers(key *node, words []string) (modifiers, error) {
	var m modifiers
	if len(words) > maxModifiers {
		return m, key.errorf("%d modifiers; at most %d make sense", len(words), maxModifiers)
	}
	for _, w := range words {
		switch w {
		case "all":
			m.all = true
		case "cased":
			m.cased = true
		case "neq":
			m.neq = true
		case "expand":
			m.expand = true
		case "i", "ignorecase":
			m.i = true
		case "m", "multiline":
			m.m = true
		case "s", "dotall":
			m.s = true
		case "windash", "wide", "utf16", "utf16le", "utf16be", "base64", "base64offset":
			m.transforms = append(m.transforms, w)
		case "contains", "startswith", "endswith":
			if m.position != "" && m.position != w {
				return m, key.errorf("%s and %s exclude each other", m.position, w)
			}
			m.position = w
		case "re", "cidr", "exists", "lt", "lte", "gt", "gte", "fieldref":
			if m.mode != "" && m.mode != w {
				return m, key.errorf("%s and %s exclude each other", m.mode, w)
			}
			m.mode = w
		case "minute", "hour", "day", "week", "month", "year":
			m.part = timeParts[w]
		default:
			return m, key.errorf("unknown modifier %q", w)
		}
	}
	switch {
	case (m.i || m.m || m.s) && m.mode != "re":
		return m, key.errorf("the modifiers i, m and s belong to re")
	case m.mode != "" && m.mode != "re" && len(m.transforms) > 0:
		return m, key.errorf("%s and %s exclude each other", m.transforms[0], m.mode)
	case m.mode == "re" && len(m.transforms) > 0:
		return m, key.errorf("a regular expression cannot be encoded by %s", m.transforms[0])
	case m.position != "" && m.mode != "" && m.mode != "re" && m.mode != "fieldref":
		return m, key.errorf("%s and %s exclude each other", m.position, m.mode)
	case m.part != 0 && (m.position != "" || len(m.transforms) > 0 || m.mode != "" && !isOrder(m.mode)):
		return m, key.errorf("a part of a time is a number: only lt, lte, gt, gte and neq go with it")
	}
	return m, nil
}

func isOrder(mode string) bool { return mode == "lt" || mode == "lte" || mode == "gt" || mode == "gte" }

// item compiles one "field|modifiers: value" of a selection.
func (c *compiler) item(key, value *node) (*expr, error) {
	words := strings.Split(key.text, "|")
	field := words[0]
	m, err := parseModifiers(key, words[1:])
	if err != nil {
		return nil, err
	}
	if value.kind == nodeMap {
		return nil, value.errorf("the value of %q must be one value or a list, not a map", key.text)
	}
	values := value.list()
	if len(values) == 0 {
		return nil, value.errorf("the list of %q is empty", key.text)
	}
	if m.mode == "exists" && (len(values) != 1 || values[0].kind != nodeBool) {
		return nil, value.errorf("exists needs true or false")
	}
	c.want(field)
	kids := make([]*expr, 0, len(values))
	for _, v := range values {
		e, err := c.value(field, m, v)
		if err != nil {
			return nil, err
		}
		kids = append(kids, e)
	}
	e := or(kids...)
	if m.all {
		e = and(kids...)
	}
	if m.neq {
		e = not(e)
	}
	return e, nil
}

func (c *compiler) value(field string, m modifiers, v *node) (*expr, error) {
	if v.kind == nodeList || v.kind == nodeMap {
		return nil, v.errorf("a value must be a text, number, truth value or null, not %s", v.kind)
	}
	if len(v.text) > maxValueBytes {
		return nil, v.errorf("the value has %d bytes; at most %d are matched", len(v.text), maxValueBytes)
	}
	if field == "" && (v.kind == nodeNull || m.mode != "" && m.mode != "re") {
		return nil, v.errorf("a keyword needs a text, and no modifier that asks for a field")
	}
	if v.kind == nodeNull {
		if m.mode != "" || m.part != 0 {
			return nil, v.errorf("null cannot be used with %s", m.mode)
		}
		return leaf(&pred{field: field, op: opAbsent}), nil
	}
	if m.mode == "exists" {
		e := leaf(&pred{field: field, op: opExists})
		if v.text == "false" {
			e = not(e)
		}
		return e, nil
	}
	if !m.expand {
		return c.one(field, m, v, v.text)
	}
	texts, err := c.expand(v)
	if err != nil {
		return nil, err
	}
	var kids []*expr
	for _, text := range texts {
		e, err := c.one(field, m, v, text)
		if err != nil {
			return nil, err
		}
		kids = append(kids, e)
	}
	return or(kids...), nil
}

// environment holds Windows variables that rules look for by name in command lines.
var environment = map[string]bool{
	"userdomain": true, "username": true, "userprofile": true, "computername": true, "logonserver": true, "temp": true, "tmp": true,
	"appdata": true, "localappdata": true, "programdata": true, "public": true, "comspec": true, "systemroot": true, "windir": true,
}

// expand replaces every %name% by each of its values.
func (c *compiler) expand(v *node) ([]string, error) {
	done, rest := []string{""}, v.text
	for {
		before, after, ok := strings.Cut(rest, "%")
		name, tail, closed := strings.Cut(after, "%")
		if !ok || !closed {
			for i := range done {
				done[i] += rest
			}
			return done, nil
		}
		values := c.placeholders[name]
		if len(values) == 0 && environment[strings.ToLower(name)] {
			values = []string{"%" + name + "%"} // a command line that names the variable, not a placeholder
		}
		if len(values) == 0 {
			return nil, v.errorf("the placeholder %%%s%% has no values: list them in the configuration under detectors: sigma: placeholders", name)
		}
		if len(values) > maxPlaceholder || len(done)*len(values) > maxPlaceholder {
			return nil, v.errorf("the placeholders of %q make more than %d values", v.text, maxPlaceholder)
		}
		next := make([]string, 0, len(done)*len(values))
		for _, d := range done {
			for _, value := range values {
				next = append(next, d+before+value)
			}
		}
		done, rest = next, tail
	}
}

func (c *compiler) one(field string, m modifiers, v *node, text string) (*expr, error) {
	switch {
	case m.part != 0, isOrder(m.mode):
		num, err := strconv.ParseFloat(text, 64)
		if err != nil {
			return nil, v.errorf("%q is not a number", text)
		}
		p := &pred{field: field, op: opNumber, num: num, part: m.part, lit: m.mode}
		return leaf(p), nil
	case m.mode == "re":
		return c.regexp(field, m, v, text)
	case m.mode == "cidr":
		prefix, err := netip.ParsePrefix(text)
		if err != nil {
			addr, err2 := netip.ParseAddr(text)
			if err2 != nil {
				return nil, v.errorf("%q is not a network", text)
			}
			prefix = netip.PrefixFrom(addr, addr.BitLen())
		}
		return leaf(&pred{field: field, op: opCIDR, prefix: prefix.Masked()}), nil
	case m.mode == "fieldref":
		c.want(text)
		return leaf(&pred{field: field, op: opFieldRef, ref: text, lit: m.position, cased: m.cased}), nil
	}
	return c.text(field, m, v, text)
}

func (c *compiler) text(field string, m modifiers, v *node, text string) (*expr, error) {
	texts := []string{text}
	position := m.position
	plain := false // no wildcards: the text is the outcome of an encoding
	for _, t := range m.transforms {
		var next []string
		for _, s := range texts {
			forms, err := transform(t, s, plain)
			if err != nil {
				return nil, v.errorf("%w", err)
			}
			if next = append(next, forms...); len(next) > maxAlternatives {
				return nil, v.errorf("%s makes more than %d forms of %q", t, maxAlternatives, text)
			}
		}
		texts = next
		if t == "base64offset" && position == "" {
			position = "contains" // its forms are the inner part of an encoding: they can equal nothing
		}
		plain = plain || t != "windash"
	}
	kids := make([]*expr, 0, len(texts))
	for _, s := range texts {
		parts := []part{{lit: s}}
		if !plain {
			parts = globParts(s, true)
		}
		kids = append(kids, stringExpr(field, position, m.cased, parts))
	}
	return or(kids...), nil
}

// transform returns the forms of a text that a modifier makes.
func transform(name, s string, plain bool) ([]string, error) {
	if name == "windash" {
		return windash(s)
	}
	if !plain {
		parts := globParts(s, true)
		if len(parts) > 1 || len(parts) == 1 && parts[0].wild != 0 {
			return nil, errWild
		}
		s = ""
		if len(parts) == 1 {
			s = parts[0].lit
		}
	}
	switch name {
	case "base64":
		return []string{base64.StdEncoding.EncodeToString([]byte(s))}, nil
	case "base64offset":
		return base64Offset(s), nil
	case "utf16be":
		return []string{toUTF16(s, true)}, nil
	case "utf16":
		return []string{"\xff\xfe" + toUTF16(s, false)}, nil
	default: // wide, utf16le
		return []string{toUTF16(s, false)}, nil
	}
}

func toUTF16(s string, big bool) string {
	var b strings.Builder
	for _, u := range utf16.Encode([]rune(s)) {
		if big {
			b.WriteByte(byte(u >> 8))
		}
		b.WriteByte(byte(u))
		if !big {
			b.WriteByte(byte(u >> 8))
		}
	}
	return b.String()
}

// base64Offset returns the part of the encoding of s that does not depend on its neighbours, for each of the three places
// within a group of three bytes at which s can start.
func base64Offset(s string) []string {
	var out []string
	for shift := range 3 {
		enc := base64.StdEncoding.EncodeToString(append(make([]byte, shift), s...))
		enc = enc[(shift*8+5)/6:] // characters that hold a bit of what is before s
		if over := (shift + len(s)) % 3; over != 0 {
			enc = enc[:max(len(enc)-4+over*8/6, 0)] // "=" and the character that holds a bit of what follows
		}
		if enc != "" && !slices.Contains(out, enc) {
			out = append(out, enc)
		}
	}
	return out
}

var dashes = []string{"-", "/", "\u2013", "\u2014", "\u2015"} // en dash, em dash, horizontal bar

// windash returns s with each dash or slash that starts a word replaced by each of the dashes.
func windash(s string) ([]string, error) {
	out := []string{""}
	rest := s
	for rest != "" {
		at, width := nextDash(s[:len(s)-len(rest)], rest)
		if at < 0 {
			break
		}
		if len(out)*len(dashes) > maxAlternatives {
			return nil, errDashes
		}
		next := make([]string, 0, len(out)*len(dashes))
		for _, o := range out {
			for _, d := range dashes {
				next = append(next, o+rest[:at]+d)
			}
		}
		out, rest = next, rest[at+width:]
	}
	for i := range out {
		out[i] += rest
	}
	return out, nil
}

// nextDash finds the next dash in rest that stands before a word and not within one: "-enc", not "Set-Item".
func nextDash(before, rest string) (at, width int) {
	inWord := before != "" && wordByte(before[len(before)-1])
	for i := 0; i < len(rest); i++ {
		for _, d := range dashes {
			if strings.HasPrefix(rest[i:], d) && !inWord && i+len(d) < len(rest) && wordByte(rest[i+len(d)]) {
				return i, len(d)
			}
		}
		inWord = wordByte(rest[i])
	}
	return -1, 0
}

func wordByte(c byte) bool {
	return c == '_' || c >= '0' && c <= '9' || c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z'
}

func (c *compiler) regexp(field string, m modifiers, v *node, text string) (*expr, error) {
	if len(text) > maxRegexpBytes {
		return nil, v.errorf("the regular expression has %d bytes; at most %d are matched", len(text), maxRegexpBytes)
	}
	flags := ""
	if m.i {
		flags += "i"
	}
	if m.m {
		flags += "m"
	}
	if m.s {
		flags += "s"
	}
	pattern := text
	switch m.position {
	case "startswith":
		pattern = `\A(?:` + pattern + `)`
	case "endswith":
		pattern = `(?:` + pattern + `)\z`
	}
	if flags != "" {
		pattern = "(?" + flags + ")" + pattern
	}
	re, err := regexp.Compile(pattern)
	if err != nil {
		return nil, v.errorf("regular expression: %s", strings.TrimPrefix(err.Error(), "error parsing regexp: "))
	}
	need, q := prefilter(field, pattern)
	test := leaf(&pred{field: field, op: opRegexp, lit: pattern, re: re, quick: q})
	if need != nil {
		return and(need, test), nil
	}
	return test, nil
}
