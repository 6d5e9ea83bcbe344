package evtx

import (
	"encoding/binary"
	"errors"
	"fmt"
	"strconv"
	"time"

	"github.com/minewarden/minewarden"
)

const (
	maxNest   = 8       // values that hold XML, in each other
	maxFields = 4096    // values of one record
	maxText   = 1 << 20 // bytes of all values of one record: a template may use a value of 64 KiB many times
	maxNames  = 20_000  // names of fields that are kept for all chunks
	// maxWork bounds what a chunk made to cost may cost: bytes of templates and fields of programs. Real chunks need 0.1 % of it.
	maxWork = 16 << 20
)

// A chunk is 64 KiB of records with the names and templates that they share.
type chunk struct {
	b        []byte
	programs map[programKey]compiled
	work     int
	names    map[string]string
	scratch  []byte

	// Of the record that is being read:
	subs  []sub
	arena []byte
	found []found
	when  time.Time
	slots [message + 1]found
	over  bool
}

type programKey struct {
	at    uint32
	place place
}

// compiled is a program, or why there is none.
type compiled struct {
	prog *program
	err  error
}

// A sub is a value of the record, as it lies in the chunk.
type sub struct {
	at, size int
	typ      byte
}

// A found is a value in the arena, or a literal.
type found struct {
	name     string
	text     string // instead of the arena, when from is -1
	from, to int
}

func (c *chunk) reset(b []byte) {
	c.b = b
	if c.programs == nil {
		c.programs = map[programKey]compiled{}
	}
	clear(c.programs)
	c.work = 0
}

// intern returns name as one string for all chunks.
func (c *chunk) intern(name string) string {
	if s, ok := c.names[name]; ok {
		return s
	}
	if len(c.names) < maxNames {
		c.names[name] = name
	}
	return name
}

func (c *chunk) utf16(b []byte) string {
	c.scratch = appendUTF16(c.scratch[:0], b)
	if s, ok := c.names[string(c.scratch)]; ok {
		return s
	}
	return c.intern(string(c.scratch))
}

// nameAt returns the name at an offset of the chunk, and the bytes that it takes there.
func (c *chunk) nameAt(at int) (string, int, error) {
	if at < 0 || at > len(c.b)-8 {
		return "", 0, fmt.Errorf("a name at %#x, outside the chunk", at)
	}
	n := 2 * int(binary.LittleEndian.Uint16(c.b[at+6:]))
	if at+8+n > len(c.b) {
		return "", 0, errCut
	}
	return c.utf16(c.b[at+8 : at+8+n]), 8 + n + 2, nil
}

// record reads the record that lies between pos and end. It returns what could be read also with an error; without anything,
// the event has no data.
func (c *chunk) record(pos, end int) (minewarden.Event, error) {
	c.subs, c.arena, c.found = c.subs[:0], c.arena[:0], c.found[:0]
	c.slots, c.over = [message + 1]found{}, false
	c.when = filetime(binary.LittleEndian.Uint64(c.b[pos+16:]))
	err := c.fragment(pos+recordHead, end-4, inRoot, 0)
	if c.over && err == nil {
		err = errLarge
	}
	if len(c.found) == 0 {
		if err == nil {
			err = errors.New("it holds no values")
		}
		return minewarden.Event{}, err
	}
	text := string(c.arena)
	at := func(f found) string {
		if f.from < 0 {
			return f.text
		}
		return text[f.from:f.to]
	}
	fields := make([]minewarden.Field, len(c.found))
	for i, f := range c.found {
		fields[i] = minewarden.Field{Name: f.name, Value: at(f)}
	}
	return minewarden.Event{Time: c.when, Data: &minewarden.Record{
		Source: "evtx", Channel: at(c.slots[channel]), Host: at(c.slots[computer]), Message: at(c.slots[message]), Fields: fields,
	}}, err
}

// fragment reads XML of a record: usually one use of a template.
func (c *chunk) fragment(pos, end int, at place, nest int) error {
	if nest > maxNest {
		return errDeep
	}
	for pos < end {
		switch c.b[pos] {
		case tokenEOF:
			return nil
		case tokenFragment:
			pos += 4
		case tokenTemplate:
			next, err := c.instance(pos, end, at, nest)
			if err != nil {
				return err
			}
			pos = next
		default:
			comp := compiler{chunk: c, b: c.b[:end], pos: pos, bare: nest > 0}
			prog, err := comp.compile(at)
			if err != nil {
				return err
			}
			return c.run(prog, nil, nest)
		}
	}
	return nil
}

// instance reads one use of a template and returns where it ends.
func (c *chunk) instance(pos, end int, at place, nest int) (int, error) {
	if pos+10 > end {
		return 0, errCut
	}
	id := binary.LittleEndian.Uint32(c.b[pos+2:])
	def := int(binary.LittleEndian.Uint32(c.b[pos+6:]))
	pos += 10
	if def < 0 || def > len(c.b)-24 {
		return 0, fmt.Errorf("its template at %#x is outside the chunk", def)
	}
	size := int(binary.LittleEndian.Uint32(c.b[def+20:]))
	if size < 0 || size > len(c.b)-def-24 {
		return 0, fmt.Errorf("its template at %#x is longer than the chunk", def)
	}
	if def == pos { // defined here
		pos += 24 + size
	}
	if binary.LittleEndian.Uint32(c.b[def+4:]) != id {
		return 0, fmt.Errorf("its template at %#x is another one than %#08x", def, id)
	}
	key := programKey{uint32(def), at}
	use, known := c.programs[key]
	if !known {
		if c.work += size; c.work > maxWork {
			return 0, errLarge
		}
		comp := compiler{chunk: c, b: c.b[:def+24+size], pos: def + 24}
		if use.prog, use.err = comp.compile(at); use.err != nil {
			use.err = fmt.Errorf("template at %#x: %w", def, use.err)
		}
		c.programs[key] = use
	}
	if use.err != nil {
		return 0, use.err
	}
	if pos+4 > end {
		return 0, errCut
	}
	n := int(binary.LittleEndian.Uint32(c.b[pos:]))
	pos += 4
	if n < 0 || n > (end-pos)/4 {
		return 0, errCut
	}
	base := len(c.subs)
	value := pos + 4*n
	var cut error
	for ; n > 0; n-- {
		s := sub{at: value, size: int(binary.LittleEndian.Uint16(c.b[pos:])), typ: c.b[pos+2]}
		pos += 4
		if value += s.size; value > end { // the values before are still good
			s, value, cut = sub{at: end}, end, errCut
		}
		c.subs = append(c.subs, s)
	}
	err := c.run(use.prog, c.subs[base:], nest)
	c.subs = c.subs[:base]
	if err == nil {
		err = cut
	}
	return value, err
}

// run adds the fields of a program with these values. subs lies in c.subs and stays valid while deeper values are added
// behind it, also when c.subs moves.
func (c *chunk) run(prog *program, subs []sub, nest int) error {
	if c.work += len(prog.fields); c.work > maxWork {
		return errLarge
	}
	var first error
	for i := range prog.fields {
		f := &prog.fields[i]
		if len(c.found) >= maxFields || len(c.arena) >= maxText {
			c.over = true
			return first
		}
		if len(f.parts) == 1 && f.parts[0].sub >= 0 {
			if int(f.parts[0].sub) >= len(subs) {
				continue
			}
			if err := c.single(f, subs[f.parts[0].sub], nest); err != nil && first == nil {
				first = err
			}
			continue
		}
		c.mixed(f, subs)
	}
	return first
}

// single adds a field that is one value of the record: nothing for null, several for a list.
func (c *chunk) single(f *field, s sub, nest int) error {
	b := c.b[s.at : s.at+s.size]
	switch {
	case s.typ == typeNull:
		return nil
	case s.typ == typeXML:
		return c.fragment(s.at, s.at+s.size, f.place, nest+1)
	case s.typ&typeList != 0:
		return c.list(f, s.typ&^typeList, b)
	case f.loose && s.size == 0:
		return nil
	}
	if f.slot == created && s.typ == typeFiletime && s.size == 8 {
		c.when = filetime(binary.LittleEndian.Uint64(b))
	}
	from := len(c.arena)
	var err error
	c.arena, err = appendValue(c.arena, s.typ, b)
	c.keep(f, found{f.name, "", from, len(c.arena)})
	return err
}

func (c *chunk) keep(f *field, v found) {
	c.found = append(c.found, v)
	if f.slot != noSlot {
		c.slots[f.slot] = v
	}
}

// mixed adds a field of literals, or of literals and values.
func (c *chunk) mixed(f *field, subs []sub) {
	switch len(f.parts) {
	case 0:
		c.keep(f, found{name: f.name, from: -1})
		return
	case 1:
		c.keep(f, found{f.name, f.parts[0].text, -1, 0})
		if f.slot == created {
			if t, err := time.Parse(time.RFC3339Nano, f.parts[0].text); err == nil {
				c.when = t.UTC()
			}
		}
		return
	}
	from := len(c.arena)
	for _, p := range f.parts {
		if p.sub < 0 {
			c.arena = append(c.arena, p.text...)
			continue
		}
		if int(p.sub) >= len(subs) {
			continue
		}
		s := subs[p.sub]
		if s.typ == typeNull || s.typ == typeXML || len(c.arena) > maxText {
			continue
		}
		at := len(c.arena)
		var err error
		if c.arena, err = appendValue(c.arena, s.typ&^typeList, c.b[s.at:s.at+s.size]); err != nil {
			c.arena = appendHex(c.arena[:at], c.b[s.at:s.at+s.size])
		}
	}
	c.keep(f, found{f.name, "", from, len(c.arena)})
}

// list adds a field for each element of a list: so Windows shows it, as elements of the same name.
func (c *chunk) list(f *field, typ byte, b []byte) error {
	size := sizeOf(typ)
	for len(b) > 0 {
		if len(c.found) >= maxFields || len(c.arena) >= maxText {
			c.over = true
			return nil
		}
		n, skip := size, 0
		switch {
		case typ == typeString:
			n = endOfText(b)
			skip = 2
		case typ == typeANSI:
			for n = 0; n < len(b) && b[n] != 0; n++ {
			}
			skip = 1
		case typ == typeSID && len(b) >= 8:
			n = 8 + 4*int(b[1])
		case size == 0:
			n = len(b)
		}
		if n > len(b) {
			return errors.New("a list of type " + strconv.Itoa(int(typ)) + " ends in the middle")
		}
		from := len(c.arena)
		var err error
		if c.arena, err = appendValue(c.arena, typ, b[:n]); err != nil {
			return err
		}
		c.keep(f, found{f.name, "", from, len(c.arena)})
		b = b[min(n+skip, len(b)):]
	}
	return nil
}

// endOfText returns where the first NUL of UTF-16 text stands.
func endOfText(b []byte) int {
	for i := 0; i+1 < len(b); i += 2 {
		if b[i] == 0 && b[i+1] == 0 {
			return i
		}
	}
	return len(b)
}
