package app

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"
	"time"

	"github.com/minewarden/minewarden"
	"github.com/minewarden/minewarden/config"
	"github.com/minewarden/minewarden/incidents"
	"github.com/minewarden/minewarden/store/sqlite"
)

// A looker is the desk of a data directory that cannot be written, such as that of a disk image: incidents can be read, and nothing
// else is done.
type looker struct {
	*bare
}

var _ Work = looker{}

// openCopy opens a copy of the incidents in a temporary directory: what SQLite has in its log is to be seen as well, and reading that
// writes. cause is why the directory itself cannot be opened.
func openCopy(ctx context.Context, cfg *config.Config, log *slog.Logger, cause error) (_ Work, done func() error, err error) {
	dir, err := os.MkdirTemp("", "minewarden-read-")
	if err != nil {
		return nil, nil, errors.Join(cause, err)
	}
	defer func() {
		if err != nil {
			err = errors.Join(err, os.RemoveAll(dir))
		}
	}()
	for _, suffix := range []string{"", "-wal"} {
		if err := copyFile(filepath.Join(dir, storeFile+suffix), filepath.Join(cfg.Data, storeFile+suffix)); err != nil && (suffix == "" || !errors.Is(err, fs.ErrNotExist)) {
			return nil, nil, fmt.Errorf("%w; and no copy of the incidents could be made: %w", cause, err)
		}
	}
	st, err := sqlite.Open(ctx, filepath.Join(dir, storeFile), sqlite.Options{})
	if err != nil {
		return nil, nil, err
	}
	d := &Desk{log: log, store: st, keeper: incidents.NewKeeper(st, incidents.Config{Host: HostName()}, log, nil), offline: true}
	return looker{&bare{desk: d, missing: fmt.Errorf("%s can only be read: %w", cfg.Data, cause)}}, func() error {
		return errors.Join(st.Close(), os.RemoveAll(dir))
	}, nil
}

func copyFile(to, from string) (err error) {
	in, err := os.Open(from)
	if err != nil {
		return err
	}
	defer in.Close()
	out, err := os.OpenFile(to, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, out.Close()) }()
	_, err = io.Copy(out, in)
	return err
}

func (l looker) Incidents(ctx context.Context, q minewarden.Query) ([]minewarden.Incident, error) {
	return l.desk.Incidents(ctx, q)
}

func (l looker) Incident(ctx context.Context, id string) (minewarden.Incident, error) {
	return l.desk.Incident(ctx, id)
}

func (l looker) UndoAction(context.Context, string, string, string) (minewarden.Receipt, error) {
	return minewarden.Receipt{}, l.missing
}

func (l looker) PlanBlock(context.Context, []string, time.Duration) (minewarden.Action, error) {
	return minewarden.Action{}, l.missing
}

func (l looker) Block(context.Context, []string, time.Duration, string, string) (minewarden.Receipt, error) {
	return minewarden.Receipt{}, l.missing
}
