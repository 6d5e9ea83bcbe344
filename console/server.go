// Package console serves the API of a running agent and the browser's console over it. README.md says where a new route goes.
package console

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"net"
	"net/http"
	"time"

	"github.com/danielgtaylor/huma/v2"
	"golang.org/x/net/netutil"

	"github.com/minewarden/minewarden/console/access"
)

// Prefix is where the API begins.
const Prefix = "/api/v1"

// The bounds of what a client may take.
const (
	maxConns      = 256
	maxHeader     = 16 << 10
	maxBody       = 1 << 20
	headerTimeout = 5 * time.Second
	readTimeout   = 30 * time.Second
	writeTimeout  = 2 * time.Minute // a plan, an action or a report; streams set their own
	idleTimeout   = 2 * time.Minute
	endTimeout    = 3 * time.Second // for requests in hand when the agent ends
)

// Options are what the routes need of the running agent. Routes whose part is nil are not there.
type Options struct {
	Log       *slog.Logger
	Version   string
	Web       fs.FS                // the built browser part, with index.html; nil: the API alone
	Accounts  access.Authenticator // nil: the control socket is the only way in
	Incidents Incidents
	Cases     Cases
	Actions   Actions
	Receipts  Receipts
	Evidence  Evidence
	// Deadlines are those of all incidents; nil: nothing has any.
	Deadlines    func(context.Context) []Deadline
	DeadlinesOf  func(ctx context.Context, incidents []string) []Deadline // of some, in no order
	Overview     Overview
	Live         Live
	Posture      Posture
	Catalogue    Catalogue
	Drills       Drills
	Settings     Settings
	Trail        Trail
	Playbooks    Playbooks
	Runs         Runs
	DryRuns      DryRuns
	Suppressions Suppressions
	Reports      Reports
	Blocks       Blocks
	Alerts       Alerts
	Metrics      Metrics
	Host         string // name of this machine
	At           string // where the console is, as https://localhost:7443; empty: none is served
	Feed         *Feed
	Routes       []func(huma.API)                // of other packages; see README.md
	Seen         func(who string)                // told of each request of a person in a browser on another machine; nil: nobody
	Outer        func(http.Handler) http.Handler // around what is served over TLS; nil: nothing
}

// A Server serves one agent.
type Server struct {
	o   Options
	log *slog.Logger
	mux *http.ServeMux
	api huma.API
	all bool // every route, for the document alone
}

// New returns the server of o.
func New(o Options) *Server {
	s := &Server{o: o, log: o.Log, mux: http.NewServeMux()}
	if s.log == nil {
		s.log = slog.New(slog.DiscardHandler)
	}
	s.routes()
	return s
}

// Handler serves the API and the console.
func (s *Server) Handler() http.Handler {
	cross := http.NewCrossOriginProtection()
	cross.SetDenyHandler(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		problem(w, http.StatusForbidden, "this request came from another site")
	}))
	return s.guard(cross.Handler(s.mux))
}

// Serve serves TLS on l until ctx is done.
func (s *Server) Serve(ctx context.Context, l net.Listener, certificate func(*tls.ClientHelloInfo) (*tls.Certificate, error)) error {
	srv := s.server(ctx)
	if s.o.Outer != nil {
		srv.Handler = s.o.Outer(srv.Handler)
	}
	srv.TLSConfig = &tls.Config{MinVersion: tls.VersionTLS13, GetCertificate: certificate, NextProtos: []string{"h2", "http/1.1"}}
	return s.serve(ctx, srv, func() error { return srv.ServeTLS(netutil.LimitListener(newFair(l), maxConns), "", "") })
}

// ServeSocket serves the control socket until ctx is done. Who can open it is an admin, by the name that its process has.
func (s *Server) ServeSocket(ctx context.Context, l net.Listener) error {
	srv := s.server(ctx)
	srv.ConnContext = peerContext
	srv.Handler = named(srv.Handler)
	return s.serve(ctx, srv, func() error { return srv.Serve(l) })
}

func (s *Server) server(ctx context.Context) *http.Server {
	return &http.Server{
		Handler: s.Handler(), ReadHeaderTimeout: headerTimeout, ReadTimeout: readTimeout, WriteTimeout: writeTimeout, IdleTimeout: idleTimeout,
		MaxHeaderBytes: maxHeader, ErrorLog: slog.NewLogLogger(s.log.Handler(), slog.LevelDebug),
		BaseContext: func(net.Listener) context.Context { return context.WithoutCancel(ctx) },
	}
}

func (s *Server) serve(ctx context.Context, srv *http.Server, run func() error) error {
	srv.RegisterOnShutdown(s.o.Feed.Close) // streams end, or shutdown would wait for them
	stopped := make(chan error, 1)
	done := make(chan struct{})
	go func() {
		select {
		case <-ctx.Done():
		case <-done:
		}
		end, cancel := context.WithTimeout(context.WithoutCancel(ctx), endTimeout)
		defer cancel()
		err := srv.Shutdown(end)
		if errors.Is(err, context.DeadlineExceeded) {
			err = srv.Close()
		}
		stopped <- err
	}()
	err := run()
	close(done)
	if errors.Is(err, http.ErrServerClosed) {
		err = nil
	}
	if err = errors.Join(err, <-stopped); err != nil {
		return fmt.Errorf("serve the console: %w", err)
	}
	return nil
}
