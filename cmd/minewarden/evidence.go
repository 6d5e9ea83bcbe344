package main

import (
	"bytes"
	"context"
	"crypto/ed25519"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/minewarden/minewarden/app"
	"github.com/minewarden/minewarden/console"
	"github.com/minewarden/minewarden/internal/terminal"
	"github.com/minewarden/minewarden/responders/evidence/vault"
)

func newEvidence() *cobra.Command {
	var wf workFlags
	cmd := &cobra.Command{
		Use: "evidence", Short: "Collect what proves an incident, signed; list, verify and export it", Args: cobra.NoArgs,
		Long: "Evidence is kept below the data directory, readable by root alone. Each collection is signed with this machine's key; verify finds\n" +
			"any changed bit, with exit code 1. Viewing, verifying and exporting are added to its chain of custody.",
	}
	wf.add(cmd)
	cmd.AddCommand(evidenceCollect(&wf), evidenceList(&wf), evidenceVerify(&wf), evidenceExport(&wf))
	return cmd
}

func (wf *workFlags) vault() (vault.Vault, error) {
	cfg, err := app.LoadConfig(wf.config)
	if err != nil {
		return vault.Vault{}, err
	}
	cfg.Data = dataDir(wf.data, cfg)
	return app.Vault(cfg)
}

func evidenceCollect(wf *workFlags) *cobra.Command {
	var o console.Collect
	var why string
	cmd := &cobra.Command{
		Use: "collect INCIDENT", Short: "Collect executables, memory, files, sockets, containers, persistence and logs of an incident's processes", Args: cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			switch o.Memory {
			case "", "none", "exec", "whole":
			default:
				return fmt.Errorf("--memory %q: use none, exec or whole", o.Memory)
			}
			if o.Path != "" {
				path, err := filepath.Abs(o.Path)
				if err != nil {
					return fmt.Errorf("--path: %w", err)
				}
				o.Path = path
			}
			return wf.with(cmd, func(ctx context.Context, w app.Work) error {
				inc, err := w.Incident(ctx, args[0])
				if err != nil {
					return err
				}
				c, ok := w.(app.Collector)
				if !ok {
					return errors.New("evidence cannot be collected here")
				}
				r, err := c.Collect(ctx, inc.ID, o, app.Me(), why)
				if err != nil {
					return err
				}
				if err := printReceipt(cmd.OutOrStdout(), r, wf.json); err != nil {
					return err
				}
				if !r.OK {
					return errors.New("nothing was collected")
				}
				if !wf.json {
					fmt.Fprintln(cmd.ErrOrStderr(), "see 'minewarden evidence verify "+terminal.Safe(r.State["id"])+"'")
				}
				return nil
			})
		},
	}
	cmd.Flags().StringVar(&o.Memory, "memory", "", "none, exec (executable mappings without a file) or whole; without it, as configured: exec")
	cmd.Flags().BoolVar(&o.Hold, "hold", false, "let each process stand still while it is read, then go on")
	cmd.Flags().StringVar(&o.Path, "path", "", "collect this directory, file or disk as well")
	cmd.Flags().StringVar(&why, "why", "by hand", "the reason, kept with the evidence")
	return cmd
}

func evidenceList(wf *workFlags) *cobra.Command {
	return &cobra.Command{
		Use: "list", Short: "List what was collected", Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			v, err := wf.vault()
			if err != nil {
				return err
			}
			items, err := v.List()
			if err != nil {
				return err
			}
			for i := range items {
				if err := printCollection(cmd.OutOrStdout(), &items[i], wf.json); err != nil {
					return err
				}
			}
			if len(items) == 0 {
				fmt.Fprintf(cmd.ErrOrStderr(), "no evidence is kept in %s\n", v.Dir)
			}
			return nil
		},
	}
}

func printCollection(w io.Writer, i *vault.Item, asJSON bool) error {
	if asJSON {
		return terminal.JSON(w).Encode(i)
	}
	m := &i.Manifest
	state := "sealed"
	switch {
	case i.Open:
		state = "open"
	case i.Err != "":
		state = "unreadable"
	case m.Partial != "":
		state = "partial"
	}
	_, err := fmt.Fprintf(w, "%s  %s  %-10s  incident %s  %d parts, %d MiB  %s: %s\n", m.Started.Local().Format(time.DateTime), terminal.Safe(m.ID), state,
		terminal.Safe(m.Incident), len(m.Parts), i.Bytes>>20, terminal.Safe(m.Who), terminal.Safe(m.Why))
	return err
}

func evidenceVerify(wf *workFlags) *cobra.Command {
	var key string
	cmd := &cobra.Command{
		Use: "verify ID|DIR", Short: "Find any bit that was changed since it was signed, missing parts and added files", Args: cobra.ExactArgs(1),
		Long: "verify exits with 0 when all is as it was signed, with 1 when not. A folder from another machine is compared with --key, that machine's\n" +
			"keys/evidence.pub; without it, with this machine's key where it has one.",
		RunE: func(cmd *cobra.Command, args []string) error {
			v, err := wf.vault()
			if err != nil {
				return err
			}
			dir, err := v.Find(args[0], true)
			if err != nil {
				return err
			}
			own := filepath.Dir(filepath.Clean(dir)) == filepath.Clean(v.Dir)
			trusted, err := trustedKey(v, key, own)
			if err != nil {
				return err
			}
			r, err := vault.Verify(cmd.Context(), dir, trusted)
			if err != nil {
				return err
			}
			if own && r.OK() {
				if err := v.Note(dir, app.Me(), vault.Verified, fmt.Sprintf("%d parts are as they were", r.Parts)); err != nil {
					fmt.Fprintln(cmd.ErrOrStderr(), "minewarden: not in the chain of custody:", sentence(err))
				}
			}
			if err := printVerified(cmd.OutOrStdout(), dir, &r, wf.json); err != nil {
				return err
			}
			if !r.OK() {
				return errFound
			}
			return nil
		},
	}
	cmd.Flags().StringVar(&key, "key", "", "public key to compare with, a PEM file")
	return cmd
}

// trustedKey returns the key that a collection must be signed by; nil: none is known.
func trustedKey(v vault.Vault, file string, own bool) (ed25519.PublicKey, error) {
	if file != "" {
		return vault.ReadPublicKey(file)
	}
	pub, err := v.PublicKey()
	if errors.Is(err, fs.ErrNotExist) && !own {
		return nil, nil
	}
	return pub, err
}

func printVerified(w io.Writer, dir string, r *vault.Report, asJSON bool) error {
	if asJSON {
		return terminal.JSON(w).Encode(r)
	}
	var b strings.Builder
	m := &r.Manifest
	fmt.Fprintf(&b, "%s\n", terminal.Safe(dir))
	if m.ID != "" {
		fmt.Fprintf(&b, "  collected %s on %s by %s: %s\n", m.Started.Local().Format(time.DateTime), terminal.Safe(m.Host), terminal.Safe(m.Who), terminal.Safe(m.Why))
	}
	if r.Key != "" {
		known := "not compared with any other: compare its fingerprint"
		if r.Known {
			known = "known"
		}
		fmt.Fprintf(&b, "  signed by the key %s, %s\n", r.Key, known)
	}
	if r.Partial != "" {
		fmt.Fprintf(&b, "  partial: %s\n", terminal.Safe(r.Partial))
	}
	for _, s := range m.Skipped {
		fmt.Fprintf(&b, "  left out: %s: %s\n", terminal.Safe(s.What), terminal.Safe(s.Why))
	}
	for _, e := range r.Custody {
		fmt.Fprintf(&b, "  %s %s by %s %s\n", e.Time.Local().Format(time.DateTime), terminal.Safe(e.What), terminal.Safe(e.Who), terminal.Safe(e.Detail))
	}
	for _, f := range r.Faults {
		fmt.Fprintf(&b, "  CHANGED: %s\n", terminal.Safe(f))
	}
	switch {
	case !r.OK():
		b.WriteString("it is not as it was signed\n")
	case r.Expired:
		b.WriteString("its parts were removed when their time was over; the manifest is as it was signed\n")
	default:
		fmt.Fprintf(&b, "all %d parts, %d bytes, are as they were signed\n", r.Parts, r.Bytes)
	}
	_, err := io.Copy(w, bytes.NewBufferString(b.String()))
	return err
}

func evidenceExport(wf *workFlags) *cobra.Command {
	return &cobra.Command{
		Use: "export ID FILE.tar", Short: "Write a collection to one file, which verifies as well when it is unpacked", Args: cobra.ExactArgs(2),
		RunE: func(cmd *cobra.Command, args []string) (err error) {
			v, err := wf.vault()
			if err != nil {
				return err
			}
			dir, err := v.Find(args[0], false)
			if err != nil {
				return err
			}
			out, err := os.OpenFile(args[1], os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600)
			if err != nil {
				return fmt.Errorf("export evidence: %w", err)
			}
			defer func() {
				if err = errors.Join(err, out.Close()); err != nil {
					err = errors.Join(err, os.Remove(args[1]))
				}
			}()
			// The entry is in the export too.
			if err := v.Note(dir, app.Me(), vault.Exported, "to "+args[1]); err != nil {
				return err
			}
			if err := vault.Export(cmd.Context(), dir, out); err != nil {
				return err
			}
			if err := out.Sync(); err != nil {
				return fmt.Errorf("export evidence: %w", err)
			}
			fmt.Fprintln(cmd.ErrOrStderr(), "it holds whatever secrets the processes held: keep it where only those who need it can read it")
			return nil
		},
	}
}
