package main

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"strconv"
	"strings"
	"syscall"
	"time"
)

// cost measures the agent's processor time and memory on an idle machine, beside two busy CPUs, and while 2,000 programs a
// second are started.
func (b *bench) cost(ctx context.Context) error {
	a, err := b.start(ctx)
	if err != nil {
		return err
	}
	defer a.stop()
	time.Sleep(30 * time.Second) // every program that runs is hashed once
	fmt.Fprintln(b.out, "| machine | agent, % of one core | RSS |\n|---|---|---|")
	for _, m := range []struct {
		name string
		load func(context.Context) (func(), error)
		secs int
	}{
		{"idle", func(context.Context) (func(), error) { return func() {}, nil }, 40},
		{"two busy CPUs", func(context.Context) (func(), error) { return busyCores(2), nil }, 30},
		{"2,000 execs a second", execs, 20},
	} {
		if !strings.Contains(m.name, b.only) || ctx.Err() != nil {
			continue
		}
		stop, err := m.load(ctx)
		if err != nil {
			return err
		}
		time.Sleep(5 * time.Second)
		before, err := cpuTicks(a.cmd.Process.Pid)
		if err != nil {
			return err
		}
		start := time.Now()
		time.Sleep(time.Duration(m.secs) * time.Second)
		after, err := cpuTicks(a.cmd.Process.Pid)
		if err != nil {
			return err
		}
		took := time.Since(start)
		stop()
		rss, err := status(a.cmd.Process.Pid, "VmRSS:")
		if err != nil {
			return err
		}
		fmt.Fprintf(b.out, "| %s | %.2f | %.1f MiB |\n", m.name, float64(after-before)/took.Seconds(), float64(rss)/1024)
	}
	peak, err := status(a.cmd.Process.Pid, "VmHWM:")
	if err != nil {
		return err
	}
	fmt.Fprintf(b.out, "\npeak RSS %.1f MiB\n", float64(peak)/1024)
	return nil
}

// execs starts true 2,000 times a second from several shells, paced by this program.
func execs(ctx context.Context) (func(), error) {
	ctx, cancel := context.WithCancel(ctx)
	done := make(chan struct{})
	const rate, workers = 2000, 4
	started := make([]int, workers)
	for w := range workers {
		go func() {
			defer func() { done <- struct{}{} }()
			begin := time.Now()
			for ctx.Err() == nil {
				due := int(time.Since(begin).Seconds() * rate / workers)
				if started[w] >= due {
					time.Sleep(time.Millisecond)
					continue
				}
				if err := exec.Command("/bin/true").Run(); err != nil {
					return
				}
				started[w]++
			}
		}()
	}
	begin := time.Now()
	return func() {
		cancel()
		n := 0
		for range workers {
			<-done
		}
		for _, s := range started {
			n += s
		}
		fmt.Fprintf(os.Stderr, "%.0f execs a second were reached\n", float64(n)/time.Since(begin).Seconds())
	}, nil
}

// cpuTicks returns user and system time of a process in 1/100 s: one tick a second is one percent of a core.
func cpuTicks(pid int) (int, error) {
	text, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	if err != nil {
		return 0, err
	}
	f := strings.Fields(string(text[strings.LastIndexByte(string(text), ')')+1:]))
	u, err := strconv.Atoi(f[11])
	if err != nil {
		return 0, err
	}
	s, err := strconv.Atoi(f[12])
	return u + s, err
}

// status returns a value of /proc/PID/status in KiB.
func status(pid int, key string) (int, error) {
	text, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", pid))
	if err != nil {
		return 0, err
	}
	for line := range strings.Lines(string(text)) {
		if rest, ok := strings.CutPrefix(line, key); ok {
			return strconv.Atoi(strings.Fields(rest)[0])
		}
	}
	return 0, fmt.Errorf("no %s of process %d", key, pid)
}

// scan measures one look at the whole machine, without the time for watching processes.
func (b *bench) scan(ctx context.Context) error {
	fmt.Fprintln(b.out, "| scan --for 0s | took | peak RSS |\n|---|---|---|")
	for i := range 3 {
		cmd := exec.CommandContext(ctx, b.bin, "scan", "--for", "0s", "--json", "--fail-on", "critical")
		start := time.Now()
		out, err := cmd.CombinedOutput()
		if err != nil && cmd.ProcessState.ExitCode() == 2 {
			return fmt.Errorf("scan: %w: %s", err, out)
		}
		rss := "?"
		if u, ok := cmd.ProcessState.SysUsage().(*syscall.Rusage); ok {
			rss = fmt.Sprint(u.Maxrss / 1024)
		}
		fmt.Fprintf(b.out, "| run %d | %s | %s MiB |\n", i+1, seconds(time.Since(start)), rss)
	}
	return nil
}
