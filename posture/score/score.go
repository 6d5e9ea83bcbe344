// Package score turns checks into one number for each target and for all of them, keeps its history, and writes the report.
package score

import (
	"bufio"
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/minewarden/minewarden"
)

// weight is how much a rule counts: by how directly it hands a machine to a miner. A critical rule alone is enough for that.
func weight(s minewarden.Severity) float64 {
	return [...]float64{0, 2, 8, 20, 40}[min(int(s), 4)]
}

// ceiling is the most that a target with a proven failure of this severity can reach: no number of passes outweighs an open door.
func ceiling(s minewarden.Severity) float64 {
	return [...]float64{100, 95, 85, 60, 30}[min(int(s), 4)]
}

// An Item is one check as the history keeps it.
type Item struct {
	Rule       string              `json:"rule"`
	Title      string              `json:"title"`
	Severity   minewarden.Severity `json:"severity"`
	Status     minewarden.Status   `json:"status"`
	Confidence float64             `json:"confidence,omitempty"`
	Subject    string              `json:"subject,omitempty"`
	Proof      string              `json:"proof"`
	Why        string              `json:"why,omitempty"`
	Advice     string              `json:"advice,omitempty"`
	Repair     string              `json:"repair,omitempty"` // what a person would paste
	Summary    string              `json:"repair_summary,omitempty"`
	References []string            `json:"references,omitempty"`
	// Files are those that the program itself would change to repair it; none: only a person can.
	Files []string `json:"files,omitempty"`
}

// A Record is one audit of one target.
type Record struct {
	Time    time.Time `json:"time"`
	Target  string    `json:"target"`
	Product string    `json:"product"`
	Version string    `json:"version,omitempty"`
	Score   float64   `json:"score"`           // 0 to 100
	Looked  int       `json:"looked"`          // rules that were answered
	Unknown int       `json:"unknown"`         // rules that could not be
	Error   string    `json:"error,omitempty"` // the target could not be looked at: the score says nothing then
	Items   []Item    `json:"items"`
	Left    int       `json:"left_out,omitempty"` // items beyond maxItems; the score counts them all the same
}

// maxItems bounds the items of a record: failures are kept first, then what could not be looked at.
const maxItems = 2000

// Of scores a verdict. rules are the auditor's.
func Of(target string, v minewarden.Verdict, rules []minewarden.Rule, now time.Time) Record {
	text := map[string]minewarden.Rule{}
	for _, r := range rules {
		text[r.ID] = r
	}
	r := Record{Time: now, Target: target, Product: v.Product, Version: v.Version}
	worst := map[string]float64{} // rule to how much of it is lost: the worst subject counts, not their number
	answered := map[string]bool{}
	unknown := map[string]bool{}
	limit := 100.0
	for _, c := range v.Checks {
		rule := text[c.Rule]
		it := Item{
			Rule: c.Rule, Title: rule.Title, Severity: rule.Severity, Status: c.Status, Subject: where(c.Subject), Proof: c.Proof,
			Why: rule.Why, Advice: rule.Advice, References: rule.References,
		}
		if c.Repair != nil {
			it.Repair, it.Summary, it.Files = c.Repair.Config, c.Repair.Summary, files(c)
		}
		switch c.Status {
		case minewarden.StatusFail:
			it.Confidence = confidence(c)
			answered[c.Rule], worst[c.Rule] = true, 1
			limit = min(limit, ceiling(rule.Severity))
		case minewarden.StatusPossible:
			it.Confidence = confidence(c)
			answered[c.Rule], worst[c.Rule] = true, max(worst[c.Rule], it.Confidence)
		case minewarden.StatusPass:
			answered[c.Rule] = true
		case minewarden.StatusUnknown:
			unknown[c.Rule] = true
		}
		r.Items = append(r.Items, it)
	}
	r.trim()
	var all, lost float64
	for id := range answered {
		w := weight(text[id].Severity)
		all += w
		lost += w * worst[id]
	}
	r.Looked, r.Unknown = len(answered), len(unknown)
	switch {
	case r.Looked == 0:
		r.Error = "nothing could be looked at"
	case all > 0:
		r.Score = min(limit, 100*(all-lost)/all)
	default:
		r.Score = limit
	}
	return r
}

// files are those of a repair that needs nothing to be in place first.
func files(c minewarden.Check) (out []string) {
	if c.Finding == nil || c.Repair.Needs != "" {
		return nil
	}
	for _, e := range c.Repair.Edits {
		if !slices.Contains(out, e.Path) {
			out = append(out, e.Path)
		}
	}
	return out
}

// trim keeps what a person would read first.
func (r *Record) trim() {
	if len(r.Items) <= maxItems {
		return
	}
	rank := func(it Item) int {
		switch it.Status {
		case minewarden.StatusFail:
			return -2 * int(it.Severity+1)
		case minewarden.StatusPossible:
			return -2*int(it.Severity+1) + 1
		case minewarden.StatusUnknown:
			return 1
		}
		return 2
	}
	slices.SortStableFunc(r.Items, func(a, b Item) int { return rank(a) - rank(b) })
	r.Left = len(r.Items) - maxItems
	r.Items = r.Items[:maxItems]
}

// Failed is the record of a target that could not be looked at. It never counts as safe.
func Failed(target, product string, err error, now time.Time) Record {
	return Record{Time: now, Target: target, Product: product, Error: err.Error(), Items: []Item{}}
}

func confidence(c minewarden.Check) float64 {
	if c.Finding == nil {
		return 1
	}
	return c.Finding.Confidence
}

func where(s minewarden.Subject) string {
	if s.Type == minewarden.SubjectFile && s.Line > 0 {
		return fmt.Sprintf("%s:%d", s.ID, s.Line)
	}
	return s.ID
}

// Overall joins the targets: halfway between their mean and the worst of them, for a fleet is entered at its weakest. ok is
// false when nothing was scored.
func Overall(records []Record) (score float64, ok bool) {
	var sum float64
	n, low := 0, 100.0
	for _, r := range records {
		if r.Error == "" {
			sum, low, n = sum+r.Score, min(low, r.Score), n+1
		}
	}
	if n == 0 {
		return 0, false
	}
	return (sum/float64(n) + low) / 2, true
}

// file is the history's name in the data folder.
const file = "posture.jsonl"

const (
	maxLine    = 16 << 20
	maxRecords = 100_000
	maxFile    = 64 << 20 // bytes; beyond, only the newest keepEach audits of each target are kept
	keepEach   = 20
)

// Append keeps records in the data folder, which is made where it is not there.
func Append(dir string, records []Record) error {
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return fmt.Errorf("keep the posture: %w", err)
	}
	name := filepath.Join(dir, file)
	size, err := appendLines(name, records)
	if err != nil {
		return fmt.Errorf("keep the posture: %w", err)
	}
	if size <= maxFile {
		return nil
	}
	if err := shorten(dir); err != nil {
		return fmt.Errorf("shorten %s: %w", name, err)
	}
	return nil
}

func lines(records []Record) ([]byte, error) {
	var b bytes.Buffer
	for _, r := range records {
		line, err := json.Marshal(r)
		if err != nil {
			return nil, err
		}
		b.Write(append(line, '\n'))
	}
	return b.Bytes(), nil
}

func appendLines(name string, records []Record) (size int64, err error) {
	b, err := lines(records)
	if err != nil {
		return 0, err
	}
	f, err := os.OpenFile(name, os.O_CREATE|os.O_WRONLY|os.O_APPEND, 0o600)
	if err != nil {
		return 0, err
	}
	_, err = f.Write(b) // one write, so that two audits at once do not mix lines
	st, statErr := f.Stat()
	if statErr == nil {
		size = st.Size()
	}
	return size, errors.Join(err, statErr, f.Sync(), f.Close())
}

// shorten keeps the newest audits of each target. A reader sees the old file or the new one.
func shorten(dir string) error {
	history, err := Load(dir)
	if len(history) == 0 {
		return err
	}
	count := map[string]int{}
	var keep []Record
	for _, r := range slices.Backward(history) {
		if count[r.key()]++; count[r.key()] <= keepEach {
			keep = append(keep, r)
		}
	}
	slices.Reverse(keep)
	b, err := lines(keep)
	if err != nil {
		return err
	}
	f, err := os.CreateTemp(dir, file+".*")
	if err != nil {
		return err
	}
	_, err = f.Write(b)
	if err = errors.Join(err, f.Sync(), f.Close()); err == nil {
		err = os.Rename(f.Name(), filepath.Join(dir, file))
	}
	if err != nil {
		return errors.Join(err, os.Remove(f.Name()))
	}
	return nil
}

// Load returns the history, oldest first. A line that was cut by a crash is reported beside the others.
func Load(dir string) ([]Record, error) {
	f, err := os.Open(filepath.Join(dir, file))
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("read the posture: %w", err)
	}
	defer f.Close() // opened for reading
	return read(f)
}

func read(r io.Reader) ([]Record, error) {
	sc := bufio.NewScanner(r)
	sc.Buffer(make([]byte, 64<<10), maxLine)
	var out []Record
	var bad error
	for n := 1; sc.Scan(); n++ {
		if len(bytes.TrimSpace(sc.Bytes())) == 0 {
			continue
		}
		var rec Record
		if err := json.Unmarshal(sc.Bytes(), &rec); err != nil {
			bad = errors.Join(bad, fmt.Errorf("posture line %d: %w", n, err))
			continue
		}
		if out = append(out, rec); len(out) >= 2*maxRecords {
			out = append(out[:0], out[maxRecords:]...) // the newest count
		}
	}
	return out, errors.Join(bad, sc.Err())
}

// Latest returns the newest record of each target and product, by target, and the score each had before.
func Latest(history []Record) (now []Record, before map[string]float64) {
	last := map[string]Record{}
	before = map[string]float64{}
	for _, r := range history {
		k := r.key()
		if old, ok := last[k]; ok && old.Error == "" {
			before[k] = old.Score
		}
		last[k] = r
	}
	for _, r := range last {
		now = append(now, r)
	}
	slices.SortFunc(now, func(a, b Record) int { return strings.Compare(a.key(), b.key()) })
	return now, before
}

func (r Record) key() string { return r.Target + "\x00" + r.Product }
