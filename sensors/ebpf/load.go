package ebpf

import (
	"errors"
	"fmt"
	"os"
	"strings"

	"github.com/cilium/ebpf"
	"github.com/cilium/ebpf/link"
	"github.com/cilium/ebpf/rlimit"

	"github.com/minewarden/minewarden"
)

// A Capability is one thing that the sensor can see on this host, or why it cannot.
type Capability struct {
	Name   string
	OK     bool
	Reason string // empty if OK
}

// kernel holds what was loaded. Closing it leaves nothing behind.
type kernel struct {
	events, lost *ebpf.Map
	asleep       *ebpf.Map
	threads      *ebpf.Map // these are nil where their group did not load
	made         *ebpf.Map
	pending      *ebpf.Map
	protects     *ebpf.Map
	list         *ebpf.Program
	capabilities []Capability
	tracing      []*ebpf.Program // to be attached to tracepoints
	clock        *ebpf.Program   // to be attached to each CPU's clock
	closers      []func() error
}

// A group is an object that loads as a whole or not at all.
type group struct {
	name string
	spec func() (*ebpf.CollectionSpec, error)
	// without lists, program by program, what to leave out in later attempts if the kernel refuses an earlier one.
	without [][]string
}

func groups() []group {
	return []group{
		{"process start, fork and end", loadProcess, [][]string{{}}},
		{"rounding mode and code samples", loadCpu, [][]string{{"on_clock_plain"}, {"on_clock"}}},
		{"connections and what threads ask of the kernel", loadCalls, [][]string{{"on_state_plain"}, {"on_state"}}},
		{"hidden processes", loadTasks, [][]string{{}}},
	}
}

// load loads every group that this kernel takes. It fails when it takes none.
func load(config Config) (*kernel, error) {
	if os.Geteuid() != 0 {
		return nil, fmt.Errorf("load eBPF programs: needs root: %w", minewarden.ErrUnsupported)
	}
	if _, err := os.Stat("/sys/kernel/btf/vmlinux"); err != nil {
		return nil, fmt.Errorf("load eBPF programs: the kernel has no type information (CONFIG_DEBUG_INFO_BTF): %w", minewarden.ErrUnsupported)
	}
	// Needed before Linux 5.11 only. Where it fails, making the maps fails too, and says so.
	limit := rlimit.RemoveMemlock()

	k := &kernel{}
	spec, err := loadProcess()
	if err != nil {
		return nil, err
	}
	spec.Maps["events"].MaxEntries = uint32(config.RingKiB) << 10
	for to, name := range map[**ebpf.Map]string{&k.events: "events", &k.lost: "lost", &k.asleep: "asleep"} {
		if *to, err = ebpf.NewMap(spec.Maps[name]); err != nil {
			k.Close()
			return nil, refused("make the map "+name, errors.Join(err, limit))
		}
		k.closers = append(k.closers, (*to).Close)
	}

	loaded := 0
	for _, g := range groups() {
		err := k.load(g, config)
		if err == nil {
			loaded++
		}
		k.capabilities = append(k.capabilities, Capability{g.name, err == nil, reason(err)})
	}
	if loaded == 0 {
		k.Close()
		return nil, fmt.Errorf("load eBPF programs: %s: %w", k.capabilities[0].Reason, minewarden.ErrUnsupported)
	}
	return k, nil
}

func (k *kernel) load(g group, config Config) error {
	var err error
	for _, without := range g.without {
		var c *ebpf.Collection
		if c, err = k.loadOnce(g, without, config); err != nil {
			continue
		}
		k.closers = append(k.closers, func() error { c.Close(); return nil })
		for name, p := range c.Programs {
			switch p.Type() {
			case ebpf.Tracing:
				if name == "list" {
					k.list = p
				} else {
					k.tracing = append(k.tracing, p)
				}
			case ebpf.PerfEvent:
				k.clock = p
			}
		}
		for to, name := range map[**ebpf.Map]string{&k.threads: "threads", &k.made: "made", &k.pending: "pending", &k.protects: "protects"} {
			if m := c.Maps[name]; m != nil {
				*to = m
			}
		}
		return nil
	}
	return err
}

func (k *kernel) loadOnce(g group, without []string, config Config) (*ebpf.Collection, error) {
	spec, err := g.spec()
	if err != nil {
		return nil, err
	}
	for _, name := range without {
		delete(spec.Programs, name)
	}
	for _, m := range spec.Maps {
		if config.entries > 0 && (m.Type == ebpf.Hash || m.Type == ebpf.LRUHash) {
			m.MaxEntries = config.entries
		}
	}
	shared := map[string]*ebpf.Map{}
	if m := spec.Maps["events"]; m != nil {
		m.MaxEntries = uint32(config.RingKiB) << 10
		shared["events"], shared["lost"], shared["asleep"] = k.events, k.lost, k.asleep
	}
	for name, value := range map[string]any{
		"self_tgid":    uint32(os.Getpid()),
		"burning_hits": burningHits(config),
		"class_of":     callClasses(),
	} {
		if v := spec.Variables[name]; v != nil {
			if err := v.Set(value); err != nil {
				return nil, fmt.Errorf("set %s: %w", name, err)
			}
		}
	}
	return ebpf.NewCollectionWithOptions(spec, ebpf.CollectionOptions{
		MapReplacements: shared,
	})
}

func (k *kernel) attach(config Config) error {
	for _, p := range k.tracing {
		l, err := link.AttachTracing(link.TracingOptions{Program: p})
		if err != nil {
			return refused("attach "+p.String(), err)
		}
		k.closers = append(k.closers, l.Close)
	}
	if k.clock == nil || config.SampleHz == 0 {
		return nil
	}
	closers, err := attachClock(k.clock, config.SampleHz)
	k.closers = append(k.closers, closers...)
	if err != nil {
		return refused("sample the CPUs", err)
	}
	return nil
}

// lostCounts returns how many events of each kind have not fitted into the ring so far, and what found no place in a table.
func (k *kernel) lostCounts() (sums [numLosses]uint64, err error) {
	for what := range uint32(numLosses) {
		if sums[what], err = total(k.lost, what); err != nil {
			return sums, err
		}
	}
	return sums, nil
}

// total adds up a counter of all CPUs.
func total(m *ebpf.Map, at uint32) (sum uint64, err error) {
	var perCPU []uint64
	if err := m.Lookup(at, &perCPU); err != nil {
		return 0, fmt.Errorf("read %s: %w", m, err)
	}
	for _, n := range perCPU {
		sum += n
	}
	return sum, nil
}

// Close detaches and unloads everything.
func (k *kernel) Close() {
	for i := len(k.closers) - 1; i >= 0; i-- {
		// Nothing can be done about a descriptor that does not close; the end of the process frees it.
		k.closers[i]() //nolint:errcheck // see above
	}
	k.closers = nil
}

// Capabilities loads each program for a moment and says what this host lets the sensor see. Nothing is attached.
func Capabilities() []Capability {
	k, err := load(DefaultConfig())
	if err != nil {
		return []Capability{{Name: "eBPF", Reason: reason(err)}}
	}
	defer k.Close()
	return k.capabilities
}

func refused(doing string, err error) error {
	return fmt.Errorf("%s: %s: %w", doing, reason(err), minewarden.ErrUnsupported)
}

// reason makes one line of an error; the verifier's can be thousands.
func reason(err error) string {
	if err == nil {
		return ""
	}
	var v *ebpf.VerifierError
	if errors.As(err, &v) {
		return fmt.Sprintf("%v", v)
	}
	line, _, _ := strings.Cut(err.Error(), "\n")
	return line
}
