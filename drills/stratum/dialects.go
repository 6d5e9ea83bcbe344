package stratum

import (
	"fmt"
	"maps"
	"math/rand/v2"
	"slices"
	"strings"
)

const agent = "minewarden-drill/1.0"

// A talk is what the two ends of one session say in a dialect. Each end has its own.
type talk struct {
	login  func() []string
	share  func() string
	answer func(line string) []string // of the pool, to what a client said
	job    func() string              // nil: the client asks for work
}

// Dialects are the names that Config takes.
func Dialects() []string { return slices.Sorted(maps.Keys(dialects())) }

func dialects() map[string]func(*rand.Rand) talk {
	return map[string]func(*rand.Rand) talk{
		"monero": monero, "bitcoin": bitcoin, "ethereum": ethereum, "zcash": zcash, "kawpow": kawpow, "eth-proxy": ethProxy, "template": template,
	}
}

// hexes returns n random hex digits.
func hexes(r *rand.Rand, n int) string {
	const digits = "0123456789abcdef"
	var b strings.Builder
	for range n {
		b.WriteByte(digits[r.IntN(16)])
	}
	return b.String()
}

// counter numbers requests from first on.
func counter(first int) func() int {
	return func() int { first++; return first - 1 }
}

// idOf is the request's number, wherever it stands; the pool answers with it.
func idOf(line string) string {
	_, rest, ok := strings.Cut(line, `"id":`)
	if !ok {
		return "0"
	}
	i := strings.IndexAny(rest, ",}")
	if i < 0 {
		return "0"
	}
	return rest[:i]
}

func has(line, method string) bool { return strings.Contains(line, `"method":"`+method+`"`) }

func monero(r *rand.Rand) talk {
	id := counter(1)
	session := hexes(r, 16)
	work := func() string {
		return fmt.Sprintf(`{"blob":"1010%s","job_id":"%s","target":"%s","algo":"rx/0","height":%d,"seed_hash":"%s"}`,
			hexes(r, 148), hexes(r, 16), hexes(r, 8), 3300000+r.IntN(1000), hexes(r, 64))
	}
	return talk{
		login: func() []string {
			return []string{fmt.Sprintf(`{"id":%d,"jsonrpc":"2.0","method":"login","params":{"login":"minewarden-drill","pass":"x","agent":"%s","algo":["cn/1","cn/2","cn/r","rx/0","rx/wow","rx/arq","gr"]}}`, id(), agent)}
		},
		share: func() string {
			n := id()
			if n%12 == 0 {
				return fmt.Sprintf(`{"id":%d,"jsonrpc":"2.0","method":"keepalived","params":{"id":"%s"}}`, n, session)
			}
			return fmt.Sprintf(`{"id":%d,"jsonrpc":"2.0","method":"submit","params":{"id":"%s","job_id":"%s","nonce":"%s","result":"%s","algo":"rx/0"}}`, n, session, hexes(r, 16), hexes(r, 8), hexes(r, 64))
		},
		answer: func(line string) []string {
			if has(line, "login") {
				return []string{fmt.Sprintf(`{"id":%s,"jsonrpc":"2.0","error":null,"result":{"id":"%s","job":%s,"extensions":["algo","keepalive"],"status":"OK"}}`, idOf(line), session, work())}
			}
			return []string{fmt.Sprintf(`{"id":%s,"jsonrpc":"2.0","error":null,"result":{"status":"OK"}}`, idOf(line))}
		},
		job: func() string { return `{"jsonrpc":"2.0","method":"job","params":` + work() + `}` },
	}
}

// yes is the answer to what needs no other.
func yes(line string) []string {
	return []string{`{"id":` + idOf(line) + `,"result":true,"error":null}`}
}

func bitcoin(r *rand.Rand) talk {
	id := counter(1)
	job := func() string {
		return fmt.Sprintf(`{"id":null,"method":"mining.notify","params":["%s","%s","%s","%s",["%s","%s"],"20000000","17034219","%s",true]}`,
			hexes(r, 8), hexes(r, 64), hexes(r, 110), hexes(r, 120), hexes(r, 64), hexes(r, 64), hexes(r, 8))
	}
	return talk{
		login: func() []string {
			return []string{
				fmt.Sprintf(`{"id":%d,"method":"mining.configure","params":[["version-rolling"],{"version-rolling.mask":"1fffe000"}]}`, id()),
				fmt.Sprintf(`{"id":%d,"method":"mining.subscribe","params":["%s"]}`, id(), agent),
				fmt.Sprintf(`{"id":%d,"method":"mining.authorize","params":["drill.worker1","x"]}`, id()),
			}
		},
		share: func() string {
			return fmt.Sprintf(`{"id":%d,"method":"mining.submit","params":["drill.worker1","%s","%s","%s","%s"]}`, id(), hexes(r, 8), hexes(r, 16), hexes(r, 8), hexes(r, 8))
		},
		answer: func(line string) []string {
			switch {
			case has(line, "mining.configure"):
				return []string{`{"id":` + idOf(line) + `,"result":{"version-rolling":true,"version-rolling.mask":"1fffe000"},"error":null}`}
			case has(line, "mining.subscribe"):
				return []string{fmt.Sprintf(`{"id":%s,"result":[[["mining.set_difficulty","1"],["mining.notify","%s"]],"%s",8],"error":null}`, idOf(line), hexes(r, 8), hexes(r, 8))}
			case has(line, "mining.authorize"):
				return append(yes(line), `{"id":null,"method":"mining.set_difficulty","params":[8192]}`, job())
			}
			return yes(line)
		},
		job: job,
	}
}

func ethereum(r *rand.Rand) talk {
	id := counter(1)
	job := func() string {
		return fmt.Sprintf(`{"id":null,"method":"mining.notify","params":["%s","%s","%s",true]}`, hexes(r, 8), hexes(r, 64), hexes(r, 64))
	}
	return talk{
		login: func() []string {
			return []string{
				fmt.Sprintf(`{"id":%d,"method":"mining.subscribe","params":["%s","EthereumStratum/1.0.0"]}`, id(), agent),
				fmt.Sprintf(`{"id":%d,"method":"mining.authorize","params":["drill.worker1","x"]}`, id()),
			}
		},
		share: func() string {
			return fmt.Sprintf(`{"id":%d,"method":"mining.submit","params":["drill.worker1","%s","%s"]}`, id(), hexes(r, 8), hexes(r, 12))
		},
		answer: func(line string) []string {
			switch {
			case has(line, "mining.subscribe"):
				return []string{fmt.Sprintf(`{"id":%s,"result":[["mining.notify","%s","EthereumStratum/1.0.0"],"%s"],"error":null}`, idOf(line), hexes(r, 32), hexes(r, 6))}
			case has(line, "mining.authorize"):
				return append(yes(line), `{"id":null,"method":"mining.set_difficulty","params":[1.5]}`, job())
			}
			return yes(line)
		},
		job: job,
	}
}

func zcash(r *rand.Rand) talk {
	id := counter(1)
	job := func() string {
		return fmt.Sprintf(`{"id":null,"method":"mining.notify","params":["%s","04000000","%s","%s","%s","%s","%s",true]}`, hexes(r, 8), hexes(r, 64), hexes(r, 64), hexes(r, 64), hexes(r, 8), hexes(r, 8))
	}
	return talk{
		login: func() []string {
			return []string{
				fmt.Sprintf(`{"id":%d,"method":"mining.subscribe","params":["%s",null,"pool.invalid","3333"]}`, id(), agent),
				fmt.Sprintf(`{"id":%d,"method":"mining.authorize","params":["drill.worker1","x"]}`, id()),
			}
		},
		share: func() string {
			return fmt.Sprintf(`{"id":%d,"method":"mining.submit","params":["drill.worker1","%s","%s","%s","fd4005%s"]}`, id(), hexes(r, 8), hexes(r, 8), hexes(r, 48), hexes(r, 2688))
		},
		answer: func(line string) []string {
			switch {
			case has(line, "mining.subscribe"):
				return []string{fmt.Sprintf(`{"id":%s,"result":[null,"%s"],"error":null}`, idOf(line), hexes(r, 16))}
			case has(line, "mining.authorize"):
				return append(yes(line), `{"id":null,"method":"mining.set_target","params":["00`+hexes(r, 62)+`"]}`, job())
			}
			return yes(line)
		},
		job: job,
	}
}

func kawpow(r *rand.Rand) talk {
	id := counter(1)
	job := func() string {
		return fmt.Sprintf(`{"id":null,"method":"mining.notify","params":["%s","%s","%s","00000000%s",true,%d,"1b00c3f0"]}`, hexes(r, 8), hexes(r, 64), hexes(r, 64), hexes(r, 56), 3000000+r.IntN(1000))
	}
	t := zcash(r)
	t.job = job
	t.share = func() string {
		return fmt.Sprintf(`{"id":%d,"method":"mining.submit","params":["drill.worker1","%s","0x%s","0x%s","0x%s"]}`, id(), hexes(r, 8), hexes(r, 16), hexes(r, 64), hexes(r, 64))
	}
	answer := t.answer
	t.answer = func(line string) []string {
		if has(line, "mining.authorize") {
			return append(yes(line), `{"id":null,"method":"mining.set_target","params":["00000000`+hexes(r, 56)+`"]}`, job())
		}
		return answer(line)
	}
	return t
}

func ethProxy(r *rand.Rand) talk {
	id := counter(1)
	work := func(id string) string {
		return fmt.Sprintf(`{"id":%s,"jsonrpc":"2.0","result":["0x%s","0x%s","0x00000000%s"]}`, id, hexes(r, 64), hexes(r, 64), hexes(r, 56))
	}
	return talk{
		login: func() []string {
			return []string{
				fmt.Sprintf(`{"id":%d,"jsonrpc":"2.0","method":"eth_submitLogin","worker":"worker1","params":["0x%s","x"]}`, id(), strings.Repeat("00", 20)),
				fmt.Sprintf(`{"id":%d,"jsonrpc":"2.0","method":"eth_getWork","params":[]}`, id()),
			}
		},
		share: func() string {
			n := id()
			if n%5 == 0 {
				return fmt.Sprintf(`{"id":%d,"jsonrpc":"2.0","method":"eth_submitHashrate","params":["0x%s","0x%s"]}`, n, hexes(r, 64), hexes(r, 64))
			}
			return fmt.Sprintf(`{"id":%d,"jsonrpc":"2.0","method":"eth_submitWork","params":["0x%s","0x%s","0x%s"]}`, n, hexes(r, 16), hexes(r, 64), hexes(r, 64))
		},
		answer: func(line string) []string {
			if has(line, "eth_getWork") {
				return []string{work(idOf(line))}
			}
			return []string{`{"id":` + idOf(line) + `,"jsonrpc":"2.0","result":true}`}
		},
		job: func() string { return work("0") },
	}
}

// template asks a node for block templates, one JSON-RPC request over HTTP after the other.
func template(r *rand.Rand) talk {
	id := counter(0)
	post := func(body string) string {
		return fmt.Sprintf("POST /json_rpc HTTP/1.1\r\nHost: 127.0.0.1\r\nUser-Agent: %s\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n%s", agent, len(body)+1, body)
	}
	ask := func() string {
		return post(fmt.Sprintf(`{"id":%d,"jsonrpc":"2.0","method":"getblocktemplate","params":{"wallet_address":"minewarden-drill","extra_nonce":"%s"}}`, id(), hexes(r, 16)))
	}
	return talk{
		login: func() []string { return []string{ask()} },
		share: func() string {
			if r.IntN(4) == 0 {
				return post(fmt.Sprintf(`{"id":%d,"jsonrpc":"2.0","method":"submitblock","params":["%s"]}`, id(), hexes(r, 400)))
			}
			return ask()
		},
		answer: func(line string) []string {
			if !strings.HasPrefix(line, "{") {
				return nil // a line of the request's head
			}
			body := fmt.Sprintf(`{"id":%s,"jsonrpc":"2.0","result":{"status":"OK"}}`, idOf(line))
			if has(line, "getblocktemplate") {
				body = fmt.Sprintf(`{"id":%s,"jsonrpc":"2.0","result":{"blockhashing_blob":"%s","blocktemplate_blob":"%s","difficulty":%d,"height":%d,"prev_hash":"%s","reserved_offset":130,"seed_hash":"%s","status":"OK"}}`,
					idOf(line), hexes(r, 152), hexes(r, 600), 300000000000+r.IntN(1000), 3300000, hexes(r, 64), hexes(r, 64))
			}
			return []string{fmt.Sprintf("HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n%s", len(body)+1, body)}
		},
	}
}
