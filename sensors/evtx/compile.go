package evtx

import (
	"encoding/binary"
	"errors"
	"fmt"
	"slices"
	"strings"
)

// place is where in the event an element stands: it decides what its values are called.
type place uint8

const (
	inRoot      place = iota // above Event
	inEvent                  // below Event
	inSystem                 // below System
	inEventData              // below EventData
	inUserData               // anywhere below UserData, or below elements of which nothing is known
	inRendering              // below RenderingInfo
)

// slot is what else a value serves for.
type slot uint8

const (
	noSlot slot = iota
	eventID
	channel
	provider
	computer
	created
	message
)

// A field is a value of the event: its name and what it is put together from.
type field struct {
	name  string
	slot  slot
	place place // of elements that the value may turn out to hold
	loose bool  // it stands between elements: it is a value of its own only when it is no XML
	parts []part
}

// A part is a literal, or the number of a substitution.
type part struct {
	text string
	sub  int32 // -1: text
}

// A program is a template made ready: the fields in the order in which a record has them.
type program struct{ fields []field }

const (
	maxDepth = 64
	// maxCompiled bounds the fields of one template.
	maxCompiled = 4096
)

var (
	errCut   = errors.New("it ends in the middle")
	errDeep  = errors.New("elements are nested too deep")
	errLarge = errors.New("it holds too many values")
)

// A compiler reads binary XML.
type compiler struct {
	chunk *chunk
	b     []byte // the chunk up to where the XML ends
	pos   int
	// bare XML stands as a value in a record, without a template: its elements have no dependency number.
	bare   bool
	fields []field
}

func (c *compiler) need(n int) error {
	if n < 0 || len(c.b)-c.pos < n {
		return errCut
	}
	return nil
}

func (c *compiler) peek() byte {
	if c.pos >= len(c.b) {
		return tokenEOF
	}
	return c.b[c.pos]
}

// Tokens; tokenMore is set when attributes or more values follow.
const (
	tokenEOF        = 0x00
	tokenElement    = 0x01
	tokenCloseStart = 0x02
	tokenCloseEmpty = 0x03
	tokenEnd        = 0x04
	tokenValue      = 0x05
	tokenAttribute  = 0x06
	tokenCDATA      = 0x07
	tokenCharRef    = 0x08
	tokenEntityRef  = 0x09
	tokenPITarget   = 0x0a
	tokenPIData     = 0x0b
	tokenTemplate   = 0x0c
	tokenSub        = 0x0d
	tokenOptional   = 0x0e
	tokenFragment   = 0x0f
	tokenMore       = 0x40
)

// compile reads a fragment up to its end.
func (c *compiler) compile(at place) (*program, error) {
	for {
		switch tok := c.peek(); tok {
		case tokenEOF:
			c.pos++
			// Stable: what a rule asks first comes first, the rest keeps the order of the event.
			slices.SortStableFunc(c.fields, func(a, b field) int { return int(a.rank()) - int(b.rank()) })
			return &program{slices.Clip(c.fields)}, nil
		case tokenFragment:
			c.pos += 4
		case tokenElement, tokenElement | tokenMore:
			if err := c.element(at, 0); err != nil {
				return nil, err
			}
		case tokenSub, tokenOptional:
			p, err := c.substitution()
			if err != nil {
				return nil, err
			}
			if err := c.add(field{name: "Data", place: at, loose: true, parts: []part{p}}); err != nil {
				return nil, err
			}
		default:
			return nil, fmt.Errorf("token %#02x where an element should begin", tok)
		}
	}
}

func (f *field) rank() slot {
	if f.slot == noSlot || f.slot > computer {
		return computer + 1
	}
	return f.slot
}

func (c *compiler) add(f field) error {
	if len(c.fields) >= maxCompiled {
		return errLarge
	}
	c.fields = append(c.fields, f)
	return nil
}

func (c *compiler) substitution() (part, error) {
	if err := c.need(4); err != nil {
		return part{}, err
	}
	n := binary.LittleEndian.Uint16(c.b[c.pos+1:])
	c.pos += 4
	return part{sub: int32(n)}, nil
}

// element reads one element and adds the values in it.
func (c *compiler) element(at place, depth int) error {
	if depth > maxDepth {
		return errDeep
	}
	tok := c.b[c.pos]
	c.pos++
	if !c.bare {
		c.pos += 2
	}
	c.pos += 4
	name, err := c.name()
	if err != nil {
		return err
	}
	local := name
	if _, after, ok := strings.Cut(name, ":"); ok {
		local = after
	}
	below := at.below(local)
	title := local // what the element's own value is called
	if tok&tokenMore != 0 {
		if title, err = c.attributes(at, local); err != nil {
			return err
		}
	}
	switch c.peek() {
	case tokenCloseEmpty:
		c.pos++
		return c.leaf(at, below, local, title, nil)
	case tokenCloseStart:
		c.pos++
	default:
		return fmt.Errorf("token %#02x in the start of element %q", c.peek(), local)
	}
	return c.content(at, below, local, title, depth)
}

// below is the place of what stands in an element of that name.
func (at place) below(name string) place {
	switch at {
	case inRoot:
		if name == "Event" {
			return inEvent
		}
		return inUserData
	case inEvent:
		switch name {
		case "Event": // a value that holds the whole event
			return inEvent
		case "System":
			return inSystem
		case "EventData":
			return inEventData
		case "RenderingInfo":
			return inRendering
		}
		return inUserData
	case inEventData:
		if name == "EventData" {
			return inEventData
		}
		return inUserData
	case inSystem, inRendering:
		return at
	}
	return inUserData
}

// attributes reads an element's attributes. It returns the name of the element's value.
func (c *compiler) attributes(at place, element string) (title string, err error) {
	c.pos += 4
	title = element
	for {
		tok := c.peek() &^ tokenMore
		if tok != tokenAttribute {
			return title, nil
		}
		c.pos++
		name, err := c.name()
		if err != nil {
			return "", err
		}
		parts, err := c.text()
		if err != nil {
			return "", err
		}
		switch {
		case strings.HasPrefix(name, "xmlns"):
		case at == inEventData && name == "Name":
			if len(parts) == 1 && parts[0].sub < 0 && parts[0].text != "" {
				title = parts[0].text
			}
		case at == inSystem || at == inUserData || at == inEventData:
			f := field{name: attributeName(element, name), place: inUserData, parts: parts}
			switch f.name {
			case "Provider_Name":
				f.slot = provider
			case "TimeCreated":
				f.slot = created
			}
			f.name = c.chunk.intern(f.name)
			if err := c.add(f); err != nil {
				return "", err
			}
		}
	}
}

// attributeName names the value of an attribute: the well-known ones as rules do.
func attributeName(element, name string) string {
	switch element {
	case "TimeCreated":
		return "TimeCreated"
	case "Security":
		return name // UserID
	}
	return element + "_" + name
}

// text reads values and substitutions until something else comes.
func (c *compiler) text() ([]part, error) {
	var parts []part
	for {
		p, ok, err := c.textPart()
		if err != nil || !ok {
			return parts, err
		}
		parts = join(parts, p)
	}
}

func join(parts []part, p part) []part {
	if n := len(parts); n > 0 && p.sub < 0 && parts[n-1].sub < 0 {
		parts[n-1].text += p.text
		return parts
	}
	return append(parts, p)
}

// textPart reads one piece of text; false: the next token is none.
func (c *compiler) textPart() (p part, ok bool, err error) {
	switch tok := c.peek(); tok &^ tokenMore {
	case tokenValue:
		if err := c.need(2); err != nil {
			return p, false, err
		}
		if t := c.b[c.pos+1]; t != typeString {
			return p, false, fmt.Errorf("a literal of type %#02x", t)
		}
		c.pos += 2
		text, err := c.counted()
		return part{text: text, sub: -1}, true, err
	case tokenCDATA:
		c.pos++
		text, err := c.counted()
		return part{text: text, sub: -1}, true, err
	case tokenCharRef:
		if err := c.need(3); err != nil {
			return p, false, err
		}
		r := rune(binary.LittleEndian.Uint16(c.b[c.pos+1:]))
		c.pos += 3
		return part{text: string(r), sub: -1}, true, nil
	case tokenEntityRef:
		c.pos++
		name, err := c.name()
		return part{text: entity(name), sub: -1}, true, err
	case tokenSub, tokenOptional:
		p, err := c.substitution()
		return p, true, err
	case tokenPITarget:
		c.pos++
		_, err := c.name()
		return part{sub: -1}, true, err
	case tokenPIData:
		c.pos++
		_, err := c.counted()
		return part{sub: -1}, true, err
	}
	return p, false, nil
}

func entity(name string) string {
	switch name {
	case "lt":
		return "<"
	case "gt":
		return ">"
	case "amp":
		return "&"
	case "quot":
		return `"`
	case "apos":
		return "'"
	}
	return "&" + name + ";"
}

// content reads what stands between an element's start and its end.
func (c *compiler) content(at, below place, local, title string, depth int) error {
	var parts []part
	children := false
	for {
		p, ok, err := c.textPart()
		if err != nil {
			return err
		}
		if ok {
			parts = join(parts, p)
			continue
		}
		switch tok := c.peek(); tok {
		case tokenElement, tokenElement | tokenMore:
			children = true
			if err := c.element(below, depth+1); err != nil {
				return err
			}
		case tokenEnd:
			c.pos++
			if !children && at != inRoot && (at != inEvent || below == inUserData && local != "UserData") {
				return c.leaf(at, below, local, title, parts)
			}
			return c.loose(below, parts)
		default:
			return fmt.Errorf("token %#02x in element %q", tok, local)
		}
	}
}

// leaf adds the value of an element without children.
func (c *compiler) leaf(at, below place, local, title string, parts []part) error {
	f := field{name: title, place: below, parts: parts}
	switch at {
	case inRoot, inEvent:
		return c.loose(below, parts)
	case inSystem:
		if len(parts) == 0 {
			return nil
		}
		switch local {
		case "EventID":
			f.slot = eventID
		case "Channel":
			f.slot = channel
		case "Computer":
			f.slot = computer
		}
	case inRendering:
		if local == "Message" {
			f.slot = message
		}
		f.name = c.chunk.intern("RenderingInfo_" + local)
	}
	return c.add(f)
}

// loose adds what stands between elements: each substitution may turn out to hold XML.
func (c *compiler) loose(at place, parts []part) error {
	for _, p := range parts {
		if p.sub < 0 && strings.TrimSpace(p.text) == "" {
			continue
		}
		if err := c.add(field{name: "Data", place: at, loose: true, parts: []part{p}}); err != nil {
			return err
		}
	}
	return nil
}

// counted reads text with its length before it.
func (c *compiler) counted() (string, error) {
	if err := c.need(2); err != nil {
		return "", err
	}
	n := 2 * int(binary.LittleEndian.Uint16(c.b[c.pos:]))
	c.pos += 2
	if err := c.need(n); err != nil {
		return "", err
	}
	s := c.chunk.utf16(c.b[c.pos : c.pos+n])
	c.pos += n
	return s, nil
}

// name reads the name of an element or attribute. It is kept once in the chunk, where it was first used.
func (c *compiler) name() (string, error) {
	if err := c.need(4); err != nil {
		return "", err
	}
	at := int(binary.LittleEndian.Uint32(c.b[c.pos:]))
	c.pos += 4
	s, size, err := c.chunk.nameAt(at)
	if err == nil && at == c.pos {
		c.pos += size
	}
	return s, err
}
