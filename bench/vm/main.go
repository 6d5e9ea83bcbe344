// Vm measures minewarden on a real machine: a Debian that boots with its own kernel and systemd in an emulator, where clocks jump, disks fill up and
// the power fails. It prints what was seen as Markdown. README.md says how to run it.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"strings"
	"syscall"
	"time"
)

// limit bounds one scenario.
const limit = 40 * time.Minute

func main() {
	asGuest := flag.Bool("guest", false, "answer the bench; runs in the guest")
	hold := flag.Bool("hold", false, "boot a machine and keep it until interrupted")
	dir := flag.String("dir", "/var/tmp/minewarden-vm", "where image, disks and logs lie")
	flag.Parse()
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	var err error
	failed := 0
	switch {
	case *asGuest:
		err = guest()
	default:
		if err = prepare(ctx, *dir); err == nil {
			if *hold {
				err = keep(ctx, *dir)
			} else {
				failed, err = run(ctx, *dir, flag.Args())
			}
		}
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, "vm:", err)
		os.Exit(2)
	}
	if failed > 0 {
		os.Exit(1)
	}
}

// prepare builds what the guest gets, and the image if there is none.
func prepare(ctx context.Context, dir string) error {
	host := filepath.Join(dir, "host")
	if err := os.MkdirAll(host, 0o755); err != nil {
		return err
	}
	for _, c := range [][]string{
		{"go", "build", "-trimpath", "-o", filepath.Join(host, "minewarden"), "./cmd/minewarden"},
		{"go", "build", "-trimpath", "-o", filepath.Join(dir, "guest"), "./bench/vm"},
		{"gcc", "-O2", "-pthread", "-o", filepath.Join(host, "randomx"), "internal/workloads/randomx.c", "-lrandomx", "-lstdc++", "-lm"},
		{"cp", "packaging/systemd/minewarden.service", host},
	} {
		cmd := exec.CommandContext(ctx, c[0], c[1:]...)
		cmd.Env = append(os.Environ(), "CGO_ENABLED=0")
		if out, err := cmd.CombinedOutput(); err != nil {
			return fmt.Errorf("%s: %w: %s", strings.Join(c, " "), err, out)
		}
	}
	if _, err := os.Stat(filepath.Join(dir, "base.img")); !errors.Is(err, os.ErrNotExist) {
		return err
	}
	cmd := exec.CommandContext(ctx, "bench/vm/image.sh", dir)
	cmd.Stdout, cmd.Stderr = os.Stderr, os.Stderr
	if err := cmd.Run(); err != nil {
		return fmt.Errorf("make the image: %w", err)
	}
	return nil
}

// keep boots a machine for a person to look at.
func keep(ctx context.Context, dir string) (err error) {
	m, err := newMachine(ctx, dir, "hold")
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, m.unplug()) }()
	if err := m.start(ctx); err != nil {
		return err
	}
	m.conn.Close()
	fmt.Println("it answers lines of JSON at", m.path("sock"))
	<-ctx.Done()
	return nil
}

// run does the scenarios that are named, or all, and returns how many checks failed.
func run(ctx context.Context, dir string, names []string) (failed int, err error) {
	fmt.Println("| scenario | check | result | seen |")
	fmt.Println("|---|---|---|---|")
	for _, sc := range scenarios {
		if len(names) > 0 && !named(names, sc.name) {
			continue
		}
		n, err := one(ctx, dir, sc)
		if err != nil {
			return failed, fmt.Errorf("scenario %s: %w", sc.name, err)
		}
		failed += n
	}
	return failed, nil
}

func named(names []string, name string) bool {
	for _, n := range names {
		if n == name {
			return true
		}
	}
	return false
}

func one(ctx context.Context, dir string, sc scenario) (failed int, err error) {
	ctx, cancel := context.WithTimeout(ctx, limit)
	defer cancel()
	m, err := newMachine(ctx, dir, sc.name)
	if err != nil {
		return 0, err
	}
	defer func() { err = errors.Join(err, m.unplug()) }()
	b := &bench{machine: m, ctx: ctx, scenario: sc.name}
	if b.transcript, err = os.Create(m.path("txt")); err != nil {
		return 0, err
	}
	defer func() { err = errors.Join(err, b.transcript.Close()) }()
	if err := m.start(ctx); err != nil {
		return 0, err
	}
	b.try(sc.do)
	return b.failed, nil
}
