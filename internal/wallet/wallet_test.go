package wallet

import (
	"encoding/csv"
	"os"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// known holds addresses that specifications and coin projects publish as examples or donation addresses.
var known = []struct{ text, coin, kind string }{
	{"44AFFq5kSiGBoZ4NMDwYtN18obc8AemS33DBLWs3H7otXft3XjrpDtQGv7SqSsaBYBb98uNbr2VBBEt7f2wfn3RVGQBEP3A", Monero, Standard},
	{"888tNkZrPN6JsEgekjMnABU4TBzc2Dt29EPAvkRxbANsAnjyPbb3iQ1YBRk1UXcdRsiKc9dhwMVgN5S9cQUiyoogDavup3H", Monero, Subaddress},
	{"1BvBMSEYstWetqTFn5Au4m4GFg7xJaNVN2", Bitcoin, P2PKH},
	{"1A1zP1eP5QGefi2DMPTfTL5SLmv7DivfNa", Bitcoin, P2PKH},
	{"1111111111111111111114oLvT2", Bitcoin, P2PKH},
	{"3J98t1WpEZ73CNmQviecrnyiWrnqRhWNLy", Bitcoin, P2SH},
	{"bc1qw508d6qejxtdg4y5r3zarvary0c5xw7kv8f3t4", Bitcoin, Segwit},
	{"BC1QW508D6QEJXTDG4Y5R3ZARVARY0C5XW7KV8F3T4", Bitcoin, Segwit},
	{"bc1qrp33g0q5c5txsp9arysrx4k6zdkfs4nce4xj0gdcccefvpysxf3qccfmv3", Bitcoin, Segwit},
	{"bc1p0xlxvlhemja6c4dqv22uapctqupfhlxm9h8z3k2e72q4k9hcz7vqzk5jj0", Bitcoin, Taproot},
	{"0x5aAeb6053F3E94C9b9A09f33669435E7Ef1BeAed", Ethereum, Account},
	{"0xfB6916095ca1df60bB79Ce92cE3Ea74c37c5d359", Ethereum, Account},
	{"0xde709f2102306220921060314715629080e2fb77", Ethereum, Unchecked},
	{"bitcoincash:qpm2qsznhks23z7629mms6s4cwef74vcwvy22gdx6a", "bitcoincash", P2PKH},
	{"kaspa:precqv0krj3r6uyyfa36ga7s0u9jct0v4wg8ctsfde2gkrsgwgw8jgxfzfc98", "kaspa", P2SH},
	{"bitcoincash:ppm2qsznhks23z7629mms6s4cwef74vcwvn0h829pq", "bitcoincash", P2SH},
}

func TestParseKnown(t *testing.T) {
	for _, k := range known {
		got, ok := Parse(k.text)
		want := Address{Coin: k.coin, Kind: k.kind, Text: k.text}
		if !ok || got != want {
			t.Errorf("Parse(%q) = %+v, %v; want %+v", k.text, got, ok, want)
		}
	}
}

// Every single wrong letter must be noticed: that is what a checksum is for.
func TestParseDamaged(t *testing.T) {
	for _, k := range known {
		if k.kind == Unchecked {
			continue
		}
		for i := range k.text {
			b := []byte(k.text)
			switch {
			case b[i] == '2':
				b[i] = '3'
			default:
				b[i] = '2'
			}
			if a, ok := Parse(string(b)); ok && a.Checked() {
				t.Errorf("Parse(%q), damaged at %d, = %+v", b, i, a)
			}
		}
	}
}

func TestFind(t *testing.T) {
	const xmr = "44AFFq5kSiGBoZ4NMDwYtN18obc8AemS33DBLWs3H7otXft3XjrpDtQGv7SqSsaBYBb98uNbr2VBBEt7f2wfn3RVGQBEP3A"
	const btc = "1BvBMSEYstWetqTFn5Au4m4GFg7xJaNVN2"
	for name, text := range map[string]string{
		"worker":        "-u " + xmr + ".worker1+10000 -p x",
		"coin and user": `"user": "XMR:` + xmr + `/mail@example.org"`,
		"escape":        `sh -c "echo\n` + xmr + `\n"`,
		"url":           "user%3D" + xmr + "%26pass",
		"binary":        "\x00\x01" + xmr + "\x00",
		"string table":  "runtime4error48" + xmr + "slicebounds",
	} {
		got := Find([]byte(text))
		want := []Address{{Monero, Standard, xmr, strings.Index(text, xmr)}}
		if diff := cmp.Diff(want, got); diff != "" {
			t.Errorf("%s (-want +got):\n%s", name, diff)
		}
	}
	text := "a " + btc + "\nkaspa:" + btc + " bitcoincash:qpm2qsznhks23z7629mms6s4cwef74vcwvy22gdx6a"
	var coins []string
	for _, a := range Find([]byte(text)) {
		coins = append(coins, a.Coin)
	}
	if diff := cmp.Diff([]string{Bitcoin, Bitcoin, "bitcoincash"}, coins); diff != "" {
		t.Errorf("several (-want +got):\n%s", diff)
	}
	for _, text := range []string{"", "4", strings.Repeat("4", 500), strings.Repeat("1", 34), "0x" + strings.Repeat("zz", 20)} {
		if got := Find([]byte(text)); len(got) != 0 {
			t.Errorf("Find(%.20q) = %v", text, got)
		}
	}
}

// The table of addresses from public reports: labels say which checksum passes.
func TestCollected(t *testing.T) {
	f, err := os.Open("../../../shared/data/wallets/wallets.csv")
	if err != nil {
		if os.Getenv("CI") == "true" {
			t.Fatal(err)
		}
		t.Skip(err)
	}
	defer f.Close()
	rows, err := csv.NewReader(f).ReadAll()
	if err != nil {
		t.Fatal(err)
	}
	want := map[string][2]string{
		"monero": {Monero, Standard}, "monero-integrated": {Monero, Integrated}, "monero-subaddress": {Monero, Subaddress},
		"btc-p2pkh": {Bitcoin, P2PKH}, "btc-p2sh(3)": {Bitcoin, P2SH}, "bc-bech32": {Bitcoin, Segwit},
		"eth-eip55": {Ethereum, Account}, "eth-nochecksum": {Ethereum, Unchecked}, "litecoin": {"litecoin", P2PKH},
		"dogecoin": {"dogecoin", P2PKH}, "unit-test-prefix0": {CryptoNote, Standard}, "cryptonote-prefix-90": {"graft", Standard},
	}
	right, refused := 0, 0
	for _, row := range rows[1:] {
		got := Find([]byte("x " + row[0] + "\n"))
		if strings.HasPrefix(row[1], "INVALID") {
			refused++
			if len(got) != 0 {
				t.Errorf("%s %s: found %v", row[1], row[0], got)
			}
			continue
		}
		w, ok := want[row[1]]
		if !ok {
			t.Errorf("label %q is not known to this test", row[1])
		}
		if len(got) != 1 || got[0].Coin != w[0] || got[0].Kind != w[1] || got[0].Text != row[0] {
			t.Errorf("%s %s: found %v", row[1], row[0], got)
			continue
		}
		right++
	}
	t.Logf("%d addresses right, %d false ones refused", right, refused)
}

func FuzzFind(f *testing.F) {
	for _, k := range known {
		f.Add([]byte(k.text))
	}
	f.Add([]byte(strings.Repeat("48", 200)))
	f.Fuzz(func(t *testing.T, text []byte) {
		for _, a := range Find(text) {
			if string(text[a.Offset:a.Offset+len(a.Text)]) != a.Text {
				t.Fatalf("%+v is not at its offset", a)
			}
			if again, ok := Parse(a.Text); !ok || again.Coin != a.Coin || again.Kind != a.Kind {
				t.Fatalf("Parse(%q) = %+v, %v; Find said %+v", a.Text, again, ok, a)
			}
		}
	})
}

func BenchmarkFindNothing(b *testing.B) {
	text := []byte(strings.Repeat("the quick brown fox 0123456789abcdef0123456789abcdef ", 1200))
	b.SetBytes(int64(len(text)))
	b.ReportAllocs()
	for b.Loop() {
		Find(text)
	}
}

func BenchmarkParseMonero(b *testing.B) {
	b.ReportAllocs()
	for b.Loop() {
		Parse(known[0].text)
	}
}
