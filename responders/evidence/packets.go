package evidence

import (
	"fmt"
	"io"
	"net/netip"
	"path/filepath"
	"slices"
	"time"

	"github.com/minewarden/minewarden"
	"github.com/minewarden/minewarden/internal/packets"
)

const (
	maxFlows = 256
	// packetsBefore is how much older than the incident packets may be: it opens when somebody is sure, and the session began before.
	packetsBefore = time.Hour
)

// flow takes the conversation that a finding is about.
func (t *targets) flow(s *minewarden.Subject) {
	client, err1 := netip.ParseAddrPort(s.Client)
	server, err2 := netip.ParseAddrPort(s.Server)
	if s.Type == minewarden.SubjectFlow && err1 == nil && err2 == nil {
		t.talk(client, server)
	}
}

func (t *targets) talk(a, b netip.AddrPort) {
	if f := (packets.Flow{A: a, B: b}); len(t.Flows) < maxFlows && !slices.Contains(t.Flows, f) {
		t.Flows = append(t.Flows, f)
	}
}

// connections takes the conversations that a process of the lineage has open.
func (t *targets) connections(all []socket) {
	for _, s := range all {
		local, err1 := netip.ParseAddrPort(s.Local)
		remote, err2 := netip.ParseAddrPort(s.Remote)
		if err1 == nil && err2 == nil && remote.Port() != 0 {
			t.talk(local, remote)
		}
	}
}

// packets collects what was kept of the network: what the capture sensor kept of the incident's conversations, and the files that
// the configuration names.
func (c *collector) packets() error {
	if err := c.keptPackets(); err != nil {
		return err
	}
	for _, pattern := range c.config.Packets {
		found, err := filepath.Glob(pattern)
		if err != nil {
			c.skip("packets "+pattern, err)
			continue
		}
		for _, path := range found[:min(len(found), maxFiles)] {
			if err := c.packetFile(path); err != nil {
				return err
			}
		}
	}
	return nil
}

func (c *collector) keptPackets() error {
	files, err := packets.Files(c.kept)
	if err != nil {
		c.skip("packets "+c.kept, err)
		return nil
	}
	t := &c.wish.targets
	if len(t.Flows) == 0 || len(files) == 0 {
		return nil
	}
	s := source{what: "packets", name: fmt.Sprintf("%s, of %d conversations", c.kept, len(t.Flows)), ext: "pcap", sums: true}
	return c.part(s, func(w io.Writer) error {
		n, err := packets.Select(c.ctx, w, files, t.Flows, t.Since.Add(-packetsBefore))
		if n == 0 && err == nil {
			return errNone
		}
		return err
	})
}

func (c *collector) packetFile(path string) error {
	f, meta, err := openRegular(path)
	if err != nil {
		c.skip("packets "+path, err)
		return nil
	}
	if meta.Mtime.Before(c.wish.targets.Since.Add(-packetsBefore)) {
		return f.Close()
	}
	return c.copyFile(source{what: "packets", name: path, sums: true, meta: meta}, f)
}

// talks reports whether packets of the incident's conversations may have been kept.
func (r *Responder) talks(t *targets) (bool, error) {
	if len(t.Flows) == 0 {
		return false, nil
	}
	files, err := packets.Files(r.kept)
	return len(files) > 0, err
}
