package main

import (
	_ "embed"
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"strconv"
	"strings"
)

//go:embed mining.txt
var miningText string

//go:embed honest.txt
var honestText string

// A turn is one message: of the client, which mines, or of the server.
type turn struct {
	up   bool
	text string
}

// A session is what the two ends say to each other, and what must be told of it; empty: not checked.
type session struct {
	name, dialect, coin string
	lines               bool // not spoken in HTTP and WebSocket
	turns               []turn
}

// scripts reads sessions and fills in their numbers of chance.
func scripts(text string, r *rand.Rand) ([]session, error) {
	var all []session
	for i, line := range strings.Split(text, "\n") {
		kind, rest, ok := strings.Cut(line, " ")
		switch {
		case line == "" || kind == "#":
		case !ok:
			return nil, fmt.Errorf("line %d: %q", i+1, line)
		case kind == "==":
			parts := append(strings.Split(rest, "|"), "", "", "")
			all = append(all, session{name: strings.TrimSpace(parts[0]), dialect: strings.TrimSpace(parts[1]), coin: strings.TrimSpace(parts[2]), lines: strings.TrimSpace(parts[3]) == "lines"})
		case (kind == ">" || kind == "<") && len(all) > 0:
			s := &all[len(all)-1]
			s.turns = append(s.turns, turn{kind == ">", fill(rest, r)})
		default:
			return nil, fmt.Errorf("line %d: %q", i+1, line)
		}
	}
	return all, nil
}

// fill replaces $h8 by so many hexadecimal digits, and $n by a number.
func fill(text string, r *rand.Rand) string {
	parts := strings.Split(text, "$")
	var b strings.Builder
	b.WriteString(parts[0])
	for _, p := range parts[1:] {
		switch {
		case strings.HasPrefix(p, "n") && (len(p) == 1 || p[1] < 'a'):
			b.WriteString(strconv.Itoa(100_000 + r.IntN(1<<30)))
			p = p[1:]
		case strings.HasPrefix(p, "h"):
			digits := len(p) - len(strings.TrimLeft(p[1:], "0123456789")) - 1
			n, err := strconv.Atoi(p[1 : 1+digits])
			if err != nil {
				b.WriteByte('$')
				break
			}
			b.WriteString(hexes(r, n))
			p = p[1+digits:]
		default:
			b.WriteByte('$')
		}
		b.WriteString(p)
	}
	return b.String()
}

func hexes(r *rand.Rand, n int) string {
	b := make([]byte, n)
	for i := range b {
		b[i] = "0123456789abcdef"[r.IntN(16)]
	}
	return string(b)
}

// A style is how JSON is written.
type style struct {
	shuffle, space, escape, escapeAll, junk, deep bool
}

// write writes the JSON in text anew; what is no object, and a word before one, stays.
func (s style) write(text string, r *rand.Rand) string {
	at := strings.IndexByte(text, '{')
	if at < 0 {
		return text
	}
	dec := json.NewDecoder(strings.NewReader(text[at:]))
	dec.UseNumber()
	var b strings.Builder
	b.WriteString(text[:at])
	if err := s.value(dec, &b, r, 0); err != nil {
		return text
	}
	return b.String()
}

func (s style) value(dec *json.Decoder, b *strings.Builder, r *rand.Rand, depth int) error {
	t, err := dec.Token()
	if err != nil {
		return err
	}
	switch t := t.(type) {
	case json.Delim:
		var parts []string
		for dec.More() {
			var p strings.Builder
			if t == '{' {
				k, err := dec.Token()
				if err != nil {
					return err
				}
				fmt.Fprintf(&p, "%s%s:%s", s.text(fmt.Sprint(k), s.escape || s.escapeAll), s.gap(r), s.gap(r))
			}
			if err := s.value(dec, &p, r, depth+1); err != nil {
				return err
			}
			parts = append(parts, p.String())
		}
		if _, err := dec.Token(); err != nil {
			return err
		}
		end := "]"
		if t == '{' {
			end = "}"
			if s.shuffle {
				r.Shuffle(len(parts), func(i, j int) { parts[i], parts[j] = parts[j], parts[i] })
			}
			if s.junk && depth < 2 {
				var more []string
				for i := range 200 {
					more = append(more, fmt.Sprintf(`"x%d":[%d,"y"]`, i, r.IntN(1000)))
				}
				parts = append(more, parts...)
			}
			if s.deep && depth == 0 {
				parts = append([]string{`"pad":` + strings.Repeat(`[{"a":`, 300) + "1" + strings.Repeat("}]", 300)}, parts...)
			}
		}
		b.WriteString(t.String() + s.gap(r) + strings.Join(parts, s.gap(r)+","+s.gap(r)) + s.gap(r) + end)
	case string:
		b.WriteString(s.text(t, s.escapeAll))
	case nil:
		b.WriteString("null")
	default:
		fmt.Fprint(b, t)
	}
	return nil
}

func (s style) gap(r *rand.Rand) string {
	if !s.space {
		return ""
	}
	return []string{" ", "  ", "\t", ""}[r.IntN(4)]
}

func (s style) text(v string, escape bool) string {
	if !escape {
		q, err := json.Marshal(v)
		if err != nil {
			return `""`
		}
		return string(q)
	}
	var b strings.Builder
	for _, c := range v {
		fmt.Fprintf(&b, `\u%04x`, c)
	}
	return `"` + b.String() + `"`
}
