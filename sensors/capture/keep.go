package capture

import (
	"fmt"
	"slices"

	"github.com/minewarden/minewarden/internal/packets"
)

// Which packets are kept for evidence, live.
const (
	keepMining = "mining" // of conversations in which words of mining were seen, from their first packets on
	keepBegin  = "begin"  // the first of every conversation, too
	keepOff    = "off"
)

const (
	keptBytes  = 1 << 20  // that a side of a conversation of mining has said: a flood must not push out what others said
	begunBytes = 16 << 10 // that a side of any other has said
	// The first packets of conversations that may yet turn out to be mining wait in memory.
	earlySlots   = 512
	earlySize    = 1500
	earlyPackets = 12 // of one conversation
)

// keeper keeps packets for evidence.
type keeper struct {
	out   *packets.Writer
	begin bool
	early []early
	next  int
}

// early is a packet of which is not known yet whether it is wanted.
type early struct {
	key  key
	at   int64
	wire int
	et   uint16
	size uint16
	data [earlySize]byte
}

func checkKeep(c *Config) error {
	if !slices.Contains([]string{keepMining, keepBegin, keepOff}, c.Keep) {
		return fmt.Errorf("capture: keep is %q: use %s, %s or %s", c.Keep, keepMining, keepBegin, keepOff)
	}
	if c.KeepMiB < 8 || c.KeepMiB > 1<<20 {
		return fmt.Errorf("capture: keep_mib is %d: use 8 to %d", c.KeepMiB, 1<<20)
	}
	return nil
}

// newKeeper returns nil where nothing is to be kept.
func (s *sensor) newKeeper() *keeper {
	if s.cfg.Keep == keepOff || s.env.Data == "" {
		return nil
	}
	return &keeper{out: packets.New(s.env.Data, int64(s.cfg.KeepMiB)<<20, s.env.Log), begin: s.cfg.Keep == keepBegin}
}

// packet looks at a packet that the engine has just taken: data from its network header on.
func (k *keeper) packet(e *engine, et uint16, data []byte, missing int) {
	f, _ := e.table.find(&e.key)
	if f == nil || f.last != e.now {
		return // neither TCP nor UDP, or seen on another interface before
	}
	said, wire := max(f.bytes[0], f.bytes[1]), len(data)+missing
	if f.flags&flowKept == 0 {
		if c := e.connOf(f); c != nil && c.hot {
			f.flags |= flowKept
			k.recall(&f.key)
		}
	}
	switch {
	case f.flags&flowKept != 0 && said <= keptBytes, k.begin && said <= begunBytes:
		k.out.Add(e.now, et, data, wire)
	case f.flags&(flowKept|flowDeaf|flowClosed) == 0 && f.key.proto() == protoTCP && f.app != appTLS && f.app != appSSH &&
		f.packets[0]+f.packets[1] <= earlyPackets && !k.begin:
		k.wait(f, e.now, et, data, wire)
	}
}

// wait keeps a packet in memory for as long as its slot is not needed.
func (k *keeper) wait(f *flow, at int64, et uint16, data []byte, wire int) {
	if k.early == nil {
		k.early = make([]early, earlySlots)
	}
	p := &k.early[k.next]
	k.next = (k.next + 1) % earlySlots
	p.key, p.at, p.wire, p.et = f.key, at, wire, et
	p.size = uint16(copy(p.data[:], data))
}

// recall keeps what waited of a conversation.
func (k *keeper) recall(of *key) {
	for i := range k.early {
		p := &k.early[(k.next+i)%earlySlots]
		if p.size > 0 && p.key.same(of) {
			k.out.Add(p.at, p.et, p.data[:p.size], p.wire)
			p.size = 0
		}
	}
}
