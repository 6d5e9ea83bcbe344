package main

import (
	"context"
	"fmt"
	"os"
	"strings"
	"time"
)

// A scenario is a story with checks, on a machine of its own.
type scenario struct {
	name string
	do   func(*bench)
}

// A bench runs one scenario. Its methods end the scenario by a panic that try turns into a failed check: nothing after it would mean anything.
type bench struct {
	*machine
	ctx        context.Context
	scenario   string
	transcript *os.File
	failed     int
}

type stopped struct{ why string }

func (b *bench) try(f func(*bench)) {
	defer func() {
		switch r := recover().(type) {
		case nil:
		case stopped:
			b.check("the scenario runs to its end", false, r.why)
		default:
			panic(r)
		}
	}()
	f(b)
}

func (b *bench) stop(format string, args ...any) { panic(stopped{fmt.Sprintf(format, args...)}) }

// check prints a row of the table.
func (b *bench) check(what string, good bool, seen string) {
	result := "pass"
	if !good {
		result, b.failed = "**FAIL**", b.failed+1
	}
	fmt.Printf("| %s | %s | %s | %s |\n", b.scenario, what, result, cell(seen))
	b.note("== %s: %s: %s", what, result, seen)
}

func (b *bench) note(format string, args ...any) {
	fmt.Fprintf(b.transcript, time.Now().Format("15:04:05 ")+format+"\n", args...)
}

// cell makes text fit into a cell of a Markdown table.
func cell(s string) string {
	s = strings.Join(strings.Fields(strings.ReplaceAll(s, "|", "¦")), " ")
	if r := []rune(s); len(r) > 300 {
		s = string(r[:300]) + "…"
	}
	return s
}

// run is a command that must work; its output is returned.
func (b *bench) run(command string) string {
	out, code := b.code(command)
	if code != 0 {
		b.stop("%s: exit %d: %s", command, code, out)
	}
	return out
}

// code is a command that may fail.
func (b *bench) code(command string) (string, int) {
	out, code, err := b.sh(b.ctx, 3*time.Minute, command)
	b.note("$ %s\n%s\n[%d]", command, out, code)
	if err != nil {
		b.stop("%v", err)
	}
	return out, code
}

// until asks again until the command succeeds, and says whether it did within the time.
func (b *bench) until(limit time.Duration, command string) (string, bool) {
	for late := time.Now().Add(limit); ; time.Sleep(time.Second) {
		out, code := b.code(command)
		if code == 0 {
			return out, true
		}
		if time.Now().After(late) {
			return out, false
		}
	}
}

// install puts the program and its unit where the documentation says, with a configuration.
func (b *bench) install(config string) {
	b.run("install -m 755 /host/minewarden /usr/local/bin/ && install -m 755 /host/randomx /opt/randomx && install -d -m 700 /etc/minewarden && install -m 644 /host/minewarden.service /etc/systemd/system/")
	b.run("cat > /etc/minewarden/minewarden.yaml <<'YAML'\n" + config + "\nYAML\nsystemctl daemon-reload")
}

// answers is true when the agent does: most commands read the data themselves where no agent runs.
const answers = `printf 'GET /api/v1/overview HTTP/1.0\r\nHost: localhost\r\n\r\n' | timeout 20 nc -N -U /var/lib/minewarden/control.sock | grep -q '200 OK'`

// patience is how long the agent may take to come up: emulated, and beside others, the kernel checks its programs for a minute.
const patience = 6 * time.Minute

// up starts the agent and waits until it answers.
func (b *bench) up() time.Duration {
	begun := time.Now()
	b.run("systemctl enable --now minewarden")
	if out, ok := b.until(patience, answers); !ok {
		b.stop("the agent does not come up: %s: %s", out, b.run("journalctl -u minewarden -n 30 -o cat"))
	}
	return time.Since(begun)
}
