package main

import (
	"encoding/csv"
	"io"
	"sort"
	"strconv"
	"strings"
	"time"

	"github.com/minewarden/minewarden"
	"github.com/minewarden/minewarden/internal/terminal"
)

// timeline collects findings of many files and writes them as CSV in the order of time.
type timeline struct{ rows []timelineRow }

type timelineRow struct {
	at   time.Time
	cols []string
}

func (t *timeline) add(f minewarden.Finding, r minewarden.Rule) {
	evidence := make([]string, 0, len(f.Evidence))
	for _, e := range f.Evidence {
		evidence = append(evidence, e.Key+"="+e.Value)
	}
	t.rows = append(t.rows, timelineRow{f.Time, []string{
		f.Time.UTC().Format(time.RFC3339Nano), r.Severity.String(), f.Rule, r.Title, strconv.FormatFloat(f.Confidence, 'g', 3, 64),
		f.Subject.Type, f.Subject.ID, f.Subject.Host, strings.Join(r.Technique, " "), strings.Join(evidence, "; "), f.Input,
	}})
}

// write writes the rows. Findings of the same time keep the order of the files.
func (t *timeline) write(w io.Writer) error {
	sort.SliceStable(t.rows, func(i, j int) bool { return t.rows[i].at.Before(t.rows[j].at) })
	out := csv.NewWriter(w)
	err := out.Write([]string{"time", "severity", "rule", "title", "confidence", "subject_type", "subject", "host", "technique", "evidence", "input"})
	if err != nil {
		return err
	}
	for _, r := range t.rows {
		for i, c := range r.cols {
			r.cols[i] = csvCell(c)
		}
		if err := out.Write(r.cols); err != nil {
			return err
		}
	}
	out.Flush()
	return out.Error()
}

// csvCell makes a text harmless for a terminal, and for a spreadsheet, which would run one that begins like a formula.
func csvCell(s string) string {
	s = terminal.Safe(s)
	if s != "" && strings.IndexByte("=+-@", s[0]) >= 0 {
		return "'" + s
	}
	return s
}
