package compose

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

const format = minewarden.FormatYAML

func (s *sheet) service(name string, n *yamltree.Node, key []string) {
	ev := func(kv ...string) []minewarden.Evidence {
		return verdict.Evidence(append([]string{"service", name}, kv...)...)
	}
	if p := n.Pair("privileged"); p != nil && p.Value.True() {
		s.Prove(rulePrivileged, s.atPair(p), name+" has privileged: true", s.repair("run without the host's devices and capabilities", "privileged: false",
			verdict.Set(s.path, format, false, child(key, "privileged")...)), ev()...)
	}
	for _, h := range []struct{ field, rule string }{{"pid", rulePID}, {"network_mode", ruleNetwork}, {"ipc", ruleIPC}, {"uts", ruleIPC}, {"userns_mode", ruleIPC}} {
		if p := n.Pair(h.field); p != nil && p.Value.Text() == "host" {
			s.Prove(h.rule, s.atPair(p), fmt.Sprintf("%s has %s: host", name, h.field), s.remove("give the service a namespace of its own", child(key, h.field)), ev(h.field, "host")...)
		}
	}
	s.lists(name, n, key)
	if v := n.Get("volumes"); v != nil {
		for i, m := range v.Items {
			s.mount(name, m, child(key, "volumes", strconv.Itoa(i)))
		}
	}
	if v := n.Get("ports"); v != nil {
		for i, p := range v.Items {
			s.port(name, p, child(key, "ports", strconv.Itoa(i)))
		}
	}
	s.commands(name, n)
	s.environment(name, n, key)
}

func (s *sheet) lists(name string, n *yamltree.Node, key []string) {
	if add := n.Get("cap_add"); add != nil {
		var bad []string
		keep := []string{}
		for _, c := range add.Texts() {
			if dangerous(c) {
				bad = append(bad, c)
			} else {
				keep = append(keep, c)
			}
		}
		if len(bad) > 0 {
			s.Prove(ruleCaps, s.at(add), name+" adds "+strings.Join(bad, " "), s.repair("leave out the capabilities that lead to the host",
				fmt.Sprintf("cap_add: [%s]", strings.Join(keep, ", ")), verdict.Set(s.path, format, keep, child(key, "cap_add")...)),
				verdict.Evidence("service", name, "capabilities", strings.Join(bad, " "))...)
		}
	}
	if opts := n.Get("security_opt"); opts != nil {
		for i, o := range opts.Items {
			switch strings.ReplaceAll(strings.ToLower(o.Text()), "=", ":") {
			case "seccomp:unconfined", "apparmor:unconfined", "label:disable", "systempaths:unconfined":
				s.Prove(ruleConfined, s.at(o), name+" has "+o.Text(), s.remove("keep the default profile", child(key, "security_opt", strconv.Itoa(i))),
					verdict.Evidence("service", name, "security_opt", o.Text())...)
			}
		}
	}
	if devs := n.Get("devices"); devs != nil {
		for i, d := range devs.Items {
			text := d.Text()
			if text == "" {
				text = d.Get("source").Text()
			}
			host, _, _ := strings.Cut(text, ":")
			if hostDevice(host) {
				s.Prove(ruleDevices, s.at(d), name+" gets "+host, s.remove("take the device away", child(key, "devices", strconv.Itoa(i))),
					verdict.Evidence("service", name, "device", host)...)
			}
		}
	}
}

func hostDevice(dev string) bool {
	for _, p := range []string{"/dev/mem", "/dev/kmem", "/dev/port", "/dev/sd", "/dev/nvme", "/dev/vd", "/dev/xvd", "/dev/dm-", "/dev/mapper/", "/dev/disk/", "/dev/kmsg"} {
		if strings.HasPrefix(dev, p) {
			return true
		}
	}
	return dev == "/dev" || dev == "/dev/"
}

func dangerous(c string) bool {
	switch strings.TrimPrefix(strings.ToUpper(c), "CAP_") {
	case "ALL", "SYS_ADMIN", "SYS_PTRACE", "SYS_MODULE", "SYS_RAWIO", "DAC_READ_SEARCH", "BPF", "SYS_BOOT", "NET_ADMIN", "MAC_ADMIN", "SYSLOG", "PERFMON":
		return true
	}
	return false
}

// mount judges one entry of volumes, short ("/src:/dst:ro") or long.
func (s *sheet) mount(name string, m *yamltree.Node, key []string) {
	source, ro := "", false
	var fix *minewarden.Repair
	if m.Kind == yamltree.Map {
		if t := m.Get("type").Text(); t != "" && t != "bind" {
			return
		}
		source, ro = m.Get("source").Text(), m.Get("read_only").True()
		fix = s.repair("mount it read-only; what writes there will fail", "read_only: true", verdict.Set(s.path, format, true, child(key, "read_only")...))
	} else {
		parts := splitMount(m.Text())
		if len(parts) < 2 {
			return
		}
		source = parts[0]
		if len(parts) > 2 {
			for _, o := range strings.Split(parts[2], ",") {
				ro = ro || o == "ro"
			}
		}
		fixed := parts[0] + ":" + parts[1] + ":ro"
		fix = s.repair("mount it read-only; what writes there will fail", "- "+fixed, verdict.Set(s.path, format, fixed, key...))
	}
	if !strings.HasPrefix(source, "/") {
		return // a named volume, a path of the project, or a variable
	}
	clean := path.Clean(source)
	ev := verdict.Evidence("service", name, "source", source)
	switch {
	case isSocket(clean):
		s.Prove(ruleSocket, s.at(m), name+" mounts "+source, s.remove("take the socket away; the service must do without Docker", key), ev...)
	case clean == "/" && ro:
		s.Prove(ruleHostRoot, s.at(m), name+" reads the whole host, its secrets too", nil, ev...)
	case clean == "/":
		s.Prove(ruleHostRoot, s.at(m), name+" mounts the host's root", nil, ev...)
	case sensitive(clean) && !ro:
		s.Prove(ruleHostRoot, s.at(m), name+" mounts "+source+" of the host for writing", fix, ev...)
	case system(clean) && !ro:
		s.Prove(ruleHostPath, s.at(m), name+" writes to "+source+" of the host", fix, ev...)
	}
}

// splitMount cuts a short mount at its colons, but not inside a ${VAR:-default}.
func splitMount(t string) []string {
	var out []string
	depth, from := 0, 0
	for i := 0; i < len(t); i++ {
		switch t[i] {
		case '{':
			depth++
		case '}':
			depth--
		case ':':
			if depth <= 0 {
				out = append(out, t[from:i])
				from = i + 1
			}
		}
	}
	return append(out, t[from:])
}

func isSocket(p string) bool {
	switch path.Base(p) {
	case "docker.sock", "containerd.sock", "podman.sock", "crio.sock":
		return true
	}
	return p == "/var/run" || p == "/run"
}

func sensitive(p string) bool {
	switch p {
	case "/etc", "/root", "/home", "/boot", "/proc", "/sys", "/dev", "/usr", "/bin", "/sbin", "/lib", "/usr/bin", "/usr/sbin", "/usr/lib", "/var", "/var/lib", "/var/lib/docker",
		"/var/lib/containerd", "/var/lib/kubelet", "/var/spool/cron", "/etc/systemd", "/etc/systemd/system", "/etc/ssh", "/etc/pam.d", "/etc/ld.so.preload", "/etc/sudoers", "/etc/passwd", "/etc/shadow":
		return true
	}
	return strings.HasPrefix(p, "/etc/cron") || strings.HasPrefix(p, "/etc/sudoers.d") || strings.HasSuffix(p, "/.ssh") || strings.HasPrefix(p, "/proc/sys")
}

func system(p string) bool {
	for _, d := range []string{"/etc/", "/usr/", "/boot/", "/sys/", "/proc/", "/dev/", "/lib/", "/root/"} {
		if strings.HasPrefix(p, d) && p != "/etc/localtime" && p != "/etc/timezone" && p != "/dev/shm" && !strings.HasPrefix(p, "/dev/dri") && p != "/usr/src" {
			return true
		}
	}
	return false
}

// controlPorts are the ports on which the services that campaigns take over are controlled.
func controlPort(p string) string {
	switch p {
	case "2375", "2376":
		return "Docker API"
	case "4646", "4647":
		return "Nomad"
	case "8500", "8501":
		return "Consul"
	case "6379":
		return "Redis"
	case "10250", "10255":
		return "kubelet"
	case "2379":
		return "etcd"
	case "8265":
		return "Ray dashboard"
	case "8888":
		return "Jupyter"
	case "4444":
		return "Selenium Grid"
	case "9200":
		return "Elasticsearch"
	case "27017":
		return "MongoDB"
	}
	return ""
}

func (s *sheet) port(name string, p *yamltree.Node, key []string) {
	host, target := "", ""
	var fix *minewarden.Repair
	if p.Kind == yamltree.Map {
		host, target = p.Get("host_ip").Text(), p.Get("target").Text()
		if p.Get("published") == nil {
			return
		}
		fix = s.repair("publish on loopback only", `host_ip: 127.0.0.1`, verdict.Set(s.path, format, "127.0.0.1", child(key, "host_ip")...))
	} else {
		text, _, _ := strings.Cut(p.Text(), "/")
		rest := text
		if strings.HasPrefix(rest, "[") { // [::]:8500:8500
			var ok bool
			if host, rest, ok = strings.Cut(rest[1:], "]:"); !ok {
				return
			}
		}
		parts := splitMount(rest)
		switch {
		case len(parts) == 1 && host == "":
			return // the container's port on a random port
		case len(parts) == 3:
			host = parts[0]
			parts = parts[1:]
		}
		target = parts[len(parts)-1]
		if len(parts) == 2 {
			fixed := "127.0.0.1:" + parts[0] + ":" + p.Text()[strings.LastIndex(p.Text(), ":")+1:]
			fix = s.repair("publish on loopback only", `- "`+fixed+`"`, verdict.Set(s.path, format, fixed, key...))
		}
	}
	what := controlPort(target)
	if what == "" || host != "" && !shady.AllAddresses(host) {
		return
	}
	s.Prove(rulePublished, s.at(p), fmt.Sprintf("%s publishes port %s (%s) on every address", name, target, what), fix, verdict.Evidence("service", name, "port", target)...)
}

func (s *sheet) commands(name string, n *yamltree.Node) {
	image := n.Get("image").Text()
	if v := s.a.judge.Image(image); v.Kind == shady.Miner {
		s.Prove(ruleMiner, s.atPair(n.Pair("image")), name+" runs the image "+image, nil, verdict.Evidence("service", name, "image", image)...)
	}
	var argv []string
	var where *yamltree.Node
	for _, k := range []string{"entrypoint", "command"} {
		c := n.Get(k)
		if c == nil {
			continue
		}
		where = c
		words := c.Texts()
		if c.Kind == yamltree.Scalar {
			words = shady.Fields(c.Text())
		}
		text := strings.Join(words, " ")
		switch v := s.a.judge.Command(text); v.Kind {
		case shady.Miner:
			s.Prove(ruleMiner, s.at(c), name+" starts "+v.Text, nil, verdict.Evidence("service", name, "command", text)...)
		case shady.Downloader:
			s.Prove(ruleDownloader, s.at(c), name+" runs "+v.Text, nil, verdict.Evidence("service", name, "command", text)...)
		}
		argv = append(argv, words...)
	}
	if where == nil {
		return
	}
	if shady.Product(argv) == "" {
		argv = append([]string{program(image)}, argv...)
	}
	for _, f := range shady.Flaws(argv) {
		s.Prove(ruleFlags, s.at(where), fmt.Sprintf("%s starts %s with %s: %s", name, f.Product, f.Text, f.Why), nil, verdict.Evidence("service", name, "flag", f.Text)...)
	}
}

// program is what an image of one of the products starts by itself.
func program(image string) string {
	image, _, _ = strings.Cut(image, "@")
	base, _, _ := strings.Cut(image[strings.LastIndexByte(image, '/')+1:], ":")
	switch base {
	case "nomad", "consul", "gitea":
		return base
	case "docker":
		return "dockerd"
	}
	return "env"
}

func (s *sheet) environment(name string, n *yamltree.Node, key []string) {
	env := n.Get("environment")
	if env == nil {
		return
	}
	type entry struct {
		k, v string
		at   minewarden.Subject
		key  []string
		list bool
	}
	var es []entry
	for _, p := range env.Pairs {
		es = append(es, entry{p.Key, p.Value.Text(), s.atPair(&p), child(key, "environment", p.Key), false})
	}
	for i, item := range env.Items {
		k, v, _ := strings.Cut(item.Text(), "=")
		es = append(es, entry{k, v, s.at(item), child(key, "environment", strconv.Itoa(i)), true})
	}
	dind := strings.Contains(n.Get("image").Text(), "docker:") && strings.Contains(n.Get("image").Text(), "dind")
	for _, e := range es {
		set := func(summary, v string) *minewarden.Repair {
			if e.list {
				return s.repair(summary, "- "+e.k+"="+v, verdict.Set(s.path, format, e.k+"="+v, e.key...))
			}
			return s.repair(summary, e.k+`: "`+v+`"`, verdict.Set(s.path, format, v, e.key...))
		}
		ev := verdict.Evidence("service", name, "variable", e.k)
		switch e.k {
		case "DOCKER_TLS_CERTDIR":
			if e.v == "" && dind {
				s.Prove(ruleDockerTLS, e.at, name+" serves Docker without TLS: DOCKER_TLS_CERTDIR is empty", set("make and use certificates", "/certs"), ev...)
			}
		case "DOCKER_HOST":
			if strings.HasPrefix(e.v, "tcp://") && strings.Contains(e.v, ":2375") {
				s.Suspect(ruleDockerTLS, 0.7, e.at, name+" reaches Docker without TLS: "+e.v, nil, ev...)
			}
		case "GITEA__security__DISABLE_GIT_HOOKS":
			if strings.EqualFold(e.v, "false") {
				s.Prove(ruleEnv, e.at, name+" lets users who may edit hooks run commands on the server", set("switch git hooks off", "true"), ev...)
			}
		case "GITEA__service__DISABLE_REGISTRATION":
			if strings.EqualFold(e.v, "false") {
				s.Prove(ruleEnv, e.at, name+" lets anyone register", set("switch registration off", "true"), ev...)
			}
		case "GITEA__security__INSTALL_LOCK":
			if strings.EqualFold(e.v, "false") {
				s.Prove(ruleEnv, e.at, name+" shows the installation page to whoever comes first", set("lock the installation", "true"), ev...)
			}
		case "CONSUL_LOCAL_CONFIG":
			if strings.Contains(strings.ReplaceAll(e.v, " ", ""), `"enable_script_checks":true`) {
				s.Prove(ruleEnv, e.at, name+" lets the HTTP API register checks that run commands", nil, ev...)
			}
		}
	}
}
