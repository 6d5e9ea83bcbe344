package gitea

import mw "github.com/minewarden/minewarden"

// The rules' ids.
const (
	ruleInstall  = "gitea/not-installed"
	ruleRegister = "gitea/open-registration"
	ruleHooks    = "gitea/git-hooks"
	ruleEditors  = "gitea/hook-editors"
	ruleCustom   = "gitea/hook-custom"
	ruleFetch    = "gitea/hook-download"
	ruleMiner    = "gitea/hook-miner"
	rulePack     = "gitea/pack-objects-hook"
	ruleIndex    = "gitea/post-index-change"
	ruleImport   = "gitea/import-local-paths"
	ruleBrowse   = "gitea/anonymous-browse"
	ruleConfirm  = "gitea/email-confirm"
	ruleTLS      = "gitea/tls-http"
	ruleMTLS     = "gitea/client-certificates"
	ruleCert     = "gitea/certificate"
	ruleListen   = "gitea/listen-all"
	ruleProxy    = "gitea/proxy-trust"
	ruleTakeover = "gitea/cve-takeover"
	ruleCVE      = "gitea/cve"
)

const campaigns = "JINX-0132 used open registration and Git hooks to mine on Gitea servers; a 2026 campaign registers itself, writes hooks through CVE-2026-60004 and mines."

func rules() []mw.Rule {
	hijack := []string{"T1190", "T1136", "T1059.004", "T1496.001"}
	return []mw.Rule{
		{
			ID: ruleInstall, Severity: mw.Critical, Technique: hijack, Title: "Gitea waits for whoever comes first to install it", Why: "The installation page makes its visitor the administrator, who may run commands through hooks.", References: []string{"ATT&CK M1042"},
			Advice: "Finish the installation, and set [security] INSTALL_LOCK = true.",
		},
		{
			ID: ruleRegister, Severity: mw.High, Technique: hijack, Title: "Anyone can register an account on Gitea", Why: campaigns, References: []string{"ATT&CK M1026", "D3FEND D3-UAP"},
			Advice: "Set [service] DISABLE_REGISTRATION = true, or ALLOW_ONLY_EXTERNAL_REGISTRATION with your own sign-in. Look through the accounts that exist.",
		},
		{
			ID: ruleHooks, Severity: mw.High, Technique: []string{"T1059.004", "T1546"}, Title: "Gitea lets users edit Git hooks", Why: "A hook is a command on the server. " + campaigns, References: []string{"ATT&CK M1042", "D3FEND D3-EAL"},
			Advice: "Set [security] DISABLE_GIT_HOOKS = true. Hooks that exist stay on disk: look for them too.",
		},
		{
			ID: ruleEditors, Severity: mw.Informational, Technique: []string{"T1078"}, Title: "These accounts could edit Git hooks", Why: "One stolen password among them runs commands on the server.", References: []string{"ATT&CK M1026"},
			Advice: "Keep site administrators few, with a second factor.",
		},
		{
			ID: ruleCustom, Severity: mw.Medium, Technique: []string{"T1546"}, Title: "A repository has a Git hook of its own", Why: "DISABLE_GIT_HOOKS does not remove what is there: it runs on. " + campaigns, References: []string{"D3FEND D3-SEA"},
			Advice: "Read it; move it away if you do not know it.",
		},
		{
			ID: ruleFetch, Severity: mw.High, Technique: []string{"T1105", "T1546"}, Title: "A Git hook downloads and runs, or hides, a program", Why: campaigns, References: []string{"D3FEND D3-SEA"},
			Advice: "Keep it as evidence, move it away, and look for what it started.",
		},
		{
			ID: ruleMiner, Severity: mw.Critical, Technique: []string{"T1496.001", "T1546"}, Title: "A Git hook mines, or uses a mining campaign's names", Why: campaigns, References: []string{"D3FEND D3-SEA"},
			Advice: "Keep it as evidence, move it away, end what it started, and rotate every secret of the Gitea account.",
		},
		{
			ID: rulePack, Severity: mw.Critical, Technique: []string{"T1546", "T1059.004"}, Title: "Every clone from this server runs a command", Why: "uploadpack.packObjectsHook in the service user's Git configuration is how the 2026 campaign comes back.", References: []string{"D3FEND D3-SEA"},
			Advice: "Keep the file as evidence, then git config --global --unset uploadpack.packObjectsHook as that user.",
		},
		{
			ID: ruleIndex, Severity: mw.High, Technique: []string{"T1546"}, Title: "A repository has a hook that Gitea never writes", Why: "CVE-2026-60004 writes hooks/post-index-change, which runs at the next change through the web.", References: []string{"D3FEND D3-SEA"},
			Advice: "Keep it as evidence, move it away, and update to 1.27.2 or later.",
		},
		{
			ID: ruleImport, Severity: mw.Medium, Technique: []string{"T1005"}, Title: "Gitea imports repositories from paths of its host", Why: "Other repositories, and files beside them, can be read that way.", References: []string{"ATT&CK M1042"},
			Advice: "Set [security] IMPORT_LOCAL_PATHS = false.",
		},
		{
			ID: ruleBrowse, Severity: mw.Low, Technique: []string{"T1213.003"}, Title: "Gitea shows repositories, users and its version to strangers", Why: "The version tells an attacker which hole to use.", References: []string{"ATT&CK M1026"},
			Advice: "Set [service] REQUIRE_SIGNIN_VIEW = true where the server is not meant for the public.",
		},
		{
			ID: ruleConfirm, Severity: mw.Low, Technique: []string{"T1136"}, Title: "Gitea takes new accounts without checking their mail address", Why: "It makes accounts by script cheap.", References: []string{"ATT&CK M1036"},
			Advice: "Set [service] REGISTER_EMAIL_CONFIRM = true and ENABLE_CAPTCHA = true.",
		},
		{
			ID: ruleTLS, Severity: mw.Low, Technique: []string{"T1040"}, Title: "Gitea speaks plain HTTP here", Why: "Passwords and tokens can be read on the way; behind a TLS proxy on the same host it is as it should be.", References: []string{"ATT&CK M1041"},
			Advice: "Put a TLS proxy in front and listen on loopback, or set [server] PROTOCOL = https.",
		},
		{ID: ruleMTLS, Severity: mw.Informational, Technique: []string{"T1190"}, Title: "Gitea takes clients without a certificate", Why: "Usual for a web service; a private one can do better.", Advice: "Ask for client certificates in the proxy in front where only your machines come."},
		{ID: ruleCert, Severity: mw.Low, Technique: []string{"T1557"}, Title: "Gitea's certificate does not prove the server", Why: "People learn to click a warning away.", References: []string{"D3FEND D3-CP"}, Advice: "Give it a certificate that its users' machines trust, and renew it in time."},
		{ID: ruleListen, Severity: mw.Low, Technique: []string{"T1190"}, Title: "Gitea listens on all addresses", Why: "With a proxy in front, strangers pass it by.", References: []string{"ATT&CK M1037"}, Advice: "Set [server] HTTP_ADDR = 127.0.0.1 behind a proxy."},
		{
			ID: ruleProxy, Severity: mw.High, Technique: []string{"T1078"}, Title: "Gitea believes a user name header from anybody", Why: "With REVERSE_PROXY_TRUSTED_PROXIES = * and sign-in by proxy, a header makes a stranger the administrator (CVE-2026-20896).", References: []string{"ATT&CK M1035"},
			Advice: "Set [security] REVERSE_PROXY_TRUSTED_PROXIES to the proxy's own address.",
		},
		{ID: ruleTakeover, Severity: mw.High, Technique: []string{"T1190"}, Title: "This Gitea version has a known hole that lets strangers run code", Why: campaigns, References: []string{"ATT&CK M1051"}, Advice: "Update Gitea; until then close registration."},
		{ID: ruleCVE, Severity: mw.Low, Technique: []string{"T1190"}, Title: "This Gitea version has known vulnerabilities", Why: "Each needs rights or conditions of its own.", References: []string{"ATT&CK M1051"}, Advice: "Update Gitea."},
	}
}

func hookRules() []string { return []string{ruleCustom, ruleFetch, ruleMiner} }
