package console

import (
	"context"
	"net/http"

	"github.com/danielgtaylor/huma/v2"

	"github.com/minewarden/minewarden/console/access"
)

// Settings are the effective configuration. A secret is never among them: its value is "set" or "".
type Settings interface {
	Settings() []Setting
}

// A Setting is one key and its value.
type Setting struct {
	Key          string `json:"key" doc:"as the configuration file has it, parts joined by a point"`
	Section      string `json:"section,omitempty" doc:"whose it is: a module as sensors/journal, or a part as alerts; empty: the program's"`
	Value        string `json:"value"`
	DefaultValue string `json:"default_value"`
	From         string `json:"from" enum:"default,file,command" doc:"who says it; command: an option of the command line"`
	Default      bool   `json:"default" doc:"nobody says it, or what is said is the default"`
	Secret       bool   `json:"secret,omitempty"`
}

func (s *Server) settings() {
	if s.o.Settings == nil && !s.all {
		return
	}
	huma.Register(s.api, operation(access.Admin, http.MethodGet, "/settings", "settings", "The effective configuration"), func(context.Context, *struct{}) (*answer[list[Setting]], error) {
		return ok(items(s.o.Settings.Settings()), nil)
	})
}
