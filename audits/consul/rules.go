package consul

import mw "github.com/minewarden/minewarden"

// The rules' ids.
const (
	ruleACL      = "consul/acl-disabled"
	ruleDefault  = "consul/default-allow"
	ruleBoot     = "consul/not-bootstrapped"
	ruleWrite    = "consul/anonymous-write"
	ruleExec     = "consul/anonymous-exec"
	ruleRead     = "consul/anonymous-read"
	ruleRemote   = "consul/remote-script-checks"
	ruleLocal    = "consul/local-script-checks"
	ruleRexec    = "consul/remote-exec"
	ruleTLSHTTP  = "consul/tls-http"
	ruleTLSRPC   = "consul/tls-rpc"
	ruleTLSName  = "consul/verify-server-hostname"
	ruleMTLS     = "consul/client-certificates"
	ruleCert     = "consul/certificate"
	ruleGossip   = "consul/gossip-encryption"
	ruleListen   = "consul/listen-all"
	ruleFrom     = "consul/write-from"
	ruleDown     = "consul/down-policy"
	ruleDev      = "consul/dev-mode"
	ruleMiner    = "consul/check-miner"
	ruleFetch    = "consul/check-download"
	ruleScript   = "consul/check-script"
	ruleTakeover = "consul/cve-takeover"
	ruleCVE      = "consul/cve"
)

const jinx = "The JINX-0132 campaign (2025) registered health checks on open Consul agents that downloaded and ran a miner, and deregistered them."

func rules() []mw.Rule {
	hijack := []string{"T1190", "T1059.004", "T1496.001"}
	acl, tls := []string{"ATT&CK M1026", "ATT&CK M1035", "D3FEND D3-UAP"}, []string{"ATT&CK M1041", "D3FEND D3-MENCR"}
	return []mw.Rule{
		{
			ID: ruleACL, Severity: mw.High, Technique: hijack, Title: "Consul access control is off", Why: jinx, References: acl,
			Advice: "Set acl { enabled = true, default_policy = \"deny\" }, bootstrap once, and give agents and people tokens with least privilege.",
		},
		{
			ID: ruleDefault, Severity: mw.High, Technique: hijack, Title: "Consul allows what no policy forbids", Why: "default_policy = allow is as open as no ACL at all: " + jinx, References: acl,
			Advice: "Set acl { default_policy = \"deny\" } after giving every agent a token.",
		},
		{
			ID: ruleBoot, Severity: mw.High, Technique: []string{"T1190", "T1098"}, Title: "Consul's access control was never bootstrapped", References: acl,
			Advice: "Run consul acl bootstrap now and keep its token safe.", Why: "The first who calls /v1/acl/bootstrap gets the management token; it need not be you.",
		},
		{
			ID: ruleWrite, Severity: mw.High, Technique: hijack, Title: "Strangers may register services or checks in Consul", Why: jinx, References: acl,
			Advice: "Take write on nodes, services and agents out of the anonymous token's policies, and set default_policy = \"deny\".",
		},
		{
			ID: ruleExec, Severity: mw.Critical, Technique: hijack, Title: "Anyone can run commands on this Consul agent", Why: jinx, References: append([]string{"ATT&CK M1042", "D3FEND D3-EAL"}, acl...),
			Advice: "Set enable_script_checks = false (enable_local_script_checks where files need them), enable ACLs with default deny, and close port 8500 to strangers.",
		},
		{
			ID: ruleRead, Severity: mw.Medium, Technique: []string{"T1613"}, Title: "Consul tells strangers its configuration or catalog", Why: "The catalog is the map of the network, and the agent's view tells whether checks can run commands.", References: acl,
			Advice: "Take agent:read and the catalog's read rights out of the anonymous token's policies.",
		},
		{
			ID: ruleRemote, Severity: mw.High, Technique: hijack, Title: "Consul takes script checks over its API", Why: jinx, References: []string{"ATT&CK M1042", "D3FEND D3-EAL"},
			Advice: "Set enable_script_checks = false; use enable_local_script_checks = true if checks in files need a script.",
		},
		{
			ID: ruleLocal, Severity: mw.Low, Technique: []string{"T1059.004"}, Title: "Consul runs script checks from its configuration files", Why: "Who can write the configuration directory runs commands as Consul.", References: []string{"ATT&CK M1022"},
			Advice: "Use http or tcp checks where they do; keep the configuration directory writable by root only.",
		},
		{
			ID: ruleRexec, Severity: mw.Medium, Technique: []string{"T1072", "T1059.004"}, Title: "consul exec is enabled", Why: "Whoever may write keys and events runs commands on every agent.", References: []string{"ATT&CK M1042"},
			Advice: "Set disable_remote_exec = true, which is the default.",
		},
		{
			ID: ruleTLSHTTP, Severity: mw.Medium, Technique: []string{"T1040"}, Title: "The Consul API speaks plain HTTP", Why: "A token read off the wire is as good as its owner.", References: tls,
			Advice: "Set ports { http = -1, https = 8501 } with tls { defaults { … } }.",
		},
		{
			ID: ruleTLSRPC, Severity: mw.Medium, Technique: []string{"T1040", "T1557"}, Title: "Consul agents talk to each other without verified TLS", Why: "Who joins or reads the RPC layer acts as an agent.", References: tls,
			Advice: "Set verify_incoming and verify_outgoing in tls { defaults { … } }.",
		},
		{
			ID: ruleTLSName, Severity: mw.Medium, Technique: []string{"T1557"}, Title: "Consul does not check that a server's certificate belongs to a server", Why: "Without it any agent's certificate is enough to act as a server.", References: tls,
			Advice: "Set tls { internal_rpc { verify_server_hostname = true } }.",
		},
		{
			ID: ruleMTLS, Severity: mw.Low, Technique: []string{"T1190"}, Title: "The Consul API takes clients without a certificate", Why: "A certificate keeps strangers out even when a policy is wrong.", References: []string{"ATT&CK M1035"},
			Advice: "Set tls { https { verify_incoming = true } } where every client can have one.",
		},
		{
			ID: ruleCert, Severity: mw.Low, Technique: []string{"T1557"}, Title: "The Consul API's certificate does not prove the server", Why: "People learn to click a warning away, and send their tokens to whoever is in the middle.", References: []string{"D3FEND D3-CP"},
			Advice: "Give the agent a certificate from your own authority with its name, and renew it in time.",
		},
		{
			ID: ruleGossip, Severity: mw.Medium, Technique: []string{"T1557"}, Title: "Consul gossips without encryption", Why: "Whoever reaches the gossip port joins the cluster.", References: tls,
			Advice: "Set encrypt to a key from consul keygen, the same on all agents.",
		},
		{
			ID: ruleListen, Severity: mw.Medium, Technique: []string{"T1190"}, Title: "Consul's API listens on all addresses without access control", Why: jinx, References: []string{"ATT&CK M1035", "ATT&CK M1037", "D3FEND D3-NI"},
			Advice: "Set client_addr = \"127.0.0.1\", enable ACLs, and close port 8500 in the firewall.",
		},
		{
			ID: ruleFrom, Severity: mw.Low, Technique: []string{"T1190"}, Title: "Consul takes changes from any address", Why: "A second line: registering from afar fails even with a stolen token.", References: []string{"ATT&CK M1037"},
			Advice: "Set http_config { allow_write_http_from = [\"127.0.0.0/8\"] } on agents whose services register locally.",
		},
		{
			ID: ruleDown, Severity: mw.Medium, Technique: []string{"T1190"}, Title: "Consul allows everything while it cannot reach the ACL servers", Why: "An attacker who cuts an agent off from its servers then has all rights there.", References: acl,
			Advice: "Set acl { down_policy = \"extend-cache\" }.",
		},
		{
			ID: ruleDev, Severity: mw.High, Technique: hijack, Title: "Consul runs in development mode", Why: "-dev has no ACL and keeps nothing.", References: []string{"ATT&CK M1042"},
			Advice: "Start the agent with a configuration, without -dev.",
		},
		{
			ID: ruleMiner, Severity: mw.Critical, Technique: []string{"T1496.001", "T1059.004"}, Title: "A Consul check mines, or uses a mining campaign's names", Why: jinx, References: []string{"D3FEND D3-SEA"},
			Advice: "Keep the check's file under data_dir/checks and its output as evidence, then consul services deregister it; look for what it started.",
		},
		{
			ID: ruleFetch, Severity: mw.High, Technique: []string{"T1105", "T1059.004"}, Title: "A Consul check downloads and runs, or hides, a program", Why: jinx, References: []string{"D3FEND D3-SEA"},
			Advice: "Find out who registered it; a check should only look.",
		},
		{
			ID: ruleScript, Severity: mw.Low, Technique: []string{"T1059.004"}, Title: "A Consul check runs a command", Why: "The API hides which: read the definition where it is, in data_dir/checks or the configuration.", References: []string{"D3FEND D3-SEA"},
			Advice: "Make sure that you know it; prefer http, tcp or grpc checks.",
		},
		{
			ID: ruleTakeover, Severity: mw.High, Technique: []string{"T1190"}, Title: "This Consul version has a known hole that lets strangers in", Why: "Known holes are the first thing that scanners try.", References: []string{"ATT&CK M1051"},
			Advice: "Update Consul. A distribution may have repaired its package without a new version: check its changelog.",
		},
		{
			ID: ruleCVE, Severity: mw.Low, Technique: []string{"T1190"}, Title: "This Consul version has known vulnerabilities", Why: "Each needs rights or conditions of its own.", References: []string{"ATT&CK M1051"},
			Advice: "Update Consul. A distribution may have repaired its package without a new version: check its changelog.",
		},
	}
}

func checkRules() []string { return []string{ruleMiner, ruleFetch, ruleScript} }
