// Package resolvers reads which DNS servers a host asks.
package resolvers

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net/netip"
	"strings"
)

const maxResolvConf = 64 << 10

// Read returns the DNS servers of resolv.conf, and those behind the stub of systemd-resolved. A file that is not there names
// none.
func Read(root fs.FS) ([]netip.Addr, error) {
	var all []netip.Addr
	for _, name := range []string{"etc/resolv.conf", "run/systemd/resolve/resolv.conf"} {
		f, err := root.Open(name)
		if errors.Is(err, fs.ErrNotExist) {
			continue
		}
		if err != nil {
			return all, fmt.Errorf("read DNS servers: %w", err)
		}
		all = append(all, parse(f)...)
		if err := f.Close(); err != nil {
			return all, fmt.Errorf("read DNS servers: %w", err)
		}
	}
	return all, nil
}

func parse(r io.Reader) []netip.Addr {
	var out []netip.Addr
	lines := bufio.NewScanner(io.LimitReader(r, maxResolvConf))
	for lines.Scan() {
		f := strings.Fields(lines.Text())
		if len(f) < 2 || f[0] != "nameserver" {
			continue
		}
		if a, err := netip.ParseAddr(f[1]); err == nil {
			out = append(out, a.Unmap().WithZone(""))
		}
	}
	return out
}
