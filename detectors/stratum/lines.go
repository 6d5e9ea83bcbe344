package stratum

import "bytes"

// Bounds of one direction of a conversation.
const (
	maxObject = 64 << 10  // bytes of one JSON object that are kept; of a longer one its beginning is judged
	maxIdle   = 16 << 10  // bytes without a single object after which a direction is no longer read
	maxWord   = 8         // letters of the word before an object
	maxDull   = 256 << 10 // bytes of objects that are not mining after which it is no longer read
)

// A splitter takes JSON objects out of one direction: whole or in pieces, one a line or many in one. An object is
// taken to begin only where a message can: at the start of what was sent at once, of a line, of a frame, or right after another,
// so that text which quotes mining is not read as mining. Carriers (bodies, frames, proxies) were taken off before.
type splitter struct {
	buf    []byte // the object so far
	depth  int
	inside bool // an object is open
	skip   bool // the open object is too long: wait for its end
	text   bool // within a string
	escape bool
	edge   bool // a message can begin here
	word   int8 // letters since the line began: some dialects have a word and a tilde before the object
	tilde  bool
	prose  int // lines of something else so far
	idle   int
	dull   int
	done   bool // no longer read
}

// feed reads data and calls take with each object, which it must not keep.
func (s *splitter) feed(data []byte, gap bool, take func([]byte)) {
	if s.done {
		return
	}
	if gap {
		s.buf, s.inside, s.skip = s.buf[:0], false, false
	}
	if !s.inside && s.prose <= maxProse {
		s.edge, s.word, s.tilde = true, 0, false
	}
	for i := 0; i < len(data); {
		if s.inside {
			i += s.object(data[i:], take)
			continue
		}
		switch c := data[i]; c {
		case '{':
			if s.edge && (s.word == 0 || s.tilde) {
				s.inside, s.depth, s.text, s.escape = true, 0, false, false
				s.buf = s.buf[:0]
				continue
			}
			s.idle++
		case '\n', '\r', 0, ' ', '\t', '[', ']', ',':
			if c == '\n' || c == 0 {
				s.edge = true
			} else if s.word > 0 && s.edge {
				s.edge = false
				s.prose++
			}
			s.word, s.tilde = 0, false
			s.idle++
		case 0xef, 0xbb, 0xbf: // a byte order mark changes nothing
			s.idle++
		default:
			if s.edge && s.word < maxWord && !s.tilde && (c >= 'a' && c <= 'z' || c == '~' && s.word > 0) {
				if s.tilde = c == '~'; !s.tilde {
					s.word++
				}
				s.idle++
				break
			}
			// Nothing begins before the next line.
			if s.edge {
				s.prose++
			}
			s.edge = false
			next := bytes.IndexAny(data[i:], "\n\x00")
			if next < 0 {
				next = len(data) - i
			}
			s.idle += next
			i += next - 1
		}
		i++
		if s.idle > maxIdle {
			s.done, s.buf = true, nil
			return
		}
	}
	if s.dull > maxDull {
		s.done, s.buf = true, nil
	}
}

// object reads on in the open object and returns how much of b belonged to it. An object that is whole in b is not copied.
func (s *splitter) object(b []byte, take func([]byte)) int {
	for i := 0; i < len(b); i++ {
		if s.text {
			if i = s.string(b, i); i == len(b) {
				break
			}
			continue
		}
		switch b[i] {
		case '"':
			s.text = true
		case '{', '[':
			s.depth++
		case '}', ']':
			s.depth--
			if s.depth > 0 {
				continue
			}
			s.dull += i + 1
			switch {
			case s.skip:
			case len(s.buf) == 0:
				take(b[:min(i+1, maxObject)])
			default:
				s.keep(b[:i+1])
				take(s.buf)
			}
			s.inside, s.skip, s.edge, s.idle, s.word, s.tilde = false, false, true, 0, 0, false
			return i + 1
		}
	}
	s.dull += len(b)
	if s.keep(b); len(s.buf) == maxObject && !s.skip {
		s.skip = true
		take(s.buf)
	}
	if s.dull > maxDull {
		s.inside = false
	}
	return len(b)
}

// string reads on in the open string from b[i] and returns where its closing quote is, or the end of b.
func (s *splitter) string(b []byte, i int) int {
	if s.escape {
		s.escape = false
		i++
	}
	for ; i < len(b); i++ {
		switch b[i] {
		case '"':
			s.text = false
			return i
		case '\\':
			if i++; i == len(b) {
				s.escape = true
			}
		}
	}
	return len(b)
}

func (s *splitter) keep(b []byte) {
	if !s.skip {
		s.buf = append(s.buf, b[:min(len(b), maxObject-len(s.buf))]...)
	}
}

// begin says that a new body or frame message starts: what was open before never ends.
func (s *splitter) begin() {
	s.inside, s.skip, s.edge, s.word, s.tilde = false, false, true, 0, false
	s.buf = s.buf[:0]
}
