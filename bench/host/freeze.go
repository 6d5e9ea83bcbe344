package main

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"time"
)

// freeze measures, with --respond contain, how long after the finding no thread of a real miner runs any more, and that none
// runs later.
func (b *bench) freeze(ctx context.Context) error {
	bin, err := b.compile(ctx, "randomx", "-lrandomx", "-lstdc++", "-lm")
	if err != nil {
		return err
	}
	a, err := b.start(ctx, "--respond", "contain")
	if err != nil {
		return err
	}
	defer a.stop()
	fmt.Fprintln(b.out, "| run | threads | frozen after the finding | CPU used in the 3 s after |\n|---|---|---|---|")
	for run := 1; run <= 5 && ctx.Err() == nil; run++ {
		cmd := exec.CommandContext(ctx, bin, "60", "2", "jit", "aes")
		if err := cmd.Start(); err != nil {
			return err
		}
		pid := cmd.Process.Pid
		s, ok := a.wait(0, 60*time.Second, func(l line) bool { return l.Subject.PID == pid && l.Severity == "critical" })
		frozen := ""
		if ok {
			frozen = "**not within 10 s**"
			for time.Since(s.at) < 10*time.Second {
				if stopped(pid) {
					frozen = seconds(max(0, time.Since(s.at)))
					break
				}
				time.Sleep(time.Millisecond)
			}
		} else {
			frozen = "**not found**"
		}
		before, err := cpuTicks(pid)
		if err != nil {
			return err
		}
		time.Sleep(3 * time.Second)
		after, err := cpuTicks(pid)
		if err != nil {
			return err
		}
		fmt.Fprintf(b.out, "| %d | 2 | %s | %d ms |\n", run, frozen, 10*(after-before))
		if err := cmd.Process.Kill(); err != nil {
			return err
		}
		_ = cmd.Wait() // killed: that is its result
	}
	return nil
}

// stopped reports whether no thread of pid can run: each is stopped, or all are in a frozen cgroup.
func stopped(pid int) bool {
	tasks, err := filepath.Glob(fmt.Sprintf("/proc/%d/task/*/stat", pid))
	if err != nil || len(tasks) == 0 {
		return false
	}
	for _, t := range tasks {
		text, err := os.ReadFile(t)
		if err != nil {
			return false
		}
		rest := strings.Fields(string(text[strings.LastIndexByte(string(text), ')')+1:]))
		if len(rest) == 0 || (rest[0] != "T" && rest[0] != "D") {
			return false
		}
	}
	return true
}
