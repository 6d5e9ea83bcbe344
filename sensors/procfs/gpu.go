package procfs

import (
	"bytes"
	"io/fs"
	"strings"
	"time"

	"github.com/minewarden/minewarden"
)

const (
	gpuEvery   = 10 * time.Second // looks at a process's open files
	maxFiles   = 4096             // of one process, looked at
	maxClients = 64               // GPU handles of one process
)

type gpu struct {
	looked time.Time
	open   bool
	files  []int32 // descriptors of DRM devices
	total  time.Duration
	known  bool // total is of an earlier look
}

// hasGPU tells whether the host has a device that could mine. Without one no process's files are looked at.
func hasGPU(root fs.FS) bool {
	if root == nil {
		return false
	}
	for _, pattern := range [...]string{"dev/dri/renderD*", "dev/nvidia[0-9]*", "dev/kfd", "dev/dxg"} {
		if found, err := fs.Glob(root, pattern); err == nil && len(found) > 0 {
			return true
		}
	}
	return false
}

// gpuTime returns what the process used of GPUs since the last call.
func (w *watch) gpuTime(now time.Time, p *process) time.Duration {
	if !w.gpus {
		return 0
	}
	pid := p.who.Key.PID
	if p.gpu.looked.IsZero() || now.Sub(p.gpu.looked) >= gpuEvery {
		p.gpu.looked = now
		w.gpuFiles(p, pid)
	}
	if len(p.gpu.files) == 0 {
		return 0
	}
	var clients [maxClients]string
	n := 0
	var total time.Duration
next:
	for _, fd := range p.gpu.files {
		text, err := w.tree.read(w.tree.path(pid, 0, "fdinfo/"+digits(fd)))
		if err != nil {
			continue
		}
		client, used := drmTime(text)
		for _, c := range clients[:n] {
			if c == client && c != "" { // one handle behind two descriptors
				continue next
			}
		}
		if n < len(clients) {
			clients[n] = client
			n++
		}
		total += used
	}
	last, known := p.gpu.total, p.gpu.known
	p.gpu.total, p.gpu.known = total, true
	if !known || total < last {
		return 0
	}
	return total - last
}

// gpuFiles finds which of the process's files are GPUs.
func (w *watch) gpuFiles(p *process, pid int32) {
	p.gpu.open, p.gpu.files = false, p.gpu.files[:0]
	fds, err := w.tree.numbersOf(w.tree.path(pid, 0, "fd"), w.tids[:0], maxFiles)
	w.tids = fds
	if err != nil && len(fds) == 0 {
		return
	}
	for _, fd := range fds {
		switch to := w.tree.link(w.tree.path(pid, 0, "fd/"+digits(fd))); {
		case strings.HasPrefix(to, "/dev/dri/"):
			p.gpu.open = true
			if len(p.gpu.files) < maxClients {
				p.gpu.files = append(p.gpu.files, fd)
			}
		case strings.HasPrefix(to, "/dev/nvidia"), to == "/dev/kfd", to == "/dev/dxg":
			p.gpu.open = true
		}
	}
}

// lookGPUs reports who uses a GPU while the processors idle.
func (w *watch) lookGPUs(now time.Time) error {
	if !w.gpus {
		return nil
	}
	for _, p := range w.known {
		if len(p.gpu.files) == 0 {
			continue
		}
		interval := now.Sub(p.looked)
		s, err := w.tree.stat(p.who.Key.PID, 0)
		if err != nil || s.start != p.who.Key.Start || interval <= 0 {
			continue
		}
		used := w.gpuTime(now, p)
		cpu := time.Duration(s.ticks-min(s.ticks, p.ticks)) * tick
		p.looked, p.ticks = now, s.ticks
		if used > 0 {
			w.send(now, p.who, &minewarden.Usage{Interval: interval, CPU: cpu, Tasks: s.threads, RSS: p.rss, GPU: used, GPUOpen: true, Nice: s.nice, Policy: policyName(s.policy)})
		}
	}
	return nil
}

// drmTime returns from a DRM fdinfo who the client is and what it used of all engines.
func drmTime(text []byte) (client string, used time.Duration) {
	for line := range bytes.Lines(text) {
		name, value, ok := bytes.Cut(line, []byte(":"))
		if !ok {
			continue
		}
		value = bytes.TrimSpace(value)
		switch {
		case string(name) == "drm-client-id" || string(name) == "drm-pdev":
			client += " " + string(value)
		case hasPrefix(name, "drm-engine-") && !hasPrefix(name, "drm-engine-capacity-"):
			if n, length := number(value); length > 0 && bytes.HasSuffix(value, []byte("ns")) {
				used += time.Duration(n)
			}
		}
	}
	return client, used
}
