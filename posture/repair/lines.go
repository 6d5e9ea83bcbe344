package repair

import (
	"bytes"
	"fmt"
	"path"
	"strings"

	"github.com/minewarden/minewarden"
)

// A style is how a format of one setting a line works.
type style struct {
	name      string
	sections  bool   // [section] headers; a key is section, name
	comments  string // characters that begin a comment line
	sep       string // between name and value in a new line
	equals    bool   // name = value; otherwise the first space ends the name
	fold      bool   // names in any case are the same
	firstWins bool   // of a setting given twice the first counts
	continued bool   // a backslash at the end joins lines
	stop      string // a line that begins with this word ends the part that is edited
	list      bool   // a list value is several lines of one name
}

// They are values, not variables: each call gets its own.
const (
	iniStyle = iota
	systemdStyle
	sysctlStyle
	sshdStyle
)

func styleOf(kind int) style {
	switch kind {
	case iniStyle:
		return style{name: "INI", sections: true, comments: ";#", sep: " = ", equals: true}
	case systemdStyle:
		return style{name: "unit file", sections: true, comments: "#;", sep: "=", equals: true, continued: true, list: true}
	case sysctlStyle:
		return style{name: "sysctl", comments: "#;", sep: " = ", equals: true}
	}
	return style{name: "sshd_config", comments: "#", sep: " ", fold: true, firstWins: true, stop: "match"}
}

func isSysctl(name string) bool {
	return strings.Contains(name, "sysctl") || strings.HasSuffix(path.Dir(name), "/sysctl.d")
}

// A setting is one logical line.
type setting struct {
	section, name, value string
	from, to             int // of the lines, line end included
	valueFrom, valueTo   int
	comment              bool // written, but commented out
}

// scan cuts data into its settings. at is where a new line of each section goes; limit is where editing ends.
func (st style) scan(data []byte) (settings []setting, end map[string]int, limit int) {
	end = map[string]int{"": 0}
	section := ""
	limit = len(data)
	for at := 0; at < len(data); {
		stop := len(data)
		if i := bytes.IndexByte(data[at:], '\n'); i >= 0 {
			stop = at + i + 1
		}
		line := data[at:stop]
		text := strings.TrimSpace(string(line))
		for st.continued && strings.HasSuffix(text, `\`) && stop < len(data) && !strings.ContainsAny(text[:1], st.comments) {
			next := len(data)
			if i := bytes.IndexByte(data[stop:], '\n'); i >= 0 {
				next = stop + i + 1
			}
			line = data[at:next]
			text = strings.TrimSpace(string(line))
			stop = next
		}
		switch {
		case text == "":
		case st.sections && text[0] == '[' && strings.IndexByte(text, ']') > 0:
			section = strings.TrimSpace(text[1:strings.IndexByte(text, ']')])
			end[section] = stop
		default:
			s := setting{section: section, from: at, to: stop}
			s.comment = strings.IndexByte(st.comments, text[0]) >= 0
			if !s.comment {
				if st.stop != "" && strings.EqualFold(firstField(text), st.stop) {
					return settings, end, at
				}
				end[section] = stop
			}
			if st.split(data, &s) {
				settings = append(settings, s)
			}
		}
		at = stop
	}
	return settings, end, limit
}

func firstField(s string) string {
	f, _, _ := strings.Cut(strings.ReplaceAll(s, "\t", " "), " ")
	return f
}

// split finds name and value of a line.
func (st style) split(data []byte, s *setting) bool {
	i, end := s.from, s.to
	for end > i && strings.IndexByte(" \t\r\n", data[end-1]) >= 0 {
		end--
	}
	for i < end && (data[i] == ' ' || data[i] == '\t' || s.comment && strings.IndexByte(st.comments, data[i]) >= 0) {
		i++
	}
	var cut int
	if st.equals {
		cut = bytes.IndexByte(data[i:end], '=')
		if c := bytes.IndexByte(data[i:end], ':'); st.name == "INI" && c >= 0 && (cut < 0 || c < cut) {
			cut = c
		}
	} else {
		cut = bytes.IndexAny(data[i:end], " \t=")
	}
	if cut <= 0 {
		return false
	}
	s.name = strings.TrimSpace(string(data[i : i+cut]))
	if st.name == "sysctl" {
		s.name = strings.ReplaceAll(strings.TrimPrefix(s.name, "-"), "/", ".")
	}
	v := i + cut
	for v < end && strings.IndexByte(" \t=:", data[v]) >= 0 {
		if data[v] == ':' && st.name != "INI" || data[v] == '=' && v > i+cut && st.equals {
			break
		}
		v++
	}
	// A comment behind the value stays where the format knows one.
	if st.name == "INI" || st.name == "sshd_config" {
		for j := v + 1; j < end; j++ {
			if strings.IndexByte(st.comments, data[j]) >= 0 && (data[j-1] == ' ' || data[j-1] == '\t') && data[v] != '"' && data[v] != '`' {
				for end = j; end > v && (data[end-1] == ' ' || data[end-1] == '\t'); {
					end--
				}
				break
			}
		}
	}
	s.valueFrom, s.valueTo = v, end
	s.value = string(data[v:end])
	return s.name != ""
}

func (st style) same(a, b string) bool {
	if st.fold {
		return strings.EqualFold(a, b)
	}
	return a == b
}

func editLines(data []byte, e minewarden.Edit, value any, kind int) ([]byte, error) {
	st := styleOf(kind)
	section, name := "", e.Key[0]
	if st.sections {
		if len(e.Key) != 2 {
			return nil, fmt.Errorf("%w: a key of a %s is section and name", ErrByHand, st.name)
		}
		section, name = e.Key[0], e.Key[1]
	} else if len(e.Key) != 1 {
		return nil, fmt.Errorf("%w: a key of a %s is one word", ErrByHand, st.name)
	}
	values, err := st.values(value, e.Op)
	if err != nil {
		return nil, err
	}
	settings, ends, limit := st.scan(data)
	var found []setting
	var hint *setting
	for i, s := range settings {
		if s.section != section || !st.same(s.name, name) {
			continue
		}
		if s.comment {
			hint = &settings[i]
		} else {
			found = append(found, s)
		}
	}
	if e.Op == minewarden.EditDelete {
		return cutAll(data, found), nil
	}
	if len(found) > 0 {
		return st.replace(data, found, values, name), nil
	}
	nl := newline(data)
	var lines strings.Builder
	for _, v := range values {
		lines.WriteString(name + st.sep + v + nl)
	}
	at, known := ends[section]
	switch {
	case hint != nil && hint.from < limit:
		at = hint.to
	case st.sections && !known:
		lead := ""
		if len(data) > 0 {
			lead = nl
			if data[len(data)-1] != '\n' {
				lead += nl
			}
		}
		return splice(data, len(data), len(data), lead+"["+section+"]"+nl+lines.String()), nil
	case st.stop != "": // before the first Match, at the end of what holds for everybody
		at = limit
	case !st.sections:
		at = len(data)
	}
	lead := ""
	if at > 0 && data[at-1] != '\n' {
		lead = nl
	}
	return splice(data, at, at, lead+lines.String()), nil
}

func (st style) values(value any, op minewarden.EditOp) ([]string, error) {
	if op == minewarden.EditDelete {
		return nil, nil
	}
	list, ok := value.([]any)
	if !ok || !st.list {
		list = []any{value}
	}
	var out []string
	for _, v := range list {
		t, err := text(v)
		if err != nil {
			return nil, err
		}
		if strings.ContainsAny(t, "\r\n\x00") {
			return nil, fmt.Errorf("%w: a value with a line end", ErrByHand)
		}
		if b, isBool := v.(bool); isBool && st.name == "sshd_config" {
			t = map[bool]string{true: "yes", false: "no"}[b]
		}
		out = append(out, t)
	}
	return out, nil
}

// replace gives the settings their values. Where one value is meant, every occurrence that could count gets it.
func (st style) replace(data []byte, found []setting, values []string, name string) []byte {
	if st.list && (len(values) != 1 || len(found) != 1) {
		if len(values) == len(found) {
			for i := len(found) - 1; i >= 0; i-- {
				data = putValue(data, found[i], values[i])
			}
			return data
		}
		// The first line's place takes them all.
		nl := newline(data)
		var lines strings.Builder
		for _, v := range values {
			lines.WriteString(name + st.sep + v + nl)
		}
		data = cutAll(data, found[1:])
		return splice(data, found[0].from, found[0].to, lines.String())
	}
	for i := len(found) - 1; i >= 0; i-- {
		data = putValue(data, found[i], values[0])
		if st.firstWins {
			continue
		}
	}
	return data
}

func putValue(data []byte, s setting, value string) []byte {
	if s.value == value {
		return data
	}
	sep := ""
	if s.valueFrom == s.valueTo && s.valueFrom > s.from && data[s.valueFrom-1] != '=' && data[s.valueFrom-1] != ' ' {
		sep = " "
	}
	return splice(data, s.valueFrom, s.valueTo, sep+value)
}

func cutAll(data []byte, found []setting) []byte {
	for i := len(found) - 1; i >= 0; i-- {
		data = splice(data, found[i].from, found[i].to, "")
	}
	return data
}
