package gate

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"io"
)

// A Baseline is the findings that are known and accepted for now. The line of a finding may move; its text may not change.
type Baseline struct {
	known map[string]bool
}

type baselineFile struct {
	Version  int             `json:"version"`
	Findings []baselineEntry `json:"findings"`
}

type baselineEntry struct {
	Rule        string `json:"rule"`
	Path        string `json:"path"`
	Fingerprint string `json:"fingerprint"`
	Line        int    `json:"line,omitempty"` // where it was; for people
}

const (
	baselineVersion = 1
	maxBaseline     = 64 << 20 // bytes
)

// ReadBaseline reads what WriteBaseline wrote.
func ReadBaseline(r io.Reader) (*Baseline, error) {
	var f baselineFile
	d := json.NewDecoder(io.LimitReader(r, maxBaseline))
	d.DisallowUnknownFields()
	if err := d.Decode(&f); err != nil {
		return nil, fmt.Errorf("read baseline: %w", err)
	}
	if f.Version != baselineVersion {
		return nil, fmt.Errorf("read baseline: version %d, want %d", f.Version, baselineVersion)
	}
	b := &Baseline{known: make(map[string]bool, len(f.Findings))}
	for _, e := range f.Findings {
		b.known[e.Fingerprint] = true
	}
	return b, nil
}

// WriteBaseline writes the findings of r that are not suppressed.
func WriteBaseline(w io.Writer, r *Result) error {
	f := baselineFile{Version: baselineVersion, Findings: []baselineEntry{}}
	for _, l := range r.Checks {
		if l.Check.Finding != nil && l.Suppressed == "" {
			f.Findings = append(f.Findings, baselineEntry{l.Check.Rule, l.Path, l.Fingerprint, l.Check.Subject.Line})
		}
	}
	e := json.NewEncoder(w)
	e.SetIndent("", "  ")
	return e.Encode(f)
}

func (b *Baseline) mark(checks []Located) {
	if b == nil {
		return
	}
	for i := range checks {
		if checks[i].Check.Finding != nil {
			checks[i].Known = b.known[checks[i].Fingerprint]
		}
	}
}

// fingerprint names each finding by its rule, file and text, and counts equal ones.
func fingerprint(checks []Located) {
	seen := map[string]int{}
	for i := range checks {
		l := &checks[i]
		if l.Check.Finding == nil {
			continue
		}
		text := l.Check.Rule + "\x00" + l.Path + "\x00" + l.Snippet + "\x00" + l.Check.Subject.Name
		seen[text]++
		sum := sha256.Sum256(fmt.Appendf(nil, "%s\x00%d", text, seen[text]))
		l.Fingerprint = hex.EncodeToString(sum[:16])
	}
}
