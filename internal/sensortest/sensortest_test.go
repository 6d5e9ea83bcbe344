package sensortest

import (
	"errors"
	"fmt"
	"runtime"
	"testing"

	"github.com/minewarden/minewarden"
)

// recorder stands in for a test, to see how it would have ended.
type recorder struct {
	testing.TB
	end string
}

func (r *recorder) Helper()               {}
func (r *recorder) Skip(...any)           { r.end = "skip"; runtime.Goexit() }
func (r *recorder) Fatal(...any)          { r.end = "fail"; runtime.Goexit() }
func (r *recorder) Fatalf(string, ...any) { r.end = "fail"; runtime.Goexit() }

func TestNeed(t *testing.T) {
	unsupported := fmt.Errorf("open a thing: %w", minewarden.ErrUnsupported)
	for _, tt := range []struct {
		name string
		ci   string
		err  error
		want string
	}{
		{"runs", "", nil, "run"},
		{"runs in CI", "true", nil, "run"},
		{"broken", "", errors.New("broken"), "fail"},
		{"unsupported in CI", "true", unsupported, "fail"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Setenv("CI", tt.ci)
			r := &recorder{end: "run"}
			done := make(chan struct{})
			go func() {
				defer close(done)
				Need(r, tt.err)
			}()
			<-done
			if r.end != tt.want {
				t.Errorf("got %s, want %s", r.end, tt.want)
			}
		})
	}
}
