package console

import (
	"context"
	"encoding/json"
	"errors"
	"io"
	"net/http"
	"net/netip"
	"path"
	"reflect"
	"strings"
	"syscall"

	"github.com/danielgtaylor/huma/v2"
	"github.com/danielgtaylor/huma/v2/adapters/humago"

	"github.com/minewarden/minewarden"
	"github.com/minewarden/minewarden/console/access"
	"github.com/minewarden/minewarden/internal/terminal"
)

// routes registers every route, one file for each resource.
func (s *Server) routes() {
	s.api = s.newAPI()
	for _, group := range []func(){
		s.overview, s.incidents, s.actions, s.evidence, s.live, s.posture, s.catalogue, s.drills, s.settings, s.trail, s.playbooks, s.suppressions, s.reports, s.blocks, s.alerts, s.metrics, s.events,
	} {
		group()
	}
	for _, more := range s.o.Routes {
		more(s.api)
	}
	refine(s.api)
	s.mux.HandleFunc("/api/", func(w http.ResponseWriter, _ *http.Request) {
		problem(w, http.StatusNotFound, "there is no such route")
	})
	s.web()
}

func (s *Server) newAPI() huma.API {
	cfg := huma.DefaultConfig("minewarden", s.o.Version)
	cfg.CreateHooks = nil                  // no $schema in answers: their types are in the document
	cfg.DocsPath, cfg.SchemasPath = "", "" // a page of docs would load from other servers
	cfg.OpenAPIPath = ""                   // served as any other operation: who may not read may not read this
	cfg.RejectUnknownQueryParameters = true
	// Markup in a name stays text even where somebody puts an answer into a page as it is, and marks that reorder or hide text act nowhere.
	escaped := huma.Format{Marshal: func(w io.Writer, v any) error { return terminal.JSON(w).Encode(v) }, Unmarshal: json.Unmarshal}
	cfg.Formats = map[string]huma.Format{"application/json": escaped, "json": escaped}
	cfg.Info.Description = "What a running minewarden serves: to its console, to its commands, and to you. Lists are paged by cursor: pass next as after. " +
		"Errors are application/problem+json. A request is authenticated by the session's cookie, with X-CSRF-Token for what changes something, or by a token."
	cfg.Components.SecuritySchemes = map[string]*huma.SecurityScheme{
		"session": {Type: "apiKey", In: "cookie", Name: "__Host-mw"}, "token": {Type: "http", Scheme: "bearer"},
	}
	cfg.Components.Schemas = huma.NewMapRegistry("#/components/schemas/", schemaName)
	api := humago.NewWithPrefix(s.mux, Prefix, cfg)
	api.UseMiddleware(s.admit)
	op := operation(access.Viewer, http.MethodGet, "/openapi.json", "openapi", "This document")
	huma.Register(api, op, func(context.Context, *struct{}) (*raw, error) {
		doc, err := document(s.api)
		return &raw{Type: "application/openapi+json", Body: doc}, err
	})
	return api
}

// schemaName names a type in the document. Types of the vocabulary and of the console have their own names; those of another package
// begin with the package's, for two packages may well have a type of one name.
func schemaName(t reflect.Type, hint string) string {
	name := huma.DefaultSchemaNamer(t, hint)
	for t.Name() == "" && (t.Kind() == reflect.Pointer || t.Kind() == reflect.Slice) {
		t = t.Elem()
	}
	rest, ours := strings.CutPrefix(t.PkgPath(), module+"/")
	if !ours || rest == "console" || strings.HasPrefix(rest, "console/") || strings.Contains(t.Name(), "[") {
		return name
	}
	pkg := path.Base(rest)
	if strings.HasPrefix(strings.ToLower(name), pkg) {
		return name
	}
	return strings.ToUpper(pkg[:1]) + pkg[1:] + name
}

const module = "github.com/minewarden/minewarden"

// admit lets a request through that its operation's role allows, and no other.
func (s *Server) admit(ctx huma.Context, next func(huma.Context)) {
	need := access.Needed(ctx.Operation().Metadata)
	refuse := func(status int, detail string) {
		// The answer is written already when this fails, and the client gone.
		_ = huma.WriteErr(s.api, ctx, status, detail)
	}
	if need == access.Public {
		next(ctx)
		return
	}
	if need == 0 {
		refuse(http.StatusForbidden, "this operation is for nobody")
		return
	}
	id, ok := access.From(ctx.Context())
	if !ok {
		var err error
		if id, err = s.who(ctx); err != nil {
			status, detail := http.StatusInternalServerError, internal
			switch {
			case errors.Is(err, access.ErrAnonymous):
				status, detail = http.StatusUnauthorized, err.Error()
			case errors.Is(err, access.ErrForbidden):
				status, detail = http.StatusForbidden, err.Error()
			case errors.Is(err, access.ErrTooMany):
				status, detail = http.StatusTooManyRequests, err.Error()
			default:
				s.log.Error("cannot tell who asks", "error", err)
			}
			refuse(status, detail)
			return
		}
	}
	if s.o.Seen != nil && id.Via == "session" && elsewhere(ctx.RemoteAddr()) {
		s.o.Seen(id.Name)
	}
	if id.Role < need {
		refuse(http.StatusForbidden, "this needs the role "+need.String()+"; yours is "+id.Role.String())
		return
	}
	next(huma.WithContext(ctx, access.With(ctx.Context(), id)))
}

// elsewhere reports whether an address is of another machine: what asks from this one would ask without a network as well.
func elsewhere(remote string) bool {
	a, err := netip.ParseAddrPort(remote)
	return err == nil && !a.Addr().Unmap().IsLoopback()
}

func (s *Server) who(ctx huma.Context) (access.Identity, error) {
	if s.o.Accounts == nil {
		return access.Identity{}, access.ErrAnonymous
	}
	r, _ := humago.Unwrap(ctx)
	return s.o.Accounts.Authenticate(r)
}

// operation describes a route. Its tag is the first part of its path.
func operation(need access.Role, method, path, id, summary string) huma.Operation {
	tag, _, _ := strings.Cut(strings.TrimPrefix(path, "/"), "/")
	op := huma.Operation{
		Method: method, Path: path, OperationID: id, Summary: summary, Tags: []string{tag}, Metadata: access.Need(need),
		Description: "Needs the role " + need.String() + ".", Security: []map[string][]string{{"session": {}}, {"token": {}}},
	}
	if method != http.MethodGet {
		op.Errors = []int{http.StatusForbidden, http.StatusNotFound, http.StatusConflict, http.StatusUnprocessableEntity}
	}
	return op
}

// raw is an answer that is no JSON of a Go type.
type raw struct {
	Type        string `header:"Content-Type"`
	Disposition string `header:"Content-Disposition"`
	Body        []byte
}

// answer is what most operations return.
type answer[T any] struct{ Body T }

func ok[T any](v T, err error) (*answer[T], error) {
	if err != nil {
		return nil, err
	}
	return &answer[T]{Body: v}, nil
}

// list is the form of every list.
type list[T any] struct {
	Items []T    `json:"items" nullable:"false"`
	Next  string `json:"next,omitempty" doc:"pass it as after for the next page; absent on the last"`
}

func items[T any](all []T) list[T] {
	if all == nil {
		all = []T{}
	}
	return list[T]{Items: all}
}

// Page are the parameters of every paged list.
type Page struct {
	After string `query:"after" maxLength:"200" doc:"next of the page before"`
	Limit int    `query:"limit" minimum:"1" maximum:"500" default:"50"`
}

// fail gives an error its status. What went wrong inside is told to those who may act; others are told that it did.
func (s *Server) fail(ctx context.Context, what string, err error) error {
	var status huma.StatusError
	id, _ := access.From(ctx)
	switch {
	case err == nil:
		return nil
	case errors.As(err, &status):
		return err
	case errors.Is(err, minewarden.ErrNotFound):
		return huma.Error404NotFound(err.Error())
	case ctx.Err() != nil:
		return huma.NewError(http.StatusServiceUnavailable, "the request ended before it was answered")
	}
	s.log.Error("a request failed", "request", what, "who", id.Name, "error", err)
	if errors.Is(err, syscall.ENOSPC) || errors.Is(err, syscall.EDQUOT) || errors.Is(err, syscall.EROFS) {
		if id.Role < access.Responder {
			return huma.NewError(http.StatusInsufficientStorage, "it is not saved: nothing can be written where the agent keeps its data")
		}
		return huma.NewError(http.StatusInsufficientStorage, err.Error())
	}
	if id.Role >= access.Responder {
		return huma.Error500InternalServerError(err.Error())
	}
	return huma.Error500InternalServerError(internal)
}
