package procfs

import (
	"errors"

	"golang.org/x/sys/unix"
)

// stat is what matters here of /proc/PID/stat.
type stat struct {
	pid     int32
	name    []byte // comm; points into the buffer that was parsed
	state   byte
	parent  int32
	flags   uint64
	ticks   uint64 // user and system time of all threads, 1/100 s
	nice    int8
	threads int
	start   uint64 // 1/100 s after boot
	pages   uint64 // resident
	stack   uint64 // address of the first stack frame: random, so that it changes with every exec
	policy  uint64
}

// dead tells whether the process ended and only waits for its parent to ask. Its first thread alone may have ended.
func (s *stat) dead() bool { return (s.state == 'Z' || s.state == 'X') && s.threads <= 1 }

// kernelThread is PF_KTHREAD: nothing in user space can set it.
const kernelThread = 0x00200000

var errStat = errors.New("not a stat file")

// parseStat reads /proc/PID/stat or /proc/PID/task/TID/stat.
func parseStat(text []byte) (stat, error) {
	var s stat
	open, end := -1, -1
	for i, c := range text { // the name may hold "(" and ")": the outermost count
		if c == '(' && open < 0 {
			open = i
		}
		if c == ')' {
			end = i
		}
	}
	if open < 2 || end < open {
		return s, errStat
	}
	pid, _ := number(text[:open])
	s.pid, s.name = int32(pid), text[open+1:end]
	rest := text[end+1:]
	field := 2
	for len(rest) > 0 {
		for len(rest) > 0 && (rest[0] == ' ' || rest[0] == '\n') {
			rest = rest[1:]
		}
		if len(rest) == 0 {
			break
		}
		field++
		if field == 3 {
			s.state, rest = rest[0], rest[1:]
			continue
		}
		negative := rest[0] == '-'
		if negative {
			rest = rest[1:]
		}
		n, length := number(rest)
		if length == 0 {
			return s, errStat
		}
		rest = rest[length:]
		switch field {
		case 4:
			s.parent = int32(n)
		case 9:
			s.flags = n
		case 14, 15:
			s.ticks += n
		case 19:
			s.nice = int8(n)
			if negative {
				s.nice = -s.nice
			}
		case 20:
			s.threads = int(n)
		case 22:
			s.start = n
		case 24:
			s.pages = n
		case 28:
			s.stack = n
		case 41:
			s.policy = n
		}
	}
	if field < 24 {
		return s, errStat
	}
	return s, nil
}

// number reads decimal digits at the start of b and tells how many there were.
func number(b []byte) (n uint64, length int) {
	for length < len(b) && b[length] >= '0' && b[length] <= '9' {
		n = n*10 + uint64(b[length]-'0')
		length++
	}
	return n, length
}

// policyName returns the scheduling policy as Usage has it.
func policyName(policy uint64) string {
	switch policy {
	case unix.SCHED_FIFO:
		return "fifo"
	case unix.SCHED_RR:
		return "rr"
	case unix.SCHED_BATCH:
		return "batch"
	case unix.SCHED_IDLE:
		return "idle"
	case unix.SCHED_DEADLINE:
		return "deadline"
	}
	return ""
}

// hostStat is what matters here of /proc/stat.
type hostStat struct {
	busy  uint64 // of all processors: not idle, not waiting for a disk, not stolen; 1/100 s
	cpus  int
	forks uint64 // processes and threads made since boot
}

func parseHostStat(text []byte) (hostStat, error) {
	var h hostStat
	seen := false
	for len(text) > 0 {
		line := text
		if i := indexByte(text, '\n'); i >= 0 {
			line, text = text[:i], text[i+1:]
		} else {
			text = nil
		}
		switch {
		case hasPrefix(line, "cpu "):
			seen = true
			rest := line[4:]
			for field := 0; field < 7; field++ {
				for len(rest) > 0 && rest[0] == ' ' {
					rest = rest[1:]
				}
				n, length := number(rest)
				if length == 0 {
					break
				}
				rest = rest[length:]
				if field != 3 && field != 4 { // idle, iowait
					h.busy += n
				}
			}
		case hasPrefix(line, "cpu"):
			h.cpus++
		case hasPrefix(line, "processes "):
			h.forks, _ = number(line[len("processes "):])
		}
	}
	if !seen {
		return h, errors.New("not the host's stat file")
	}
	return h, nil
}

func hasPrefix(b []byte, prefix string) bool {
	return len(b) >= len(prefix) && string(b[:len(prefix)]) == prefix
}

func indexByte(b []byte, c byte) int {
	for i := range b {
		if b[i] == c {
			return i
		}
	}
	return -1
}
