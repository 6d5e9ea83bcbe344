package main

import (
	"bytes"
	"compress/flate"
	"compress/gzip"
	"encoding/base64"
	"encoding/binary"
	"fmt"
	"math/rand/v2"
	"strings"
)

// A transport is a way to carry a session, or to hide it.
type transport struct {
	name  string
	style style
	text  func(string) string // of a message, after style
	say   func(*wire, session)
	port  uint16 // of the server; 0: any
	setup func(*wire)
	skip  int // messages at the beginning that are not seen
}

func sides(t turn) int {
	if t.up {
		return 0
	}
	return 1
}

// ended says messages that end with eol, each by itself.
func ended(eol string) func(*wire, session) {
	return func(w *wire, s session) {
		for _, t := range s.turns {
			w.say(sides(t), []byte(t.text+eol))
		}
	}
}

var lines = ended("\n")

// together says what one side says in a row at once, and the client's first two messages before any answer.
func together(w *wire, s session) {
	turns := s.turns
	for i, t := range turns {
		if t.up && i > 0 && i < 4 {
			moved := append([]turn{turns[0], t}, turns[1:i]...)
			turns = append(moved, turns[i+1:]...)
			break
		}
	}
	said := ""
	for i, t := range turns {
		said += t.text + "\n"
		if i+1 == len(turns) || turns[i+1].up != t.up {
			w.say(sides(t), []byte(said))
			said = ""
		}
	}
}

// batched says the messages of one side in a row as a JSON array.
func batched(w *wire, s session) {
	for i := 0; i < len(s.turns); {
		j := i
		var parts []string
		for ; j < len(s.turns) && s.turns[j].up == s.turns[i].up; j++ {
			parts = append(parts, s.turns[j].text)
		}
		w.say(sides(s.turns[i]), []byte("["+strings.Join(parts, ",")+"]\n"))
		i = j
	}
}

// exchanges are the client's messages with what the server says after each.
func exchanges(s session) (all [][2]string) {
	for _, t := range s.turns {
		switch {
		case t.up:
			all = append(all, [2]string{t.text, ""})
		case len(all) == 0:
			all = append(all, [2]string{"", t.text})
		case all[len(all)-1][1] == "":
			all[len(all)-1][1] = t.text
		default:
			all[len(all)-1][1] += "\n" + t.text
		}
	}
	return all
}

// posts says a session as requests and responses; pack is none, gzip, deflate or chunked.
func posts(pack string) func(*wire, session) {
	body := func(text string) (head string, b []byte) {
		b = []byte(text)
		switch pack {
		case "gzip":
			var out bytes.Buffer
			z := gzip.NewWriter(&out)
			_, err := z.Write(b)
			check(err)
			check(z.Close())
			return fmt.Sprintf("Content-Encoding: gzip\r\nContent-Length: %d\r\n", out.Len()), out.Bytes()
		case "chunked":
			var out bytes.Buffer
			for len(b) > 0 {
				n := min(len(b), 7)
				fmt.Fprintf(&out, "%x;x=y\r\n%s\r\n", n, b[:n])
				b = b[n:]
			}
			out.WriteString("0\r\n\r\n")
			return "Transfer-Encoding: chunked\r\n", out.Bytes()
		}
		return fmt.Sprintf("Content-Length: %d\r\n", len(b)), b
	}
	return func(w *wire, s session) {
		for _, x := range exchanges(s) {
			head, b := body(x[0])
			method := "POST"
			if x[0] == "" {
				method, head, b = "GET", "", nil
			}
			w.say(0, append([]byte(method+" / HTTP/1.1\r\nHost: pool.example\r\nContent-Type: application/json\r\n"+head+"\r\n"), b...))
			head, b = body(x[1])
			w.say(1, append([]byte("HTTP/1.1 200 OK\r\nContent-Type: application/json\r\n"+head+"\r\n"), b...))
		}
	}
}

// streamed answers one request with a response that lasts, while the client's messages are requests of their own.
func streamed(w *wire, s session) {
	w.say(0, []byte("GET /events HTTP/1.1\r\nHost: pool.example\r\n\r\n"))
	w.say(1, []byte("HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nTransfer-Encoding: chunked\r\n\r\n"))
	for _, t := range s.turns {
		if t.up {
			w.say(0, fmt.Appendf(nil, "POST / HTTP/1.1\r\nHost: pool.example\r\nContent-Length: %d\r\n\r\n%s", len(t.text), t.text))
		} else {
			w.say(1, fmt.Appendf(nil, "%x\r\n%s\n\r\n", len(t.text)+1, t.text))
		}
	}
}

// masquerade begins as HTTP and goes on as plain lines.
func masquerade(w *wire, s session) {
	w.say(0, []byte("GET /chat HTTP/1.1\r\nHost: cdn.example\r\nUser-Agent: Mozilla/5.0\r\n\r\n"))
	w.say(1, []byte("HTTP/1.1 200 OK\r\nContent-Type: text/html\r\n\r\n"))
	lines(w, s)
}

// http2 speaks HTTP/2 in the clear, by knowing that the server does.
func http2(w *wire, s session) {
	frame := func(typ, flags byte, stream uint32, b []byte) []byte {
		head := []byte{byte(len(b) >> 16), byte(len(b) >> 8), byte(len(b)), typ, flags}
		return append(binary.BigEndian.AppendUint32(head, stream), b...)
	}
	w.say(0, append([]byte("PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"), frame(4, 0, 0, nil)...))
	w.say(1, append(frame(4, 0, 0, nil), frame(4, 1, 0, nil)...))
	for i, x := range exchanges(s) {
		id := uint32(2*i + 1)
		w.say(0, append(frame(1, 4, id, []byte{0x83, 0x86, 0x84}), frame(0, 9, id, padded(x[0]))...))
		half := len(x[1]) / 2
		b := append(frame(1, 4, id, []byte{0x88}), frame(0, 0, id, []byte(x[1][:half]))...)
		w.say(1, append(b, frame(0, 1, id, []byte(x[1][half:]))...))
	}
}

func padded(text string) []byte {
	return append(append([]byte{5}, text...), 0, 0, 0, 0, 0)
}

// A socket writes WebSocket frames.
type socket struct {
	r       *rand.Rand
	part    int  // bytes of a frame; 0: a message is one
	deflate bool // permessage-deflate
	keep    bool // with the window of the messages before
	out     [2]bytes.Buffer
	z       [2]*flate.Writer
}

func (k *socket) frames(side int, text string) []byte {
	b, first := []byte(text), byte(1)
	if k.deflate {
		if k.z[side] == nil || !k.keep {
			z, err := flate.NewWriter(&k.out[side], 6)
			check(err)
			k.z[side] = z
		}
		k.out[side].Reset()
		_, err := k.z[side].Write(b)
		check(err)
		check(k.z[side].Flush())
		b = bytes.Clone(bytes.TrimSuffix(k.out[side].Bytes(), []byte{0, 0, 0xff, 0xff}))
		first |= 0x40
	}
	var all []byte
	for n := 0; n == 0 || len(b) > 0; n++ {
		size := len(b)
		if k.part > 0 {
			size = min(size, k.part)
		}
		op := byte(0)
		if n == 0 {
			op = first
		}
		if size == len(b) {
			op |= 0x80
		}
		all = k.one(all, side, op, b[:size])
		if k.part > 0 && n == 1 {
			all = k.one(all, side, 0x89, []byte("ping"))
		}
		b = b[size:]
	}
	return all
}

func (k *socket) one(all []byte, side int, op byte, b []byte) []byte {
	mask := byte(0)
	if side == 0 {
		mask = 0x80
	}
	all = append(all, op)
	switch {
	case len(b) < 126:
		all = append(all, mask|byte(len(b)))
	case len(b) < 1<<16:
		all = binary.BigEndian.AppendUint16(append(all, mask|126), uint16(len(b)))
	default:
		all = binary.BigEndian.AppendUint64(append(all, mask|127), uint64(len(b)))
	}
	if side != 0 {
		return append(all, b...)
	}
	key := binary.BigEndian.AppendUint32(nil, k.r.Uint32())
	all = append(all, key...)
	for i, c := range b {
		all = append(all, c^key[i%4])
	}
	return all
}

// sockets says a session in WebSocket messages.
func sockets(k socket) func(*wire, session) {
	return func(w *wire, s session) {
		k := k
		k.r = w.r
		ext := ""
		if k.deflate {
			ext = "Sec-WebSocket-Extensions: permessage-deflate\r\n"
		}
		if !w.joined {
			w.say(0, []byte("GET /ws HTTP/1.1\r\nHost: pool.example\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n"+ext+"\r\n"))
			w.say(1, []byte("HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\n"+ext+"\r\n"))
		}
		for _, t := range s.turns {
			w.say(sides(t), k.frames(sides(t), t.text))
		}
	}
}

// socks5 opens a way through a proxy; early sends what follows without waiting for the proxy.
func socks5(user, early bool, inner func(*wire, session)) func(*wire, session) {
	request := append([]byte{5, 1, 0, 3, 12}, "pool.example\x0d\x05"...)
	reply := []byte{5, 0, 0, 1, 0, 0, 0, 0, 0, 0}
	return func(w *wire, s session) {
		switch {
		case early:
			w.say(0, append([]byte{5, 1, 0}, request...))
			w.say(1, append([]byte{5, 0}, reply...))
		case user:
			w.say(0, []byte{5, 2, 0, 2})
			w.say(1, []byte{5, 2})
			w.say(0, []byte("\x01\x04user\x06secret"))
			w.say(1, []byte{1, 0})
			w.say(0, request)
			w.say(1, reply)
		default:
			w.say(0, []byte{5, 1, 0})
			w.say(1, []byte{5, 0})
			w.say(0, request)
			w.say(1, reply)
		}
		inner(w, s)
	}
}

func socks4a(early bool) func(*wire, session) {
	request := []byte("\x04\x01\x0d\x05\x00\x00\x00\x01me\x00pool.example\x00")
	return func(w *wire, s session) {
		if early && len(s.turns) > 0 && s.turns[0].up {
			w.say(0, append(request[:len(request):len(request)], s.turns[0].text+"\n"...))
			w.say(1, []byte{0, 0x5a, 0, 0, 0, 0, 0, 0})
			s.turns = s.turns[1:]
		} else {
			w.say(0, request)
			w.say(1, []byte{0, 0x5a, 0, 0, 0, 0, 0, 0})
		}
		lines(w, s)
	}
}

func connect(inner func(*wire, session)) func(*wire, session) {
	return func(w *wire, s session) {
		w.say(0, []byte("CONNECT pool.example:3333 HTTP/1.1\r\nHost: pool.example:3333\r\nProxy-Authorization: Basic "+base64.StdEncoding.EncodeToString([]byte("a:b"))+"\r\n\r\n"))
		w.say(1, []byte("HTTP/1.1 200 Connection established\r\nVia: x\r\n\r\n"))
		inner(w, s)
	}
}
