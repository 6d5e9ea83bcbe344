package capture

import (
	"context"
	"log/slog"
	"os"
	"testing"
	"time"

	"github.com/minewarden/minewarden"
	"github.com/minewarden/minewarden/sensors/capture"
)

// TestLive listens on the interface LIVE for LIVE_FOR and says how many packets came and how many the kernel dropped. live.sh
// sends them.
func TestLive(t *testing.T) {
	iface := os.Getenv("LIVE")
	if iface == "" {
		t.Skip("LIVE names no interface: run live.sh")
	}
	d, err := time.ParseDuration(os.Getenv("LIVE_FOR"))
	if err != nil {
		t.Fatal(err)
	}
	s, err := capture.New(minewarden.Env{Log: slog.Default(), Now: time.Now, Decode: func(c any) error {
		c.(*capture.Config).Interfaces = []string{iface}
		return nil
	}})
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), d)
	defer cancel()
	var packets, lost uint64
	err = s.Run(ctx, func(ev minewarden.Event) {
		switch d := ev.Data.(type) {
		case *minewarden.Flow:
			if d.State == minewarden.FlowEnd {
				packets += d.ClientPackets + d.ServerPackets
			}
		case *minewarden.Lost:
			lost += d.N
		}
	})
	if err != nil {
		t.Fatal(err)
	}
	t.Logf("%d packets, %d dropped", packets, lost)
	if lost > 0 || packets == 0 {
		t.Error("packets were dropped, or none came")
	}
}
