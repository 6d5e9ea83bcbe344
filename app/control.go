package app

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"log/slog"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"syscall"
	"time"

	"github.com/minewarden/minewarden"
	"github.com/minewarden/minewarden/config"
	"github.com/minewarden/minewarden/incidents"
	"github.com/minewarden/minewarden/pipeline"
)

// Commands reach a running agent through a socket in its data directory, which only root, or who runs the agent, can open.
const socketName = "control.sock"

// maxCall bounds a request or an answer: ten thousand incidents of the largest size are more than anybody lists at once.
const maxCall = 256 << 20

// A Work is what can be asked of an agent's desk, running or not.
type Work interface {
	Incidents(ctx context.Context, q minewarden.Query) ([]minewarden.Incident, error)
	Incident(ctx context.Context, id string) (minewarden.Incident, error)
	Plan(ctx context.Context, id string) ([]minewarden.Action, error)
	Do(ctx context.Context, a minewarden.Action, who, why string) (minewarden.Receipt, error)
	Undo(ctx context.Context, id, action, who string) ([]minewarden.Receipt, error)
	Close(ctx context.Context, id, who, why string) (minewarden.Incident, error)
	// Records and UndoAction are for actions that no incident asked for, such as repairs; UndoAction takes any action's id.
	Records(ctx context.Context) ([]minewarden.Receipt, error)
	UndoAction(ctx context.Context, id, who string) (minewarden.Receipt, error)
}

var (
	_ Work = (*Desk)(nil)
	_ Work = (*remote)(nil)
)

// OpenWork reaches the running agent of cfg.Data, or opens its data where none runs.
func OpenWork(ctx context.Context, cfg *config.Config, log *slog.Logger) (Work, func() error, error) {
	r := &remote{path: filepath.Join(cfg.Data, socketName)}
	if r.alive() {
		return r, func() error { return nil }, nil
	}
	d, done, err := OpenDesk(ctx, cfg, log)
	if _, statErr := os.Stat(filepath.Join(cfg.Data, storeFile)); err != nil && errors.Is(statErr, fs.ErrNotExist) {
		w, err := openBare(ctx, cfg, log, err)
		return w, func() error { return nil }, err
	}
	if err != nil {
		return nil, nil, err
	}
	return d, done, nil
}

// call is a request: the method and what it needs.
type call struct {
	ID     string            `json:"id,omitempty"`
	Action string            `json:"action,omitempty"`
	Who    string            `json:"who,omitempty"`
	Why    string            `json:"why,omitempty"`
	Query  minewarden.Query  `json:"query,omitzero"`
	Do     minewarden.Action `json:"do,omitzero"`
}

// answer is a result, or an error and whether it was "not found".
type answer struct {
	Result  json.RawMessage `json:"result,omitempty"`
	Error   string          `json:"error,omitempty"`
	Missing bool            `json:"missing,omitempty"`
}

// state is what doctor asks of a running agent.
type state struct {
	Health    pipeline.Health `json:"health"`
	Incidents int             `json:"incidents"`
	Unsaved   int             `json:"unsaved"`
	StoreErr  string          `json:"store_error,omitempty"`
	Stats     incidents.Stats `json:"stats"`
}

type control struct {
	desk     *Desk
	runner   *pipeline.Runner
	path     string
	listener net.Listener
}

// listenControl takes the socket. Who has the store has the directory, so a socket file that is there is a leftover.
func listenControl(data string, desk *Desk, runner *pipeline.Runner) (*control, error) {
	c := &control{desk: desk, runner: runner, path: filepath.Join(data, socketName)}
	if err := os.Remove(c.path); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return nil, fmt.Errorf("control socket: %w", err)
	}
	old := syscall.Umask(0o177)
	l, err := net.Listen("unix", c.path)
	syscall.Umask(old)
	if err != nil {
		return nil, fmt.Errorf("control socket: %w", err)
	}
	c.listener = l
	return c, nil
}

func (c *control) serve(ctx context.Context, log *slog.Logger) {
	mux := http.NewServeMux()
	handle := func(name string, f func(context.Context, call) (any, error)) {
		mux.HandleFunc("POST /"+name, func(w http.ResponseWriter, r *http.Request) {
			var in call
			var out any
			err := json.NewDecoder(http.MaxBytesReader(w, r.Body, maxCall)).Decode(&in)
			if err == nil {
				out, err = f(r.Context(), in)
			}
			reply(w, out, err)
		})
	}
	handle("incidents", func(ctx context.Context, in call) (any, error) { return c.desk.Incidents(ctx, in.Query) })
	handle("incident", func(ctx context.Context, in call) (any, error) { return c.desk.Incident(ctx, in.ID) })
	handle("plan", func(ctx context.Context, in call) (any, error) { return c.desk.Plan(ctx, in.ID) })
	handle("do", func(ctx context.Context, in call) (any, error) { return c.desk.Do(ctx, in.Do, in.Who, in.Why) })
	handle("undo", func(ctx context.Context, in call) (any, error) { return c.desk.Undo(ctx, in.ID, in.Action, in.Who) })
	handle("close", func(ctx context.Context, in call) (any, error) { return c.desk.Close(ctx, in.ID, in.Who, in.Why) })
	handle("records", func(ctx context.Context, _ call) (any, error) { return c.desk.Records(ctx) })
	handle("undo-action", func(ctx context.Context, in call) (any, error) { return c.desk.UndoAction(ctx, in.Action, in.Who) })
	handle("state", func(context.Context, call) (any, error) {
		k := c.desk.keeper.Stats()
		s := state{Health: c.runner.Health(), Incidents: k.Incidents, Unsaved: k.Unsaved, Stats: k.Stats}
		if k.Err != nil {
			s.StoreErr = k.Err.Error()
		}
		return s, nil
	})
	srv := &http.Server{Handler: mux, ReadHeaderTimeout: 5 * time.Second, ReadTimeout: time.Minute, ErrorLog: slog.NewLogLogger(log.Handler(), slog.LevelWarn)}
	stopped := make(chan struct{})
	go func() {
		defer close(stopped)
		<-ctx.Done()
		end, cancel := context.WithTimeout(context.WithoutCancel(ctx), 5*time.Second)
		defer cancel()
		if err := srv.Shutdown(end); err != nil {
			log.Warn("control socket", "error", err)
		}
	}()
	if err := srv.Serve(c.listener); !errors.Is(err, http.ErrServerClosed) {
		log.Error("control socket", "error", err)
	}
	<-stopped
}

func reply(w http.ResponseWriter, out any, err error) {
	var a answer
	if err == nil {
		a.Result, err = json.Marshal(out)
	}
	if err != nil {
		a = answer{Error: err.Error(), Missing: errors.Is(err, minewarden.ErrNotFound)}
	}
	w.Header().Set("Content-Type", "application/json")
	if err := json.NewEncoder(w).Encode(a); err != nil {
		return // the command is gone
	}
}

// remote is the desk of a running agent.
type remote struct{ path string }

func (r *remote) alive() bool {
	c, err := net.DialTimeout("unix", r.path, time.Second)
	if err != nil {
		return false
	}
	return c.Close() == nil
}

func (r *remote) ask(ctx context.Context, method string, in call, out any) error {
	body, err := json.Marshal(in)
	if err != nil {
		return err
	}
	client := &http.Client{Transport: &http.Transport{DisableKeepAlives: true, DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
		return (&net.Dialer{}).DialContext(ctx, "unix", r.path)
	}}}
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, "http://agent/"+method, bytes.NewReader(body))
	if err != nil {
		return err
	}
	resp, err := client.Do(req)
	if err != nil {
		return fmt.Errorf("ask the running agent: %w", err)
	}
	defer resp.Body.Close()
	var a answer
	if err := json.NewDecoder(io.LimitReader(resp.Body, maxCall)).Decode(&a); err != nil {
		return fmt.Errorf("answer of the running agent: %w", err)
	}
	switch {
	case a.Missing:
		return fmt.Errorf("%s%w", trimNotFound(a.Error), minewarden.ErrNotFound)
	case a.Error != "":
		return errors.New(a.Error)
	}
	return json.Unmarshal(a.Result, out)
}

// trimNotFound takes the sentinel's own text off a message that will be wrapped around it again.
func trimNotFound(s string) string {
	return string(bytes.TrimSuffix([]byte(s), []byte(minewarden.ErrNotFound.Error())))
}

func (r *remote) Incidents(ctx context.Context, q minewarden.Query) (out []minewarden.Incident, err error) {
	return out, r.ask(ctx, "incidents", call{Query: q}, &out)
}

func (r *remote) Incident(ctx context.Context, id string) (out minewarden.Incident, err error) {
	return out, r.ask(ctx, "incident", call{ID: id}, &out)
}

func (r *remote) Plan(ctx context.Context, id string) (out []minewarden.Action, err error) {
	return out, r.ask(ctx, "plan", call{ID: id}, &out)
}

func (r *remote) Do(ctx context.Context, a minewarden.Action, who, why string) (out minewarden.Receipt, err error) {
	return out, r.ask(ctx, "do", call{Do: a, Who: who, Why: why}, &out)
}

func (r *remote) Undo(ctx context.Context, id, action, who string) (out []minewarden.Receipt, err error) {
	return out, r.ask(ctx, "undo", call{ID: id, Action: action, Who: who}, &out)
}

func (r *remote) Close(ctx context.Context, id, who, why string) (out minewarden.Incident, err error) {
	return out, r.ask(ctx, "close", call{ID: id, Who: who, Why: why}, &out)
}

func (r *remote) Records(ctx context.Context) (out []minewarden.Receipt, err error) {
	return out, r.ask(ctx, "records", call{}, &out)
}

func (r *remote) UndoAction(ctx context.Context, id, who string) (out minewarden.Receipt, err error) {
	return out, r.ask(ctx, "undo-action", call{Action: id, Who: who}, &out)
}

// RunningHealth asks the agent of the data directory how it is.
func RunningHealth(ctx context.Context, data string) ([]Check, error) {
	r := &remote{path: filepath.Join(data, socketName)}
	if !r.alive() {
		return nil, fmt.Errorf("none is running with its data in %s", data)
	}
	var s state
	if err := r.ask(ctx, "state", call{}, &s); err != nil {
		return nil, err
	}
	var checks []Check
	for _, x := range s.Health.Sensors {
		c := Check{Name: "running sensor " + x.Name, OK: x.State == "running" && x.Dropped == 0, Detail: fmt.Sprintf("%s, %d events", x.State, x.Events)}
		if x.Reason != "" {
			c.Detail += ": " + x.Reason
		}
		if x.Dropped > 0 {
			c.Detail += fmt.Sprintf("; %d events dropped because the pipeline was behind", x.Dropped)
		}
		checks = append(checks, c)
	}
	for _, x := range s.Health.Detectors {
		if x.Off != "" {
			checks = append(checks, Check{Name: "running detector " + x.Name, OK: false, Detail: x.Off})
		}
	}
	checks = append(checks, Check{Name: "events lost", OK: s.Health.Stats.Lost == 0, Detail: fmt.Sprintf("%d of %d", s.Health.Stats.Lost, s.Health.Stats.Events)})
	kept := Check{Name: "incidents", OK: s.StoreErr == "", Detail: fmt.Sprintf("%d in memory, %d changes not yet saved", s.Incidents, s.Unsaved)}
	if s.StoreErr != "" {
		kept.Detail += ": " + s.StoreErr
	}
	return append(checks, kept), nil
}
