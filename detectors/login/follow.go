package login

import (
	"net/netip"
	"strings"
	"time"

	"github.com/minewarden/minewarden"
	"github.com/minewarden/minewarden/internal/command"
	"github.com/minewarden/minewarden/internal/program"
)

// bad is what a guest does next: fetch a program, run it, open a way back.
const bad = command.Download | command.PipeToShell | command.DecodeToRun | command.Miner | command.MinerFetch | command.ReverseShell | command.RunHidden

const (
	maxGuests = 256
	maxActs   = 64
	early     = 30 * time.Second // by which a log may come after the processes that it tells of
	stay      = 24 * time.Hour   // that what a session does is put down to its beginning
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

// sessions returns the processes of sshd above p, nearest first, at most four.
func sessions(p *minewarden.Process) (found [4]*minewarden.Process) {
	n := 0
	for a := p.Parent; a != nil && n < len(found); a = a.Parent {
		if strings.HasPrefix(a.Name, "sshd") || strings.HasPrefix(a.Base(), "sshd") || a.Name == "dropbear" {
			found[n] = a
			n++
		}
	}
	return found
}

// of returns the guest of one of the processes of sshd.
func (gs *guests) of(above *[4]*minewarden.Process, now time.Time) *guest {
	for _, a := range above {
		if a == nil {
			return nil
		}
		// A pid is used again: the process must have been there when the login was.
		if g := gs.by[a.Key.PID]; g != nil && now.Sub(g.at) < stay && now.Sub(g.at) > -early && (a.Started.IsZero() || a.Started.Before(g.at.Add(time.Minute))) {
			return g
		}
	}
	return nil
}

// An act is what a session did whose login was not read yet: a log comes later than the processes that it tells of.
type act struct {
	claim claim
	at    time.Time
	above [4]*minewarden.Process
	p     *minewarden.Process
	what  string
	value string
}

// welcome notes a guest, and looks at what its session did already.
func (d *detector) welcome(a *attempt, now time.Time) {
	d.guests.add(a, now)
	for i := range d.acts {
		x := &d.acts[i]
		if x.p == nil || now.Sub(x.at) > early || x.at.Sub(now) > early {
			continue
		}
		if g := d.guests.of(&x.above, x.at); g != nil && !g.told[x.claim] {
			g.told[x.claim] = true
			d.follow(x.claim, x.at, x.p, g, x.what, x.value)
			*x = act{}
		}
	}
}

// did weighs an act of a session of sshd, or keeps it for a moment.
func (d *detector) did(x act) {
	if g := d.guests.of(&x.above, x.at); g != nil {
		if !g.told[x.claim] {
			g.told[x.claim] = true
			d.follow(x.claim, x.at, x.p, g, x.what, x.value)
		}
		return
	}
	d.acts[d.nextAct] = x
	d.nextAct = (d.nextAct + 1) % len(d.acts)
}

func (g *guest) subject() minewarden.Subject { return account(g.user, g.host) }

func (g *guest) evidence() []minewarden.Evidence {
	return []minewarden.Evidence{
		{Key: "user", Value: g.user}, {Key: "address", Value: g.addr.String()}, {Key: "login", Value: g.at.UTC().Format(time.RFC3339)},
	}
}

func (d *detector) ran(ev *minewarden.Event, x *minewarden.Exec) {
	above := sessions(ev.Process)
	if above[0] == nil {
		return
	}
	base := program.Base(x.Exe)
	if program.Of(base)&(program.Shell|program.Downloader|program.Interpreter|program.Decoder|program.Wrapper|program.Text|program.Miner) == 0 && program.At(x.Exe)&(program.Writable|program.Hidden) == 0 {
		return
	}
	facts := command.Args(x.Args)
	c, acts := claimDownload, command.Act(bad)
	if !facts.Acts.Has(bad) {
		c, acts = claimKey, command.Keys
	}
	if facts.Acts.Has(acts) {
		d.did(act{c, ev.Time, above, ev.Process, "command", facts.Note(acts)})
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
	if above := sessions(ev.Process); above[0] != nil {
		d.did(act{claimKey, ev.Time, above, ev.Process, "path", path})
	}
}

func (d *detector) follow(c claim, at time.Time, p *minewarden.Process, g *guest, what, value string) {
	evidence := append(g.evidence(), minewarden.Evidence{Key: what, Value: clip512(value)}, minewarden.Evidence{Key: "lineage", Value: p.Lineage()})
	d.add(c, 0.9, at, minewarden.ProcessSubject(p), p, evidence)
}
