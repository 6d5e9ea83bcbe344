package app

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"sync"
	"time"

	"github.com/minewarden/minewarden"
	"github.com/minewarden/minewarden/alerts"
	"github.com/minewarden/minewarden/config"
	"github.com/minewarden/minewarden/console"
	"github.com/minewarden/minewarden/incidents"
	"github.com/minewarden/minewarden/internal/host"
	"github.com/minewarden/minewarden/internal/recording"
	"github.com/minewarden/minewarden/internal/trim"
	"github.com/minewarden/minewarden/pipeline"
	"github.com/minewarden/minewarden/store/sqlite"
)

// An Agent protects this machine: sensors, detectors, incidents, policy and responders in one process.
type Agent struct {
	cfg    *config.Config
	log    *slog.Logger
	notice Notice

	store      *sqlite.Store
	keeper     *incidents.Keeper
	desk       *Desk
	policy     *policy
	guard      *guard // nil: connections are not refused
	indicators *liveIndicators
	makers     *Makers
	rules      *Rules
	runner     *pipeline.Runner
	live       *live
	feed       *console.Feed
	front      *front
	hides      *suppressDesk
	books      *bookDesk
	alerts     *alerts.Dispatcher
	drilled    *drillDesk
	hasher     *host.Hasher
	facts      *thisHost
	record     *os.File
	watch      []string                  // names of the sensors
	wants      [minewarden.NumKinds]bool // kinds that the correlator follows
	losses     uint64                    // findings that could not be told to Notice in time
	tell       chan func()
}

// Notice is told what happens, from one goroutine; each function may be nil. It may block: what it cannot take in time is counted, and the incident has
// it all the same.
type Notice struct {
	Ready   func(sensors []string)
	Finding func(minewarden.Finding, minewarden.Rule)
	Action  func(minewarden.Incident, minewarden.Receipt)
	// Console is told where the console is. With login, the page lets whoever opens it first in as an admin.
	Console func(page string, login bool, fingerprint string)
}

// tellQueue is how many findings and actions may wait for Notice.
const tellQueue = 4096

// NewAgent makes what needs no running machine: a wrong configuration shows here. Close it.
func NewAgent(ctx context.Context, cfg *config.Config, log *slog.Logger, notice Notice) (*Agent, error) {
	a := &Agent{cfg: cfg, log: log, notice: notice, facts: newThisHost(), feed: console.NewFeed(), tell: make(chan func(), tellQueue)}
	for _, k := range incidents.Kinds() {
		a.wants[k] = true
	}
	makers, err := NewMakers(cfg, log)
	if err != nil {
		return nil, err
	}
	dets, rules, err := makers.Detectors()
	if err != nil {
		return nil, err
	}
	a.makers, a.rules = makers, rules
	watch, err := liveSensors(cfg, log)
	if err != nil {
		return nil, err
	}
	for _, s := range watch {
		a.watch = append(a.watch, s.Info().Name)
	}
	boot, err := BootID()
	if err != nil {
		return nil, err
	}
	if a.indicators, err = newLiveIndicators(cfg.Data, log); err != nil {
		return nil, err
	}
	if err := a.open(ctx); err != nil {
		return nil, err
	}
	a.guard = newGuard(cfg, a.desk, a.indicators.set.Load(), log)
	pipe := pipeline.New(pipeline.Options{
		Log: log, Boot: boot, HostName: HostName(), Host: a.facts, Detectors: dets, Match: a.indicators.Match, Country: makers.Country,
		Tap: a.taps(), Finding: a.finding,
	})
	a.runner = pipeline.NewRunner(pipe, log, time.Now, watch)
	a.live.runner = a.runner
	a.hasher = host.NewHasher("/proc", a.facts.packages, func(key minewarden.ProcessKey, img *minewarden.Image) {
		a.runner.Emit(minewarden.Event{Time: time.Now(), Sensor: "hasher", Process: &minewarden.Process{Key: key}, Data: img})
	})
	if a.front, err = newFront(ctx, a); err != nil {
		return nil, errors.Join(err, a.Close())
	}
	return a, nil
}

// open takes the data directory, the store and the responders.
func (a *Agent) open(ctx context.Context) (err error) {
	if err := os.MkdirAll(a.cfg.Data, 0o700); err != nil {
		return fmt.Errorf("make data directory: %w", err)
	}
	if a.store, err = sqlite.Open(ctx, filepath.Join(a.cfg.Data, storeFile), sqlite.Options{}); err != nil {
		return err
	}
	defer func() {
		if err != nil {
			err = errors.Join(err, a.store.Close())
		}
	}()
	if aside := a.store.Aside(); aside != "" {
		a.log.Error("the incident store was damaged; a new one was begun", "kept", aside)
	}
	hidden, err := loadSuppressions(a.cfg.Data, a.log)
	if err != nil {
		return err
	}
	a.keeper = incidents.NewKeeper(a.store, incidents.Config{
		Host: HostName(), Rules: a.rules.Fixed(), Rule: func(id string) (minewarden.Rule, bool) { return a.rules.Get(id), true },
		Suppress: hidden.Match,
	}, a.log, func(inc minewarden.Incident) {
		a.policy.offer(inc)
		a.books.Offer(inc.ID)
		a.feed.Publish("incident", inc.Row())
		a.alerts.Offer(inc)
	})
	if a.alerts, err = OpenAlerts(ctx, a.cfg, a.cfg.Version, a.log); err != nil {
		return err
	}
	a.live = newLive(a.keeper)
	if err = a.keeper.Load(ctx); err != nil {
		return err
	}
	if a.desk, err = newDesk(a.cfg, a.log, a.store, a.keeper); err != nil {
		return err
	}
	a.desk.acted = func(inc minewarden.Incident, r minewarden.Receipt) {
		a.feed.Publish("action", r)
		if a.notice.Action != nil {
			a.say(func() { a.notice.Action(inc, r) })
		}
	}
	a.hides = &suppressDesk{list: hidden, trail: a.desk.trail, log: a.log}
	a.policy = newPolicy(a.cfg.Respond, a.desk, a.log)
	if err = a.desk.recover(ctx); err != nil {
		return err
	}
	if a.books, err = newBookDesk(a); err != nil {
		return err
	}
	if a.cfg.Record != "" {
		if a.record, err = os.OpenFile(a.cfg.Record, os.O_WRONLY|os.O_CREATE|os.O_APPEND, 0o600); err != nil {
			return fmt.Errorf("record: %w", err)
		}
	}
	return nil
}

// taps see every event: the correlator follows the members of incidents, the hasher learns what runs.
func (a *Agent) taps() []func(*minewarden.Event) {
	taps := []func(*minewarden.Event){a.follow, a.hash, a.live.observe}
	if a.guard != nil {
		taps = append(taps, a.guard.observe)
	}
	if a.record != nil {
		w := recording.NewWriter(a.record)
		failed := false
		taps = append(taps, func(ev *minewarden.Event) {
			if err := w.Write(ev); err != nil && !failed {
				failed = true
				a.log.Error("events are not recorded any more", "file", a.cfg.Record, "error", err)
			}
		})
	}
	return taps
}

// follow tells the correlator of the few kinds that change who belongs to an incident.
func (a *Agent) follow(ev *minewarden.Event) {
	if a.wants[ev.Data.Kind()] {
		a.keeper.Event(ev)
	}
}

func (a *Agent) hash(ev *minewarden.Event) {
	if x, ok := ev.Data.(*minewarden.Exec); ok && !x.Kernel && x.Exe != "" {
		a.hasher.Request(ev.Process.Key, x.Exe)
	}
}

// tellHashLosses emits what the hasher could not look at as lost: a hash that is missing must not look like one that is clean.
func (a *Agent) tellHashLosses(ctx context.Context) {
	tick := time.NewTicker(10 * time.Second)
	defer tick.Stop()
	var told uint64
	for {
		select {
		case <-ctx.Done():
			return
		case now := <-tick.C:
			if dropped, _, _ := a.hasher.Losses(); dropped > told {
				if a.runner.Emit(minewarden.Event{Time: now, Sensor: "hasher", Data: &minewarden.Lost{N: dropped - told, Where: "hash queue"}}) {
					told = dropped
				}
			}
		}
	}
}

// finding runs on the pipeline's goroutine: it must not wait for a terminal or a disk.
func (a *Agent) finding(f minewarden.Finding) {
	id := a.keeper.Finding(&f)
	if id == "" { // suppressed, and counted
		return
	}
	if a.guard != nil {
		a.guard.finding(&f, a.rules.Get(f.Rule), id)
	}
	a.drilled.finding(&f)
	r := a.rules.Get(f.Rule)
	a.feed.Publish("finding", findingNews{Incident: id, Rule: f.Rule, Title: r.Title, Severity: r.Severity, Time: f.Time, Subject: f.Subject})
	if a.notice.Finding != nil {
		a.say(func() { a.notice.Finding(f, r) })
	}
}

func (a *Agent) say(f func()) {
	select {
	case a.tell <- f:
	default:
		a.losses++
	}
}

// trimAfter are the times after the start at which parts of the program that only it needed are given back.
var trimAfter = [...]time.Duration{0, 10 * time.Second, 2 * time.Minute}

func (a *Agent) trim(ctx context.Context) {
	begun := time.Now()
	for _, after := range trimAfter {
		select {
		case <-ctx.Done():
			return
		case <-time.After(time.Until(begun.Add(after))):
		}
		if _, err := trim.Program(); err != nil {
			a.log.Debug("what only the start needed stays in memory", "error", err)
			return
		}
	}
}

// Run protects the machine until ctx is done.
func (a *Agent) Run(ctx context.Context) error {
	socket, err := listenControl(a.cfg.Data)
	if err != nil {
		return err
	}
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	var all sync.WaitGroup
	all.Go(func() { a.facts.packages.Run(ctx, func(err error) { a.log.Warn("package database", "error", err) }) })
	all.Go(func() { a.hasher.Run(ctx) })
	all.Go(func() { a.policy.run(ctx) })
	all.Go(func() { a.books.run(ctx) })
	all.Go(func() { a.hides.run(ctx) })
	all.Go(func() { a.makers.Watch(ctx) })
	all.Go(func() {
		if err := a.indicators.watch(ctx, a.guard.replace); err != nil {
			a.log.Error("indicators that change are not read", "error", err)
		}
	})
	if a.guard != nil {
		all.Go(func() { a.guard.run(ctx) })
	}
	all.Go(func() { a.tellHashLosses(ctx) })
	all.Go(func() { a.front.run(ctx, socket) })
	all.Go(func() { a.watchHealth(ctx) })
	all.Go(func() { a.trim(ctx) })
	told := make(chan struct{})
	go func() {
		defer close(told)
		for f := range a.tell {
			f()
		}
	}()
	kept := make(chan error, 1)
	keep, stopKeeping := context.WithCancel(context.WithoutCancel(ctx))
	go func() { kept <- a.keeper.Run(keep) }()
	alerted := make(chan struct{})
	go func() { defer close(alerted); a.alerts.Run(keep) }()
	a.catchUp(ctx)

	if a.notice.Ready != nil {
		a.notice.Ready(a.watch)
	}
	a.runner.Run(ctx)
	cancel()
	all.Wait()
	// Whatever the last events and actions changed is saved before the end.
	stopKeeping()
	err = <-kept
	<-alerted
	close(a.tell)
	<-told
	if a.losses > 0 {
		a.log.Warn("findings were not printed because the output was too slow; the incidents have them", "findings", a.losses)
	}
	return err
}

// Close gives back what NewAgent took.
func (a *Agent) Close() error {
	var err error
	if a.front != nil {
		err = a.front.close()
	}
	err = errors.Join(err, a.desk.release(), a.alerts.Close(), a.store.Close())
	if a.record != nil {
		err = errors.Join(err, a.record.Close())
	}
	return err
}
