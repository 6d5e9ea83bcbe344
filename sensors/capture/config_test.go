package capture

import (
	"strings"
	"testing"

	"github.com/minewarden/minewarden"
)

func TestConfig(t *testing.T) {
	for name, tt := range map[string]struct {
		set  func(c *Config)
		want string
	}{
		"default":  {func(*Config) {}, ""},
		"snaplen":  {func(c *Config) { c.Snaplen = 0 }, "snaplen is 0"},
		"buffer":   {func(c *Config) { c.BufferMiB = 1 << 20 }, "buffer_mib is"},
		"flows":    {func(c *Config) { c.Flows = -1 }, "flows is -1"},
		"too many": {func(c *Config) { c.Interfaces = make([]string, maxWanted+1) }, "65 interfaces"},
	} {
		t.Run(name, func(t *testing.T) {
			_, err := New(minewarden.Env{Decode: func(c any) error { tt.set(c.(*Config)); return nil }})
			if (err == nil) != (tt.want == "") || err != nil && !strings.Contains(err.Error(), tt.want) {
				t.Errorf("error %v, want %q", err, tt.want)
			}
		})
	}
}
