package sigma

import (
	"context"
	"fmt"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"
	"time"

	"github.com/fsnotify/fsnotify"
)

const (
	settle     = 300 * time.Millisecond // after the last change of a folder: editors and checkouts write in bursts
	maxWatched = 10_000                 // folders
)

// Watch reloads the rules when one of the configured folders changes, and swaps them in live. It returns when ctx ends. The
// rules in force stay until the new ones are compiled; where a folder cannot be read they stay for good, and a log line
// says so. A rule file with an error takes only its own rules out.
func (c Config) Watch(ctx context.Context, live *Live, log *slog.Logger) error {
	w, err := fsnotify.NewWatcher()
	if err != nil {
		return fmt.Errorf("watch rule folders: %w", err)
	}
	defer func() {
		if err := w.Close(); err != nil {
			log.Warn("rule folders: stop watching", "error", err)
		}
	}()
	for _, dir := range c.Rules {
		if err := watchTree(w, dir); err != nil {
			return fmt.Errorf("watch rules of %s: %w", dir, err)
		}
	}
	timer := time.NewTimer(settle) // the first load closes the gap between the set in force and the start of watching
	defer timer.Stop()
	for {
		select {
		case <-ctx.Done():
			return nil
		case ev := <-w.Events:
			if ev.Has(fsnotify.Create) {
				if info, err := os.Lstat(ev.Name); err == nil && info.IsDir() {
					if err := watchTree(w, ev.Name); err != nil {
						log.Warn("rule folder is not watched", "folder", ev.Name, "error", err)
					}
				}
			}
			if !ev.Has(fsnotify.Chmod) || ev.Op != fsnotify.Chmod {
				timer.Reset(settle)
			}
		case err := <-w.Errors:
			log.Warn("rule folders: changes were lost, all rules are read again", "error", err)
			timer.Reset(settle)
		case <-timer.C:
			set, err := c.Load(os.DirFS("/"))
			if err != nil {
				log.Error("the rules in force stay: the new ones cannot be read", "error", err)
				continue
			}
			live.Swap(set)
			log.Info("rules are in force", "rules", len(set.Rules()), "problems", len(set.Problems()))
		}
	}
}

func watchTree(w *fsnotify.Watcher, root string) error {
	return filepath.WalkDir(root, func(name string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		if !d.IsDir() {
			return nil
		}
		if len(w.WatchList()) >= maxWatched {
			return fmt.Errorf("more than %d folders", maxWatched)
		}
		return w.Add(name)
	})
}
