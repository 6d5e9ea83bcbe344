package main

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"runtime/debug"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/spf13/cobra"

	"github.com/minewarden/minewarden"
	"github.com/minewarden/minewarden/audits"
	"github.com/minewarden/minewarden/audits/consul"
	"github.com/minewarden/minewarden/audits/docker"
	"github.com/minewarden/minewarden/audits/exposed"
	"github.com/minewarden/minewarden/audits/gitea"
	"github.com/minewarden/minewarden/audits/nomad"
	"github.com/minewarden/minewarden/config"
	"github.com/minewarden/minewarden/internal/cve"
	"github.com/minewarden/minewarden/posture/gate"
)

const (
	// serviceWorkers is how many services are asked at once, so that a slow one keeps few others waiting.
	serviceWorkers = 128
	// garbagePercent trades processor time for memory, for an audit runs beside what it protects: 1,000 targets in 93 MiB at most
	// instead of 109; bench/audit.
	garbagePercent = 40
)

// auditFlags are what the audit command is given.
type auditFlags struct {
	findingFlags
	sarif, diff, fix, fixTLS                 bool
	intrusive, own, all, dataGiven           bool
	token, ca, cert, key                     string
	baseline, writeBaseline, cve, root, data string
	discover                                 []string
	rate                                     int
	ports                                    []int
	timeout                                  time.Duration
}

func newAudit() *cobra.Command {
	var af auditFlags
	cmd := &cobra.Command{
		Use:   "audit [TARGET…]",
		Short: "Find the ways in: this host, services, or configuration before it is deployed",
		Long: "A target is host, nomad=URL, consul=URL, docker=URL, gitea=URL, or a PATH whose configuration files are checked. Without a target\n" +
			"it is host. redis, postgres, jenkins, ray, jupyter, selenium, registry, etcd, kubelet and kubernetes are asked one question, as\n" +
			"redis=HOST:6379: does it answer a stranger. Services are asked as a stranger would, with requests that change nothing; with a token or certificate their owner's\n" +
			"questions are asked too. What could not be looked at is told, and is never a pass.",
		RunE: func(cmd *cobra.Command, args []string) error { return runAudit(cmd, &af, args) },
	}
	af.findingFlags.add(cmd)
	f := cmd.Flags()
	f.BoolVar(&af.sarif, "sarif", false, "print SARIF 2.1.0 (for PATH targets)")
	f.BoolVar(&af.diff, "diff", false, "print the repairs as a unified diff; change nothing")
	f.BoolVar(&af.fix, "fix", false, "apply the repairs that the program can make, with a backup")
	f.BoolVar(&af.all, "all", false, "show every check, also those that pass")
	f.BoolVar(&af.intrusive, "intrusive", false, "allow probes that could change a target; each says so before")
	f.StringVar(&af.token, "token-file", "", "file with the owner's token for the services")
	f.StringVar(&af.ca, "ca", "", "PEM file of the authority that the services' certificates come from")
	f.StringVar(&af.cert, "cert", "", "PEM file of a client certificate")
	f.StringVar(&af.key, "key", "", "PEM file of its key")
	f.DurationVar(&af.timeout, "timeout", 10*time.Second, "time for one request")
	f.StringVar(&af.baseline, "baseline", "", "file of findings that are known and accepted")
	f.StringVar(&af.writeBaseline, "write-baseline", "", "write the findings of PATH targets to this file")
	f.StringVar(&af.cve, "cve", "", "file of vulnerable versions instead of the shipped list")
	f.StringVar(&af.root, "root", "/", "root of the host's files, for a mounted disk")
	f.BoolVar(&af.fixTLS, "fix-tls", false, "with --fix or --diff: also the edits that need certificates, which must be in place before")
	f.StringVar(&af.data, "data", "", "where the scores and the backups of --fix are kept (default /var/lib/minewarden, or in the home where not root)")
	f.StringSliceVar(&af.discover, "discover", nil, "find services in these address ranges (CIDR)")
	f.BoolVar(&af.own, "i-own-this", false, "allow --discover of public ranges")
	f.IntSliceVar(&af.ports, "ports", nil, "ports that --discover looks at instead of the usual ones")
	f.IntVar(&af.rate, "rate", 2000, "connections a second that --discover may open")
	cmd.MarkFlagsMutuallyExclusive("json", "sarif", "diff")
	return cmd
}

// outcome is one target's verdict by one auditor, or why there is none.
type outcome struct {
	target  minewarden.Target
	auditor string
	verdict minewarden.Verdict
	err     error
}

func runAudit(cmd *cobra.Command, af *auditFlags, args []string) error {
	p, err := af.printer(cmd.OutOrStdout())
	if err != nil {
		return err
	}
	defer debug.SetGCPercent(debug.SetGCPercent(garbagePercent))
	af.dataGiven = af.data != ""
	af.data = dataDir(af.data, config.Default())
	access, err := af.access()
	if err != nil {
		return err
	}
	auditors, err := af.auditors(newLog(cmd.ErrOrStderr(), slog.LevelWarn))
	if err != nil {
		return err
	}
	services, paths, host, err := splitTargets(args, access, af)
	if err != nil {
		return err
	}
	if len(af.discover) > 0 {
		found, err := discoverServices(cmd, af, access)
		if err != nil {
			return err
		}
		services = append(services, found...)
	} else if len(args) == 0 {
		host = true
	}
	if host {
		name := "host"
		services = append(services, minewarden.Target{Kind: minewarden.TargetHost, Name: name, Root: os.DirFS(af.root)})
	}
	var res *gate.Result
	if len(paths) > 0 {
		if res, err = af.walk(cmd.Context(), paths, auditors); err != nil {
			return err
		}
	}
	outs := auditAll(cmd.Context(), services, auditors)
	return af.report(cmd, p, auditors, outs, paths, res)
}

// access reads the credentials. Their content goes into Secret and from there to the service only.
func (af *auditFlags) access() (minewarden.ServiceAccess, error) {
	a := minewarden.ServiceAccess{Timeout: af.timeout}
	if (af.cert == "") != (af.key == "") {
		return a, errors.New("--cert and --key belong together")
	}
	for _, f := range []struct {
		name, path string
		put        func([]byte)
	}{
		{"--token-file", af.token, func(b []byte) { a.Token = minewarden.Secret(strings.TrimSpace(string(b))) }},
		{"--ca", af.ca, func(b []byte) { a.CA = b }},
		{"--cert", af.cert, func(b []byte) { a.Cert = b }},
		{"--key", af.key, func(b []byte) { a.Key = minewarden.Secret(b) }},
	} {
		if f.path == "" {
			continue
		}
		info, err := os.Stat(f.path)
		if err != nil {
			return a, fmt.Errorf("%s: %w", f.name, err)
		}
		if !info.Mode().IsRegular() || info.Size() > 1<<20 {
			return a, fmt.Errorf("%s %s: not a file of at most 1 MiB", f.name, f.path)
		}
		b, err := os.ReadFile(f.path)
		if err != nil {
			return a, fmt.Errorf("%s: %w", f.name, err)
		}
		f.put(b)
	}
	return a, nil
}

func (af *auditFlags) auditors(log *slog.Logger) ([]minewarden.Auditor, error) {
	env := minewarden.Env{Now: time.Now, Root: os.DirFS(af.root)}
	var list *cve.List
	if af.cve != "" {
		f, err := os.Open(af.cve)
		if err != nil {
			return nil, fmt.Errorf("--cve: %w", err)
		}
		defer f.Close()
		if list, err = cve.Load(f); err != nil {
			return nil, fmt.Errorf("--cve %s: %w", af.cve, err)
		}
	}
	withCVE := map[string]func(minewarden.Env, *cve.List) minewarden.Auditor{
		"nomad": nomad.NewWithCVE, "consul": consul.NewWithCVE, "docker": docker.NewWithCVE, "gitea": gitea.NewWithCVE,
	}
	var out []minewarden.Auditor
	for _, n := range audits.All() {
		env.Log = log.With("audit", n.Name)
		if make := withCVE[n.Name]; make != nil && list != nil {
			out = append(out, make(env, list))
			continue
		}
		a, err := n.New(env)
		if err != nil {
			return nil, fmt.Errorf("audit %s: %w", n.Name, err)
		}
		out = append(out, a)
	}
	return out, nil
}

// splitTargets tells services, paths and the host apart. A name before "=" that no audit has is a mistake, unless such a
// path is there.
func splitTargets(args []string, access minewarden.ServiceAccess, af *auditFlags) (services []minewarden.Target, paths []string, host bool, err error) {
	for _, arg := range args {
		product, url, ok := strings.Cut(arg, "=")
		_, statErr := os.Lstat(arg)
		switch {
		case arg == "host" && statErr != nil:
			host = true
		case ok && asked(product):
			services = append(services, minewarden.Target{Kind: minewarden.TargetService, Name: arg, Product: product, URL: url, Access: access, Intrusive: af.intrusive})
		case statErr != nil && ok:
			return nil, nil, false, fmt.Errorf("target %s: no audit is called %q, and there is no such path", arg, product)
		case statErr != nil:
			return nil, nil, false, fmt.Errorf("target: %w; write host, PRODUCT=URL or a path", statErr)
		case arg == "host":
			host = true
		default:
			paths = append(paths, filepath.Clean(arg))
		}
	}
	return services, paths, host, nil
}

// auditAll asks every auditor about every target that can be its own, several at a time, and keeps the order.
func auditAll(ctx context.Context, targets []minewarden.Target, auditors []minewarden.Auditor) []outcome {
	var outs []outcome
	for _, t := range targets {
		for _, a := range auditors {
			name := a.Info().Name
			if t.Kind == minewarden.TargetHost || t.Product == name || !isProduct(t.Product) && !isProduct(name) {
				outs = append(outs, outcome{target: t, auditor: name})
			}
		}
	}
	by := map[string]minewarden.Auditor{}
	for _, a := range auditors {
		by[a.Info().Name] = a
	}
	var wg sync.WaitGroup
	slots := make(chan struct{}, serviceWorkers)
	for i := range outs {
		wg.Add(1)
		slots <- struct{}{}
		go func() {
			defer wg.Done()
			defer func() { <-slots }()
			o := &outs[i]
			o.verdict, o.err = by[o.auditor].Audit(ctx, o.target)
		}()
	}
	wg.Wait()
	return outs
}

// isProduct tells an audit of one service: it is asked only about services of its own name.
func isProduct(name string) bool {
	switch name {
	case "nomad", "consul", "docker", "gitea":
		return true
	}
	return false
}

// asked tells a product that is asked over the network.
func asked(name string) bool {
	return isProduct(name) || slices.ContainsFunc(exposed.Services(), func(s exposed.Service) bool { return s.Name == name })
}

func (af *auditFlags) walk(ctx context.Context, paths []string, auditors []minewarden.Auditor) (*gate.Result, error) {
	opt := gate.Options{Paths: paths}
	for _, a := range auditors {
		if fa, ok := a.(minewarden.FileAuditor); ok {
			opt.Auditors = append(opt.Auditors, fa)
		}
	}
	if af.baseline != "" {
		f, err := os.Open(af.baseline)
		if err != nil {
			return nil, fmt.Errorf("--baseline: %w", err)
		}
		defer f.Close()
		if opt.Baseline, err = gate.ReadBaseline(f); err != nil {
			return nil, fmt.Errorf("--baseline %s: %w", af.baseline, err)
		}
	}
	return gate.Run(ctx, opt)
}
