package kubernetes

import (
	"fmt"
	"slices"
	"strings"

	"github.com/minewarden/minewarden"
	"github.com/minewarden/minewarden/internal/verdict"
	"github.com/minewarden/minewarden/internal/yamltree"
)

func (s *sheet) binding(name, kind string, d *yamltree.Node) {
	s.bindings++
	role := d.At("roleRef", "name").Text()
	subjects := d.Get("subjects")
	if subjects == nil {
		return
	}
	for _, sub := range subjects.Items {
		who, what := sub.Get("name").Text(), sub.Get("kind").Text()
		ev := evidence("object", name, "role", role, "subject", what+" "+who)
		switch {
		case who == "system:anonymous" || who == "system:unauthenticated" || who == "system:authenticated" && !discovery(role):
			// The roles that Kubernetes itself binds to everybody tell version, health and API paths only.
			if discovery(role) {
				continue
			}
			s.Prove(ruleAnonymousRight, s.at(sub), fmt.Sprintf("%s binds %s to %s", name, role, who), nil, ev...)
		case what == "ServiceAccount" && who == "default":
			s.Prove(ruleDefaultRights, s.at(sub), fmt.Sprintf("%s binds %s to the default service account of %s", name, role, sub.Get("namespace").Text()), nil, ev...)
		case role == "cluster-admin" && kind == "ClusterRoleBinding" && who != "system:masters":
			s.Prove(ruleClusterAdmin, s.at(sub), fmt.Sprintf("%s binds cluster-admin to %s %s", name, what, who), nil, ev...)
		}
	}
}

func discovery(role string) bool {
	return role == "system:public-info-viewer" || role == "system:discovery" || role == "system:basic-user"
}

func (s *sheet) role(name, kind string, d *yamltree.Node) {
	rs := d.Get("rules")
	if rs == nil || d.At("metadata", "name").Text() == "cluster-admin" {
		return
	}
	for _, r := range rs.Items {
		if slices.Contains(r.Get("verbs").Texts(), "*") && slices.Contains(r.Get("resources").Texts(), "*") && slices.Contains(r.Get("apiGroups").Texts(), "*") {
			s.Prove(ruleWildcard, s.at(r), name+" allows every verb on every resource", nil, evidence("object", name, "kind", kind)...)
		}
	}
}

func (s *sheet) service(name string, d *yamltree.Node, key []string) {
	t := d.At("spec", "type")
	if t == nil || t.Text() != "NodePort" && t.Text() != "LoadBalancer" {
		return
	}
	if strings.Contains(strings.ToLower(d.At("metadata", "name").Text()), "kubernetes-dashboard") || d.At("spec", "selector", "k8s-app").Text() == "kubernetes-dashboard" {
		s.Prove(ruleDashboardOpen, s.at(t), name+" is of type "+t.Text(),
			s.set("reachable inside the cluster only", "type: ClusterIP", "ClusterIP", child(key, "spec", "type")), evidence("object", name)...)
	}
}

func (s *sheet) kubelet(d *yamltree.Node, key []string) {
	const format = minewarden.FormatYAML
	if n := d.At("authentication", "anonymous", "enabled"); n.True() {
		s.Prove(ruleKubeletAnon, s.at(n), "authentication.anonymous.enabled is true",
			s.set("anonymous requests are refused", "authentication:\n  anonymous:\n    enabled: false", false, child(key, "authentication", "anonymous", "enabled")))
	} else {
		s.Pass(ruleKubeletAnon, "authentication.anonymous.enabled is not true; the default of a configuration file is false")
	}
	if n := d.At("authorization", "mode"); n.Text() == "AlwaysAllow" {
		s.Prove(ruleKubeletAuthz, s.at(n), "authorization.mode is AlwaysAllow",
			s.set("the API server is asked for each request", "authorization:\n  mode: Webhook", "Webhook", child(key, "authorization", "mode")))
	} else {
		s.Pass(ruleKubeletAuthz, "authorization.mode is not AlwaysAllow; the default of a configuration file is Webhook")
	}
	if n := d.Get("readOnlyPort"); n != nil && n.Text() != "0" {
		s.Prove(ruleKubeletRO, s.at(n), "readOnlyPort is "+n.Text(),
			s.edit("the read-only port is closed; what scrapes it needs port 10250 with a token", "readOnlyPort: 0", verdict.Set(s.path, format, 0, child(key, "readOnlyPort")...)))
	} else {
		s.Pass(ruleKubeletRO, "readOnlyPort is 0, the default of a configuration file")
	}
}

// components judges the control plane's own programs as static pods start them.
func (s *sheet) components(cname, image string, argv []string, c *yamltree.Node) {
	if len(argv) == 0 {
		if !strings.Contains(image, "dashboard") {
			return
		}
	}
	where := c
	for _, k := range []string{"command", "args"} {
		if n := c.Get(k); n != nil {
			where = n
			break
		}
	}
	flags := map[string]string{}
	const maxFlags = 512
	for _, a := range argv {
		if strings.HasPrefix(a, "--") && len(flags) < maxFlags {
			k, v, ok := strings.Cut(a[2:], "=")
			if !ok {
				v = "true"
			}
			flags[k] = v
		}
	}
	s.componentFlags(cname, image, argv, flags, s.at(where))
}

func (s *sheet) componentFlags(cname, image string, argv []string, flags map[string]string, at minewarden.Subject) {
	program := ""
	if len(argv) > 0 {
		program = argv[0][strings.LastIndexByte(argv[0], '/')+1:]
	}
	is := func(name string) bool { return program == name || strings.Contains(image, "/"+name+":") }
	config := func(line string) *minewarden.Repair {
		return &minewarden.Repair{Summary: "replace the argument", Config: "- " + line, Format: minewarden.FormatYAML}
	}
	switch {
	case strings.Contains(image, "kubernetes-dashboard") || strings.Contains(image, "kubernetesui/dashboard") || program == "dashboard":
		for _, f := range []string{"enable-skip-login", "enable-insecure-login", "disable-skip"} {
			if v, ok := flags[f]; ok && v == "true" && f != "disable-skip" {
				s.Prove(ruleDashboard, at, cname+" has --"+f, nil, evidence("flag", "--"+f)...)
			}
		}
		s.Pass(ruleDashboard, cname+" asks for a login")
	case is("kube-apiserver"):
		switch flags["anonymous-auth"] {
		case "false":
			s.Pass(ruleAPIAnon, cname+" has --anonymous-auth=false")
		case "true":
			s.Prove(ruleAPIAnon, at, cname+" has --anonymous-auth=true", config("--anonymous-auth=false"))
		default:
			s.Suspect(ruleAPIAnon, 0.5, at, cname+" leaves --anonymous-auth at its default, true; RBAC decides what anonymous may do", config("--anonymous-auth=false"))
		}
		if v, ok := flags["insecure-port"]; ok && v != "0" {
			s.Prove(ruleAPIInsecure, at, cname+" has --insecure-port="+v, config("--insecure-port=0"))
		} else if v, ok := flags["insecure-bind-address"]; ok {
			s.Prove(ruleAPIInsecure, at, cname+" has --insecure-bind-address="+v, config("--insecure-port=0"))
		}
		s.Pass(ruleAPIInsecure, cname+" has no insecure port")
		if strings.Contains(flags["authorization-mode"], "AlwaysAllow") {
			s.Prove(ruleAPIAuthz, at, cname+" has --authorization-mode="+flags["authorization-mode"], config("--authorization-mode=Node,RBAC"))
		}
		s.Pass(ruleAPIAuthz, cname+" has --authorization-mode="+flags["authorization-mode"])
	case is("etcd"):
		plain := strings.Contains(flags["listen-client-urls"], "http://") && !onlyLoopback(flags["listen-client-urls"])
		if plain || flags["client-cert-auth"] != "true" && flags["listen-client-urls"] != "" && !onlyLoopback(flags["listen-client-urls"]) {
			s.Prove(ruleEtcdOpen, at, cname+" listens on "+flags["listen-client-urls"]+" without --client-cert-auth=true", config("--client-cert-auth=true"))
		}
		s.Pass(ruleEtcdOpen, cname+" asks clients for a certificate, or listens on loopback only")
	case program == "kubelet" || program == "hyperkube":
		if flags["anonymous-auth"] == "true" {
			s.Prove(ruleKubeletAnon, at, cname+" has --anonymous-auth=true", config("--anonymous-auth=false"))
		}
		if flags["authorization-mode"] == "AlwaysAllow" {
			s.Prove(ruleKubeletAuthz, at, cname+" has --authorization-mode=AlwaysAllow", config("--authorization-mode=Webhook"))
		}
		if v := flags["read-only-port"]; v != "" && v != "0" {
			s.Prove(ruleKubeletRO, at, cname+" has --read-only-port="+v, config("--read-only-port=0"))
		}
	}
}

func onlyLoopback(urls string) bool {
	for _, u := range strings.Split(urls, ",") {
		_, host, _ := strings.Cut(u, "://")
		if !strings.HasPrefix(host, "127.") && !strings.HasPrefix(host, "localhost") && !strings.HasPrefix(host, "[::1]") {
			return false
		}
	}
	return true
}
