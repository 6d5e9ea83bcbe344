package app

import (
	"context"
	"fmt"
	"log/slog"
	"os"
	"sort"
	"time"

	"github.com/minewarden/minewarden"
	"github.com/minewarden/minewarden/config"
	"github.com/minewarden/minewarden/internal/host"
	"github.com/minewarden/minewarden/pipeline"
	"github.com/minewarden/minewarden/sensors"
	"github.com/minewarden/minewarden/sensors/walk"
)

// ScanOptions say how to look once.
type ScanOptions struct {
	Root string        // "/" for this machine; else a mounted disk or image, of which only files are looked at
	For  time.Duration // how long to watch running processes
}

// A Scanned is the result of one look.
type Scanned struct {
	Findings []minewarden.Finding // of repeats about one subject and rule the most confident, in order of time
	Rules    *Rules
	Health   pipeline.Health
	Walk     walk.Counts
}

// Scan looks once at this machine, or at the files below a root.
func Scan(ctx context.Context, cfg *config.Config, log *slog.Logger, opt ScanOptions) (*Scanned, error) {
	st, err := os.Stat(opt.Root)
	if err != nil {
		return nil, fmt.Errorf("look at --root: %w", err)
	}
	if !st.IsDir() {
		return nil, fmt.Errorf("--root %s is not a directory", opt.Root)
	}
	live := opt.Root == "/"
	makers, err := NewMakers(cfg, log)
	if err != nil {
		return nil, err
	}
	dets, rules, err := makers.Detectors()
	if err != nil {
		return nil, err
	}
	boot, err := BootID()
	if err != nil {
		return nil, err
	}
	best := map[[2]string]minewarden.Finding{}
	opts := pipeline.Options{
		Log: log, Boot: boot, HostName: HostName(), Detectors: dets,
		Finding: func(f minewarden.Finding) {
			k := [2]string{f.Rule, f.Subject.ID}
			if old, ok := best[k]; (ok && old.Confidence >= f.Confidence) || (!ok && len(best) >= maxFindings) {
				return
			}
			best[k] = f
		},
	}
	var watch []minewarden.Sensor
	if live {
		opts.Host = newThisHost()
		if opt.For > 0 {
			if watch, err = liveSensors(cfg, log); err != nil {
				return nil, err
			}
		}
	} else {
		opts.HostName = opt.Root
	}
	opts.Country = makers.Country
	runner := pipeline.NewRunner(pipeline.New(opts), log, time.Now, watch)
	root, err := host.OpenRoot(opt.Root)
	if err != nil {
		return nil, fmt.Errorf("look at %s: %w", opt.Root, err)
	}
	defer root.Close()
	var files *walk.Walker
	for _, m := range sensors.Scans() {
		if cfg.Disabled("sensors/" + m.Name) {
			continue
		}
		e := env(cfg, log, "sensors", m.Name)
		e.Root = root
		sensor, err := m.New(e)
		if err != nil {
			return nil, fmt.Errorf("sensors/%s: %w", m.Name, err)
		}
		if w, ok := sensor.(*walk.Walker); ok {
			files = w
		}
		runner.Once(sensor)
	}
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	go func() {
		if len(watch) > 0 {
			select {
			case <-time.After(opt.For):
			case <-ctx.Done():
			}
		}
		<-runner.OnceEnded()
		cancel()
	}()
	runner.Run(ctx)
	res := &Scanned{Rules: rules, Health: runner.Health()}
	if files != nil {
		res.Walk = files.Counts()
	}
	for _, f := range best {
		res.Findings = append(res.Findings, f)
	}
	sort.Slice(res.Findings, func(i, j int) bool {
		a, b := res.Findings[i], res.Findings[j]
		if !a.Time.Equal(b.Time) {
			return a.Time.Before(b.Time)
		}
		return a.Rule+a.Subject.ID < b.Rule+b.Subject.ID
	})
	return res, nil
}
