// Package app wires the configuration, the catalogues and the pipeline into what the commands do: watch this machine, look at
// it once, read recordings.
package app

import (
	"fmt"
	"log/slog"
	"os"
	"time"

	"github.com/minewarden/minewarden"
	"github.com/minewarden/minewarden/config"
	"github.com/minewarden/minewarden/detectors"
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
	if err := cfg.Check(Known()); err != nil {
		return nil, fmt.Errorf("configuration %s: %w", path, err)
	}
	return cfg, nil
}

func env(cfg *config.Config, log *slog.Logger, catalogue, name string) minewarden.Env {
	return minewarden.Env{
		Log: log.With("module", catalogue+"/"+name), Root: os.DirFS("/"), Now: time.Now, Decode: cfg.Section(catalogue, name),
	}
}

// Rules finds what is always true of a finding. It is safe for concurrent use once made.
type Rules struct {
	byID map[string]minewarden.Rule
	dets []minewarden.Detector
}

// Detectors makes every detector that is not disabled, and the table of their rules.
func Detectors(cfg *config.Config, log *slog.Logger) ([]minewarden.Detector, *Rules, error) {
	rules := &Rules{byID: map[string]minewarden.Rule{}}
	for _, m := range detectors.All() {
		if cfg.Disabled("detectors/" + m.Name) {
			continue
		}
		e := env(cfg, log, "detectors", m.Name)
		e.Now = nil
		d, err := m.New(e)
		if err != nil {
			return nil, nil, fmt.Errorf("detectors/%s: %w", m.Name, err)
		}
		rules.dets = append(rules.dets, d)
		for _, r := range d.Rules() {
			if other, ok := rules.byID[r.ID]; ok && other.Title != r.Title {
				return nil, nil, fmt.Errorf("detectors/%s: rule %s exists already", m.Name, r.ID)
			}
			rules.byID[r.ID] = r
		}
	}
	return rules.dets, rules, nil
}

// Get returns the rule of a finding. A rule that is not known, which is a bug, is made up so that the finding is not lost.
func (r *Rules) Get(id string) minewarden.Rule {
	if rule, ok := r.byID[id]; ok {
		return rule
	}
	return minewarden.Rule{ID: id, Title: id, Severity: minewarden.Medium, Advice: "This rule has no text: report it as a fault of minewarden."}
}

// All returns every rule by id.
func (r *Rules) All() map[string]minewarden.Rule { return r.byID }
