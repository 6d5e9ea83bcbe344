package kubernetes

import (
	"fmt"
	"path"
	"strconv"
	"strings"

	"github.com/minewarden/minewarden"
	"github.com/minewarden/minewarden/internal/shady"
	"github.com/minewarden/minewarden/internal/verdict"
	"github.com/minewarden/minewarden/internal/yamltree"
)

func (s *sheet) pod(name string, spec *yamltree.Node, key []string) {
	if spec == nil || spec.Kind != yamltree.Map {
		return
	}
	s.pods++
	for _, h := range []struct{ field, rule string }{{"hostPID", ruleHostPID}, {"hostNetwork", ruleHostNetwork}, {"hostIPC", ruleHostIPC}} {
		if p := spec.Pair(h.field); p != nil && p.Value.True() {
			s.Prove(h.rule, s.atPair(p), fmt.Sprintf("%s has %s: true", name, h.field),
				s.set("share the namespace no more", h.field+": false", false, child(key, h.field)), evidence("object", name, h.field, "true")...)
		}
	}
	s.volumes(name, spec, key)
	s.token(name, spec, key)
	s.security(name, spec.Get("securityContext"), child(key, "securityContext"), true)
	for _, list := range []string{"containers", "initContainers", "ephemeralContainers"} {
		cs := spec.Get(list)
		if cs == nil {
			continue
		}
		for i, c := range cs.Items {
			s.container(name, c, child(key, list, strconv.Itoa(i)))
		}
	}
}

// sockets are the control sockets of the runtimes, and the directories that hold them.
var sockets = [...]string{"docker.sock", "containerd.sock", "crio.sock", "podman.sock", "cri-dockerd.sock"}

// sensitive are the directories whose content decides what the host runs or whom it trusts.
var sensitive = [...]string{
	"/", "/etc", "/root", "/home", "/boot", "/proc", "/sys", "/dev", "/usr", "/bin", "/sbin", "/lib", "/lib64", "/var", "/var/lib",
	"/var/run", "/run", "/run/containerd", "/var/run/docker", "/run/docker", "/var/lib/docker", "/var/lib/kubelet", "/var/lib/containerd", "/var/lib/etcd", "/var/spool/cron",
	"/etc/cron.d", "/etc/kubernetes", "/etc/kubernetes/manifests", "/etc/systemd", "/etc/systemd/system", "/root/.ssh",
}

func isSensitive(p string) bool {
	for _, s := range sensitive {
		if p == s {
			return true
		}
	}
	return strings.HasPrefix(p, "/etc/cron") || strings.HasPrefix(p, "/etc/kubernetes") || strings.HasSuffix(p, "/.ssh") || strings.HasPrefix(p, "/proc/sys")
}

func isSocket(p string) bool {
	for _, s := range sockets {
		if strings.HasSuffix(p, "/"+s) {
			return true
		}
	}
	return false
}

func (s *sheet) volumes(name string, spec *yamltree.Node, key []string) {
	vs := spec.Get("volumes")
	if vs == nil {
		return
	}
	for _, v := range vs.Items {
		hp := v.Pair("hostPath")
		if hp == nil {
			continue
		}
		p := hp.Value.Get("path").Text()
		if p == "" {
			continue
		}
		clean := path.Clean("/" + p)
		vol := v.Get("name").Text()
		mounted, writable, at := s.mounts(spec, vol)
		ev := evidence("object", name, "volume", vol, "hostPath", p, "mounted", strings.Join(at, " "))
		switch {
		case isSocket(clean):
			s.Prove(ruleRuntimeSocket, s.atPair(hp), fmt.Sprintf("%s mounts %s", name, p), nil, ev...)
		case isSensitive(clean) && (writable || clean == "/" || !mounted):
			s.Prove(ruleHostRoot, s.atPair(hp), fmt.Sprintf("%s mounts %s of the host", name, p), s.readOnly(spec, vol, key), ev...)
		case isSensitive(clean):
			s.Suspect(ruleHostPath, 0.6, s.atPair(hp), fmt.Sprintf("%s reads %s of the host", name, p), nil, ev...)
		case writable:
			s.Prove(ruleHostPath, s.atPair(hp), fmt.Sprintf("%s writes to %s of the host", name, p), s.readOnly(spec, vol, key), ev...)
		}
	}
}

// mounts tells whether and how the containers of a pod mount a volume.
func (s *sheet) mounts(spec *yamltree.Node, vol string) (mounted, writable bool, at []string) {
	eachMount(spec, vol, func(_ string, _, _ int, m *yamltree.Node) {
		mounted = true
		writable = writable || !m.Get("readOnly").True()
		if len(at) < 8 {
			at = append(at, m.Get("mountPath").Text())
		}
	})
	return mounted, writable, at
}

func eachMount(spec *yamltree.Node, vol string, f func(list string, container, mount int, m *yamltree.Node)) {
	for _, list := range []string{"containers", "initContainers", "ephemeralContainers"} {
		cs := spec.Get(list)
		if cs == nil {
			continue
		}
		for i, c := range cs.Items {
			ms := c.Get("volumeMounts")
			if ms == nil {
				continue
			}
			for j, m := range ms.Items {
				if m.Get("name").Text() == vol {
					f(list, i, j, m)
				}
			}
		}
	}
}

// readOnly makes every mount of a volume read-only. The root of the host is not safe that way, so it has no such repair.
func (s *sheet) readOnly(spec *yamltree.Node, vol string, key []string) *minewarden.Repair {
	r := &minewarden.Repair{Summary: "mount the host's directory read-only; what writes there will fail", Config: "readOnly: true", Format: minewarden.FormatYAML}
	for _, v := range spec.Get("volumes").Items {
		if v.Get("name").Text() == vol && path.Clean("/"+v.At("hostPath", "path").Text()) == "/" {
			return nil
		}
	}
	eachMount(spec, vol, func(list string, i, j int, m *yamltree.Node) {
		if !m.Get("readOnly").True() {
			r.Edits = append(r.Edits, verdict.Set(s.path, minewarden.FormatYAML, true, child(key, list, strconv.Itoa(i), "volumeMounts", strconv.Itoa(j), "readOnly")...))
		}
	})
	if len(r.Edits) == 0 {
		return nil
	}
	return r
}

func (s *sheet) token(name string, spec *yamltree.Node, key []string) {
	account := spec.Get("serviceAccountName").Text()
	if account == "" {
		account = spec.Get("serviceAccount").Text()
	}
	if (account == "" || account == "default") && !spec.Get("automountServiceAccountToken").False() {
		s.Prove(ruleToken, s.at(spec), name+" runs as the default service account with its token mounted",
			s.set("mount no token; a pod that calls the API server needs an account of its own", "automountServiceAccountToken: false", false,
				child(key, "automountServiceAccountToken")), evidence("object", name)...)
	}
}

// dangerous are the capabilities with which a process leaves its container.
var dangerous = [...]string{"ALL", "SYS_ADMIN", "SYS_PTRACE", "SYS_MODULE", "SYS_RAWIO", "DAC_READ_SEARCH", "DAC_OVERRIDE", "BPF", "SYS_BOOT", "NET_ADMIN", "MAC_ADMIN", "SYSLOG", "PERFMON"}

func (s *sheet) security(name string, sc *yamltree.Node, key []string, pod bool) {
	if sc == nil {
		return
	}
	if p := sc.Pair("privileged"); p != nil && p.Value.True() && !pod {
		s.Prove(rulePrivileged, s.atPair(p), name+" has privileged: true",
			s.set("run without the host's devices and capabilities", "privileged: false", false, child(key, "privileged")), evidence("object", name)...)
	}
	if p := sc.Pair("allowPrivilegeEscalation"); p != nil && p.Value.True() {
		s.Prove(ruleEscalation, s.atPair(p), name+" has allowPrivilegeEscalation: true",
			s.set("ignore set-uid bits in the container", "allowPrivilegeEscalation: false", false, child(key, "allowPrivilegeEscalation")), evidence("object", name)...)
	}
	if p := sc.Pair("runAsUser"); p != nil && p.Value.Text() == "0" {
		s.Prove(ruleRunAsRoot, s.atPair(p), name+" has runAsUser: 0", nil, evidence("object", name)...)
	}
	add := sc.At("capabilities", "add")
	if add == nil {
		return
	}
	var bad, keep []string
	for _, c := range add.Texts() {
		if isDangerous(c) {
			bad = append(bad, c)
		} else {
			keep = append(keep, c)
		}
	}
	if len(bad) > 0 {
		if keep == nil {
			keep = []string{}
		}
		s.Prove(ruleCapabilities, s.at(add), fmt.Sprintf("%s adds %s", name, strings.Join(bad, " ")),
			s.set("leave out the capabilities that lead to the host", fmt.Sprintf("add: [%s]", strings.Join(keep, ", ")), keep, child(key, "capabilities", "add")),
			evidence("object", name, "capabilities", strings.Join(bad, " "))...)
	}
}

func isDangerous(c string) bool {
	c = strings.TrimPrefix(strings.ToUpper(c), "CAP_")
	for _, d := range dangerous {
		if c == d {
			return true
		}
	}
	return false
}

func (s *sheet) container(name string, c *yamltree.Node, key []string) {
	cname := name + " container " + c.Get("name").Text()
	s.security(cname, c.Get("securityContext"), child(key, "securityContext"), false)
	argv := append(c.Get("command").Texts(), c.Get("args").Texts()...)
	text := strings.Join(argv, " ")
	image := c.Get("image").Text()
	where := c.Get("command")
	if where == nil {
		where = c.Get("args")
	}
	if v := s.a.judge.Image(image); v.Kind == shady.Miner {
		s.Prove(ruleMiner, s.atPair(c.Pair("image")), cname+" runs the image "+image, nil, evidence("object", name, "image", image)...)
	} else if v := s.a.judge.Command(text); where != nil && v.Kind == shady.Miner {
		s.Prove(ruleMiner, s.at(where), cname+" starts "+v.Text, nil, evidence("object", name, "command", text)...)
	} else if where != nil && v.Kind == shady.Downloader {
		s.Prove(ruleDownloader, s.at(where), cname+" runs "+v.Text, nil, evidence("object", name, "command", text)...)
	}
	for _, f := range shady.Flaws(append([]string{baseImage(image)}, argv...)) {
		s.Prove(ruleFlags, s.at(where), fmt.Sprintf("%s starts %s with %s: %s", cname, f.Product, f.Text, f.Why), nil, evidence("object", name, "flag", f.Text)...)
	}
	s.components(cname, image, argv, c)
}

// baseImage is the program that an image of one of the products starts, "" of other images.
func baseImage(image string) string {
	image, _, _ = strings.Cut(image, "@")
	base := image[strings.LastIndexByte(image, '/')+1:]
	base, _, _ = strings.Cut(base, ":")
	switch base {
	case "nomad", "consul", "gitea":
		return base
	case "docker":
		return "dockerd"
	}
	return "env"
}
