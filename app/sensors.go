package app

import (
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"runtime"

	"golang.org/x/sys/unix"

	"github.com/minewarden/minewarden"
	"github.com/minewarden/minewarden/config"
	"github.com/minewarden/minewarden/sensors"
	"github.com/minewarden/minewarden/sensors/ebpf"
	"github.com/minewarden/minewarden/sensors/procfs"
)

// liveSensors makes every sensor of the catalogue that is not disabled. Where the kernel does not report processes, /proc is
// polled for them instead.
func liveSensors(cfg *config.Config, log *slog.Logger) ([]minewarden.Sensor, error) {
	poll := cfg.Disabled("sensors/ebpf") || !kernelReportsProcesses()
	var all []minewarden.Sensor
	for _, m := range sensors.All() {
		if cfg.Disabled("sensors/" + m.Name) {
			continue
		}
		e := env(cfg, log, "sensors", m.Name)
		e.Data = filepath.Join(cfg.Data, "sensors", m.Name)
		section := e.Decode
		e.Decode = func(into any) error {
			if p, ok := into.(*procfs.Config); ok {
				p.Processes = poll
			}
			return section(into)
		}
		s, err := m.New(e)
		if err != nil {
			return nil, fmt.Errorf("sensors/%s: %w", m.Name, err)
		}
		all = append(all, s)
	}
	return all, nil
}

func kernelReportsProcesses() bool {
	for _, c := range ebpf.Capabilities() {
		if c.OK {
			return true
		}
	}
	return false
}

// A Check is one thing that doctor looked at.
type Check struct {
	Name string `json:"name"`
	OK   bool   `json:"ok"`
	// Warning says that what is not OK is less than there could be, and not broken: nobody asked for it.
	Warning bool   `json:"warning,omitempty"`
	Detail  string `json:"detail,omitempty"` // what is not seen because of it, and why
}

// Doctor says what this host lets minewarden see, and what not. It changes nothing.
func Doctor(cfg *config.Config, log *slog.Logger) ([]Check, error) {
	var checks []Check
	add := func(name string, ok bool, detail string) {
		checks = append(checks, Check{Name: name, OK: ok, Detail: detail})
	}
	add("kernel "+kernelRelease()+" on "+runtime.GOARCH, true, "")
	if os.Geteuid() == 0 {
		add("root", true, "")
	} else {
		add("root", false, "without it only programs of this user are seen in detail, by polling, and nothing can be stopped but them")
	}
	for _, c := range ebpf.Capabilities() {
		detail := c.Reason
		if !c.OK {
			detail += "; /proc is polled instead: programs that live shorter than a poll are missed, and rounding modes and code are not read"
		}
		add("eBPF: "+c.Name, c.OK, detail)
	}
	if runtime.GOARCH != "amd64" {
		add("rules on machine code", false, "measured on amd64 only; on this processor the rounding rule works alone")
	}
	known := newThisHost().packages
	if err := known.Load(); err != nil {
		add("package database", false, err.Error())
	} else if !known.Any() {
		add("package database", false, "none was found: whether a program came from a package is not known, so some rules are less sure")
	} else {
		add("package database", true, "")
	}
	makers, err := NewMakers(cfg, log)
	if err != nil {
		return nil, err
	}
	dets, _, err := makers.Detectors()
	if err != nil {
		return nil, err
	}
	add(fmt.Sprintf("%d detectors", len(dets)), true, "")
	for _, name := range cfg.Disable {
		add(name, false, "disabled in the configuration")
	}
	return checks, nil
}

func kernelRelease() string {
	var u unix.Utsname
	if err := unix.Uname(&u); err != nil {
		return "unknown"
	}
	return unix.ByteSliceToString(u.Release[:])
}
