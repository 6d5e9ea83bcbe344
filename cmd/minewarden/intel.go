package main

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/netip"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/minewarden/minewarden"
	"github.com/minewarden/minewarden/app"
	"github.com/minewarden/minewarden/indicators"
	"github.com/minewarden/minewarden/internal/cve"
	"github.com/minewarden/minewarden/internal/intel"
	"github.com/minewarden/minewarden/internal/terminal"
)

// intelFlags are the flags of all commands about indicators.
type intelFlags struct {
	config, data string
	json         bool
}

func newIntel() *cobra.Command {
	var f intelFlags
	cmd := &cobra.Command{
		Use: "intel", Short: "Add, list, match and update indicators: pools, addresses, hashes, wallets", Args: cobra.NoArgs,
		Long: "Indicators come with the program, are added one by one, or come in lists: plain, hosts files or CSV, from files and https URLs.\n" +
			"They are kept below indicators/ in the data directory. A running agent reads them anew when they change.",
	}
	cmd.PersistentFlags().StringVar(&f.config, "config", "", "configuration file")
	cmd.PersistentFlags().StringVar(&f.data, "data", "", "data directory of the agent")
	cmd.PersistentFlags().BoolVar(&f.json, "json", false, "print one JSON object a line")
	cmd.AddCommand(intelAdd(&f), intelList(&f), intelMatch(&f), intelAllow(&f), intelRemove(&f), intelUpdate(&f))
	return cmd
}

func (f *intelFlags) dir() (string, error) {
	cfg, err := app.LoadConfig(f.config)
	if err != nil {
		return "", err
	}
	return dataDir(f.data, cfg), nil
}

func (f *intelFlags) library() (intel.Library, error) {
	dir, err := f.dir()
	return intel.Library{Dir: filepath.Join(dir, "indicators"), Now: time.Now}, err
}

func intelAdd(f *intelFlags) *cobra.Command {
	var o intel.Options
	cmd := &cobra.Command{
		Use: "add FILE|URL|VALUE…", Short: "Add a list from a file or an https URL, or single values", Args: cobra.MinimumNArgs(1),
		Long: "What names a file that exists is read as a list; an https URL is fetched, now and with every 'intel update'; everything else is a\nvalue. With --type url a URL is a value too.",
		RunE: func(cmd *cobra.Command, args []string) error {
			if o.Confidence <= 0 || o.Confidence > 1 {
				return fmt.Errorf("--confidence %g: use a number above 0 and at most 1", o.Confidence)
			}
			l, err := f.library()
			if err != nil {
				return err
			}
			for _, arg := range args {
				if err := addOne(cmd, l, arg, o, f.json); err != nil {
					return err
				}
			}
			return nil
		},
	}
	cmd.Flags().StringVar(&o.Type, "type", "", "type of values that do not say: domain, ip, cidr, ip:port, url, sha256 or wallet")
	cmd.Flags().Float64Var(&o.Confidence, "confidence", 0.8, "how sure values are that do not say, from 0 to 1")
	cmd.Flags().DurationVar(&o.Lasts, "expires", 0, "how long values are good after they were last read, as 720h; 0: for ever")
	cmd.Flags().StringVar(&o.Source, "source", "", "name of the list (default: from the file's or server's name; of single values: manual)")
	cmd.Flags().BoolVar(&o.Insecure, "insecure", false, "take plain http as well")
	return cmd
}

func addOne(cmd *cobra.Command, l intel.Library, arg string, o intel.Options, asJSON bool) error {
	var res intel.Result
	var err error
	switch info, statErr := os.Stat(arg); {
	case statErr == nil && info.Mode().IsRegular():
		res, err = l.AddFile(arg, o)
	case strings.Contains(arg, "://") && o.Type != indicators.URL && !strings.HasPrefix(strings.ToLower(arg), "hxxp"):
		res, err = l.AddURL(cmd.Context(), http.DefaultTransport, arg, o)
	default:
		ind, err := l.AddValue(arg, o)
		if err != nil {
			return err
		}
		return printIndicator(cmd.OutOrStdout(), ind, asJSON)
	}
	if err != nil {
		return err
	}
	return printResult(cmd, res, asJSON)
}

func printResult(cmd *cobra.Command, res intel.Result, asJSON bool) error {
	for _, b := range res.Bad {
		fmt.Fprintf(cmd.ErrOrStderr(), "%s: %s\n", terminal.Safe(res.Source.Name), terminal.Safe(b))
	}
	if asJSON {
		return terminal.JSON(cmd.OutOrStdout()).Encode(res)
	}
	s := res.Source
	what := fmt.Sprintf("%d indicators", s.Count)
	switch {
	case res.Unchanged:
		what += ", unchanged"
	case res.Before > 0:
		what += fmt.Sprintf(", before %d", res.Before)
	}
	if s.Unreadable > 0 {
		what += fmt.Sprintf(", %d lines unreadable", s.Unreadable)
	}
	_, err := fmt.Fprintf(cmd.OutOrStdout(), "%s: %s\n", terminal.Safe(s.Name), what)
	return err
}

func printIndicator(w io.Writer, i minewarden.Indicator, asJSON bool) error {
	if asJSON {
		return terminal.JSON(w).Encode(i)
	}
	ends := ""
	if !i.Expires.IsZero() {
		ends = "  until " + i.Expires.UTC().Format(time.RFC3339)
	}
	_, err := fmt.Fprintf(w, "%-7s  %s  %s  %.2f%s\n", i.Type, terminal.Safe(i.Value), terminal.Safe(i.Source), i.Confidence, ends)
	return err
}

func intelList(f *intelFlags) *cobra.Command {
	var all bool
	cmd := &cobra.Command{
		Use: "list", Short: "List the sources, or with --all every indicator", Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			l, err := f.library()
			if err != nil {
				return err
			}
			set, err := indicators.Load(l.Dir)
			if err != nil {
				return err
			}
			if all {
				for i := range set.All {
					if err := printIndicator(cmd.OutOrStdout(), i, f.json); err != nil {
						return err
					}
				}
				return nil
			}
			sources, err := l.Sources()
			if err != nil {
				return err
			}
			embedded := 0
			for i := range set.All {
				if i.Source == indicators.EmbeddedSource {
					embedded++
				}
			}
			name, date, _ := strings.Cut(indicators.EmbeddedSource, "@")
			at, err := time.Parse(time.DateOnly, date)
			if err != nil {
				return err
			}
			sources = append([]intel.Source{{Name: name, Fetched: at, Count: embedded, From: "comes with the program", Confidence: -1}}, sources...)
			for _, s := range sources {
				if err := printSource(cmd.OutOrStdout(), s, f.json); err != nil {
					return err
				}
			}
			for i := range set.Allowances {
				fmt.Fprintf(cmd.ErrOrStderr(), "allowed: %s\n", terminal.Safe(i.Value))
			}
			return nil
		},
	}
	cmd.Flags().BoolVar(&all, "all", false, "list every indicator")
	return cmd
}

func printSource(w io.Writer, s intel.Source, asJSON bool) error {
	if asJSON {
		return terminal.JSON(w).Encode(s)
	}
	date, from := "by itself", s.From
	if !s.Fetched.IsZero() {
		date = s.Fetched.UTC().Format(time.DateOnly)
	}
	if from == "" {
		from = "by hand"
	}
	bad := ""
	if s.Unreadable > 0 {
		bad = fmt.Sprintf("  (%d lines unreadable)", s.Unreadable)
	}
	_, err := fmt.Fprintf(w, "%-20s  %s  %8d  %s%s\n", terminal.Safe(s.Name), date, s.Count, terminal.Safe(from), bad)
	return err
}

func intelMatch(f *intelFlags) *cobra.Command {
	return &cobra.Command{
		Use: "match VALUE…", Short: "Say which indicators values meet; exit code 1 when one does", Args: cobra.MinimumNArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			l, err := f.library()
			if err != nil {
				return err
			}
			set, err := indicators.Load(l.Dir)
			if err != nil {
				return err
			}
			met := false
			for _, arg := range args {
				found, err := matches(set, arg, time.Now())
				if err != nil {
					return fmt.Errorf("match: %w", err)
				}
				for _, i := range found {
					met = true
					if err := printMatch(cmd.OutOrStdout(), arg, i, f.json); err != nil {
						return err
					}
				}
			}
			if met {
				return errFound
			}
			return nil
		},
	}
}

func printMatch(w io.Writer, value string, i minewarden.Indicator, asJSON bool) error {
	if asJSON {
		return terminal.JSON(w).Encode(struct {
			Value     string               `json:"value"`
			Indicator minewarden.Indicator `json:"indicator"`
		}{value, i})
	}
	if _, err := fmt.Fprintf(w, "%s meets ", terminal.Safe(value)); err != nil {
		return err
	}
	return printIndicator(w, i, false)
}

// matches looks a value up as detectors do; of a URL also its host.
func matches(set *indicators.Set, value string, now time.Time) (out []minewarden.Indicator, err error) {
	typ, v, err := indicators.Normal("", value)
	if err != nil {
		return nil, err
	}
	add := func(hit indicators.Hit, ok bool) {
		if ok {
			out = append(out, hit.Indicator())
		}
	}
	host := func(name string, port uint16) {
		if a, err := netip.ParseAddr(name); err == nil {
			add(set.Addr(a, port, now))
			return
		}
		add(set.Name(name, now))
	}
	switch typ {
	case indicators.Domain:
		host(v, 0)
	case indicators.IP:
		host(v, 0)
	case indicators.Endpoint:
		a, err := netip.ParseAddrPort(v)
		if err != nil {
			return nil, err
		}
		add(set.Addr(a.Addr(), a.Port(), now))
	case indicators.URL:
		add(set.Exact(typ, v, now))
		u, err := url.Parse(v)
		if err != nil {
			return nil, err
		}
		host(u.Hostname(), 0)
	default:
		add(set.Exact(typ, v, now))
	}
	return out, nil
}

func intelAllow(f *intelFlags) *cobra.Command {
	var remove bool
	cmd := &cobra.Command{
		Use: "allow VALUE…", Short: "Never meet a value or what is below it, whatever lists say", Args: cobra.MinimumNArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			l, err := f.library()
			if err != nil {
				return err
			}
			for _, arg := range args {
				v, err := l.Allow(arg, remove)
				if err != nil {
					return err
				}
				verb := "allowed"
				if remove {
					verb = "no longer allowed"
				}
				if _, err := fmt.Fprintf(cmd.OutOrStdout(), "%s: %s\n", verb, terminal.Safe(v)); err != nil {
					return err
				}
			}
			return nil
		},
	}
	cmd.Flags().BoolVar(&remove, "remove", false, "take it off the allow-list")
	return cmd
}

func intelRemove(f *intelFlags) *cobra.Command {
	return &cobra.Command{
		Use: "remove SOURCE…", Short: "Forget a source with all its indicators", Args: cobra.MinimumNArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			l, err := f.library()
			if err != nil {
				return err
			}
			for _, name := range args {
				if err := l.Remove(name); err != nil {
					return err
				}
				if _, err := fmt.Fprintf(cmd.OutOrStdout(), "removed: %s\n", name); err != nil {
					return err
				}
			}
			return nil
		},
	}
}

func intelUpdate(f *intelFlags) *cobra.Command {
	var insecure bool
	var cveFile string
	cmd := &cobra.Command{
		Use: "update [SOURCE…]", Short: "Read feeds again from where they came from",
		Long: "A feed that cannot be read, is empty or has lost nine tenths of what it had leaves the old list in place; the exit code is then 2.\n" +
			"With --cve a list of vulnerabilities is checked and kept as cve.json in the data directory, for 'audit --cve'.",
		RunE: func(cmd *cobra.Command, names []string) error {
			if cveFile != "" {
				if len(names) > 0 {
					return errors.New("--cve updates the list of vulnerabilities alone: name no source with it")
				}
				return f.updateCVE(cmd.OutOrStdout(), cveFile)
			}
			l, err := f.library()
			if err != nil {
				return err
			}
			sources, err := l.Sources()
			if err != nil {
				return err
			}
			wanted := map[string]bool{}
			for _, n := range names {
				wanted[n] = true
			}
			var errs []error
			for _, s := range sources {
				if s.From == "" || (len(names) > 0 && !wanted[s.Name]) {
					continue
				}
				delete(wanted, s.Name)
				res, err := l.Update(cmd.Context(), http.DefaultTransport, s, insecure)
				if err != nil {
					errs = append(errs, err)
					continue
				}
				if err := printResult(cmd, res, f.json); err != nil {
					return err
				}
			}
			for n := range wanted {
				errs = append(errs, fmt.Errorf("there is no feed %q; 'minewarden intel list' shows the sources", n))
			}
			return errors.Join(errs...)
		},
	}
	cmd.Flags().BoolVar(&insecure, "insecure", false, "take plain http as well")
	cmd.Flags().StringVar(&cveFile, "cve", "", "list of vulnerabilities, in the form that 'audit --cve' reads")
	return cmd
}

func (f *intelFlags) updateCVE(w io.Writer, path string) error {
	in, err := os.Open(path)
	if err != nil {
		return fmt.Errorf("--cve: %w", err)
	}
	defer in.Close()
	text, err := io.ReadAll(io.LimitReader(in, cve.MaxFile+1))
	if err != nil {
		return fmt.Errorf("--cve %s: %w", path, err)
	}
	list, err := cve.Load(bytes.NewReader(text))
	if err != nil {
		return fmt.Errorf("--cve %s: %w", path, err)
	}
	dir, err := f.dir()
	if err != nil {
		return err
	}
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return err
	}
	to := filepath.Join(dir, "cve.json")
	if err := intel.Replace(to, text); err != nil {
		return err
	}
	_, err = fmt.Fprintf(w, "%s: %d vulnerabilities of %s; use it with: minewarden audit --cve %s\n", terminal.Safe(to), list.Len(), terminal.Safe(list.Date), terminal.Safe(to))
	return err
}
