package kubernetes

import "github.com/minewarden/minewarden"

// The rules' ids.
const (
	rulePrivileged     = "kubernetes/privileged"
	ruleRuntimeSocket  = "kubernetes/runtime-socket"
	ruleHostRoot       = "kubernetes/host-path-sensitive"
	ruleHostPath       = "kubernetes/host-path"
	ruleHostPID        = "kubernetes/host-pid"
	ruleHostNetwork    = "kubernetes/host-network"
	ruleHostIPC        = "kubernetes/host-ipc"
	ruleCapabilities   = "kubernetes/capabilities"
	ruleEscalation     = "kubernetes/privilege-escalation"
	ruleRunAsRoot      = "kubernetes/run-as-root"
	ruleToken          = "kubernetes/default-token"
	ruleDefaultRights  = "kubernetes/default-account-rights"
	ruleClusterAdmin   = "kubernetes/cluster-admin"
	ruleAnonymousRight = "kubernetes/anonymous-rights"
	ruleWildcard       = "kubernetes/wildcard-role"
	ruleDashboard      = "kubernetes/dashboard-skip-login"
	ruleDashboardOpen  = "kubernetes/dashboard-exposed"
	ruleKubeletAnon    = "kubernetes/kubelet-anonymous"
	ruleKubeletAuthz   = "kubernetes/kubelet-always-allow"
	ruleKubeletRO      = "kubernetes/kubelet-read-only-port"
	ruleAPIAnon        = "kubernetes/apiserver-anonymous"
	ruleAPIInsecure    = "kubernetes/apiserver-insecure-port"
	ruleAPIAuthz       = "kubernetes/apiserver-always-allow"
	ruleEtcdOpen       = "kubernetes/etcd-client-auth"
	ruleMiner          = "kubernetes/miner"
	ruleDownloader     = "kubernetes/downloader"
	ruleFlags          = "kubernetes/service-flags"
)

const cis = "CIS Kubernetes 1.9.0 "

func rules() []minewarden.Rule {
	r := func(id, title, advice string, s minewarden.Severity, technique []string, why string, refs ...string) minewarden.Rule {
		return minewarden.Rule{ID: id, Title: title, Advice: advice, Severity: s, Technique: technique, Why: why, References: refs}
	}
	escape := []string{"T1610", "T1611"}
	return []minewarden.Rule{
		r(rulePrivileged, "a container runs privileged", "remove privileged, and grant the one capability or device that is needed",
			minewarden.Critical, escape, "A privileged container owns its node: TeamTNT and Kinsing start one to install their miner on the host.",
			cis+"5.2.2", "ATT&CK M1038", "D3FEND D3-EI"),
		r(ruleRuntimeSocket, "a container is given the container runtime's socket", "remove the mount; use a rootless builder or the Kubernetes API with few rights",
			minewarden.Critical, escape, "The runtime's socket is root on the node: the docker campaigns start the next, privileged container through it.",
			cis+"5.2.12", "ATT&CK M1048", "D3FEND D3-EI"),
		r(ruleHostRoot, "a pod mounts the host's root or a directory that gives the host away", "remove the hostPath volume, or mount the one file that is needed read-only",
			minewarden.Critical, escape, "With / or /etc of the host a pod writes cron, ld.so.preload and authorized_keys, as TeamTNT does after its `/:/host` bind.",
			cis+"5.2.12", "ATT&CK M1048", "D3FEND D3-EI"),
		r(ruleHostPath, "a pod mounts a directory of the host for writing", "use a persistent volume, or set readOnly: true on the mount",
			minewarden.Medium, escape, "A writable directory of the host outlives the pod and is where a miner is left for the host to find.",
			cis+"5.2.12", "ATT&CK M1048", "D3FEND D3-LFP"),
		r(ruleHostPID, "a pod shares the host's process namespace", "remove hostPID", minewarden.High, escape,
			"With the host's processes in sight a container reads their environment and enters their namespaces with nsenter, the usual second step of the docker campaigns.",
			cis+"5.2.3", "ATT&CK M1048", "D3FEND D3-EI"),
		r(ruleHostNetwork, "a pod shares the host's network", "remove hostNetwork and publish the one port that is needed", minewarden.Medium, []string{"T1610", "T1552.005"},
			"On the host's network a pod reaches the metadata service and what listens on loopback; Hildegard took cloud credentials this way.",
			cis+"5.2.5", "ATT&CK M1030", "D3FEND D3-NI"),
		r(ruleHostIPC, "a pod shares the host's IPC namespace", "remove hostIPC", minewarden.Medium, escape,
			"Shared memory of the host's processes can be read and written.", cis+"5.2.4", "ATT&CK M1048", "D3FEND D3-EI"),
		r(ruleCapabilities, "a container is given a capability that leads to the host", "drop ALL and add only what the program needs; never one of SYS_ADMIN, SYS_PTRACE, SYS_MODULE, SYS_RAWIO, DAC_READ_SEARCH, BPF",
			minewarden.High, escape, "Each of these capabilities is enough to leave the container.", cis+"5.2.9", "ATT&CK M1026", "D3FEND D3-UAP"),
		r(ruleEscalation, "a container may gain privileges it was not started with", "set allowPrivilegeEscalation: false", minewarden.Medium, []string{"T1548.001"},
			"A set-uid program in the image makes an exploited service root in its container.", cis+"5.2.6", "ATT&CK M1038", "D3FEND D3-UAP"),
		r(ruleRunAsRoot, "a container is told to run as root", "set runAsNonRoot: true and a runAsUser above 0", minewarden.Low, []string{"T1611"},
			"Root in the container is what most escapes need first.", cis+"5.2.7", "ATT&CK M1026", "D3FEND D3-UAP"),
		r(ruleToken, "a pod gets the default service account's token without asking", "set automountServiceAccountToken: false, or name an account of its own", minewarden.Low, []string{"T1528", "T1552.007"},
			"An exploited pod asks the API server with this token what it may do; Hildegard looked for it in every container.", cis+"5.1.6", "ATT&CK M1026", "D3FEND D3-CH"),
		r(ruleDefaultRights, "the default service account is given rights", "bind the rights to an account that only the pods which need it use", minewarden.High, []string{"T1078.004", "T1528"},
			"Every pod that names no account carries these rights, the exploited one too.", cis+"5.1.5", "ATT&CK M1018", "D3FEND D3-UAP"),
		r(ruleClusterAdmin, "cluster-admin is bound to more than its group", "bind a role with the verbs and resources that are needed", minewarden.High, []string{"T1078.004"},
			"Whoever takes one holder of cluster-admin starts a DaemonSet of miners on every node.", cis+"5.1.1", "ATT&CK M1018", "D3FEND D3-UAP"),
		r(ruleAnonymousRight, "rights are bound to anonymous or to all users", "remove the binding of system:anonymous, system:unauthenticated and system:authenticated", minewarden.Critical, []string{"T1190", "T1078"},
			"Anyone who reaches the API server holds these rights; miners' DaemonSets were started through exactly such bindings.", cis+"5.1.1", "ATT&CK M1018", "D3FEND D3-UAP"),
		r(ruleWildcard, "a role allows everything on everything", "name the verbs and resources", minewarden.Medium, []string{"T1078.004"},
			"A role of wildcards is cluster-admin by another name.", cis+"5.1.3", "ATT&CK M1018", "D3FEND D3-UAP"),
		r(ruleDashboard, "the dashboard lets visitors skip the login", "remove --enable-skip-login and --enable-insecure-login", minewarden.Critical, []string{"T1190", "T1133"},
			"An open dashboard with its account's rights is how Tesla's cluster came to mine in 2018.", "ATT&CK M1032", "D3FEND D3-ACH"),
		r(ruleDashboardOpen, "the dashboard is published outside the cluster", "make the service ClusterIP and reach it by kubectl port-forward", minewarden.High, []string{"T1133"},
			"A dashboard on the internet needs one stolen token or one bug.", "ATT&CK M1035", "D3FEND D3-ITF"),
		r(ruleKubeletAnon, "the kubelet answers anonymous requests", "set authentication.anonymous.enabled: false (or --anonymous-auth=false)", minewarden.Critical, []string{"T1190", "T1609"},
			"Anonymous exec through port 10250 is how Hildegard entered its first pod.", "ATT&CK M1018", "D3FEND D3-ACH"),
		r(ruleKubeletAuthz, "the kubelet allows every request", "set authorization.mode: Webhook", minewarden.Critical, []string{"T1609"},
			"Every authenticated caller, and with anonymous access everyone, runs commands in every pod of the node.", "ATT&CK M1018", "D3FEND D3-ACH"),
		r(ruleKubeletRO, "the kubelet's read-only port is open", "set readOnlyPort: 0", minewarden.High, []string{"T1613"},
			"Port 10255 tells anyone every pod, image and environment of the node.", "ATT&CK M1042", "D3FEND D3-ACH"),
		r(ruleAPIAnon, "the API server admits anonymous requests", "set --anonymous-auth=false, or an AuthenticationConfiguration that admits only health paths", minewarden.Medium, []string{"T1190"},
			"One binding too many for system:anonymous, and the cluster is everybody's.", "ATT&CK M1018", "D3FEND D3-ACH"),
		r(ruleAPIInsecure, "the API server serves without authentication", "remove --insecure-port and --insecure-bind-address", minewarden.Critical, []string{"T1190"},
			"The insecure port skips authentication and authorisation.", "ATT&CK M1035", "D3FEND D3-ACH"),
		r(ruleAPIAuthz, "the API server allows every request", "set --authorization-mode=Node,RBAC", minewarden.Critical, []string{"T1190"},
			"With AlwaysAllow every caller is the administrator.", "ATT&CK M1018", "D3FEND D3-ACH"),
		r(ruleEtcdOpen, "etcd takes clients without a certificate", "set --client-cert-auth=true and --trusted-ca-file, and listen on https", minewarden.Critical, []string{"T1190", "T1552"},
			"Etcd holds every secret and every object of the cluster.", "ATT&CK M1035", "D3FEND D3-MAN"),
		r(ruleMiner, "the manifest starts a miner", "delete the object, find who applied it, and rotate what its account could read", minewarden.Critical, []string{"T1496.001", "T1610"},
			"Miners come as ordinary Deployments and DaemonSets once the API is reachable.", "ATT&CK M1042", "D3FEND D3-EAL"),
		r(ruleDownloader, "the manifest fetches a script and runs it", "put the program into the image, pinned by digest", minewarden.High, []string{"T1105", "T1059.004"},
			"curl piped into a shell is the first line of every loader, and whoever holds the address decides what runs.", "ATT&CK M1033", "D3FEND D3-EAL"),
		r(ruleFlags, "the manifest starts a service with its door open", "start it from a configuration file with access control on", minewarden.High, []string{"T1190"},
			"JINX-0132 looks for exactly these services: Nomad, Consul, Docker and Gitea as they come out of a demonstration.", "ATT&CK M1042", "D3FEND D3-ACH"),
	}
}
