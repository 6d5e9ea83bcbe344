package command

import (
	"strings"

	"github.com/minewarden/minewarden/internal/program"
)

// commandIn judges one command and says what it writes to its standard output.
func (r *reader) commandIn(words []string, line string, in flow, depth int) flow {
	r.redirections(words, line)
	words = unwrap(schedule(words))
	if len(words) == 0 {
		return 0
	}
	name := program.Base(words[0])
	role := program.Of(name)
	if place := program.At(words[0]); place != 0 {
		if place&(program.Writable|program.Memory) != 0 {
			r.add(RunWritable, line)
		}
		if place&program.SystemHidden != 0 || place&(program.Hidden|program.Writable) == program.Hidden|program.Writable {
			r.add(RunHidden, line)
		}
	}
	if in&typed != 0 && talks(name, words) {
		r.add(ReverseShell, line)
	}
	switch {
	case role&program.Downloader != 0:
		return r.download(words, line)
	case role&program.Text != 0:
		return r.textTool(name, words, line, in)
	case role&program.Shell != 0, name == "eval", name == "source", name == ".", role&program.Interpreter != 0:
		return r.interpret(name, role, words, line, in, depth)
	case role&program.Decoder != 0:
		if name != "openssl" && contains(words, "-d", "--decode", "-D", "-r", "-di", "-dc", "-rp") || name == "openssl" && contains(words, "-d") ||
			name == "gunzip" || name == "zcat" || name == "xzcat" || name == "bzcat" {
			return in | decoded
		}
		return in
	case role&program.Killer != 0:
		r.kill(name, words, line, in)
		return 0
	}
	r.tamper(name, words, line)
	if r.mines(name, role, words) {
		r.add(Miner, line)
	}
	for _, w := range words {
		if strings.Contains(w, "/dev/tcp/") {
			r.add(ReverseShell, line)
		}
	}
	if name == "nc" || name == "ncat" || name == "socat" {
		for i, w := range words {
			if (w == "-e" || w == "-c" || w == "--exec" || w == "--sh-exec") && i+1 < len(words) || strings.HasPrefix(strings.ToLower(w), "exec:") {
				r.add(ReverseShell, line)
			}
		}
	}
	if name == "tr" || name == "cut" || name == "xargs" || name == "rev" || name == "uniq" {
		return in
	}
	return 0
}

// schedule drops the time and the user of a crontab's line.
func schedule(words []string) []string {
	if len(words) < 2 || words[0] == "" {
		return words
	}
	rest := words
	switch {
	case words[0][0] == '@' && len(words[0]) > 4:
		rest = words[1:]
	case len(words) > 5 && (words[0][0] == '*' || words[0][0] >= '0' && words[0][0] <= '9'):
		for _, w := range words[:5] {
			if strings.Trim(w, "0123456789*/,-") != "" && !strings.Contains("sun mon tue wed thu fri sat mon-fri jan feb mar apr may jun jul aug sep oct nov dec", strings.ToLower(w)) {
				return words
			}
		}
		rest = words[5:]
	default:
		return words
	}
	if len(rest) > 1 && strings.IndexByte(rest[0], '/') < 0 && strings.IndexByte(rest[0], '=') < 0 && program.Of(rest[0]) == 0 && rest[0] != "[" &&
		rest[0] != "eval" && rest[0] != "crontab" && rest[0] != "chattr" {
		rest = rest[1:]
	}
	return rest
}

// redirections judges where output goes: "> /etc/ld.so.preload".
func (r *reader) redirections(words []string, line string) {
	for i := range len(words) - 1 {
		w := words[i]
		if w == "" || w[0] != '>' && !(len(w) > 1 && w[1] == '>') {
			if w != "tee" {
				continue
			}
		}
		to := words[i+1]
		if to == "-a" && i+2 < len(words) {
			to = words[i+2]
		}
		truncate := w == ">" && i == 0 || i == 1 && (words[0] == ":" || words[0] == "true") || i == 2 && words[0] == "cat" && words[1] == "/dev/null" ||
			words[0] == "echo" && w == ">"
		r.wrote(to, truncate, line)
	}
}

func (r *reader) wrote(to string, truncate bool, line string) {
	switch {
	case to == "/etc/ld.so.preload":
		r.add(Preload, line)
	case strings.HasSuffix(to, "/.ssh/authorized_keys"):
		r.add(Keys, line)
	case strings.HasPrefix(to, "/proc/sys/kernel/nmi_watchdog"), strings.HasPrefix(to, "/proc/sys/vm/nr_hugepages"),
		strings.HasSuffix(to, "/nr_hugepages") && strings.HasPrefix(to, "/sys/"), strings.HasPrefix(to, "/sys/module/msr/"):
		r.add(Tuning, line)
	case truncate && (strings.HasPrefix(to, "/var/log/") || to == "/var/run/utmp" || to == "/var/spool/mail/root"):
		r.add(Logs, line)
	case truncate && historyFile(to):
		r.add(History, line)
	case to == "/sys/fs/selinux/enforce":
		r.add(Defence, line)
	}
}

func historyFile(path string) bool {
	return strings.HasSuffix(path, "/.bash_history") || strings.HasSuffix(path, "/.zsh_history") || path == ".bash_history"
}

func (r *reader) download(words []string, line string) flow {
	name := program.Base(words[0])
	stdout := strings.HasPrefix(name, "curl") || name == "GET" || name == "lwp-request"
	local, remote, asks, socket := 0, 0, false, false
	for i := 1; i < len(words); i++ {
		w := words[i]
		next := ""
		if i+1 < len(words) {
			next = words[i+1]
		}
		switch {
		case w == "":
		case name == "curl" && (w == "--unix-socket" || w == "--abstract-unix-socket"):
			socket = true // the host in the URL is then but a word
			i++
		case name == "curl" && head(w):
			asks = true
		case name == "curl" && sends(w, next), name == "wget" && (w == "--spider" || strings.HasPrefix(w, "--post-") || strings.HasPrefix(w, "--body-")):
			asks = true
			if name == "curl" {
				i++
			}
		case name == "curl" && (w == "-o" || w == "--output"), strings.HasPrefix(name, "aria2") && w == "-o", name == "axel" && w == "-o",
			(name == "wget" || name == "busybox") && (w == "-O" || w == "--output-document"):
			r.f.Output, stdout = next, next == "-"
			i++
		case name == "wget" && strings.HasPrefix(w, "--output-document="):
			r.f.Output = w[len("--output-document="):]
			stdout = r.f.Output == "-"
		case name == "wget" && w[0] == '-' && !strings.HasPrefix(w, "--") && strings.HasSuffix(w, "O-"):
			stdout = true
		case w[0] == '-' && !strings.HasPrefix(w, "--") && len(w) < 10 && strings.HasSuffix(w, "O") && name == "wget":
			r.f.Output, stdout = next, next == "-"
			i++
		case w[0] == '-' && !strings.HasPrefix(w, "--") && len(w) < 10 && strings.HasSuffix(w, "o") && name == "curl":
			r.f.Output, stdout = next, next == "-"
			i++
		case w[0] == '-' && !strings.HasPrefix(w, "--") && len(w) < 10 && strings.Contains(w, "O") && name == "curl", w == "--remote-name":
			stdout = false
		case w[0] == '>':
			if !strings.HasPrefix(next, "&") && next != "/dev/null" {
				r.f.Output, stdout = next, false
			}
			i++
		case w[0] == '-' && (w == "-H" || w == "-A" || w == "-U" || w == "--header" || w == "--user-agent" || w == "-d" || w == "--data" || w == "-x" || w == "-e" || w == "-m" || w == "-T" || w == "-t" || w == "-u" || w == "-X" || w == "-w" || w == "-b"):
			if !(name == "wget" && (w == "-d" || w == "-x" || w == "-m" || w == "-b" || w == "-w")) {
				i++
			}
		case w[0] == '-':
		default:
			host, ok := hostOf(w)
			if !ok {
				continue
			}
			if r.f.URL == "" {
				r.f.URL = w
			}
			kind := judgeHost(host)
			if socket {
				kind = hostLocal
			}
			if kind == hostLocal {
				local++
			} else {
				remote++
			}
			if kind == hostRaw {
				r.add(RawHost, line)
			}
			if minerURL(w) {
				r.add(MinerFetch, line)
			}
			if r.f.Output == "" && !stdout {
				r.f.Output = program.Base(strings.TrimRight(w, "/"))
			}
		}
	}
	if local+remote == 0 {
		return fetched // the URL is in a variable or a file
	}
	r.add(Download, line)
	if remote == 0 {
		r.add(LocalHost, line)
	}
	if asks {
		r.add(Query, line)
	}
	if stdout {
		return fetched
	}
	return 0
}

// head says that an option makes curl ask for the head alone.
func head(option string) bool {
	return option == "--head" || len(option) > 1 && len(option) < 8 && option[0] == '-' && option[1] != '-' && strings.HasSuffix(option, "I")
}

// sends says that an option with its value makes curl send something.
func sends(option, value string) bool {
	switch option {
	case "-d", "--data", "--data-raw", "--data-binary", "--data-urlencode", "--json", "-F", "--form", "-T", "--upload-file":
		return true
	case "-X", "--request":
		return value != "GET"
	}
	return false
}

func (r *reader) textTool(name string, words []string, line string, in flow) flow {
	switch name {
	case "grep", "egrep", "fgrep", "pgrep", "awk", "gawk", "mawk", "rg", "zgrep":
		// A search in files is somebody reading; loaders search the list of processes, which is piped to them.
		if bits := rivalsIn(words[1:]); bits != 0 && !contains(words, "-v") && (name == "pgrep" || operands(words) == 1) {
			r.f.Rivals |= bits
			r.add(Rival, line)
		}
		if name == "pgrep" {
			return pids
		}
		return in | pids
	case "git", "gh":
		for _, w := range words[1:] {
			if minerRepository(w) {
				r.add(MinerSource, line)
			}
		}
		return 0
	case "tee":
		for _, w := range words[1:] {
			r.wrote(w, false, line)
		}
		return in
	case "sed":
		if contains(words, "/etc/selinux/config") {
			r.add(Defence, line)
		}
		return in
	case "find":
		if contains(words, "/var/log", "/var/log/") && contains(words, "-delete") && !contains(words, "-mtime", "-ctime", "-mmin") {
			r.add(Logs, line)
		}
		return 0
	case "cat", "head", "tail", "sort", "test", "[", "jq":
		return in
	case "echo", "printf":
		for _, w := range words[1:] {
			if strings.Contains(w, "kernel.nmi_watchdog=0") || strings.Contains(w, "vm.nr_hugepages=") {
				r.add(Tuning, line)
			}
		}
	}
	return in
}

// interpret judges a shell or interpreter: what is fed to it, and the commands in its arguments.
func (r *reader) interpret(name string, role program.Role, words []string, line string, in flow, depth int) flow {
	shell := role&program.Shell != 0 || name == "eval"
	script := ""
	out := flow(0) // of the commands in the arguments: printed, not fed to this shell
	for i := 1; i < len(words); i++ {
		w := words[i]
		if shell && len(w) > 1 && w[0] == '-' && w[1] != '-' && strings.HasSuffix(w, "c") && i+1 < len(words) {
			script = "-c"
			if depth < maxDepth {
				out |= r.text(words[i+1], depth+1)
			}
			break
		}
		if name == "eval" && depth < maxDepth {
			out |= r.text(w, depth+1)
			continue
		}
		switch {
		case w == "":
			continue
		case w[0] == '>' || w[0] == '<' || len(w) > 1 && w[1] == '>':
			if !strings.Contains(w, "&1") && !strings.Contains(w, "&2") {
				i++
			}
			continue
		case shell && (w == "-" || w[0] == '-' && len(w) > 1 && w[1] != '-' && strings.IndexByte(w, 's') > 0):
			script = "/dev/stdin"
		case w[0] == '-':
			continue
		default:
			script = w
		}
		break
	}
	if place := program.At(script); place&program.Writable != 0 && !strings.Contains(script, "ansible") {
		r.add(RunWritable, line)
		if place&program.Hidden != 0 {
			r.add(RunHidden, line)
		}
	}
	// A script of its own reads what is piped to it as data, not as code.
	if script == "" || script == "-c" && name != "python" || name == "eval" || name == "source" || name == "." || script == "/dev/stdin" {
		if in&fetched != 0 {
			r.add(PipeToShell, line)
		}
		if in&decoded != 0 {
			r.add(DecodeToRun, line)
		}
	}
	for _, w := range words[1:] {
		if strings.Contains(w, "/dev/tcp/") {
			r.add(ReverseShell, line)
		}
	}
	if role&program.Shell == 0 {
		if r.mines(name, role, words) {
			r.add(Miner, line)
		}
		if code := inline(words); code != "" {
			r.code(code, line)
		}
	}
	if role&program.Shell != 0 && contains(words, "-i", "-li", "-il") && script != "-c" {
		return in | out | typed
	}
	return in | out
}

func (r *reader) kill(name string, words []string, line string, in flow) {
	bits := rivalsIn(words[1:])
	if bits != 0 {
		r.f.Rivals |= bits
		r.add(Rival, line)
	}
	if bits != 0 || name != "kill" || in&pids != 0 {
		r.add(Kill, line)
	}
}

func contains(words []string, any ...string) bool {
	for _, w := range words {
		for _, a := range any {
			if w == a {
				return true
			}
		}
	}
	return false
}

// operands counts the words that are neither options nor their values.
func operands(words []string) int {
	n := 0
	for i, w := range words {
		if i > 0 && w != "" && w[0] != '-' && w[0] != '>' {
			n++
		}
	}
	return n
}
