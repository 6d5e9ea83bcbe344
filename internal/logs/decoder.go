// Package logs reads lines of logs: syslog, auditd, web servers, containers, Kubernetes, Windows events as JSON or XML, and
// JSON of any shape. What a line is, is told by the line.
package logs

import (
	"bytes"
	"fmt"
	"net/netip"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/minewarden/minewarden"
)

const (
	// MaxLine bounds a line, in bytes. What is beyond is cut and counted.
	MaxLine = 1 << 20
	// MaxFields bounds the values of a record.
	MaxFields = 4096
)

type emitter = func(time.Time, *minewarden.Record)

type partial struct {
	text []byte
	when time.Time
}

// A Decoder turns lines into records. It keeps records of auditd until their event is whole, and parts of long container
// lines. It is not safe for concurrent use.
type Decoder struct {
	// Now is the time of lines without one, and the end of the year that a date without a year is taken from.
	Now func() time.Time
	// Location is the zone of times without one.
	Location *time.Location
	// Mapping is for JSON lines that are none of the known kinds; nil: their shape is looked for.
	Mapping *Mapping
	// Fault is told what had to be changed or left out; nil: nobody.
	Fault func(error)

	flat     flattener
	open     []*auditEvent
	partial  [2]partial
	last     time.Time // of the last line that had one
	nested   bool
	replaced uint64
	x86, arm []string
}

// Replaced returns the number of lines that held bytes which are no UTF-8. They became U+FFFD.
func (d *Decoder) Replaced() uint64 { return d.replaced }

// Waiting reports whether lines were taken whose record is not emitted yet.
func (d *Decoder) Waiting() bool {
	return len(d.open) > 0 || d.partial[0].text != nil || d.partial[1].text != nil
}

func (d *Decoder) fault(format string, args ...any) {
	if d.Fault != nil {
		d.Fault(fmt.Errorf(format, args...))
	}
}

// now is the time for a line without one: that of the line before, for it came after that.
func (d *Decoder) now() time.Time {
	if !d.last.IsZero() {
		return d.last
	}
	if d.Now != nil {
		return d.Now().UTC()
	}
	return time.Time{}
}

// until is the time before which a date without a year lies.
func (d *Decoder) until() time.Time {
	if d.nested || d.Now == nil {
		return d.now()
	}
	return d.Now()
}

// Line takes one line without its end. An error says that it is not what it seems; nothing was emitted for it then.
func (d *Decoder) Line(line []byte, emit emitter) error {
	line = bytes.TrimRight(line, "\r\n")
	if len(bytes.TrimSpace(line)) == 0 {
		return nil
	}
	if d.Location == nil {
		d.Location = time.UTC
	}
	text := string(line)
	if !utf8.ValidString(text) {
		d.replaced++
		text = strings.ToValidUTF8(text, "\uFFFD")
	}
	return d.line(text, func(t time.Time, rec *minewarden.Record) {
		if !d.nested {
			d.last = t
		}
		emit(t, rec)
	})
}

// Flush emits what waits for more.
func (d *Decoder) Flush(emit emitter) {
	d.closeAudit(func(*auditEvent) bool { return true }, emit)
	for i, stream := range [...]string{"stdout", "stderr"} {
		if p := d.partial[i]; p.text != nil {
			d.partial[i] = partial{}
			d.inContainer(p.when, stream, string(p.text), emit)
		}
	}
}

func (d *Decoder) line(s string, emit emitter) error {
	switch c := s[0]; {
	case c == '{':
		if err := d.json(s, emit); err == nil || d.Mapping != nil {
			return err
		} else if !d.nested {
			return err
		}
	case c == '[':
		if t, rec, ok := d.apacheError(s); ok {
			emit(t, rec)
			return nil
		}
	case c == 't' || c == 'n':
		if d.audit(s, emit) {
			return nil
		}
	case c == '<':
		if strings.HasPrefix(s, "<Event") {
			t, rec, err := EventXML([]byte(s))
			if err == nil {
				emit(t, rec)
			}
			return err
		}
		if d.viaSyslog(s, emit) {
			return nil
		}
	case c >= 'A' && c <= 'S':
		if d.viaSyslog(s, emit) {
			return nil
		}
	}
	if s[0] >= '0' && s[0] <= '9' && d.dated(s, emit) {
		return nil
	}
	if t, rec, ok := d.access(s); ok {
		emit(t, rec)
		return nil
	}
	emit(d.now(), &minewarden.Record{Source: "text", Message: s})
	return nil
}

// viaSyslog takes a line of syslog. Records of auditd that came this way are joined like others.
func (d *Decoder) viaSyslog(s string, emit emitter) bool {
	t, rec, ok := d.syslog(s)
	if !ok {
		return false
	}
	if strings.HasPrefix(rec.Message, "type=") && strings.Contains(rec.Message, "msg=audit(") && d.audit(rec.Message, emit) {
		return true
	}
	if strings.HasPrefix(rec.Message, "node=") && d.audit(rec.Message, emit) {
		return true
	}
	if strings.HasPrefix(rec.Message, "{") && strings.HasSuffix(rec.Message, "}") && !d.nested {
		// Events of Windows are forwarded as JSON in syslog.
		if fields, err := d.flat.flatten(rec.Message); err == nil {
			if when, win, ok := d.windowsJSON(fields); ok {
				emit(when, win)
				return true
			}
		}
	}
	emit(t, rec)
	return true
}

// dated takes a line that begins with a year.
func (d *Decoder) dated(s string, emit emitter) bool {
	if len(s) < 20 || s[4] != '-' && s[4] != '/' {
		return false
	}
	if s[10] == 'T' {
		word, rest, _ := strings.Cut(s, " ")
		t, ok := parseTime(strings.TrimSuffix(word, ":"), d.Location)
		switch {
		case !ok:
			return false
		case d.cri(t, rest, emit):
			return true
		case strings.HasPrefix(rest, "["):
			emit(t, leveled(rest))
			return true
		case d.viaSyslog(s, emit):
			return true
		}
		return false
	}
	if s[10] != ' ' {
		return false
	}
	day, rest, _ := strings.Cut(s, " ")
	clock, rest, ok := strings.Cut(rest, " ")
	if !ok {
		return false
	}
	t, ok := parseTime(day+" "+clock, d.Location)
	if !ok {
		return false
	}
	rest = strings.TrimLeft(rest, " ")
	if after, found := strings.CutPrefix(rest, "["); found && day[4] == '/' {
		if level, msg, ok := strings.Cut(after, "] "); ok {
			if rec := d.nginxError(t, level, msg); rec != nil {
				emit(t, rec)
				return true
			}
		}
	}
	if rec := gitea(rest); rec != nil {
		emit(t, rec)
		return true
	}
	if strings.HasPrefix(rest, "[") {
		emit(t, leveled(rest))
		return true
	}
	emit(t, &minewarden.Record{Source: "text", Message: rest})
	return true
}

// leveled reads "[INFO]  module: message: key=value": Nomad, Consul and their kin.
func leveled(s string) *minewarden.Record {
	rec := &minewarden.Record{Source: "text"}
	level, msg, ok := strings.Cut(strings.TrimPrefix(s, "["), "]")
	if !ok || len(level) > 10 {
		rec.Message = s
		return rec
	}
	rec.Fields = append(rec.Fields, minewarden.Field{Name: "level", Value: strings.TrimSpace(level)})
	rec.Message = strings.TrimSpace(msg)
	module, after, ok := strings.Cut(rec.Message, ": ")
	if !ok || strings.ContainsAny(module, " =") {
		return rec
	}
	rec.Channel, rec.Service = module, hashicorp(module)
	rec.Fields = append(rec.Fields, minewarden.Field{Name: "module", Value: module})
	if _, pairs, ok := strings.Cut(after, ": "); ok {
		after = pairs
	}
	keyValues(after, rec)
	return rec
}

// keyValues adds key=value and key="a value".
func keyValues(s string, rec *minewarden.Record) {
	for s != "" && len(rec.Fields) < 64 {
		s = strings.TrimLeft(s, " ")
		eq := strings.IndexAny(s, "= ")
		if eq < 0 {
			return
		}
		if s[eq] == ' ' || eq == 0 {
			s = s[eq+1:]
			continue
		}
		name := s[:eq]
		v, rest, ok := quoted(s[eq+1:])
		if !ok {
			v, rest, _ = strings.Cut(s[eq+1:], " ")
		}
		rec.Fields = append(rec.Fields, minewarden.Field{Name: name, Value: v})
		s = rest
	}
}

// gitea reads "...rs/web/auth/auth.go:205:SignInPost() [W] Failed authentication attempt for x from 192.0.2.1:5"; nil: it is none.
func gitea(s string) *minewarden.Record {
	rec := &minewarden.Record{Source: "text", Service: "gitea", Message: s}
	caller, rest, ok := strings.Cut(s, " [")
	if !ok || !strings.Contains(caller, ".go:") || strings.Contains(caller, " ") {
		if !strings.HasPrefix(s, "[") || len(s) < 4 || s[2] != ']' {
			return nil
		}
		caller, rest = "", s[1:]
	}
	level, msg, ok := strings.Cut(rest, "] ")
	if !ok || len(level) != 1 {
		return nil
	}
	rec.Fields = []minewarden.Field{{Name: "level", Value: level}}
	if caller != "" {
		rec.Fields = append(rec.Fields, minewarden.Field{Name: "caller", Value: caller})
	}
	rec.Message = msg
	if i := strings.LastIndex(msg, " from "); i >= 0 {
		if at, err := netip.ParseAddrPort(strings.TrimSpace(msg[i+6:])); err == nil {
			rec.Fields = append(rec.Fields, minewarden.Field{Name: "c-ip", Value: at.Addr().String()})
		}
	}
	return rec
}

func address(b []byte) string {
	a, ok := netip.AddrFromSlice(b)
	if !ok {
		return ""
	}
	return a.Unmap().String()
}
