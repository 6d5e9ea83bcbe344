// Package app wires the configuration, the catalogues and the pipeline into what the commands do: watch this machine, look at
// it once, read recordings.
package app

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/netip"
	"os"
	"strings"
	"sync"
	"time"

	"github.com/minewarden/minewarden"
	"github.com/minewarden/minewarden/config"
	"github.com/minewarden/minewarden/console"
	"github.com/minewarden/minewarden/detectors"
	"github.com/minewarden/minewarden/detectors/sigma"
	"github.com/minewarden/minewarden/internal/geoip"
	"github.com/minewarden/minewarden/reports"
	"github.com/minewarden/minewarden/responders"
	"github.com/minewarden/minewarden/sensors"
)

// Known returns the names of all modules that can have a section in the configuration, as "sensors/ebpf".
func Known() map[string]bool {
	known := map[string]bool{}
	for _, m := range append(sensors.All(), sensors.Scans()...) {
		known["sensors/"+m.Name] = true
	}
	for _, m := range detectors.All() {
		known["detectors/"+m.Name] = true
	}
	for _, m := range responders.All() {
		known["responders/"+m.Name] = true
	}
	return known
}

// LoadConfig reads the file and checks that it names modules that exist.
func LoadConfig(path string) (*config.Config, error) {
	cfg, err := config.Load(path)
	if err != nil {
		return nil, err
	}
	if err := errors.Join(cfg.Check(Known()), checkParts(cfg)); err != nil {
		return nil, fmt.Errorf("configuration %s: %w", path, err)
	}
	return cfg, nil
}

// checkParts has the owners of top-level sections look at them, so that a mistake shows at the start and not in an emergency.
func checkParts(cfg *config.Config) error {
	report, front := reports.DefaultConfig(), console.Config{}
	_, err := alertConfig(cfg)
	_, books := playbookConfig(cfg)
	return errors.Join(books, cfg.Part("reports", &report), report.Validate(), cfg.Part("console", &front), front.Validate(), err)
}

func env(cfg *config.Config, log *slog.Logger, catalogue, name string) minewarden.Env {
	return minewarden.Env{
		Log: log.With("module", catalogue+"/"+name), Root: os.DirFS("/"), Now: time.Now, Decode: cfg.Section(catalogue, name),
	}
}

// Makers make detectors, each time afresh, for a live host or for one recording. What is costly to make is shared: the Sigma
// rules are compiled once.
type Makers struct {
	cfg      *config.Config
	log      *slog.Logger
	sigma    *sigma.Live // nil where it is disabled
	sigmaCfg sigma.Config
	// Country is nil where no database is configured.
	Country func(netip.Addr) string
}

// NewMakers reads the rules that the configuration asks for.
func NewMakers(cfg *config.Config, log *slog.Logger) (*Makers, error) {
	m := &Makers{cfg: cfg, log: log, sigmaCfg: sigma.DefaultConfig()}
	if cfg.GeoIP != "" {
		db, err := geoip.Open(cfg.GeoIP)
		if err != nil {
			return nil, fmt.Errorf("configuration: geoip: %w", err)
		}
		var once sync.Once
		m.Country = func(a netip.Addr) string {
			code, err := db.Country(a)
			if err != nil {
				once.Do(func() { log.Error("the database of countries is damaged", "file", cfg.GeoIP, "error", err) })
			}
			return code
		}
	}
	if cfg.Disabled("detectors/sigma") {
		return m, nil
	}
	e := env(cfg, log, "detectors", "sigma")
	if err := e.Config(&m.sigmaCfg); err != nil {
		return nil, err
	}
	m.sigmaCfg.Rules = append(m.sigmaCfg.Rules, cfg.SigmaRules...)
	set, err := m.sigmaCfg.Load(e.Root)
	if err != nil {
		return nil, err
	}
	m.sigma = sigma.NewLive(set)
	return m, nil
}

// Watch swaps the Sigma rules when a folder of the user changes, until ctx is done.
func (m *Makers) Watch(ctx context.Context) {
	if m.sigma == nil || len(m.sigmaCfg.Rules) == 0 {
		return
	}
	if err := m.sigmaCfg.Watch(ctx, m.sigma, m.log); err != nil && ctx.Err() == nil {
		m.log.Error("folders of Sigma rules are not watched any more", "error", err)
	}
}

// Detectors makes every detector that is not disabled, and the table of their rules.
func (m *Makers) Detectors() ([]minewarden.Detector, *Rules, error) {
	rules := &Rules{byID: map[string]minewarden.Rule{}, sigma: m.sigma}
	var dets []minewarden.Detector
	for _, named := range detectors.All() {
		if m.cfg.Disabled("detectors/" + named.Name) {
			continue
		}
		d, err := m.detector(named)
		if err != nil {
			return nil, nil, fmt.Errorf("detectors/%s: %w", named.Name, err)
		}
		dets = append(dets, d)
		if named.Name == "sigma" {
			continue // thousands, and they change: Rules.Get asks the set in force
		}
		for _, r := range d.Rules() {
			if other, ok := rules.byID[r.ID]; ok && other.Title != r.Title {
				return nil, nil, fmt.Errorf("detectors/%s: rule %s exists already", named.Name, r.ID)
			}
			rules.byID[r.ID] = r
		}
	}
	return dets, rules, nil
}

func (m *Makers) detector(named detectors.Named) (minewarden.Detector, error) {
	if named.Name == "sigma" {
		return m.sigmaCfg.Detector(m.sigma)
	}
	e := env(m.cfg, m.log, "detectors", named.Name)
	e.Now = nil
	return named.New(e)
}

// Rules finds what is always true of a finding. It is safe for concurrent use once made.
type Rules struct {
	byID  map[string]minewarden.Rule
	sigma *sigma.Live // its rules change while the agent runs
}

// Get returns the rule of a finding. A rule that is not known, which is a bug, is made up so that the finding is not lost.
func (r *Rules) Get(id string) minewarden.Rule {
	if r.sigma != nil {
		if own, ok := strings.CutPrefix(id, "sigma/"); ok {
			if rule, ok := r.sigma.Set().Rule(own); ok {
				return rule.Public()
			}
		}
	}
	if rule, ok := r.byID[id]; ok {
		return rule
	}
	return minewarden.Rule{ID: id, Title: id, Severity: minewarden.Medium, Advice: "This rule has no text: report it as a fault of minewarden."}
}

// Fixed returns the rules that do not change while the program runs: all but Sigma's.
func (r *Rules) Fixed() []minewarden.Rule {
	var all []minewarden.Rule
	for _, rule := range r.byID {
		all = append(all, rule)
	}
	return all
}
