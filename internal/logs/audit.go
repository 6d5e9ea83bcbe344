package logs

import (
	"encoding/hex"
	"strconv"
	"strings"
	"time"

	"github.com/minewarden/minewarden"
)

const (
	maxOpenAudit   = 64              // events that wait for more records
	maxAuditFields = 2048            // of one event
	auditPatience  = 2 * time.Second // by the log's clock: records of one event come together
)

// auditEvent is an event whose records come one by one.
type auditEvent struct {
	serial string
	node   string
	when   time.Time
	rec    *minewarden.Record
}

// partOfMany are the records that come with others of the same serial number. All other types stand alone.
var partOfMany = map[string]bool{
	"SYSCALL": true, "PATH": true, "CWD": true, "EXECVE": true, "SOCKADDR": true, "PROCTITLE": true, "AVC": true, "IPC": true,
	"SOCKETCALL": true, "MMAP": true, "FD_PAIR": true, "MQ_OPEN": true, "CAPSET": true, "BPRM_FCAPS": true, "OBJ_PID": true, "BPF": true,
	"KERN_MODULE": true, "SECCOMP": true, "NETFILTER_CFG": true, "NETFILTER_PKT": true, "CONFIG_CHANGE": true, "FANOTIFY": true,
	"TIME_ADJNTPVAL": true, "TIME_INJOFFSET": true, "OPENAT2": true, "MAC_POLICY_LOAD": true, "SELINUX_ERR": true, "URINGOP": true,
}

// audit takes a record of auditd; false: the line is none.
func (d *Decoder) audit(line string, emit emitter) bool {
	node := ""
	if after, ok := strings.CutPrefix(line, "node="); ok {
		if node, line, ok = strings.Cut(after, " "); !ok {
			return false
		}
	}
	after, ok := strings.CutPrefix(line, "type=")
	if !ok {
		return false
	}
	kind, after, ok := strings.Cut(after, " ")
	if !ok {
		return false
	}
	after, ok = strings.CutPrefix(strings.TrimLeft(after, " "), "msg=audit(")
	if !ok {
		return false
	}
	id, body, ok := strings.Cut(after, ")")
	if !ok || len(id) > 64 {
		return false
	}
	when, serial, ok := strings.Cut(id, ":")
	t, valid := number(when)
	if !ok || !valid {
		if t, valid = parseTime(strings.TrimSpace(when), d.Location); !valid {
			return false
		}
	}
	d.seenAudit(t, emit)
	if kind == "EOE" {
		d.closeAudit(func(e *auditEvent) bool { return e.serial == id && e.node == node }, emit)
		return true
	}
	ev := d.openAudit(id, serial, node, t, emit)
	d.auditFields(ev.rec, kind, strings.TrimLeft(strings.TrimPrefix(body, ":"), " "))
	if kind == "PROCTITLE" || !partOfMany[kind] {
		d.closeAudit(func(e *auditEvent) bool { return e == ev }, emit)
	}
	return true
}

// seenAudit ends what is too old to become more.
func (d *Decoder) seenAudit(t time.Time, emit emitter) {
	if len(d.open) > 0 {
		d.closeAudit(func(e *auditEvent) bool { return t.Sub(e.when) > auditPatience }, emit)
	}
}

func (d *Decoder) closeAudit(which func(*auditEvent) bool, emit emitter) {
	rest := d.open[:0]
	for _, e := range d.open {
		if which(e) {
			emit(e.when, e.rec)
		} else {
			rest = append(rest, e)
		}
	}
	clear(d.open[len(rest):])
	d.open = rest
}

func (d *Decoder) openAudit(id, serial, node string, t time.Time, emit emitter) *auditEvent {
	for _, e := range d.open {
		if e.serial == id && e.node == node {
			return e
		}
	}
	if len(d.open) >= maxOpenAudit {
		oldest := d.open[0]
		d.closeAudit(func(e *auditEvent) bool { return e == oldest }, emit)
	}
	e := &auditEvent{serial: id, node: node, when: t, rec: &minewarden.Record{Source: "auditd", Host: node}}
	e.rec.Fields = append(make([]minewarden.Field, 0, 48), minewarden.Field{Name: "serial", Value: serial})
	d.open = append(d.open, e)
	return e
}

// auditFields adds the fields of one record.
func (d *Decoder) auditFields(rec *minewarden.Record, kind, s string) {
	add := func(name, v string) {
		if len(rec.Fields) < maxAuditFields {
			rec.Fields = append(rec.Fields, minewarden.Field{Name: name, Value: v})
		}
	}
	add("type", kind)
	arch, named := "", false
	number := -1
	if before, _, ok := strings.Cut(s, ": "); ok && strings.HasPrefix(s, "avc:") {
		add("avc", strings.Join(strings.Fields(strings.TrimPrefix(s, before+": ")), " "))
	}
	d.pairs(s, kind, 0, func(name, v string) {
		switch {
		case name == "arch":
			arch = v
		case name == "syscall":
			if n, err := strconv.Atoi(v); err == nil {
				number = n
			}
		case name == "SYSCALL":
			named = true
		case name == "saddr":
			sockaddr(v, add)
		}
		add(name, v)
	})
	if kind == "SYSCALL" && !named && number >= 0 {
		if name := d.callName(arch, number); name != "" {
			add("SYSCALL", name)
		}
	}
}

// callName gives the name of a system call by the architecture of the record: AUDIT_ARCH_X86_64 or _AARCH64.
func (d *Decoder) callName(arch string, n int) string {
	var list []string
	switch arch {
	case "c000003e", "x86_64":
		if d.x86 == nil {
			d.x86 = callNames(callsX86)
		}
		list = d.x86
	case "c00000b7", "aarch64":
		if d.arm == nil {
			d.arm = callNames(callsARM)
		}
		list = d.arm
	}
	if n < len(list) {
		return list[n]
	}
	return ""
}

// pairs reads name=value. Behind the separator 0x1d stands what auditd already looked up: names in capitals.
func (d *Decoder) pairs(s, kind string, depth int, add func(name, v string)) {
	for s != "" {
		s = strings.TrimLeft(s, " \x1d,")
		eq := strings.IndexAny(s, "= \x1d")
		if eq < 0 {
			return
		}
		if s[eq] != '=' {
			s = s[eq+1:]
			continue
		}
		name := s[:eq]
		s = s[eq+1:]
		if name == "" || len(name) > 64 {
			continue
		}
		var v string
		switch {
		case strings.HasPrefix(s, "'") && depth == 0: // msg='op=login acct="root" …'
			inner, after, ok := strings.Cut(s[1:], "'")
			if !ok {
				after = ""
			}
			d.pairs(inner, kind, 1, add)
			s = after
			continue
		case strings.HasPrefix(s, `"`):
			var ok bool
			if v, s, ok = strings.Cut(s[1:], `"`); !ok {
				s = ""
			}
		default:
			end := strings.IndexAny(s, " \x1d")
			if end < 0 {
				end = len(s)
			}
			v, s = s[:end], s[end:]
			if encoded(kind, name) {
				v = unhex(v, name)
			}
		}
		add(name, v)
	}
}

// encoded tells the fields that auditd writes in hexadecimal when they hold a space, a quote or something unprintable.
func encoded(kind, name string) bool {
	switch name {
	case "proctitle", "exe", "comm", "cwd", "name", "path", "cmd", "acct", "data", "dir", "file", "key", "grp", "new_chroot", "ocomm", "vm", "watch", "dev":
		return true
	}
	if kind == "EXECVE" && len(name) > 1 && name[0] == 'a' && name[1] >= '0' && name[1] <= '9' {
		return true
	}
	return false
}

// unhex decodes v when all of it is hexadecimal. NULs separate the arguments of a process's title.
func unhex(v, name string) string {
	if len(v) < 2 || len(v)%2 != 0 || strings.IndexFunc(v, func(r rune) bool { return (r < '0' || r > '9') && (r < 'A' || r > 'F') }) >= 0 {
		return v
	}
	// A short number in a field such as key is not encoded: what is encoded holds at least one byte that had to be.
	b, err := hex.DecodeString(v)
	if err != nil {
		return v
	}
	special := false
	for _, c := range b {
		special = special || c <= ' ' || c == '"' || c >= 0x7f
	}
	if !special && name != "proctitle" {
		return v
	}
	text := strings.TrimRight(string(b), "\x00")
	return strings.ToValidUTF8(strings.ReplaceAll(text, "\x00", " "), "\uFFFD")
}

// sockaddr adds what a socket address says.
func sockaddr(v string, add func(name, v string)) {
	b, err := hex.DecodeString(v)
	if err != nil || len(b) < 4 {
		return
	}
	port := strconv.Itoa(int(b[2])<<8 | int(b[3]))
	switch family := int(b[0]) | int(b[1])<<8; {
	case family == 1:
		p, _, _ := strings.Cut(string(b[2:]), "\x00")
		if p == "" && len(b) > 3 {
			p = "@" + strings.TrimRight(string(b[3:]), "\x00")
		}
		add("saddr_fam", "local")
		add("path", strings.ToValidUTF8(p, "\uFFFD"))
	case family == 2 && len(b) >= 8:
		add("saddr_fam", "inet")
		add("addr", address(b[4:8]))
		add("port", port)
	case family == 10 && len(b) >= 24:
		add("saddr_fam", "inet6")
		add("addr", address(b[8:24]))
		add("port", port)
	}
}
