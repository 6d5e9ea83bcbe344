package app

import (
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/minewarden/minewarden"
	"github.com/minewarden/minewarden/audits"
	"github.com/minewarden/minewarden/console"
	"github.com/minewarden/minewarden/detectors"
)

// docsFor is how long the texts stay in memory after somebody read them: they are some MiB, and seldom read.
const docsFor = 2 * time.Minute

// moduleDocs shows the catalogues to the console. It makes the modules anew when somebody asks after a while.
type moduleDocs struct {
	makers *Makers

	mu    sync.Mutex
	docs  []console.ModuleDoc
	rules []console.RuleDoc
	until *time.Timer
}

// Modules implements console.Catalogue.
func (m *moduleDocs) Modules() ([]console.ModuleDoc, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	err := m.need()
	return m.docs, err
}

// Rules implements console.Catalogue.
func (m *moduleDocs) Rules() ([]console.RuleDoc, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	err := m.need()
	return m.rules, err
}

func (m *moduleDocs) need() (err error) {
	if m.docs == nil {
		if m.docs, m.rules, err = m.load(); err != nil {
			m.docs = nil
			return err
		}
	}
	if m.until != nil {
		m.until.Stop()
	}
	m.until = time.AfterFunc(docsFor, func() {
		m.mu.Lock()
		defer m.mu.Unlock()
		m.docs, m.rules = nil, nil
	})
	return nil
}

// detectorOrEmpty makes a detector even where it is disabled: people may read about it all the same.
func (m *Makers) detectorOrEmpty(n detectors.Named) (minewarden.Detector, error) {
	if n.Name == "sigma" && m.sigma == nil {
		return n.New(env(m.cfg, m.log, "detectors", n.Name))
	}
	return m.detector(n)
}

func (m *moduleDocs) load() ([]console.ModuleDoc, []console.RuleDoc, error) {
	var docs []console.ModuleDoc
	var rules []console.RuleDoc
	add := func(catalogue string, info minewarden.Info, rs []minewarden.Rule) {
		name := catalogue + "/" + info.Name
		docs = append(docs, console.ModuleDoc{Catalogue: catalogue, Name: info.Name, Title: info.Title, Doc: info.Doc, Rules: len(rs), Disabled: m.makers.cfg.Disabled(name)})
		for _, r := range rs {
			rules = append(rules, console.RuleDoc{
				ID: r.ID, Title: r.Title, Severity: r.Severity, Technique: append([]string{}, r.Technique...), Advice: r.Advice, Why: r.Why,
				References: append([]string{}, r.References...), Module: name,
			})
		}
	}
	modules, _, err := catalogue(m.makers.cfg, m.makers.log, m.makers.detectorOrEmpty)
	if err != nil {
		return nil, nil, err
	}
	for _, x := range modules {
		add(x.Catalogue, x.Info, x.Rules)
	}
	for _, n := range audits.All() {
		a, err := n.New(minewarden.Env{Log: m.makers.log})
		if err != nil {
			return nil, nil, err
		}
		add("audits", a.Info(), a.Rules())
	}
	slices.SortFunc(rules, func(a, b console.RuleDoc) int { return strings.Compare(a.ID, b.ID) })
	return docs, rules, nil
}
