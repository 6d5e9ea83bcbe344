// Package gate walks repositories before anything in them is deployed, and holds every configuration it recognises against
// the audits that claim it.
package gate

import (
	"context"
	"errors"
	"fmt"
	"runtime"
	"slices"
	"strings"
	"sync"

	"github.com/minewarden/minewarden"
)

const (
	// DefaultMaxFile is the largest configuration that is read, in bytes.
	DefaultMaxFile = 4 << 20
	// maxListed bounds each list of a Result; what goes beyond is counted.
	maxListed = 10_000
	// maxFindings bounds the findings of one run.
	maxFindings = 100_000
)

// Options say what to walk and with what.
type Options struct {
	Paths    []string // files and directories
	Auditors []minewarden.FileAuditor
	Baseline *Baseline // nil: none
	MaxFile  int64     // 0: DefaultMaxFile
	Workers  int       // 0: one for each processor
}

// A Located check is one check of one file.
type Located struct {
	Auditor string
	Path    string // of the file, as the user would name it
	Check   minewarden.Check
	// Fragment tells that the text is embedded in another format: edits cannot be applied to it by the program.
	Fragment bool
	// Suppressed is the reason that a comment in the file gives; Known tells that the baseline has it.
	Suppressed  string
	Known       bool
	Fingerprint string
	Snippet     string // the line, trimmed
}

// Active reports whether l is a finding that counts: failed, not suppressed, not known.
func (l *Located) Active() bool {
	return l.Check.Finding != nil && l.Suppressed == "" && !l.Known
}

// A Skip is a file that was not looked at, and why.
type Skip struct {
	Path   string `json:"path"`
	Reason string `json:"reason"`
}

// A FileError is a file that is recognised but cannot be read as what it is. Line and Column are 0 where unknown.
type FileError struct {
	Path    string `json:"path"`
	Line    int    `json:"line,omitempty"`
	Column  int    `json:"column,omitempty"`
	Message string `json:"message"`
}

func (e FileError) Error() string {
	if e.Line > 0 {
		return fmt.Sprintf("%s:%d:%d: %s", e.Path, e.Line, e.Column, e.Message)
	}
	return e.Path + ": " + e.Message
}

// A Result is what a run found, in the order of paths.
type Result struct {
	Checks  []Located
	Errors  []FileError
	Skipped []Skip
	Files   int // met
	Audited int // recognised and looked at
	Other   int // text that no audit claims
	Lost    int // checks, errors and skips beyond the limits
}

// Findings returns the checks that failed, whether or not they count.
func (r *Result) Findings() []Located {
	var out []Located
	for _, l := range r.Checks {
		if l.Check.Finding != nil {
			out = append(out, l)
		}
	}
	return out
}

// Run walks the paths. An error is one of the whole run: a path that is not there, or ctx.
func Run(ctx context.Context, opt Options) (*Result, error) {
	if opt.MaxFile <= 0 {
		opt.MaxFile = DefaultMaxFile
	}
	if opt.Workers <= 0 {
		opt.Workers = runtime.GOMAXPROCS(0)
	}
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	jobs := make(chan job, 64)
	parts := make([]*part, opt.Workers)
	var wg sync.WaitGroup
	for i := range parts {
		p := &part{opt: &opt}
		parts[i] = p
		wg.Go(func() {
			for j := range jobs {
				if ctx.Err() == nil {
					p.file(ctx, j)
				}
			}
		})
	}
	w := &walker{jobs: jobs}
	var err error
	for _, p := range opt.Paths {
		if err = w.walk(ctx, p); err != nil {
			break
		}
	}
	close(jobs)
	wg.Wait()
	if err == nil {
		err = context.Cause(ctx)
	}
	if err != nil {
		return nil, err
	}
	return merge(w, parts, opt.Baseline), nil
}

func merge(w *walker, parts []*part, known *Baseline) *Result {
	r := &Result{Files: w.files, Skipped: w.skipped, Lost: w.lost}
	for _, p := range parts {
		r.Checks = append(r.Checks, p.checks...)
		r.Errors = append(r.Errors, p.errors...)
		r.Skipped = append(r.Skipped, p.skipped...)
		r.Audited += p.audited
		r.Other += p.other
		r.Lost += p.lost
	}
	slices.SortStableFunc(r.Checks, func(a, b Located) int {
		if c := strings.Compare(a.Path, b.Path); c != 0 {
			return c
		}
		if c := a.Check.Subject.Line - b.Check.Subject.Line; c != 0 {
			return c
		}
		return strings.Compare(a.Check.Rule, b.Check.Rule)
	})
	slices.SortFunc(r.Errors, func(a, b FileError) int { return strings.Compare(a.Path, b.Path) })
	slices.SortFunc(r.Skipped, func(a, b Skip) int { return strings.Compare(a.Path, b.Path) })
	fingerprint(r.Checks)
	known.mark(r.Checks)
	return r
}

// A part is what one worker found.
type part struct {
	opt     *Options
	checks  []Located
	errors  []FileError
	skipped []Skip
	audited int
	other   int
	lost    int
}

func (p *part) skip(path, reason string) {
	if len(p.skipped) < maxListed {
		p.skipped = append(p.skipped, Skip{path, reason})
	} else {
		p.lost++
	}
}

func (p *part) fail(e FileError) {
	for _, old := range p.errors[max(0, len(p.errors)-4):] {
		if old == e {
			return // two audits claimed the file and stumbled over the same place
		}
	}
	if len(p.errors) < maxListed {
		p.errors = append(p.errors, e)
	} else {
		p.lost++
	}
}

func (p *part) file(ctx context.Context, j job) {
	f, err := open(j.path)
	if err != nil {
		p.fail(FileError{Path: j.show, Message: err.Error()})
		return
	}
	defer f.Close() // opened for reading
	head, binary, err := f.head()
	switch {
	case err != nil:
		p.fail(FileError{Path: j.show, Message: err.Error()})
		return
	case binary:
		p.skip(j.show, "binary")
		return
	}
	var claims []minewarden.FileAuditor
	for _, a := range p.opt.Auditors {
		if a.Claims(j.show, head) {
			claims = append(claims, a)
		}
	}
	nest := nests(j.show, head)
	if len(claims) == 0 && !nest {
		p.other++
		return
	}
	if f.size > p.opt.MaxFile {
		p.skip(j.show, fmt.Sprintf("%d bytes: larger than the %d that are read", f.size, p.opt.MaxFile))
		return
	}
	data, err := f.rest(head, p.opt.MaxFile)
	if err != nil {
		p.fail(FileError{Path: j.show, Message: err.Error()})
		return
	}
	lines := newLines(data)
	target := minewarden.Target{Kind: minewarden.TargetFile, Name: j.arg, Path: j.show, Data: data}
	looked := p.audit(ctx, claims, target, lines, 0)
	if nest {
		for _, fr := range fragments(data) {
			var cs []minewarden.FileAuditor
			h := fr.data[:min(len(fr.data), minewarden.ClaimHead)]
			for _, a := range p.opt.Auditors {
				if a.Claims(fr.name, h) {
					cs = append(cs, a)
				}
			}
			t := target
			t.Data, t.Line = fr.data, fr.line
			looked = p.audit(ctx, cs, t, lines, fr.indent) || looked
		}
	}
	if looked {
		p.audited++
	} else {
		p.other++
	}
}

// audit asks each auditor about target and reports whether one of them knew the file.
func (p *part) audit(ctx context.Context, auditors []minewarden.FileAuditor, target minewarden.Target, lines *lines, indent int) bool {
	looked := false
	for _, a := range auditors {
		v, err := a.Audit(ctx, target)
		if err != nil {
			if ctx.Err() != nil {
				return looked
			}
			looked = true
			p.refused(target, err, indent)
			continue
		}
		if !v.Applies {
			continue
		}
		looked = true
		name := a.Info().Name
		for _, c := range v.Checks {
			if len(p.checks) >= maxFindings {
				p.lost++
				continue
			}
			l := Located{Auditor: name, Path: target.Path, Check: c, Fragment: indent > 0 || target.Line > 1}
			if c.Finding != nil {
				if indent > 0 && c.Subject.Column > 0 {
					l.Check.Subject.Column += indent
					f := *c.Finding
					f.Subject.Column += indent
					l.Check.Finding = &f
				}
				l.Snippet = lines.text(c.Subject.Line)
				l.Suppressed = lines.suppressed(c.Rule, c.Subject.Line)
			}
			if l.Fragment && c.Repair != nil {
				r := *c.Repair
				r.Edits = nil // the edits' keys lead through the fragment, not through the file
				l.Check.Repair = &r
			}
			p.checks = append(p.checks, l)
		}
	}
	return looked
}

func (p *part) refused(target minewarden.Target, err error, indent int) {
	line, column := position(err)
	if line > 0 && target.Line > 1 {
		line += target.Line - 1
	}
	if column > 0 {
		column += indent
	}
	if strings.Contains(string(target.Data), "{{") || strings.Contains(string(target.Data), "{%") {
		p.skip(target.Path, fmt.Sprintf("template that was not rendered (line %d)", max(line, 1)))
		return
	}
	root := err
	for errors.Unwrap(root) != nil {
		root = errors.Unwrap(root)
	}
	p.fail(FileError{Path: target.Path, Line: line, Column: column, Message: firstLine(root.Error())})
}

func firstLine(s string) string {
	s, _, _ = strings.Cut(s, "\n")
	return s
}

type job struct{ arg, path, show string }
