package docker

import mw "github.com/minewarden/minewarden"

// The rules' ids.
const (
	ruleOpen      = "docker/open-api"
	ruleNoVerify  = "docker/tls-without-verify"
	ruleCreate    = "docker/anonymous-create"
	ruleSocket    = "docker/socket-mode"
	ruleGroup     = "docker/group-members"
	ruleUserns    = "docker/userns-remap"
	ruleNoNewPriv = "docker/no-new-privileges"
	ruleICC       = "docker/inter-container"
	ruleLive      = "docker/live-restore"
	ruleSeccomp   = "docker/seccomp"
	ruleRegistry  = "docker/insecure-registry"
	rulePriv      = "docker/container-privileged"
	ruleMount     = "docker/container-host-mount"
	ruleSock      = "docker/container-socket"
	ruleHostNS    = "docker/container-host-namespace"
	ruleHostNet   = "docker/container-host-network"
	ruleCaps      = "docker/container-capabilities"
	ruleUnconf    = "docker/container-unconfined"
	ruleMiner     = "docker/container-miner"
	ruleFetch     = "docker/container-download"
	ruleTakeover  = "docker/cve-takeover"
	ruleCVE       = "docker/cve"
)

const campaigns = "TeamTNT and Kinsing scan for open Docker APIs, start a container with / mounted, write cron entries and keys on the host, and mine."

func rules() []mw.Rule {
	in, escape := []string{"T1133", "T1610", "T1611", "T1496.001"}, []string{"T1610", "T1611"}
	cis := func(n string, more ...string) []string { return append([]string{"CIS Docker 1.6.0 " + n}, more...) }
	return []mw.Rule{
		{
			ID: ruleOpen, Severity: mw.Critical, Technique: in, Title: "The Docker API is open on the network", Why: campaigns, References: cis("2.7", "ATT&CK M1035", "ATT&CK M1030", "D3FEND D3-NI"),
			Advice: "Take the tcp:// host out of daemon.json and the unit. Where it must stay: tlsverify with a certificate authority of its own, and a firewall. Whoever reaches it is root.",
		},
		{
			ID: ruleNoVerify, Severity: mw.Critical, Technique: in, Title: "The Docker API takes TLS clients without a certificate", Why: "TLS hides the session and keeps nobody out: " + campaigns, References: cis("2.7", "ATT&CK M1035", "D3FEND D3-CBAN"),
			Advice: "Set tlsverify true with tlscacert.",
		},
		{
			ID: ruleCreate, Severity: mw.Critical, Technique: in, Title: "Strangers may create containers", Why: campaigns, References: cis("2.7", "ATT&CK M1026"),
			Advice: "Close the API as above; an authorization plugin is a second line.",
		},
		{
			ID: ruleSocket, Severity: mw.High, Technique: []string{"T1611", "T1068"}, Title: "The Docker socket is open to more than its group", Why: "The socket is root on the host for whoever may write to it.", References: cis("3.16", "ATT&CK M1022", "D3FEND D3-LFP"),
			Advice: "chmod 0660 and chown root:docker the socket; set SocketMode=0660 in docker.socket.",
		},
		{
			ID: ruleGroup, Severity: mw.Medium, Technique: []string{"T1078", "T1611"}, Title: "Accounts in the docker group are root in all but name", Why: "One stolen password of such an account is the whole host.", References: cis("1.1.2", "ATT&CK M1026", "D3FEND D3-UAP"),
			Advice: "Take people out of the docker group; give them sudo for what they need, or rootless Docker.",
		},
		{ID: ruleUserns, Severity: mw.Low, Technique: escape, Title: "Root in containers is root on the host", Why: "With user namespaces an escape lands as nobody.", References: cis("2.9", "ATT&CK M1048"), Advice: "Set userns-remap to default, after checking volumes' owners."},
		{ID: ruleNoNewPriv, Severity: mw.Low, Technique: []string{"T1548.001"}, Title: "Containers may gain privileges by setuid programs", Why: "It is the usual first step from a web shell to root in the container.", References: cis("2.14", "ATT&CK M1048"), Advice: "Set no-new-privileges true."},
		{ID: ruleICC, Severity: mw.Low, Technique: []string{"T1021"}, Title: "Containers on the default bridge reach each other", Why: "One container taken over finds the next.", References: cis("2.2", "ATT&CK M1030"), Advice: "Set icc false and use networks of your own."},
		{ID: ruleLive, Severity: mw.Informational, Technique: []string{"T1489"}, Title: "Containers stop when the Docker daemon does", Why: "Updates of the daemon are put off for fear of it.", References: cis("2.15"), Advice: "Set live-restore true."},
		{ID: ruleSeccomp, Severity: mw.Medium, Technique: escape, Title: "Containers run without a system call filter", Why: "Most kernel escapes need a call that the default profile refuses.", References: cis("2.17", "ATT&CK M1048", "D3FEND D3-SCF"), Advice: "Use the default seccomp profile."},
		{ID: ruleRegistry, Severity: mw.Low, Technique: []string{"T1525", "T1557"}, Title: "Images are fetched from a registry without verified TLS", Why: "Images can be replaced on the way.", References: cis("2.5"), Advice: "Give the registry a certificate and drop insecure-registries."},
		{ID: rulePriv, Severity: mw.High, Technique: escape, Title: "A container is privileged", Why: "It is root on the host: " + campaigns, References: cis("5.5", "ATT&CK M1048"), Advice: "Start it without --privileged; give the one capability or device it needs."},
		{ID: ruleMount, Severity: mw.High, Technique: escape, Title: "A container mounts a part of the host that owns it", Why: campaigns, References: cis("5.6", "ATT&CK M1048"), Advice: "Mount only the directory needed, never / , /etc or /root, not even read-only: keys and hashes can be read."},
		{ID: ruleSock, Severity: mw.High, Technique: escape, Title: "A container holds a container engine's socket", Why: "The socket is root on the host.", References: cis("5.32", "ATT&CK M1048"), Advice: "Take the socket out; put a filtering proxy in front where a tool needs some of it."},
		{ID: ruleHostNS, Severity: mw.High, Technique: escape, Title: "A container shares the host's processes or memory", Why: "It sees, and with ptrace drives, every process of the host.", References: cis("5.16", "ATT&CK M1048"), Advice: "Start it without --pid=host, --ipc=host and --uts=host."},
		{ID: ruleHostNet, Severity: mw.Low, Technique: []string{"T1610"}, Title: "A container uses the host's network", Why: "It reaches services that trust loopback.", References: cis("5.10"), Advice: "Publish the ports needed instead of --network=host."},
		{ID: ruleCaps, Severity: mw.High, Technique: escape, Title: "A container has capabilities that own the host", Why: "SYS_ADMIN, SYS_MODULE, SYS_PTRACE and their like are ways out.", References: cis("5.4", "ATT&CK M1048"), Advice: "Drop them; most programs need none."},
		{ID: ruleUnconf, Severity: mw.Medium, Technique: escape, Title: "A container runs without seccomp or AppArmor", Why: "It is the line that holds when a kernel bug is known.", References: cis("5.2", "ATT&CK M1048", "D3FEND D3-SCF"), Advice: "Start it without seccomp=unconfined and apparmor=unconfined."},
		{ID: ruleMiner, Severity: mw.Critical, Technique: []string{"T1496.001", "T1610"}, Title: "A container mines, or uses a mining campaign's names", Why: campaigns, References: []string{"D3FEND D3-SEA"}, Advice: "docker pause it, keep docker inspect, logs and a commit as evidence, then remove it; look at the host's cron, keys and ld.so.preload."},
		{ID: ruleFetch, Severity: mw.High, Technique: []string{"T1105", "T1610"}, Title: "A container downloads and runs, or hides, a program", Why: campaigns, References: []string{"D3FEND D3-SEA"}, Advice: "Find out who started it; ship programs in the image."},
		{ID: ruleTakeover, Severity: mw.High, Technique: []string{"T1190"}, Title: "This Docker version has a known hole that passes its access control", Why: "Authorization plugins are often the only access control there is.", References: []string{"ATT&CK M1051"}, Advice: "Update Docker. A distribution may have repaired its package without a new version."},
		{ID: ruleCVE, Severity: mw.Low, Technique: []string{"T1611"}, Title: "This version of Docker, containerd or runc has known vulnerabilities", Why: "Escapes need a container first.", References: []string{"ATT&CK M1051"}, Advice: "Update. A distribution may have repaired its package without a new version: check its changelog."},
	}
}

func containerRules() []string {
	return []string{rulePriv, ruleMount, ruleSock, ruleHostNS, ruleHostNet, ruleCaps, ruleUnconf, ruleMiner, ruleFetch}
}
