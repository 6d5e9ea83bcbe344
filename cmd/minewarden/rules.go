package main

import (
	"fmt"
	"io"
	"os"
	"strings"

	"github.com/spf13/cobra"

	"github.com/minewarden/minewarden/detectors/sigma"
	"github.com/minewarden/minewarden/internal/terminal"
	"github.com/minewarden/minewarden/rules"
)

func newRules() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "rules",
		Short: "Check and list Sigma rules",
		Args:  cobra.NoArgs,
		RunE:  func(cmd *cobra.Command, _ []string) error { return cmd.Help() },
	}
	cmd.AddCommand(newRulesCheck(), newRulesList())
	return cmd
}

func newRulesCheck() *cobra.Command {
	var asJSON bool
	cmd := &cobra.Command{
		Use:   "check DIR...",
		Short: "Say of every rule that cannot run why, with file and line",
		Long:  "check reads all *.yml and *.yaml files below the folders. Exit code 0: every rule runs; 1: some do not.",
		Args:  cobra.MinimumNArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			set, err := loadRules(args, false)
			if err != nil {
				return err
			}
			out := cmd.OutOrStdout()
			for _, p := range set.Problems() {
				if err := printProblem(out, p, asJSON); err != nil {
					return err
				}
			}
			if _, err := fmt.Fprintf(cmd.ErrOrStderr(), "%d files: %d rules run, %d problems\n",
				set.Files(), len(set.Rules()), len(set.Problems())); err != nil {
				return err
			}
			if len(set.Problems()) > 0 {
				return errFound
			}
			return nil
		},
	}
	cmd.Flags().BoolVar(&asJSON, "json", false, "print one JSON object a line")
	return cmd
}

func printProblem(w io.Writer, p sigma.Problem, asJSON bool) error {
	if !asJSON {
		_, err := fmt.Fprintln(w, terminal.Safe(p.String()))
		return err
	}
	return terminal.JSON(w).Encode(struct {
		File   string `json:"file"`
		Line   int    `json:"line"`
		Column int    `json:"column"`
		Rule   string `json:"rule,omitempty"`
		Reason string `json:"reason"`
	}{p.File, p.Line, p.Col, p.Rule, p.Reason})
}

func newRulesList() *cobra.Command {
	var asJSON bool
	cmd := &cobra.Command{
		Use:   "list [DIR...]",
		Short: "List the embedded rules, and those of the folders",
		RunE: func(cmd *cobra.Command, args []string) error {
			set, err := loadRules(args, true)
			if err != nil {
				return err
			}
			for _, r := range set.Rules() {
				if err := printRule(cmd.OutOrStdout(), r, asJSON); err != nil {
					return err
				}
			}
			return nil
		},
	}
	cmd.Flags().BoolVar(&asJSON, "json", false, "print one JSON object a line")
	return cmd
}

func printRule(w io.Writer, r *sigma.Rule, asJSON bool) error {
	public := r.Public()
	if !asJSON {
		_, err := fmt.Fprintf(w, "%-8s  %-44s  %s\n", public.Severity, terminal.Safe(public.ID), terminal.Safe(public.Title))
		return err
	}
	return terminal.JSON(w).Encode(struct {
		ID        string   `json:"id"`
		Title     string   `json:"title"`
		Severity  string   `json:"severity"`
		Technique []string `json:"technique"`
		Source    string   `json:"logsource"`
		File      string   `json:"file"`
		Line      int      `json:"line"`
	}{public.ID, public.Title, public.Severity.String(), append([]string{}, r.Technique...), r.Source.String(), r.File, r.Line})
}

// loadRules reads the folders, and our own rules before them where embedded is set.
func loadRules(dirs []string, embedded bool) (*sigma.Set, error) {
	var folders []sigma.Folder
	if embedded {
		folders = append(folders, sigma.Folder{Name: "minewarden", FS: rules.FS})
	}
	for _, dir := range dirs {
		info, err := os.Stat(dir)
		if err != nil {
			return nil, fmt.Errorf("read rules: %w", err)
		}
		if !info.IsDir() {
			return nil, fmt.Errorf("read rules of %s: it is a file; name the folder that holds it", dir)
		}
		folders = append(folders, sigma.Folder{Name: strings.TrimSuffix(dir, "/"), FS: os.DirFS(dir)})
	}
	return sigma.Load(nil, folders...)
}
