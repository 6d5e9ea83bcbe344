package app

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/netip"
	"path/filepath"
	"slices"
	"sync"
	"time"

	"github.com/danielgtaylor/huma/v2"

	"github.com/minewarden/minewarden"
	"github.com/minewarden/minewarden/config"
	"github.com/minewarden/minewarden/console"
	"github.com/minewarden/minewarden/console/account"
	"github.com/minewarden/minewarden/console/web"
	"github.com/minewarden/minewarden/pipeline"
)

// sensorsEvery is how often sensors are looked at for who listens. Nobody listens: they are not looked at.
const sensorsEvery = 2 * time.Second

// Routes returns the routes that packages beside console bring, unbound: for the API's document.
func Routes() []func(huma.API) {
	return []func(huma.API){(&account.Service{}).Routes}
}

// A front is what people and programs reach the agent by: the console over TLS, and the control socket.
type front struct {
	a        *Agent
	accounts *account.Service // nil: no console is served
	server   *console.Server
	posture  *postureDesk
	drills   *drillDesk
	cert     *console.Certificate
	listener net.Listener // nil: no console is served
}

// newFront makes the server of both. A console that cannot be served, as when its port is taken, is told and is no reason to
// leave the machine unwatched.
func newFront(ctx context.Context, a *Agent) (*front, error) {
	f := &front{
		a: a, posture: newPostureDesk(ctx, a.cfg.Data, a.log, a.desk, a.feed), drills: newDrillDesk(ctx, a.makers, a.desk.trail, a.feed),
	}
	a.drilled = f.drills
	numbers, err := newMetrics(a)
	if err != nil {
		return nil, err
	}
	o := console.Options{
		Log: a.log, Version: a.cfg.Version, Incidents: a.desk, Cases: a.desk, Actions: a.desk, Receipts: a.desk, Evidence: a.desk, Overview: overview{a},
		Live: a.live, Posture: f.posture, Catalogue: &moduleDocs{makers: a.makers}, Drills: f.drills, Settings: settings{a.cfg}, Trail: trailReader{a.cfg.Data}, Feed: a.feed,
		Playbooks: a.books, Runs: a.books, DryRuns: a.books, Deadlines: a.books.deadlines, DeadlinesOf: a.books.deadlinesOf, Suppressions: a.hides,
		Reports: reportDesk{a}, Blocks: a.desk, Alerts: a.alerts, Metrics: numbers, Host: HostName(), Seen: a.desk.operatorSeen,
	}
	if a.cfg.Listen != config.Off {
		if err := f.open(ctx, &o); err != nil {
			return nil, errors.Join(err, f.close())
		}
	}
	o.At = f.base()
	f.server = console.New(o)
	return f, nil
}

// open opens what is needed for the console alone.
func (f *front) open(ctx context.Context, o *console.Options) (err error) {
	a := f.a
	if f.accounts, err = account.Open(ctx, a.cfg.Data, account.Options{Trail: a.desk.trail, Log: a.log}); err != nil {
		return err
	}
	o.Accounts, o.Web = f.accounts, web.Files()
	o.Routes = append(o.Routes, f.accounts.Routes)
	addr, err := netip.ParseAddrPort(a.cfg.Listen)
	if err != nil {
		return fmt.Errorf("listen: %w", err)
	}
	var conf console.Config
	if err := a.cfg.Part("console", &conf); err != nil {
		return err
	}
	names := append([]string{a.live.name}, conf.Names...)
	if !addr.Addr().IsUnspecified() {
		names = append(names, addr.Addr().String())
	}
	o.Outer = func(h http.Handler) http.Handler { return account.Hosts(names, h) }
	if f.cert, err = console.NewCertificate(filepath.Join(a.cfg.Data, "tls"), conf, names, a.log); err != nil {
		return err
	}
	if f.listener, err = net.Listen("tcp", a.cfg.Listen); err != nil {
		a.log.Error("no console is served; the machine is protected all the same", "error", err)
		f.listener = nil
	}
	return nil
}

func (f *front) close() error {
	var errs []error
	f.posture.end()
	f.drills.end()
	if f.listener != nil {
		if err := f.listener.Close(); !errors.Is(err, net.ErrClosed) {
			errs = append(errs, err)
		}
	}
	if f.accounts != nil {
		errs = append(errs, f.accounts.Close())
	}
	return errors.Join(errs...)
}

// run serves until ctx is done.
func (f *front) run(ctx context.Context, socket net.Listener) {
	var all sync.WaitGroup
	defer all.Wait()
	all.Go(func() { f.told(f.server.ServeSocket(ctx, socket)) })
	all.Go(func() { f.watchSensors(ctx) })
	if f.listener != nil {
		get := func(h *tls.ClientHelloInfo) (*tls.Certificate, error) { return f.cert.Get(h) }
		all.Go(func() { f.told(f.server.Serve(ctx, f.listener, get)) })
		f.announce(ctx)
	}
}

func (f *front) told(err error) {
	if err != nil {
		f.a.log.Error("the console or the control socket ended", "error", err)
	}
}

// base is where the console is; empty: none is served.
func (f *front) base() string {
	if f.listener == nil {
		return ""
	}
	return ConsoleBase(f.listener.Addr().String())
}

// ConsoleBase is the console's URL on an address. It has a name where it can: a passkey belongs to a name, and no browser gives one to
// an address.
func ConsoleBase(listen string) string {
	addr, err := netip.ParseAddrPort(listen)
	switch {
	case listen == config.Off || err != nil:
		return ""
	case addr.Addr().IsLoopback() || addr.Addr().IsUnspecified():
		return fmt.Sprintf("https://localhost:%d", addr.Port())
	}
	return "https://" + addr.String()
}

// announce says where the console is, and lets the first admin in.
func (f *front) announce(ctx context.Context) {
	if f.a.notice.Console == nil {
		return
	}
	base := f.base()
	link, first, err := f.accounts.FirstLink(ctx, account.By{Who: "minewarden", Via: "agent"})
	if err != nil {
		f.a.log.Error("no login link could be made", "error", err)
	}
	page := base + "/"
	if first {
		page = base + "/login#" + link.Token
	}
	f.a.say(func() { f.a.notice.Console(page, first, f.cert.Fingerprint()) })
}

// watchSensors tells who listens of sensors whose state changes, or that lose events.
func (f *front) watchSensors(ctx context.Context) {
	for {
		select {
		case <-ctx.Done():
			return
		case <-f.a.feed.Wake():
		}
		tick := time.NewTicker(sensorsEvery)
		before := f.a.runner.Health().Sensors
		for f.a.feed.Listening() && ctx.Err() == nil {
			select {
			case <-ctx.Done():
			case <-tick.C:
				now := f.a.runner.Health().Sensors
				for _, s := range now {
					i := slices.IndexFunc(before, func(o pipeline.SensorHealth) bool { return o.Name == s.Name })
					if i < 0 || before[i].State != s.State || before[i].Dropped != s.Dropped || before[i].Reason != s.Reason {
						f.a.feed.Publish("sensor", console.SensorHealth(s))
					}
				}
				before = now
			}
		}
		tick.Stop()
	}
}

// findingNews is what a stream tells of a finding.
type findingNews struct {
	Incident string              `json:"incident"`
	Rule     string              `json:"rule"`
	Title    string              `json:"title"`
	Severity minewarden.Severity `json:"severity"`
	Time     time.Time           `json:"time"`
	Subject  minewarden.Subject  `json:"subject"`
}

// overview implements console.Overview.
type overview struct{ a *Agent }

func (o overview) Counts(ctx context.Context) (minewarden.Counts, error) { return o.a.desk.Counts(ctx) }

func (o overview) Respond() string { return string(o.a.cfg.Respond) }

// Stolen adds up what the incidents of this month took.
func (o overview) Stolen(ctx context.Context) (console.Stolen, error) {
	i, err := o.impact(ctx)
	if err != nil {
		return console.Stolen{}, err
	}
	now := time.Now().UTC()
	return console.Stolen{
		CPUSeconds: i.CPUHours * 3600, KWh: i.KWh, Cost: i.EnergyCost, Currency: i.Prices.Currency,
		Since: time.Date(now.Year(), now.Month(), 1, 0, 0, 0, 0, time.UTC), Model: i.KWhSource,
	}, nil
}
