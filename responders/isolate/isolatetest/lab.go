// Package isolatetest makes a network of namespaces in which a host can be isolated without harm: a host with containers behind
// it, its operator, and somebody outside. Nothing of the machine's own network is touched.
package isolatetest

import (
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"runtime"
	"strings"
	"syscall"
	"time"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"
)

// inside says that this process has a network and mounts of its own.
const inside = "MINEWARDEN_TEST_NETWORK"

// Enclosed reports whether the process is in a network of its own: nothing here runs outside of one.
func Enclosed() bool { return os.Getenv(inside) != "" }

// Enclose runs this program again in namespaces of its own, and returns its exit code.
func Enclose() (int, error) {
	cmd := exec.Command("/proc/self/exe", os.Args[1:]...)
	cmd.Env = append(os.Environ(), inside+"=1")
	cmd.Stdin, cmd.Stdout, cmd.Stderr = os.Stdin, os.Stdout, os.Stderr
	cmd.SysProcAttr = &syscall.SysProcAttr{Cloneflags: unix.CLONE_NEWNET | unix.CLONE_NEWNS, Pdeathsig: syscall.SIGKILL}
	var exit *exec.ExitError
	if err := cmd.Run(); errors.As(err, &exit) {
		return exit.ExitCode(), nil
	} else if err != nil {
		return 1, fmt.Errorf("run in namespaces of its own: %w", err)
	}
	return 0, nil
}

// Addresses of the lab. The host has .1 in each network, and ::1.
const (
	Host4, Host6           = "10.77.1.1", "fd77:1::1"
	HostOutside4           = "10.77.2.1"
	HostBridge4            = "10.77.3.1"
	Operator4, Operator6   = "10.77.1.2", "fd77:1::2"
	Outside4, Outside6     = "10.77.2.2", "fd77:2::2"
	Macvlan4               = "10.77.2.3"
	Container4, Container6 = "10.77.3.2", "fd77:3::2"
	Neighbour4             = "10.77.3.3"
)

// A Space is a network namespace.
type Space struct{ fd int }

// A Lab is the network around the namespace of this process, which is the host's.
type Lab struct {
	Operator, Outside, Container, Neighbour, Macvlan *Space
	spaces                                           []*Space
	links                                            []string
}

// New builds the network. Close takes it down.
func New() (*Lab, error) {
	if !Enclosed() {
		return nil, errors.New("not in a network of its own")
	}
	l := &Lab{}
	if err := l.build(); err != nil {
		return nil, errors.Join(err, l.Close())
	}
	return l, nil
}

func (l *Lab) build() error {
	if err := errors.Join(up("lo"), write("/proc/sys/net/ipv4/ip_forward", "1"), write("/proc/sys/net/ipv6/conf/all/forwarding", "1")); err != nil {
		return err
	}
	for _, s := range []**Space{&l.Operator, &l.Outside, &l.Container, &l.Neighbour, &l.Macvlan} {
		n, err := newSpace()
		if err != nil {
			return err
		}
		*s = n
		l.spaces = append(l.spaces, n)
	}
	if err := l.wire("op0", l.Operator, "10.77.1.1/24 fd77:1::1/64", "10.77.1.2/24 fd77:1::2/64", "10.77.1.1 fd77:1::1"); err != nil {
		return err
	}
	if err := l.wire("out0", l.Outside, "10.77.2.1/24 fd77:2::1/64", "10.77.2.2/24 fd77:2::2/64", "10.77.2.1 fd77:2::1"); err != nil {
		return err
	}
	bridge := &netlink.Bridge{LinkAttrs: netlink.LinkAttrs{Name: "br0"}}
	if err := netlink.LinkAdd(bridge); err != nil {
		return fmt.Errorf("make br0: %w", err)
	}
	l.links = append(l.links, "br0")
	if err := l.wire("c0", l.Container, "", "10.77.3.2/24 fd77:3::2/64", ""); err != nil {
		return err
	}
	if err := l.wire("c1", l.Neighbour, "", "10.77.3.3/24 fd77:3::3/64", ""); err != nil {
		return err
	}
	for _, name := range []string{"c0", "c1"} {
		k, err := netlink.LinkByName(name)
		if err != nil {
			return err
		}
		if err := netlink.LinkSetMaster(k, bridge); err != nil {
			return err
		}
	}
	if err := errors.Join(addresses("br0", "10.77.3.1/24 fd77:3::1/64"), up("br0")); err != nil {
		return err
	}
	for _, s := range []*Space{l.Container, l.Neighbour} {
		if err := s.Do(func() error { return routes("10.77.3.1 fd77:3::1") }); err != nil {
			return err
		}
	}
	return l.macvlan()
}

func (l *Lab) macvlan() error {
	parent, err := netlink.LinkByName("out0")
	if err != nil {
		return err
	}
	m := &netlink.Macvlan{LinkAttrs: netlink.LinkAttrs{Name: "mac0", ParentIndex: parent.Attrs().Index}, Mode: netlink.MACVLAN_MODE_BRIDGE}
	if err := netlink.LinkAdd(m); err != nil {
		return fmt.Errorf("make mac0: %w", err)
	}
	if err := netlink.LinkSetNsFd(m, l.Macvlan.fd); err != nil {
		return fmt.Errorf("move mac0: %w", err)
	}
	return l.Macvlan.Do(func() error { return errors.Join(addresses("mac0", "10.77.2.3/24"), up("mac0")) })
}

// wire joins s to the host by a veth, name here and eth0 there.
func (l *Lab) wire(name string, s *Space, here, there, via string) error {
	v := &netlink.Veth{LinkAttrs: netlink.LinkAttrs{Name: name}, PeerName: "p" + name}
	if err := netlink.LinkAdd(v); err != nil {
		return fmt.Errorf("make %s: %w", name, err)
	}
	l.links = append(l.links, name)
	peer, err := netlink.LinkByName("p" + name)
	if err != nil {
		return err
	}
	if err := netlink.LinkSetNsFd(peer, s.fd); err != nil {
		return fmt.Errorf("move p%s: %w", name, err)
	}
	err = s.Do(func() error {
		k, err := netlink.LinkByName("p" + name)
		if err != nil {
			return err
		}
		return errors.Join(netlink.LinkSetName(k, "eth0"), addresses("eth0", there), up("eth0"))
	})
	if err := errors.Join(err, addresses(name, here), up(name)); err != nil {
		return err
	}
	return s.Do(func() error { return routes(via) })
}

// Close takes it down.
func (l *Lab) Close() error {
	var errs []error
	for _, name := range l.links {
		k, err := netlink.LinkByName(name)
		if err == nil {
			err = netlink.LinkDel(k)
		}
		errs = append(errs, err)
	}
	for _, s := range l.spaces {
		errs = append(errs, unix.Close(s.fd))
	}
	l.links, l.spaces = nil, nil
	return errors.Join(errs...)
}

func newSpace() (*Space, error) {
	s := &Space{fd: -1}
	err := thread(func() error {
		if err := unix.Unshare(unix.CLONE_NEWNET); err != nil {
			return fmt.Errorf("make a network namespace: %w", err)
		}
		var err error
		if s.fd, err = unix.Open("/proc/thread-self/ns/net", unix.O_RDONLY|unix.O_CLOEXEC, 0); err != nil {
			return err
		}
		return up("lo")
	})
	return s, err
}

// Do runs f on a thread in the namespace. Sockets that f opens stay in it.
func (s *Space) Do(f func() error) error {
	return thread(func() error {
		if err := unix.Setns(s.fd, unix.CLONE_NEWNET); err != nil {
			return fmt.Errorf("enter a network namespace: %w", err)
		}
		return f()
	})
}

// thread runs f on a thread that ends with it.
func thread(f func() error) error {
	done := make(chan error, 1)
	go func() {
		runtime.LockOSThread() // never unlocked: the thread is not used again
		done <- f()
	}()
	return <-done
}

func write(path, text string) error { return os.WriteFile(path, []byte(text), 0o644) }

func up(name string) error {
	k, err := netlink.LinkByName(name)
	if err == nil {
		err = netlink.LinkSetUp(k)
	}
	if err != nil {
		return fmt.Errorf("bring %s up: %w", name, err)
	}
	return nil
}

func addresses(name, list string) error {
	k, err := netlink.LinkByName(name)
	if err != nil {
		return err
	}
	for _, text := range strings.Fields(list) {
		a, err := netlink.ParseAddr(text)
		if err != nil {
			return err
		}
		a.Flags = unix.IFA_F_NODAD
		if err := netlink.AddrAdd(k, a); err != nil {
			return fmt.Errorf("give %s %s: %w", name, text, err)
		}
	}
	return nil
}

func routes(list string) error {
	for _, via := range strings.Fields(list) {
		ip := net.ParseIP(via)
		dst := &net.IPNet{IP: net.IPv4zero, Mask: net.CIDRMask(0, 32)}
		if ip.To4() == nil {
			dst = &net.IPNet{IP: net.IPv6zero, Mask: net.CIDRMask(0, 128)}
		}
		var err error
		for range 100 { // a link is ready a moment after it came up
			if err = netlink.RouteAdd(&netlink.Route{Dst: dst, Gw: ip}); err == nil {
				break
			}
			time.Sleep(10 * time.Millisecond)
		}
		if err != nil {
			return fmt.Errorf("route by %s: %w", via, err)
		}
	}
	return nil
}

// Down takes a device down, as if its cable was pulled.
func Down(name string) error {
	k, err := netlink.LinkByName(name)
	if err != nil {
		return err
	}
	return netlink.LinkSetDown(k)
}

// WithoutNetAdmin runs f on a thread that has no right to change the network.
func WithoutNetAdmin(f func() error) error {
	return thread(func() error {
		header := unix.CapUserHeader{Version: unix.LINUX_CAPABILITY_VERSION_3}
		var data [2]unix.CapUserData
		if err := unix.Capget(&header, &data[0]); err != nil {
			return err
		}
		data[0].Effective &^= 1 << unix.CAP_NET_ADMIN
		if err := unix.Capset(&header, &data[0]); err != nil {
			return err
		}
		return f()
	})
}

// Ruleset is all of nftables, byte for byte, as nft lists it.
func Ruleset() (string, error) {
	out, err := exec.Command("nft", "list", "ruleset").CombinedOutput()
	if err != nil {
		return "", fmt.Errorf("nft: %w: %s", err, out)
	}
	return string(out), nil
}

// Loopback brings loopback up, for tests that need no more.
func Loopback() error { return up("lo") }
