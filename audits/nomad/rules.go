package nomad

import mw "github.com/minewarden/minewarden"

// The rules' ids.
const (
	ruleACL         = "nomad/acl-disabled"
	ruleSubmit      = "nomad/anonymous-submit"
	ruleRawExecAnon = "nomad/anonymous-raw-exec"
	ruleRead        = "nomad/anonymous-read"
	ruleRawExec     = "nomad/raw-exec-enabled"
	ruleTLSHTTP     = "nomad/tls-http"
	ruleTLSRPC      = "nomad/tls-rpc"
	ruleTLSName     = "nomad/verify-server-hostname"
	ruleMTLS        = "nomad/client-certificates"
	ruleCert        = "nomad/certificate"
	ruleGossip      = "nomad/gossip-encryption"
	ruleListen      = "nomad/listen-all"
	ruleDebug       = "nomad/enable-debug"
	ruleDev         = "nomad/dev-mode"
	ruleDockerPriv  = "nomad/docker-privileged"
	ruleDockerVol   = "nomad/docker-volumes"
	ruleJobMiner    = "nomad/job-miner"
	ruleJobFetch    = "nomad/job-download"
	ruleJobShell    = "nomad/job-shell"
	ruleJobPriv     = "nomad/job-privileged"
	ruleJobMount    = "nomad/job-host-mount"
	ruleJobScript   = "nomad/job-script-check"
	ruleJobArtifact = "nomad/job-artifact"
	ruleTakeover    = "nomad/cve-takeover"
	ruleCVE         = "nomad/cve"
)

const jinx = "The JINX-0132 campaign (2025) submitted jobs to Nomad servers without ACLs, which downloaded stock XMRig and mined with it."

func rules() []mw.Rule {
	hijack := []string{"T1190", "T1053.007", "T1496.001"}
	return []mw.Rule{
		{
			ID: ruleACL, Severity: mw.High, Technique: hijack, Title: "Nomad access control is off",
			Advice: "Set acl { enabled = true } on every agent, then run nomad acl bootstrap once and hand out tokens with least privilege.",
			Why:    jinx, References: []string{"ATT&CK M1026", "ATT&CK M1035", "D3FEND D3-UAP"},
		},
		{
			ID: ruleSubmit, Severity: mw.Critical, Technique: hijack, Title: "Anyone who reaches the Nomad API can submit jobs",
			Advice: "Enable ACLs; where they are on, take submit-job and write out of the anonymous policy. Let only operators reach port 4646.",
			Why:    jinx, References: []string{"ATT&CK M1026", "ATT&CK M1030", "D3FEND D3-UAP", "D3FEND D3-NI"},
		},
		{
			ID: ruleRawExecAnon, Severity: mw.Critical, Technique: append([]string{"T1059.004"}, hijack...), Title: "Anyone can run commands as Nomad's user on its clients",
			Advice: "Close anonymous submission, and disable the raw_exec driver: its tasks run without isolation, as the agent's user, usually root.",
			Why:    jinx, References: []string{"ATT&CK M1042", "ATT&CK M1026", "D3FEND D3-EAL"},
		},
		{
			ID: ruleRead, Severity: mw.Medium, Technique: []string{"T1613"}, Title: "Nomad tells strangers its configuration, nodes or jobs",
			Advice: "Take node:read, agent:read and read-job out of the anonymous policy.", Why: "Attackers choose targets by version and drivers; job files hold addresses and, too often, secrets.",
			References: []string{"ATT&CK M1026"},
		},
		{
			ID: ruleRawExec, Severity: mw.Medium, Technique: []string{"T1059.004", "T1610"}, Title: "The raw_exec driver is enabled",
			Advice: "Set plugin \"raw_exec\" { config { enabled = false } } and use exec or docker; where it must stay, deny it to ordinary submitters.",
			Why:    "raw_exec starts a task with the rights of the agent, without any isolation: " + jinx, References: []string{"ATT&CK M1042", "D3FEND D3-EAL"},
		},
		{
			ID: ruleTLSHTTP, Severity: mw.Medium, Technique: []string{"T1040"}, Title: "The Nomad API speaks plain HTTP",
			Advice: "Set tls { http = true } with ca_file, cert_file and key_file.", Why: "A token read off the wire submits jobs as its owner.",
			References: []string{"ATT&CK M1041", "D3FEND D3-ET"},
		},
		{
			ID: ruleTLSRPC, Severity: mw.Medium, Technique: []string{"T1040", "T1557"}, Title: "Nomad agents talk to each other without TLS",
			Advice: "Set tls { rpc = true } on servers and clients.", Why: "Who can join or read the RPC layer runs jobs on every client.", References: []string{"ATT&CK M1041", "D3FEND D3-MENCR"},
		},
		{
			ID: ruleTLSName, Severity: mw.Medium, Technique: []string{"T1557"}, Title: "Nomad does not check that a server's certificate belongs to a server",
			Advice: "Set tls { verify_server_hostname = true }.", Why: "Without it any client's certificate is enough to act as a server.", References: []string{"ATT&CK M1041", "D3FEND D3-CP"},
		},
		{
			ID: ruleMTLS, Severity: mw.Low, Technique: []string{"T1190"}, Title: "The Nomad API takes clients without a certificate",
			Advice: "Set tls { verify_https_client = true } where every client can have a certificate; ACLs then are the second line.",
			Why:    "A certificate keeps strangers from the API even when an ACL policy is wrong.", References: []string{"ATT&CK M1035", "D3FEND D3-CBAN"},
		},
		{
			ID: ruleCert, Severity: mw.Low, Technique: []string{"T1557"}, Title: "The Nomad API's certificate does not prove the server",
			Advice: "Give the agent a certificate from your own authority with its name, and renew it in time.", Why: "People learn to click a warning away, and send their tokens to whoever is in the middle.",
			References: []string{"D3FEND D3-CP"},
		},
		{
			ID: ruleGossip, Severity: mw.Medium, Technique: []string{"T1557"}, Title: "Nomad servers gossip without encryption",
			Advice: "Set server { encrypt = \"…\" } with a key from nomad operator gossip keyring generate, the same on all servers.",
			Why:    "Whoever reaches the gossip port can join as a server.", References: []string{"ATT&CK M1041", "D3FEND D3-MENCR"},
		},
		{
			ID: ruleListen, Severity: mw.Medium, Technique: []string{"T1190"}, Title: "Nomad listens on all addresses without access control",
			Advice: "Set addresses { http = \"127.0.0.1\" } or a private address, enable ACLs, and close port 4646 in the firewall.",
			Why:    "bind_addr is 0.0.0.0 by default; " + jinx, References: []string{"ATT&CK M1035", "ATT&CK M1037", "D3FEND D3-NI"},
		},
		{
			ID: ruleDebug, Severity: mw.Low, Technique: []string{"T1082"}, Title: "Nomad serves its debugging endpoints", Advice: "Set enable_debug = false.",
			Why: "Profiles show memory and load to whoever asks.", References: []string{"ATT&CK M1042"},
		},
		{
			ID: ruleDev, Severity: mw.High, Technique: hijack, Title: "Nomad runs in development mode", Advice: "Start the agent with a configuration, without -dev.",
			Why: "-dev turns ACLs off and raw_exec on, and forgets everything at restart.", References: []string{"ATT&CK M1042"},
		},
		{
			ID: ruleDockerPriv, Severity: mw.High, Technique: []string{"T1610", "T1611"}, Title: "Nomad lets jobs start privileged containers",
			Advice: "Set allow_privileged = false in plugin \"docker\" { config { … } }.", Why: "A privileged container is root on the host.", References: []string{"ATT&CK M1048", "D3FEND D3-EAL"},
		},
		{
			ID: ruleDockerVol, Severity: mw.Medium, Technique: []string{"T1610", "T1611"}, Title: "Nomad lets jobs mount any path of the host into containers",
			Advice: "Set volumes { enabled = false } in plugin \"docker\" { config { … } } and offer host_volume blocks instead.",
			Why:    "Mounting / is how Docker campaigns write cron entries and keys on the host.", References: []string{"ATT&CK M1048"},
		},
		{
			ID: ruleJobMiner, Severity: mw.Critical, Technique: []string{"T1496.001", "T1053.007"}, Title: "A Nomad job mines, or uses a mining campaign's names",
			Advice: "Keep nomad job inspect's output as evidence, then nomad job stop -purge it; rotate tokens and look who submitted it.", Why: jinx, References: []string{"D3FEND D3-SEA"},
		},
		{
			ID: ruleJobFetch, Severity: mw.High, Technique: []string{"T1105", "T1053.007"}, Title: "A Nomad job downloads and runs, or hides, a program",
			Advice: "Check who submitted it; ship programs in images or artifacts with a checksum instead.", Why: jinx, References: []string{"D3FEND D3-SEA"},
		},
		{
			ID: ruleJobShell, Severity: mw.Low, Technique: []string{"T1059.004"}, Title: "A Nomad job runs a shell script outside any isolation",
			Advice: "Make sure that you know the job; use exec or docker, and a program instead of a script.", Why: jinx,
		},
		{
			ID: ruleJobPriv, Severity: mw.High, Technique: []string{"T1610", "T1611"}, Title: "A Nomad job takes rights over its host",
			Advice: "Drop privileged, cap_add and the host namespaces from the task's config.", Why: "From there to root on the host is one command.", References: []string{"ATT&CK M1048"},
		},
		{
			ID: ruleJobMount, Severity: mw.High, Technique: []string{"T1611"}, Title: "A Nomad job mounts a part of the host that owns it",
			Advice: "Use a host_volume with only the directory needed, read-only where possible.", Why: "/ , /etc, /root or the Docker socket in a container is the host.", References: []string{"ATT&CK M1048"},
		},
		{
			ID: ruleJobScript, Severity: mw.Low, Technique: []string{"T1059.004"}, Title: "A Nomad job uses a script check", Advice: "Use http, tcp or grpc checks where they do.",
			Why: "A script check runs a command again and again, and is easily overlooked.",
		},
		{
			ID: ruleJobArtifact, Severity: mw.Low, Technique: []string{"T1195.002", "T1105"}, Title: "A Nomad job fetches an artifact that anyone can replace",
			Advice: "Fetch over https and give options { checksum = \"sha256:…\" }.", Why: "What is replaced on the way runs on every client.", References: []string{"ATT&CK M1051"},
		},
		{
			ID: ruleTakeover, Severity: mw.High, Technique: []string{"T1190"}, Title: "This Nomad version has a known hole that lets strangers in",
			Advice: "Update Nomad. A distribution may have repaired its package without a new version: check its changelog.", Why: "Known holes are the first thing that scanners try.", References: []string{"ATT&CK M1051"},
		},
		{
			ID: ruleCVE, Severity: mw.Low, Technique: []string{"T1190"}, Title: "This Nomad version has known vulnerabilities",
			Advice: "Update Nomad. A distribution may have repaired its package without a new version: check its changelog.", Why: "Each needs rights or conditions of its own.", References: []string{"ATT&CK M1051"},
		},
	}
}
