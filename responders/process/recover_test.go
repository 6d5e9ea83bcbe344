package process

import (
	"bufio"
	"bytes"
	"encoding/json"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"testing"
	"time"

	"github.com/minewarden/minewarden"
)

// TestRecover kills the agent at any moment of an action. Then either there is a receipt and all is as it says, or the next
// start leaves nothing frozen; a kill that began is completed.
func TestRecover(t *testing.T) {
	cg := cgroups(t)
	for i := range 24 {
		root := shell(t, "sleep 60 & sleep 60 & sleep 60 & wait")
		eventually(t, "children", func() bool { return len(group(t, root.PID)) == 4 })
		if c, ok := cg[[]string{"v1", "v2", ""}[i%3]]; ok {
			for _, s := range group(t, root.PID) {
				enter(t, c, s.PID)
			}
		}
		data := filepath.Join(t.TempDir(), "process")
		r, err := New(minewarden.Env{Data: data})
		if err != nil {
			t.Fatal(err)
		}
		op := []string{Freeze, Kill}[i/3%2]
		a := plan(t, r.(*Responder), op, incident(t, root))
		input, err := json.Marshal(a)
		if err != nil {
			t.Fatal(err)
		}
		cmd := exec.Command(os.Args[0])
		cmd.Env = append(os.Environ(), modeEnv+"=act", dataEnv+"="+data)
		cmd.Stdin = bytes.NewReader(input)
		out, err := cmd.StdoutPipe()
		if err != nil {
			t.Fatal(err)
		}
		if err := cmd.Start(); err != nil {
			t.Fatal(err)
		}
		lines := bufio.NewScanner(out)
		if !lines.Scan() || lines.Text() != "ready" {
			t.Fatalf("the agent did not start: %q", lines.Text())
		}
		time.Sleep(time.Duration(rand.IntN(45)) * time.Millisecond)
		if err := cmd.Process.Kill(); err != nil {
			t.Fatal(err)
		}
		_ = cmd.Wait() // it was killed, or had ended
		receipts, err := r.(*Responder).Recover(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		if len(receipts) > 1 {
			t.Fatalf("%d receipts of one action", len(receipts))
		}
		done := len(receipts) == 1 && receipts[0].OK
		if len(receipts) == 1 {
			t.Logf("%s: %s", op, receipts[0].Result)
		}
		for _, s := range group(t, root.PID) {
			switch {
			case op == Kill && done:
				eventually(t, "the killed end", func() bool { return len(group(t, root.PID)) == 0 })
			case op == Freeze && done:
				if len(receipts[0].State["held"]) < 10 {
					t.Error("a receipt that holds nothing")
				}
			default:
				eventually(t, "it goes on", func() bool { return !stopped(t, s) })
			}
		}
		if op == Freeze && done {
			if err := r.(*Responder).Undo(t.Context(), receipts[0]); err != nil {
				t.Error(err)
			}
		}
		for kind, c := range cg {
			if frozen, err := c.Frozen(); err != nil || frozen {
				t.Errorf("the %s cgroup is left frozen: %v", kind, err)
			}
		}
		again, err := r.(*Responder).Recover(t.Context())
		if err != nil || len(again) != len(receipts) {
			t.Errorf("a second look: %d receipts, %v", len(again), err)
		}
		if err := exec.Command("/bin/kill", "-9", "--", "-"+itoa(root.PID)).Run(); err != nil && len(group(t, root.PID)) > 0 {
			t.Error(err)
		}
	}
}

func itoa(n int32) string { return strconv.Itoa(int(n)) }
