package stratum

import (
	"math"
	"net/netip"
	"strconv"
	"strings"
	"time"

	"github.com/minewarden/minewarden"
	"github.com/minewarden/minewarden/internal/wallet"
)

// What was told of a session.
const (
	toldLogin = 1 << iota
	toldJob
	toldSubmit
	toldSession
	toldNoise
	toldHello // a login without its user
)

// A session is what is known of one conversation.
type session struct {
	key     minewarden.FlowKey
	carrier string
	next    *session // of the same flow in another carrier
	target  string   // asked of a proxy
	host    string   // of HTTP
	process *minewarden.Process
	up      splitter // what the flow's client says
	down    splitter

	reversed  bool // the miner is the flow's server: the capture began late and guessed wrong
	mining    bool
	said      [2]bool // whether the client, and the server, said anything of mining
	quoted    bool    // one side says what the other would: it is a transcript
	quiet     bool    // enough was told of sessions like this
	weak      uint16  // bits of hints, and how often any was met
	hints     int
	told      uint8
	named     bool // a finding said who mines
	templates int  // requests for block templates or work

	dialect   string
	algorithm string
	coin      string
	hinted    string // the coin, as a job's form or the way the user is written says
	worked    bool   // a job was seen that tells the kind
	address   wallet.Address
	user      string
	worker    string
	agent     string
	httpAgent string
	httpUser  string
	height    uint64
	bits      uint32 // network difficulty in the compact form, where work carries it

	perShare   float64 // hashes that one share stands for; 0: unknown
	difficulty float64 // as the pool set it, in units of its own
	first      time.Time
	last       time.Time
	submitted  int
	accepted   int
	rejected   int
	work       float64 // hashes that the accepted shares stand for
	unsized    bool    // an accepted share had no known difficulty
	pending    []share // at most maxPending

	toldAccepted int
	noiseAwaited int  // size of the server's first message that would complete a Noise handshake
	noiseSetup   bool // what the client said next has the size of a setup
}

// maxPending is how many shares may wait for their answer.
const maxPending = 16

// A share is one that was not answered yet.
type share struct {
	id   string
	work float64
}

// milestones are the numbers of accepted shares, or where answers are not seen of submitted ones, at which we speak again.
var milestones = [...]int{10, 100, 1000, 10000, 100000}

// noise follows the first messages and says which rule's sizes they have; empty: of none that was not told.
func (s *session) noise(x *minewarden.Stream) string {
	switch {
	case x.FromClient && x.Offset == 0 && noiseHello(x):
		s.noiseAwaited = noiseServer
		if len(x.Data) == oldNoiseClient {
			s.noiseAwaited = oldNoiseServer
		}
	case !x.FromClient && x.Offset == 0 && s.noiseAwaited != 0 && len(x.Data) == s.noiseAwaited && random(x.Data) && s.told&toldNoise == 0:
		s.told |= toldNoise
		return ruleNoise
	case s.told&toldNoise == 0 || s.noiseAwaited != noiseServer:
	case x.FromClient && x.Offset == noiseClient:
		s.noiseSetup = len(x.Data) >= leastSetup && len(x.Data) <= mostSetup && random(x.Data)
	case !x.FromClient && x.Offset == noiseServer && s.noiseSetup && len(x.Data) == setupAnswer && random(x.Data):
		s.noiseSetup = false
		return ruleNoiseSession
	}
	return ""
}

// login keeps who mines.
func (s *session) login(user []byte) {
	if len(user) == 0 || s.user != "" {
		return
	}
	s.user = short(user)
	if s.hinted == "" {
		s.hinted = coinOf(user)
	}
	if found := wallet.Find(user[:min(len(user), 512)]); len(found) > 0 {
		s.address = found[0]
		rest := string(user[found[0].Offset+len(found[0].Text):])
		if i := strings.IndexAny(rest, "./"); i >= 0 {
			s.worker = short([]byte(strings.TrimLeft(rest[i:], "./")))
		}
		return
	}
	if _, worker, ok := strings.Cut(s.user, "."); ok && !strings.Contains(s.user, "://") && !strings.Contains(worker, "@") {
		s.worker = worker
	}
}

// submit counts a share that was sent.
func (s *session) submit(now time.Time, id string) {
	if s.submitted == 0 && s.first.IsZero() {
		s.first = now
	}
	s.last = now
	s.submitted++
	if len(s.pending) == maxPending {
		s.pending = append(s.pending[:0], s.pending[1:]...)
	}
	s.pending = append(s.pending, share{id, s.perShare})
}

// answer counts the answer to a share, and says whether it was one.
func (s *session) answer(now time.Time, id string, accepted bool) bool {
	for i, p := range s.pending {
		if p.id != id {
			continue
		}
		s.pending = append(s.pending[:i], s.pending[i+1:]...)
		if !accepted {
			s.rejected++
			return true
		}
		s.last = now
		s.accepted++
		s.work += p.work
		if p.work == 0 {
			s.unsized = true
		}
		return true
	}
	return false
}

// answerOldest counts an answer that does not say to which share.
func (s *session) answerOldest(now time.Time, accepted bool) {
	if len(s.pending) > 0 {
		s.answer(now, s.pending[0].id, accepted)
	}
}

// Bounds of an estimate: with fewer shares chance is larger than the number.
const (
	minShares  = 3
	minElapsed = 30 * time.Second
)

// hashRate returns hashes a second: the hashes that accepted shares stand for, over the time since the first work.
func (s *session) hashRate() (float64, bool) {
	elapsed := s.last.Sub(s.first)
	if s.accepted < minShares || s.unsized || s.work <= 0 || elapsed < minElapsed {
		return 0, false
	}
	return s.work / elapsed.Seconds(), true
}

// earned returns the coins that the accepted shares are worth on average: the part of the hashes for one block that was done,
// times what a block pays. Only work that carries the network's difficulty and a height allows it. Fees and the pool's cut
// are left out.
func (s *session) earned() (float64, bool) {
	network := hashesOfBits(s.bits)
	if s.accepted < minShares || s.unsized || s.work <= 0 || network <= 0 || s.height == 0 {
		return 0, false
	}
	var reward float64
	switch s.coin {
	case wallet.Bitcoin:
		reward = 50 / math.Exp2(float64(s.height/210_000))
	case "ravencoin":
		reward = 5000 / math.Exp2(float64(s.height/2_100_000))
	default:
		return 0, false
	}
	return s.work / network * reward, true
}

// hashesOfBits returns the hashes that a block needs on average by the compact form of its target.
func hashesOfBits(bits uint32) float64 {
	if bits == 0 {
		return 0
	}
	target := float64(bits&0x7fffff) * math.Exp2(8*(float64(bits>>24)-3))
	if target <= 0 {
		return 0
	}
	return math.Exp2(256) / target
}

// hashesOfTarget returns the hashes for one share by a target of 256 bits in big-endian hexadecimal.
func hashesOfTarget(hex []byte) float64 {
	if len(hex) > 2 && hex[1] == 'x' {
		hex = hex[2:]
	}
	target := 0.0
	for _, c := range hex {
		target = target*16 + float64(nibble(c))
	}
	if target <= 0 {
		return 0
	}
	return math.Exp2(4*float64(len(hex))) / target
}

func nibble(c byte) byte {
	switch {
	case c >= 'a':
		return c - 'a' + 10
	case c >= 'A':
		return c - 'A' + 10
	}
	return c - '0'
}

// hashesOfCompact returns the hashes for one share by a CryptoNote target: 4 or 8 bytes, least first.
func hashesOfCompact(hex []byte) float64 {
	if len(hex) != 8 && len(hex) != 16 {
		return hashesOfTarget(hex)
	}
	target := 0.0
	for i := len(hex) - 2; i >= 0; i -= 2 {
		target = target*256 + float64(nibble(hex[i])<<4|nibble(hex[i+1]))
	}
	if target <= 0 {
		return 0
	}
	return math.Exp2(4*float64(len(hex))) / target
}

// private says that a machine with this address is inside.
func private(a netip.Addr) bool { return a.IsPrivate() || a.IsLinkLocalUnicast() }

func float(v float64) string { return strconv.FormatFloat(v, 'g', 4, 64) }
