package app

import (
	"bytes"
	"fmt"
	"os"
	"strconv"
	"time"

	"github.com/minewarden/minewarden"
	"github.com/minewarden/minewarden/internal/host"
)

// thisHost is what the pipeline asks about this machine.
type thisHost struct {
	cgroups  *host.Cgroups
	packages *host.Packages
	v1       bool // there are v1 hierarchies beside v2, or alone
}

func newThisHost() *thisHost {
	root := os.DirFS("/")
	return &thisHost{host.NewCgroups(root, time.Now), host.NewPackages(root), hasV1("/proc/self/cgroup")}
}

// hasV1 reports whether the kernel lists any hierarchy but that of v2.
func hasV1(file string) bool {
	b, err := os.ReadFile(file)
	if err != nil {
		return false
	}
	for line := range bytes.Lines(b) {
		if !bytes.HasPrefix(line, []byte("0::")) {
			return true
		}
	}
	return false
}

// Container implements pipeline.Host.
func (h *thisHost) Container(cgroup string) minewarden.Container { return host.ContainerOf(cgroup) }

// CgroupPath implements pipeline.Host. Where there are v1 hierarchies, runtimes put a container into these and leave it at the
// root or at their own place of v2: only the process itself tells.
func (h *thisHost) CgroupPath(id uint64) string {
	if h.v1 {
		return ""
	}
	return h.cgroups.Path(id)
}

// CgroupOf implements pipeline.Host: the tree of cgroups is not walked for each new one, and a v1 host has no ids.
func (h *thisHost) CgroupOf(key minewarden.ProcessKey) string {
	dir := "/proc/" + strconv.Itoa(int(key.PID))
	f, err := os.Open(dir + "/cgroup")
	if err != nil {
		return ""
	}
	defer f.Close()
	path := host.ParseCgroup(f)
	if start, err := host.StartOf(dir); err != nil || start != key.Start {
		return ""
	}
	return path
}

// Owner implements pipeline.Host.
func (h *thisHost) Owner(path string, file minewarden.Inode) string {
	// The device is left out: the kernel's own number of it differs from what stat shows on some file systems.
	pkg, _ := h.packages.OwnerOf(path, 0, file.Ino)
	return pkg
}

// BootID returns what makes process keys of this boot differ from those of others.
func BootID() (string, error) {
	b, err := os.ReadFile("/proc/sys/kernel/random/boot_id")
	if err != nil {
		return "", fmt.Errorf("read boot id: %w", err)
	}
	return string(bytes.TrimSpace(b)), nil
}

// HostName returns the name that findings carry.
func HostName() string {
	name, err := os.Hostname()
	if err != nil {
		return "unknown"
	}
	return name
}
