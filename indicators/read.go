package indicators

import (
	"bufio"
	"encoding/csv"
	"errors"
	"fmt"
	"io"
	"strconv"
	"strings"
	"time"

	"github.com/minewarden/minewarden"
)

// maxLine bounds a line of a list.
const maxLine = 64 << 10

// Defaults are given to what a list leaves open.
type Defaults struct {
	Type       string // "": told from each value
	Source     string
	Confidence float64
	Expires    time.Time
}

// A LineError is a line of a list that holds no indicator.
type LineError struct {
	Line int
	Err  error
}

// Error says which line.
func (e *LineError) Error() string { return fmt.Sprintf("line %d: %v", e.Line, e.Err) }

// Unwrap returns what is wrong with it.
func (e *LineError) Unwrap() error { return e.Err }

// Read reads a list in whatever of these forms it is, and gives each indicator, in normal form, to add:
//
//   - plain: a value a line
//   - hosts file: "0.0.0.0 name name…", "127.0.0.1 name"
//   - CSV with a header that names at least one of indicator, value, domain, ip, url, sha256, wallet; also read are the
//     columns type, source, confidence (0 to 1, or to 100), expires (RFC 3339 or a date)
//
// Empty lines and what follows "#", ";" or "//" at a line's start, or " #", is passed over. Lines that hold nothing readable are
// told to bad and passed over. add's false ends the reading with an error: the set is full.
func Read(r io.Reader, def Defaults, add func(minewarden.Indicator) bool, bad func(*LineError)) error {
	br := bufio.NewReaderSize(r, maxLine)
	n := 0
	one := func(typ, value string, ind minewarden.Indicator) error {
		t, v, err := Normal(typ, value)
		if err != nil {
			bad(&LineError{n, err})
			return nil
		}
		ind.Type, ind.Value = t, v
		if !add(ind) {
			return errors.New("the list is larger than a set can hold")
		}
		return nil
	}
	base := minewarden.Indicator{Source: def.Source, Confidence: def.Confidence, Expires: def.Expires}
	for first := true; ; {
		line, err := readLine(br)
		if errors.Is(err, bufio.ErrBufferFull) {
			n++
			bad(&LineError{n, fmt.Errorf("longer than %d KiB", maxLine>>10)})
			continue
		}
		if err != nil && !errors.Is(err, io.EOF) {
			return err
		}
		if line == "" && err != nil {
			return nil
		}
		n++
		text := stripComment(line)
		if text == "" {
			continue
		}
		if first {
			first = false
			text = strings.TrimPrefix(text, "\ufeff")
			if cols, ok := header(text); ok {
				return readCSV(br, cols, def, &n, one, bad)
			}
		}
		if !strings.ContainsAny(text, " \t") {
			value, _, _ := strings.Cut(text, ",")
			if err := one(def.Type, value, base); err != nil {
				return err
			}
			continue
		}
		fields := strings.Fields(text)
		if len(fields) > 1 && isSinkhole(fields[0]) {
			for _, name := range fields[1:] {
				if isLocalName(name) {
					continue
				}
				if err := one(Domain, name, base); err != nil {
					return err
				}
			}
			continue
		}
		if len(fields) > 1 {
			bad(&LineError{n, fmt.Errorf("%d words where one value was expected", len(fields))})
			continue
		}
		value, _, _ := strings.Cut(fields[0], ",")
		if err := one(def.Type, value, base); err != nil {
			return err
		}
	}
}

// readLine returns a line without its end. A line that is too long is passed over whole and gives bufio.ErrBufferFull.
func readLine(r *bufio.Reader) (string, error) {
	b, err := r.ReadSlice('\n')
	if errors.Is(err, bufio.ErrBufferFull) {
		for errors.Is(err, bufio.ErrBufferFull) {
			_, err = r.ReadSlice('\n')
		}
		if err == nil || errors.Is(err, io.EOF) {
			err = bufio.ErrBufferFull
		}
		return "", err
	}
	return strings.TrimRight(string(b), "\r\n"), err
}

func stripComment(line string) string {
	line = strings.TrimSpace(line)
	if strings.HasPrefix(line, "#") || strings.HasPrefix(line, ";") || strings.HasPrefix(line, "//") {
		return ""
	}
	if i := strings.Index(line, " #"); i >= 0 {
		line = strings.TrimSpace(line[:i])
	}
	return line
}

func isSinkhole(s string) bool { return s == "0.0.0.0" || s == "127.0.0.1" || s == "::" || s == "::1" }

func isLocalName(s string) bool {
	return s == "localhost" || s == "localhost.localdomain" || s == "local" || s == "broadcasthost" || strings.HasPrefix(s, "ip6-") || s == "0.0.0.0"
}

// columns says in which column what stands; -1: nowhere.
type columns struct {
	value, typ, source, confidence, expires int
	valueType                               string // what the value column's name says
}

func header(line string) (columns, bool) {
	c := columns{-1, -1, -1, -1, -1, ""}
	if !strings.Contains(line, ",") {
		return c, false
	}
	for i, name := range strings.Split(strings.ToLower(line), ",") {
		switch strings.Trim(strings.TrimSpace(name), `"`) {
		case "indicator", "value", "ioc":
			c.value = i
		case "domain", "hostname", "host":
			c.value, c.valueType = i, Domain
		case "ip", "address", "ip_address":
			c.value, c.valueType = i, IP
		case "url":
			c.value, c.valueType = i, URL
		case "sha256":
			c.value, c.valueType = i, SHA256
		case "wallet":
			c.value, c.valueType = i, Wallet
		case "type":
			c.typ = i
		case "source":
			c.source = i
		case "confidence":
			c.confidence = i
		case "expires":
			c.expires = i
		}
	}
	return c, c.value >= 0
}

// readCSV splits lines itself until one has a quote: from there on a value can hold commas and line ends.
func readCSV(br *bufio.Reader, c columns, def Defaults, n *int, one func(string, string, minewarden.Indicator) error, bad func(*LineError)) error {
	var rec []string
	var f filler
	for {
		line, err := readLine(br)
		switch {
		case errors.Is(err, bufio.ErrBufferFull):
			*n++
			bad(&LineError{*n, fmt.Errorf("longer than %d KiB", maxLine>>10)})
			continue
		case err != nil && !errors.Is(err, io.EOF):
			return err
		case line == "" && err != nil:
			return nil
		case strings.Contains(line, `"`):
			return readQuoted(io.MultiReader(strings.NewReader(line+"\n"), br), c, def, n, one, bad)
		}
		*n++
		if line == "" || line[0] == '#' {
			continue
		}
		rec = rec[:0]
		for rest, more := line, true; more; {
			var field string
			field, rest, more = strings.Cut(rest, ",")
			rec = append(rec, field)
		}
		if err := c.take(&f, rec, def, *n, one, bad); err != nil {
			return err
		}
	}
}

func readQuoted(r io.Reader, c columns, def Defaults, n *int, one func(string, string, minewarden.Indicator) error, bad func(*LineError)) error {
	cr := csv.NewReader(r)
	cr.FieldsPerRecord, cr.ReuseRecord, cr.LazyQuotes, cr.Comment = -1, true, true, '#'
	first := *n
	var f filler
	for {
		rec, err := cr.Read()
		if errors.Is(err, io.EOF) {
			return nil
		}
		var wrong *csv.ParseError
		if errors.As(err, &wrong) {
			bad(&LineError{first + wrong.Line, wrong.Err})
			continue
		}
		if err != nil {
			return err
		}
		line, _ := cr.FieldPos(0)
		*n = first + line
		if err := c.take(&f, rec, def, *n, one, bad); err != nil {
			return err
		}
	}
}

func (c columns) take(f *filler, rec []string, def Defaults, n int, one func(string, string, minewarden.Indicator) error, bad func(*LineError)) error {
	ind := minewarden.Indicator{Source: def.Source, Confidence: def.Confidence, Expires: def.Expires}
	typ, err := c.fill(f, rec, def.Type, &ind)
	if err == nil && (c.value >= len(rec) || strings.TrimSpace(rec[c.value]) == "") {
		err = errors.New("no value")
	}
	if err != nil {
		bad(&LineError{n, err})
		return nil
	}
	return one(typ, rec[c.value], ind)
}

// A filler remembers what the line before said: in most lists it is the same on all.
type filler struct {
	confidence, expires string
	sure                float64
	until               time.Time
}

// fill takes what a record says beside the value, and returns the type: "" where nobody says.
func (c columns) fill(f *filler, rec []string, typ string, ind *minewarden.Indicator) (string, error) {
	at := func(i int) string {
		if i < 0 || i >= len(rec) {
			return ""
		}
		return strings.TrimSpace(rec[i])
	}
	if c.valueType != "" {
		typ = c.valueType
	}
	if t := strings.ToLower(at(c.typ)); t != "" {
		if _, ok := kindOf(t); ok {
			typ = t
		}
	}
	if s := at(c.source); s != "" {
		ind.Source = s
	}
	if s := at(c.confidence); s != "" {
		if s != f.confidence {
			v, err := strconv.ParseFloat(s, 64)
			if err != nil || !(v >= 0 && v <= 100) {
				return "", fmt.Errorf("confidence %q is not a number from 0 to 1 or to 100", s)
			}
			if v > 1 {
				v /= 100
			}
			f.confidence, f.sure = strings.Clone(s), v
		}
		ind.Confidence = f.sure
	}
	if s := at(c.expires); s != "" {
		if s != f.expires {
			t, err := time.Parse(time.RFC3339, s)
			if err != nil {
				if t, err = time.Parse(time.DateOnly, s); err != nil {
					return "", fmt.Errorf("expiry %q is neither RFC 3339 nor a date", s)
				}
			}
			f.expires, f.until = strings.Clone(s), t
		}
		ind.Expires = f.until
	}
	return typ, nil
}
