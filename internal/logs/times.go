package logs

import (
	"strconv"
	"strings"
	"time"
)

// layouts are forms of time that logs use besides RFC 3339, most frequent first.
var layouts = [...]string{
	"2006-01-02T15:04:05.999999999Z0700", "2006-01-02T15:04:05.999999999", "2006-01-02 15:04:05.999999999", "2006-01-02 15:04:05,999999999",
	"2006/01/02 15:04:05.999999999", "2006-01-02 15:04:05.999999999Z07:00", "2006-01-02 15:04:05.999999999 -0700",
	"2006-01-02 15:04:05.999999999 -0700 MST", "02/Jan/2006:15:04:05 -0700", time.RFC1123, time.RFC1123Z, time.ANSIC, time.UnixDate,
}

// parseTime reads a time in any usual form: text, or a number of seconds, milli-, micro- or nanoseconds since 1970.
func parseTime(s string, loc *time.Location) (time.Time, bool) {
	if len(s) < 8 {
		return time.Time{}, false
	}
	if t, err := time.Parse(time.RFC3339Nano, s); err == nil {
		return t.UTC(), true
	}
	if t, ok := number(s); ok {
		return t, true
	}
	for _, l := range layouts {
		if t, err := time.ParseInLocation(l, s, loc); err == nil {
			return t.UTC(), true
		}
	}
	return time.Time{}, false
}

func number(s string) (time.Time, bool) {
	whole, frac, _ := strings.Cut(s, ".")
	n, err := strconv.ParseInt(whole, 10, 64)
	if err != nil || n < 1e8 {
		return time.Time{}, false
	}
	switch {
	case n < 1e11:
		var ns int64
		if frac != "" && len(frac) <= 18 {
			if v, err := strconv.ParseInt((frac + "000000000")[:9], 10, 64); err == nil {
				ns = v
			}
		}
		return time.Unix(n, ns).UTC(), true
	case n < 1e14:
		return time.UnixMilli(n).UTC(), true
	case n < 1e17:
		return time.UnixMicro(n).UTC(), true
	}
	return time.Unix(0, n).UTC(), true
}

var months = map[string]time.Month{
	"Jan": 1, "Feb": 2, "Mar": 3, "Apr": 4, "May": 5, "Jun": 6, "Jul": 7, "Aug": 8, "Sep": 9, "Oct": 10, "Nov": 11, "Dec": 12,
}

// stamp reads "Jan _2 15:04:05" with an optional fraction, without a year, and returns what follows it. The year is the last
// in which that time is not later than a day after now.
func stamp(s string, now time.Time, loc *time.Location) (t time.Time, rest string, ok bool) {
	if len(s) < 14 {
		return t, s, false
	}
	month, known := months[s[:3]]
	if !known || s[3] != ' ' {
		return t, s, false
	}
	r := strings.TrimLeft(s[4:], " ")
	d, r, found := strings.Cut(r, " ")
	day, err := strconv.Atoi(d)
	if !found || err != nil || day < 1 || day > 31 {
		return t, s, false
	}
	r = strings.TrimLeft(r, " ")
	if len(r) < 8 || r[2] != ':' || r[5] != ':' {
		return t, s, false
	}
	h, err1 := strconv.Atoi(r[:2])
	m, err2 := strconv.Atoi(r[3:5])
	sec, err3 := strconv.Atoi(r[6:8])
	if err1 != nil || err2 != nil || err3 != nil || h > 23 || m > 59 || sec > 60 || h < 0 || m < 0 || sec < 0 {
		return t, s, false
	}
	r = r[8:]
	ns := 0
	if len(r) > 1 && r[0] == '.' {
		end := 1
		for end < len(r) && end < 10 && r[end] >= '0' && r[end] <= '9' {
			end++
		}
		if v, err := strconv.Atoi((r[1:end] + "000000000")[:9]); err == nil {
			ns = v
		}
		r = r[end:]
	}
	t = time.Date(now.In(loc).Year(), month, day, h, m, sec, ns, loc)
	if t.After(now.Add(24 * time.Hour)) {
		t = time.Date(now.In(loc).Year()-1, month, day, h, m, sec, ns, loc)
	}
	return t.UTC(), r, true
}
