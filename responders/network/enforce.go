package network

import (
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/minewarden/minewarden"
	"github.com/minewarden/minewarden/internal/proc"
	"github.com/minewarden/minewarden/responders/internal/sockets"
)

// open brings up both lines. One of them is enough. The caller holds mu.
func (r *Responder) open() error {
	if r.opened {
		return nil
	}
	pins := ""
	if r.config.Persist {
		pins = r.config.Pins
	} else if err := removePins(r.config.Pins); err != nil {
		return err
	}
	k, err := openKernel(r.config.Cgroup, pins)
	if err != nil {
		r.log.Warn("connections are not refused by programs on cgroups", "error", err)
	} else if len(k.off) > 0 {
		r.log.Warn("this kernel does not take all of the programs on cgroups", "without", k.off)
	}
	r.kernel = k
	if r.config.Firewall {
		f, fwErr := openFirewall()
		if fwErr != nil {
			r.log.Warn("there is no second line by nftables", "error", fwErr)
		}
		r.firewall = f
		err = errors.Join(err, fwErr)
	}
	if r.kernel == nil && r.firewall == nil {
		return fmt.Errorf("connections cannot be refused on this host: %w", err)
	}
	r.opened = true
	return nil
}

// Close takes down both lines, except what is pinned. Blocks that stand are enforced again by the next Recover.
func (r *Responder) Close() error {
	r.mu.Lock()
	defer r.mu.Unlock()
	var errs []error
	if r.timer != nil {
		r.timer.Stop()
	}
	if r.kernel != nil {
		errs = append(errs, r.kernel.Close())
	}
	if r.firewall != nil {
		errs = append(errs, r.firewall.Close())
	}
	r.kernel, r.firewall, r.opened, r.timer, r.table = nil, nil, false, nil, table{}
	return errors.Join(errs...)
}

// enforce refuses items in both lines: the exceptions first, then the first line, then the second. The caller holds mu.
func (r *Responder) enforce(s *shield, items []Item, h hold) error {
	if err := r.spare(s); err != nil {
		return err
	}
	fresh, err := r.refuse(items, h)
	if err != nil {
		return err
	}
	return r.second(fresh)
}

// spare tells both lines what is never refused.
func (r *Responder) spare(s *shield) error {
	if r.kernel != nil {
		if err := r.kernel.exempt(s.prefixes()); err != nil {
			return err
		}
	}
	if r.firewall != nil {
		return r.firewall.exempt(s.prefixes())
	}
	return nil
}

// refuse puts items into the first line, and returns those that are new.
func (r *Responder) refuse(items []Item, h hold) ([]Item, error) {
	if len(r.table.items)+len(items) > maxItems {
		return nil, fmt.Errorf("%d destinations are blocked already; %d are the most", len(r.table.items), maxItems)
	}
	now := r.now()
	var fresh []Item
	for _, i := range items {
		_, known := r.table.items[i]
		if !r.table.add(i, h) {
			continue
		}
		if !known {
			fresh = append(fresh, i)
		}
		if r.kernel == nil {
			continue
		}
		if err := r.kernel.put(i, end(r.table.items[i]), now); err != nil {
			return fresh, err
		}
	}
	r.wake(h.until, now)
	return fresh, nil
}

func (r *Responder) second(items []Item) error {
	if r.firewall == nil || len(items) == 0 {
		return nil
	}
	before := r.firewall.full
	if err := r.firewall.add(items); err != nil {
		return err
	}
	if n := r.firewall.full - before; n > 0 {
		r.log.Warn("the second line is full", "left_out", n)
	}
	return nil
}

// release takes back all that owner holds. The caller holds mu.
func (r *Responder) release(owner string) error {
	r.follow.release(func(h hold) bool { return h.owner == owner })
	return r.drop(func(_ Item, h hold) bool { return h.owner == owner })
}

func (r *Responder) drop(gone func(Item, hold) bool) error {
	now := r.now()
	var errs []error
	var free []Item
	for _, i := range r.table.drop(gone) {
		holds := r.table.items[i]
		switch {
		case len(holds) == 0:
			free = append(free, i)
			if r.kernel != nil {
				errs = append(errs, r.kernel.remove(i))
			}
		case r.kernel != nil:
			errs = append(errs, r.kernel.put(i, end(holds), now))
		}
	}
	if r.firewall != nil {
		errs = append(errs, r.firewall.remove(free))
	}
	return errors.Join(errs...)
}

// wake sees to it that sweep runs at until. The first line ends blocks by itself; the second and the memory need it.
func (r *Responder) wake(until, now time.Time) {
	if until.IsZero() || (!r.next.IsZero() && !until.Before(r.next)) {
		return
	}
	r.next = until
	if r.timer != nil {
		r.timer.Stop()
	}
	r.timer = time.AfterFunc(max(0, until.Sub(now)), func() {
		r.mu.Lock()
		defer r.mu.Unlock()
		if err := r.sweep(); err != nil {
			r.log.Error("expired blocks could not all be taken back", "error", err)
		}
	})
}

// sweep takes back what has expired, and notes actions of which nothing is left. The caller holds mu.
func (r *Responder) sweep() error {
	now := r.now()
	owners := map[string]bool{}
	past := func(h hold) bool {
		if h.until.IsZero() || now.Before(h.until) {
			return false
		}
		owners[h.owner] = true
		return true
	}
	r.follow.release(past)
	errs := []error{r.drop(func(_ Item, h hold) bool { return past(h) })}
	r.next = time.Time{}
	for _, holds := range r.table.items {
		for _, h := range holds {
			delete(owners, h.owner)
			r.wake(h.until, now)
		}
	}
	for owner := range owners {
		if owner == ownerList || owner == ownerDNS {
			continue
		}
		if err := r.note(owner, record{Phase: phaseUndone, At: now, Expired: true}); err != nil {
			errs = append(errs, err)
		}
	}
	return errors.Join(errs...)
}

// sever ends the connections that items refuse. The caller holds mu.
func (r *Responder) sever(s *shield, items []Item) (int, error) {
	sel, err := r.selector(s, items)
	if err != nil {
		return 0, err
	}
	ended := 0
	err = sockets.EachNamespace(!r.config.Namespaces, func(d *sockets.Diag) error {
		n, err := severIn(d, sel)
		ended += n
		return err
	})
	return ended, err
}

func severIn(d *sockets.Diag, sel func(*sockets.Socket) (Item, bool)) (int, error) {
	var list []sockets.Socket
	if err := d.List(sockets.Talking, true, func(k sockets.Socket) {
		if _, ok := sel(&k); ok {
			list = append(list, k)
		}
	}); err != nil {
		return 0, err
	}
	n := 0
	var errs []error
	for i := range list {
		ok, err := d.Destroy(&list[i])
		if ok {
			n++
		}
		if errors.Is(err, minewarden.ErrUnsupported) {
			return n, err
		}
		errs = append(errs, err)
	}
	return n, errors.Join(errs...)
}

// selector tells whether a socket is one that items refuse, and which of them.
func (r *Responder) selector(s *shield, items []Item) (func(*sockets.Socket) (Item, bool), error) {
	single := map[Item]bool{}
	var wide []Item
	held := map[uint32]Item{} // by socket inode
	var all map[int32]proc.Stat
	for _, i := range items {
		switch {
		case i.Kind == Tree || i.Kind == Cgroup:
			if all == nil {
				var err error
				if all, err = proc.All(); err != nil {
					return nil, err
				}
			}
			pids, err := members(i, all)
			if err != nil {
				return nil, err
			}
			for inode, pid := range sockets.Holders(pids) {
				// In a plan the connection stands with the process that holds it.
				if _, ok := held[inode]; !ok || pid == i.PID {
					held[inode] = i
				}
			}
		case i.Kind == Address && !i.Prefix.IsSingleIP():
			wide = append(wide, i)
		default:
			single[i] = true
		}
	}
	return func(k *sockets.Socket) (Item, bool) {
		if slices.Contains(r.config.Management, k.Local.Port()) || k.Remote.Port() == 0 || s.covers(k.Remote.Addr()) != "" {
			return Item{}, false
		}
		for _, i := range [...]Item{address(k.Remote.Addr()), endpoint(k.Remote), {Kind: Port, Port: k.Remote.Port()}} {
			if single[i] {
				return i, true
			}
		}
		for _, i := range wide {
			if i.covers(k.Remote) {
				return i, true
			}
		}
		i, ok := held[k.Inode]
		return i, ok
	}, nil
}
