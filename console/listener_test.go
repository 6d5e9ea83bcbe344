package console

import (
	"io"
	"net"
	"net/netip"
	"testing"
	"time"
)

// TestOneAddressCannotHoldAll opens more connections than one address may hold: the rest is closed, and room is made when one ends.
func TestOneAddressCannotHoldAll(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	f := newFair(l)
	f.exempt = func(netip.Addr) bool { return false }
	defer f.Close()
	accepted := make(chan net.Conn, 2*maxPerAddress)
	go func() {
		for {
			c, err := f.Accept()
			if err != nil {
				return
			}
			accepted <- c
		}
	}()
	var mine []net.Conn
	for range maxPerAddress + 20 {
		c, err := net.Dial("tcp", l.Addr().String())
		if err != nil {
			t.Fatal(err)
		}
		defer c.Close()
		mine = append(mine, c)
	}
	for _, c := range mine[maxPerAddress:] { // closed by the other side
		if err := c.SetReadDeadline(time.Now().Add(10 * time.Second)); err != nil {
			t.Fatal(err)
		}
		if _, err := c.Read(make([]byte, 1)); err == nil {
			t.Fatal("a connection too many said something")
		} else if e, ok := err.(net.Error); ok && e.Timeout() {
			t.Fatal("a connection too many stays open")
		}
	}
	one := <-accepted
	if err := one.Close(); err != nil {
		t.Fatal(err)
	}
	if err := one.Close(); err == nil { // twice counts once
		t.Log("closed twice")
	}
	c, err := net.Dial("tcp", l.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	for range maxPerAddress - 1 {
		<-accepted
	}
	last := <-accepted
	if _, err := io.WriteString(last, "x"); err != nil {
		t.Fatal(err)
	}
	if _, err := c.Read(make([]byte, 1)); err != nil {
		t.Errorf("there was room again, and yet: %v", err)
	}
}
