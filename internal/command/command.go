// Package command says what a command line or a piece of shell text would do, as far as its words show: fetch and run code,
// mine, kill rivals, switch defences off. It understands separators, pipes, quotes and substitution well enough to see who
// feeds whom, and does not expand variables. Detectors weigh what it says by who runs it.
package command

import (
	"strings"

	"github.com/minewarden/minewarden/internal/program"
)

// An Act is something that commands do.
type Act uint32

// The acts.
const (
	Download     Act = 1 << iota // fetches a URL from another machine
	PipeToShell                  // feeds what it fetched to a shell or interpreter
	DecodeToRun                  // feeds decoded bytes to a shell or interpreter
	Executable                   // makes a file executable
	RunWritable                  // runs a file in a directory that everybody may write to
	RunHidden                    // runs a file with a hidden path
	Miner                        // starts a miner
	MinerFetch                   // fetches a miner's public release or set-up script
	MinerSource                  // fetches a miner's source code
	Kill                         // ends processes by name or by what another command printed
	Rival                        // names miners or pool ports to a command that finds or ends processes
	Defence                      // switches off SELinux, AppArmor, a firewall or a security service
	Audit                        // switches off auditing
	History                      // drops the shell's history
	Logs                         // empties or removes system logs
	Tuning                       // what miners tune: huge pages, the NMI watchdog, MSRs
	Immutable                    // locks a persistence file with chattr
	Crontab                      // replaces a crontab from standard input or a file
	Preload                      // writes ld.so.preload
	Keys                         // writes authorized_keys
	ReverseShell                 // connects a shell to the network
	RawHost                      // of Download: the host is a bare public address, a paste site or an onion
	LocalHost                    // of Download: every host is this machine or a private network
	Query                        // of Download: it asks or sends something, and brings no file
)

// Has reports whether any of acts is among a.
func (a Act) Has(acts Act) bool { return a&acts != 0 }

const (
	maxWords    = 64   // of one command; later words are not looked at
	maxCommands = 2048 // of one text
	maxText     = 64 << 10
	maxDepth    = 3 // of commands within quoted arguments
	maxNotes    = 8
	maxNote     = 200 // bytes of evidence
)

// Facts is what was seen. The strings are parts of the input.
type Facts struct {
	Acts   Act
	Rivals uint64 // a bit for each rival named
	URL    string // the first that is fetched
	Output string // file that a download writes, where the words say
	Target string // file that is made executable
	notes  [maxNotes]note
	n      int
}

type note struct {
	act  Act
	text string
}

// Note returns the command that showed one of acts, at most 200 bytes of it.
func (f *Facts) Note(acts Act) string {
	for _, n := range f.notes[:f.n] {
		if n.act&acts != 0 {
			return n.text
		}
	}
	return ""
}

func (f *Facts) add(act Act, text string) {
	if act&^f.Acts != 0 && f.n < maxNotes {
		f.notes[f.n] = note{act &^ f.Acts, clip(text)}
		f.n++
	}
	f.Acts |= act
}

func clip(s string) string {
	if len(s) > maxNote {
		return s[:maxNote]
	}
	return s
}

// Args judges one command given as its arguments.
func Args(args []string) Facts {
	var f Facts
	if len(args) == 0 {
		return f
	}
	if len(args) > maxWords {
		args = args[:maxWords]
	}
	r := reader{f: &f, args: args}
	r.commandIn(args, "", 0, 0)
	return f
}

// Text judges a piece of shell text, such as a script, a crontab or the argument of sh -c. Only its first 64 KiB are read.
func Text(text string) Facts {
	var f Facts
	if len(text) > maxText {
		text = text[:maxText]
	}
	r := reader{f: &f}
	r.text(text, 0)
	return f
}

type reader struct {
	f        *Facts
	args     []string // of Args: joined only when something is noted
	commands int
}

func (r *reader) add(act Act, line string) {
	if act&^r.f.Acts == 0 {
		return
	}
	if line == "" {
		line = strings.Join(r.args[:min(len(r.args), 24)], " ")
	}
	r.f.add(act, line)
}

// flow is what a command passes on to the next one in a pipe.
type flow uint8

const (
	fetched flow = 1 << iota
	decoded
	pids  // process ids, or lines that hold them
	typed // what a shell answers to what it is told
)

// text reads commands one after the other. What is within $(…), `…` and <(…) is read as commands of their own, whose flow
// goes to the command around them.
func (r *reader) text(s string, depth int) flow {
	var words [maxWords]string
	n, start := 0, 0
	var in, all, sub flow // from the pipe; of the whole text; from substitutions in this command
	var open [8]struct {  // of substitutions: where the outer command stood
		words [4]string
		n     int
		start int
		in    flow
	}
	nested := 0
	end := func(i int, pipe bool) {
		if n > 0 && r.commands < maxCommands {
			r.commands++
			out := r.run(words[:n], s[start:i], in|sub, depth)
			all |= out
			if pipe {
				in = out
			} else {
				in = 0
			}
		} else if !pipe {
			in = 0
		}
		n, sub = 0, 0
	}
	for i := 0; i < len(s); {
		c := s[i]
		switch {
		case c == ' ' || c == '\t' || c == '\r':
			i++
		case c == '\\' && i+1 < len(s) && s[i+1] == '\n':
			i += 2
		case c == '#' && (i == 0 || strings.IndexByte(" \t\n;", s[i-1]) >= 0):
			for i < len(s) && s[i] != '\n' {
				i++
			}
		case c == '\n' || c == ';':
			end(i, false)
			i++
			start = i
		case c == '|':
			or := i+1 < len(s) && s[i+1] == '|'
			end(i, !or)
			i++
			if or || i < len(s) && s[i] == '&' {
				i++
			}
			start = i
		case c == '&':
			if i+1 < len(s) && s[i+1] == '>' || i > 0 && s[i-1] == '>' {
				i++ // a redirection
				continue
			}
			end(i, false)
			i++
			start = i
		case c == '`':
			i++
			if j := strings.IndexByte(s[i:], '`'); j >= 0 && depth < maxDepth {
				sub |= r.text(s[i:i+j], depth+1)
				i += j + 1
			}
		case (c == '$' || c == '<') && i+1 < len(s) && s[i+1] == '(' || c == '(':
			if c != '(' {
				i++
			}
			i++
			if nested < len(open) {
				o := &open[nested]
				o.n = copy(o.words[:], words[:n])
				o.in = in | sub
				o.start = start
				nested++
			}
			n, in, sub, start = 0, 0, 0, i
		case c == ')':
			before := all
			end(i, true)
			out := in | (all &^ before)
			i++
			if nested > 0 {
				nested--
				o := &open[nested]
				n = copy(words[:], o.words[:o.n])
				in, sub, start = o.in, out, o.start
				if n == 0 { // a subshell: its output goes on
					sub = 0
					in = out
					words[0] = "cat"
					n = 1
				}
			}
		default:
			w, j, inner := word(s, i)
			if inner && depth < maxDepth { // double quotes hold substitutions
				sub |= r.substitutions(w, depth+1)
			}
			if n < maxWords {
				words[n] = w
				n++
			}
			i = j
		}
	}
	end(len(s), false)
	return all
}

// substitutions reads the commands within $(…) and `…` of a quoted word.
func (r *reader) substitutions(w string, depth int) flow {
	var out flow
	for {
		i := strings.Index(w, "$(")
		j := strings.IndexByte(w, '`')
		switch {
		case i >= 0 && (j < 0 || i < j):
			w = w[i+2:]
			end := closing(w)
			out |= r.text(w[:end], depth)
			w = w[end:]
		case j >= 0:
			w = w[j+1:]
			end := strings.IndexByte(w, '`')
			if end < 0 {
				return out
			}
			out |= r.text(w[:end], depth)
			w = w[end+1:]
		default:
			return out
		}
	}
}

func closing(w string) int {
	level := 1
	for i := range len(w) {
		switch w[i] {
		case '(':
			level++
		case ')':
			if level--; level == 0 {
				return i
			}
		}
	}
	return len(w)
}

// word returns the word at i without its quotes, where it ends, and whether it may hold substitutions.
func word(s string, i int) (w string, end int, inner bool) {
	start := i
	if q := s[i]; q == '\'' || q == '"' {
		for j := i + 1; j < len(s); j++ {
			if s[j] == '\\' && q == '"' {
				j++
				continue
			}
			if s[j] == q {
				if j+1 == len(s) || strings.IndexByte(" \t\n;|&)<>", s[j+1]) >= 0 {
					return s[i+1 : j], j + 1, q == '"'
				}
				break
			}
		}
	}
	if s[i] == '>' || s[i] == '<' || i+1 < len(s) && (s[i] == '1' || s[i] == '2' || s[i] == '&') && s[i+1] == '>' {
		for i < len(s) && (s[i] == '>' || s[i] == '<' || s[i] == '&' || s[i] == '1' || s[i] == '2') {
			i++
		}
		return s[start:i], max(i, start+1), false
	}
	quote := byte(0)
	for ; i < len(s); i++ {
		c := s[i]
		switch {
		case c == '\\':
			i++
		case quote != 0:
			if c == quote {
				quote = 0
			}
		case c == '\'' || c == '"':
			quote = c
			inner = inner || c == '"'
		case strings.IndexByte(" \t\n;|&()`<>", c) >= 0:
			if c == '(' && i > start && s[i-1] == '$' {
				return s[start : i-1], i - 1, inner
			}
			return s[start:i], max(i, start+1), inner
		}
	}
	return s[start:min(i, len(s))], min(i, len(s)), inner
}

// run judges one command of a text and says what it passes on.
func (r *reader) run(words []string, line string, in flow, depth int) flow {
	return r.commandIn(words, strings.TrimSpace(line), in, depth)
}

// unwrap drops assignments and programs that run their arguments, with their own options.
func unwrap(words []string) []string {
	for len(words) > 0 {
		w := words[0]
		if eq := strings.IndexByte(w, '='); eq > 0 && w[0] != '-' && w[0] != '/' && w[0] != '.' && strings.IndexByte(w[:eq], '/') < 0 {
			words = words[1:]
			continue
		}
		role := program.Of(program.Base(w))
		if role&program.Wrapper == 0 {
			return words
		}
		rest := words[1:]
		for len(rest) > 1 && (strings.HasPrefix(rest[0], "-") || number(rest[0])) {
			// An option's own value is skipped where it cannot be a program.
			if takesValue(program.Base(w), rest[0]) {
				rest = rest[1:]
			}
			rest = rest[1:]
		}
		if (program.Base(w) == "chroot" || program.Base(w) == "flock" || program.Base(w) == "su" || program.Base(w) == "runuser") && len(rest) > 1 {
			if program.Base(w) == "su" || program.Base(w) == "runuser" {
				return rest
			}
			rest = rest[1:]
		}
		if len(rest) == 0 {
			return words
		}
		words = rest
	}
	return words
}

func takesValue(wrapper, option string) bool {
	switch wrapper {
	case "sudo", "doas":
		return option == "-u" || option == "-g" || option == "-C" || option == "-h"
	case "nice", "ionice", "chrt":
		return option == "-n" || option == "-c" || option == "-p"
	case "xargs":
		return option == "-I" || option == "-n" || option == "-P" || option == "-L"
	case "timeout":
		return option == "-k" || option == "-s"
	case "nsenter":
		return option == "-t"
	case "screen":
		return option == "-S"
	}
	return false
}

// number reports whether s is a number, perhaps with a unit of time. "sh" is none.
func number(s string) bool {
	for _, c := range []byte(s) {
		if (c < '0' || c > '9') && c != '.' && c != 's' && c != 'm' && c != 'h' {
			return false
		}
	}
	return s != "" && s[0] <= '9'
}
