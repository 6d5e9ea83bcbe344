package login

import (
	"net/netip"
	"strings"
	"time"

	"github.com/minewarden/minewarden"
	"github.com/minewarden/minewarden/internal/command"
)

// bad is what a guest does next: fetch a program, run it, open a way back.
const bad = command.Download | command.PipeToShell | command.DecodeToRun | command.Miner | command.MinerFetch | command.ReverseShell | command.RunHidden

const (
	maxGuests = 256
	stay      = 24 * time.Hour // that what a session does is put down to its beginning
)

// A guest is a session that began by a guessed password.
type guest struct {
	at   time.Time
	user string
	host string
	addr netip.Addr
	pid  int32
	told [numClaims]bool
}

// guests holds the last sessions, by the process that sshd logged.
type guests struct {
	by   map[int32]*guest
	ring [maxGuests]*guest
	next int
	none int32 // the key of the last guest without a process: such ones have negative ones
}

func (gs *guests) add(a *attempt, now time.Time) {
	g := &guest{at: now, user: strings.Clone(clip(a.user)), host: strings.Clone(a.host), addr: a.addr, pid: a.pid}
	if g.pid == 0 {
		gs.none = gs.none%maxGuests - 1
		g.pid = gs.none
	}
	if old := gs.ring[gs.next]; old != nil && gs.by[old.pid] == old {
		delete(gs.by, old.pid)
	}
	gs.ring[gs.next] = g
	gs.next = (gs.next + 1) % maxGuests
	gs.by[g.pid] = g
}

// account returns the last guest that has the account.
func (gs *guests) account(host, user string, now time.Time) *guest {
	for i := range maxGuests {
		g := gs.ring[(gs.next-1-i+maxGuests)%maxGuests]
		if g == nil {
			return nil
		}
		if g.user == user && g.host == host && now.Sub(g.at) < stay {
			return g
		}
	}
	return nil
}

// of returns the guest in whose session p runs, and sshd's process of it.
func (gs *guests) of(p *minewarden.Process, now time.Time) *guest {
	for a := p.Parent; a != nil; a = a.Parent {
		if !strings.HasPrefix(a.Name, "sshd") && !strings.HasPrefix(a.Base(), "sshd") && a.Name != "dropbear" {
			continue
		}
		// A pid is used again: the process must have been there when the login was.
		if g := gs.by[a.Key.PID]; g != nil && now.Sub(g.at) < stay && now.Sub(g.at) > -time.Minute && (a.Started.IsZero() || a.Started.Before(g.at.Add(time.Minute))) {
			return g
		}
	}
	return nil
}

func (g *guest) subject() minewarden.Subject { return account(g.user, g.host) }

func (g *guest) evidence() []minewarden.Evidence {
	return []minewarden.Evidence{
		{Key: "user", Value: g.user}, {Key: "address", Value: g.addr.String()}, {Key: "login", Value: g.at.UTC().Format(time.RFC3339)},
	}
}

func (d *detector) ran(ev *minewarden.Event, x *minewarden.Exec) {
	g := d.guests.of(ev.Process, ev.Time)
	if g == nil {
		return
	}
	facts := command.Args(x.Args)
	switch {
	case facts.Acts.Has(bad) && !g.told[claimDownload]:
		g.told[claimDownload] = true
		d.follow(claimDownload, ev, g, "command", facts.Note(bad))
	case facts.Acts.Has(command.Keys) && !g.told[claimKey]:
		g.told[claimKey] = true
		d.follow(claimKey, ev, g, "command", facts.Note(command.Keys))
	}
}

func (d *detector) wrote(ev *minewarden.Event, x *minewarden.Write) {
	path := x.Path
	if x.Op == "rename" && x.To != "" {
		path = x.To
	}
	if x.Op == "delete" || !strings.HasSuffix(path, "/.ssh/authorized_keys") && !strings.HasSuffix(path, "/.ssh/authorized_keys2") {
		return
	}
	if g := d.guests.of(ev.Process, ev.Time); g != nil && !g.told[claimKey] {
		g.told[claimKey] = true
		d.follow(claimKey, ev, g, "path", path)
	}
}

func (d *detector) follow(c claim, ev *minewarden.Event, g *guest, what, value string) {
	p := ev.Process
	evidence := append(g.evidence(), minewarden.Evidence{Key: what, Value: clip512(value)}, minewarden.Evidence{Key: "lineage", Value: p.Lineage()})
	d.add(c, 0.9, ev.Time, minewarden.ProcessSubject(p), p, evidence)
}
