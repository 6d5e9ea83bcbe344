package compose

import "github.com/minewarden/minewarden"

// The rules' ids.
const (
	rulePrivileged = "compose/privileged"
	ruleSocket     = "compose/runtime-socket"
	ruleHostRoot   = "compose/host-path-sensitive"
	ruleHostPath   = "compose/host-path"
	rulePID        = "compose/host-pid"
	ruleNetwork    = "compose/host-network"
	ruleIPC        = "compose/host-ipc"
	ruleCaps       = "compose/capabilities"
	ruleConfined   = "compose/unconfined"
	ruleDevices    = "compose/devices"
	rulePublished  = "compose/control-port-published"
	ruleDockerTLS  = "compose/docker-without-tls"
	ruleFlags      = "compose/service-flags"
	ruleEnv        = "compose/service-environment"
	ruleMiner      = "compose/miner"
	ruleDownloader = "compose/downloader"
)

const cis = "CIS Docker 1.6.0 "

func rules() []minewarden.Rule {
	r := func(id, title, advice string, s minewarden.Severity, technique []string, why string, refs ...string) minewarden.Rule {
		return minewarden.Rule{ID: id, Title: title, Advice: advice, Severity: s, Technique: technique, Why: why, References: refs}
	}
	escape := []string{"T1610", "T1611"}
	return []minewarden.Rule{
		r(rulePrivileged, "a service runs privileged", "remove privileged and add the one capability or device that is needed", minewarden.Critical, escape,
			"A privileged container owns its host: TeamTNT and Kinsing start one to install their miner.", cis+"5.5", "ATT&CK M1038", "D3FEND D3-EI"),
		r(ruleSocket, "a service is given the container runtime's socket", "remove the mount, or put a filtering proxy between", minewarden.Critical, escape,
			"The socket is root on the host: who takes the service starts a privileged container, as the docker campaigns do.", cis+"5.32", "ATT&CK M1048", "D3FEND D3-EI"),
		r(ruleHostRoot, "a service mounts the host's root or a directory that gives the host away", "remove the mount, or mount the one file that is needed with :ro", minewarden.Critical, escape,
			"The `/:/host` bind and a chroot are the whole escape of TeamTNT.", cis+"5.6", "ATT&CK M1048", "D3FEND D3-EI"),
		r(ruleHostPath, "a service writes to a system directory of the host", "use a named volume, or add :ro", minewarden.Medium, escape,
			"What a container leaves in a system directory, the host may run.", cis+"5.6", "ATT&CK M1048", "D3FEND D3-LFP"),
		r(rulePID, "a service shares the host's process namespace", "remove pid: host", minewarden.High, escape,
			"With pid=host a container enters the host's namespaces through /proc; the docker campaigns ask for it.", cis+"5.16", "ATT&CK M1048", "D3FEND D3-EI"),
		r(ruleNetwork, "a service shares the host's network", "remove network_mode: host and publish the ports that are needed", minewarden.Medium, []string{"T1610", "T1552.005"},
			"It reaches what listens on loopback, and the cloud's metadata service.", cis+"5.10", "ATT&CK M1030", "D3FEND D3-NI"),
		r(ruleIPC, "a service shares the host's IPC or user namespace", "remove ipc: host, uts: host and userns_mode: host", minewarden.Medium, escape,
			"Shared namespaces lead to the host's processes.", cis+"5.17", "ATT&CK M1048", "D3FEND D3-EI"),
		r(ruleCaps, "a service is given a capability that leads to the host", "drop ALL and add what the program needs", minewarden.High, escape,
			"Each of these capabilities is enough to leave the container.", cis+"5.4", "ATT&CK M1026", "D3FEND D3-UAP"),
		r(ruleConfined, "a service runs without seccomp, AppArmor or SELinux", "remove the option and keep the default profile", minewarden.High, escape,
			"The default profiles stop most kernel exploits and mounts from inside.", cis+"5.22", "ATT&CK M1038", "D3FEND D3-SCF"),
		r(ruleDevices, "a service is given the host's memory or disks", "remove the device", minewarden.Critical, escape,
			"Memory and raw disks of the host are the host.", cis+"5.18", "ATT&CK M1048", "D3FEND D3-EI"),
		r(rulePublished, "a control port is published on every address", "publish it on 127.0.0.1 or on the management address only", minewarden.High, []string{"T1190", "T1133"},
			"JINX-0132 and the docker campaigns find these ports by scanning; Docker opens published ports past the host's firewall rules.", cis+"5.14", "ATT&CK M1035", "D3FEND D3-ITF"),
		r(ruleDockerTLS, "the Docker API is used or served without TLS", "keep DOCKER_TLS_CERTDIR=/certs and use port 2376", minewarden.High, []string{"T1133", "T1610"},
			"The Docker API without client certificates is root for whoever reaches it.", cis+"2.7", "ATT&CK M1035", "D3FEND D3-MAN"),
		r(ruleFlags, "a service is started with its door open", "start it from a configuration file with access control on", minewarden.High, []string{"T1190"},
			"JINX-0132 looks for Nomad, Consul, Docker and Gitea as they come out of a demonstration.", "ATT&CK M1042", "D3FEND D3-ACH"),
		r(ruleEnv, "a service's environment opens its door", "set the variable as the repair shows", minewarden.High, []string{"T1190", "T1546"},
			"Settings in the environment override the file that was reviewed.", "ATT&CK M1042", "D3FEND D3-ACH"),
		r(ruleMiner, "the file starts a miner", "remove the service, and find who committed it", minewarden.Critical, []string{"T1496.001"},
			"Miners are brought as ordinary containers.", "ATT&CK M1042", "D3FEND D3-EAL"),
		r(ruleDownloader, "a service fetches a script and runs it", "put the program into the image, pinned by digest", minewarden.High, []string{"T1105", "T1059.004"},
			"Whoever holds the address decides what runs; it is the first line of every loader.", "ATT&CK M1033", "D3FEND D3-EAL"),
	}
}
