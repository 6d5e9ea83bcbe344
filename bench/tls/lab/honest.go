package main

import (
	"bufio"
	"bytes"
	"context"
	"crypto/tls"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	mrand "math/rand/v2"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"time"

	"github.com/nats-io/nats-server/v2/server"
	"github.com/nats-io/nats.go"
)

type app = func(*mrand.Rand) error

// honest starts the servers and returns one function for each kind of session.
func (l *lab) honest() (stop func(), apps []app, err error) {
	var stops []func()
	stop = func() {
		for _, s := range stops {
			s()
		}
	}
	start := func(port int, program string, args ...string) (string, error) {
		cmd := exec.Command(program, args...)
		cmd.Dir = l.dir
		if err := cmd.Start(); err != nil {
			return "", err
		}
		stops = append(stops, func() {
			if err := cmd.Process.Kill(); err == nil {
				_, _ = cmd.Process.Wait()
			}
		})
		addr := fmt.Sprintf("127.0.0.1:%d", port)
		for range 100 {
			if c, err := net.Dial("tcp", addr); err == nil {
				return addr, c.Close()
			}
			time.Sleep(50 * time.Millisecond)
		}
		return "", fmt.Errorf("%s does not listen", program)
	}
	conf := filepath.Join(l.dir, "mosquitto.conf")
	if err := os.WriteFile(conf, fmt.Appendf(nil, "listener 18883 127.0.0.1\ncertfile %s\nkeyfile %s\nallow_anonymous true\nuser root\n", l.cert, l.key), 0o644); err != nil {
		return stop, nil, err
	}
	mqtt, err := start(18883, "mosquitto", "-c", conf)
	if err != nil {
		return stop, nil, err
	}
	redis, err := start(16380, "redis-server", "--port", "0", "--tls-port", "16380", "--bind", "127.0.0.1", "--tls-cert-file", l.cert, "--tls-key-file", l.key, "--tls-ca-cert-file", l.cert, "--tls-auth-clients", "no", "--save", "", "--appendonly", "no")
	if err != nil {
		return stop, nil, err
	}
	ns, err := server.NewServer(&server.Options{Host: "127.0.0.1", Port: 14222, TLSConfig: l.server, TLSTimeout: 10, NoSigs: true, NoLog: true})
	if err != nil {
		return stop, nil, err
	}
	go ns.Start()
	stops = append(stops, ns.Shutdown)
	if !ns.ReadyForConnections(5 * time.Second) {
		return stop, nil, errors.New("nats is not ready")
	}
	web := l.web()
	chat := l.serve(l.talker)
	return stop, []app{
		func(r *mrand.Rand) error { return l.mqtt(r, mqtt, false) },
		func(r *mrand.Rand) error { return l.mqtt(r, mqtt, true) },
		func(r *mrand.Rand) error { return l.redis(r, redis, pick(r, "get", "queue", "blpop")) },
		func(r *mrand.Rand) error { return l.redis(r, redis, "subscribe") },
		func(r *mrand.Rand) error { return l.nats(r, "127.0.0.1:14222") },
		func(r *mrand.Rand) error { return l.http(r, web, "long-poll") },
		func(r *mrand.Rand) error { return l.http(r, web, "telemetry") },
		func(r *mrand.Rand) error { return l.http(r, web, "events") },
		func(r *mrand.Rand) error { return l.talk(r, chat, electrum) },
		func(r *mrand.Rand) error { return l.talk(r, chat, imapIdle) },
		func(r *mrand.Rand) error { return l.talk(r, chat, chatRoom) },
		func(r *mrand.Rand) error { return l.talk(r, chat, subscription) },
		func(r *mrand.Rand) error { return l.talk(r, chat, terminal) },
		func(r *mrand.Rand) error { return l.talk(r, chat, database) },
		func(r *mrand.Rand) error { return l.talk(r, chat, device) },
	}, nil
}

// packet is one MQTT control packet.
func packet(kind byte, body []byte) []byte {
	out := []byte{kind}
	for n := len(body); ; {
		b := byte(n & 127)
		if n >>= 7; n > 0 {
			out = append(out, b|128)
			continue
		}
		return append(append(out, b), body...)
	}
}

func field(s string) []byte { return append(binary.BigEndian.AppendUint16(nil, uint16(len(s))), s...) }

// mqtt is a sensor that publishes, and with commands one that is also told things.
func (l *lab) mqtt(r *mrand.Rand, addr string, commands bool) error {
	raw, err := l.dial(addr, map[bool]string{false: "mqtt publisher", true: "mqtt device"}[commands], false)
	if err != nil {
		return err
	}
	c := l.secure(raw, r)
	defer c.Close()
	id := "dev" + hex(r, 10)
	connect := append(append(field("MQTT"), 4, 2, 0, 60), field(id)...)
	if _, err := c.Write(packet(0x10, connect)); err != nil {
		return err
	}
	qos := byte(r.IntN(2))
	go l.acknowledge(c, qos)
	if commands {
		if _, err := c.Write(packet(0x82, append(append([]byte{0, 1}, field("cmd/"+id)...), qos))); err != nil {
			return err
		}
		l.wg.Add(1)
		go func() { defer l.wg.Done(); l.commander(mrand.New(mrand.NewPCG(r.Uint64(), 9)), addr, "cmd/"+id, qos) }()
	}
	mean := time.Duration(1000+r.IntN(29000)) * time.Millisecond
	byChance, size, jitter := r.IntN(2) == 0, 40+r.IntN(240), r.IntN(3)*r.IntN(20)
	for n := uint16(2); ; n++ {
		d := jittered(r, mean, 0.05)
		if byChance {
			d = exponential(r, mean)
		}
		if !l.wait(d) {
			return nil
		}
		body := field("t/" + id)
		if qos > 0 {
			body = binary.BigEndian.AppendUint16(body, n)
		}
		body = append(body, hex(r, size+r.IntN(jitter+1))...)
		if _, err := c.Write(packet(0x30|qos<<1, body)); err != nil {
			return err
		}
	}
}

// acknowledge reads what a broker sends and answers deliveries that want it.
func (l *lab) acknowledge(c net.Conn, qos byte) {
	in := bufio.NewReader(c)
	for {
		kind, err := in.ReadByte()
		if err != nil {
			return
		}
		n, err := binary.ReadUvarint(in)
		if err != nil || n > 1<<20 {
			return
		}
		body := make([]byte, n)
		if _, err := io.ReadFull(in, body); err != nil {
			return
		}
		if kind>>4 == 3 && qos > 0 && len(body) > 4 {
			at := 2 + int(binary.BigEndian.Uint16(body))
			if _, err := c.Write(packet(0x40, body[at:at+2])); err != nil {
				return
			}
		}
	}
}

// commander publishes to one device; its own session is not part of the recording.
func (l *lab) commander(r *mrand.Rand, addr, topic string, qos byte) {
	c, err := tls.Dial("tcp", addr, l.client)
	if err != nil {
		return
	}
	defer c.Close()
	if _, err := c.Write(packet(0x10, append(append(field("MQTT"), 4, 2, 0, 0), field("c"+hex(r, 10))...))); err != nil {
		return
	}
	go func() { _, _ = io.Copy(io.Discard, c) }()
	mean, size := time.Duration(10+r.IntN(100))*time.Second, 20+r.IntN(500)
	for n := uint16(1); l.wait(pick(r, exponential(r, mean), jittered(r, mean, 0.05))); n++ {
		body := field(topic)
		if qos > 0 {
			body = binary.BigEndian.AppendUint16(body, n)
		}
		if _, err := c.Write(packet(0x30|qos<<1, append(body, hex(r, size)...))); err != nil {
			return
		}
	}
}

func command(args ...string) []byte {
	var b bytes.Buffer
	fmt.Fprintf(&b, "*%d\r\n", len(args))
	for _, a := range args {
		fmt.Fprintf(&b, "$%d\r\n%s\r\n", len(a), a)
	}
	return b.Bytes()
}

func (l *lab) redis(r *mrand.Rand, addr, what string) error {
	raw, err := l.dial(addr, "redis "+what, false)
	if err != nil {
		return err
	}
	c := l.secure(raw, r)
	defer c.Close()
	go func() { _, _ = io.Copy(io.Discard, c) }()
	if _, err := c.Write(command("CLIENT", "SETINFO", "LIB-NAME", "lab")); err != nil {
		return err
	}
	name, size, mean := hex(r, 8), 10+r.IntN(400), time.Duration(500+r.IntN(20000))*time.Millisecond
	byChance := r.IntN(2) == 0
	if what == "subscribe" {
		if _, err := c.Write(command("SUBSCRIBE", name)); err != nil {
			return err
		}
		l.wg.Add(1)
		go func() {
			defer l.wg.Done()
			c, err := tls.Dial("tcp", addr, l.client)
			if err != nil {
				return
			}
			defer c.Close()
			go func() { _, _ = io.Copy(io.Discard, c) }()
			r := mrand.New(mrand.NewPCG(uint64(size), 3))
			for l.wait(exponential(r, mean)) {
				if _, err := c.Write(command("PUBLISH", name, hex(r, size))); err != nil {
					return
				}
			}
		}()
		for l.wait(15 * time.Second) {
			if _, err := c.Write(command("PING")); err != nil {
				return err
			}
		}
		return nil
	}
	for i := 0; ; i++ {
		d := jittered(r, mean, 0.1)
		if byChance {
			d = exponential(r, mean)
		}
		if !l.wait(d) {
			return nil
		}
		next := command("SET", name+fmt.Sprint(i%7), hex(r, size))
		switch {
		case what == "get" && i%2 == 1:
			next = command("GET", name+fmt.Sprint(i%7))
		case what == "queue":
			next = command("LPUSH", name, hex(r, size))
		case what == "blpop":
			next = command("BLPOP", name, "5")
		}
		if _, err := c.Write(next); err != nil {
			return err
		}
	}
}

func (l *lab) nats(r *mrand.Rand, addr string) error {
	conf := l.client.Clone()
	nc, err := nats.Connect("tls://"+addr, nats.Secure(conf), nats.SetCustomDialer(dialer(func(string, string) (net.Conn, error) { return l.dial(addr, "nats", false) })), nats.PingInterval(30*time.Second))
	if err != nil {
		return err
	}
	defer nc.Close()
	name := hex(r, 8)
	if _, err := nc.Subscribe("in."+name, func(*nats.Msg) {}); err != nil {
		return err
	}
	if _, err := nc.Subscribe("echo."+name, func(m *nats.Msg) { _ = m.Respond([]byte(`{"status":"OK"}`)) }); err != nil {
		return err
	}
	mean, size, back := time.Duration(1000+r.IntN(20000))*time.Millisecond, 30+r.IntN(300), 50+r.IntN(500)
	for l.wait(exponential(r, mean)) {
		to, n := "out."+name, size
		if r.IntN(3) == 0 {
			to, n = "in."+name, back
		}
		if err := nc.Publish(to, []byte(hex(r, n))); err != nil {
			return err
		}
	}
	return nil
}

type dialer func(network, address string) (net.Conn, error)

func (d dialer) Dial(network, address string) (net.Conn, error) { return d(network, address) }

// web serves long polls, telemetry and event streams by net/http.
func (l *lab) web() string {
	mux := http.NewServeMux()
	mux.HandleFunc("/long-poll", func(w http.ResponseWriter, q *http.Request) {
		r := mrand.New(mrand.NewPCG(uint64(time.Now().UnixNano()), 1))
		l.wait(exponential(r, 12*time.Second))
		fmt.Fprintf(w, `{"changes":["%s"]}`, hex(r, 20+r.IntN(600)))
	})
	mux.HandleFunc("/telemetry", func(w http.ResponseWriter, q *http.Request) {
		_, _ = io.Copy(io.Discard, q.Body)
		w.WriteHeader(http.StatusNoContent)
	})
	mux.HandleFunc("/events", func(w http.ResponseWriter, q *http.Request) {
		r := mrand.New(mrand.NewPCG(uint64(time.Now().UnixNano()), 1))
		mean, size := time.Duration(1+r.IntN(40))*time.Second, 30+r.IntN(600)
		for l.wait(exponential(r, mean)) {
			fmt.Fprintf(w, "data: %s\n\n", hex(r, size))
			w.(http.Flusher).Flush()
		}
	})
	addr := ""
	ln, err := tls.Listen("tcp", "127.0.0.1:0", l.server)
	if err == nil {
		addr = ln.Addr().String()
		go func() { _ = http.Serve(ln, mux) }()
	}
	return addr
}

func (l *lab) http(r *mrand.Rand, addr, what string) error {
	h := &http.Client{Transport: &http.Transport{DialTLSContext: func(context.Context, string, string) (net.Conn, error) {
		raw, err := l.dial(addr, "http "+what, false)
		if err != nil {
			return nil, err
		}
		return l.secure(raw, r), nil
	}}}
	mean, size := time.Duration(2000+r.IntN(20000))*time.Millisecond, 100+r.IntN(800)
	for {
		var body io.Reader
		if what == "telemetry" {
			body = strings.NewReader(hex(r, size+r.IntN(40)))
		}
		resp, err := h.Post("https://"+addr+"/"+what, "application/json", body)
		if err != nil {
			return err
		}
		if _, err := io.Copy(io.Discard, resp.Body); err != nil {
			return err
		}
		_ = resp.Body.Close()
		if !l.wait(pick(r, jittered(r, mean, 0.1), exponential(r, mean))) {
			return nil
		}
	}
}
