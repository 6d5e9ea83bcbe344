package command

import "strings"

// inline returns the program that an interpreter was given on its command line, or "".
func inline(words []string) string {
	for i := 1; i+1 < len(words); i++ {
		w := words[i]
		switch {
		case w == "-c", w == "-e", w == "-E", w == "-r", w == "--eval", w == "-p", w == "--print":
			return words[i+1]
		case len(w) > 2 && len(w) < 8 && w[0] == '-' && w[1] != '-' && w[1] != 'M' && (w[len(w)-1] == 'e' || w[len(w)-1] == 'c'):
			return words[i+1] // perl -we
		case w == "" || w[0] != '-':
			return ""
		}
	}
	return ""
}

// What programs on a command line do, by words of Python, Perl, PHP, Ruby, Lua and JavaScript.
var (
	connects = [...]string{
		"socket.socket", "create_connection", "IO::Socket", "sockaddr_in", "PF_INET", "TCPSocket", "fsockopen", "stream_socket_client", "net.connect", "net.Socket", "createConnection",
		"socket.tcp",
	}
	// handsOver ties a shell's input or output to something else.
	handsOver = [...]string{"dup2", "STDIN", "pty.spawn", "proc_open", ".stdin", "$stdin.reopen"}
	shellWord = [...]string{"/sh", "/bash", "'sh'", "\"sh\"", "'bash'", "\"bash\"", "\\\"sh", "sh -i", "/dash", "/zsh"}
	inPlace   = [...]string{"exec(", "eval(", "eval ", "exec ", "Function(", "vm.run"}
	saves     = [...]string{"open(", "open F", "open ", "write", "file_put_contents", "copy(", "createWriteStream", "retrieve", "getstore"}
)

// code judges a program on a command line: what it fetches, and whether it ties a shell to the network.
func (r *reader) code(text, line string) {
	text = text[:min(len(text), maxText)]
	has := func(words []string) bool {
		for _, w := range words {
			if strings.Contains(text, w) {
				return true
			}
		}
		return false
	}
	url := urlIn(text)
	if has(connects[:]) && has(handsOver[:]) && has(shellWord[:]) {
		r.add(ReverseShell, line)
	}
	if url == "" {
		return
	}
	host, ok := hostOf(url)
	if !ok {
		return
	}
	if r.f.URL == "" {
		r.f.URL = url
	}
	r.add(Download, line)
	switch judgeHost(host) {
	case hostLocal:
		r.add(LocalHost, line)
	case hostRaw:
		r.add(RawHost, line)
	}
	if minerURL(url) {
		r.add(MinerFetch, line)
	}
	inside := has(inPlace[:])
	text = strings.ReplaceAll(text, "urlopen(", "")
	if inside && !has(saves[:]) {
		r.add(PipeToShell, line)
	}
}

// urlIn returns the first URL that stands in quotes, or "".
func urlIn(text string) string {
	for _, scheme := range [...]string{"http://", "https://", "ftp://"} {
		i := strings.Index(text, scheme)
		if i <= 0 || strings.IndexByte("'\"`\\(/", text[i-1]) < 0 {
			continue
		}
		url := text[i:]
		if end := strings.IndexAny(url, "'\"`\\) \n;,"); end >= 0 {
			url = url[:end]
		}
		return url
	}
	return ""
}

// talks says that a command passes what it reads on to the network.
func talks(name string, words []string) bool {
	switch name {
	case "nc", "ncat", "netcat", "nc.openbsd", "nc.traditional", "telnet", "socat":
		return true
	case "openssl":
		return contains(words, "s_client")
	case "busybox":
		return contains(words, "nc", "telnet")
	}
	return false
}
