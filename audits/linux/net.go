package linux

import (
	"context"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/minewarden/minewarden"
	"github.com/minewarden/minewarden/internal/shady"
	"github.com/minewarden/minewarden/internal/verdict"
)

func sorted(in []string) []string {
	out := slices.Clone(in)
	slices.Sort(out)
	return out
}

// A firewall is what the rules say of new connections.
type firewall struct {
	source  string
	in, out string       // policy: accept, drop, reject; "" not said
	inRules bool         // the input chain ends by dropping the rest
	blocked map[int]bool // outgoing TCP ports that are refused
}

// poolPorts are the ports that pools are usually reached on.
var poolPorts = [...]int{3333, 4444, 5555, 7777, 14433, 14444}

// liveRuleset asks the kernel, read-only, when root is the host that runs the program.
func liveRuleset(ctx context.Context, root fs.FS) (string, error) {
	here, err := os.ReadFile("/proc/sys/kernel/random/boot_id")
	if err != nil {
		return "", err
	}
	there, err := fs.ReadFile(root, "proc/sys/kernel/random/boot_id")
	if err != nil || string(here) != string(there) {
		return "", fs.ErrNotExist
	}
	nft, err := exec.LookPath("nft")
	if err != nil {
		return "", fmt.Errorf("nft is not installed: %w", err)
	}
	const patience = 5 * time.Second
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	cmd := exec.CommandContext(ctx, nft, "-j", "list", "ruleset")
	out, err := cmd.Output()
	if err != nil {
		return "", fmt.Errorf("nft -j list ruleset: %w", err)
	}
	return string(out), nil
}

func (s *sheet) firewall(ctx context.Context) {
	var fw *firewall
	text, err := s.a.ruleset(ctx, s.root)
	switch {
	case err == nil:
		fw, err = parseNftJSON([]byte(text))
		if err != nil {
			s.Unknown(ruleFirewallIn, err.Error())
			s.Unknown(ruleFirewallOut, err.Error())
			return
		}
	default:
		fw = s.savedFirewall()
		if fw == nil {
			why := "no saved firewall rules"
			if !missing(err) {
				why += ", and the kernel's could not be read: " + err.Error()
			}
			s.Unknown(ruleFirewallIn, why)
			s.Unknown(ruleFirewallOut, why)
			return
		}
	}
	at := s.File("/etc/nftables.conf", 0, 0)
	if fw.in == "drop" || fw.in == "reject" || fw.inRules {
		s.Pass(ruleFirewallIn, "new connections from outside are refused by default ("+fw.source+")")
	} else {
		s.Prove(ruleFirewallIn, at, "new connections from outside are accepted by default ("+fw.source+")", shell("only what is named gets in; keep the ssh rule, or you lock yourself out",
			"nft add table inet filter; nft add chain inet filter input '{ type filter hook input priority 0; policy drop; }'; nft insert rule inet filter input ct state established,related accept; nft add rule inet filter input iif lo accept; nft add rule inet filter input tcp dport 22 accept"))
	}
	var open []string
	for _, p := range poolPorts {
		if !fw.blocked[p] {
			open = append(open, strconv.Itoa(p))
		}
	}
	if fw.out == "drop" || fw.out == "reject" || len(open) == 0 {
		s.Pass(ruleFirewallOut, "outgoing connections to the pools' usual ports are refused ("+fw.source+")")
		return
	}
	s.Prove(ruleFirewallOut, at, "outgoing TCP to "+strings.Join(open, " ")+" is not refused ("+fw.source+")", shell("connections to these ports fail at once",
		"nft add table inet minewarden_out; nft add chain inet minewarden_out output '{ type filter hook output priority 0; policy accept; }'; nft add rule inet minewarden_out output tcp dport '{ 3333, 4444, 5555, 7777, 14433, 14444 }' reject"))
}

// savedFirewall reads what would be loaded at the next start.
func (s *sheet) savedFirewall() *firewall {
	for _, f := range []string{"etc/nftables.conf", "etc/sysconfig/nftables.conf"} {
		if b, err := s.read(f); err == nil {
			return parseNftText("/"+f, string(b))
		}
	}
	for _, f := range []string{"etc/iptables/rules.v4", "etc/sysconfig/iptables", "etc/iptables/iptables.rules"} {
		if b, err := s.read(f); err == nil {
			return parseIptables("/"+f, string(b))
		}
	}
	if b, err := s.read("etc/ufw/ufw.conf"); err == nil {
		fw := &firewall{source: "/etc/default/ufw", blocked: map[int]bool{}, in: "accept", out: "accept"}
		if !strings.Contains(strings.ToLower(string(b)), "enabled=yes") {
			fw.source = "/etc/ufw/ufw.conf: not enabled"
			return fw
		}
		d, err := s.read("etc/default/ufw")
		if err != nil {
			return nil
		}
		for line := range strings.Lines(string(d)) {
			k, v, _ := strings.Cut(strings.TrimSpace(line), "=")
			switch v = strings.ToLower(strings.Trim(v, `"'`)); k {
			case "DEFAULT_INPUT_POLICY":
				fw.in = v
			case "DEFAULT_OUTPUT_POLICY":
				fw.out = v
			}
		}
		if rules, err := s.read("etc/ufw/user.rules"); err == nil {
			fw.blocked = parseIptables("", strings.ReplaceAll(string(rules), "ufw-user-output", "OUTPUT")).blocked
		}
		return fw
	}
	return nil
}

func parseIptables(source, text string) *firewall {
	fw := &firewall{source: source, blocked: map[int]bool{}}
	port := regexp.MustCompile(`--d(?:estination-)?ports? (\S+)`)
	table := "filter"
	for line := range strings.Lines(text) {
		line = strings.TrimSpace(line)
		f := strings.Fields(line)
		switch {
		case strings.HasPrefix(line, "*"):
			table = line[1:]
		case table != "filter" || len(f) < 2:
		case f[0] == ":INPUT":
			fw.in = strings.ToLower(f[1])
		case f[0] == ":OUTPUT":
			fw.out = strings.ToLower(f[1])
		case f[0] == "-A" && (strings.HasSuffix(line, "-j DROP") || strings.Contains(line, "-j REJECT")):
			m := port.FindStringSubmatch(line)
			if f[1] == "OUTPUT" && m != nil {
				block(fw.blocked, m[1])
			}
			if f[1] == "INPUT" && (len(f) == 4 || len(f) == 6 && strings.Contains(line, "--reject-with")) {
				fw.inRules = true
			}
		}
	}
	return fw
}

// block notes ports written as 3333, 3333:3340, 3333-3340 or a list of these.
func block(blocked map[int]bool, list string) {
	for _, p := range strings.FieldsFunc(list, func(r rune) bool { return strings.ContainsRune(", {}", r) }) {
		lo, hi, isRange := strings.Cut(strings.ReplaceAll(p, ":", "-"), "-")
		a, err := strconv.Atoi(lo)
		b := a
		if isRange {
			b, _ = strconv.Atoi(hi) // not a number is 0, an empty range
		}
		if err != nil {
			continue
		}
		for _, p := range poolPorts {
			if a <= p && p <= b {
				blocked[p] = true
			}
		}
	}
}

func parseNftText(source, text string) *firewall {
	fw := &firewall{source: source, blocked: map[int]bool{}}
	hook := regexp.MustCompile(`hook\s+(input|output)\b`)
	policy := regexp.MustCompile(`policy\s+(accept|drop)`)
	// Nothing but counting and logging may stand beside the port: any other condition lets some through.
	port := regexp.MustCompile(`(?:^|[;{]\s*)(?:meta\s+l4proto\s+tcp\s+)?tcp\s+dport\s+(\{[^}]*\}|\S+)(?:\s+(?:ct\s+state\s+new|counter|log(?:\s+prefix\s+"[^"]*")?))*\s+(?:drop|reject)\b`)
	chain := ""
	for line := range strings.Lines(text) {
		line = strings.TrimSpace(line)
		if strings.HasPrefix(line, "#") {
			continue
		}
		if strings.HasPrefix(line, "chain ") {
			chain = ""
		}
		if m := hook.FindStringSubmatch(line); m != nil {
			chain = m[1]
		}
		if m := policy.FindStringSubmatch(line); m != nil {
			setPolicy(fw, chain, m[1])
		}
		if m := port.FindStringSubmatch(line); m != nil && chain == "output" {
			block(fw.blocked, m[1])
		}
		if chain == "input" && (line == "drop" || line == "reject" || strings.HasPrefix(line, "counter drop") || strings.HasPrefix(line, "reject with") || strings.HasPrefix(line, "counter reject")) {
			fw.inRules = true
		}
	}
	return fw
}

// setPolicy keeps the strictest policy: several chains hook in, and one drop is enough.
func setPolicy(fw *firewall, hook, policy string) {
	switch hook {
	case "input":
		if fw.in != "drop" {
			fw.in = policy
		}
	case "output":
		if fw.out != "drop" {
			fw.out = policy
		}
	}
}

func parseNftJSON(data []byte) (*firewall, error) {
	var doc struct {
		Nftables []struct {
			Chain *struct{ Family, Table, Name, Hook, Policy string }
			Rule  *struct {
				Family, Table, Chain string
				Expr                 []map[string]json.RawMessage
			}
		}
	}
	if err := json.Unmarshal(data, &doc); err != nil {
		return nil, fmt.Errorf("read nft's answer: %w", err)
	}
	fw := &firewall{source: "nft list ruleset", blocked: map[int]bool{}, in: "accept", out: "accept"}
	hooks := map[string]string{}
	for _, e := range doc.Nftables {
		if c := e.Chain; c != nil && c.Hook != "" {
			hooks[c.Family+" "+c.Table+" "+c.Name] = c.Hook
			setPolicy(fw, c.Hook, c.Policy)
		}
	}
	ports := regexp.MustCompile(`\d+`)
	for _, e := range doc.Nftables {
		r := e.Rule
		if r == nil {
			continue
		}
		hook := hooks[r.Family+" "+r.Table+" "+r.Chain]
		refuses, matches, list := false, 0, ""
		for _, x := range r.Expr {
			if _, ok := x["drop"]; ok {
				refuses = true
			}
			if _, ok := x["reject"]; ok {
				refuses = true
			}
			if m, ok := x["match"]; ok {
				matches++
				var t struct {
					Op    string
					Right json.RawMessage
				}
				if err := json.Unmarshal(m, &t); err != nil {
					continue
				}
				switch text := string(m); {
				case strings.Contains(text, `"l4proto"`), strings.Contains(text, `"nfproto"`):
					matches-- // they only say that it is TCP
				case strings.Contains(text, `"dport"`):
					if t.Op == "==" || t.Op == "in" {
						if strings.Contains(string(t.Right), "range") {
							list = strings.Join(ports.FindAllString(string(t.Right), -1), "-")
						} else {
							list = strings.Join(ports.FindAllString(string(t.Right), -1), ",")
						}
					}
				}
			}
		}
		switch {
		case refuses && hook == "input" && matches == 0:
			fw.inRules = true
		case refuses && hook == "output" && list != "" && matches == 1: // a second condition lets others through
			block(fw.blocked, list)
		}
	}
	return fw, nil
}

// sockets lists what listens on every address.
func (s *sheet) sockets() {
	ports := map[int]bool{}
	read := 0
	for _, name := range []string{"tcp", "tcp6"} {
		b, err := s.read("proc/1/net/" + name)
		if err != nil {
			b, err = s.read("proc/net/" + name)
		}
		if err != nil {
			continue
		}
		read++
		for _, p := range listening(string(b)) {
			ports[p] = true
		}
	}
	if read == 0 {
		s.Unknown(ruleControlPorts, "no /proc/net/tcp to read: what listens is not known")
		s.Unknown(ruleListening, "no /proc/net/tcp to read: what listens is not known")
		return
	}
	var all []int
	for p := range ports {
		all = append(all, p)
	}
	slices.Sort(all)
	for _, p := range all {
		at := minewarden.Subject{Type: minewarden.SubjectService, ID: "tcp *:" + strconv.Itoa(p)}
		if what := controlPort(p); what != "" {
			s.Suspect(ruleControlPorts, 0.8, at, fmt.Sprintf("port %d listens on every address; it is usually %s", p, what), nil, verdict.Evidence("port", strconv.Itoa(p))...)
		} else {
			s.Prove(ruleListening, at, fmt.Sprintf("port %d listens on every address", p), nil, verdict.Evidence("port", strconv.Itoa(p))...)
		}
	}
	s.Pass(ruleControlPorts, "no control port listens on every address")
	s.Pass(ruleListening, "nothing listens on every address")
}

func controlPort(p int) string {
	switch p {
	case 2375, 2376:
		return "the Docker API"
	case 4646:
		return "Nomad"
	case 8500:
		return "Consul"
	case 6379:
		return "Redis"
	case 10250, 10255:
		return "a kubelet"
	case 2379:
		return "etcd"
	case 8265:
		return "Ray's dashboard"
	case 8888:
		return "Jupyter"
	}
	return ""
}

// listening reads /proc/net/tcp: sockets in state 0A whose local address is all zeros.
func listening(text string) []int {
	var out []int
	for line := range strings.Lines(text) {
		f := strings.Fields(line)
		if len(f) < 4 || f[3] != "0A" {
			continue
		}
		addr, port, ok := strings.Cut(f[1], ":")
		b, err := hex.DecodeString(port)
		if !ok || err != nil || len(b) != 2 || strings.Trim(addr, "0") != "" {
			continue
		}
		if len(out) < maxEntries {
			out = append(out, int(b[0])<<8|int(b[1]))
		}
	}
	return out
}

// processes looks for the four products started with their doors open.
func (s *sheet) processes(ctx context.Context) {
	es, err := s.entries("proc")
	if err != nil || len(es) == 0 {
		s.Unknown(ruleFlags, "no /proc to read: what runs is not known")
		return
	}
	looked := 0
	for _, e := range es {
		pid, err := strconv.Atoi(e.Name())
		if err != nil || ctx.Err() != nil {
			continue
		}
		b, err := s.read("proc/" + e.Name() + "/cmdline")
		if err != nil || len(b) == 0 {
			continue // it ended meanwhile, or is the kernel's
		}
		looked++
		argv := strings.Split(strings.TrimRight(string(b), "\x00"), "\x00")
		if shady.Product(argv[:1]) == "" {
			continue // the program itself, not an editor that holds its name
		}
		for _, f := range shady.Flaws(argv) {
			s.Prove(ruleFlags, minewarden.Subject{Type: minewarden.SubjectService, ID: f.Product + " pid " + strconv.Itoa(pid), Name: f.Product, PID: int32(pid)},
				fmt.Sprintf("%s (pid %d) runs with %s: %s", f.Product, pid, f.Text, f.Why), nil, verdict.Evidence("command", strings.Join(argv, " "))...)
		}
	}
	if looked == 0 {
		s.Unknown(ruleFlags, "no process could be read")
		return
	}
	s.Pass(ruleFlags, fmt.Sprintf("none of %d processes is one of the products with a dangerous flag", looked))
}
