package login

import "github.com/minewarden/minewarden"

// A claim is a rule and what must be true of it.
type claim uint8

const (
	claimForce claim = iota
	claimSustained
	claimSpray
	claimNetwork
	claimAccount
	claimUnder
	claimSuccess
	claimKey
	claimDownload
	numClaims
)

const (
	close1 = "Keep password logins closed to the Internet: keys only, behind a VPN or an allow-list; rate-limit what stays open."
	after  = "Treat the account as taken: end its sessions, change the password, look at its authorized_keys, crontabs, processes and shell history since that time, and at where else the same password is used."
)

// rules is in the order of the claims.
var rules = [numClaims]minewarden.Rule{
	{ID: "login/bruteforce", Title: "Many logins from one source failed", Severity: minewarden.Low, Technique: []string{"T1110.001"}, Advice: close1},
	{
		ID: "login/bruteforce-sustained", Title: "A source guesses passwords in large numbers", Severity: minewarden.Medium, Technique: []string{"T1110.001"},
		Advice: "Block the source. " + close1,
	},
	{
		ID: "login/spray", Title: "One source tried many accounts a few times each", Severity: minewarden.Medium, Technique: []string{"T1110.003"},
		Advice: "Block the source and see whether any of these accounts was entered. " + close1,
	},
	{
		ID: "login/bruteforce-network", Title: "Failed logins come from many addresses of one network", Severity: minewarden.Low, Technique: []string{"T1110"},
		Advice: "Block the network rather than its addresses. " + close1,
	},
	{
		ID: "login/bruteforce-account", Title: "One account is guessed from many addresses", Severity: minewarden.Low, Technique: []string{"T1110"},
		Advice: "Blocking addresses will not help: take the password login away from this account. " + close1,
	},
	{
		ID: "login/success-under-attack", Title: "An account that many addresses guess was entered from one that had failed too", Severity: minewarden.Low, Technique: []string{"T1110", "T1078"},
		Advice: "Ask the owner whether that login was theirs. If not: " + after,
	},
	{
		ID: "login/success-after-bruteforce", Title: "A login succeeded after its source guessed passwords", Severity: minewarden.High, Technique: []string{"T1110", "T1078"},
		Advice: after,
	},
	{
		ID: "login/key-after-bruteforce", Title: "A session that began by a guessed password changed authorized_keys", Severity: minewarden.Critical, Technique: []string{"T1110", "T1098.004"},
		Advice: "Remove the key and end the session. " + after,
	},
	{
		ID: "login/download-after-bruteforce", Title: "A session that began by a guessed password fetches or runs foreign code", Severity: minewarden.Critical, Technique: []string{"T1110", "T1105"},
		Advice: "Contain the session with its children. " + after,
	},
}
