package console

import (
	"encoding/json"
	"net/http"

	"github.com/danielgtaylor/huma/v2"

	"github.com/minewarden/minewarden"
)

// Document returns the OpenAPI 3.1 document of all routes, with those of more.
func Document(version string, more ...func(huma.API)) ([]byte, error) {
	s := &Server{o: Options{Version: version, Routes: more}, mux: http.NewServeMux(), all: true}
	s.routes()
	doc, err := document(s.api)
	if err != nil {
		return nil, err
	}
	var v any
	if err := json.Unmarshal(doc, &v); err != nil {
		return nil, err
	}
	doc, err = json.MarshalIndent(v, "", " ")
	return append(doc, '\n'), err
}

func document(api huma.API) ([]byte, error) { return json.Marshal(api.OpenAPI()) }

// refine says of the vocabulary's types what their Go types do not: which values there are, and that no list is null.
func refine(api huma.API) {
	var severities, states []any
	for sev := minewarden.Informational; sev <= minewarden.Critical; sev++ {
		severities = append(severities, sev.String())
	}
	for _, st := range []minewarden.State{minewarden.Open, minewarden.Contained, minewarden.Closed} {
		states = append(states, string(st))
	}
	for name, schema := range api.OpenAPI().Components.Schemas.Map() {
		for key, p := range schema.Properties {
			switch {
			case p.Type == huma.TypeArray:
				p.Nullable = false
			case key == "severity" && p.Type == huma.TypeString && len(p.Enum) == 0:
				p.Enum = severities
			case key == "state" && (name == "Incident" || name == "IncidentRow"):
				p.Enum = states
			}
		}
	}
}
