package linux

import "github.com/minewarden/minewarden"

// The rules' ids.
const (
	ruleDockerGroup   = "linux/runtime-group"
	ruleSudoAll       = "linux/sudo-without-password"
	ruleSudoWritable  = "linux/sudoers-writable"
	ruleSSHPassword   = "linux/ssh-password-login"
	ruleSSHRoot       = "linux/ssh-root-login"
	ruleSSHEmpty      = "linux/ssh-empty-passwords"
	ruleKeys          = "linux/authorized-keys-writable"
	ruleServiceFiles  = "linux/service-file-writable"
	ruleCronFiles     = "linux/cron-writable"
	rulePtrace        = "linux/ptrace-scope"
	ruleBPF           = "linux/unprivileged-bpf"
	ruleUserns        = "linux/unprivileged-user-namespaces"
	ruleTmpExec       = "linux/temporary-directory-exec"
	ruleFirewallIn    = "linux/firewall-default-accept"
	ruleFirewallOut   = "linux/mining-ports-open"
	ruleJournal       = "linux/journal-not-kept"
	ruleAuditd        = "linux/auditd-absent"
	ruleUpdates       = "linux/updates-not-automatic"
	ruleControlPorts  = "linux/control-port-open"
	ruleListening     = "linux/listens-everywhere"
	ruleFlags         = "linux/service-flags"
	ruleUnitTmp       = "linux/unit-runs-from-temporary"
	ruleUnitMiner     = "linux/unit-miner"
	ruleUnitDownloads = "linux/unit-downloader"
)

func rules() []minewarden.Rule {
	r := func(id, title, advice string, s minewarden.Severity, technique []string, why string, refs ...string) minewarden.Rule {
		return minewarden.Rule{ID: id, Title: title, Advice: advice, Severity: s, Technique: technique, Why: why, References: refs}
	}
	return []minewarden.Rule{
		r(ruleDockerGroup, "an account can start containers as root", "take the account out of the group, or run a rootless engine", minewarden.High, []string{"T1611", "T1078.003"},
			"Membership in the docker group is root without a password: one stolen ssh key of such an account starts a privileged container.", "CIS Docker 1.6.0 1.1.2", "ATT&CK M1026", "D3FEND D3-UAP"),
		r(ruleSudoAll, "an account may run everything as root without a password", "name the commands, or ask for the password", minewarden.High, []string{"T1548.003"},
			"After an ssh login by guessed password, the miner is root at once.", "ATT&CK M1026", "D3FEND D3-UAP"),
		r(ruleSudoWritable, "sudo's configuration can be changed by others than root", "chown root:root and chmod 0440", minewarden.Critical, []string{"T1548.003"},
			"Who writes it, is root.", "ATT&CK M1022", "D3FEND D3-LFP"),
		r(ruleSSHPassword, "ssh takes passwords", "set PasswordAuthentication no and KbdInteractiveAuthentication no once every account has a key", minewarden.Medium, []string{"T1110.001", "T1078"},
			"Guessing ssh passwords is the widest campaign of all; then come authorized_keys and the download.", "ATT&CK M1032", "D3FEND D3-SPP"),
		r(ruleSSHRoot, "root may log in over ssh with a password", "set PermitRootLogin no, or prohibit-password", minewarden.High, []string{"T1110.001", "T1078.003"},
			"root is the account that every guesser tries first.", "ATT&CK M1026", "D3FEND D3-UAP"),
		r(ruleSSHEmpty, "ssh lets accounts without a password in", "set PermitEmptyPasswords no", minewarden.Critical, []string{"T1078"},
			"No guess is needed.", "ATT&CK M1027", "D3FEND D3-SPP"),
		r(ruleKeys, "an account's ssh keys can be changed by others", "chmod 0700 the folder and 0600 the file, owned by the account", minewarden.High, []string{"T1098.004"},
			"A key that an exploited service adds is a login that outlives the repair.", "ATT&CK M1022", "D3FEND D3-LFP"),
		r(ruleServiceFiles, "a file that starts services can be changed by others than root", "chown root:root and take write permission from group and others", minewarden.Critical, []string{"T1543.002"},
			"moneroocean_miner.service and its like come back at every start this way.", "ATT&CK M1022", "D3FEND D3-LFP"),
		r(ruleCronFiles, "a schedule can be changed by others than root", "chown root:root and take write permission from group and others", minewarden.Critical, []string{"T1053.003"},
			"A line that fetches the miner every minute is how every family here comes back.", "ATT&CK M1022", "D3FEND D3-LFP"),
		r(rulePtrace, "processes may read each other's memory", "set kernel.yama.ptrace_scope = 1", minewarden.Medium, []string{"T1055.008", "T1003.007"},
			"Keys and tokens of every process of the account can be read.", "ATT&CK M1026", "D3FEND D3-PSEP"),
		r(ruleBPF, "any account may load programs into the kernel", "set kernel.unprivileged_bpf_disabled = 1", minewarden.Medium, []string{"T1068"},
			"The verifier's bugs are a way to root.", "ATT&CK M1050", "D3FEND D3-SCF"),
		r(ruleUserns, "any account may make user namespaces", "set kernel.unprivileged_userns_clone = 0, or user.max_user_namespaces = 0, where nothing needs them", minewarden.Low, []string{"T1068"},
			"Most kernel exploits for root need them first; rootless containers and browsers do too.", "ATT&CK M1050", "D3FEND D3-SCF"),
		r(ruleTmpExec, "programs can be run from a directory that everyone writes to", "mount it with noexec,nosuid,nodev", minewarden.Medium, []string{"T1036.005", "T1105"},
			"/tmp, /var/tmp and /dev/shm are where the Consul and Gitea campaigns put what they fetched: systemd-check, .gt_sys_health, kworker.", "ATT&CK M1038", "D3FEND D3-EAL"),
		r(ruleFirewallIn, "the firewall lets everything in that no rule names", "set the input policy to drop, and allow the services by name", minewarden.Medium, []string{"T1190", "T1133"},
			"A control port that somebody opens tomorrow is open to everyone.", "ATT&CK M1037", "D3FEND D3-ITF"),
		r(ruleFirewallOut, "the host may reach mining pools on their usual ports", "drop outgoing TCP to 3333, 4444, 5555, 7777, 14433 and 14444, or allow only what is needed", minewarden.Low, []string{"T1496.001"},
			"It stops only the lazy, but most campaigns are: the loader's pools listen on 3333.", "ATT&CK M1037", "D3FEND D3-OTF"),
		r(ruleJournal, "the journal does not survive a restart", "set Storage=persistent in journald.conf", minewarden.Low, []string{"T1070.002"},
			"Evidence of the way in is gone with the first restart.", "ATT&CK M1029", "D3FEND D3-LAM"),
		r(ruleAuditd, "no audit trail of the system is kept", "install and enable auditd", minewarden.Low, []string{"T1562.012"},
			"Without it nobody can say who ran what.", "ATT&CK M1047", "D3FEND D3-SCA"),
		r(ruleUpdates, "security updates are not installed by themselves", "enable unattended-upgrades (Debian) or dnf-automatic with apply_updates", minewarden.Medium, []string{"T1190"},
			"React2Shell was used for miners within days of its publication.", "ATT&CK M1051", "D3FEND D3-SU"),
		r(ruleControlPorts, "a control port listens on every address", "bind it to loopback or the management address, and require authentication", minewarden.High, []string{"T1190", "T1133"},
			"JINX-0132 and the docker campaigns find these ports by scanning.", "ATT&CK M1035", "D3FEND D3-ITF"),
		r(ruleListening, "a service listens on every address", "bind it to the address that needs it", minewarden.Informational, []string{"T1190"},
			"Each is a door; know why it is open.", "ATT&CK M1042", "D3FEND D3-ITF"),
		r(ruleFlags, "a service was started with its door open", "start it from a configuration file with access control on", minewarden.High, []string{"T1190"},
			"JINX-0132 looks for Nomad, Consul, Docker and Gitea as they come out of a demonstration.", "ATT&CK M1042", "D3FEND D3-ACH"),
		r(ruleUnitTmp, "a unit starts a program from a directory that everyone writes to", "install the program where only root writes", minewarden.High, []string{"T1543.002", "T1036.005"},
			"A service from /tmp or /dev/shm is either a mistake that anyone can use or a miner that already did.", "ATT&CK M1022", "D3FEND D3-SFA"),
		r(ruleUnitMiner, "a unit starts a miner", "stop and remove the unit, and look for how it came", minewarden.Critical, []string{"T1496.001", "T1543.002"},
			"moneroocean_miner.service is installed by the script that its pool publishes.", "ATT&CK M1042", "D3FEND D3-EAL"),
		r(ruleUnitDownloads, "a unit fetches a script and runs it", "install the program, and start that", minewarden.High, []string{"T1543.002", "T1105"},
			"Whoever holds the address decides what runs at every start.", "ATT&CK M1033", "D3FEND D3-EAL"),
	}
}
