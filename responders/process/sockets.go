package process

import (
	"bufio"
	"encoding/binary"
	"encoding/hex"
	"io"
	"net/netip"
	"os"
	"slices"
	"strconv"
	"strings"
)

const (
	maxFDs     = 4096
	maxNet     = 4 << 20 // bytes of a /proc/PID/net file
	listening  = "0A"
	maxSockets = 16
)

// listens returns where pid takes connections, as "tcp 0.0.0.0:80". It is for people: what cannot be read is left out.
func listens(pid int32) []string {
	dir := "/proc/" + strconv.Itoa(int(pid))
	d, err := os.Open(dir + "/fd")
	if err != nil {
		return nil
	}
	names, _ := d.Readdirnames(maxFDs) //nolint:errcheck // as far as they can be read
	if d.Close() != nil {
		return nil
	}
	own := map[string]bool{}
	for _, n := range names {
		if link, err := os.Readlink(dir + "/fd/" + n); err == nil && strings.HasPrefix(link, "socket:[") {
			own[strings.Trim(link[len("socket:"):], "[]")] = true
		}
	}
	if len(own) == 0 {
		return nil
	}
	var out []string
	for _, file := range []string{"tcp", "tcp6"} {
		f, err := os.Open(dir + "/net/" + file)
		if err != nil {
			continue
		}
		out = append(out, parseListening(f, own)...)
		if f.Close() != nil {
			return out
		}
	}
	slices.Sort(out)
	return out[:min(len(out), maxSockets)]
}

func parseListening(r io.Reader, own map[string]bool) []string {
	var out []string
	lines := bufio.NewScanner(io.LimitReader(r, maxNet))
	for lines.Scan() && len(out) < maxSockets {
		f := strings.Fields(lines.Text())
		if len(f) > 9 && f[3] == listening && own[f[9]] {
			if a, ok := parseAddr(f[1]); ok {
				out = append(out, "tcp "+a.String())
			}
		}
	}
	return out
}

// parseAddr reads "0100007F:1F90": words in the machine's byte order, which is little-endian on all we run on.
func parseAddr(s string) (netip.AddrPort, bool) {
	host, port, ok := strings.Cut(s, ":")
	b, err := hex.DecodeString(host)
	p, err2 := strconv.ParseUint(port, 16, 16)
	if !ok || err != nil || err2 != nil || len(b)%4 != 0 {
		return netip.AddrPort{}, false
	}
	for i := 0; i < len(b); i += 4 {
		binary.BigEndian.PutUint32(b[i:], binary.LittleEndian.Uint32(b[i:]))
	}
	a, ok := netip.AddrFromSlice(b)
	return netip.AddrPortFrom(a.Unmap(), uint16(p)), ok
}
