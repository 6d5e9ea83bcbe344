package app_test

import (
	"errors"
	"log/slog"
	"path/filepath"
	"runtime"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/minewarden/minewarden"
	"github.com/minewarden/minewarden/app"
	"github.com/minewarden/minewarden/internal/sensortest"
	"github.com/minewarden/minewarden/store/sqlite"
	"github.com/minewarden/minewarden/store/storetest"
)

// TestReadOnlyData looks at the incidents of a directory on a file system that takes no writes, with what SQLite still had in its log.
func TestReadOnlyData(t *testing.T) {
	dir := t.TempDir()
	s, err := sqlite.Open(t.Context(), filepath.Join(dir, "incidents.db"), sqlite.Options{})
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	for i := range 3 {
		if err := s.Put(t.Context(), storetest.Incident(i)); err != nil {
			t.Fatal(err)
		}
	}
	done := make(chan struct{})
	go func() { // the thread ends with its mounts
		defer close(done)
		runtime.LockOSThread()
		if err := unix.Unshare(unix.CLONE_NEWNS); err != nil {
			sensortest.Need(t, errors.Join(minewarden.ErrUnsupported, err))
			return
		}
		for _, m := range []struct {
			from, to string
			flags    uintptr
		}{{"", "/", unix.MS_REC | unix.MS_PRIVATE}, {dir, dir, unix.MS_BIND}, {"", dir, unix.MS_REMOUNT | unix.MS_BIND | unix.MS_RDONLY}} {
			if err := unix.Mount(m.from, m.to, "", m.flags, ""); err != nil {
				t.Errorf("mount %s: %v", m.to, err)
				return
			}
		}
		w, end, err := app.OpenWork(t.Context(), observe(dir), slog.New(slog.DiscardHandler))
		if err != nil {
			t.Error(err)
			return
		}
		all, err := w.Incidents(t.Context(), minewarden.Query{})
		if err != nil || len(all) != 3 {
			t.Errorf("%d incidents, want 3: %v", len(all), err)
		}
		if _, err := w.Incident(t.Context(), all[0].ID); err != nil {
			t.Error(err)
		}
		if _, err := w.Close(t.Context(), all[0].ID, "user ada", "no"); !errors.Is(err, unix.EROFS) {
			t.Errorf("closed where nothing can be written: %v", err)
		}
		if err := end(); err != nil {
			t.Error(err)
		}
	}()
	<-done
}
