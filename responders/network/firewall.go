package network

import (
	"encoding/binary"
	"errors"
	"fmt"
	"net/netip"
	"slices"

	"github.com/google/nftables"
	"github.com/google/nftables/binaryutil"
	"github.com/google/nftables/expr"
	"github.com/mdlayher/netlink"
	"golang.org/x/sys/unix"

	"github.com/minewarden/minewarden"
)

const (
	tableName = "minewarden"
	// chunk is how many elements one message carries: of more the kernel silently keeps a part.
	chunk       = 1000
	maxFirewall = 131_072 // entries; the first line holds more
	// tableOwner has the kernel remove the table when the socket that made it closes (Linux 5.12).
	tableOwner = 2
)

// firewall is the second line: a table of our own, owned by the socket that made it, so that it never outlives the agent.
type firewall struct {
	conn  *nftables.Conn
	table *nftables.Table
	sets  map[string]*nftables.Set
	nets  map[netip.Prefix]bool // what the interval sets hold, before merging
	count int
	full  uint64 // entries that did not fit
}

// A setKind is one set of the table and the rule that asks it.
type setKind struct {
	name     string
	typ      nftables.SetDatatype
	interval bool
	v6       bool
	port     bool // the port is part of the key
	any      bool // either family: the port alone
	exempt   bool
}

func setKinds() []setKind {
	return []setKind{
		{name: "exempt4", typ: nftables.TypeIPAddr, interval: true, exempt: true},
		{name: "exempt6", typ: nftables.TypeIP6Addr, interval: true, exempt: true, v6: true},
		{name: "addr4", typ: nftables.TypeIPAddr},
		{name: "addr6", typ: nftables.TypeIP6Addr, v6: true},
		{name: "net4", typ: nftables.TypeIPAddr, interval: true},
		{name: "net6", typ: nftables.TypeIP6Addr, interval: true, v6: true},
		{name: "end4", typ: nftables.MustConcatSetType(nftables.TypeIPAddr, nftables.TypeInetService), port: true},
		{name: "end6", typ: nftables.MustConcatSetType(nftables.TypeIP6Addr, nftables.TypeInetService), port: true, v6: true},
		{name: "port", typ: nftables.TypeInetService, port: true, any: true},
	}
}

func openFirewall() (*firewall, error) {
	var raw *netlink.Conn
	conn, err := nftables.New(nftables.AsLasting(), nftables.WithSockOptions(func(c *netlink.Conn) error { raw = c; return nil }))
	if err != nil {
		return nil, fmt.Errorf("open the firewall: %w", err)
	}
	f := &firewall{
		conn: conn, sets: map[string]*nftables.Set{}, nets: map[netip.Prefix]bool{},
		table: &nftables.Table{Name: tableName, Family: nftables.TableFamilyINet},
	}
	if err := f.make(raw); err != nil {
		return nil, errors.Join(err, conn.CloseLasting())
	}
	return f, nil
}

func (f *firewall) make(raw *netlink.Conn) error {
	if err := ownTable(raw); err != nil {
		return fmt.Errorf("make the table %s: %w: %w", tableName, err, minewarden.ErrUnsupported)
	}
	for _, k := range setKinds() {
		s := &nftables.Set{Table: f.table, Name: k.name, KeyType: k.typ, Interval: k.interval, Concatenation: k.port && !k.any}
		if err := f.conn.AddSet(s, nil); err != nil {
			return fmt.Errorf("make the set %s: %w", k.name, err)
		}
		f.sets[k.name] = s
	}
	accept := nftables.ChainPolicyAccept
	for name, hook := range map[string]*nftables.ChainHook{"output": nftables.ChainHookOutput, "forward": nftables.ChainHookForward} {
		c := f.conn.AddChain(&nftables.Chain{
			Table: f.table, Name: name, Type: nftables.ChainTypeFilter, Hooknum: hook,
			Priority: nftables.ChainPriorityMangle, Policy: &accept,
		})
		for _, k := range setKinds() {
			f.conn.AddRule(&nftables.Rule{Table: f.table, Chain: c, Exprs: f.rule(k)})
		}
	}
	if err := f.conn.Flush(); err != nil {
		return fmt.Errorf("make the rules of the table %s: %w", tableName, err)
	}
	return nil
}

// ownTable makes the table. The library has no way to say that it is owned.
func ownTable(raw *netlink.Conn) error {
	attrs, err := netlink.MarshalAttributes([]netlink.Attribute{
		{Type: unix.NFTA_TABLE_NAME, Data: []byte(tableName + "\x00")},
		{Type: unix.NFTA_TABLE_FLAGS, Data: binary.BigEndian.AppendUint32(nil, tableOwner)},
	})
	if err != nil {
		return err
	}
	header := func(family uint8, res uint16) []byte {
		return binary.BigEndian.AppendUint16([]byte{family, unix.NFNETLINK_V0}, res)
	}
	batch := []netlink.Message{
		{Header: netlink.Header{Type: unix.NFNL_MSG_BATCH_BEGIN, Flags: netlink.Request}, Data: header(0, unix.NFNL_SUBSYS_NFTABLES)},
		{
			Header: netlink.Header{Type: unix.NFNL_SUBSYS_NFTABLES<<8 | unix.NFT_MSG_NEWTABLE, Flags: netlink.Request | netlink.Acknowledge | netlink.Create | netlink.Excl},
			Data:   append(header(uint8(nftables.TableFamilyINet), 0), attrs...),
		},
		{Header: netlink.Header{Type: unix.NFNL_MSG_BATCH_END, Flags: netlink.Request}, Data: header(0, unix.NFNL_SUBSYS_NFTABLES)},
	}
	if _, err := raw.SendMessages(batch); err != nil {
		return err
	}
	_, err = raw.Receive()
	return err
}

// rule drops what the set has; of exempt destinations it ends the chain.
func (f *firewall) rule(k setKind) []expr.Any {
	var out []expr.Any
	if !k.any {
		family := byte(unix.NFPROTO_IPV4)
		offset, length := uint32(16), uint32(4)
		if k.v6 {
			family, offset, length = unix.NFPROTO_IPV6, 24, 16
		}
		out = append(out,
			&expr.Meta{Key: expr.MetaKeyNFPROTO, Register: 1},
			&expr.Cmp{Op: expr.CmpOpEq, Register: 1, Data: []byte{family}},
			&expr.Payload{DestRegister: 1, Base: expr.PayloadBaseNetworkHeader, Offset: offset, Len: length})
	}
	if k.port {
		register := uint32(1)
		if !k.any {
			register = unix.NFT_REG32_01
			if k.v6 {
				register = unix.NFT_REG32_00 + 4
			}
		}
		// The port of TCP and UDP is at the same place; of other protocols there is none.
		var transport []expr.Any
		transport = append(transport,
			&expr.Meta{Key: expr.MetaKeyL4PROTO, Register: 4},
			&expr.Bitwise{SourceRegister: 4, DestRegister: 4, Len: 1, Mask: []byte{^byte(unix.IPPROTO_TCP ^ unix.IPPROTO_UDP)}, Xor: []byte{0}},
			&expr.Cmp{Op: expr.CmpOpEq, Register: 4, Data: []byte{unix.IPPROTO_TCP & unix.IPPROTO_UDP}})
		if k.any { // only what opens a connection of TCP: answers to others' clients may go to any port
			transport = []expr.Any{
				&expr.Meta{Key: expr.MetaKeyL4PROTO, Register: 4},
				&expr.Cmp{Op: expr.CmpOpEq, Register: 4, Data: []byte{unix.IPPROTO_TCP}},
				&expr.Payload{DestRegister: 4, Base: expr.PayloadBaseTransportHeader, Offset: 13, Len: 1},
				&expr.Bitwise{SourceRegister: 4, DestRegister: 4, Len: 1, Mask: []byte{0x12}, Xor: []byte{0}},
				&expr.Cmp{Op: expr.CmpOpEq, Register: 4, Data: []byte{0x02}},
			}
		}
		out = append(transport, out...)
		out = append(out, &expr.Payload{DestRegister: register, Base: expr.PayloadBaseTransportHeader, Offset: 2, Len: 2})
	}
	kind := expr.VerdictDrop
	if k.exempt {
		kind = expr.VerdictReturn
	}
	return append(out, &expr.Lookup{SourceRegister: 1, SetName: k.name, SetID: f.sets[k.name].ID}, &expr.Counter{}, &expr.Verdict{Kind: kind})
}

// place returns the set and the key of an item; "" for kinds that only the first line knows.
func place(i Item) (string, []byte) {
	family := "6"
	if i.Prefix.Addr().Is4() {
		family = "4"
	}
	port := binaryutil.BigEndian.PutUint16(i.Port)
	switch i.Kind {
	case Address:
		if i.Prefix.IsSingleIP() {
			return "addr" + family, i.Prefix.Addr().AsSlice()
		}
		return "net" + family, nil
	case Endpoint:
		return "end" + family, append(i.Prefix.Addr().AsSlice(), port[0], port[1], 0, 0)
	case Port:
		return "port", port
	}
	return "", nil
}

// add takes items in, and reads back that the kernel has them.
func (f *firewall) add(items []Item) error {
	elements := map[string][]nftables.SetElement{}
	nets := false
	for _, i := range items {
		name, key := place(i)
		if name == "" {
			continue
		}
		if f.count >= maxFirewall {
			f.full++
			continue
		}
		f.count++
		if key == nil {
			f.nets[i.Prefix], nets = true, true
			continue
		}
		elements[name] = append(elements[name], nftables.SetElement{Key: key})
	}
	for name, list := range elements {
		if err := f.fill(f.sets[name], list); err != nil {
			return err
		}
	}
	if nets {
		return f.networks()
	}
	return nil
}

// fill adds elements in chunks. What the kernel did not keep is added again once, then told.
func (f *firewall) fill(s *nftables.Set, list []nftables.SetElement) error {
	for range 2 {
		for part := range slices.Chunk(list, chunk) {
			if err := f.conn.SetAddElements(s, part); err != nil {
				return fmt.Errorf("fill the set %s: %w", s.Name, err)
			}
			if err := f.conn.Flush(); err != nil {
				return fmt.Errorf("fill the set %s: %w", s.Name, err)
			}
		}
		got, err := f.conn.GetSetElements(s)
		if err != nil {
			return fmt.Errorf("read back the set %s: %w", s.Name, err)
		}
		have := make(map[string]bool, len(got))
		for _, e := range got {
			have[fmt.Sprint(e.IntervalEnd, string(e.Key))] = true
		}
		list = slices.DeleteFunc(slices.Clone(list), func(e nftables.SetElement) bool { return have[fmt.Sprint(e.IntervalEnd, string(e.Key))] })
		if len(list) == 0 {
			return nil
		}
	}
	return fmt.Errorf("fill the set %s: the kernel does not keep %d elements", s.Name, len(list))
}

func (f *firewall) remove(items []Item) error {
	nets := false
	var errs []error
	for _, i := range items {
		name, key := place(i)
		switch {
		case name == "":
			continue
		case key == nil:
			delete(f.nets, i.Prefix)
			nets = true
		default:
			errs = append(errs, f.conn.SetDeleteElements(f.sets[name], []nftables.SetElement{{Key: key}}))
			// One that was left out when the table was full is not there: each is tried alone.
			if err := f.conn.Flush(); err != nil && !errors.Is(err, unix.ENOENT) {
				errs = append(errs, fmt.Errorf("unblock %s in the firewall: %w", i, err))
			}
		}
		f.count = max(0, f.count-1)
	}
	if nets {
		errs = append(errs, f.networks())
	}
	return errors.Join(errs...)
}

// networks writes the interval sets anew, for intervals must not overlap.
func (f *firewall) networks() error {
	var v4, v6 []netip.Prefix
	for p := range f.nets {
		if p.Addr().Is4() {
			v4 = append(v4, p)
		} else {
			v6 = append(v6, p)
		}
	}
	return errors.Join(f.rewrite("net4", v4), f.rewrite("net6", v6))
}

// exempt makes exactly these never dropped.
func (f *firewall) exempt(list []netip.Prefix) error {
	var v4, v6 []netip.Prefix
	for _, p := range list {
		if p.Addr().Is4() {
			v4 = append(v4, p)
		} else {
			v6 = append(v6, p)
		}
	}
	return errors.Join(f.rewrite("exempt4", v4), f.rewrite("exempt6", v6))
}

func (f *firewall) rewrite(name string, list []netip.Prefix) error {
	f.conn.FlushSet(f.sets[name])
	if err := f.conn.Flush(); err != nil {
		return fmt.Errorf("empty the set %s: %w", name, err)
	}
	var elements []nftables.SetElement
	for _, r := range merge(list) {
		elements = append(elements, nftables.SetElement{Key: r.first.AsSlice()})
		// At the last address of all there is no end to write; the interval is open.
		if next := r.last.Next(); next.IsValid() {
			elements = append(elements, nftables.SetElement{Key: next.AsSlice(), IntervalEnd: true})
		}
	}
	if len(elements) == 0 {
		return nil
	}
	return f.fill(f.sets[name], elements)
}

type span struct{ first, last netip.Addr }

// merge joins prefixes of one family that overlap or touch.
func merge(list []netip.Prefix) []span {
	slices.SortFunc(list, func(a, b netip.Prefix) int { return a.Addr().Compare(b.Addr()) })
	var out []span
	for _, p := range list {
		s := span{p.Masked().Addr(), last(p)}
		if n := len(out) - 1; n >= 0 {
			if next := out[n].last.Next(); !next.IsValid() || s.first.Compare(next) <= 0 {
				if s.last.Compare(out[n].last) > 0 {
					out[n].last = s.last
				}
				continue
			}
		}
		out = append(out, s)
	}
	return out
}

// last is the highest address of p.
func last(p netip.Prefix) netip.Addr {
	b := p.Masked().Addr().AsSlice()
	for bit := p.Bits(); bit < len(b)*8; bit++ {
		b[bit/8] |= 0x80 >> (bit % 8)
	}
	a, _ := netip.AddrFromSlice(b) // of 4 or 16 bytes, always
	return a
}

// Close removes the table.
func (f *firewall) Close() error {
	f.conn.DelTable(f.table)
	return errors.Join(f.conn.Flush(), f.conn.CloseLasting())
}
