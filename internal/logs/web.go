package logs

import (
	"strconv"
	"strings"
	"time"

	"github.com/minewarden/minewarden"
)

// access reads a line of the common or combined format, with or without the virtual host before it.
func (d *Decoder) access(line string) (time.Time, *minewarden.Record, bool) {
	open := strings.Index(line, " [")
	if open < 0 || open > 512 {
		return time.Time{}, nil, false
	}
	head := strings.Fields(line[:open])
	if len(head) < 3 || len(head) > 4 {
		return time.Time{}, nil, false
	}
	rest := line[open+2:]
	when, rest, ok := strings.Cut(rest, "] ")
	t, err := time.Parse("02/Jan/2006:15:04:05 -0700", when)
	if !ok || err != nil {
		return t, nil, false
	}
	rec := &minewarden.Record{Source: "web", Message: line, Fields: make([]minewarden.Field, 0, 12)}
	add := func(name, v string) {
		if v != "-" && v != "" {
			rec.Fields = append(rec.Fields, minewarden.Field{Name: name, Value: v})
		}
	}
	n := len(head)
	add("c-ip", head[n-3])
	add("cs-username", head[n-1])
	if n == 4 {
		add("cs-host", head[0])
		rec.Host, _, _ = strings.Cut(head[0], ":")
	}
	request, rest, ok := quoted(rest)
	if !ok {
		return t, nil, false
	}
	// A request that is no HTTP keeps its text as the URI, for scanners and exploits send such.
	method, uri, ok := strings.Cut(request, " ")
	version := ""
	if ok {
		if i := strings.LastIndex(uri, " "); i >= 0 && strings.HasPrefix(uri[i+1:], "HTTP/") {
			uri, version = uri[:i], uri[i+1:]
		}
		add("cs-method", method)
	} else {
		uri = request
	}
	stem, query, _ := strings.Cut(uri, "?")
	add("cs-uri", uri)
	add("cs-uri-stem", stem)
	add("cs-uri-query", query)
	add("cs-version", version)
	status, rest, _ := strings.Cut(strings.TrimLeft(rest, " "), " ")
	if _, err := strconv.Atoi(status); err != nil {
		return t, nil, false
	}
	add("sc-status", status)
	size, rest, _ := strings.Cut(rest, " ")
	add("sc-bytes", size)
	if referer, after, ok := quoted(strings.TrimLeft(rest, " ")); ok {
		add("cs-referer", referer)
		if agent, after, ok := quoted(strings.TrimLeft(after, " ")); ok {
			add("cs-user-agent", agent)
			if forwarded, _, ok := quoted(strings.TrimLeft(after, " ")); ok {
				add("x-forwarded-for", forwarded)
			}
		}
	}
	return t.UTC(), rec, true
}

// quoted reads "text" and undoes what web servers escape in it: \" \\ \xHH.
func quoted(s string) (v, rest string, ok bool) {
	if len(s) < 2 || s[0] != '"' {
		return "", s, false
	}
	for i := 1; i < len(s); i++ {
		switch s[i] {
		case '"':
			return unescape(s[1:i]), s[i+1:], true
		case '\\':
			i++
		}
	}
	return "", s, false
}

func unescape(s string) string {
	if strings.IndexByte(s, '\\') < 0 {
		return s
	}
	b := make([]byte, 0, len(s))
	for i := 0; i < len(s); i++ {
		if s[i] != '\\' || i+1 == len(s) {
			b = append(b, s[i])
			continue
		}
		i++
		switch s[i] {
		case '"', '\\':
			b = append(b, s[i])
		case 'x':
			if i+2 < len(s) {
				if n, err := strconv.ParseUint(s[i+1:i+3], 16, 8); err == nil {
					b = append(b, byte(n))
					i += 2
					continue
				}
			}
			b = append(b, '\\', 'x')
		default:
			b = append(b, '\\', s[i])
		}
	}
	return strings.ToValidUTF8(string(b), "\uFFFD")
}

// apacheError reads "[Sun Dec 04 04:47:44.123456 2005] [core:error] [pid 7] [client 192.0.2.1:5] message".
func (d *Decoder) apacheError(line string) (time.Time, *minewarden.Record, bool) {
	when, rest, ok := strings.Cut(strings.TrimPrefix(line, "["), "]")
	t, err := time.ParseInLocation("Mon Jan _2 15:04:05 2006", when, d.Location)
	if err != nil {
		t, err = time.ParseInLocation("Mon Jan _2 15:04:05.000000 2006", when, d.Location)
	}
	if !ok || err != nil {
		return t, nil, false
	}
	rec := &minewarden.Record{Source: "web", Channel: "apache"}
	for n := 0; n < 6; n++ {
		rest = strings.TrimLeft(rest, " ")
		part, after, ok := strings.Cut(strings.TrimPrefix(rest, "["), "]")
		if !strings.HasPrefix(rest, "[") || !ok {
			break
		}
		word, v, two := strings.Cut(part, " ")
		switch {
		case two && word == "client":
			if i := strings.LastIndexByte(v, ':'); i > 0 && strings.Count(v, ":") == 1 {
				v = v[:i]
			}
			rec.Fields = append(rec.Fields, minewarden.Field{Name: "c-ip", Value: v})
		case two && word == "pid":
			v, _, _ = strings.Cut(v, ":")
			rec.Fields = append(rec.Fields, minewarden.Field{Name: "pid", Value: v})
		case !two && n == 0:
			rec.Fields = append(rec.Fields, minewarden.Field{Name: "level", Value: part[strings.IndexByte(part, ':')+1:]})
		default:
			two = false
		}
		if !two && n > 0 {
			break
		}
		rest = after
	}
	rec.Message = strings.TrimLeft(rest, " ")
	return t.UTC(), rec, true
}

// nginxError reads "2026/11/21 20:00:00 [error] 7#7: *1 message, client: 192.0.2.1, server: x, request: "GET / HTTP/1.1", host: "x"".
func (d *Decoder) nginxError(t time.Time, level, rest string) *minewarden.Record {
	pid, msg, ok := strings.Cut(rest, "#")
	if _, err := strconv.Atoi(pid); !ok || err != nil {
		return nil
	}
	_, msg, ok = strings.Cut(msg, ": ")
	if !ok {
		return nil
	}
	rec := &minewarden.Record{Source: "web", Channel: "nginx", Message: msg, Fields: []minewarden.Field{{Name: "level", Value: level}, {Name: "pid", Value: pid}}}
	for _, w := range [...][2]string{{", client: ", "c-ip"}, {", server: ", "cs-host"}, {", request: \"", "request"}} {
		if _, after, ok := strings.Cut(msg, w[0]); ok {
			end := strings.IndexAny(after, ",\"")
			if end < 0 {
				end = len(after)
			}
			rec.Fields = append(rec.Fields, minewarden.Field{Name: w[1], Value: after[:end]})
		}
	}
	return rec
}
