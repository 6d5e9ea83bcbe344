package app

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"
	"sync/atomic"
	"time"

	"github.com/fsnotify/fsnotify"

	"github.com/minewarden/minewarden"
	"github.com/minewarden/minewarden/indicators"
)

// indicatorsDir is the folder of lists in the data directory.
const indicatorsDir = "indicators"

// quietFor is how long the folder must be quiet before it is read again: a list of a million lines takes a while to write.
const quietFor = 500 * time.Millisecond

// LoadIndicators returns the embedded pools and the lists below the data directory.
func LoadIndicators(data string) (*indicators.Set, error) {
	return indicators.Load(filepath.Join(data, indicatorsDir))
}

// liveIndicators are the indicators of a running agent: what "minewarden intel" changes counts at once.
type liveIndicators struct {
	data string
	log  *slog.Logger
	set  atomic.Pointer[indicators.Set]
}

func newLiveIndicators(data string, log *slog.Logger) (*liveIndicators, error) {
	set, err := LoadIndicators(data)
	if err != nil {
		return nil, err
	}
	l := &liveIndicators{data: data, log: log}
	l.set.Store(set)
	return l, nil
}

// Match is what the pipeline asks of each event.
func (l *liveIndicators) Match(ev *minewarden.Event) []minewarden.Match {
	return l.set.Load().Match(ev)
}

// watch reads the lists anew when they change, and tells changed, which may be nil, until ctx is done. Lists that cannot be read
// leave those in force that were.
func (l *liveIndicators) watch(ctx context.Context, changed func(*indicators.Set)) error {
	dir := filepath.Join(l.data, indicatorsDir)
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return fmt.Errorf("watch indicators: %w", err)
	}
	w, err := fsnotify.NewWatcher()
	if err != nil {
		return fmt.Errorf("watch indicators: %w", err)
	}
	defer w.Close()
	if err := w.Add(dir); err != nil {
		return fmt.Errorf("watch indicators: %w", err)
	}
	var quiet <-chan time.Time
	for {
		select {
		case <-ctx.Done():
			return nil
		case _, ok := <-w.Events:
			if !ok {
				return errors.New("watch indicators: the watch ended")
			}
			quiet = time.After(quietFor)
		case err := <-w.Errors: // an overflow: something changed
			l.log.Warn("changes of indicators were not all told", "error", err)
			quiet = time.After(quietFor)
		case <-quiet:
			quiet = nil
			l.reload(changed)
		}
	}
}

func (l *liveIndicators) reload(changed func(*indicators.Set)) {
	set, err := LoadIndicators(l.data)
	if err != nil {
		if !errors.Is(err, fs.ErrNotExist) {
			l.log.Error("changed indicators are not used", "error", err)
		}
		return
	}
	l.set.Store(set)
	l.log.Info("indicators read anew", "count", total(set))
	if changed != nil {
		changed(set)
	}
}

func total(set *indicators.Set) (n int) {
	for _, k := range set.Len() {
		n += k
	}
	return n
}
