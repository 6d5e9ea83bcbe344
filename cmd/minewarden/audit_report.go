package main

import (
	"errors"
	"fmt"
	"io"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/minewarden/minewarden"
	"github.com/minewarden/minewarden/app"
	"github.com/minewarden/minewarden/internal/terminal"
	"github.com/minewarden/minewarden/posture/discover"
	"github.com/minewarden/minewarden/posture/gate"
	"github.com/minewarden/minewarden/posture/score"
	"github.com/minewarden/minewarden/responders/repair"
)

// errNotLooked makes the exit code 2: a target could not be looked at, which is no pass.
var errNotLooked = errors.New("not everything could be looked at")

// report prints what was found, worst first, then what was not looked at, and applies repairs when asked to.
func (af *auditFlags) report(cmd *cobra.Command, p *findingPrinter, auditors []minewarden.Auditor, outs []outcome, paths []string, res *gate.Result) error {
	af.keep(cmd.ErrOrStderr(), auditors, outs, paths, res)
	rules := map[string]minewarden.Rule{}
	var list []minewarden.Rule
	for _, a := range auditors {
		for _, r := range a.Rules() {
			if _, ok := rules[r.ID]; !ok {
				rules[r.ID] = r
				list = append(list, r)
			}
		}
	}
	var hostChecks, fileChecks []minewarden.Check
	checks := map[*minewarden.Finding]minewarden.Check{}
	var found []ruledFinding
	take := func(c minewarden.Check) {
		checks[c.Finding] = c
		found = append(found, ruledFinding{*c.Finding, rules[c.Rule]})
	}
	problems := 0
	for i := range outs {
		o := &outs[i]
		if o.err != nil {
			problems++
			fmt.Fprintf(cmd.ErrOrStderr(), "not looked at: %s (%s): %s\n", terminal.Safe(o.target.Name), o.auditor, terminal.Safe(o.err.Error()))
			continue
		}
		for _, c := range o.verdict.Checks {
			if c.Finding != nil {
				take(c)
				if o.target.Kind == minewarden.TargetHost {
					hostChecks = append(hostChecks, c)
				}
			}
		}
	}
	if res != nil {
		for i := range res.Checks {
			l := &res.Checks[i]
			if l.Active() {
				take(l.Check)
				if !l.Fragment {
					fileChecks = append(fileChecks, l.Check)
				}
			}
		}
		for _, e := range res.Errors {
			problems++
			fmt.Fprintf(cmd.ErrOrStderr(), "not looked at: %s\n", terminal.Safe(e.Error()))
		}
	}
	if af.writeBaseline != "" {
		if err := writeBaseline(af.writeBaseline, res); err != nil {
			return err
		}
	}
	worstFirst(found)
	switch {
	case af.sarif:
		if res == nil {
			return errors.New("--sarif needs a PATH: it names places in files")
		}
		if err := gate.SARIF(cmd.OutOrStdout(), res, list, version); err != nil {
			return fmt.Errorf("write SARIF: %w", err)
		}
		for _, f := range found {
			p.failed = p.failed || f.rule.Severity >= p.failOn
		}
	case af.diff:
		for _, f := range found {
			p.failed = p.failed || f.rule.Severity >= p.failOn
		}
	default:
		printFound(cmd.OutOrStdout(), p, found, checks)
	}
	if !af.json && !af.sarif && !af.diff {
		tellChecks(cmd.OutOrStdout(), outs, af.all)
	}
	tellAudited(cmd.ErrOrStderr(), outs, res, p)
	if af.diff || af.fix {
		now := time.Now()
		tellHeldBack(cmd.ErrOrStderr(), af.fixTLS, hostChecks, fileChecks)
		if err := af.repair(cmd, append(repair.Actions(af.root, hostChecks, af.fixTLS, now), repair.Actions(".", fileChecks, af.fixTLS, now)...)); err != nil {
			return err
		}
	}
	if err := p.result(); err != nil {
		return err
	}
	if problems > 0 {
		return fmt.Errorf("%w: %d of the targets or files", errNotLooked, problems)
	}
	return nil
}

// tellHeldBack names the repairs that wait for something that only a person can put in place.
func tellHeldBack(w io.Writer, prepared bool, lists ...[]minewarden.Check) {
	if prepared {
		return
	}
	for _, checks := range lists {
		for _, c := range checks {
			if c.Repair != nil && c.Repair.Needs != "" && len(c.Repair.Edits) > 0 {
				fmt.Fprintf(w, "held back: %s of %s needs %s; --fix-tls when these are there\n", c.Rule, terminal.Safe(c.Repair.Edits[0].Path), c.Repair.Needs)
			}
		}
	}
}

// keep adds what was found to the posture's history. An audit that cannot be kept is told and is still an audit.
func (af *auditFlags) keep(w io.Writer, auditors []minewarden.Auditor, outs []outcome, paths []string, res *gate.Result) {
	rules := map[string][]minewarden.Rule{}
	var all []minewarden.Rule
	for _, a := range auditors {
		rules[a.Info().Name] = a.Rules()
		all = append(all, a.Rules()...)
	}
	now := time.Now().UTC()
	var records []score.Record
	for i := range outs {
		o := &outs[i]
		switch {
		case o.err != nil:
			records = append(records, score.Failed(o.target.Name, o.auditor, o.err, now))
		case o.verdict.Applies:
			records = append(records, score.Of(o.target.Name, o.verdict, rules[o.auditor], now))
		}
	}
	if res != nil {
		records = append(records, scoreFiles(paths, res, all, now))
	}
	if len(records) == 0 {
		return
	}
	if err := score.Append(af.data, records); err != nil {
		fmt.Fprintln(w, "not kept for 'minewarden report posture':", sentence(err))
	}
}

// scoreFiles scores all files together: a repository is deployed as a whole.
func scoreFiles(paths []string, res *gate.Result, rules []minewarden.Rule, now time.Time) score.Record {
	v := minewarden.Verdict{Applies: true, Product: "configuration"}
	for i := range res.Checks {
		// What the baseline accepts for now is still a way in; what a comment gives a reason for is not counted.
		if l := &res.Checks[i]; l.Suppressed == "" {
			v.Checks = append(v.Checks, l.Check)
		}
	}
	var names []string
	for _, p := range paths {
		if abs, err := filepath.Abs(p); err == nil {
			p = abs
		}
		names = append(names, p)
	}
	r := score.Of(strings.Join(names, ", "), v, rules, now)
	for _, e := range res.Errors {
		r.Unknown++
		r.Items = append(r.Items, score.Item{Status: minewarden.StatusUnknown, Rule: "file", Subject: e.Path, Proof: e.Error()})
	}
	return r
}

// printFound prints findings with their reason and repair; as JSON the finding alone, whose form is stable.
func printFound(out io.Writer, p *findingPrinter, found []ruledFinding, checks map[*minewarden.Finding]minewarden.Check) {
	byKey := map[string]minewarden.Check{}
	for f, c := range checks {
		byKey[f.Rule+"\x00"+f.Subject.ID+"\x00"+f.Subject.Name+"\x00"+fmt.Sprint(f.Subject.Line)] = c
	}
	for _, f := range found {
		if p.json {
			p.print(f.Finding, f.rule)
			continue
		}
		var b strings.Builder
		p.out = &b
		p.print(f.Finding, f.rule)
		p.out = out
		text := strings.TrimRight(b.String(), "\n") + "\n"
		b.Reset()
		b.WriteString(text)
		if f.rule.Why != "" {
			fmt.Fprintf(&b, "  why: %s\n", terminal.Safe(f.rule.Why))
		}
		c := byKey[f.Rule+"\x00"+f.Subject.ID+"\x00"+f.Subject.Name+"\x00"+fmt.Sprint(f.Subject.Line)]
		if c.Repair != nil {
			fmt.Fprintf(&b, "  repair: %s\n", terminal.Safe(c.Repair.Summary))
			for _, l := range strings.Split(strings.TrimRight(c.Repair.Config, "\n"), "\n") {
				if l != "" {
					fmt.Fprintf(&b, "      %s\n", terminal.Safe(l))
				}
			}
		}
		if len(f.rule.References) > 0 {
			fmt.Fprintf(&b, "  see: %s\n", strings.Join(f.rule.References, ", "))
		}
		if _, err := io.WriteString(out, b.String()+"\n"); err != nil && p.err == nil {
			p.err = err
		}
	}
}

// tellChecks lists what was not looked at, once for each reason; with all, every check.
func tellChecks(w io.Writer, outs []outcome, all bool) {
	for i := range outs {
		o := &outs[i]
		var reasons []string
		rules := map[string][]string{}
		for _, c := range o.verdict.Checks {
			switch {
			case c.Finding != nil || (!all && c.Status != minewarden.StatusUnknown):
			case all:
				fmt.Fprintf(w, "%-14s %s  %s: %s\n", c.Status, c.Rule, terminal.Safe(o.target.Name), terminal.Safe(c.Proof))
			default:
				if rules[c.Proof] == nil {
					reasons = append(reasons, c.Proof)
				}
				rules[c.Proof] = append(rules[c.Proof], c.Rule)
			}
		}
		for _, why := range reasons {
			which := rules[why][0]
			if n := len(rules[why]) - 1; n > 0 {
				which = fmt.Sprintf("%s and %d more", which, n)
			}
			fmt.Fprintf(w, "not looked at: %s of %s: %s\n", which, terminal.Safe(o.target.Name), terminal.Safe(why))
		}
	}
}

func tellAudited(w io.Writer, outs []outcome, res *gate.Result, p *findingPrinter) {
	passed, unknown, applied := 0, 0, 0
	for i := range outs {
		if outs[i].verdict.Applies {
			applied++
		}
		for _, c := range outs[i].verdict.Checks {
			switch c.Status {
			case minewarden.StatusPass:
				passed++
			case minewarden.StatusUnknown:
				unknown++
			}
		}
	}
	if applied > 0 {
		fmt.Fprintf(w, "%d audits applied: %d checks pass, %d could not be looked at\n", applied, passed, unknown)
	}
	if res != nil {
		known, suppressed := 0, 0
		for i := range res.Checks {
			switch l := &res.Checks[i]; {
			case l.Check.Finding == nil:
			case l.Suppressed != "":
				suppressed++
			case l.Known:
				known++
			}
		}
		fmt.Fprintf(w, "%d files met, %d audited, %d unreadable, %d skipped\n", res.Files, res.Audited, len(res.Errors), len(res.Skipped))
		if known+suppressed > 0 {
			fmt.Fprintf(w, "not shown: %d findings of the baseline, %d suppressed by a comment with a reason\n", known, suppressed)
		}
	}
	if s := p.summary(); s != "" {
		fmt.Fprintln(w, "found:", s)
	}
}

func writeBaseline(name string, res *gate.Result) (err error) {
	if res == nil {
		return errors.New("--write-baseline needs a PATH")
	}
	f, err := os.Create(name)
	if err != nil {
		return fmt.Errorf("--write-baseline: %w", err)
	}
	defer func() {
		if cerr := f.Close(); err == nil && cerr != nil {
			err = fmt.Errorf("--write-baseline: %w", cerr)
		}
	}()
	return gate.WriteBaseline(f, res)
}

// repair prints the diffs, and with --fix applies them, each with a backup that its receipt leads back to.
func (af *auditFlags) repair(cmd *cobra.Command, files []repair.File) error {
	var r minewarden.Responder
	if af.fix {
		var err error
		// The agent's own folder, so that its desk lists and takes back these repairs too.
		r, err = repair.New(minewarden.Env{Now: time.Now, Log: newLog(cmd.ErrOrStderr(), 0), Data: filepath.Join(af.data, "responders", repair.Name)})
		if err != nil {
			return fmt.Errorf("--fix: %w", err)
		}
	}
	named := "" // --data, where another command would not find the folder by itself
	if af.dataGiven {
		named = " --data " + af.data
	}
	failed := 0
	for _, f := range files {
		switch {
		case f.Err != nil:
			failed++
			fmt.Fprintf(cmd.ErrOrStderr(), "not repaired: %s: %s\n", terminal.Safe(f.Path), terminal.Safe(f.Err.Error()))
			continue
		case f.Diff == "":
			continue
		}
		if af.diff {
			if _, err := io.WriteString(cmd.OutOrStdout(), f.Diff); err != nil {
				return fmt.Errorf("write the diff: %w", err)
			}
		}
		if !af.fix {
			continue
		}
		f.Action.Params["who"], f.Action.Params["why"] = app.Me(), "audit --fix"
		rc, err := r.Do(cmd.Context(), f.Action)
		if err != nil {
			failed++
			fmt.Fprintf(cmd.ErrOrStderr(), "not repaired: %s: %s\n", terminal.Safe(f.Path), terminal.Safe(err.Error()))
			continue
		}
		fmt.Fprintf(cmd.ErrOrStderr(), "repaired: %s (%s); take back with: minewarden respond undo%s %s\n", terminal.Safe(f.Path), terminal.Safe(rc.Result), named, rc.Action.ID)
	}
	if failed > 0 && af.fix {
		return fmt.Errorf("%d files were not repaired: %w", failed, errNotLooked)
	}
	return nil
}

// discoverServices walks the ranges, tells what is there, and returns the products to audit.
func discoverServices(cmd *cobra.Command, af *auditFlags, access minewarden.ServiceAccess) ([]minewarden.Target, error) {
	opt := discover.Options{Ports: discover.Ports(), Own: af.own, Rate: af.rate, HTTP: discover.Products(), Talks: discover.Talks()}
	for _, s := range af.discover {
		p, err := discover.ParseRange(s)
		if err != nil {
			return nil, err
		}
		opt.Ranges = append(opt.Ranges, p)
	}
	if len(af.ports) > 0 {
		opt.Ports = nil
	}
	for _, p := range af.ports {
		if p < 1 || p > 65535 {
			return nil, fmt.Errorf("--ports %d: not a port", p)
		}
		opt.Ports = append(opt.Ports, uint16(p))
	}
	res, err := discover.Run(cmd.Context(), opt)
	if err != nil {
		if errors.Is(err, discover.ErrPublic) {
			return nil, err
		}
		return nil, fmt.Errorf("discover: %w", err)
	}
	var out []minewarden.Target
	// Credentials are for services that the user named, not for whatever answered.
	access = minewarden.ServiceAccess{CA: access.CA, Timeout: access.Timeout}
	for _, s := range res.Services {
		if err := tellService(cmd, af.json, s); err != nil {
			return nil, err
		}
		if asked(s.Product) {
			out = append(out, minewarden.Target{Kind: minewarden.TargetService, Name: s.Product + "=" + s.URL, Product: s.Product, URL: s.URL, Access: access, Intrusive: af.intrusive})
		}
	}
	known, open := res.Known()
	rate := 0.0
	if known > 0 {
		rate = 100 * float64(open) / float64(known)
	}
	fmt.Fprintf(cmd.ErrOrStderr(), "%d places tried, %d answer, %d of these not to the end; %d known services, %d open to strangers: exposure rate %.1f %%\n", res.Tried, res.Answered, res.Failed, known, open, rate)
	return out, nil
}

// tellService prints a service: on standard output for people, on standard error beside findings as JSON.
func tellService(cmd *cobra.Command, asJSON bool, s discover.Service) error {
	if asJSON {
		b, err := terminal.MarshalJSON(s)
		if err != nil {
			return err
		}
		_, err = fmt.Fprintf(cmd.ErrOrStderr(), "%s\n", b)
		return err
	}
	product, how := s.Product, "asks who you are"
	if product == "" {
		product = "unknown"
	}
	if s.Open {
		how = "OPEN to strangers"
	}
	at := s.Addr
	at = netip.AddrPortFrom(at.Addr().Unmap(), at.Port())
	_, err := fmt.Fprintf(cmd.OutOrStdout(), "%-22s %-8s %-17s %s\n", at, terminal.Safe(product), how, terminal.Safe(s.Proof))
	return err
}
