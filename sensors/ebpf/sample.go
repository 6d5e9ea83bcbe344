package ebpf

import (
	"fmt"
	"os"
	"strings"
	"unsafe"

	"github.com/cilium/ebpf"
	"golang.org/x/sys/unix"
)

// attachClock runs the program on every CPU that is online, hz times a second. It returns what to close also on failure.
func attachClock(p *ebpf.Program, hz int) (closers []func() error, err error) {
	cpus, err := onlineCPUs()
	if err != nil {
		return nil, err
	}
	for _, cpu := range cpus {
		attr := unix.PerfEventAttr{
			Type:   unix.PERF_TYPE_SOFTWARE,
			Config: unix.PERF_COUNT_SW_CPU_CLOCK,
			Size:   uint32(unsafe.Sizeof(unix.PerfEventAttr{})),
			Sample: uint64(hz),
			Bits:   unix.PerfBitFreq | unix.PerfBitExcludeIdle,
		}
		fd, err := unix.PerfEventOpen(&attr, -1, cpu, -1, unix.PERF_FLAG_FD_CLOEXEC)
		if err != nil {
			return closers, fmt.Errorf("open the clock of CPU %d: %w", cpu, err)
		}
		closers = append(closers, func() error { return unix.Close(fd) })
		if err := unix.IoctlSetInt(fd, unix.PERF_EVENT_IOC_SET_BPF, p.FD()); err != nil {
			return closers, fmt.Errorf("attach to the clock of CPU %d: %w", cpu, err)
		}
	}
	return closers, nil
}

func onlineCPUs() ([]int, error) {
	const path = "/sys/devices/system/cpu/online"
	text, err := os.ReadFile(path)
	if err != nil {
		return nil, fmt.Errorf("list CPUs: %w", err)
	}
	cpus, err := parseCPUs(string(text))
	if err != nil {
		return nil, fmt.Errorf("list CPUs: %s: %w", path, err)
	}
	return cpus, nil
}

// maxCPUs bounds the list: Linux has at most 8192.
const maxCPUs = 8192

// parseCPUs reads a list such as "0-3,8".
func parseCPUs(list string) ([]int, error) {
	var cpus []int
	for part := range strings.SplitSeq(strings.TrimSpace(list), ",") {
		var first, last int
		if n, _ := fmt.Sscanf(part, "%d-%d", &first, &last); n == 1 {
			last = first
		} else if n != 2 {
			return nil, fmt.Errorf("%q is not a list of CPUs", list)
		}
		if first < 0 || last < first || last >= maxCPUs {
			return nil, fmt.Errorf("%q is not a list of CPUs", list)
		}
		for cpu := first; cpu <= last; cpu++ {
			cpus = append(cpus, cpu)
		}
		if len(cpus) > maxCPUs {
			return nil, fmt.Errorf("%q names too many CPUs", list)
		}
	}
	return cpus, nil
}
