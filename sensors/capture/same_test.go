package capture

import (
	"encoding/json"
	"errors"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/minewarden/minewarden"
)

// TestSameEvents reads every capture twice: as files are, mapped and with memory used again, and as a ring or a pipe is, with events
// that somebody keeps until the end. Both must tell the same.
func TestSameEvents(t *testing.T) {
	dir := "../../../shared/data/pcap"
	if _, err := os.Stat(dir); err != nil {
		if os.Getenv("CI") == "true" {
			t.Fatalf("the shared data is missing: %v", err)
		}
		t.Skipf("the shared data is missing: %v", err)
	}
	files, events := 0, 0
	err := filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		switch filepath.Ext(path) {
		case ".pcap", ".pcapng", ".cap":
		default:
			return nil
		}
		files++
		var told []string
		wasErr := Read(t.Context(), path, func(error) {}, func(ev minewarden.Event) { told = append(told, line(t, ev)) })
		kept, err := keptEvents(t, path)
		if (wasErr == nil) != (err == nil) {
			t.Errorf("%s: %v, and with what is kept %v", path, wasErr, err)
		}
		events += len(kept)
		if len(told) != len(kept) {
			t.Errorf("%s: %d events, and %d that are kept", path, len(told), len(kept))
			return nil
		}
		for i, ev := range kept {
			if got := line(t, ev); got != told[i] {
				t.Errorf("%s, event %d:\n%s\nbut kept\n%s", path, i, told[i], got)
				return nil
			}
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	t.Logf("%d events of %d captures", events, files)
	if events == 0 {
		t.Error("no capture tells anything")
	}
}

// keptEvents reads a capture as what is no file is read, and keeps all that it tells.
func keptEvents(t *testing.T, path string) ([]minewarden.Event, error) {
	t.Helper()
	f, err := os.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	in := &input{}
	if err := in.read(f); err != nil {
		return nil, err
	}
	defer in.Close()
	fr, err := newFrameReader(in, func(error) {})
	if err != nil {
		return nil, err
	}
	var kept []minewarden.Event
	l := defaultLimits()
	l.own = true
	e := newEngine(func(ev minewarden.Event) { kept = append(kept, ev) }, l)
	for {
		var f frame
		if err := fr.next(&f); err != nil {
			e.finish()
			if errors.Is(err, io.EOF) && !errors.Is(err, io.ErrUnexpectedEOF) {
				err = nil
			}
			return kept, err
		}
		e.frame(&f)
	}
}

func line(t *testing.T, ev minewarden.Event) string {
	t.Helper()
	var b strings.Builder
	if err := json.NewEncoder(&b).Encode(ev); err != nil {
		t.Fatal(err)
	}
	return b.String()
}
