package main

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/minewarden/minewarden/app"
	"github.com/minewarden/minewarden/audittrail"
	"github.com/minewarden/minewarden/console/access"
	"github.com/minewarden/minewarden/console/account"
	"github.com/minewarden/minewarden/internal/terminal"
)

// accountWork is what a command on accounts has in hand.
type accountWork struct {
	*account.Service
	by   account.By
	base string // of the console; empty: none is served
}

// accounts runs f with the accounts of the data directory, whether an agent runs there or not. add makes them where there are none.
func (wf *workFlags) accounts(cmd *cobra.Command, add bool, f func(*accountWork) error) (err error) {
	cfg, err := app.LoadConfig(wf.config)
	if err != nil {
		return err
	}
	dir := dataDir(wf.data, cfg)
	if _, statErr := os.Stat(filepath.Join(dir, "console.db")); statErr != nil && !add {
		return fmt.Errorf("there are no accounts in %s: 'minewarden up' or 'minewarden account add' makes the first, or say where with --data: %w", dir, statErr)
	}
	trail, err := audittrail.Open(dir, audittrail.Options{})
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, trail.Close()) }()
	s, err := account.Open(cmd.Context(), dir, account.Options{Trail: trail, Log: newLog(cmd.ErrOrStderr(), slog.LevelWarn)})
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, s.Close()) }()
	base, err := app.RunningConsole(cmd.Context(), dir)
	if err != nil { // none runs: it will be where the configuration says
		base = app.ConsoleBase(cfg.Listen)
	}
	return f(&accountWork{Service: s, by: account.By{Who: app.Me(), Via: "cli"}, base: base})
}

func newAccount() *cobra.Command {
	var wf workFlags
	cmd := &cobra.Command{
		Use: "account", Short: "Say who may use the console: add, let in, reset, list", Args: cobra.NoArgs,
		Long: "Accounts are in the data directory; these commands work on it, whether an agent runs there or not. Roles: viewer reads;\n" +
			"analyst also notes, assigns, closes, suppresses; responder also acts; admin also manages accounts.",
	}
	wf.add(cmd)
	cmd.AddCommand(accountAdd(&wf), accountLink(&wf), accountReset(&wf), accountRole(&wf), accountRemove(&wf), accountList(&wf))
	return cmd
}

func accountAdd(wf *workFlags) *cobra.Command {
	role, stdin := access.Viewer, false
	roleName := role.String()
	cmd := &cobra.Command{
		Use: "add NAME", Short: "Make an account, and print the link that lets its owner in, once", Args: cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			if err := role.UnmarshalText([]byte(roleName)); err != nil {
				return fmt.Errorf("--role: %w", err)
			}
			name, err := account.NormalName(args[0])
			if err != nil {
				return err
			}
			password := ""
			if stdin {
				if password, err = readPassword(cmd.InOrStdin()); err != nil {
					return err
				}
			}
			return wf.accounts(cmd, true, func(w *accountWork) error {
				if err := w.Add(cmd.Context(), w.by, name, role, password); err != nil {
					return err
				}
				if stdin {
					return nil
				}
				return w.printLink(cmd, name, wf.json)
			})
		},
	}
	cmd.Flags().StringVar(&roleName, "role", roleName, "viewer, analyst, responder or admin")
	cmd.Flags().BoolVar(&stdin, "password-stdin", false, "read a password from standard input instead")
	return cmd
}

// readPassword reads the first line.
func readPassword(r io.Reader) (string, error) {
	line, err := bufio.NewReader(io.LimitReader(r, 4096)).ReadString('\n')
	if err != nil && !errors.Is(err, io.EOF) {
		return "", fmt.Errorf("read the password: %w", err)
	}
	line = strings.TrimRight(line, "\r\n")
	if line == "" {
		return "", errors.New("there is no password on standard input")
	}
	return line, nil
}

func accountLink(wf *workFlags) *cobra.Command {
	return &cobra.Command{
		Use: "link NAME", Short: "Print a link that lets the owner of an account in, once, within 15 minutes", Args: cobra.ExactArgs(1),
		Long: "link prints a link for the owner of an account. The account first, which the link of the first start makes, is made by it where\n" +
			"nobody has come in yet. The link leads to the console of the running agent, or to where the configuration will serve it.",
		RunE: func(cmd *cobra.Command, args []string) error {
			return wf.accounts(cmd, false, func(w *accountWork) error { return w.printLink(cmd, args[0], wf.json) })
		},
	}
}

func accountReset(wf *workFlags) *cobra.Command {
	return &cobra.Command{
		Use: "reset NAME", Short: "Take away password, passkeys, tokens and sessions of an account, and print a link for its owner", Args: cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			return wf.accounts(cmd, false, func(w *accountWork) error {
				if err := w.Reset(cmd.Context(), w.by, args[0]); err != nil {
					return err
				}
				return w.printLink(cmd, args[0], wf.json)
			})
		},
	}
}

func accountRole(wf *workFlags) *cobra.Command {
	return &cobra.Command{
		Use: "role NAME ROLE", Short: "Give an account another role; its sessions end", Args: cobra.ExactArgs(2),
		RunE: func(cmd *cobra.Command, args []string) error {
			var role access.Role
			if err := role.UnmarshalText([]byte(args[1])); err != nil {
				return err
			}
			return wf.accounts(cmd, false, func(w *accountWork) error { return w.SetRole(cmd.Context(), w.by, args[0], role) })
		},
	}
}

func accountRemove(wf *workFlags) *cobra.Command {
	return &cobra.Command{
		Use: "remove NAME", Short: "Take an account away", Args: cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			return wf.accounts(cmd, false, func(w *accountWork) error { return w.Remove(cmd.Context(), w.by, args[0]) })
		},
	}
}

func accountList(wf *workFlags) *cobra.Command {
	return &cobra.Command{
		Use: "list", Short: "List accounts", Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			return wf.accounts(cmd, false, func(w *accountWork) error {
				all, err := w.Accounts(cmd.Context())
				if err != nil {
					return err
				}
				for i := range all {
					if err := printAccount(cmd.OutOrStdout(), &all[i], wf.json); err != nil {
						return err
					}
				}
				return nil
			})
		},
	}
}

func printAccount(w io.Writer, a *account.Account, asJSON bool) error {
	if asJSON {
		return terminal.JSON(w).Encode(a)
	}
	seen := "never logged in"
	if a.Seen != nil {
		seen = "last login " + a.Seen.Local().Format(time.DateTime)
	}
	var has []string
	if a.Password {
		has = append(has, "a password")
	}
	if a.Passkeys > 0 {
		has = append(has, fmt.Sprintf("%d passkeys", a.Passkeys))
	}
	if a.Tokens > 0 {
		has = append(has, fmt.Sprintf("%d tokens", a.Tokens))
	}
	if len(has) == 0 {
		has = append(has, "no way in but a link")
	}
	if a.Disabled {
		has = append(has, "disabled")
	}
	_, err := fmt.Fprintf(w, "%-20s %-9s  %s; %s\n", terminal.Safe(a.Name), a.Role, strings.Join(has, ", "), seen)
	return err
}

// printLink prints a login link on standard output, and what it is on standard error.
func (w *accountWork) printLink(cmd *cobra.Command, name string, asJSON bool) error {
	l, err := w.Enter(cmd.Context(), w.by, name)
	if err != nil {
		return err
	}
	if asJSON {
		return terminal.JSON(cmd.OutOrStdout()).Encode(l)
	}
	if w.base == "" {
		fmt.Fprintln(cmd.ErrOrStderr(), "no console is served there: start 'minewarden up' with --listen, or put its address before this:")
	}
	fmt.Fprintf(cmd.ErrOrStderr(), "open this once, until %s:\n", l.Expires.Local().Format(time.TimeOnly))
	_, err = fmt.Fprintf(cmd.OutOrStdout(), "%s/login#%s\n", w.base, l.Token)
	return err
}
