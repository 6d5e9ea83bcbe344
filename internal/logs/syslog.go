package logs

import (
	"path"
	"strconv"
	"strings"
	"time"

	"github.com/minewarden/minewarden"
)

var facilities = [...]string{
	"kern", "user", "mail", "daemon", "auth", "syslog", "lpr", "news", "uucp", "cron", "authpriv", "ftp", "ntp", "audit", "alert", "clock",
	"local0", "local1", "local2", "local3", "local4", "local5", "local6", "local7",
}

var severities = [...]string{"emerg", "alert", "crit", "err", "warning", "notice", "info", "debug"}

// syslog reads a line of RFC 5424, RFC 3164 or with a date of ISO 8601; false: it is none.
func (d *Decoder) syslog(line string) (time.Time, *minewarden.Record, bool) {
	rec := &minewarden.Record{Source: "syslog"}
	rest, pri := priority(line)
	if pri >= 0 {
		rec.Channel = facilities[pri>>3]
		rec.Fields = append(rec.Fields, minewarden.Field{Name: "severity", Value: severities[pri&7]})
		if after, ok := strings.CutPrefix(rest, "1 "); ok {
			if t, ok := d.rfc5424(after, rec); ok {
				return t, rec, true
			}
		}
	}
	t, after, ok := stamp(rest, d.until(), d.Location)
	if !ok {
		word, more, found := strings.Cut(rest, " ")
		if !found || len(word) < 19 || word[4] != '-' || word[10] != 'T' {
			if pri < 0 {
				return t, nil, false
			}
			// Some senders write a priority and the message, nothing between.
			d.tagged(rest, rec)
			return d.now(), rec, true
		}
		if t, ok = parseTime(strings.TrimSuffix(word, ":"), d.Location); !ok {
			return t, nil, false
		}
		after = " " + more
	}
	if strings.HasPrefix(after, ":") { // no host, no program
		rec.Message = strings.TrimSpace(after[1:])
		return t, rec, true
	}
	after = strings.TrimLeft(after, " ")
	host, msg, found := strings.Cut(after, " ")
	if !found || strings.HasSuffix(host, ":") || strings.Contains(host, "[") { // written locally, without a host
		msg = after
	} else {
		rec.Host = host
	}
	d.tagged(msg, rec)
	return t, rec, true
}

// priority reads "<34>"; -1: there is none.
func priority(s string) (rest string, pri int) {
	if len(s) < 3 || s[0] != '<' {
		return s, -1
	}
	end := strings.IndexByte(s[:min(len(s), 5)], '>')
	if end < 2 {
		return s, -1
	}
	n, err := strconv.Atoi(s[1:end])
	if err != nil || n < 0 || n > 191 {
		return s, -1
	}
	return s[end+1:], n
}

// tagged reads "program[12]: message".
func (d *Decoder) tagged(s string, rec *minewarden.Record) {
	s = strings.TrimLeft(s, " ")
	rec.Message = s
	end := 0
	for end < len(s) && end < 128 && s[end] != ':' && s[end] != '[' && s[end] != ' ' {
		end++
	}
	if end == 0 || end == len(s) || s[end] != ':' && s[end] != '[' {
		return
	}
	ident, rest, pid := s[:end], s[end:], ""
	if rest[0] == '[' {
		var ok bool
		if pid, rest, ok = strings.Cut(rest[1:], "]"); !ok || len(pid) > 20 || !strings.HasPrefix(rest, ":") {
			return
		}
	}
	rec.Message = strings.TrimLeft(rest[1:], " ")
	setIdent(rec, ident, pid)
	if after, ok := strings.CutPrefix(rec.Message, "message repeated "); ok {
		n, inner, ok := strings.Cut(after, " times: [ ")
		if !ok {
			n, inner, ok = strings.Cut(after, " times: [")
		}
		if _, err := strconv.Atoi(n); ok && err == nil {
			rec.Message = strings.TrimSuffix(inner, "]")
			rec.Fields = append(rec.Fields, minewarden.Field{Name: "repeated", Value: n})
		}
	}
}

// setIdent adds the program's name without path and PAM service, as "su" of "su(pam_unix)".
func setIdent(rec *minewarden.Record, ident, pid string) {
	if name, _, ok := strings.Cut(ident, "("); ok && name != "" && name[0] != '(' {
		ident = name
	}
	if strings.HasPrefix(ident, "/") {
		ident = path.Base(ident)
	}
	rec.Fields = append(rec.Fields, minewarden.Field{Name: "ident", Value: ident})
	if pid != "" && pid != "-" {
		rec.Fields = append(rec.Fields, minewarden.Field{Name: "pid", Value: pid})
	}
}

// rfc5424 reads what follows the version.
func (d *Decoder) rfc5424(s string, rec *minewarden.Record) (time.Time, bool) {
	var word [5]string
	for i := range word {
		var ok bool
		if word[i], s, ok = strings.Cut(s, " "); !ok && i < 4 {
			return time.Time{}, false
		}
	}
	t := d.now()
	if word[0] != "-" {
		var ok bool
		if t, ok = parseTime(word[0], d.Location); !ok {
			return t, false
		}
	}
	if word[1] != "-" {
		rec.Host = word[1]
	}
	if word[2] != "-" {
		setIdent(rec, word[2], word[3])
	}
	if word[4] != "-" {
		rec.Fields = append(rec.Fields, minewarden.Field{Name: "msgid", Value: word[4]})
	}
	s, ok := structured(s, rec)
	if !ok {
		return t, false
	}
	s = strings.TrimPrefix(s, " ")
	rec.Message = strings.TrimPrefix(s, "\ufeff")
	return t, true
}

// structured reads structured data: [id name="value" …]…
func structured(s string, rec *minewarden.Record) (rest string, ok bool) {
	if strings.HasPrefix(s, "-") {
		return s[1:], true
	}
	for strings.HasPrefix(s, "[") {
		end := strings.IndexAny(s, " ]")
		if end < 0 {
			return s, false
		}
		id := s[1:end]
		s = s[end:]
		for strings.HasPrefix(s, " ") {
			name, after, found := strings.Cut(s[1:], `="`)
			if !found || strings.ContainsAny(name, " ]") {
				return s, false
			}
			var v strings.Builder
			i := 0
			for ; i < len(after) && after[i] != '"'; i++ {
				if after[i] == '\\' && i+1 < len(after) && strings.IndexByte(`"\]`, after[i+1]) >= 0 {
					i++
				}
				v.WriteByte(after[i])
			}
			if i == len(after) {
				return s, false
			}
			if len(rec.Fields) < MaxFields {
				rec.Fields = append(rec.Fields, minewarden.Field{Name: id + "." + name, Value: v.String()})
			}
			s = after[i+1:]
		}
		if !strings.HasPrefix(s, "]") {
			return s, false
		}
		s = s[1:]
	}
	return s, true
}
