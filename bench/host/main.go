// Command host measures minewarden on this machine, with the real kernel and real programs: whether and how soon real RandomX is
// found however it is disguised, whether honest heavy programs are left alone, how soon a miner is frozen, and what the agent costs.
//
//	go run ./bench/host [-bin bin/minewarden] miners|honest|freeze|cost|scan
//
// It needs root, gcc and librandomx-dev; "honest" uses whatever of its list is installed and says what is not. Tables go to
// standard output as Markdown.
package main

import (
	"bufio"
	"context"
	"encoding/json"
	"flag"
	"fmt"
	"io"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"slices"
	"sort"
	"strings"
	"sync"
	"syscall"
	"time"
)

// bench is what every measurement needs.
type bench struct {
	bin  string // minewarden
	dir  string // scratch
	only string // run only what contains this
	out  io.Writer
}

func main() {
	b := &bench{out: os.Stdout}
	flag.StringVar(&b.bin, "bin", "bin/minewarden", "the binary to measure")
	flag.StringVar(&b.only, "only", "", "run only what contains this word")
	flag.Parse()
	what := map[string]func(context.Context) error{
		"miners": b.miners, "honest": b.honest, "freeze": b.freeze, "cost": b.cost, "scan": b.scan,
	}[flag.Arg(0)]
	if what == nil || flag.NArg() != 1 {
		fmt.Fprintln(os.Stderr, "usage: host [-bin FILE] [-only WORD] miners|honest|freeze|cost|scan")
		os.Exit(2)
	}
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	if err := b.run(ctx, what); err != nil {
		fmt.Fprintln(os.Stderr, "bench:", err)
		os.Exit(1)
	}
}

func (b *bench) run(ctx context.Context, what func(context.Context) error) (err error) {
	if b.bin, err = filepath.Abs(b.bin); err != nil {
		return err
	}
	if b.dir, err = os.MkdirTemp("", "minewarden-bench-"); err != nil {
		return err
	}
	defer os.RemoveAll(b.dir)
	return what(ctx)
}

// An agent is a running "minewarden up --json".
type agent struct {
	cmd  *exec.Cmd
	mu   sync.Mutex
	seen []seen
	more chan struct{} // has a value when seen grew
}

// seen is a line of its output.
type seen struct {
	at        time.Time
	ancestors []int // pids above the subject when the finding came, as far as they still ran
	line
}

// line is the part of a finding that this program reads.
type line struct {
	Rule     string `json:"rule"`
	Severity string `json:"severity"`
	Subject  struct {
		PID  int    `json:"pid"`
		Name string `json:"name"`
		ID   string `json:"id"`
	} `json:"subject"`
	Process struct {
		Cwd string `json:"cwd"`
	} `json:"process"`
	Confidence float64 `json:"confidence"`
	Evidence   []struct {
		Key   string `json:"key"`
		Value string `json:"value"`
	} `json:"evidence"`
}

// start runs the agent and waits until it watches.
func (b *bench) start(ctx context.Context, args ...string) (*agent, error) {
	data, err := os.MkdirTemp(b.dir, "data-")
	if err != nil {
		return nil, err
	}
	a := &agent{more: make(chan struct{}, 1)}
	a.cmd = exec.CommandContext(ctx, b.bin, append([]string{"up", "--json", "--data", data}, args...)...)
	a.cmd.Cancel = func() error { return a.cmd.Process.Signal(syscall.SIGTERM) }
	stdout, err := a.cmd.StdoutPipe()
	if err != nil {
		return nil, err
	}
	stderr, err := a.cmd.StderrPipe()
	if err != nil {
		return nil, err
	}
	if err := a.cmd.Start(); err != nil {
		return nil, err
	}
	ready := make(chan struct{})
	go func() {
		var once sync.Once
		sc := bufio.NewScanner(stderr)
		for sc.Scan() {
			if strings.Contains(sc.Text(), "watching") {
				once.Do(func() { close(ready) })
			}
		}
	}()
	go func() {
		sc := bufio.NewScanner(stdout)
		sc.Buffer(nil, 4<<20)
		for sc.Scan() {
			var l line
			if json.Unmarshal(sc.Bytes(), &l) == nil && l.Rule != "" {
				a.mu.Lock()
				a.seen = append(a.seen, seen{time.Now(), ancestors(l.Subject.PID), l})
				a.mu.Unlock()
				select {
				case a.more <- struct{}{}:
				default:
				}
			}
		}
	}()
	select {
	case <-ready:
		time.Sleep(2 * time.Second) // its own start is not what is measured
		return a, nil
	case <-time.After(20 * time.Second):
		a.stop()
		return nil, fmt.Errorf("the agent did not say within 20 s that it watches")
	}
}

func (a *agent) stop() {
	if err := a.cmd.Process.Signal(syscall.SIGTERM); err != nil {
		return
	}
	if err := a.cmd.Wait(); err != nil {
		fmt.Fprintln(os.Stderr, "agent:", err)
	}
}

// wait returns the first finding that match accepts, from index from on, or false after the limit.
func (a *agent) wait(from int, limit time.Duration, match func(line) bool) (seen, bool) {
	deadline := time.After(limit)
	for {
		a.mu.Lock()
		for _, s := range a.seen[from:] {
			if match(s.line) {
				a.mu.Unlock()
				return s, true
			}
		}
		from = len(a.seen)
		a.mu.Unlock()
		select {
		case <-a.more:
		case <-deadline:
			return seen{}, false
		}
	}
}

func (a *agent) count() int {
	a.mu.Lock()
	defer a.mu.Unlock()
	return len(a.seen)
}

// since returns what was found from index from on, at medium or worse: about what root started, and about others. A process
// that is gone when its finding comes counts as root's when it ran in dir, where all that root starts does.
func (a *agent) since(from, root int, dir string) (own, others []line) {
	a.mu.Lock()
	defer a.mu.Unlock()
	for _, s := range a.seen[from:] {
		if s.Severity != "medium" && s.Severity != "high" && s.Severity != "critical" {
			continue
		}
		if !slices.Contains(s.ancestors, root) && !strings.HasPrefix(s.Process.Cwd, dir) {
			others = append(others, s.line)
		} else {
			own = append(own, s.line)
		}
	}
	return own, others
}

// ancestors returns pid, its session and those above it; none when it is gone or there is no pid.
func ancestors(pid int) (all []int) {
	for pid > 1 {
		text, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
		if err != nil {
			return all
		}
		f := strings.Fields(string(text[strings.LastIndexByte(string(text), ')')+1:]))
		var parent, session int
		if _, err := fmt.Sscan(f[1]+" "+f[3], &parent, &session); err != nil {
			return all
		}
		all = append(all, pid, session)
		pid = parent
	}
	return all
}

// compile builds a workload of internal/workloads.
func (b *bench) compile(ctx context.Context, name string, args ...string) (string, error) {
	out := filepath.Join(b.dir, name)
	cmd := exec.CommandContext(ctx, "gcc", append([]string{"-O2", "-pthread", "-o", out, "internal/workloads/" + name + ".c"}, args...)...)
	if text, err := cmd.CombinedOutput(); err != nil {
		return "", fmt.Errorf("compile %s: %w: %s", name, err, text)
	}
	return out, nil
}

func median(d []time.Duration) time.Duration {
	if len(d) == 0 {
		return 0
	}
	s := append([]time.Duration(nil), d...)
	sort.Slice(s, func(i, j int) bool { return s[i] < s[j] })
	return s[len(s)/2]
}

func seconds(d time.Duration) string { return fmt.Sprintf("%.2f s", d.Seconds()) }
