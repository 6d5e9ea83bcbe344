package main

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"time"
)

// A disguise is one way to run RandomX.
type disguise struct {
	name  string
	flags []string // of the workload
	as    string   // argv[0] and file name; "" for its own
	nice  int
	quota int // percent of one CPU; 0: none
	limit time.Duration
	many  bool // processes of that name, of which any may be found
}

var disguises = []disguise{
	{name: "JIT", flags: []string{"jit", "aes"}},
	{name: "JIT, W^X", flags: []string{"jit", "aes", "secure"}},
	{name: "interpreter, light", flags: nil},
	{name: "JIT, full memory", flags: []string{"jit", "aes", "full"}},
	{name: "interpreter, full memory", flags: []string{"aes", "full"}},
	{name: "JIT as nginx", flags: []string{"jit", "aes"}, as: "nginx"},
	{name: "JIT as [kworker/u8:2]", flags: []string{"jit", "aes"}, as: "[kworker/u8:2]"},
	{name: "JIT, nice 19", flags: []string{"jit", "aes"}, nice: 19},
	{name: "JIT, quota 30 %", flags: []string{"jit", "aes"}, quota: 30},
	{name: "JIT, quota 10 %", flags: []string{"jit", "aes"}, quota: 10, limit: 30 * time.Second},
	{name: "JIT, quota 2 %", flags: []string{"jit", "aes"}, quota: 2, limit: 60 * time.Second},
	{name: "JIT, a new child each second", flags: []string{"jit", "aes", "anew"}, as: "renewed", many: true},
	{name: "JIT, each second the child of the last", flags: []string{"jit", "aes", "hop"}, as: "hopping", many: true},
}

const defaultLimit = 15 * time.Second

// miners measures how soon each disguise is found after its hash loop started, on an otherwise idle machine with one thread
// and on a busy one with two.
func (b *bench) miners(ctx context.Context) error {
	bin, err := b.compile(ctx, "randomx", "-lrandomx", "-lstdc++", "-lm")
	if err != nil {
		return err
	}
	a, err := b.start(ctx)
	if err != nil {
		return err
	}
	defer a.stop()
	fmt.Fprintln(b.out, "| RandomX | machine | threads | found after | rule | confidence |\n|---|---|---|---|---|---|")
	var all []time.Duration
	missed, late := 0, 0
	for _, busy := range []bool{false, true} {
		threads, machine := 1, "idle"
		if busy {
			threads, machine = 2, "busy"
		}
		for _, d := range disguises {
			if !strings.Contains(d.name+" "+machine, b.only) || ctx.Err() != nil {
				continue
			}
			limit := d.limit
			if limit == 0 {
				limit = defaultLimit
			}
			took, s, ok, err := b.oneMiner(ctx, a, bin, d, threads, busy, limit+15*time.Second)
			switch {
			case err != nil:
				return fmt.Errorf("%s: %w", d.name, err)
			case !ok:
				missed++
				fmt.Fprintf(b.out, "| %s | %s | %d | **missed** | | |\n", d.name, machine, threads)
				continue
			case took > limit:
				late++
			}
			all = append(all, took)
			fmt.Fprintf(b.out, "| %s | %s | %d | %s | %s | %.2f |\n", d.name, machine, threads, seconds(took), s.Rule, s.Confidence)
		}
	}
	var worst time.Duration
	for _, d := range all {
		worst = max(worst, d)
	}
	fmt.Fprintf(b.out, "\nfound %d, missed %d, later than the bar %d; median %s, max %s\n", len(all), missed, late, seconds(median(all)), seconds(worst))
	return nil
}

func (b *bench) oneMiner(ctx context.Context, a *agent, bin string, d disguise, threads int, busy bool, limit time.Duration) (time.Duration, seen, bool, error) {
	path, before := bin, a.count()
	if d.as != "" {
		path = filepath.Join(b.dir, strings.NewReplacer("/", "_").Replace(d.as))
		if err := copyFile(bin, path); err != nil {
			return 0, seen{}, false, err
		}
		defer os.Remove(path)
	}
	secs := int(limit.Seconds()) + 5
	cmd := exec.CommandContext(ctx, path, append([]string{fmt.Sprint(secs), fmt.Sprint(threads)}, d.flags...)...)
	if d.as != "" {
		cmd.Args[0] = d.as
	}
	cmd.Env = append(os.Environ(), "PARTIAL=1")
	if d.quota > 0 {
		undo, fd, err := quota(d.quota)
		if err != nil {
			return 0, seen{}, false, err
		}
		defer undo()
		// The child moves itself in before it runs the workload.
		cmd.Args = append([]string{"sh", "-c", fmt.Sprintf(`echo $$ > %s/cgroup.procs && exec "$0" "$@"`, fd), path}, cmd.Args[1:]...)
		cmd.Path = "/bin/sh"
	}
	if busy {
		stop := busyCores(2)
		defer stop()
	}
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	stderr, err := cmd.StderrPipe()
	if err != nil {
		return 0, seen{}, false, err
	}
	if err := cmd.Start(); err != nil {
		return 0, seen{}, false, err
	}
	defer func() {
		if err := syscall.Kill(-cmd.Process.Pid, syscall.SIGKILL); err == nil {
			_ = cmd.Wait() // killed: that is its result
		}
	}()
	if d.nice != 0 {
		if err := syscall.Setpriority(syscall.PRIO_PROCESS, cmd.Process.Pid, d.nice); err != nil {
			return 0, seen{}, false, err
		}
	}
	ready := make(chan time.Time, 1)
	go func() {
		sc := bufio.NewScanner(stderr)
		for sc.Scan() {
			if strings.EqualFold(strings.TrimSpace(sc.Text()), "ready") {
				ready <- time.Now()
			}
		}
	}()
	var at time.Time
	select {
	case at = <-ready:
	case <-time.After(3 * time.Minute):
		return 0, seen{}, false, fmt.Errorf("the workload did not start hashing within 3 minutes")
	case <-ctx.Done():
		return 0, seen{}, false, ctx.Err()
	}
	s, ok := a.wait(before, limit, func(l line) bool {
		mine := l.Subject.PID == cmd.Process.Pid || d.many && l.Subject.Name == d.as
		return mine && strings.HasPrefix(l.Rule, "pow/") && (l.Severity == "critical" || l.Severity == "high")
	})
	// Building the cache or dataset is proof-of-work too: a finding before the loop counts as at once.
	return max(0, s.at.Sub(at)), s, ok, nil
}

// quota makes a cgroup that may use percent of one CPU, in whichever hierarchy has the cpu controller.
func quota(percent int) (undo func(), dir string, err error) {
	name := fmt.Sprintf("minewarden-bench-%d", os.Getpid())
	const period = 100_000
	limit := fmt.Sprint(period * percent / 100)
	files := map[string]string{}
	if _, err := os.Stat("/sys/fs/cgroup/cpu/cpu.cfs_quota_us"); err == nil {
		dir = "/sys/fs/cgroup/cpu/" + name
		files["cpu.cfs_quota_us"] = limit
	} else {
		dir = "/sys/fs/cgroup/" + name
		files["cpu.max"] = limit + " " + fmt.Sprint(period)
	}
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return nil, "", err
	}
	for f, v := range files {
		if err := os.WriteFile(dir+"/"+f, []byte(v), 0o644); err != nil {
			return nil, "", err
		}
	}
	return func() {
		for range 50 { // its last process may still be on its way out
			if os.Remove(dir) == nil {
				return
			}
			time.Sleep(20 * time.Millisecond)
		}
		fmt.Fprintln(os.Stderr, "bench: left behind", dir)
	}, dir, nil
}

// busyCores keeps n CPUs busy with honest work until stop.
func busyCores(n int) (stop func()) {
	var cmds []*exec.Cmd
	for range n {
		cmd := exec.Command("sha256sum", "/dev/zero")
		cmd.Stdout = io.Discard
		if err := cmd.Start(); err != nil {
			fmt.Fprintln(os.Stderr, "bench:", err)
			continue
		}
		cmds = append(cmds, cmd)
	}
	return func() {
		for _, c := range cmds {
			if err := c.Process.Kill(); err == nil {
				_ = c.Wait() // killed: that is its result
			}
		}
	}
}

func copyFile(from, to string) error {
	b, err := os.ReadFile(from)
	if err != nil {
		return err
	}
	return os.WriteFile(to, b, 0o755)
}
