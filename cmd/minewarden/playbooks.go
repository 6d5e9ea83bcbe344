package main

import (
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/minewarden/minewarden/app"
	"github.com/minewarden/minewarden/config"
	"github.com/minewarden/minewarden/internal/terminal"
	"github.com/minewarden/minewarden/playbooks"
)

func newPlaybooks() *cobra.Command {
	var wf workFlags
	cmd := &cobra.Command{
		Use: "playbooks", Short: "What is to be done about an incident, as steps: list, check, run and approve", Args: cobra.NoArgs,
		Long: "A playbook is a list of steps: those that run by themselves, those that wait for an approval, and those that a person does. The running\n" +
			"agent runs them and keeps where each is. Your own lie in playbooks/library of the data directory.",
	}
	wf.add(cmd)
	cmd.AddCommand(playbooksList(&wf), playbooksShow(&wf), playbooksCheck(&wf), playbooksExport(&wf), playbooksImport(&wf), playbooksRun(&wf), playbooksRuns(&wf), playbooksApprove(&wf))
	return cmd
}

// settings are the configuration with the data directory that the flags ask for.
func (wf *workFlags) settings() (*config.Config, error) {
	cfg, err := app.LoadConfig(wf.config)
	if err != nil {
		return nil, err
	}
	cfg.Data = dataDir(wf.data, cfg)
	return cfg, nil
}

// library returns all playbooks; those that cannot be read are told on standard error.
func (wf *workFlags) library(cmd *cobra.Command) ([]playbooks.Playbook, error) {
	cfg, err := wf.settings()
	if err != nil {
		return nil, err
	}
	dir, err := app.PlaybookDir(cfg)
	if err != nil {
		return nil, err
	}
	all, err := playbooks.Load(dir)
	if err != nil {
		newLog(cmd.ErrOrStderr(), slog.LevelWarn).Error("not every playbook can be read", "folder", dir, "error", err)
	}
	return all, nil
}

// playbook returns the one of that name, or reads the file.
func (wf *workFlags) playbook(cmd *cobra.Command, name string) (playbooks.Playbook, error) {
	if strings.ContainsAny(name, "/.") {
		return playbooks.ReadFile(name)
	}
	all, err := wf.library(cmd)
	if err != nil {
		return playbooks.Playbook{}, err
	}
	var names []string
	for _, p := range all {
		if p.Name == name {
			return p, nil
		}
		names = append(names, p.Name)
	}
	return playbooks.Playbook{}, fmt.Errorf("there is no playbook %q; there are %s", name, strings.Join(names, ", "))
}

func playbooksList(wf *workFlags) *cobra.Command {
	return &cobra.Command{
		Use: "list", Short: "List playbooks", Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			all, err := wf.library(cmd)
			if err != nil {
				return err
			}
			for _, p := range all {
				if wf.json {
					if err := terminal.JSON(cmd.OutOrStdout()).Encode(p); err != nil {
						return err
					}
					continue
				}
				if _, err := fmt.Fprintf(cmd.OutOrStdout(), "%-12s %2d steps  %s\n", terminal.Safe(p.Name), len(p.Steps), terminal.Safe(p.Title)); err != nil {
					return err
				}
			}
			return nil
		},
	}
}

func playbooksShow(wf *workFlags) *cobra.Command {
	return &cobra.Command{
		Use: "show NAME", Short: "Show a playbook as it is written", Args: cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			p, err := wf.playbook(cmd, args[0])
			if err != nil {
				return err
			}
			if wf.json {
				return terminal.JSON(cmd.OutOrStdout()).Encode(p)
			}
			text, err := playbooks.Marshal(p)
			if err != nil {
				return err
			}
			return writeLines(cmd.OutOrStdout(), string(text))
		},
	}
}

// writeLines writes text whose lines may come from somebody else.
func writeLines(w io.Writer, text string) error {
	for line := range strings.Lines(text) {
		if _, err := fmt.Fprintln(w, terminal.Safe(strings.TrimSuffix(line, "\n"))); err != nil {
			return err
		}
	}
	return nil
}

func playbooksCheck(*workFlags) *cobra.Command {
	return &cobra.Command{
		Use: "check FILE…", Short: "Say whether files are playbooks that can be run", Args: cobra.MinimumNArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			var errs []error
			for _, name := range args {
				p, err := playbooks.ReadFile(name)
				if err == nil {
					if err = app.CheckPlaybook(&p); err != nil {
						err = fmt.Errorf("playbook %s: %w", name, err)
					}
				}
				if err != nil {
					errs = append(errs, err)
					continue
				}
				fmt.Fprintf(cmd.OutOrStdout(), "%s: playbook %s, %d steps\n", terminal.Safe(name), terminal.Safe(p.Name), len(p.Steps))
			}
			return errors.Join(errs...)
		},
	}
}

func playbooksExport(wf *workFlags) *cobra.Command {
	var out string
	cmd := &cobra.Command{
		Use: "export NAME", Short: "Write a playbook as CACAO 2.0", Args: cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			p, err := wf.playbook(cmd, args[0])
			if err != nil {
				return err
			}
			text, err := playbooks.Export(p, time.Now())
			if err != nil {
				return err
			}
			if out != "" {
				return os.WriteFile(out, text, 0o644)
			}
			_, err = cmd.OutOrStdout().Write(text)
			return err
		},
	}
	cmd.Flags().StringVarP(&out, "output", "o", "", "file to write; default: standard output")
	return cmd
}

// maxImport bounds the file that is read.
const maxImport = 4 << 20

func playbooksImport(wf *workFlags) *cobra.Command {
	var replace, dry bool
	cmd := &cobra.Command{
		Use: "import FILE", Short: "Take up a CACAO 2.0 playbook, or refuse it with a reason", Args: cobra.ExactArgs(1),
		Long: "What minewarden cannot run as it is written is refused, never left out. The playbook becomes a file in the folder of your own playbooks,\n" +
			"where you can change it; a running agent takes it up within seconds.",
		RunE: func(cmd *cobra.Command, args []string) error {
			f, err := os.Open(args[0])
			if err != nil {
				return fmt.Errorf("import: %w", err)
			}
			text, err := io.ReadAll(io.LimitReader(f, maxImport))
			if err = errors.Join(err, f.Close()); err != nil {
				return fmt.Errorf("import %s: %w", args[0], err)
			}
			p, notes, err := playbooks.Import(text, time.Now())
			if err == nil {
				err = app.CheckPlaybook(&p)
			}
			if err != nil {
				return fmt.Errorf("import %s: %w", args[0], err)
			}
			for _, n := range notes {
				fmt.Fprintln(cmd.ErrOrStderr(), terminal.Safe(n))
			}
			if dry {
				text, err := playbooks.Marshal(p)
				if err != nil {
					return err
				}
				return writeLines(cmd.OutOrStdout(), string(text))
			}
			cfg, err := wf.settings()
			if err != nil {
				return err
			}
			dir, err := app.PlaybookDir(cfg)
			if err != nil {
				return err
			}
			name, err := playbooks.Save(dir, p, replace)
			if err != nil {
				return err
			}
			_, err = fmt.Fprintf(cmd.OutOrStdout(), "playbook %s is in %s\n", terminal.Safe(p.Name), terminal.Safe(name))
			return err
		},
	}
	cmd.Flags().BoolVar(&replace, "replace", false, "replace your playbook of the same name")
	cmd.Flags().BoolVar(&dry, "dry-run", false, "only print what it would become")
	return cmd
}

func (wf *workFlags) books() (app.Books, error) {
	cfg, err := wf.settings()
	if err != nil {
		return nil, err
	}
	return app.OpenBooks(cfg)
}

func playbooksRun(wf *workFlags) *cobra.Command {
	var dry bool
	var why string
	cmd := &cobra.Command{
		Use: "run INCIDENT NAME", Short: "Begin a playbook for an incident, or show what it would do", Args: cobra.ExactArgs(2),
		RunE: func(cmd *cobra.Command, args []string) error {
			b, err := wf.books()
			if err != nil {
				return err
			}
			if dry {
				all, err := b.DryRun(cmd.Context(), args[0], args[1])
				if err != nil {
					return err
				}
				for _, p := range all {
					if err := printPreview(cmd.OutOrStdout(), p, wf.json); err != nil {
						return err
					}
				}
				return nil
			}
			r, err := b.Start(cmd.Context(), args[0], args[1], app.Me(), why)
			if err != nil {
				return err
			}
			return printRun(cmd.OutOrStdout(), &r, wf.json)
		},
	}
	cmd.Flags().BoolVar(&dry, "dry-run", false, "only show what each step would do now")
	cmd.Flags().StringVar(&why, "why", "by hand", "the reason, kept with the run")
	return cmd
}

func printPreview(w io.Writer, p playbooks.Preview, asJSON bool) error {
	if asJSON {
		return terminal.JSON(w).Encode(p)
	}
	var b strings.Builder
	fmt.Fprintf(&b, "%-6s %s: %s", p.Would, terminal.Safe(p.Step.ID), terminal.Safe(p.Step.Title))
	if p.Why != "" {
		fmt.Fprintf(&b, " (%s)", terminal.Safe(p.Why))
	}
	b.WriteByte('\n')
	for _, a := range p.Actions {
		fmt.Fprintf(&b, "         %s\n", terminal.Safe(a.Summary))
		for _, t := range a.Blast {
			fmt.Fprintf(&b, "           touches %s\n", terminal.Safe(t))
		}
	}
	_, err := io.WriteString(w, b.String())
	return err
}

func playbooksRuns(wf *workFlags) *cobra.Command {
	return &cobra.Command{
		Use: "runs [INCIDENT]", Short: "List runs with their steps, the newest first", Args: cobra.MaximumNArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			b, err := wf.books()
			if err != nil {
				return err
			}
			all, err := b.Runs(cmd.Context(), strings.Join(args, ""))
			if err != nil {
				return err
			}
			for i := range all {
				if err := printRun(cmd.OutOrStdout(), &all[i], wf.json); err != nil {
					return err
				}
			}
			return nil
		},
	}
}

func printRun(w io.Writer, r *playbooks.Run, asJSON bool) error {
	if asJSON {
		return terminal.JSON(w).Encode(r)
	}
	var b strings.Builder
	fmt.Fprintf(&b, "%s: %s, begun %s by %s\n", terminal.Safe(r.ID), r.State, r.Started.Local().Format(time.DateTime), terminal.Safe(r.Who))
	for i := range r.Steps {
		s := &r.Steps[i]
		fmt.Fprintf(&b, "  %-8s %s: %s", s.State, terminal.Safe(s.ID), terminal.Safe(r.Playbook.Steps[i].Title))
		if s.Note != "" {
			fmt.Fprintf(&b, " (%s)", terminal.Safe(s.Note))
		}
		b.WriteByte('\n')
		for _, a := range s.Shown {
			for _, t := range a.Blast {
				fmt.Fprintf(&b, "             would touch %s\n", terminal.Safe(t))
			}
		}
	}
	_, err := io.WriteString(w, b.String())
	return err
}

func playbooksApprove(wf *workFlags) *cobra.Command {
	var refuse, done bool
	var why string
	cmd := &cobra.Command{
		Use: "approve RUN [STEP]", Short: "Approve a step that waits, or a run that is proposed; or refuse it; or say that you have done it", Args: cobra.RangeArgs(1, 2),
		RunE: func(cmd *cobra.Command, args []string) error {
			decision := playbooks.Approve
			switch {
			case refuse && done:
				return errors.New("--refuse and --done say two things")
			case refuse:
				decision = playbooks.Refuse
			case done:
				decision = playbooks.IsDone
			}
			b, err := wf.books()
			if err != nil {
				return err
			}
			r, err := b.Decide(cmd.Context(), args[0], strings.Join(args[1:], ""), decision, app.Me(), why)
			if err != nil {
				return err
			}
			return printRun(cmd.OutOrStdout(), &r, wf.json)
		},
	}
	cmd.Flags().BoolVar(&refuse, "refuse", false, "do not do it; the run goes on as after a failure")
	cmd.Flags().BoolVar(&done, "done", false, "a manual step was done")
	cmd.Flags().StringVar(&why, "why", "", "the reason, kept with the decision")
	return cmd
}
