package command

import (
	"strings"

	"github.com/minewarden/minewarden/internal/program"
	"github.com/minewarden/minewarden/internal/wallet"
)

// rivals are names that loaders look for to end other people's miners. The place in the list is the bit in Facts.Rivals.
var rivals = [...]string{
	"xmrig", "xmr-stak", "minerd", "cpuminer", "kinsing", "kdevtmpfsi", "kthreaddi", "kworkerds", "sysrv", "networkservice", "watchbog",
	"ccminer", "cgminer", "nanominer", "lolminer", "ethminer", "nbminer", "srbminer", "bfgminer", "stratum", "cryptonight", "minergate",
	"ddgs", "dbused", "pwnrig", "sustes", "havegeds", "cryptoloot", "crypto-pool", "moneropool", "khugepageds", "kerberods",
	"moneroocean", "c3pool", "masscan", "perfctl", "hashvault", "supportxmr", "nanopool", "minexmr", "monerohash", "xmrpool",
	"tor2web", "biosetjenkins", "apaceha", "sysguard", "zzh", "xmra", "meshagent", "bonns", "kaiten", "minerx", "cnrig", "pnscan",
}

// rivalPort is the bit of all pool ports together; each port is too common to count by itself.
const rivalPort = 63

// poolPorts are those that pools listen on and other services seldom do.
var poolPorts = [...]string{"3333", "4444", "5555", "7777", "14444", "14433", "45560", "45700", "13531", "3347", "13333", "10343", "20580", "9999", "17777", "3357"}

func rivalsIn(words []string) uint64 {
	var bits uint64
	for _, w := range words {
		if len(w) < 3 || len(w) > 512 {
			continue
		}
		for i, name := range rivals {
			if indexFold(w, name) {
				bits |= 1 << i
			}
		}
		if i := strings.IndexByte(w, ':'); i >= 0 && poolPort(strings.Trim(w[i+1:], "$\\b ")) || strings.HasSuffix(w, "/tcp") && poolPort(w[:len(w)-4]) {
			bits |= 1 << rivalPort
		}
	}
	return bits
}

// RivalNames returns what the bits of Facts.Rivals stand for.
func RivalNames(bits uint64) []string {
	var names []string
	for i, name := range rivals {
		if bits>>i&1 == 1 {
			names = append(names, name)
		}
	}
	if bits>>rivalPort&1 == 1 {
		names = append(names, "pool ports")
	}
	return names
}

func poolPort(s string) bool {
	for _, p := range poolPorts {
		if s == p {
			return true
		}
	}
	return false
}

// indexFold reports whether s holds sub, which is in lower case, in any case.
func indexFold(s, sub string) bool {
	for i := 0; i+len(sub) <= len(s); i++ {
		if s[i]|0x20 == sub[0]|0x20 && strings.EqualFold(s[i:i+len(sub)], sub) {
			return true
		}
	}
	return false
}

// Points of a command line that mines. None of the words proves it alone but a stratum URL; an honest command gets at most 3.
const (
	pointsStratum = 4
	pointsWallet  = 3
	pointsDonate  = 3
	pointsOwn     = 2 // options that miners alone have
	pointsAlgo    = 2
	pointsPool    = 2
	pointsName    = 2
	pointsCommon  = 1 // -o host:port, -u, -p, -k
	minMiner      = 4
)

// mines judges whether a command line is that of a miner: an address to mine at or for, and options that go with it.
func (r *reader) mines(name string, role program.Role, words []string) bool {
	points, target, named := 0, false, role&program.Miner != 0
	if named {
		points += pointsName
		target = true
	}
	for i := 1; i < len(words); i++ {
		w := words[i]
		if len(w) < 2 {
			continue
		}
		if strings.HasPrefix(w, "stratum") && StratumURL(w) {
			return true
		}
		if w[0] != '-' {
			continue
		}
		opt, val, glued := strings.Cut(w, "=")
		if !glued && i+1 < len(words) {
			val = words[i+1]
		}
		switch opt {
		case "-o", "--url", "--pool", "-P", "-pool", "--server":
			switch {
			case StratumURL(val):
				points += pointsStratum
				target = true
			case PoolHost(val):
				points += pointsPool + pointsCommon
				target = true
			case hostPort(val):
				points += pointsCommon
			}
		case "-u", "--user", "-w", "--wallet", "--userpass", "-O", "-wal", "--username":
			if len(val) >= 25 && anyWallet(val) {
				points += pointsWallet
				target = true
			} else if val != "" && opt != "-w" && opt != "-O" {
				points += pointsCommon
			}
		case "-p", "--pass", "-k", "--keepalive":
			points += pointsCommon
		case "-a", "--algo", "--algorithm":
			if algorithm(val) {
				points += pointsAlgo
			}
		case "--coin":
			points += pointsOwn
		case "--donate-level", "--donate-over-proxy", "--donate", "--nicehash":
			points += pointsDonate
			target = true
		case "--rig-id", "--randomx-mode", "--randomx-init", "--randomx-1gb-pages", "--randomx-wrmsr", "--cpu-max-threads-hint", "--max-cpu-usage",
			"--cpu-no-yield", "--huge-pages-jit", "--no-huge-pages", "--hugepage-size", "--asm", "--argon2-impl", "--cpu-memory-pool", "--xmrig", "--randomx-no-numa", "--av", "--no-gbt", "--no-longpoll":
			points += pointsOwn
		case "-c", "--config":
			if named {
				points += pointsOwn
			}
		}
	}
	return points >= minMiner && target
}

func anyWallet(s string) bool {
	for _, a := range wallet.Find([]byte(s)) {
		if a.Checked() || len(a.Text) > 0 && a.Coin == wallet.Ethereum {
			return true
		}
	}
	return false
}

// StratumURL reports whether s starts with one of the schemes of mining pools.
func StratumURL(s string) bool {
	rest, ok := strings.CutPrefix(s, "stratum")
	if !ok {
		return strings.HasPrefix(s, "ethproxy+") || strings.HasPrefix(s, "zilliqa+")
	}
	i := strings.Index(rest, "://")
	return i >= 0 && i <= 8 && i+3 < len(rest)
}

// PoolHost reports whether the host of s is under the name of a well-known pool.
func PoolHost(s string) bool {
	host, ok := hostOf(s)
	if !ok {
		return false
	}
	for _, p := range pools {
		if strings.HasSuffix(host, p) && (len(host) == len(p) || host[len(host)-len(p)-1] == '.') {
			return true
		}
	}
	return false
}

// pools are domains whose business is mining pools. Exchanges and coin sites are not among them.
var pools = [...]string{
	"nanopool.org", "supportxmr.com", "moneroocean.stream", "minexmr.com", "hashvault.pro", "2miners.com", "herominers.com", "nicehash.com",
	"unmineable.com", "c3pool.com", "c3pool.org", "f2pool.com", "kryptex.network", "rplant.xyz", "minergate.com", "crypto-pool.fr", "xmrpool.eu", "xmr.pt",
	"zpool.ca", "woolypooly.com", "miningpoolhub.com", "ethermine.org", "prohashing.com", "antpool.com", "viabtc.com", "xmrpool.net", "gntl.uk",
	"monerohash.com", "skypool.org", "dwarfpool.com", "monerop.com", "usxmrpool.com", "xmrfast.com", "pooldemineria.com", "zergpool.com", "flypool.org",
	"sparkpool.com", "poolin.com", "poolbinance.com", "mining-dutch.nl", "fairhash.org", "cryptonote.social", "moneroworld.com", "minexmr.org",
	"donate.ssl.xmrig.com", "donate.v2.xmrig.com", "slushpool.com", "braiins.com", "suprnova.cc", "ravenminer.com", "flexpool.io", "hiveon.net", "mypool.online",
}

func hostPort(s string) bool {
	i := strings.LastIndexByte(s, ':')
	return i > 0 && i+1 < len(s) && len(s)-i <= 6 && number(s[i+1:])
}

func algorithm(s string) bool {
	for _, p := range [...]string{
		"rx/", "cn/", "cn-", "cryptonight", "randomx", "argon2/", "ghostrider", "gr", "kawpow", "ethash", "etchash", "autolykos", "equihash",
		"x16r", "x11", "x13", "x17", "yespower", "yescrypt", "lyra2", "verthash", "progpow", "octopus", "panthera", "chukwa", "sha256d", "scrypt", "kheavyhash",
		"astrobwt", "cuckatoo", "beamhash", "blake3", "neoscrypt", "minotaur", "allium", "hmq1725", "m7m", "power2b", "heavyhash", "flex", "verushash", "rx",
	} {
		if s == p || len(p) > 2 && strings.HasPrefix(s, p) {
			return true
		}
	}
	return false
}

// releases are where public miners are fetched from: parts of URLs, in lower case.
var releases = [...]string{
	"/xmrig/xmrig/releases", "/xmrig/xmrig-proxy/releases", "/moneroocean/xmrig", "/moneroocean_miner", "setup_moneroocean", "setup_c3pool", "/c3pool/xmr", "c3pool_miner",
	"/rplant8/cpuminer", "/doktor83/srbminer", "/trexminer/t-rex", "/lolliedieb/lolminer", "/nebutech/nbminer", "/todxx/teamredminer", "/develsoftware/gminer",
	"/nanopool/nanominer", "/fireice-uk/xmr-stak/releases", "/tpruvot/cpuminer", "/jayddee/cpuminer", "/rigelminer/rigel", "/bzminer/bzminer", "/ethereum-mining/ethminer",
	"/andru-kun/wildrig", "/pooler/cpuminer", "/scala-network/xlarig", "minergate-cli", "/xmrig-6", "/xmrig-5", "/xmrig.tar", "/xmrig.zip", "/xmrig-linux",
	"/cpuminer-multi", "/cpuminer-opt", "/xmr-stak", "/onezerominer", "/hellminer", "/ccminer", "/kawpowminer", "xmrig/releases", "/xmrig?", "/minerd",
}

func minerURL(url string) bool {
	if len(url) > 1024 {
		url = url[:1024]
	}
	for _, r := range releases {
		if indexFold(url, r) {
			return true
		}
	}
	return strings.HasSuffix(url, "/xmrig")
}

func minerRepository(w string) bool {
	return len(w) < 300 && (strings.HasPrefix(w, "http") || strings.HasPrefix(w, "git@") || strings.HasPrefix(w, "git://") || strings.Count(w, "/") == 1) &&
		(indexFold(w, "xmrig/xmrig") || indexFold(w, "moneroocean/xmrig") || indexFold(w, "/cpuminer") || indexFold(w, "xmr-stak") || indexFold(w, "/xmrig.git"))
}
