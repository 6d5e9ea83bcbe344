package main

import (
	"bufio"
	"encoding/json"
	"fmt"
	mrand "math/rand/v2"
	"net"
	"strings"
	"sync"
	"time"
)

// A plan is how one session goes; the miner sends it to the pool first, as a line that is not recorded as mining would have it,
// so that it is padded into the login.
type plan struct {
	Dialect string        `json:"dialect"`
	Jobs    time.Duration `json:"jobs"`  // between jobs, on average
	Fixed   bool          `json:"fixed"` // jobs come by a timer, not by chance
	Delay   time.Duration `json:"delay"` // of answers
	Seed    uint64        `json:"seed"`
}

var dialects = []string{"monero", "monero", "monero", "bitcoin", "equihash", "kawpow", "eth-proxy", "ethereum"}

func hex(r *mrand.Rand, n int) string {
	const digits = "0123456789abcdef"
	b := make([]byte, n)
	for i := range b {
		b[i] = digits[r.IntN(16)]
	}
	return string(b)
}

func pick[T any](r *mrand.Rand, from ...T) T { return from[r.IntN(len(from))] }

// miner is one session: it logs in, and hands in shares by chance.
func (l *lab) miner(r *mrand.Rand, pool string) error {
	p := plan{
		Dialect: pick(r, dialects...), Jobs: time.Duration(15+r.IntN(105)) * time.Second, Fixed: r.IntN(2) == 0, Delay: time.Duration(2+r.IntN(180)) * time.Millisecond, Seed: r.Uint64(),
	}
	raw, err := l.dial(pool, "miner "+p.Dialect, true)
	if err != nil {
		return err
	}
	c := l.secure(raw, r)
	defer c.Close()
	shares := time.Duration(3000+r.ExpFloat64()*18000) * time.Millisecond
	if shares > time.Minute {
		shares = time.Minute
	}
	user := pick(r, hex(r, 95)+pick(r, "", ".w1", "+5000", ".rig-0042"), hex(r, 42), hex(r, 34)+".x", "u"+hex(r, 6), hex(r, 106))
	agent := pick(r, "XMRig/6.26.0 (Linux x86_64) libuv/1.48.0 gcc/13.2.0", "xmrig/2.8", "a/1", "Mozilla/5.0", "cgminer/4.11.1", "lolMiner 1.88")
	hello, _ := json.Marshal(p)
	// The pool learns its part from a field of the login; its length is taken off the user's.
	if _, err := fmt.Fprintf(c, "%s\n", login(r, p.Dialect, user, agent, string(hello))); err != nil {
		return err
	}
	go func() {
		in := bufio.NewScanner(c)
		in.Buffer(nil, 1<<20)
		for in.Scan() {
		}
	}()
	idle := time.Now()
	keep := p.Dialect == "monero" && r.IntN(2) == 0
	for n := 3; ; n++ {
		d := exponential(r, shares)
		if keep && d > time.Minute-time.Since(idle) {
			if !l.wait(max(0, time.Minute-time.Since(idle))) {
				return nil
			}
			idle = time.Now()
			fmt.Fprintf(c, `{"id":%d,"jsonrpc":"2.0","method":"keepalived","params":{"id":"%s"}}`+"\n", n, hex(r, 36))
			continue
		}
		if !l.wait(d) {
			return nil
		}
		idle = time.Now()
		if _, err := fmt.Fprintf(c, "%s\n", share(r, p.Dialect, user, n)); err != nil {
			return err
		}
	}
}

func login(r *mrand.Rand, dialect, user, agent, hello string) string {
	switch dialect {
	case "monero":
		algos := ""
		if r.IntN(4) != 0 {
			algos = `,"algo":["` + strings.Repeat(`rx/0","cn/r","`, 1+r.IntN(14)) + `argon2/chukwa"]`
		}
		return fmt.Sprintf(`{"id":1,"jsonrpc":"2.0","method":"login","params":{"login":"%s","pass":"x","agent":"%s"%s}}`, user, agent, algos) + " " + hello
	case "eth-proxy":
		return fmt.Sprintf(`{"id":1,"jsonrpc":"2.0","method":"eth_submitLogin","worker":"eth1.0","params":["0x%s","x"]} %s`, user, hello)
	default:
		return fmt.Sprintf(`{"id":1,"method":"mining.subscribe","params":["%s"]} %s`+"\n"+`{"id":2,"method":"mining.authorize","params":["%s","x"]}`, agent, hello, user)
	}
}

func share(r *mrand.Rand, dialect, user string, n int) string {
	switch dialect {
	case "monero":
		return fmt.Sprintf(`{"id":%d,"jsonrpc":"2.0","method":"submit","params":{"id":"%s","job_id":"%s","nonce":"%s","result":"%s"}}`, n, strings.Repeat("7", 15), strings.Repeat("4", 12), hex(r, 8), hex(r, 64))
	case "bitcoin":
		return fmt.Sprintf(`{"params":["%s","bf%s","%s","%s","%s"],"id":%d,"method":"mining.submit"}`, user, hex(r, 4), hex(r, 8), hex(r, 8), hex(r, 8), n)
	case "equihash":
		return fmt.Sprintf(`{"id":%d,"method":"mining.submit","params":["%s","%s","%s","%s","%s"]}`, n, user, hex(r, 10), hex(r, 8), hex(r, 28), hex(r, 2694))
	case "kawpow":
		return fmt.Sprintf(`{"id":%d,"method":"mining.submit","params":["%s","%s","0x%s","0x%s","0x%s"]}`, n, user, hex(r, 4), hex(r, 16), hex(r, 64), hex(r, 64))
	case "eth-proxy":
		return fmt.Sprintf(`{"id":%d,"jsonrpc":"2.0","method":"eth_submitWork","params":["0x%s","0x%s","0x%s"]}`, n, hex(r, 16), hex(r, 64), hex(r, 64))
	}
	return fmt.Sprintf(`{"id":%d,"method":"mining.submit","params":["%s","%s","%s"]}`, n, user, hex(r, 8), hex(r, 12))
}

func job(r *mrand.Rand, dialect string, branch int) string {
	switch dialect {
	case "monero":
		return fmt.Sprintf(`{"jsonrpc":"2.0","method":"job","params":{"blob":"%s","job_id":"%s","target":"b88d0600","algo":"rx/0","height":3300000,"seed_hash":"%s"}}`, hex(r, 152), hex(r, 12), hex(r, 64))
	case "bitcoin":
		return fmt.Sprintf(`{"id":null,"method":"mining.notify","params":["%s","%s","%s","%s",["%s"],"20000000","17053894","65a0b0c0",false]}`, hex(r, 6), hex(r, 64), hex(r, 180), hex(r, 120), strings.Repeat(hex(r, 64)+`","`, branch)+hex(r, 64))
	case "equihash":
		return fmt.Sprintf(`{"id":null,"method":"mining.notify","params":["%s","04000000","%s","%s","%s","25ed7c58","83837b1c",true]}`, hex(r, 10), hex(r, 64), hex(r, 64), hex(r, 64))
	case "kawpow":
		return fmt.Sprintf(`{"id":null,"method":"mining.notify","params":["%s","%s","%s","%s",true,2700000,"1b00c0de"]}`, hex(r, 4), hex(r, 64), hex(r, 64), hex(r, 64))
	case "eth-proxy":
		return fmt.Sprintf(`{"id":0,"jsonrpc":"2.0","result":["0x%s","0x%s","0x%s"]}`, hex(r, 64), hex(r, 64), hex(r, 64))
	}
	return fmt.Sprintf(`{"id":null,"method":"mining.notify","params":["%s","%s","%s",true]}`, hex(r, 8), hex(r, 64), hex(r, 64))
}

// pool answers everything, and pushes jobs.
func (l *lab) pool(c net.Conn) {
	in := bufio.NewScanner(c)
	in.Buffer(nil, 1<<20)
	if !in.Scan() {
		return
	}
	var p plan
	line := in.Text()
	if err := json.Unmarshal([]byte(line[strings.LastIndexByte(line, '{'):]), &p); err != nil {
		return
	}
	r := mrand.New(mrand.NewPCG(p.Seed, 5))
	var mu sync.Mutex
	say := func(s string) {
		mu.Lock()
		defer mu.Unlock()
		fmt.Fprintf(c, "%s\n", s)
	}
	branch := 2 + r.IntN(12)
	time.Sleep(p.Delay)
	if p.Dialect == "monero" {
		say(`{"id":1,"jsonrpc":"2.0","error":null,"result":{"id":"` + hex(r, 36) + `","job":` + job(r, p.Dialect, branch)[37:] + `,"status":"OK"}}`)
	} else {
		say(`{"id":1,"result":[[["mining.set_difficulty","1"],["mining.notify","1"]],"08000002",4],"error":null}`)
		say(job(r, p.Dialect, branch))
	}
	go func() {
		r := mrand.New(mrand.NewPCG(p.Seed, 6))
		for {
			d := exponential(r, p.Jobs)
			if p.Fixed {
				d = jittered(r, p.Jobs, 0.02)
			}
			if !l.wait(d) {
				return
			}
			if r.IntN(8) == 0 && p.Dialect != "monero" {
				say(fmt.Sprintf(`{"id":null,"method":"mining.set_difficulty","params":[%d]}`, r.IntN(90000)))
			}
			say(job(r, p.Dialect, branch))
		}
	}()
	for n := 2; in.Scan(); n++ {
		time.Sleep(jittered(r, p.Delay, 0.5))
		if p.Dialect == "monero" {
			say(fmt.Sprintf(`{"id":%d,"jsonrpc":"2.0","error":null,"result":{"status":"OK"}}`, n))
		} else {
			say(fmt.Sprintf(`{"id":%d,"result":true,"error":null}`, n))
		}
	}
}
