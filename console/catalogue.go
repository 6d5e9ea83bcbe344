package console

import (
	"context"
	"net/http"
	"slices"

	"github.com/danielgtaylor/huma/v2"

	"github.com/minewarden/minewarden"
	"github.com/minewarden/minewarden/console/access"
	"github.com/minewarden/minewarden/internal/chinese"
)

// Catalogue is what minewarden is made of.
type Catalogue interface {
	Modules() ([]ModuleDoc, error)
	Rules() ([]RuleDoc, error)
}

// ModuleDoc is a module as people read about it.
type ModuleDoc struct {
	Catalogue string `json:"catalogue" enum:"sensors,detectors,audits,responders"`
	Name      string `json:"name"`
	Title     string `json:"title"`
	Doc       string `json:"doc,omitempty" doc:"Markdown; only when one module is asked for"`
	Rules     int    `json:"rules"`
	Disabled  bool   `json:"disabled,omitempty"`
	// Untranslated is of the language that was asked for.
	Untranslated int `json:"untranslated,omitempty" doc:"paragraphs of doc that are English still"`
}

// RuleDoc is what is always true of a finding.
type RuleDoc struct {
	ID         string              `json:"id"`
	Title      string              `json:"title"`
	Severity   minewarden.Severity `json:"severity"`
	Technique  []string            `json:"technique" nullable:"false" doc:"ATT&CK"`
	Advice     string              `json:"advice,omitempty"`
	Why        string              `json:"why,omitempty"`
	References []string            `json:"references" nullable:"false"`
	Module     string              `json:"module" doc:"as detectors/stratum"`
}

func (s *Server) catalogue() {
	if s.o.Catalogue == nil && !s.all {
		return
	}
	read := func(path, id, summary string) huma.Operation {
		return operation(access.Viewer, http.MethodGet, path, id, summary)
	}
	type in struct {
		Catalogue string `query:"catalogue" enum:"sensors,detectors,audits,responders"`
		Language
	}
	huma.Register(s.api, read("/modules", "modules", "What minewarden is made of"), func(ctx context.Context, in *in) (*answer[list[ModuleDoc]], error) {
		all, err := s.o.Catalogue.Modules()
		var some []ModuleDoc
		for _, m := range all {
			if in.Catalogue == "" || m.Catalogue == in.Catalogue {
				m.Doc = ""
				some = append(some, m.in(in.Lang))
			}
		}
		return ok(items(some), s.fail(ctx, "list modules", err))
	})
	type one struct {
		Catalogue string `path:"catalogue" maxLength:"32"`
		Name      string `path:"name" maxLength:"64"`
		Language
	}
	huma.Register(s.api, read("/modules/{catalogue}/{name}", "module", "How a module works, and what it misses"), func(ctx context.Context, in *one) (*answer[ModuleDoc], error) {
		all, err := s.o.Catalogue.Modules()
		if err != nil {
			return nil, s.fail(ctx, "list modules", err)
		}
		for _, m := range all {
			if m.Catalogue == in.Catalogue && m.Name == in.Name {
				return ok(m.in(in.Lang), nil)
			}
		}
		return nil, huma.Error404NotFound("there is no such module")
	})
	huma.Register(s.api, read("/rules", "rules", "What findings can say"), func(ctx context.Context, in *Language) (*answer[list[RuleDoc]], error) {
		all, err := s.o.Catalogue.Rules()
		if in.Lang == "zh" {
			all = inChinese(all)
		}
		return ok(items(all), s.fail(ctx, "list rules", err))
	})
	huma.Register(s.api, read("/texts", "texts", "What actions, playbooks, drills and sensors say, in another language"), func(_ context.Context, in *Language) (*answer[list[chinese.Pattern]], error) {
		if in.Lang != "zh" {
			return ok(items[chinese.Pattern](nil), nil)
		}
		return ok(items(chinese.Texts()), nil)
	})
}

// Language is the parameter of what people read. Its name is exported because only then its fields are parameters.
type Language struct {
	Lang string `query:"lang" enum:"en,zh" default:"en" doc:"of titles and texts; what has no translation stays English"`
}

// in returns a module in a language.
func (m ModuleDoc) in(lang string) ModuleDoc {
	if lang == "zh" {
		m.Title, _ = chinese.Text(m.Title)
		if m.Doc != "" {
			m.Doc, m.Untranslated = chinese.Doc(m.Doc)
		}
	}
	return m
}

// inChinese returns copies: the catalogue's own stay English.
func inChinese(all []RuleDoc) []RuleDoc {
	all = slices.Clone(all)
	for i := range all {
		if title, advice, ok := chinese.Rule(all[i].ID); ok {
			all[i].Title, all[i].Advice = title, advice
		}
	}
	return all
}
