package console

import (
	"crypto/rand"
	"encoding/hex"
	"strconv"
	"strings"
	"sync"
	"time"
)

const (
	feedRing   = 256 // events kept for who was away for a moment
	feedQueue  = 64  // events that may wait for one client
	maxClients = 64
	maxOfOne   = 16 // of one person: nobody takes all the places
)

// An Event is one thing that happened, as streams tell it.
type Event struct {
	ID   string
	Kind string // incident, finding, action, sensor, drill, run, deadline, posture
	Data any    // small, and never changed after
}

// A Feed hands what happens to those who listen. Publishing never blocks: what a slow client cannot take is counted and told to
// it. The zero Feed is not ready; a nil one takes everything and tells nobody.
type Feed struct {
	mu      sync.Mutex
	boot    string // ids of another start are no place to go on from
	seq     uint64
	ring    []Event
	clients map[*client]bool
	closed  bool
	wake    chan struct{} // some client came; for what is watched only while one looks
}

type client struct {
	who   string
	queue chan Event
	lost  uint64 // since the client was last told; under Feed.mu
}

// NewFeed returns an empty feed.
func NewFeed() *Feed {
	b := make([]byte, 4)
	if _, err := rand.Read(b); err != nil {
		b = []byte(strconv.FormatInt(time.Now().UnixNano(), 36))
	}
	return &Feed{boot: hex.EncodeToString(b), clients: map[*client]bool{}, wake: make(chan struct{}, 1)}
}

// Publish tells all who listen.
func (f *Feed) Publish(kind string, data any) {
	if f == nil {
		return
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.closed {
		return
	}
	f.seq++
	e := Event{ID: f.boot + "-" + strconv.FormatUint(f.seq, 10), Kind: kind, Data: data}
	if len(f.ring) == feedRing {
		copy(f.ring, f.ring[1:])
		f.ring = f.ring[:feedRing-1]
	}
	f.ring = append(f.ring, e)
	for c := range f.clients {
		select {
		case c.queue <- e:
		default:
			c.lost++
		}
	}
}

// Listening reports whether anybody listens.
func (f *Feed) Listening() bool {
	if f == nil {
		return false
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	return len(f.clients) > 0
}

// Wake receives when somebody begins to listen.
func (f *Feed) Wake() <-chan struct{} { return f.wake }

// Close ends all streams, and takes no more.
func (f *Feed) Close() {
	if f == nil {
		return
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	f.closed = true
	for c := range f.clients {
		close(c.queue)
	}
	clear(f.clients)
}

// join begins to listen. missed is what came after the event last; whole is false when that is not known any more, and the
// client must look at everything anew. A nil client: there are too many, or too many of who, or the feed is closed.
func (f *Feed) join(who, last string) (c *client, missed []Event, whole bool) {
	f.mu.Lock()
	defer f.mu.Unlock()
	own := 0
	for c := range f.clients {
		if c.who == who {
			own++
		}
	}
	if f.closed || len(f.clients) >= maxClients || own >= maxOfOne {
		return nil, nil, false
	}
	c = &client{who: who, queue: make(chan Event, feedQueue)}
	f.clients[c] = true
	select {
	case f.wake <- struct{}{}:
	default:
	}
	if last == "" {
		return c, nil, true
	}
	boot, num, _ := strings.Cut(last, "-")
	seq, err := strconv.ParseUint(num, 10, 64)
	if err != nil || boot != f.boot || seq > f.seq || f.seq-seq > uint64(len(f.ring)) {
		return c, nil, false
	}
	return c, append(missed, f.ring[len(f.ring)-int(f.seq-seq):]...), true
}

func (f *Feed) leave(c *client) {
	f.mu.Lock()
	defer f.mu.Unlock()
	delete(f.clients, c)
}

// lost returns how many events the client missed since it was last asked.
func (f *Feed) lost(c *client) uint64 {
	f.mu.Lock()
	defer f.mu.Unlock()
	n := c.lost
	c.lost = 0
	return n
}
