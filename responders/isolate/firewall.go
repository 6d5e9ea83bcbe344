package isolate

import (
	"errors"
	"fmt"
	"time"

	"github.com/google/nftables"
	"github.com/google/nftables/expr"
	"github.com/mdlayher/netlink"
	"golang.org/x/sys/unix"

	"github.com/minewarden/minewarden"
)

// buffers hold the answers to one transaction, one a message.
const buffers = 8 << 20

// A firewall is our table of each family in the network namespace of the process. Tests put a worse one in its place.
type firewall interface {
	apply(t *tableSpec, timeout time.Duration, anew bool) error  // makes the table, in one transaction; anew: there is one
	refresh(tables []*tableSpec, timeout time.Duration) error    // winds the dead-man switches up, in one transaction
	remove() error                                               // all of ours
	present() (map[nftables.TableFamily]bool, error)             // which of ours there are
	counts(t *tableSpec) (heard uint64, dropped uint64, _ error) // packets from the operator, and dropped ones
}

type nft struct{}

func (nft) open() (*nftables.Conn, error) {
	conn, err := nftables.New(nftables.WithSockOptions(func(c *netlink.Conn) error {
		return errors.Join(c.SetReadBuffer(buffers), c.SetWriteBuffer(buffers))
	}))
	if err != nil {
		return nil, fmt.Errorf("open nftables: %w", err)
	}
	return conn, nil
}

// explain says of an error of the kernel whether it will be the same next time.
func explain(err error) error {
	for _, e := range []unix.Errno{unix.EOPNOTSUPP, unix.EAFNOSUPPORT, unix.EPROTONOSUPPORT, unix.ENOENT} {
		if errors.Is(err, e) {
			return fmt.Errorf("%w: %w", err, minewarden.ErrUnsupported)
		}
	}
	return err
}

func (f nft) apply(t *tableSpec, timeout time.Duration, anew bool) error {
	conn, err := f.open()
	if err != nil {
		return err
	}
	if anew { // the kernel waits for those who still look at the old one: several ms, which are spared where there is none
		conn.DelTable(t.table)
	}
	conn.AddTable(t.table)
	if err := conn.AddSet(t.armed, t.elements(timeout)); err != nil {
		return fmt.Errorf("make the set %s: %w", setArmed, err)
	}
	if t.ports != nil {
		var list []nftables.SetElement
		for _, p := range t.list {
			list = append(list, nftables.SetElement{Key: be16(p)})
		}
		if err := conn.AddSet(t.ports, list); err != nil {
			return fmt.Errorf("make the set %s: %w", setPorts, err)
		}
	}
	policy, first := nftables.ChainPolicyAccept, nftables.ChainPriority(priority)
	for _, c := range t.chains {
		chain := &nftables.Chain{Table: t.table, Name: c.name}
		if c.hook != nil {
			chain.Type, chain.Hooknum, chain.Priority, chain.Policy, chain.Device = nftables.ChainTypeFilter, c.hook, &first, &policy, c.device
		}
		conn.AddChain(chain)
		for _, r := range c.rules {
			conn.AddRule(&nftables.Rule{Table: t.table, Chain: chain, Exprs: r.exprs})
		}
	}
	if err := conn.Flush(); err != nil {
		return fmt.Errorf("make the table %s %s: %w", t.family, tableName, explain(err))
	}
	return f.verify(conn, t)
}

func (t *tableSpec) elements(timeout time.Duration) []nftables.SetElement {
	var list []nftables.SetElement
	for _, k := range t.keys {
		list = append(list, nftables.SetElement{Key: k, Timeout: timeout})
	}
	return list
}

// verify reads back that the kernel has all of it.
func (nft) verify(conn *nftables.Conn, t *tableSpec) error {
	got, err := conn.GetSetElements(t.armed)
	if err != nil {
		return fmt.Errorf("read back the table %s %s: %w", t.family, tableName, err)
	}
	if len(got) != len(t.keys) {
		return fmt.Errorf("read back the table %s %s: its switch has %d of %d elements", t.family, tableName, len(got), len(t.keys))
	}
	for _, c := range t.chains {
		rules, err := conn.GetRules(t.table, &nftables.Chain{Table: t.table, Name: c.name})
		if err != nil {
			return fmt.Errorf("read back the table %s %s: %w", t.family, tableName, err)
		}
		if len(rules) != len(c.rules) {
			return fmt.Errorf("read back the table %s %s: chain %s has %d of %d rules", t.family, tableName, c.name, len(rules), len(c.rules))
		}
	}
	return nil
}

func (f nft) refresh(tables []*tableSpec, timeout time.Duration) error {
	conn, err := f.open()
	if err != nil {
		return err
	}
	for _, t := range tables {
		// An element that is there keeps its time, so it is made anew; no packet sees the set without it.
		conn.FlushSet(t.armed)
		if err := conn.SetAddElements(t.armed, t.elements(timeout)); err != nil {
			return fmt.Errorf("hold the isolation: %w", err)
		}
	}
	if err := conn.Flush(); err != nil {
		return fmt.Errorf("hold the isolation: %w", err)
	}
	return nil
}

func (f nft) present() (map[nftables.TableFamily]bool, error) {
	conn, err := f.open()
	if err != nil {
		return nil, err
	}
	tables, err := conn.ListTablesOfFamily(nftables.TableFamilyUnspecified)
	if err != nil {
		return nil, fmt.Errorf("list nftables: %w", err)
	}
	ours := map[nftables.TableFamily]bool{}
	for _, t := range tables {
		if t.Name == tableName {
			ours[t.Family] = true
		}
	}
	return ours, nil
}

func (f nft) remove() error {
	ours, err := f.present()
	if err != nil || len(ours) == 0 {
		return err
	}
	conn, err := f.open()
	if err != nil {
		return err
	}
	for family := range ours {
		conn.DelTable(&nftables.Table{Name: tableName, Family: family})
	}
	if err := conn.Flush(); err != nil {
		return fmt.Errorf("remove the table %s: %w", tableName, err)
	}
	return nil
}

func (f nft) counts(t *tableSpec) (heard, dropped uint64, _ error) {
	conn, err := f.open()
	if err != nil {
		return 0, 0, err
	}
	for _, c := range t.chains {
		rules, err := conn.GetRules(t.table, &nftables.Chain{Table: t.table, Name: c.name})
		if err != nil {
			return 0, 0, fmt.Errorf("read the counters of %s: %w", tableName, err)
		}
		for _, r := range rules {
			var packets uint64
			drops := false
			for _, e := range r.Exprs {
				switch e := e.(type) {
				case *expr.Counter:
					packets = e.Packets
				case *expr.Verdict:
					drops = e.Kind == expr.VerdictDrop
				}
			}
			if drops {
				dropped += packets
			} else if c.name == chainIn {
				heard += packets
			}
		}
	}
	return heard, dropped, nil
}
