package app

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"net"
	"os"
	"path/filepath"
	"slices"
	"syscall"
	"time"

	"github.com/minewarden/minewarden"
	"github.com/minewarden/minewarden/config"
	"github.com/minewarden/minewarden/console"
)

// Commands reach a running agent through a socket in its data directory, which only root, or who runs the agent, can open.
const socketName = "control.sock"

// A Work is what can be asked of an agent's desk, running or not.
type Work interface {
	Incidents(ctx context.Context, q minewarden.Query) ([]minewarden.Incident, error)
	Incident(ctx context.Context, id string) (minewarden.Incident, error)
	Plan(ctx context.Context, id string) ([]minewarden.Action, error)
	Do(ctx context.Context, a minewarden.Action, who, why string) (minewarden.Receipt, error)
	Undo(ctx context.Context, id, action, who, why string) ([]minewarden.Receipt, error)
	Close(ctx context.Context, id, who, why string) (minewarden.Incident, error)
	Judge(ctx context.Context, id, verdict, who, why string) (minewarden.Incident, error)
	PlanBlock(ctx context.Context, targets []string, lasts time.Duration) (minewarden.Action, error)
	Block(ctx context.Context, targets []string, lasts time.Duration, who, why string) (minewarden.Receipt, error)
	// Records and UndoAction are for actions that no incident asked for, such as repairs; UndoAction takes any action's id.
	Records(ctx context.Context) ([]minewarden.Receipt, error)
	UndoAction(ctx context.Context, id, who, why string) (minewarden.Receipt, error)
}

var (
	_ Work = (*Desk)(nil)
	_ Work = (*client)(nil)
)

// OpenWork reaches the running agent of cfg.Data, or opens its data where none runs.
func OpenWork(ctx context.Context, cfg *config.Config, log *slog.Logger) (Work, func() error, error) {
	r := newClient(cfg.Data)
	if r.alive() {
		return r, func() error { return nil }, nil
	}
	d, done, err := OpenDesk(ctx, cfg, log)
	if _, statErr := os.Stat(filepath.Join(cfg.Data, storeFile)); err != nil && errors.Is(statErr, fs.ErrNotExist) {
		w, err := openBare(ctx, cfg, log, err)
		return w, func() error { return nil }, err
	}
	if errors.Is(err, syscall.EROFS) || errors.Is(err, fs.ErrPermission) {
		return openCopy(ctx, cfg, log, err)
	}
	if err != nil {
		return nil, nil, err
	}
	return d, done, nil
}

// listenControl takes the socket. Who has the store has the directory, so a socket file that is there is a leftover.
func listenControl(data string) (net.Listener, error) {
	path := filepath.Join(data, socketName)
	if err := os.Remove(path); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return nil, fmt.Errorf("control socket: %w", err)
	}
	old := syscall.Umask(0o177)
	l, err := net.Listen("unix", path)
	syscall.Umask(old)
	if err != nil {
		return nil, fmt.Errorf("control socket: %w", err)
	}
	return l, nil
}

// RunningConsole asks the agent of the data directory where its console is.
func RunningConsole(ctx context.Context, data string) (string, error) {
	r := newClient(data)
	if !r.alive() {
		return "", fmt.Errorf("none is running with its data in %s", data)
	}
	var o struct{ Console string }
	err := r.get(ctx, "/overview", nil, &o)
	return o.Console, err
}

// extra are sensors of logs, which many machines do not have: one that is off is broken only where the configuration asks for it.
var extra = [...]string{"journal", "logfile", "syslog"}

func asked(cfg *config.Config, sensor string) bool {
	return !slices.Contains(extra[:], sensor) || slices.Contains(cfg.Sections(), "sensors/"+sensor)
}

// RunningHealth asks the agent of the data directory how it is. What cfg asks for and is off is a fault.
func RunningHealth(ctx context.Context, cfg *config.Config, data string) ([]Check, error) {
	r := newClient(data)
	if !r.alive() {
		return nil, fmt.Errorf("none is running with its data in %s", data)
	}
	var s console.Sensors
	if err := r.get(ctx, "/sensors", nil, &s); err != nil {
		return nil, err
	}
	var checks []Check
	for _, x := range s.Items {
		c := Check{Name: "running sensor " + x.Name, OK: x.State == "running" && x.Dropped == 0, Detail: fmt.Sprintf("%s, %d events", x.State, x.Events)}
		c.Warning = x.State == "unsupported" && x.Dropped == 0 && !asked(cfg, x.Name)
		if x.Reason != "" {
			c.Detail += ": " + x.Reason
		}
		if x.Dropped > 0 {
			c.Detail += fmt.Sprintf("; %d events dropped because the pipeline was behind", x.Dropped)
		}
		checks = append(checks, c)
	}
	for _, x := range s.Detectors {
		if x.Off != "" {
			checks = append(checks, Check{Name: "running detector " + x.Name, OK: false, Detail: x.Off})
		}
	}
	checks = append(checks, Check{Name: "events lost", OK: s.Lost.Events == 0, Detail: fmt.Sprintf("%d of %d", s.Lost.Events, s.Lost.Total)})
	kept := Check{Name: "incidents", OK: s.Store.Error == "", Detail: fmt.Sprintf("%d in memory, %d changes not yet saved", s.Store.Incidents, s.Store.Unsaved)}
	if s.Store.Error != "" {
		kept.Detail += ": " + s.Store.Error
	}
	return append(checks, kept), nil
}
