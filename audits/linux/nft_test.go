package linux

import (
	"testing"
)

// nft writes what "nft -j list ruleset" does for these chains and rules.
func nft(entries ...string) string {
	out := `{"nftables":[{"metainfo":{"version":"1.0.6","json_schema_version":1}}`
	for _, e := range entries {
		out += "," + e
	}
	return out + "]}"
}

func TestNftJSON(t *testing.T) {
	const (
		inDrop    = `{"chain":{"family":"inet","table":"f","name":"in","hook":"input","policy":"drop"}}`
		inAccept  = `{"chain":{"family":"inet","table":"f","name":"in","hook":"input","policy":"accept"}}`
		outAccept = `{"chain":{"family":"inet","table":"f","name":"out","hook":"output","policy":"accept"}}`
		outDrop   = `{"chain":{"family":"ip","table":"g","name":"out","hook":"output","policy":"drop"}}`
		helper    = `{"chain":{"family":"inet","table":"f","name":"helper"}}`
	)
	rule := func(chain, expr string) string {
		return `{"rule":{"family":"inet","table":"f","chain":"` + chain + `","expr":[` + expr + `]}}`
	}
	dport := func(right string) string {
		return `{"match":{"op":"==","left":{"payload":{"protocol":"tcp","field":"dport"}},"right":` + right + `}}`
	}
	for _, tc := range []struct {
		name    string
		text    string
		in, out string
		inRules bool
		blocked []int
	}{
		{name: "nothing", text: nft(), in: "accept", out: "accept"},
		{name: "drop by policy", text: nft(inDrop, outDrop), in: "drop", out: "drop"},
		{name: "one of two chains drops", text: nft(inAccept, inDrop, inAccept), in: "drop", out: "accept"},
		{name: "last rule drops", text: nft(inAccept, rule("in", `{"counter":{"packets":1,"bytes":2}},{"drop":null}`)), in: "accept", out: "accept", inRules: true},
		{name: "a rule that drops some", text: nft(inAccept, rule("in", dport("23")+`,{"drop":null}`)), in: "accept", out: "accept"},
		{name: "drop in a chain without hook", text: nft(inAccept, helper, rule("helper", `{"drop":null}`)), in: "accept", out: "accept"},
		{name: "a port", text: nft(outAccept, rule("out", dport("3333")+`,{"reject":null}`)), in: "accept", out: "accept", blocked: []int{3333}},
		{name: "a set", text: nft(outAccept, rule("out", dport(`{"set":[3333,14444,443]}`)+`,{"drop":null}`)), in: "accept", out: "accept", blocked: []int{3333, 14444}},
		{name: "a range", text: nft(outAccept, rule("out", dport(`{"range":[3000,6000]}`)+`,{"drop":null}`)), in: "accept", out: "accept", blocked: []int{3333, 4444, 5555}},
		{name: "accepted is not blocked", text: nft(outAccept, rule("out", dport("3333")+`,{"accept":null}`)), in: "accept", out: "accept"},
		{name: "of another table", text: nft(outAccept, `{"rule":{"family":"ip","table":"f","chain":"out","expr":[`+dport("3333")+`,{"drop":null}]}}`), in: "accept", out: "accept"},
		{name: "every port but one", text: nft(outAccept, rule("out", `{"match":{"op":"!=","left":{"payload":{"protocol":"tcp","field":"dport"}},"right":3333}},{"drop":null}`)), in: "accept", out: "accept"},
		{name: "for one account only", text: nft(outAccept, rule("out", `{"match":{"op":"==","left":{"meta":{"key":"skuid"}},"right":1000}},`+dport("3333")+`,{"drop":null}`)), in: "accept", out: "accept"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			fw, err := parseNftJSON([]byte(tc.text))
			if err != nil {
				t.Fatal(err)
			}
			if fw.in != tc.in || fw.out != tc.out || fw.inRules != tc.inRules {
				t.Errorf("got in %s, out %s, by rules %v", fw.in, fw.out, fw.inRules)
			}
			if len(fw.blocked) != len(tc.blocked) {
				t.Errorf("blocked %v, want %v", fw.blocked, tc.blocked)
			}
			for _, p := range tc.blocked {
				if !fw.blocked[p] {
					t.Errorf("port %d is not blocked", p)
				}
			}
		})
	}
	if _, err := parseNftJSON([]byte("Error: no")); err == nil {
		t.Error("text that is not JSON: no error")
	}
}

func FuzzNft(f *testing.F) {
	f.Add([]byte(nft(`{"chain":{"family":"inet","table":"f","name":"in","hook":"input","policy":"drop"}}`)), "table inet f { chain in { type filter hook input priority 0; policy drop; } }")
	f.Fuzz(func(_ *testing.T, data []byte, text string) {
		if fw, err := parseNftJSON(data); err == nil && fw == nil {
			panic("neither an answer nor an error")
		}
		parseNftText("x", text)
		parseIptables("x", text)
		listening(text)
	})
}
