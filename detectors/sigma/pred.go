package sigma

import (
	"net/netip"
	"regexp"
	"strconv"
	"strings"
	"time"
)

type op uint8

// The operations up to opContains are answered by the index, the others one by one.
const (
	opEqual op = iota
	opPrefix
	opSuffix
	opContains
	opGlob
	opRegexp
	opCIDR
	opNumber
	opExists
	opAbsent
	opFieldRef
)

type timePart uint8

const (
	partMinute timePart = iota + 1
	partHour
	partDay
	partWeek
	partMonth
	partYear
)

var timeParts = map[string]timePart{
	"minute": partMinute, "hour": partHour, "day": partDay, "week": partWeek, "month": partMonth, "year": partYear,
}

// A pred is one test of one field. A field with several values meets it when one of them does. The empty field stands for
// all that the event says.
type pred struct {
	field  string
	op     op
	cased  bool
	lit    string // folded unless cased; of opNumber the order, of opFieldRef the position
	ref    string
	glob   *glob
	re     *regexp.Regexp
	quick  quick // of opRegexp
	prefix netip.Prefix
	num    float64
	part   timePart
}

// key is equal for tests that say the same.
func (p *pred) key() string {
	return p.field + "\x00" + strconv.Itoa(int(p.op)) + strconv.FormatBool(p.cased) + "\x00" + p.lit + "\x00" + p.ref + "\x00" +
		p.prefix.String() + "\x00" + strconv.FormatFloat(p.num, 'g', -1, 64) + strconv.Itoa(int(p.part))
}

// indexed says whether the index answers the test.
func (p *pred) indexed() bool {
	return p.op <= opContains && !p.cased && (p.lit != "" || p.op == opEqual)
}

// meets tests one value, given as it is and folded. It is not for opExists, opAbsent and opFieldRef.
func (p *pred) meets(raw, folded string) bool {
	s := folded
	if p.cased {
		s = raw
	}
	switch p.op {
	case opEqual:
		return s == p.lit
	case opPrefix:
		return strings.HasPrefix(s, p.lit)
	case opSuffix:
		return strings.HasSuffix(s, p.lit)
	case opContains:
		return strings.Contains(s, p.lit)
	case opGlob:
		return p.glob.match(s)
	case opRegexp:
		if p.quick.whole != nil {
			return p.quick.match(raw)
		}
		return p.quick.may(raw) && p.re.MatchString(raw)
	case opCIDR:
		addr, err := netip.ParseAddr(raw)
		return err == nil && p.prefix.Contains(addr.Unmap().WithZone(""))
	case opNumber:
		return p.number(raw)
	default:
		return false
	}
}

func (p *pred) number(raw string) bool {
	var v float64
	if p.part != 0 {
		t, ok := parseTime(raw)
		if !ok {
			return false
		}
		v = float64(p.part.of(t))
	} else {
		var ok bool
		if v, ok = parseNumber(raw); !ok {
			return false
		}
	}
	switch p.lit {
	case "lt":
		return v < p.num
	case "lte":
		return v <= p.num
	case "gt":
		return v > p.num
	case "gte":
		return v >= p.num
	default:
		return v == p.num
	}
}

// refers tests a value against one of the field that the rule names.
func (p *pred) refers(s, other string) bool {
	switch p.lit {
	case "contains":
		return strings.Contains(s, other)
	case "startswith":
		return strings.HasPrefix(s, other)
	case "endswith":
		return strings.HasSuffix(s, other)
	default:
		return s == other
	}
}

// parseNumber reads a decimal number, or a whole one as Windows writes it, "0x3e7".
func parseNumber(s string) (float64, bool) {
	s = strings.TrimSpace(s)
	if len(s) == 0 || len(s) > 64 || !(s[0] == '-' || s[0] == '+' || s[0] == '.' || s[0] >= '0' && s[0] <= '9') {
		return 0, false // before ParseFloat, whose error would cost an allocation
	}
	if len(s) > 2 && s[0] == '0' && (s[1] == 'x' || s[1] == 'X') {
		v, err := strconv.ParseUint(s[2:], 16, 64)
		return float64(v), err == nil
	}
	v, err := strconv.ParseFloat(s, 64)
	return v, err == nil
}

func parseTime(s string) (time.Time, bool) {
	s = strings.TrimSpace(s)
	if len(s) > 64 {
		return time.Time{}, false
	}
	for _, layout := range [...]string{time.RFC3339Nano, "2006-01-02T15:04:05.999999999", "2006-01-02 15:04:05.999999999", "2006-01-02"} {
		if t, err := time.Parse(layout, s); err == nil {
			return t, true
		}
	}
	if v, err := strconv.ParseInt(s, 10, 64); err == nil {
		return time.Unix(v, 0).UTC(), true
	}
	return time.Time{}, false
}

func (p timePart) of(t time.Time) int {
	switch p {
	case partMinute:
		return t.Minute()
	case partHour:
		return t.Hour()
	case partDay:
		return t.Day()
	case partWeek:
		_, week := t.ISOWeek()
		return week
	case partMonth:
		return int(t.Month())
	default:
		return t.Year()
	}
}
