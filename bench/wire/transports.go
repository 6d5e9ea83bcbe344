package main

import "net/netip"

// transports are all ways to carry or hide a session.
func transports() []transport {
	plain := func(name string, change func(*transport)) transport {
		t := transport{name: name, say: lines}
		change(&t)
		return t
	}
	setup := func(f func(*wire)) func(*transport) { return func(t *transport) { t.setup = f } }
	write := func(s style) func(*transport) { return func(t *transport) { t.style = s } }
	port := func(p uint16) func(*transport) { return func(t *transport) { t.port = p } }
	say := func(f func(*wire, session)) func(*transport) { return func(t *transport) { t.say = f } }
	encap := func(e string) func(*transport) { return setup(func(w *wire) { w.encap = e }) }
	only := func(side int) func(*transport) {
		return setup(func(w *wire) { w.unseen = func(s int, _ []byte) bool { return s != side } })
	}
	six := func(w *wire) {
		for i, e := range w.ends {
			a := e.Addr().As4()
			w.ends[i] = netip.AddrPortFrom(netip.AddrFrom16([16]byte{0xfd, 0, 12: a[0], 13: a[1], 14: a[2], 15: a[3]}), e.Port())
		}
	}
	return []transport{
		plain("lines", func(*transport) {}),
		plain("lines on 53", port(53)),
		plain("lines on 443", port(443)),
		plain("lines on 22", port(22)),
		plain("lines on 8333", port(8333)),
		plain("fields shuffled", write(style{shuffle: true})),
		plain("white space", write(style{shuffle: true, space: true})),
		plain("escaped keys", write(style{escape: true})),
		plain("everything escaped", write(style{escapeAll: true})),
		plain("200 fields before", write(style{junk: true})),
		plain("nested deep before", write(style{deep: true})),
		plain("CRLF", say(ended("\r\n"))),
		plain("NUL", say(ended("\x00"))),
		plain("nothing between", say(ended(""))),
		plain("byte order mark", func(t *transport) { t.text = func(s string) string { return "\xef\xbb\xbf" + s } }),
		plain("one byte a segment", setup(func(w *wire) { w.cut = 1 })),
		plain("seven bytes a segment", setup(func(w *wire) { w.cut = 7 })),
		plain("one byte a segment on 53", func(t *transport) { t.port, t.setup = 53, func(w *wire) { w.cut = 1 } }),
		plain("pipelined", say(together)),
		plain("batch", say(batched)),
		plain("joined after the first", func(t *transport) { t.skip, t.setup = 1, func(w *wire) { w.joined = true } }),
		plain("joined late on 443", func(t *transport) { t.skip, t.port, t.setup = 3, 443, func(w *wire) { w.joined = true } }),
		plain("joined late, ports near", func(t *transport) {
			t.skip, t.port, t.setup = 2, 60123, func(w *wire) { w.joined = true }
		}),
		plain("only the client", only(0)),
		plain("only the server", only(1)),
		plain("IPv6", setup(six)),
		plain("VLAN", encap("vlan")),
		plain("QinQ", encap("qinq")),
		plain("GRE", encap("gre")),
		plain("VXLAN", encap("vxlan")),
		plain("MPLS, IPv6", setup(func(w *wire) { six(w); w.encap = "mpls" })),
		plain("loss", setup(func(w *wire) {
			n := 0
			w.cut = 400
			w.unseen = func(int, []byte) bool { n++; return n%6 == 3 }
		})),
		plain("HTTP", say(posts(""))),
		plain("HTTP, gzip", say(posts("gzip"))),
		plain("HTTP, chunked", say(posts("chunked"))),
		plain("HTTP, one byte a segment", func(t *transport) { t.say, t.setup = posts("chunked"), func(w *wire) { w.cut = 1 } }),
		plain("HTTP, lasting", say(streamed)),
		plain("HTTP only at first", say(masquerade)),
		plain("HTTP/2", say(http2)),
		plain("HTTP/2, 9 bytes a segment", func(t *transport) { t.say, t.setup = http2, func(w *wire) { w.cut = 9 } }),
		plain("WebSocket", say(sockets(socket{}))),
		plain("WebSocket, one byte a segment", func(t *transport) { t.say, t.setup = sockets(socket{}), func(w *wire) { w.cut = 1 } }),
		plain("WebSocket, fragments", say(sockets(socket{part: 11}))),
		plain("WebSocket, compressed", say(sockets(socket{deflate: true}))),
		plain("WebSocket, compressed with a window", say(sockets(socket{deflate: true, keep: true, part: 50}))),
		plain("WebSocket, joined", func(t *transport) { t.say, t.skip, t.setup = sockets(socket{}), 1, func(w *wire) { w.joined = true } }),
		plain("SOCKS5", say(socks5(false, false, lines))),
		plain("SOCKS5 with a password", say(socks5(true, false, lines))),
		plain("SOCKS5 at once", say(socks5(false, true, lines))),
		plain("SOCKS5, one byte a segment", func(t *transport) { t.say, t.setup = socks5(true, false, lines), func(w *wire) { w.cut = 1 } }),
		plain("SOCKS4a", say(socks4a(false))),
		plain("SOCKS4a at once", say(socks4a(true))),
		plain("CONNECT", say(connect(lines))),
		plain("WebSocket in SOCKS5 in CONNECT", say(connect(socks5(true, false, sockets(socket{}))))),
	}
}
