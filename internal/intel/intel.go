// Package intel keeps lists of indicators in a directory, one file a source, in the form that package indicators loads: what was
// added by hand, and feeds that are fetched again.
package intel

import (
	"bufio"
	"bytes"
	"crypto/sha256"
	"encoding/csv"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/minewarden/minewarden"
	"github.com/minewarden/minewarden/indicators"
)

// Manual is the source of values that were added one by one.
const Manual = "manual"

const (
	listSuffix  = ".list"
	allowSuffix = ".allow"
	headPrefix  = "# minewarden-source: "
	// MaxFeed bounds a feed: three million names.
	MaxFeed = 128 << 20
	maxHead = 64 << 10
	maxName = 64
	maxBad  = 5 // unreadable lines that are told in full
)

// A Source is what a list's first line says of it.
type Source struct {
	Name       string        `json:"name"`
	From       string        `json:"from,omitempty"` // URL or file; empty: by hand
	Added      time.Time     `json:"added"`
	Fetched    time.Time     `json:"fetched,omitzero"` // when it last changed
	Checked    time.Time     `json:"checked,omitzero"` // when it was last asked for
	ETag       string        `json:"etag,omitempty"`
	Modified   string        `json:"modified,omitempty"`
	SHA256     string        `json:"sha256,omitempty"` // of what was read
	Type       string        `json:"type,omitempty"`   // of values that do not say; empty: told from each
	Confidence float64       `json:"confidence"`
	Lasts      time.Duration `json:"lasts,omitempty"` // how long a value is good after it was last fetched; 0: for ever
	Count      int           `json:"count"`
	Unreadable int           `json:"unreadable,omitempty"`
}

// A Library is a directory of lists. It does no I/O until it is used.
type Library struct {
	Dir string
	Now func() time.Time
}

// Options are what a person says of a list.
type Options struct {
	Source     string // its name; empty: made from where it comes from
	Type       string
	Confidence float64
	Lasts      time.Duration
	Insecure   bool // plain HTTP is taken
}

// A Result says how adding or updating went.
type Result struct {
	Source    Source   `json:"source"`
	Before    int      `json:"before"`
	Unchanged bool     `json:"unchanged,omitempty"`
	Bad       []string `json:"bad,omitempty"` // the first unreadable lines
}

// AddFile adds the list in a file under the name of its source; one of this name is replaced.
func (l Library) AddFile(path string, o Options) (Result, error) {
	full, err := filepath.Abs(path)
	if err != nil {
		return Result{}, fmt.Errorf("add %s: %w", path, err)
	}
	s, err := l.source(full, filepath.Base(path), o)
	if err != nil {
		return Result{}, fmt.Errorf("add %s: %w", path, err)
	}
	res, err := l.refreshFile(s)
	if err != nil {
		return res, fmt.Errorf("add %s: %w", path, err)
	}
	return res, nil
}

func (l Library) source(from, base string, o Options) (Source, error) {
	name := o.Source
	if name == "" {
		name = safeName(strings.TrimSuffix(base, filepath.Ext(base)))
	}
	if err := checkName(name); err != nil {
		return Source{}, err
	}
	if name == Manual {
		return Source{}, fmt.Errorf("the source %q is for values that are added one by one: give another with --source", Manual)
	}
	if old, err := l.head(name); err == nil && old.From != from {
		return Source{}, fmt.Errorf("the source %q exists, from %s: give another with --source, or remove it first", name, old.From)
	}
	return Source{Name: name, From: from, Added: l.Now().UTC(), Type: o.Type, Confidence: o.Confidence, Lasts: o.Lasts}, nil
}

func safeName(s string) string {
	s = strings.Map(func(r rune) rune {
		switch {
		case r >= 'a' && r <= 'z', r >= '0' && r <= '9', r == '-', r == '_', r == '.':
			return r
		case r >= 'A' && r <= 'Z':
			return r + 'a' - 'A'
		}
		return '-'
	}, s)
	return strings.Trim(s[:min(len(s), maxName)], "-.")
}

func checkName(name string) error {
	if name == "" || len(name) > maxName || safeName(name) != name {
		return fmt.Errorf("source %q: use lower case letters, digits, - _ and ., at most %d", name, maxName)
	}
	return nil
}

func (l Library) refreshFile(s Source) (Result, error) {
	f, err := os.Open(s.From)
	if err != nil {
		return Result{Source: s}, err
	}
	defer f.Close()
	if info, err := f.Stat(); err != nil || !info.Mode().IsRegular() {
		return Result{Source: s}, errors.Join(err, errors.New("it is not a regular file"))
	}
	return l.take(s, f)
}

// take reads a feed and puts it in the place of the one before, if it is fit to be.
func (l Library) take(s Source, r io.Reader) (Result, error) {
	res := Result{Source: s}
	if old, err := l.head(s.Name); err == nil {
		res.Before = old.Count
		s.Added = old.Added
	}
	sum := sha256.New()
	limited := &io.LimitedReader{R: io.TeeReader(r, sum), N: MaxFeed + 1}
	now := l.Now().UTC()
	def := indicators.Defaults{Type: s.Type, Confidence: s.Confidence, Source: s.Name + "@" + now.Format(time.DateOnly)}
	if s.Lasts > 0 {
		def.Expires = now.Add(s.Lasts)
	}
	var body bytes.Buffer
	w := csv.NewWriter(&body)
	seen := indicators.NewBuilder(1024)
	s.Count, s.Unreadable = 0, 0
	err := indicators.Read(limited, def, func(i minewarden.Indicator) bool {
		before := seen.Len()
		if !seen.Add(i) {
			return false
		}
		if seen.Len() > before {
			s.Count++
		}
		return w.Write(fields(&i)) == nil // into memory: it cannot fail
	}, func(e *indicators.LineError) {
		if s.Unreadable++; len(res.Bad) < maxBad {
			res.Bad = append(res.Bad, e.Error())
		}
	})
	if err != nil {
		return res, err
	}
	if limited.N <= 0 {
		return res, fmt.Errorf("it is larger than %d MiB", MaxFeed>>20)
	}
	if err := fit(s, res.Before); err != nil {
		return res, err
	}
	s.Fetched, s.Checked, s.SHA256 = now, now, hex.EncodeToString(sum.Sum(nil))
	w.Flush()
	res.Source = s
	return res, l.write(s, body.Bytes())
}

// fit refuses a feed that was emptied, by whomever: an empty list looks like safety.
func fit(s Source, before int) error {
	const shrunk, some = 10, 100 // a tenth is left, of a list that had some
	switch {
	case s.Count == 0 && s.Unreadable > 0:
		return fmt.Errorf("none of its %d lines holds an indicator", s.Unreadable)
	case s.Count == 0:
		return errors.New("it holds no indicator")
	case before >= some && s.Count < before/shrunk:
		return fmt.Errorf("it shrank from %d indicators to %d: the old list is kept; remove the source and add it anew if this is right", before, s.Count)
	}
	return nil
}

func columns() []string { return []string{"type", "value", "source", "confidence", "expires"} }

func fields(i *minewarden.Indicator) []string {
	expires := ""
	if !i.Expires.IsZero() {
		expires = i.Expires.UTC().Format(time.RFC3339)
	}
	return []string{i.Type, i.Value, i.Source, strconv.FormatFloat(i.Confidence, 'g', 4, 64), expires}
}

// write replaces a list at once.
func (l Library) write(s Source, body []byte) error {
	head, err := json.Marshal(s)
	if err != nil {
		return err
	}
	var b bytes.Buffer
	b.WriteString(headPrefix)
	b.Write(head)
	b.WriteString("\n" + strings.Join(columns(), ",") + "\n")
	b.Write(body)
	return l.replace(s.Name+listSuffix, b.Bytes())
}

func (l Library) replace(name string, content []byte) error {
	if err := os.MkdirAll(l.Dir, 0o700); err != nil {
		return fmt.Errorf("keep indicators: %w", err)
	}
	return Replace(filepath.Join(l.Dir, name), content)
}

// Replace puts content in the place of a file so that a reader sees the old or the new one, whole.
func Replace(path string, content []byte) (err error) {
	f, err := os.CreateTemp(filepath.Dir(path), ".new-")
	if err != nil {
		return err
	}
	defer func() {
		if err != nil {
			err = errors.Join(err, os.Remove(f.Name()))
		}
	}()
	_, err = f.Write(content)
	if err = errors.Join(err, f.Sync(), f.Close()); err != nil {
		return err
	}
	return os.Rename(f.Name(), path)
}

// head reads what a list's first line says of it.
func (l Library) head(name string) (Source, error) {
	f, err := os.Open(filepath.Join(l.Dir, name+listSuffix))
	if err != nil {
		return Source{}, err
	}
	defer f.Close()
	line, err := bufio.NewReader(io.LimitReader(f, maxHead)).ReadString('\n')
	if err != nil && !errors.Is(err, io.EOF) {
		return Source{}, fmt.Errorf("read source %s: %w", name, err)
	}
	s := Source{Name: name, Confidence: -1}
	text, ok := strings.CutPrefix(line, headPrefix)
	if !ok {
		return s, nil // somebody put it there: it is loaded all the same
	}
	if err := json.Unmarshal([]byte(text), &s); err != nil {
		return s, fmt.Errorf("read source %s: %w", name, err)
	}
	s.Name = name
	return s, nil
}

// Sources returns every list, by name.
func (l Library) Sources() ([]Source, error) {
	entries, err := os.ReadDir(l.Dir)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return nil, fmt.Errorf("read indicators: %w", err)
	}
	var out []Source
	for _, e := range entries {
		name, ok := strings.CutSuffix(e.Name(), listSuffix)
		if !ok || !e.Type().IsRegular() {
			continue
		}
		s, err := l.head(name)
		if err != nil {
			return out, err
		}
		out = append(out, s)
	}
	return out, nil
}

// Remove forgets a source.
func (l Library) Remove(name string) error {
	if err := checkName(name); err != nil {
		return err
	}
	err := os.Remove(filepath.Join(l.Dir, name+listSuffix))
	if errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("there is no source %q; 'minewarden intel list' shows them", name)
	}
	return err
}

// AddValue adds one value to the source of values added by hand, or to another that is kept by hand.
func (l Library) AddValue(value string, o Options) (minewarden.Indicator, error) {
	typ, v, err := indicators.Normal(o.Type, value)
	if err != nil {
		return minewarden.Indicator{}, fmt.Errorf("add: %w", err)
	}
	name := o.Source
	if name == "" {
		name = Manual
	}
	if err := checkName(name); err != nil {
		return minewarden.Indicator{}, err
	}
	now := l.Now().UTC()
	s, err := l.head(name)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		s = Source{Name: name, Added: now, Confidence: o.Confidence}
	case err != nil:
		return minewarden.Indicator{}, err
	case s.From != "":
		return minewarden.Indicator{}, fmt.Errorf("the source %q is a feed, from %s: give another with --source", name, s.From)
	}
	ind := minewarden.Indicator{Type: typ, Value: v, Source: name + "@" + now.Format(time.DateOnly), Confidence: o.Confidence}
	if o.Lasts > 0 {
		ind.Expires = now.Add(o.Lasts)
	}
	all, err := l.read(name)
	if err != nil {
		return ind, err
	}
	all = append(slices.DeleteFunc(all, func(i minewarden.Indicator) bool { return i.Type == typ && i.Value == v }), ind)
	var body bytes.Buffer
	w := csv.NewWriter(&body)
	for i := range all {
		if err := w.Write(fields(&all[i])); err != nil {
			return ind, err
		}
	}
	w.Flush()
	s.Count, s.Fetched, s.Checked = len(all), now, now
	return ind, l.write(s, body.Bytes())
}

// read returns a list that is kept by hand.
func (l Library) read(name string) ([]minewarden.Indicator, error) {
	f, err := os.Open(filepath.Join(l.Dir, name+listSuffix))
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("read source %s: %w", name, err)
	}
	defer f.Close()
	var all []minewarden.Indicator
	var bad error
	err = indicators.Read(f, indicators.Defaults{Source: name, Confidence: 0.8}, func(i minewarden.Indicator) bool {
		all = append(all, i)
		return len(all) < 1<<20
	}, func(e *indicators.LineError) { bad = e })
	if err = errors.Join(err, bad); err != nil { // rewriting it would lose the line
		return nil, fmt.Errorf("read source %s: %w", name, err)
	}
	return all, nil
}

// Allow puts a value on the allow-list, or with remove takes it off.
func (l Library) Allow(value string, remove bool) (string, error) {
	_, v, err := indicators.Normal("", value)
	if err != nil {
		return "", fmt.Errorf("allow: %w", err)
	}
	file := Manual + allowSuffix
	text, err := os.ReadFile(filepath.Join(l.Dir, file))
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return "", fmt.Errorf("read the allow-list: %w", err)
	}
	var lines []string
	for line := range strings.Lines(string(text)) {
		lines = append(lines, strings.TrimRight(line, "\n"))
	}
	had := slices.Contains(lines, v)
	switch {
	case remove && !had:
		return "", fmt.Errorf("%q is not on the allow-list", v)
	case remove:
		lines = slices.DeleteFunc(lines, func(s string) bool { return s == v })
	case !had:
		lines = append(lines, v)
	}
	return v, l.replace(file, []byte(strings.Join(lines, "\n")+"\n"))
}
