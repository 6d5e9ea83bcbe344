package isolate

import (
	"errors"
	"fmt"
	"strings"
	"time"

	"golang.org/x/sys/unix"

	"github.com/minewarden/minewarden/responders/internal/sockets"
)

// isolate does the work. If the first table cannot be made, nothing is changed. The caller holds mu.
func (r *Responder) isolate(w *work) (string, error) {
	if r.active != nil {
		return fmt.Sprintf("the host was isolated already; it stays so at least until %s", w.until.UTC().Format(time.RFC3339)), nil
	}
	i := &isolation{
		scope: w.scope, blind: w.blind && !w.scope.managed(), holds: map[string]hold{}, since: w.started, confirmed: r.mono(), by: "the start",
	}
	if err := r.raise(i, r.timeout(w.until.Sub(w.started))); err != nil {
		return "", errors.Join(err, r.nft.remove())
	}
	r.active = i
	ended, err := sever(w.scope)
	if err != nil { // their packets are dropped all the same
		i.weak = append(i.weak, "not all connections could be ended: "+err.Error())
	}
	result := fmt.Sprintf("isolated until %s: %s ended", w.until.UTC().Format(time.RFC3339), count(ended, "connection"))
	if len(i.weak) > 0 {
		result += "; " + strings.Join(i.weak, "; ")
		r.log.Warn("the isolation is weaker than planned", "without", i.weak)
	}
	return result, nil
}

// raise makes the tables: the first must stand, the others are told when the kernel has them not.
func (r *Responder) raise(i *isolation, timeout time.Duration) error {
	i.tables, i.weak = nil, nil
	have, err := r.nft.present()
	if err != nil {
		return err
	}
	inet := i.scope.inet()
	if err := r.nft.apply(inet, timeout, have[inet.table.Family]); err != nil {
		return err
	}
	i.tables = append(i.tables, inet)
	bridge := i.scope.bridge()
	if err := r.nft.apply(bridge, timeout, have[bridge.table.Family]); err != nil {
		i.weak = append(i.weak, "frames between the ports of a bridge are not cut: "+err.Error())
	} else {
		i.tables = append(i.tables, bridge)
	}
	if len(i.scope.Devices) == 0 {
		return nil
	}
	full, part := i.scope.netdev(true), i.scope.netdev(false)
	err = r.nft.apply(full, timeout, have[full.table.Family])
	if err == nil {
		i.tables = append(i.tables, full)
		return nil
	}
	if r.nft.apply(part, timeout, have[part.table.Family]) == nil {
		i.tables = append(i.tables, part)
		i.weak = append(i.weak, "packet sockets and macvlans may send: "+err.Error())
		return nil
	}
	i.weak = append(i.weak, "packet sockets and macvlans are not cut: "+err.Error())
	return nil
}

// sever ends the connections of this network namespace that the rules cut, so that those who have them learn it at once. Their
// resets are dropped like all else.
func sever(s *Scope) (int, error) {
	d, err := sockets.Open()
	if err != nil {
		return 0, err
	}
	var list []sockets.Socket
	err = d.List(sockets.Talking, true, func(k sockets.Socket) {
		if !s.keeps(&k) {
			list = append(list, k)
		}
	})
	n := 0
	errs := []error{err}
	for i := range list {
		ok, err := d.Destroy(&list[i])
		if ok {
			n++
		}
		if errors.Is(err, unix.EOPNOTSUPP) { // a kernel without SOCK_DESTROY will not learn it
			errs = append(errs, err)
			break
		}
		if len(errs) < maxListed {
			errs = append(errs, err)
		}
	}
	return n, errors.Join(append(errs, d.Close())...)
}
