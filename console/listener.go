package console

import (
	"net"
	"net/netip"
	"sync"
)

// maxPerAddress is how many connections one address may hold: a browser has a few, a proxy some more. Without it one that opens
// hundreds and says nothing keeps everybody else out until each is timed out.
const maxPerAddress = 64

// fair closes connections of an address that holds too many. Everybody who comes by a tunnel or a proxy of this machine has the same one: loopback
// is not counted.
type fair struct {
	net.Listener
	exempt func(netip.Addr) bool
	mu     sync.Mutex
	held   map[netip.Addr]int
}

func newFair(l net.Listener) *fair {
	return &fair{Listener: l, exempt: netip.Addr.IsLoopback, held: map[netip.Addr]int{}}
}

// Accept implements net.Listener.
func (f *fair) Accept() (net.Conn, error) {
	for {
		c, err := f.Listener.Accept()
		if err != nil {
			return nil, err
		}
		at, err := netip.ParseAddrPort(c.RemoteAddr().String())
		if err != nil {
			return c, nil // of no network
		}
		who := at.Addr().Unmap()
		if f.exempt(who) {
			return c, nil
		}
		f.mu.Lock()
		full := f.held[who] >= maxPerAddress
		if !full {
			f.held[who]++
		}
		f.mu.Unlock()
		if !full {
			return &heldConn{Conn: c, free: sync.OnceFunc(func() { f.free(who) })}, nil
		}
		if err := c.Close(); err != nil {
			continue // it is gone all the same
		}
	}
}

func (f *fair) free(who netip.Addr) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.held[who]--; f.held[who] <= 0 {
		delete(f.held, who)
	}
}

type heldConn struct {
	net.Conn
	free func()
}

// Close implements net.Conn.
func (c *heldConn) Close() error {
	c.free()
	return c.Conn.Close()
}
