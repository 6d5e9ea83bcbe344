package main

import (
	"fmt"
	"io"
	"sort"
	"strings"
	"sync"

	"github.com/spf13/cobra"

	"github.com/minewarden/minewarden"
	"github.com/minewarden/minewarden/internal/terminal"
)

// A findingPrinter writes findings as they come and remembers whether one reached the limit. It is safe for concurrent use.
type findingPrinter struct {
	mu     sync.Mutex
	out    io.Writer
	json   bool
	failOn minewarden.Severity
	failed bool
	count  [minewarden.Critical + 1]int
	err    error // of the first write that failed
}

// findingFlags adds the flags that every command which prints findings has.
type findingFlags struct {
	json   bool
	failOn string
}

func (ff *findingFlags) add(cmd *cobra.Command) {
	cmd.Flags().BoolVar(&ff.json, "json", false, "print one JSON object a line")
	cmd.Flags().StringVar(&ff.failOn, "fail-on", "medium", "exit with 1 when something this severe or worse is found: info, low, medium, high or critical")
}

func (ff *findingFlags) printer(out io.Writer) (*findingPrinter, error) {
	s, err := minewarden.ParseSeverity(ff.failOn)
	if err != nil {
		return nil, fmt.Errorf("--fail-on: %w", err)
	}
	return &findingPrinter{out: out, json: ff.json, failOn: s}, nil
}

func (p *findingPrinter) print(f minewarden.Finding, r minewarden.Rule) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.count[r.Severity]++
	if r.Severity >= p.failOn {
		p.failed = true
	}
	var err error
	if p.json {
		var line []byte
		if line, err = minewarden.MarshalFinding(f, r); err == nil {
			_, err = p.out.Write(append(terminal.SafeJSON(line), '\n'))
		}
	} else {
		_, err = io.WriteString(p.out, findingText(f, r))
	}
	if p.err == nil {
		p.err = err
	}
}

// result is the error of a command that printed findings: nil, errFound, or what went wrong with writing.
func (p *findingPrinter) result() error {
	switch {
	case p.err != nil:
		return fmt.Errorf("write findings: %w", p.err)
	case p.failed:
		return errFound
	}
	return nil
}

// summary counts by severity, worst first, as "2 high, 1 low".
func (p *findingPrinter) summary() string {
	var parts []string
	for s := minewarden.Critical; ; s-- {
		if n := p.count[s]; n > 0 {
			parts = append(parts, fmt.Sprintf("%d %s", n, s))
		}
		if s == minewarden.Informational {
			break
		}
	}
	if len(parts) == 0 {
		return "nothing found"
	}
	return strings.Join(parts, ", ")
}

func findingText(f minewarden.Finding, r minewarden.Rule) string {
	var b strings.Builder
	fmt.Fprintf(&b, "%-8s %s  (%s, %d%% sure)\n", strings.ToUpper(r.Severity.String()), terminal.Safe(r.Title), terminal.Safe(f.Rule), int(f.Confidence*100))
	fmt.Fprintf(&b, "  %s\n", subjectText(f.Subject))
	if f.Input != "" {
		fmt.Fprintf(&b, "  in %s\n", terminal.Safe(f.Input))
	}
	if f.Process != nil {
		fmt.Fprintf(&b, "  lineage: %s\n", terminal.Safe(f.Process.Lineage()))
		if f.Process.Exe != "" && f.Subject.Type == minewarden.SubjectProcess {
			fmt.Fprintf(&b, "  program: %s\n", terminal.Safe(f.Process.Exe))
		}
	}
	for _, e := range f.Evidence {
		fmt.Fprintf(&b, "  %s: %s\n", terminal.Safe(e.Key), terminal.Safe(e.Value))
	}
	if len(r.Technique) > 0 {
		fmt.Fprintf(&b, "  ATT&CK: %s\n", terminal.Safe(strings.Join(r.Technique, ", ")))
	}
	if r.Advice != "" {
		fmt.Fprintf(&b, "  → %s\n", terminal.Safe(r.Advice))
	}
	return b.String() + "\n"
}

func subjectText(s minewarden.Subject) string {
	switch {
	case s.Type == minewarden.SubjectProcess:
		return fmt.Sprintf("process %d %s", s.PID, terminal.Safe(s.Name))
	case s.Line > 0:
		return fmt.Sprintf("%s %s:%d:%d", s.Type, terminal.Safe(s.ID), s.Line, s.Column)
	case s.Name != "" && s.Name != s.ID:
		return fmt.Sprintf("%s %s (%s)", s.Type, terminal.Safe(s.ID), terminal.Safe(s.Name))
	}
	return s.Type + " " + terminal.Safe(s.ID)
}

// worstFirst orders findings by severity, then confidence, then time.
func worstFirst(found []ruledFinding) {
	sort.SliceStable(found, func(i, j int) bool {
		a, b := found[i], found[j]
		if a.rule.Severity != b.rule.Severity {
			return a.rule.Severity > b.rule.Severity
		}
		if a.Confidence != b.Confidence {
			return a.Confidence > b.Confidence
		}
		return a.Time.Before(b.Time)
	})
}

// A ruledFinding is a finding with its rule.
type ruledFinding struct {
	minewarden.Finding
	rule minewarden.Rule
}
