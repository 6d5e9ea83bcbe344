// Package cve tells which known vulnerabilities a version falls under. It ships a list and loads newer ones from a file
// of the same form:
//
//	{"format":"minewarden-cve/1","date":"2026-11-21","source":"…","entries":[
//	  {"product":"nomad","id":"CVE-…","ranges":["[1.5.0,1.5.3)"],"source":"…","impact":"takeover","what":"…"}]}
//
// A version number never proves a hole: distributions repair packages without changing it. Every match is a possibility.
package cve

import (
	"bytes"
	_ "embed"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"strings"
)

//go:embed ranges.json
var shipped []byte

// Limits of a list.
const (
	MaxFile    = 16 << 20
	maxEntries = 100_000
)

// Takeover is the impact of an entry that lets somebody without rights in.
const Takeover = "takeover"

// An Entry is one vulnerability of one product.
type Entry struct {
	Product string   `json:"product"`
	ID      string   `json:"id"`
	Ranges  []string `json:"ranges"` // "[first affected,first repaired)"; 0 and inf are the ends
	Source  string   `json:"source"`
	Impact  string   `json:"impact,omitempty"` // takeover, or empty
	What    string   `json:"what,omitempty"`   // a sentence
	Needs   string   `json:"needs,omitempty"`  // the feature without which it does not apply, as "authorization-plugin"

	parsed []span
}

type span struct{ from, to Version } // to.inf: open

// A List is read only, and safe for concurrent use.
type List struct {
	Date    string
	Source  string
	entries []Entry
}

// Shipped returns the list that the program carries.
func Shipped() (*List, error) { return Load(bytes.NewReader(shipped)) }

// Load reads a list. Unknown fields and ranges that cannot be read are errors: half a list would look like safety.
func Load(r io.Reader) (*List, error) {
	b, err := io.ReadAll(io.LimitReader(r, MaxFile+1))
	if err != nil {
		return nil, fmt.Errorf("read the vulnerability list: %w", err)
	}
	if len(b) > MaxFile {
		return nil, fmt.Errorf("read the vulnerability list: larger than %d bytes", MaxFile)
	}
	var f struct {
		Format  string  `json:"format"`
		Date    string  `json:"date"`
		Source  string  `json:"source"`
		Entries []Entry `json:"entries"`
	}
	d := json.NewDecoder(bytes.NewReader(b))
	d.DisallowUnknownFields()
	if err := d.Decode(&f); err != nil {
		return nil, fmt.Errorf("read the vulnerability list: %w", err)
	}
	if f.Format != "minewarden-cve/1" {
		return nil, fmt.Errorf("read the vulnerability list: format is %q, not minewarden-cve/1", f.Format)
	}
	if len(f.Entries) == 0 || len(f.Entries) > maxEntries {
		return nil, fmt.Errorf("read the vulnerability list: %d entries; between 1 and %d are expected", len(f.Entries), maxEntries)
	}
	for i := range f.Entries {
		e := &f.Entries[i]
		for _, r := range e.Ranges {
			s, err := parseSpan(r)
			if err != nil {
				return nil, fmt.Errorf("vulnerability %s of %s: %w", e.ID, e.Product, err)
			}
			e.parsed = append(e.parsed, s)
		}
	}
	return &List{Date: f.Date, Source: f.Source, entries: f.Entries}, nil
}

func parseSpan(s string) (span, error) {
	in, begins := strings.CutPrefix(s, "[")
	in, ends := strings.CutSuffix(in, ")")
	if !begins || !ends {
		return span{}, fmt.Errorf("range %q: write [from,to)", s)
	}
	a, b, ok := strings.Cut(in, ",")
	if !ok {
		return span{}, fmt.Errorf("range %q: write [from,to)", s)
	}
	from, err := Parse(strings.TrimSpace(a))
	if err != nil {
		return span{}, fmt.Errorf("range %q: %w", s, err)
	}
	if strings.TrimSpace(b) == "inf" {
		return span{from, Version{inf: true}}, nil
	}
	to, err := Parse(strings.TrimSpace(b))
	if err != nil {
		return span{}, fmt.Errorf("range %q: %w", s, err)
	}
	return span{from, to}, nil
}

// Len is the number of entries.
func (l *List) Len() int { return len(l.entries) }

// A Match is an entry that a version falls under.
type Match struct {
	Entry
	Distro bool // the version carries a distribution's suffix: the repair may be in without showing
}

// Match returns the entries of product that version falls under, in the list's order.
func (l *List) Match(product, version string) ([]Match, error) {
	v, err := Parse(version)
	if err != nil {
		return nil, err
	}
	var out []Match
	for _, e := range l.entries {
		if e.Product != product {
			continue
		}
		for _, s := range e.parsed {
			if v.Compare(s.from) >= 0 && v.Compare(s.to) < 0 {
				out = append(out, Match{e, v.Distro})
				break
			}
		}
	}
	return out, nil
}

// ErrVersion is wrapped by the error of a text that is no version.
var ErrVersion = errors.New("not a version")
