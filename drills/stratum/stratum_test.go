package stratum

import (
	"bytes"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/minewarden/minewarden"
	"github.com/minewarden/minewarden/drills/drill"
	"github.com/minewarden/minewarden/internal/sensortest"
)

func TestMain(m *testing.M) {
	if os.Getenv(drill.Marker) != "" {
		if err := child(os.Args[1:]); err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(2)
		}
		return
	}
	os.Exit(m.Run())
}

// TestEverySession speaks in a network of its own, and finds on the wire what each dialect says in the clear.
func TestEverySession(t *testing.T) {
	sensortest.Root(t)
	for _, carrier := range Carriers() {
		t.Run(carrier, func(t *testing.T) {
			t.Parallel()
			path := filepath.Join(t.TempDir(), "x.pcap")
			err := Run(t.Context(), Config{Carriers: []string{carrier}, Sessions: 1, Lasts: 3 * time.Second, Share: 200 * time.Millisecond, Job: 300 * time.Millisecond, Seed: 7, Capture: path})
			if errors.Is(err, minewarden.ErrUnsupported) {
				sensortest.Need(t, err)
			}
			if err != nil {
				t.Fatal(err)
			}
			b, err := os.ReadFile(path)
			if err != nil {
				t.Fatal(err)
			}
			for _, want := range []string{`"method":"login"`, `"method":"submit"`, `"method":"job"`, "mining.configure", "EthereumStratum/1.0.0", "mining.set_target", "mining.submit", "eth_submitLogin", "eth_submitWork", "getblocktemplate"} {
				plain := carrier == "plain" || carrier == "socks"
				if got := bytes.Contains(b, []byte(want)); got != plain && (carrier == "tls" || plain) {
					t.Errorf("%s: on the wire is %t", want, got)
				}
			}
			if len(b) < 50_000 {
				t.Errorf("only %d bytes were captured", len(b))
			}
		})
	}
}

func TestValidate(t *testing.T) {
	good := Config{Sessions: 1, Lasts: time.Second, Share: time.Second, Job: time.Second}
	if err := good.Validate(); err != nil {
		t.Error(err)
	}
	for _, change := range []func(*Config){
		func(c *Config) { c.Dialects = []string{"x"} }, func(c *Config) { c.Carriers = []string{"x"} }, func(c *Config) { c.Sessions = 0 },
		func(c *Config) { c.Lasts = 2 * time.Hour }, func(c *Config) { c.Share = 0 }, func(c *Config) { c.Job = 0 },
	} {
		c := good
		if change(&c); c.Validate() == nil {
			t.Errorf("%+v is taken", c)
		}
	}
}

// FuzzAnswer answers whatever a client says, and reads frames of whatever bytes.
func FuzzAnswer(f *testing.F) {
	f.Add(`{"id":1,"method":"login","params":{}}`)
	f.Add(`{"id":`)
	f.Add("POST / HTTP/1.1")
	f.Fuzz(func(t *testing.T, s string) {
		for name, d := range dialects() {
			for _, answer := range d(rand.New(rand.NewPCG(1, 1))).answer(s) {
				if strings.Count(answer, "\n") > 0 && name != "template" && !strings.Contains(s, "\n") {
					t.Errorf("%s: more than a line: %q", name, answer)
				}
			}
		}
	})
}
