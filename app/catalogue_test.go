package app

import (
	"log/slog"
	"testing"

	"github.com/minewarden/minewarden"
	"github.com/minewarden/minewarden/audits"
	"github.com/minewarden/minewarden/config"
)

// A module that was made from another's copy is told apart by its title and page.
func TestModulesSpeakOfThemselves(t *testing.T) {
	cfg, log := config.Default(), slog.New(slog.DiscardHandler)
	all, _, err := Catalogue(cfg, log)
	if err != nil {
		t.Fatal(err)
	}
	for _, n := range audits.All() {
		a, err := n.New(minewarden.Env{Log: log})
		if err != nil {
			t.Fatal(err)
		}
		all = append(all, Module{"audits", a.Info(), a.Rules()})
	}
	titles, docs := map[string]string{}, map[string]string{}
	for _, m := range all {
		name := m.Catalogue + "/" + m.Name
		if other := titles[m.Title]; other != "" || m.Title == "" {
			t.Errorf("%s: title %q is that of %q", name, m.Title, other)
		}
		if other := docs[m.Doc]; other != "" || m.Doc == "" {
			t.Errorf("%s: its page is that of %q", name, other)
		}
		titles[m.Title], docs[m.Doc] = name, name
	}
}
