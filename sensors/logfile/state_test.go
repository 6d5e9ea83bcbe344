package logfile

import (
	"bytes"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// A power cut leaves a state that is empty or cut off: that is told, and no reason to be blind from then on.
func TestDamagedStateIsBegunAnew(t *testing.T) {
	for name, text := range map[string]string{
		"empty": "", "cut": `{"files":{"/var/log/auth.log":{"open":[{"dev":1,"ino":2,`, "of another kind": `{"files":[1]}`, "too long": strings.Repeat(" ", maxState) + "{}",
	} {
		dir := t.TempDir()
		if err := os.WriteFile(filepath.Join(dir, "state.json"), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		var told bytes.Buffer
		s, err := loadState(dir, slog.New(slog.NewTextHandler(&told, nil)))
		if err != nil || s.Files == nil || len(s.Files) != 0 || !strings.Contains(told.String(), "damaged") {
			t.Errorf("%s: %v, %+v, told %q", name, err, s, &told)
		}
	}
}
