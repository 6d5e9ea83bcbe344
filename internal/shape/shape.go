// Package shape judges what a conversation is by the sizes and times of its messages alone, for those whose bytes are
// encrypted. A mining session has a rhythm of its own: one end asks at moments of chance, always as long, and is answered
// shortly, always as long; the other pushes work by itself, always as long, and nobody answers that.
package shape

import (
	"math"
	"slices"
	"time"

	"github.com/minewarden/minewarden"
)

// The features of a session.
const (
	Answered   = iota // part of the client's messages that the server answered within a second
	ClientSame        // part of the client's messages that are as long as their median
	ReplySame         // the same of answers
	PushSame          // the same of what the server said unasked
	ClientSize        // medians, as logarithms
	ReplySize
	PushSize
	PushToReply
	ClientToReply
	PushAnswered // part of the pushes that the client reacted to
	ClientChance // variation of the intervals: 0 a timer, 1 chance
	PushChance
	ClientRate // a minute
	PushRate
	PushShare    // of all messages
	HelloClient  // the client's first message against its median
	HelloServer  // the server's first against the median push
	ReplyDelay   // variation of the time to answer
	Largest      // message after the hello against the median push
	ClientSecond // part of the client's messages that are as long as the most common other length
	ClientExact  // part of the client's messages that are as long as the most common one to a byte: numbers in text make others differ
	ReplyExact   // the same of answers
	PushExact    // and of what was said unasked
	Features     // how many there are
)

const (
	hello     = 2 * time.Second // what is said before is how sessions begin: handshake, tickets, login
	prompt    = time.Second     // an answer comes within that
	minMember = 3               // messages of a class below which it says nothing
)

// MaxMessages is how many messages of a session are looked at: a mining session has fewer in its first minutes.
const MaxMessages = 256

// Extract returns the features of a session's messages, oldest first, and whether there are enough to judge.
func Extract(msgs []minewarden.Message) (f [Features]float32, ok bool) {
	var client, reply, push, other [MaxMessages]float64
	var clientAt, pushAt, delays [MaxMessages]float64
	nc, nr, np, answered, reacted := 0, 0, 0, 0, 0
	var firstClient, firstServer, largest float64
	open := -1 // the client's message that waits for an answer
	lastPush := time.Duration(-1)
	if len(msgs) > MaxMessages {
		msgs = msgs[:MaxMessages]
	}
	for i := range msgs {
		m := &msgs[i]
		size := float64(m.Size)
		if m.At < hello {
			if m.FromClient {
				firstClient = max(firstClient, size)
			} else {
				firstServer = max(firstServer, size)
			}
			continue
		}
		largest = max(largest, size)
		if m.FromClient {
			if lastPush >= 0 && m.At-lastPush < prompt {
				reacted++
			}
			lastPush = -1
			client[nc], clientAt[nc] = size, m.At.Seconds()
			nc++
			open = i
			continue
		}
		if open >= 0 && m.At-msgs[open].At < prompt {
			reply[nr], delays[nr] = size, (m.At - msgs[open].At).Seconds()
			nr++
			answered++
			open = -1
			continue
		}
		push[np], pushAt[np] = size, m.At.Seconds()
		np++
		lastPush = m.At
	}
	if nc < minMember || nr < minMember || np == 0 {
		return f, false
	}
	first := min(clientAt[0], pushAt[0])
	span := (max(clientAt[nc-1], pushAt[np-1]) - first) / 60
	if span <= 0 {
		return f, false
	}
	cm, rm, pm := median(client[:nc]), median(reply[:nr]), median(push[:np])
	f[Answered] = float32(answered) / float32(nc)
	f[ClientSame], f[ReplySame], f[PushSame] = same(client[:nc], cm, 3+cm/64), same(reply[:nr], rm, 3+rm/64), same(push[:np], pm, 4+pm/50)
	f[ClientSize], f[ReplySize], f[PushSize] = logOf(cm), logOf(rm), logOf(pm)
	f[ClientExact], f[ReplyExact], f[PushExact] = exact(client[:nc]), exact(reply[:nr]), exact(push[:np])
	f[PushToReply], f[ClientToReply] = logOf(pm/max(rm, 1)), logOf(cm/max(rm, 1))
	f[PushAnswered] = float32(reacted) / float32(np)
	f[ClientChance], f[PushChance], f[ReplyDelay] = variation(clientAt[:nc], true), variation(pushAt[:np], true), variation(delays[:nr], false)
	f[ClientRate], f[PushRate] = float32(float64(nc)/span), float32(float64(np)/span)
	f[PushShare] = float32(np) / float32(nc+nr+np)
	f[HelloClient], f[HelloServer] = logOf((firstClient+1)/(cm+1)), logOf((firstServer+1)/(pm+1))
	f[Largest] = logOf(largest / max(pm, 1))
	if f[ClientSame]*float32(nc) < minMember-0.5 || f[ReplySame]*float32(nr) < minMember-0.5 {
		return f, false // one or two of a length are alike by chance
	}
	no := 0
	for _, s := range client[:nc] {
		if math.Abs(s-cm) > 3+cm/64 {
			other[no] = s
			no++
		}
	}
	if no >= minMember {
		f[ClientSecond] = same(other[:no], median(other[:no]), 4) * float32(no) / float32(nc)
	}
	return f, true
}

func median(v []float64) float64 {
	var buf [MaxMessages]float64
	s := buf[:copy(buf[:], v)]
	slices.Sort(s)
	return s[len(s)/2]
}

// exact returns the part of v that is within one byte of what is most common in v.
func exact(v []float64) float32 {
	var buf [MaxMessages]float64
	s := buf[:copy(buf[:], v)]
	slices.Sort(s)
	best, from := 0, 0
	for i := range s {
		for s[i]-s[from] > 1 {
			from++
		}
		best = max(best, i-from+1)
	}
	return float32(best) / float32(len(v))
}

// Keep appends more to what is kept of a session, which stays below MaxMessages: its beginning and its latest.
func Keep(msgs, more []minewarden.Message) []minewarden.Message {
	const begin = 24 // messages of the beginning at most: two seconds seldom have more
	msgs = append(msgs, more...)
	if over := len(msgs) - MaxMessages; over > 0 {
		n := 0
		for n < begin && msgs[n].At < hello {
			n++
		}
		msgs = append(msgs[:n], msgs[n+over:]...)
	}
	return msgs
}

// same returns the part of v within by of m.
func same(v []float64, m, by float64) float32 {
	n := 0
	for _, x := range v {
		if math.Abs(x-m) <= by {
			n++
		}
	}
	return float32(n) / float32(len(v))
}

// variation returns the deviation over the mean, of the values or of the steps between them, and at most 3.
func variation(v []float64, steps bool) float32 {
	from := 0
	if steps {
		from = 1
	}
	n, sum, square := 0.0, 0.0, 0.0
	for i := from; i < len(v); i++ {
		x := v[i]
		if steps {
			x -= v[i-1]
		}
		n++
		sum += x
		square += x * x
	}
	if n < 2 || sum <= 0 {
		return 0
	}
	mean := sum / n
	return float32(min(3, math.Sqrt(max(0, square/n-mean*mean))/mean))
}

func logOf(x float64) float32 { return float32(math.Log2(max(x, 1.0/64))) }

// Names of the features, for people who read the model.
var Names = [Features]string{
	"answered", "client_same", "reply_same", "push_same", "client_size", "reply_size", "push_size", "push_to_reply", "client_to_reply", "push_answered",
	"client_chance", "push_chance", "client_rate", "push_rate", "push_share", "hello_client", "hello_server", "reply_delay", "largest", "client_second",
	"client_exact", "reply_exact", "push_exact",
}

// A Split is one node of a tree: below Threshold to Left, else to Right; a leaf has Feature -1 and its Value.
type Split struct {
	Feature     int8
	Left, Right uint8 // within the tree
	Value       float32
}

// What every dialect of mining has in common, whatever a model learned from the programs that it saw: bounds that no mining
// session of the laboratory came near.
const (
	minClientSame = 0.45 // shares are alike, or there is one other kind of message
	minReplySame  = 0.45 // so are their answers
	minChance     = 0.08 // shares are found by chance: a timer with a tenth of jitter has 0.06
	minShare      = 6.1  // log2 of bytes: the shortest share of any dialect is about 90 with its record
	minReply      = 5.25 // the same: {"id":1,"result":true} in a record has 39 bytes; acknowledgements of MQTT and Redis have 21
	minPush       = -0.5 // log2: work is not shorter than an answer
)

// Plausible says whether a session can be mining at all.
func Plausible(f *[Features]float32) bool {
	return f[ClientSame]+f[ClientSecond] >= minClientSame && f[ReplySame] >= minReplySame && f[ClientChance] >= minChance && f[ClientSize] >= minShare && f[ReplySize] >= minReply &&
		f[PushToReply] >= minPush
}

// Score returns the probability that a session with these features mines.
func Score(f *[Features]float32) float64 {
	if !Plausible(f) {
		return 0
	}
	return Probability(Trees, Bias, f)
}

// Probability runs the trees of any model.
func Probability(trees [][]Split, bias float64, f *[Features]float32) float64 {
	sum := bias
	for _, t := range trees {
		i := uint8(0)
		for t[i].Feature >= 0 {
			if f[t[i].Feature] < t[i].Value {
				i = t[i].Left
			} else {
				i = t[i].Right
			}
		}
		sum += float64(t[i].Value)
	}
	return 1 / (1 + math.Exp(-sum))
}

// How a session is judged.
const (
	// Threshold is the probability from which a session is told; bench/tls/results.md says what it finds and calls wrongly, of recordings
	// and of kinds that were kept out of training.
	Threshold = 0.85
	// Earliest is how long a session must last to be judged.
	Earliest = 100 * time.Second
)
