package main

import (
	"strings"
	"testing"
)

// notTold are the sessions of which too little is left to tell them from others, or too much: what README.md says is missed.
var notTold = map[string]bool{
	"joined late on 443: bytom":                     true, // a share without a digest, once
	"joined late, ports near: bytom":                true,
	"only the client: tera":                         true, // one list of digests
	"only the server: tera":                         true,
	"loss: tera":                                    true,
	"only the server: eth-proxy kin of aquachain":   true, // nodes answer other questions with lists of digests too
	"joined late on 443: build log over a terminal": true, // a log that begins with the login that it quotes
}

// TestEveryWay carries each session in each way. What is found, and how it is called, must not get worse.
func TestEveryWay(t *testing.T) {
	dir := t.TempDir()
	for _, way := range transports() {
		t.Run(way.name, func(t *testing.T) {
			for _, text := range []string{miningText, honestText} {
				all, err := carry(dir, way, text, 1)
				if err != nil {
					t.Fatal(err)
				}
				for _, o := range all {
					told := len(o.found) > 0
					if told != (text == miningText) && !notTold[way.name+": "+o.session.name] {
						t.Errorf("%s: told %v: %v", o.session.name, told, o.found)
					}
					if got, want := o.last("dialect")+", "+o.last("coin"), o.session.dialect+", "+o.session.coin; way.name == "lines" && got != want {
						t.Errorf("%s: is called %q, want %q", o.session.name, got, want)
					}
				}
			}
		})
	}
}

// TestStyles holds what the disguises do to a message.
func TestStyles(t *testing.T) {
	w := style{escapeAll: true}.write(`{"a":["b",1,null]}`, nil)
	if w != `{"\u0061":["\u0062",1,null]}` {
		t.Error(w)
	}
	if w := (style{deep: true}).write(`x~{"a":1}`, nil); !strings.HasPrefix(w, `x~{"pad":[{`) || !strings.HasSuffix(w, `,"a":1}`) {
		t.Error(w)
	}
}
