package main

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"strings"
	"syscall"
	"time"
)

// port is the way between the bench and the guest: no network is needed for it, so none that is cut matters.
const port = "/dev/virtio-ports/bench"

// outputLimit bounds what one command may answer.
const outputLimit = 1 << 20

type request struct {
	ID      string        `json:"id"`
	Command string        `json:"command"`
	Timeout time.Duration `json:"timeout"`
}

type answer struct {
	ID    string `json:"id"`
	Boot  string `json:"boot,omitempty"` // of the greeting alone
	Out   string `json:"out"`
	Code  int    `json:"code"`
	Error string `json:"error,omitempty"`
}

// guest answers commands for ever. It runs as a unit of the guest.
func guest() error {
	boot, err := os.ReadFile("/proc/sys/kernel/random/boot_id")
	if err != nil {
		return err
	}
	f, err := os.OpenFile(port, os.O_RDWR, 0)
	if err != nil {
		return err
	}
	defer f.Close()
	if err := say(f, answer{Boot: strings.TrimSpace(string(boot))}); err != nil {
		return err
	}
	lines := bufio.NewScanner(f)
	lines.Buffer(nil, outputLimit)
	for lines.Scan() {
		var q request
		if err := json.Unmarshal(lines.Bytes(), &q); err != nil {
			continue // the rest of a line whose beginning an earlier boot took
		}
		go func() {
			a := do(q)
			if err := say(f, a); err != nil {
				fmt.Fprintln(os.Stderr, "answer:", err)
			}
		}()
	}
	return lines.Err()
}

func say(f *os.File, a answer) error {
	line, err := json.Marshal(a)
	if err != nil {
		return err
	}
	_, err = f.Write(append(line, '\n'))
	return err
}

func do(q request) answer {
	// The monotonic clock bounds it: the other is set by what is measured.
	ctx, cancel := context.WithTimeout(context.Background(), q.Timeout)
	defer cancel()
	cmd := exec.CommandContext(ctx, "/bin/sh", "-c", q.Command)
	cmd.Env = append(os.Environ(), "PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin", "HOME=/root", "LC_ALL=C.UTF-8")
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	cmd.Cancel = func() error { return syscall.Kill(-cmd.Process.Pid, syscall.SIGKILL) }
	cmd.WaitDelay = time.Second
	var out bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &out
	err := cmd.Run()
	a := answer{ID: q.ID, Out: out.String()}
	if len(a.Out) > outputLimit/2 {
		a.Out = a.Out[:outputLimit/2]
	}
	var exit *exec.ExitError
	switch {
	case ctx.Err() != nil:
		a.Code, a.Error = -1, "took too long"
	case errors.As(err, &exit):
		a.Code = exit.ExitCode()
	case err != nil && !errors.Is(err, exec.ErrWaitDelay): // a child that was left in the background keeps the pipe
		a.Code, a.Error = -1, err.Error()
	}
	return a
}
