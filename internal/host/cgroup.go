package host

import (
	"bufio"
	"io"
	"strconv"
	"strings"

	"github.com/minewarden/minewarden"
)

// maxCgroupText bounds what is read of /proc/PID/cgroup: a v1 host has at most some 14 lines of at most PATH_MAX.
const maxCgroupText = 64 << 10

// ParseCgroup reads /proc/PID/cgroup and returns the path that says most about the process. A line that names a
// container wins, then the v2 path, then that of the v1 systemd and pids hierarchies, then any that is not the root: a
// hybrid host often leaves some of them at "/". It returns "" where no line could be read.
func ParseCgroup(r io.Reader) string {
	best, bestRank := "", 0
	lines := bufio.NewScanner(io.LimitReader(r, maxCgroupText))
	for lines.Scan() {
		path, rank := rankCgroup(lines.Text())
		if rank > bestRank {
			best, bestRank = path, rank
		}
	}
	return best
}

// rankCgroup returns the path of one line and how much it tells; 0: not a line of a cgroup file.
func rankCgroup(line string) (path string, rank int) {
	id, rest, ok := strings.Cut(line, ":")
	if !ok {
		return "", 0
	}
	controllers, path, ok := strings.Cut(rest, ":")
	if !ok || !strings.HasPrefix(path, "/") {
		return "", 0
	}
	path = strings.TrimSuffix(path, " (deleted)")
	rank = 1
	switch {
	case id == "0" && controllers == "":
		rank = 4
	case controllers == "name=systemd":
		rank = 3
	case controllers == "pids":
		rank = 2
	}
	if path != "/" {
		rank += 4
	}
	if ContainerOf(path) != (minewarden.Container{}) {
		rank += 8
	}
	return path, rank
}

// ContainerOf tells from a cgroup path which container it belongs to: zero if none. Of nested containers it is the
// innermost. A runtime's own monitor (conmon, lxc.monitor) belongs to the host. Runtime is "container" where the path
// shows a container but not whose.
func ContainerOf(cgroup string) minewarden.Container {
	if len(cgroup) > maxCgroupText {
		return minewarden.Container{}
	}
	var found minewarden.Container
	pod, parent := "", ""
	for rest := cgroup; rest != ""; {
		var part string
		part, rest, _ = strings.Cut(rest, "/")
		if part == "" {
			continue
		}
		// The systemd driver without systemd's help leaves "slice:prefix:id" as one name.
		if f := strings.Split(part, ":"); len(f) == 3 && isID(f[2]) {
			if uid := podUID(f[0]); uid != "" {
				pod = uid
			}
			part = f[1] + "-" + f[2]
		}
		if uid := podUID(part); uid != "" {
			pod = uid
		}
		runtime, id := containerPart(parent, part)
		switch {
		case runtime == monitor:
			return minewarden.Container{}
		case runtime != "":
			if pod != "" && runtime == unnamed {
				runtime = "kubernetes"
			}
			found = minewarden.Container{Runtime: runtime, ID: id, Pod: pod}
		}
		parent = part
	}
	if found.Runtime == "" && pod != "" {
		found = minewarden.Container{Runtime: "kubernetes", Pod: pod}
	}
	return found
}

const (
	monitor = "monitor"   // the process watches over a container and runs outside of it
	unnamed = "container" // a container of a runtime that leaves no name
)

// scopes are what runtimes put before the id, longest first where one is the beginning of another.
var scopes = [...]struct{ prefix, runtime string }{
	{"docker-", "docker"},
	{"cri-containerd-", "containerd"},
	{"containerd-", "containerd"},
	{"nerdctl-", "containerd"},
	{"crio-conmon-", monitor},
	{"crio-", "crio"},
	{"libpod-conmon-", monitor},
	{"libpod-payload-", "podman"},
	{"libpod-", "podman"},
	{"buildkit-", "buildkit"},
}

// containerPart tells whether part, a directory below parent, is a container.
func containerPart(parent, part string) (runtime, id string) {
	name := strings.TrimSuffix(part, ".scope")
	for _, s := range scopes {
		if rest, ok := strings.CutPrefix(name, s.prefix); ok && isID(rest) {
			return s.runtime, rest
		}
	}
	if name, ok := strings.CutPrefix(part, "lxc.payload."); ok && name != "" {
		return "lxc", name
	}
	if strings.HasPrefix(part, "lxc.monitor") {
		return monitor, ""
	}
	if rest, ok := strings.CutPrefix(part, "systemd-nspawn@"); ok {
		if name, ok := strings.CutSuffix(rest, ".service"); ok && name != "" {
			return "systemd-nspawn", unescape(name)
		}
	}
	if rest, ok := strings.CutPrefix(name, "machine-"); ok && name != part {
		switch rest := unescape(rest); {
		case strings.HasPrefix(rest, "qemu-"): // a virtual machine of libvirt
		case strings.HasPrefix(rest, "lxc-"):
			return "lxc", rest[len("lxc-"):]
		case rest != "":
			return "systemd-nspawn", rest
		}
		return "", ""
	}
	switch {
	case (parent == "lxc" || parent == "lxc.payload") && part != "ns":
		return "lxc", part
	case parent == "buildkit" && len(part) >= 20:
		return "buildkit", part
	case len(part) == 64 && isID(part):
		switch parent {
		case "docker":
			return "docker", part
		case "libpod_parent":
			return "podman", part
		case "k8s.io", "default", "moby":
			return "containerd", part
		}
		return unnamed, part
	case len(part) > 33 && part[32] == '-' && isID(part[:32]) && isDigits(part[33:]): // ECS on Fargate
		return unnamed, part
	}
	return "", ""
}

// podUID returns the Kubernetes pod of a cgroup directory, in the form that the API server shows, or "".
func podUID(part string) string {
	name, slice := strings.CutSuffix(part, ".slice")
	if slice {
		i := strings.LastIndex(name, "-pod")
		if i < 0 || !strings.Contains(name[:i], "kubepods") {
			return ""
		}
		name = strings.ReplaceAll(name[i+len("-pod"):], "_", "-")
	} else {
		var ok bool
		if name, ok = strings.CutPrefix(name, "pod"); !ok {
			return ""
		}
	}
	// A static pod's uid is a hash: the same digits without dashes.
	if (len(name) == 36 && strings.Count(name, "-") == 4 && isID(strings.ReplaceAll(name, "-", ""))) || (len(name) == 32 && isID(name)) {
		return name
	}
	return ""
}

// isID tells whether s can be a container's id: runtimes give 64 hex digits, short forms have at least 12.
func isID(s string) bool {
	if len(s) < 12 || len(s) > 64 {
		return false
	}
	for i := range len(s) {
		if c := s[i]; (c < '0' || c > '9') && (c < 'a' || c > 'f') {
			return false
		}
	}
	return true
}

func isDigits(s string) bool {
	for i := range len(s) {
		if s[i] < '0' || s[i] > '9' {
			return false
		}
	}
	return s != ""
}

// unescape takes back what systemd does to unit names: "\x2d" is "-".
func unescape(s string) string {
	if !strings.Contains(s, `\x`) {
		return s
	}
	var b strings.Builder
	for i := 0; i < len(s); i++ {
		if s[i] == '\\' && i+3 < len(s) && s[i+1] == 'x' {
			if c, err := strconv.ParseUint(s[i+2:i+4], 16, 8); err == nil {
				b.WriteByte(byte(c))
				i += 3
				continue
			}
		}
		b.WriteByte(s[i])
	}
	return b.String()
}
