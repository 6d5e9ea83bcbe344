package capture

import (
	"bytes"
	"net/netip"
	"strconv"

	"github.com/minewarden/minewarden"
)

// The steps of each side of a SOCKS connection.
const (
	socksHello = iota
	socksLogin
	socksRequest
	socksOpen // what follows is between the client and its target
)

const maxSOCKS = 16 << 10

type socksState struct {
	step  [2]uint8
	login bool // the server asked for a name and password
}

// beginsSOCKS says that b is how a client of SOCKS 4 or 5 begins: alone, or with what some send without waiting for the proxy.
func beginsSOCKS(b []byte) bool {
	if len(b) < 3 {
		return false
	}
	switch n := 2 + int(b[1]); b[0] {
	case 5:
		if b[1] == 0 || len(b) < n {
			return false
		}
		rest := b[n:]
		return len(rest) == 0 || len(rest) >= 4 && rest[0] == 5 && rest[1] >= 1 && rest[1] <= 3 && rest[2] == 0 && rest[3] >= 1 && rest[3] <= 4
	case 4:
		if b[1] != 1 && b[1] != 2 || len(b) < 9 {
			return false
		}
		if b[len(b)-1] == 0 && len(b) < 600 {
			return true
		}
		user := bytes.IndexByte(b[8:min(len(b), 600)], 0)
		return user >= 0 && isText(b[8:8+user]) && b[4]|b[5]|b[6]|b[7] != 0
	}
	return false
}

// socks takes the steps of SOCKS 4 and 5 until the way is open; then the flow is looked at anew.
func (e *engine) socks(f *flow, c *conn, s int, b []byte) {
	h, st := &c.half[s], &c.socks
	if h.gap || !e.gather(h, b, maxSOCKS) {
		e.notSOCKS(f, c)
		return
	}
	for st.step[s] != socksOpen && len(h.buf) > 0 {
		n, ok := c.socksStep(s, h.buf)
		if !ok {
			e.notSOCKS(f, c)
			return
		}
		if n == 0 {
			return
		}
		e.pending -= n
		h.buf = h.buf[n:]
	}
	if st.step[0] != socksOpen || st.step[1] != socksOpen {
		return
	}
	c.carrier = minewarden.CarrierSOCKS
	f.app = appSOCKS
	e.inner(f, c)
}

func (e *engine) notSOCKS(f *flow, c *conn) {
	c.app, f.app = appBinary, appNone
	e.drop(&c.half[0])
	e.drop(&c.half[1])
}

// inner begins anew with what a proxy carries.
func (e *engine) inner(f *flow, c *conn) {
	if c.web != nil {
		e.dropBody(&c.web.half[0])
		e.dropBody(&c.web.half[1])
	}
	c.app, c.web = appNone, nil
	c.socks = socksState{}
	var rest [2][]byte
	for s := range c.half {
		h := &c.half[s]
		rest[s] = h.buf
		e.pending -= len(h.buf)
		h.buf, h.lost, h.record = nil, false, record{}
	}
	for s, b := range rest {
		if len(b) > 0 {
			off := c.half[s].off
			e.deliver(f, c, s, b)
			c.half[s].off = off // they were counted when they came
		}
	}
}

// socksStep takes one message off b and returns its length; 0: it is not whole; false: it is no SOCKS.
func (c *conn) socksStep(s int, b []byte) (int, bool) {
	st := &c.socks
	if s == 0 {
		switch st.step[0] {
		case socksHello:
			if b[0] == 4 {
				return c.socks4(b)
			}
			if len(b) < 2 || len(b) < 2+int(b[1]) {
				return 0, b[0] == 5
			}
			st.step[0] = socksRequest
			return 2 + int(b[1]), b[0] == 5
		case socksRequest:
			if b[0] == 1 && st.login { // name and password
				if len(b) < 2 || len(b) < 3+int(b[1]) || len(b) < 3+int(b[1])+int(b[2+int(b[1])]) {
					return 0, true
				}
				return 3 + int(b[1]) + int(b[2+int(b[1])]), true
			}
			n, host := socksAddr(b)
			if n > 0 {
				c.target = host
				st.step[0] = socksOpen
			}
			return n, b[0] == 5 && n >= 0
		}
	}
	switch st.step[1] {
	case socksHello:
		if b[0] == 0 { // version 4
			if len(b) < 8 {
				return 0, true
			}
			st.step[1] = socksOpen
			return 8, b[1] == 0x5a
		}
		if len(b) < 2 {
			return 0, b[0] == 5
		}
		st.step[1] = socksRequest
		if st.login = b[1] == 2; st.login {
			st.step[1] = socksLogin
		}
		return 2, b[0] == 5 && b[1] != 0xff
	case socksLogin:
		if len(b) < 2 {
			return 0, true
		}
		st.step[1] = socksRequest
		return 2, b[1] == 0
	}
	if len(b) >= 2 && (b[0] != 5 || b[1] != 0) {
		return 0, false
	}
	n, _ := socksAddr(b)
	if n > 0 {
		st.step[1] = socksOpen
	}
	return n, n >= 0
}

// socksAddr reads a request or reply of version 5: its length and whom it names; 0: not whole; -1: wrong.
func socksAddr(b []byte) (int, string) {
	if len(b) < 7 {
		return 0, ""
	}
	n, host := 0, ""
	switch b[3] {
	case 1:
		if n = 8; len(b) >= n {
			host = netip.AddrFrom4([4]byte(b[4:8])).String()
		}
	case 3:
		if n = 5 + int(b[4]); len(b) >= n {
			host = normalName(b[5:n])
		}
	case 4:
		if n = 20; len(b) >= n {
			host = "[" + netip.AddrFrom16([16]byte(b[4:20])).String() + "]"
		}
	default:
		return -1, ""
	}
	if len(b) < n+2 {
		return 0, ""
	}
	return n + 2, host + ":" + strconv.Itoa(int(be16(b[n:])))
}

// socks4 reads a request of version 4 or 4a.
func (c *conn) socks4(b []byte) (int, bool) {
	if len(b) < 9 {
		return 0, true
	}
	n := bytes.IndexByte(b[8:], 0)
	if n < 0 {
		return 0, len(b) < 600
	}
	n += 9
	host := netip.AddrFrom4([4]byte(b[4:8])).String()
	if b[4] == 0 && b[5] == 0 && b[6] == 0 && b[7] != 0 {
		k := bytes.IndexByte(b[n:], 0)
		if k < 0 {
			return 0, len(b) < 600
		}
		host = normalName(b[n : n+k])
		n += k + 1
	}
	c.target = host + ":" + strconv.Itoa(int(be16(b[2:])))
	c.socks.step[0] = socksOpen
	return n, true
}
