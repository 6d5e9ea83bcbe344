package source

import (
	"encoding/json"
	"fmt"
	"io"
	"maps"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/minewarden/minewarden"
)

// TestSystemd tells a stand-in for systemctl, which keeps what is active in a file and writes down what it was asked.
func TestSystemd(t *testing.T) {
	dir := makeTree(t)
	tool := t.TempDir()
	script := fmt.Sprintf(`#!/bin/sh
cd %q || exit 9
echo "$*" >> asked
case "$1" in
is-active) [ -e "active-$3" ] ;;
stop) rm -f "active-$2" ;;
start) : > "active-$2" ;;
daemon-reload) ;;
*) exit 8 ;;
esac
`, tool)
	for name, text := range map[string]string{"systemctl": script, "active-syshealth.service": ""} {
		if err := os.WriteFile(tool+"/"+name, []byte(text), 0o755); err != nil {
			t.Fatal(err)
		}
	}
	r := newSource(t, dir, t.TempDir(), func(c *Config) { c.Systemctl = tool + "/systemctl" })
	r.systemd = func() bool { return true }
	before := snapshot(t, dir)
	receipt, err := r.Do(t.Context(), one(t, r, incident(), OpDisableUnit, "/etc/systemd/system/syshealth.service"))
	if err != nil || !receipt.OK {
		t.Fatal(err, receipt)
	}
	if _, err := os.Stat(tool + "/active-syshealth.service"); err == nil {
		t.Error("the unit was not stopped")
	}
	if err := r.Undo(t.Context(), receipt); err != nil {
		t.Fatal(err)
	}
	if _, err := os.Stat(tool + "/active-syshealth.service"); err != nil {
		t.Error("the unit was not started again")
	}
	if diff := cmp.Diff(before, snapshot(t, dir)); diff != "" {
		t.Error(diff)
	}
	asked, err := os.ReadFile(tool + "/asked")
	want := "is-active --quiet syshealth.service\ndaemon-reload\nstop syshealth.service\ndaemon-reload\nstart syshealth.service\n"
	if err != nil || string(asked) != want {
		t.Errorf("systemctl was asked (-want +got):\n%s", cmp.Diff(want, string(asked)))
	}
}

// TestSystemdFails ends with the unit's links either there or not, and the next try takes it from there.
func TestSystemdFails(t *testing.T) {
	dir := makeTree(t)
	tool := t.TempDir() + "/systemctl"
	if err := os.WriteFile(tool, []byte("#!/bin/sh\n[ \"$1\" = is-active ]\n"), 0o755); err != nil {
		t.Fatal(err)
	}
	data := t.TempDir()
	r := newSource(t, dir, data, func(c *Config) { c.Systemctl = tool })
	r.systemd = func() bool { return true }
	before := snapshot(t, dir)
	a := one(t, r, incident(), OpDisableUnit, "/etc/systemd/system/syshealth.service")
	if receipt, err := r.Do(t.Context(), a); err == nil {
		t.Errorf("systemctl failed, but %+v", receipt)
	}
	if err := os.WriteFile(tool, []byte("#!/bin/sh\nexit 0\n"), 0o755); err != nil {
		t.Fatal(err)
	}
	receipts, err := r.Recover(t.Context())
	if err != nil || len(receipts) != 1 || !receipts[0].OK {
		t.Fatalf("Recover = %+v, %v", receipts, err)
	}
	if err := r.Undo(t.Context(), receipts[0]); err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(content(before), content(snapshot(t, dir))); diff != "" {
		t.Error(diff)
	}
}

const (
	victimEnv = "MINEWARDEN_TEST_KILLED_TREE"
	kills     = 40
)

// TestKilled does and undoes actions in a process that is ended by SIGKILL at random moments. Each time the next start knows
// what became of them, and undo leaves the tree as it was.
func TestKilled(t *testing.T) {
	if dir := os.Getenv(victimEnv); dir != "" {
		doAndUndo(t, dir)
		return
	}
	dir := makeTree(t)
	before := snapshot(t, dir)
	data := t.TempDir()
	midway := 0
	for i := range kills {
		cmd := exec.Command(os.Args[0], "-test.run=^TestKilled$")
		cmd.Env = append(os.Environ(), victimEnv+"="+dir, victimEnv+"_DATA="+data)
		out, err := cmd.StdoutPipe()
		if err == nil {
			err = cmd.Start()
		}
		if err != nil {
			t.Fatal(err)
		}
		if _, err := io.ReadFull(out, make([]byte, 1)); err != nil { // it has begun
			t.Fatal(err)
		}
		time.Sleep(time.Duration(rand.IntN(60_000)) * time.Microsecond)
		if err := cmd.Process.Kill(); err != nil {
			t.Fatal(err)
		}
		if err := cmd.Wait(); err == nil {
			t.Fatal("it ended before it was killed")
		}
		r := newSource(t, dir, data, nil)
		receipts, err := r.Recover(t.Context())
		if err != nil {
			t.Fatalf("kill %d: Recover: %v", i, err)
		}
		standing := 0
		for _, receipt := range slices.Backward(receipts) {
			if receipt.OK && receipt.Undone.IsZero() {
				standing++
			}
			if strings.Contains(receipt.Result, "interrupted") {
				midway++
			}
			if err := r.Undo(t.Context(), receipt); err != nil {
				t.Errorf("kill %d: Undo: %v", i, err)
			}
		}
		if diff := cmp.Diff(content(before), content(snapshot(t, dir))); diff != "" {
			t.Fatalf("kill %d, %d actions stood:\n%s", i, standing, diff)
		}
		if err := os.RemoveAll(data + "/journal"); err != nil {
			t.Fatal(err)
		}
	}
	t.Logf("kills: %d, actions that were cut short: %d", kills, midway)
}

func doAndUndo(t *testing.T, dir string) {
	r := newSource(t, dir, os.Getenv(victimEnv+"_DATA"), nil)
	todo, _ := plan(t, r, incident())
	fmt.Print("+")
	for {
		var receipts []minewarden.Receipt
		for _, a := range todo {
			receipt, err := r.Do(t.Context(), a)
			if err != nil || !receipt.OK {
				t.Fatal(err, receipt)
			}
			receipts = append(receipts, receipt)
		}
		for _, receipt := range slices.Backward(receipts) {
			if err := r.Undo(t.Context(), receipt); err != nil {
				t.Fatal(err)
			}
		}
		todo, _ = plan(t, r, incident())
	}
}

// TestHugeProfile is a file that somebody made to keep the plan busy.
func TestHugeProfile(t *testing.T) {
	dir := makeTree(t)
	if err := os.WriteFile(dir+"/root/.bashrc", []byte(strings.Repeat("/var/tmp/.sys/kworker\n# x\n", 50_000)), 0o600); err != nil {
		t.Fatal(err)
	}
	_, refused := plan(t, newSource(t, dir, t.TempDir(), nil), incident())
	if !strings.Contains(strings.Join(refused, "\n"), "more than 512 places") {
		t.Errorf("refused %q", refused)
	}
}

// TestHonestHost plans nothing for an incident that leads nowhere on this very machine.
func TestHonestHost(t *testing.T) {
	r := newSource(t, "/", t.TempDir(), nil)
	inc := incident()
	inc.Findings = nil
	inc.Members[0].Exe, inc.Members[0].Cgroup = "/var/tmp/.nobody/has-this", "/system.slice/ssh.service"
	todo, refused := plan(t, r, inc)
	if len(todo)+len(refused) > 0 {
		t.Errorf("todo %v, refused %q", todo, refused)
	}
}

func FuzzCreateBody(f *testing.F) {
	f.Add(`{"Id":"0123456789abcdef","Config":{"Image":"x"},"HostConfig":{"NetworkMode":"front","Binds":["a:/b"]},"Mounts":[{"Type":"volume","Name":"v","Destination":"/d"}],"NetworkSettings":{"Networks":{"front":{"Aliases":["0123456789ab","y"]}}}}`)
	f.Fuzz(func(t *testing.T, text string) {
		var c inspect
		if json.Unmarshal([]byte(text), &c) != nil {
			return
		}
		body, more, err := createBody(&c)
		if err != nil {
			return
		}
		var back map[string]any
		if err := json.Unmarshal(body, &back); err != nil {
			t.Fatalf("%s: %v", body, err)
		}
		for _, k := range slices.Sorted(maps.Keys(more)) {
			if _, err := json.Marshal(more[k]); err != nil {
				t.Fatal(err)
			}
		}
		jsonDiff("x", json.RawMessage(text), nil)
		jsonDiff("x", json.RawMessage(text), map[string]any{"Id": true})
		stable(json.RawMessage(text), nomadMoving[:])
		show(filepath.Clean(text))
	})
}
