package app

import (
	"fmt"
	"log/slog"

	"github.com/minewarden/minewarden"
	"github.com/minewarden/minewarden/config"
	"github.com/minewarden/minewarden/detectors"
	"github.com/minewarden/minewarden/responders"
	"github.com/minewarden/minewarden/sensors"
)

// A Module is an entry of a catalogue as people read about it.
type Module struct {
	Catalogue string // sensors, detectors, responders
	minewarden.Info
	Rules []minewarden.Rule
}

// Catalogue returns every module, and every rule by id.
func Catalogue(cfg *config.Config, log *slog.Logger) ([]Module, map[string]minewarden.Rule, error) {
	return catalogue(cfg, log, func(m detectors.Named) (minewarden.Detector, error) { return m.New(env(cfg, log, "detectors", m.Name)) })
}

func catalogue(cfg *config.Config, log *slog.Logger, detector func(detectors.Named) (minewarden.Detector, error)) ([]Module, map[string]minewarden.Rule, error) {
	var all []Module
	rules := map[string]minewarden.Rule{}
	for _, m := range append(sensors.All(), sensors.Scans()...) {
		s, err := m.New(env(cfg, log, "sensors", m.Name))
		if err != nil {
			return nil, nil, fmt.Errorf("sensors/%s: %w", m.Name, err)
		}
		all = append(all, Module{"sensors", s.Info(), nil})
	}
	for _, m := range detectors.All() {
		d, err := detector(m)
		if err != nil {
			return nil, nil, fmt.Errorf("detectors/%s: %w", m.Name, err)
		}
		all = append(all, Module{"detectors", d.Info(), d.Rules()})
		for _, r := range d.Rules() {
			rules[r.ID] = r
		}
	}
	for _, m := range responders.All() {
		r, err := m.New(env(cfg, log, "responders", m.Name))
		if err != nil {
			return nil, nil, fmt.Errorf("responders/%s: %w", m.Name, err)
		}
		all = append(all, Module{"responders", r.Info(), nil})
	}
	return all, rules, nil
}
