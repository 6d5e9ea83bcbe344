package network

import (
	"errors"
	"fmt"
	"io/fs"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/cilium/ebpf"
	"github.com/cilium/ebpf/link"
	"github.com/cilium/ebpf/rlimit"
	"golang.org/x/sys/unix"

	"github.com/minewarden/minewarden"
	"github.com/minewarden/minewarden/internal/proc"
)

// reasons are why a connection was refused, in the order of the programs' numbers.
var reasons = [...]string{"address", "endpoint", "port", "process tree", "cgroup"}

// The bits of state.active.
var activeBit = map[Kind]uint32{Endpoint: 1, Port: 2, Tree: 4, Cgroup: 8}

// Keys of the maps, as the programs lay them out.
type (
	prefixKey struct {
		Bits uint32
		Addr [16]byte
	}
	endpointKey struct {
		Addr [16]byte
		Port uint16
		Pad  uint16
	}
	processKey struct {
		TGID  uint32
		Pad   uint32
		Start uint64
	}
)

// kernel is the first line: programs on a cgroup, and their maps.
type kernel struct {
	maps  map[string]*ebpf.Map
	links []link.Link
	count map[Kind]int
	off   []string // what this kernel does not take, for people
}

// programs are attached; of the later ones a kernel may lack some.
var programs = []struct {
	name   string
	attach ebpf.AttachType
	need   bool
}{
	{"connect4", ebpf.AttachCGroupInet4Connect, true},
	{"connect6", ebpf.AttachCGroupInet6Connect, true},
	{"sendmsg4", ebpf.AttachCGroupUDP4Sendmsg, false},
	{"sendmsg6", ebpf.AttachCGroupUDP6Sendmsg, false},
}

// openKernel loads and attaches the programs; with pins it takes over those of an earlier agent, if they fit.
func openKernel(cgroup, pins string) (*kernel, error) {
	if cgroup == "" {
		m, err := proc.CgroupMounts()
		if err != nil {
			return nil, err
		}
		if m.V2 == "" {
			return nil, fmt.Errorf("refuse connections: no cgroup v2 tree is mounted: %w", minewarden.ErrUnsupported)
		}
		cgroup = m.V2
	}
	// Needed before Linux 5.11 only. Where it fails, making the maps fails too, and says so.
	limit := rlimit.RemoveMemlock()
	if pins != "" {
		if err := os.MkdirAll(pins, 0o700); err != nil {
			return nil, fmt.Errorf("pin blocks: %w", err)
		}
	}
	var all []error
	// What a kernel may not allow in these programs is left out step by step.
	for _, without := range [][]string{nil, {"with_cgroups"}, {"with_trees"}, {"with_trees", "with_cgroups"}} {
		k, err := loadKernel(cgroup, pins, without)
		if err == nil {
			return k, nil
		}
		all = append(all, err)
	}
	return nil, fmt.Errorf("refuse connections: %s: %w", firstLine(errors.Join(all[0], limit)), minewarden.ErrUnsupported)
}

func loadKernel(cgroup, pins string, without []string) (_ *kernel, err error) {
	spec, err := loadBlock()
	if err != nil {
		return nil, err
	}
	for _, name := range without {
		if err := spec.Variables[name].Set(uint8(0)); err != nil {
			return nil, err
		}
	}
	var opts ebpf.CollectionOptions
	if pins != "" {
		opts.Maps.PinPath = pins
		for _, m := range spec.Maps {
			if !strings.HasPrefix(m.Name, ".") {
				m.Pinning = ebpf.PinByName
			}
		}
	}
	c, err := ebpf.NewCollectionWithOptions(spec, opts)
	if errors.Is(err, ebpf.ErrMapIncompatible) { // of another version
		if err = removePins(pins); err == nil {
			c, err = ebpf.NewCollectionWithOptions(spec, opts)
		}
	}
	if err != nil {
		return nil, err
	}
	defer c.Close() // what is kept below is taken out of it
	k := &kernel{maps: map[string]*ebpf.Map{}, count: map[Kind]int{}, off: without}
	defer func() {
		if err != nil {
			err = errors.Join(err, k.Close())
		}
	}()
	for name := range c.Maps {
		if !strings.HasPrefix(name, ".") {
			k.maps[name] = c.DetachMap(name)
		}
	}
	for _, p := range programs {
		l, err := attach(cgroup, pins, p.name, p.attach, c.Programs[p.name])
		if err != nil {
			if p.need {
				return k, err
			}
			k.off = append(k.off, p.name)
			continue
		}
		k.links = append(k.links, l)
	}
	return k, nil
}

// attach replaces the program of a pinned link, so that there is no moment without one.
func attach(cgroup, pins, name string, at ebpf.AttachType, p *ebpf.Program) (link.Link, error) {
	pin := filepath.Join(pins, "link_"+name)
	if pins != "" {
		if l, err := link.LoadPinnedLink(pin, nil); err == nil {
			if err = l.Update(p); err == nil {
				return l, nil
			}
			if err := errors.Join(l.Unpin(), l.Close()); err != nil {
				return nil, err
			}
		}
	}
	l, err := link.AttachCgroup(link.CgroupOptions{Path: cgroup, Attach: at, Program: p})
	if err != nil {
		return nil, fmt.Errorf("attach %s to %s: %w", name, cgroup, err)
	}
	if pins != "" {
		if err := l.Pin(pin); err != nil {
			return nil, errors.Join(fmt.Errorf("pin %s: %w", name, err), l.Close())
		}
	}
	return l, nil
}

// removePins lets go what an agent with persist left. There being nothing is no error.
func removePins(dir string) error {
	entries, err := os.ReadDir(dir)
	if errors.Is(err, fs.ErrNotExist) || (errors.Is(err, fs.ErrPermission) && os.Geteuid() != 0) {
		return nil // only root can have pinned anything
	}
	if err != nil {
		return fmt.Errorf("remove pinned blocks: %w", err)
	}
	var errs []error
	for _, e := range entries {
		path := filepath.Join(dir, e.Name())
		if strings.HasPrefix(e.Name(), "link_") {
			// At once: without this the kernel goes on until it has freed the link.
			if l, err := link.LoadPinnedLink(path, nil); err == nil {
				errs = append(errs, l.Detach(), l.Close())
			}
		}
		errs = append(errs, os.Remove(path))
	}
	errs = append(errs, os.Remove(dir))
	return errors.Join(errs...)
}

// Close detaches what is not pinned.
func (k *kernel) Close() error {
	var errs []error
	for _, l := range k.links {
		errs = append(errs, l.Close())
	}
	for _, m := range k.maps {
		errs = append(errs, m.Close())
	}
	k.links, k.maps = nil, nil
	return errors.Join(errs...)
}

func key(i Item) (string, any) {
	switch i.Kind {
	case Address:
		return "blocked", lpmKey(i.Prefix)
	case Endpoint:
		return "endpoints", endpointKey{Addr: i.Prefix.Addr().As16(), Port: i.Port}
	case Port:
		return "ports", uint32(i.Port)
	case Tree:
		return "trees", processKey{TGID: uint32(i.PID), Start: i.Start}
	}
	return "cgroups", i.ID
}

func lpmKey(p netip.Prefix) prefixKey {
	bits := p.Bits()
	if p.Addr().Is4() {
		bits += 96
	}
	return prefixKey{Bits: uint32(bits), Addr: p.Addr().As16()}
}

// put refuses what i says until then; zero: without end.
func (k *kernel) put(i Item, until time.Time, now time.Time) error {
	ends, err := deadline(until, now)
	if err != nil {
		return err
	}
	name, key := key(i)
	if err := k.maps[name].Put(key, ends); err != nil {
		return fmt.Errorf("block %s: %w", i, err)
	}
	k.count[i.Kind]++
	if bit := activeBit[i.Kind]; bit != 0 {
		return k.activate(bit)
	}
	return nil
}

// activate tells the programs that a map is used. It is never taken back: looking into an empty map is only slower.
func (k *kernel) activate(bit uint32) error {
	var s blockState
	if err := k.maps["state"].Lookup(uint32(0), &s); err != nil {
		return fmt.Errorf("read the state of the programs: %w", err)
	}
	if s.Active&bit != 0 {
		return nil
	}
	s.Active |= bit // counts of this moment may be lost
	if err := k.maps["state"].Put(uint32(0), &s); err != nil {
		return fmt.Errorf("set the state of the programs: %w", err)
	}
	return nil
}

func (k *kernel) remove(i Item) error {
	name, key := key(i)
	if err := k.maps[name].Delete(key); err != nil && !errors.Is(err, ebpf.ErrKeyNotExist) {
		return fmt.Errorf("unblock %s: %w", i, err)
	}
	return nil
}

// exempt makes exactly these never refused.
func (k *kernel) exempt(list []netip.Prefix) error {
	want := map[prefixKey]bool{}
	for _, p := range list {
		want[lpmKey(p)] = true
	}
	for key := range want {
		if err := k.maps["exempt"].Put(key, uint64(0)); err != nil {
			return fmt.Errorf("protect addresses: %w", err)
		}
	}
	return prune(k.maps["exempt"], func(key prefixKey) bool { return want[key] })
}

// reconcile removes from pinned maps what is in none of the items.
func (k *kernel) reconcile(items map[Item][]hold) error {
	want := map[any]bool{}
	for i := range items {
		_, key := key(i)
		want[key] = true
	}
	return errors.Join(
		prune(k.maps["blocked"], func(key prefixKey) bool { return want[key] }),
		prune(k.maps["endpoints"], func(key endpointKey) bool { return want[key] }),
		prune(k.maps["ports"], func(key uint32) bool { return want[key] }),
		prune(k.maps["trees"], func(key processKey) bool { return want[key] }),
		prune(k.maps["cgroups"], func(key uint64) bool { return want[key] }),
	)
}

func prune[K any](m *ebpf.Map, keep func(K) bool) error {
	var key K
	var until uint64
	var gone []K
	it := m.Iterate()
	for it.Next(&key, &until) {
		if !keep(key) {
			gone = append(gone, key)
		}
	}
	errs := []error{it.Err()}
	for _, key := range gone {
		if err := m.Delete(key); err != nil && !errors.Is(err, ebpf.ErrKeyNotExist) {
			errs = append(errs, err)
		}
	}
	return errors.Join(errs...)
}

// refused returns how many connections were refused, by reason.
func (k *kernel) refused() (map[string]uint64, error) {
	var s blockState
	if err := k.maps["state"].Lookup(uint32(0), &s); err != nil {
		return nil, fmt.Errorf("read what was refused: %w", err)
	}
	counts := map[string]uint64{}
	for i, n := range s.Refused {
		counts[reasons[i]] = n
	}
	return counts, nil
}

// deadline is until on the kernel's clock; 0: never. One that has passed stays one.
func deadline(until, now time.Time) (uint64, error) {
	if until.IsZero() {
		return 0, nil
	}
	var ts unix.Timespec
	if err := unix.ClockGettime(unix.CLOCK_BOOTTIME, &ts); err != nil {
		return 0, fmt.Errorf("read the clock: %w", err)
	}
	return uint64(max(1, ts.Nano()+int64(until.Sub(now)))), nil
}

// firstLine makes one line of an error; the verifier's can be thousands.
func firstLine(err error) string {
	line, _, _ := strings.Cut(err.Error(), "\n")
	return line
}
