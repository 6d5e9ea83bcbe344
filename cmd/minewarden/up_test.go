package main

import (
	"bytes"
	"context"
	"testing"
)

// TestToldToEndWhileItBegins: systemd stops the service before it is up. That is no failure.
func TestToldToEndWhileItBegins(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	cmd := newRoot()
	var out bytes.Buffer
	cmd.SetOut(&out)
	cmd.SetErr(&out)
	cmd.SetArgs([]string{"up", "--data", t.TempDir(), "--listen", "off"})
	if err := cmd.ExecuteContext(ctx); err != nil {
		t.Errorf("up = %v, want no error\n%s", err, out.String())
	}
}
