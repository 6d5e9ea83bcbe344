package sigma

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/minewarden/minewarden"
	"github.com/minewarden/minewarden/internal/detectortest"
)

func TestRecordings(t *testing.T) { detectortest.Run(t, New) }

func record(fields ...string) *minewarden.Event {
	r := &minewarden.Record{Source: "json", Product: "p"}
	for i := 0; i+1 < len(fields); i += 2 {
		r.Fields = append(r.Fields, minewarden.Field{Name: fields[i], Value: fields[i+1]})
	}
	return &minewarden.Event{Time: time.Unix(1_700_000_000, 0), Data: r}
}

// ruleOf compiles one rule with the given detection section in flow style.
func ruleOf(t testing.TB, detection string) *Set {
	t.Helper()
	rules, problems := Parse("test.yml", []byte("title: t\nid: t\nlogsource: {product: p}\ndetection:\n"+detection), map[string][]string{
		"admins": {"ann", "bob*"},
	})
	for _, p := range problems {
		t.Fatalf("%s\n%s", p, detection)
	}
	return Compile(rules)
}

// The pairs are read from the specification: the modifiers appendix and the rule chapters on values and escapes.
func TestModifiers(t *testing.T) {
	for _, c := range []struct {
		item string
		yes  []*minewarden.Event
		nope []*minewarden.Event
	}{
		{`f: abc`, ev("abc", "ABC"), ev("abcd", "xabc", "")},
		{`f: [a, b]`, ev("a", "B"), ev("ab")},
		{`f: 4688`, ev("4688"), ev("46880")},
		{`f: true`, ev("true", "True"), ev("false")},
		{`f: 'a*c'`, ev("ac", "abbc", "AXC"), ev("acd", "xac")},
		{`f: 'a?c'`, ev("abc", "aéc"), ev("ac", "abbc")},
		{`f: 'a\*c'`, ev("a*c"), ev("abc")},
		{`f: 'a\?c'`, ev("a?c"), ev("abc")},
		{`f: 'a\\*c'`, ev(`a\c`, `a\xc`), ev("a*c")},
		{`f: 'a\\\*c'`, ev(`a\*c`), ev(`a\xc`)},
		{`f: 'C:\Windows'`, ev(`c:\windows`), ev(`c:windows`)},
		{`f: 'a\\b'`, ev(`a\b`), ev(`a\\b`)},
		{`f: '*'`, ev("x", ""), []*minewarden.Event{record("g", "x")}},
		{`f: ''`, ev(""), append(ev("x"), record("g", "x"))},
		{`f: null`, []*minewarden.Event{record("g", "x")}, ev("x", "")},
		{`f|contains: bc`, ev("abcd", "BC"), ev("b c")},
		{`f|startswith: ab`, ev("ABc"), ev("xab")},
		{`f|endswith: bc`, ev("aBC"), ev("bcx")},
		{`f|contains|all: [a, b]`, ev("xbxa"), ev("xb", "xa")},
		{`f|all|contains: [a, b]`, ev("xbxa"), ev("xb", "xa")},
		{`f|cased: aB`, ev("aB"), ev("ab", "AB")},
		{`f|contains|cased: aB`, ev("xaBx"), ev("xabx")},
		{`f|re: '^a+B$'`, ev("aaB"), ev("aab", "xaaB")},
		{`f|re|i: 'a+B'`, ev("xAAbx"), ev("b")},
		{`f|re|m: '^b$'`, ev("a\nb\nc"), ev("ab")},
		{`f|re|s: 'a.b'`, ev("a\nb", "axb"), ev("ab")},
		{`f|re: 'a.b'`, ev("axb"), ev("a\nb")},
		{`f|cidr: 10.0.0.0/8`, ev("10.1.2.3", "::ffff:10.1.2.3"), ev("11.0.0.1", "10.1", "x")},
		{`f|cidr: 'fd00::/8'`, ev("fd12::1"), ev("fe80::1")},
		{`f|base64: foobar`, ev("Zm9vYmFy"), ev("foobar")},
		{`f|base64|contains: foo`, ev("xxZm9vxx"), ev("foo")},
		{`f|base64offset|contains: /bin/bash`, ev("L2Jpbi9iYXNo", "xxvYmluL2Jhc2xx", "xxvYmluL2Jhc2g="), ev("/bin/bash", "L2Jpbi9")},
		{`f|utf16le|base64offset|contains: cmd`, ev("YwBtAGQA"), ev("Y21k")},
		{`f|wide|base64offset|contains: cmd`, ev("YwBtAGQA"), ev("Y21k")},
		{`f|wide|contains: cmd`, ev("xc\x00m\x00d\x00"), ev("cmd")},
		{`f|utf16be|contains: cmd`, ev("\x00c\x00m\x00d"), ev("c\x00m\x00d")},
		{`f|utf16|contains: cmd`, ev("\xff\xfec\x00m\x00d\x00"), ev("c\x00m\x00d\x00")},
		{`f|windash|contains: ' -param-name '`, ev("x -param-name y", "x /param-name y", "x \u2013param-name y", "x \u2014param-name y", "x \u2015param-name y"), ev("x +param-name y", "x -param/name y")},
		{`f|contains|windash: ' /enc '`, ev("x -enc y", "x /enc y"), ev("x enc y")},
		{`f|exists: true`, ev("x", ""), []*minewarden.Event{record("g", "x")}},
		{`f|exists: false`, []*minewarden.Event{record("g", "x")}, ev("x", "")},
		{`f|lt: 5`, ev("4", "-1", "4.9"), ev("5", "x", "")},
		{`f|lte: 5`, ev("5"), ev("6")},
		{`f|gt: 5`, ev("6", "0x10"), ev("5")},
		{`f|gte: 5`, ev("5"), ev("4")},
		{`f|neq: abc`, ev("abd"), ev("ABC")},
		{`f|neq: 5`, ev("6"), ev("5")},
		{`f|hour|gte: 9`, ev("2026-11-21T10:00:00Z"), ev("2026-11-21T08:59:59Z", "x")},
		{`f|minute: 30`, ev("2026-11-21 10:30:00"), ev("2026-11-21 10:31:00")},
		{`f|day: 21`, ev("2026-11-21T10:00:00Z"), ev("2026-11-20T10:00:00Z")},
		{`f|week: 47`, ev("2026-11-21T10:00:00Z"), ev("2026-01-21T10:00:00Z")},
		{`f|month: 11`, ev("2026-11-21T10:00:00Z"), ev("2026-12-21T10:00:00Z")},
		{`f|year|lt: 2026`, ev("2025-11-21T10:00:00Z"), ev("2026-11-21T10:00:00Z")},
		{`f|fieldref: g`, []*minewarden.Event{record("f", "a", "g", "A")}, []*minewarden.Event{record("f", "a", "g", "b"), record("f", "a")}},
		{`f|fieldref|startswith: g`, []*minewarden.Event{record("f", "abc", "g", "AB")}, []*minewarden.Event{record("f", "abc", "g", "bc")}},
		{`f|neq|fieldref: g`, []*minewarden.Event{record("f", "a", "g", "b")}, []*minewarden.Event{record("f", "a", "g", "a")}},
		{`f|expand: '%admins%'`, ev("ann", "bobby"), ev("carl", "%admins%")},
		{`f|contains|expand: 'x%admins%'`, ev("yxanny"), ev("ann")},
	} {
		t.Run(c.item, func(t *testing.T) {
			m := ruleOf(t, "  s:\n    "+c.item+"\n  condition: s\n").NewMatcher()
			for _, e := range c.yes {
				if len(m.Match(e)) != 1 {
					t.Errorf("%s does not match %q", c.item, e.Data.(*minewarden.Record).Fields)
				}
				compare(t, m, e)
			}
			for _, e := range c.nope {
				if len(m.Match(e)) != 0 {
					t.Errorf("%s matches %q", c.item, e.Data.(*minewarden.Record).Fields)
				}
				compare(t, m, e)
			}
		})
	}
}

func ev(values ...string) []*minewarden.Event {
	var out []*minewarden.Event
	for _, v := range values {
		out = append(out, record("f", v))
	}
	return out
}

func TestConditions(t *testing.T) {
	sels := "  sel_a: {a: '1'}\n  sel_b: {b: '1'}\n  other: {c: '1'}\n  kw: [needle, 'hay*stack']\n"
	for _, c := range []struct{ cond, yes, no string }{
		{"sel_a and sel_b", "a b", "a"},
		{"sel_a or sel_b", "b", "c"},
		{"not sel_a", "b", "a"},
		{"sel_a and not (sel_b or other)", "a", "a c"},
		{"1 of sel_*", "b", "c"},
		{"any of sel_*", "a", "c"},
		{"all of sel_*", "a b", "a c"},
		{"all of them", "a b c needle", "a b c"},
		{"1 of them", "needle", "x"},
		{"not 1 of sel_*", "c", "a"},
		{"kw", "xNEEDLEx", "nothing"},
		{"kw", "hay and stack", "stack hay"},
		{"[sel_a, sel_b]", "b", "c"},
		{"not not sel_a", "a", "b"},
	} {
		m := ruleOf(t, sels+"  condition: "+c.cond+"\n").NewMatcher()
		event := func(s string) *minewarden.Event {
			e := record()
			r := e.Data.(*minewarden.Record)
			for _, f := range strings.Fields(s) {
				if len(f) == 1 {
					r.Fields = append(r.Fields, minewarden.Field{Name: f, Value: "1"})
				}
			}
			r.Message = s
			return e
		}
		if len(m.Match(event(c.yes))) != 1 {
			t.Errorf("%q does not match %q", c.cond, c.yes)
		}
		if len(m.Match(event(c.no))) != 0 {
			t.Errorf("%q matches %q", c.cond, c.no)
		}
	}
}

func TestProblemsAreExplained(t *testing.T) {
	for item, want := range map[string]string{
		"f|sideways: x": "unknown modifier",
		"f|re: '(?=x)'": "regular expression",
		"f|re: '" + strings.Repeat("(a{1000}", 3) + "'": "regular expression",
		"f|cidr: nonsense":         "not a network",
		"f|gt: many":               "not a number",
		"f|expand: '%nobody%'":     "placeholder",
		"f|contains|startswith: x": "exclude each other",
		"f|exists: maybe":          "true or false",
		"f: {a: b}":                "not a map",
		"f: []":                    "empty",
		"f|windash: '" + strings.Repeat(" -a", 9) + "'": "dashes",
	} {
		_, problems := Parse("r.yml", []byte("title: t\nid: t\ndetection:\n  s:\n    "+item+"\n  condition: s\n"), nil)
		if len(problems) != 1 || !strings.Contains(problems[0].Reason, want) || problems[0].Line != 5 {
			t.Errorf("%.40s: got %v, want line 5 and %q", item, problems, want)
		}
	}
	for cond, want := range map[string]string{
		"s and": "ends", "s | count() > 5": "correlation", "nothing": "no selection", "(s": "bracket", "2 of s*": "not part of",
		strings.Repeat("(", 100) + "s" + strings.Repeat(")", 100): "levels",
	} {
		_, problems := Parse("r.yml", []byte("title: t\nid: t\ndetection:\n  s: {f: x}\n  condition: '"+cond+"'\n"), nil)
		if len(problems) != 1 || !strings.Contains(problems[0].Reason, want) {
			t.Errorf("%.40s: got %v, want %q", cond, problems, want)
		}
	}
}

func TestCorrelations(t *testing.T) {
	base := "title: a\nid: ida\nname: a\nlogsource: {product: p}\ndetection: {s: {k: a}, condition: s}\n---\n" +
		"title: b\nid: idb\nname: b\nlogsource: {product: p}\ndetection: {s: {k: b}, condition: s}\n---\ntitle: c\nid: c\ncorrelation:\n"
	for _, c := range []struct {
		name, text string
		events     string // second:kind:user:value
		want       int
	}{
		{"count", "  type: event_count\n  rules: [a]\n  group-by: [u]\n  timespan: 10s\n  condition: {gte: 3}\n", "0:a:x:1 1:a:x:1 2:a:x:1", 1},
		{"count of two users", "  type: event_count\n  rules: [a]\n  group-by: [u]\n  timespan: 10s\n  condition: {gte: 3}\n", "0:a:x:1 1:a:y:1 2:a:x:1", 0},
		{"count too slow", "  type: event_count\n  rules: [a]\n  group-by: [u]\n  timespan: 10s\n  condition: {gte: 3}\n", "0:a:x:1 9:a:x:1 18:a:x:1", 0},
		{"values", "  type: value_count\n  rules: [a]\n  group-by: [u]\n  timespan: 10s\n  condition: {field: v, gt: 2}\n", "0:a:x:1 1:a:x:2 2:a:x:2 3:a:x:3", 1},
		{"temporal", "  type: temporal\n  rules: [a, b]\n  group-by: [u]\n  timespan: 10s\n", "0:b:x:1 1:a:x:1", 1},
		{"ordered", "  type: temporal_ordered\n  rules: [a, b]\n  group-by: [u]\n  timespan: 10s\n", "0:a:x:1 1:b:x:1", 1},
		{"not ordered", "  type: temporal_ordered\n  rules: [a, b]\n  group-by: [u]\n  timespan: 10s\n", "0:b:x:1 1:a:x:1", 0},
		{"sum", "  type: value_sum\n  rules: [a]\n  group-by: [u]\n  timespan: 10s\n  condition: {field: v, gte: 10}\n", "0:a:x:4 1:a:x:6", 1},
		{"average", "  type: value_avg\n  rules: [a]\n  group-by: [u]\n  timespan: 10s\n  condition: {field: v, gt: 5}\n", "0:a:x:4 1:a:x:6", 0},
		{"percentile", "  type: value_percentile\n  rules: [a]\n  group-by: [u]\n  timespan: 10s\n  condition: {field: v, percentile: 50, gte: 5}\n", "0:a:x:4 1:a:x:6 2:a:x:7", 1},
		{"alias", "  type: temporal\n  rules: [a, b]\n  group-by: [who]\n  timespan: 10s\n  aliases: {who: {a: u, b: v}}\n", "0:a:x:1 1:b:z:x", 1},
		{"fewer", "  type: event_count\n  rules: [a]\n  group-by: [u]\n  timespan: 10s\n  condition: {lt: 3}\n", "0:a:x:1 1:a:x:1 30:a:y:1", 2},
		{"generate", "  type: event_count\n  rules: [a]\n  group-by: [u]\n  timespan: 10s\n  generate: true\n  condition: {gte: 2}\n", "0:a:x:1 1:a:x:1", 3},
	} {
		rules, problems := Parse("c.yml", []byte(base+c.text), nil)
		set := Compile(rules)
		for _, p := range append(problems, set.Problems()...) {
			t.Errorf("%s: %s", c.name, p)
		}
		det, err := DefaultConfig().Detector(NewLive(set))
		if err != nil {
			t.Fatal(err)
		}
		got, last := 0, time.Time{}
		for _, e := range strings.Fields(c.events) {
			f := strings.Split(e, ":")
			event := record("k", f[1], "u", f[2], "v", f[3])
			var second int
			if _, err := fmt.Sscan(f[0], &second); err != nil {
				t.Fatal(err)
			}
			event.Time = time.Unix(1_700_000_000+int64(second), 0)
			last = event.Time
			for _, f := range det.Observe(event) {
				if f.Rule != "sigma/idb" {
					got++
				}
			}
		}
		got += len(det.(minewarden.Ticker).Tick(last.Add(time.Hour)))
		if got != c.want {
			t.Errorf("%s: %d findings, want %d", c.name, got, c.want)
		}
	}
}

func TestFilters(t *testing.T) {
	base := "title: a\nid: ida\nlogsource: {product: p}\ndetection: {s: {f|contains: x}, condition: s}\n---\ntitle: flt\nid: flt\nlogsource: {product: p}\nfilter:\n  rules: [ida]\n  sel: {f|startswith: adm}\n  condition: "
	for _, cond := range []string{"sel", "not sel"} {
		rules, problems := Parse("f.yml", []byte(base+cond+"\n"), nil)
		set := Compile(rules)
		if n := len(problems) + len(set.Problems()); n > 0 {
			t.Fatal(problems, set.Problems())
		}
		m := set.NewMatcher()
		if len(m.Match(record("f", "admx"))) != 0 || len(m.Match(record("f", "x"))) != 1 {
			t.Errorf("condition %q: the filter must suppress what starts with adm, and nothing else", cond)
		}
	}
}

func FuzzParse(f *testing.F) {
	f.Add("title: t\nid: t\nlogsource: {product: p}\ndetection:\n  s:\n    f|re|i: 'a+(b|c){2,}d'\n    g|contains|all: [x, 'y*z']\n  condition: s or not s\n", "aabbd")
	f.Add("title: t\nname: n\ndetection: {k: [a, b], condition: 1 of them}\n---\ncorrelation: {type: event_count, rules: [n], group-by: [f], timespan: 1m, condition: {gte: 2}}\nid: c\n", "a")
	f.Add("- - - - -\n&a [*a, *a]", "x")
	f.Fuzz(func(t *testing.T, text, value string) {
		rules, _ := Parse("fuzz.yml", []byte(text), nil)
		set := Compile(rules)
		m := set.NewMatcher()
		e := record("f", value, "g", value)
		e.Data.(*minewarden.Record).Message = value
		compare(t, m, e)
	})
}

func FuzzMatch(f *testing.F) {
	f.Add("a*b?c", "contains", "xaybzc")
	f.Add(`\*\\x`, "endswith", `*\X`)
	f.Add("(?i)ſ{9,}k[ab]+", "re", "SSSSSSSSSKa")
	f.Fuzz(func(t *testing.T, pattern, modifier, value string) {
		c := &compiler{}
		e, err := c.item(&node{kind: nodeString, text: "f|" + modifier}, &node{kind: nodeString, text: pattern})
		if err != nil {
			return
		}
		set := Compile([]*Rule{{ID: "r", Source: Logsource{Product: "p"}, expr: e}})
		compare(t, set.NewMatcher(), record("f", value))
	})
}

func FuzzCondition(f *testing.F) {
	f.Add("1 of a* and not (b or all of them)")
	f.Fuzz(func(t *testing.T, cond string) {
		names := []string{"a1", "a2", "b"}
		sels := map[string]*expr{}
		for _, n := range names {
			sels[n] = leaf(&pred{field: n, op: opExists})
		}
		if e, err := parseCondition(cond, names, sels); err == nil && e == nil {
			t.Error("neither a condition nor an error")
		}
	})
}
