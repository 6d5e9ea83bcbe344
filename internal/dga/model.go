package dga

import (
	_ "embed"
	"encoding/binary"
	"fmt"
	"math"
	"strings"
)

// A Model is the table of weights.
type Model struct {
	Weights [slots]int8 // of the slots, in units of Scale
	Scale   float32
	Dense   [nDense]float32
	Bias    float32
	// Cut is the score from which a name is called generated: in training, one in 400 chosen names passed it.
	Cut float32
	// BurstCut is the same for the mean score of Burst names that one client asked for.
	BurstCut float32
	Lang     Language
}

// Burst is the number of names that are judged together.
const Burst = 10

//go:embed model.bin
var table []byte

// size of the table in bytes.
const size = slots + symbols*symbols*symbols + 4*(nDense+4)

// Load returns the model that comes with the program.
func Load() (*Model, error) { return Unmarshal(table) }

// Unmarshal reads what Marshal writes.
func Unmarshal(b []byte) (*Model, error) {
	if len(b) != size {
		return nil, fmt.Errorf("table of %d bytes, want %d", len(b), size)
	}
	m := &Model{}
	for i := range m.Weights {
		m.Weights[i] = int8(b[i])
	}
	b = b[slots:]
	copy(m.Lang.p[:], b)
	b = b[len(m.Lang.p):]
	next := func() float32 {
		v := math.Float32frombits(binary.LittleEndian.Uint32(b))
		b = b[4:]
		return v
	}
	for i := range m.Dense {
		m.Dense[i] = next()
	}
	m.Scale, m.Bias, m.Cut, m.BurstCut = next(), next(), next(), next()
	return m, nil
}

// Marshal returns the table.
func (m *Model) Marshal() []byte {
	b := make([]byte, 0, size)
	for _, w := range m.Weights {
		b = append(b, byte(w))
	}
	b = append(b, m.Lang.p[:]...)
	for _, v := range m.Dense {
		b = binary.LittleEndian.AppendUint32(b, math.Float32bits(v))
	}
	for _, v := range [...]float32{m.Scale, m.Bias, m.Cut, m.BurstCut} {
		b = binary.LittleEndian.AppendUint32(b, math.Float32bits(v))
	}
	return b
}

// outside are the endings of EmerDNS and Namecoin, which the public root does not have: what is asked for there can be answered
// only by resolvers that a program brings along, and costs its owner next to nothing.
var outside = [...]string{"bazar", "bit", "coin", "emc"}

// outsideOdds is what such an ending adds, as a logarithm: a name there is taken for generated unless it is like those of people
// in everything else.
const outsideOdds = 6

// dynamic are suffixes under which anybody gets a name at once and for nothing, by the providers' own pages: dyn.com, no-ip.com,
// afraid.org, duckdns.org, changeip.com, dynu.com, 3322.org, dynserv.com, yi.org. Programs take names there as people do.
var dynamic = [...]string{
	"dyndns.org", "dyndns.info", "dyndns.biz", "dyndns.tv", "homeip.net", "homelinux.org", "homelinux.com", "homelinux.net", "ddns.net", "no-ip.org", "no-ip.com", "no-ip.biz", "no-ip.info",
	"hopto.org", "zapto.org", "sytes.net", "myftp.org", "serveftp.com", "servehttp.com", "mooo.com", "chickenkiller.com", "strangled.net", "us.to", "duckdns.org", "changeip.org", "dynu.net",
	"3322.org", "8866.org", "dynserv.com", "yi.org",
}

// dynamicOdds is what such a suffix adds, as a logarithm: names of chance are about seven times as common there.
const dynamicOdds = 2

// Score returns the odds, as a logarithm, that the name was generated.
func (m *Model) Score(name string) float32 {
	score := m.score(name)
	_, suffix, _ := Split(name)
	for _, o := range outside {
		if suffix == o {
			return score + outsideOdds
		}
	}
	for _, d := range dynamic {
		if rest, ok := strings.CutSuffix(name, d); ok && strings.HasSuffix(rest, ".") {
			return score + dynamicOdds
		}
	}
	return score
}

// score leaves the ending's root out: training does not see it.
func (m *Model) score(name string) float32 {
	label, suffix, labels := Split(name)
	if len(label) > maxLabel {
		label = label[:maxLabel]
	}
	var buf [3*maxLabel + 8]uint32
	return m.sum(Slots(buf[:0], label, suffix), label, labels)
}

func (m *Model) sum(at []uint32, label string, labels int) float32 {
	var d [nDense]float32
	Dense(&d, label, labels, &m.Lang)
	sum := m.Bias
	for i, v := range d {
		sum += v * m.Dense[i]
	}
	n := float32(0)
	for _, s := range at {
		n += float32(m.Weights[s])
	}
	return sum + n*m.Scale/norm(len(at))
}

// norm keeps long names from adding up to more than short ones can.
func norm(n int) float32 { return float32(math.Sqrt(float64(n))) }

// Generated says whether the name was made by an algorithm.
func (m *Model) Generated(name string) bool { return m.Score(name) >= m.Cut }
