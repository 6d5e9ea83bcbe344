package app

import (
	"context"
	"errors"
	"fmt"
	"net/url"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/minewarden/minewarden"
	"github.com/minewarden/minewarden/alerts"
	"github.com/minewarden/minewarden/audittrail"
	"github.com/minewarden/minewarden/config"
	"github.com/minewarden/minewarden/console"
	"github.com/minewarden/minewarden/internal/beat"
	"github.com/minewarden/minewarden/playbooks"
	"github.com/minewarden/minewarden/responders/credentials"
	"github.com/minewarden/minewarden/responders/evidence"
	"github.com/minewarden/minewarden/responders/isolate"
	"github.com/minewarden/minewarden/responders/network"
	"github.com/minewarden/minewarden/responders/process"
	"github.com/minewarden/minewarden/responders/quarantine"
	"github.com/minewarden/minewarden/responders/recovery"
	"github.com/minewarden/minewarden/responders/repair"
	origin "github.com/minewarden/minewarden/responders/source"
)

// PlaybookConfig is the section "playbooks" of the configuration.
type PlaybookConfig struct {
	Dir      string `yaml:"dir"`      // of your own playbooks; empty: playbooks/library of the data directory
	Evidence bool   `yaml:"evidence"` // a playbook that starts by itself may collect evidence under the policy observe, too
}

// libraryEvery is how often the folder of playbooks is looked at for changes.
const libraryEvery = 5 * time.Second

func playbookConfig(cfg *config.Config) (PlaybookConfig, error) {
	c := PlaybookConfig{Dir: filepath.Join(cfg.Data, "playbooks", "library")}
	err := cfg.Part("playbooks", &c)
	return c, err
}

// playbookDesk is the desk as playbooks know it: one responder's plan at a time, so that a broken one stops its own steps alone.
type playbookDesk struct{ *Desk }

// Plan implements playbooks.Desk.
func (d playbookDesk) Plan(ctx context.Context, incident, responder string) ([]minewarden.Action, error) {
	r, err := d.responder(responder)
	if err != nil {
		return nil, err
	}
	inc, err := d.Incident(ctx, incident)
	if err != nil {
		return nil, err
	}
	return r.Plan(ctx, inc)
}

// bookDesk runs playbooks in the agent.
type bookDesk struct {
	*playbooks.Engine
	agent  *Agent
	config PlaybookConfig
}

var (
	_ console.Playbooks = (*bookDesk)(nil)
	_ console.Runs      = (*bookDesk)(nil)
	_ console.DryRuns   = (*bookDesk)(nil)
)

// newBookDesk reads what earlier runs left; the responders have mended by then.
func newBookDesk(a *Agent) (*bookDesk, error) {
	c, err := playbookConfig(a.cfg)
	if err != nil {
		return nil, err
	}
	b := &bookDesk{agent: a, config: c}
	all, err := playbooks.Load(c.Dir)
	if err != nil {
		a.log.Error("not every playbook can be read", "folder", c.Dir, "error", err)
	}
	b.Engine, err = playbooks.New(playbooks.Config{
		Dir: filepath.Join(a.cfg.Data, "playbooks"), Desk: playbookDesk{a.desk}, Playbooks: all, Respond: string(a.cfg.Respond), Evidence: c.Evidence,
		Log: a.log, Escalate: b.escalate, Changed: func(r playbooks.Run) { a.feed.Publish("run", r) },
		Audit: func(_ context.Context, e playbooks.Event) error { return a.desk.trail.Append(bookEntry(e)) },
	})
	if err != nil && b.Engine != nil {
		a.log.Error("not everything that playbooks left can be read", "error", err)
		err = nil
	}
	return b, err
}

func bookEntry(e playbooks.Event) audittrail.Entry {
	detail := map[string]string{"event": e.ID}
	for k, v := range e.Detail {
		detail[k] = v
	}
	return audittrail.Entry{Who: e.Who, Via: "agent", What: e.What, Target: e.Target, Why: e.Why, Detail: detail}
}

// escalate does not block: alerts keep what they cannot send.
func (b *bookDesk) escalate(x playbooks.Escalation) {
	severity := minewarden.Medium
	if x.Percent >= 100 {
		severity = minewarden.High
	}
	b.agent.feed.Publish("deadline", x)
	host := x.Host
	if host == "" {
		host = HostName()
	}
	b.agent.alerts.Tell(alerts.Notice(alerts.Deadline, x.ID, host, x.Message, severity, x.Time))
}

// run works until ctx is done.
func (b *bookDesk) run(ctx context.Context) {
	for inc, err := range b.agent.store.Rows(ctx, minewarden.Query{States: []minewarden.State{minewarden.Open, minewarden.Contained}}) {
		if err != nil {
			b.agent.log.Error("not all incidents are offered to the playbooks", "error", err)
			break
		}
		if inc.Severity >= minewarden.High || time.Since(inc.Updated) < playbooks.Stale { // others have neither deadlines nor triggers
			b.Offer(inc.ID)
		}
	}
	ended := make(chan struct{})
	go func() { defer close(ended); b.watchLibrary(ctx) }()
	if err := b.Engine.Run(ctx); err != nil {
		b.agent.log.Error("playbooks", "error", err)
	}
	<-ended
}

// watchLibrary takes up playbooks that were added or changed.
func (b *bookDesk) watchLibrary(ctx context.Context) {
	tick := time.NewTimer(beat.Next(time.Now(), libraryEvery))
	defer tick.Stop()
	seen := signature(b.config.Dir)
	for {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
			tick.Reset(beat.Next(time.Now(), libraryEvery))
		}
		now := signature(b.config.Dir)
		if now == seen {
			continue
		}
		seen = now
		all, err := playbooks.Load(b.config.Dir)
		if err != nil {
			b.agent.log.Error("not every playbook can be read", "folder", b.config.Dir, "error", err)
		}
		b.Use(all)
	}
}

// signature changes when a file of the folder does.
func signature(dir string) string {
	entries, err := os.ReadDir(dir)
	if err != nil {
		return ""
	}
	var s strings.Builder
	for _, e := range entries {
		if info, err := e.Info(); err == nil {
			fmt.Fprintln(&s, e.Name(), info.Size(), info.ModTime().UnixNano())
		}
	}
	return s.String()
}

// deadlines are those that run or were missed, for the console.
func (b *bookDesk) deadlines(context.Context) []console.Deadline {
	all := b.Deadlines("")
	out := make([]console.Deadline, 0, len(all))
	for _, d := range all {
		if d.State == "running" || d.State == "missed" {
			out = append(out, console.Deadline{Incident: d.Incident, What: d.What, Due: d.Due, State: d.State})
		}
	}
	return out
}

// Operations returns what each responder can do, by its name.
func Operations() map[string][]string {
	return map[string][]string{
		process.Name:     {process.Freeze, process.Kill},
		evidence.Name:    {evidence.Collect},
		network.Name:     {network.Block, network.Offline},
		isolate.Name:     {isolate.Isolate, isolate.Release},
		quarantine.Name:  {quarantine.Op},
		credentials.Name: {credentials.OpExpire, credentials.OpLock, credentials.OpRevoke, credentials.OpKnownHosts, credentials.OpRotate},
		recovery.Name:    {recovery.VerifyPackage, recovery.RestoreFile, recovery.CheckUnit},
		repair.Name:      nil, // asked for by a failed check, not by an incident
		origin.Name: {
			origin.OpStopJob, origin.OpDeregisterService, origin.OpPauseContainer, origin.OpStopContainer, origin.OpRemoveContainer, origin.OpDisableHook,
			origin.OpDisableCron, origin.OpDisableUnit, origin.OpRemovePreload, origin.OpRemoveKey, origin.OpCleanProfile,
		},
	}
}

// CheckPlaybook says which steps ask for what no responder does.
func CheckPlaybook(p *playbooks.Playbook) error {
	ops := Operations()
	var errs []error
	for _, s := range p.Steps {
		if s.Action == nil {
			continue
		}
		known, ok := ops[s.Action.Responder]
		switch {
		case !ok:
			errs = append(errs, fmt.Errorf("step %q: there is no responder %s", s.ID, s.Action.Responder))
		case !slices.Contains(known, s.Action.Op):
			errs = append(errs, fmt.Errorf("step %q: responder %s does not %s; it does %s", s.ID, s.Action.Responder, s.Action.Op, strings.Join(known, ", ")))
		}
	}
	return errors.Join(errs...)
}

// PlaybookDir returns the folder of a configuration's own playbooks.
func PlaybookDir(cfg *config.Config) (string, error) {
	c, err := playbookConfig(cfg)
	return c.Dir, err
}

// A Books runs playbooks: the running agent does.
type Books interface {
	Start(ctx context.Context, incident, playbook, who, why string) (playbooks.Run, error)
	DryRun(ctx context.Context, incident, playbook string) ([]playbooks.Preview, error)
	Runs(ctx context.Context, incident string) ([]playbooks.Run, error)
	Decide(ctx context.Context, run, step, decision, who, note string) (playbooks.Run, error)
}

// OpenBooks reaches the running agent. A run takes days: without an agent nobody would go on with it.
func OpenBooks(cfg *config.Config) (Books, error) {
	c := newClient(cfg.Data)
	if !c.alive() {
		return nil, fmt.Errorf("no agent is running with its data in %s: 'minewarden up' runs playbooks", cfg.Data)
	}
	return books{c}, nil
}

// books is the running agent.
type books struct{ *client }

func escape(part string) string { return url.PathEscape(part) }

func (c books) start(ctx context.Context, incident, playbook, who, why string, dry bool) (run playbooks.Run, all []playbooks.Preview, err error) {
	var out struct {
		Run     *playbooks.Run
		Preview []playbooks.Preview
	}
	in := map[string]any{"playbook": playbook, "dry_run": dry}
	if why != "" {
		in["why"] = why
	}
	err = c.post(ctx, "/incidents/"+escape(incident)+"/runs", in, &out, who)
	if out.Run != nil {
		run = *out.Run
	}
	return run, out.Preview, err
}

// Start implements Books.
func (c books) Start(ctx context.Context, incident, playbook, who, why string) (playbooks.Run, error) {
	r, _, err := c.start(ctx, incident, playbook, who, why, false)
	return r, err
}

// DryRun implements Books.
func (c books) DryRun(ctx context.Context, incident, playbook string) ([]playbooks.Preview, error) {
	_, all, err := c.start(ctx, incident, playbook, "", "", true)
	return all, err
}

// Runs implements Books.
func (c books) Runs(ctx context.Context, incident string) ([]playbooks.Run, error) {
	var out struct{ Items []playbooks.Run }
	path := "/runs"
	if incident != "" {
		path = "/incidents/" + escape(incident) + "/runs"
	}
	err := c.get(ctx, path, nil, &out)
	return out.Items, err
}

// Decide implements Books.
func (c books) Decide(ctx context.Context, run, step, decision, who, note string) (out playbooks.Run, err error) {
	in := map[string]any{"decision": decision}
	if note != "" {
		in["note"] = note
	}
	path := "/runs/" + escape(run) + "/decision"
	if step != "" {
		path = "/runs/" + escape(run) + "/steps/" + escape(step)
	}
	return out, c.post(ctx, path, in, &out, who)
}
