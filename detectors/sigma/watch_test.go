package sigma

import (
	"context"
	"log/slog"
	"os"
	"path/filepath"
	"testing"
	"time"
)

// A new rule in a watched folder comes into force, and the set is never absent on the way.
func TestWatch(t *testing.T) {
	dir := t.TempDir()
	cfg := Config{Rules: []string{dir}, MinLevel: "info"}
	set, err := cfg.Load(os.DirFS("/"))
	if err != nil {
		t.Fatal(err)
	}
	live := NewLive(set)
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error, 1)
	go func() { done <- cfg.Watch(ctx, live, slog.New(slog.DiscardHandler)) }()
	rule := "title: t\nid: fresh\nlogsource: {product: p}\ndetection: {s: {f: x}, condition: s}\n"
	sub := filepath.Join(dir, "sub")
	if err := os.Mkdir(sub, 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(sub, "fresh.yml"), []byte(rule), 0o644); err != nil {
		t.Fatal(err)
	}
	for give := time.After(20 * time.Second); ; {
		if _, ok := live.Set().Rule("fresh"); ok {
			break
		}
		select {
		case err := <-done:
			t.Fatalf("watching ended: %v", err)
		case <-give:
			t.Fatalf("the rule did not come into force; problems: %v, files: %d", live.Set().Problems(), live.Set().Files())
		case <-time.After(10 * time.Millisecond):
		}
	}
	cancel()
	if err := <-done; err != nil {
		t.Error(err)
	}
}
