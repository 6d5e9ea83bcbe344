package procfs

import (
	"bytes"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"time"
)

// stalled reads /proc/pressure/cpu: for how long, since the start, some task waited for a processor. ok is false where the
// kernel does not tell.
func (t *tree) stalled(buf []byte) (total time.Duration, ok bool) {
	text, err := t.readInto(buf, "pressure/cpu")
	if err != nil {
		return 0, false
	}
	return parsePressure(text)
}

// parsePressure returns the total of the line "some".
func parsePressure(text []byte) (time.Duration, bool) {
	line, _, _ := bytes.Cut(text, []byte{'\n'})
	if !bytes.HasPrefix(line, []byte("some ")) {
		return 0, false
	}
	_, total, found := bytes.Cut(line, []byte("total="))
	if !found {
		return 0, false
	}
	us, err := strconv.ParseInt(string(total), 10, 64)
	if err != nil || us < 0 || us > int64(1<<62)/1000 {
		return 0, false
	}
	return time.Duration(us) * time.Microsecond, true
}

// powercap is where the kernel has the energy counters of processor packages (RAPL).
const powercap = "/sys/class/powercap"

// maxPackages bounds the counters that are read each second.
const maxPackages = 16

// rapl reads the energy that processor packages used.
type rapl struct {
	domains []domain
}

type domain struct {
	path  string
	limit uint64 // at which the counter begins again, µJ
	last  uint64
	known bool
}

// newRapl finds the packages below dir: "intel-rapl:0", on processors of other makers too. Parts of a package have a second colon.
func newRapl(dir string) *rapl {
	r := &rapl{}
	found, err := filepath.Glob(filepath.Join(dir, "intel-rapl:*"))
	if err != nil {
		return r
	}
	for _, d := range found {
		if strings.Count(filepath.Base(d), ":") != 1 || len(r.domains) == maxPackages {
			continue
		}
		limit, ok := readCounter(filepath.Join(d, "max_energy_range_uj"))
		if _, readable := readCounter(filepath.Join(d, "energy_uj")); ok && readable {
			r.domains = append(r.domains, domain{path: filepath.Join(d, "energy_uj"), limit: limit})
		}
	}
	return r
}

// joules returns what the packages used since the last call; 0 at the first, and where there are none.
func (r *rapl) joules() float64 {
	if r == nil {
		return 0
	}
	var sum uint64
	for i := range r.domains {
		d := &r.domains[i]
		v, ok := readCounter(d.path)
		if !ok {
			d.known = false
			continue
		}
		switch {
		case !d.known:
		case v >= d.last:
			sum += v - d.last
		default: // it began again
			sum += d.limit - min(d.last, d.limit) + v
		}
		d.last, d.known = v, true
	}
	return float64(sum) / 1e6
}

func readCounter(path string) (uint64, bool) {
	text, err := os.ReadFile(path)
	if err != nil {
		return 0, false
	}
	v, err := strconv.ParseUint(strings.TrimSpace(string(text)), 10, 64)
	return v, err == nil
}
