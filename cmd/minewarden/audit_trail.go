package main

import (
	"errors"
	"fmt"
	"io"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/minewarden/minewarden/app"
	"github.com/minewarden/minewarden/audittrail"
	"github.com/minewarden/minewarden/internal/terminal"
)

func newAuditTrail() *cobra.Command {
	var wf workFlags
	cmd := &cobra.Command{
		Use: "audit-trail", Short: "List what was changed, by whom and why, and prove that nobody changed the list", Args: cobra.NoArgs,
		Long: "The audit trail is in the data directory: each entry is chained to the one before by a hash, and the last is signed.\n" +
			"It can be read while the agent runs, and needs no running agent.",
	}
	wf.add(cmd)
	cmd.AddCommand(auditTrailList(&wf), auditTrailVerify(&wf))
	return cmd
}

// dir returns the data directory that is meant.
func (wf *workFlags) dir() (string, error) {
	cfg, err := app.LoadConfig(wf.config)
	if err != nil {
		return "", err
	}
	return dataDir(wf.data, cfg), nil
}

func auditTrailList(wf *workFlags) *cobra.Command {
	q := audittrail.Query{Limit: 100}
	var since string
	cmd := &cobra.Command{
		Use: "list", Short: "List entries, newest first", Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			var err error
			if q.Since, err = parseSince(since, time.Now()); err != nil {
				return err
			}
			dir, err := wf.dir()
			if err != nil {
				return err
			}
			all, err := audittrail.List(dir, q)
			if err != nil {
				return noTrail(err)
			}
			for i := range all {
				if err := printTrailEntry(cmd.OutOrStdout(), &all[i], wf.json); err != nil {
					return err
				}
			}
			if len(all) == q.Limit {
				fmt.Fprintf(cmd.ErrOrStderr(), "the last %d only; --limit shows more\n", q.Limit)
			}
			return nil
		},
	}
	cmd.Flags().StringVar(&since, "since", "", "only from then on: 2026-11-22, 2026-11-22T01:00:00Z, or a time ago such as 24h")
	cmd.Flags().StringVar(&q.Who, "who", "", "only what this one did")
	cmd.Flags().StringVar(&q.What, "what", "", "only what begins with it, such as incident.")
	cmd.Flags().StringVar(&q.Text, "text", "", "only those with this anywhere")
	cmd.Flags().IntVar(&q.Limit, "limit", q.Limit, "at most so many; 0: all")
	return cmd
}

// parseSince reads a day, a moment or a time ago; "" is the beginning.
func parseSince(s string, now time.Time) (time.Time, error) {
	if s == "" {
		return time.Time{}, nil
	}
	if t, err := time.Parse(time.RFC3339, s); err == nil {
		return t, nil
	}
	if t, err := time.ParseInLocation(time.DateOnly, s, time.Local); err == nil {
		return t, nil
	}
	if d, err := time.ParseDuration(s); err == nil && d >= 0 {
		return now.Add(-d), nil
	}
	return time.Time{}, fmt.Errorf("--since %q: want a day, a moment as in 2026-11-22T01:00:00Z, or a time ago such as 24h", s)
}

func printTrailEntry(w io.Writer, e *audittrail.Entry, asJSON bool) error {
	if asJSON {
		return terminal.JSON(w).Encode(e)
	}
	safe := terminal.Safe
	s := fmt.Sprintf("%6d  %s  %s", e.Seq, e.Time.Local().Format(time.DateTime), safe(e.Who))
	if e.Via != "" {
		s += " (" + safe(e.Via) + ")"
	}
	s += "  " + safe(e.What)
	if e.Target != "" {
		s += " " + safe(e.Target)
	}
	var more []string
	for _, k := range slices.Sorted(maps.Keys(e.Detail)) {
		more = append(more, safe(k)+"="+safe(e.Detail[k]))
	}
	if len(more) > 0 {
		s += "  " + strings.Join(more, " ")
	}
	if e.Why != "" {
		s += "  “" + safe(e.Why) + "”"
	}
	_, err := fmt.Fprintln(w, s)
	return err
}

func auditTrailVerify(wf *workFlags) *cobra.Command {
	var check audittrail.Check
	cmd := &cobra.Command{
		Use: "verify", Short: "Check every entry, the chain, and the signed end; name the first break", Args: cobra.NoArgs,
		Long: "Exit code 0: whole; 1: broken, and where; 2: could not look.\n\n" +
			"Who is root here can write a whole new trail. Against that, note the SEQ:HASH that this prints on another machine,\n" +
			"and ask for it later with --holds.",
		RunE: func(cmd *cobra.Command, _ []string) error {
			dir, err := wf.dir()
			if err != nil {
				return err
			}
			r, err := audittrail.Verify(dir, check)
			if err != nil {
				return noTrail(err)
			}
			if err := printTrailReport(cmd.OutOrStdout(), &r, wf.json); err != nil {
				return err
			}
			if r.Broken != nil {
				return errFound
			}
			return nil
		},
	}
	cmd.Flags().Uint64Var(&check.From, "from", 0, "begin with the entry of this number, whatever came before")
	cmd.Flags().StringVar(&check.Holds, "holds", "", "SEQ:HASH noted elsewhere, which must be in the trail")
	return cmd
}

func printTrailReport(w io.Writer, r *audittrail.Report, asJSON bool) error {
	if asJSON {
		return terminal.JSON(w).Encode(r)
	}
	var b strings.Builder
	if r.Broken != nil {
		fmt.Fprintf(&b, "broken: %s\n", terminal.Safe(r.Broken.String()))
	}
	fmt.Fprintf(&b, "%d entries whole in %d files; the last is %d:%s\n", r.Entries, r.Files, r.Last, r.Hash)
	if r.Unsigned > 0 {
		fmt.Fprintf(&b, "%d of them are after the signed end: a writer was killed, or somebody without the key added them\n", r.Unsigned)
	}
	if r.Torn > 0 {
		fmt.Fprintf(&b, "%d bytes of an unfinished line at the end: a writer was killed\n", r.Torn)
	}
	_, err := io.WriteString(w, b.String())
	return err
}

// noTrail says what to do where there is none.
func noTrail(err error) error {
	if errors.Is(err, audittrail.ErrNone) {
		return fmt.Errorf("%w: 'minewarden up' keeps one, or say where with --data", err)
	}
	return err
}
