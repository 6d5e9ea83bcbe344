package main

import (
	"fmt"
	"io"
	"log/slog"
	"sort"
	"strings"

	"github.com/spf13/cobra"

	"github.com/minewarden/minewarden"
	"github.com/minewarden/minewarden/app"
	"github.com/minewarden/minewarden/config"
)

func newExplain() *cobra.Command {
	return &cobra.Command{
		Use:   "explain NAME",
		Short: "Say how a module or rule works, what it misses and what fools it",
		Long:  "explain prints the page of a module (\"pow\", \"detectors/pow\") or what a rule means (\"pow/randomx\"). Without a name it lists them.",
		Args:  cobra.MaximumNArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			infos, rules, err := app.Catalogue(config.Default(), slog.New(slog.DiscardHandler))
			if err != nil {
				return err
			}
			if len(args) == 0 {
				return listModules(cmd.OutOrStdout(), infos)
			}
			return explain(cmd.OutOrStdout(), args[0], infos, rules)
		},
	}
}

func listModules(w io.Writer, infos []app.Module) error {
	for _, m := range infos {
		if _, err := fmt.Fprintf(w, "%-24s %s\n", m.Catalogue+"/"+m.Name, m.Title); err != nil {
			return err
		}
	}
	return nil
}

func explain(w io.Writer, name string, infos []app.Module, rules map[string]minewarden.Rule) error {
	if r, ok := rules[name]; ok {
		_, err := fmt.Fprintf(w, "%s (%s)\n%s\nATT&CK: %s\nWhat to do: %s\n\nMore: minewarden explain %s\n",
			r.ID, r.Severity, r.Title, strings.Join(r.Technique, ", "), r.Advice, strings.SplitN(r.ID, "/", 2)[0])
		return err
	}
	found := false
	for _, m := range infos {
		if name != m.Name && name != m.Catalogue+"/"+m.Name {
			continue
		}
		found = true
		if _, err := io.WriteString(w, strings.TrimSpace(m.Doc)+"\n"); err != nil {
			return err
		}
		for _, r := range m.Rules {
			if _, err := fmt.Fprintf(w, "\n%-28s %-8s %s\n", r.ID, r.Severity, r.Title); err != nil {
				return err
			}
		}
	}
	if found {
		return nil
	}
	var names []string
	for _, m := range infos {
		names = append(names, m.Name)
	}
	sort.Strings(names)
	return fmt.Errorf("there is no module or rule %q; modules are: %s", name, strings.Join(names, ", "))
}
