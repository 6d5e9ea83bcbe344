package evidence

import (
	"fmt"
	"path/filepath"
	"time"
)

// How much memory is collected.
const (
	MemoryNone  = "none"
	MemoryExec  = "exec"  // executable mappings without a file: what a JIT compiler or an unpacker made
	MemoryWhole = "whole" // all that is the process's own
)

// Config is the section "evidence" of the configuration. Sizes are in MiB.
type Config struct {
	Dir          string        `yaml:"dir"`           // of the collections; empty: evidence/ of the data directory
	Memory       string        `yaml:"memory"`        // none, exec or whole, where nobody says otherwise
	Deadline     time.Duration `yaml:"deadline"`      // of one collection; what is not done by then is left out, visibly
	MaxSize      int64         `yaml:"max_size"`      // of one collection
	MaxMemory    int64         `yaml:"max_memory"`    // of one process
	MaxFile      int64         `yaml:"max_file"`      // of one file, and of an image
	MaxTotal     int64         `yaml:"max_total"`     // of all collections together: beyond it new ones are refused
	MaxProcesses int           `yaml:"max_processes"` // of one collection
	Keep         time.Duration `yaml:"keep"`          // parts older than this are removed; 0: none ever
	LogWindow    time.Duration `yaml:"log_window"`    // around each time that an incident names
	Logs         []string      `yaml:"logs"`          // files, or patterns of path.Match
	Packets      []string      `yaml:"packets"`       // files of kept packets, or patterns
	Docker       string        `yaml:"docker"`        // socket of the engine
	Nice         int           `yaml:"nice"`          // of the thread that collects
}

// DefaultConfig returns the defaults.
func DefaultConfig() Config {
	return Config{
		Memory: MemoryExec, Deadline: 90 * time.Second, MaxSize: 8 << 10, MaxMemory: 4 << 10, MaxFile: 512, MaxTotal: 64 << 10,
		MaxProcesses: 64, LogWindow: 2 * time.Minute, Docker: "/var/run/docker.sock", Nice: 19,
		Logs: []string{
			"/var/log/auth.log", "/var/log/secure", "/var/log/syslog", "/var/log/messages", "/var/log/cron", "/var/log/cron.log",
			"/var/log/daemon.log", "/var/log/kern.log", "/var/log/audit/audit.log",
		},
	}
}

// Validate does no I/O.
func (c *Config) Validate() error {
	if err := checkMemory(c.Memory); err != nil {
		return err
	}
	for _, n := range []struct {
		name string
		v    int64
		max  int64
	}{
		{"max_size", c.MaxSize, 1 << 30},
		{"max_memory", c.MaxMemory, 1 << 30},
		{"max_file", c.MaxFile, 1 << 30},
		{"max_total", c.MaxTotal, 1 << 30},
		{"max_processes", int64(c.MaxProcesses), 4096},
	} {
		if n.v < 1 || n.v > n.max {
			return fmt.Errorf("evidence: %s is %d: want 1 to %d", n.name, n.v, n.max)
		}
	}
	if c.Deadline <= 0 || c.Keep < 0 || c.LogWindow < 0 {
		return fmt.Errorf("evidence: deadline %s, keep %s, log_window %s: none can be negative, and a deadline is needed", c.Deadline, c.Keep, c.LogWindow)
	}
	if c.Nice < 0 || c.Nice > 19 {
		return fmt.Errorf("evidence: nice is %d: want 0 to 19", c.Nice)
	}
	for _, p := range append(append([]string{}, c.Logs...), c.Packets...) {
		if _, err := filepath.Match(p, "/"); err != nil || !filepath.IsAbs(p) {
			return fmt.Errorf("evidence: %q is no absolute path or pattern", p)
		}
	}
	return nil
}

func checkMemory(m string) error {
	switch m {
	case MemoryNone, MemoryExec, MemoryWhole:
		return nil
	}
	return fmt.Errorf("evidence: memory %q: use none, exec or whole", m)
}
