package dga

import (
	_ "embed"
	"encoding/binary"
	"errors"
	"math"
)

// Bursts are how many names that one client asked for are judged together.
var Bursts = [...]int{3, 5, 10}

// MaxBurst is the largest of them.
const MaxBurst = 10

// A Model is what was learned.
type Model struct {
	tables
	forest
	// Cut is the score from which a single name is called generated.
	Cut float32
	// BurstCuts are the mean scores from which as many names as Bursts says are.
	BurstCuts [len(Bursts)]float32
}

//go:embed model.bin
var table []byte

// Load returns the model that comes with the program.
func Load() (*Model, error) { return Unmarshal(table) }

// Marshal returns the table.
func (m *Model) Marshal() []byte {
	b := append([]byte(nil), m.lang.p[:]...)
	for _, e := range m.pieces {
		b = binary.LittleEndian.AppendUint16(b, e)
	}
	for _, w := range m.linear.weight {
		b = append(b, byte(w))
	}
	for _, v := range append([]float32{m.linear.scale, m.Cut}, m.BurstCuts[:]...) {
		b = binary.LittleEndian.AppendUint32(b, math.Float32bits(v))
	}
	b = binary.LittleEndian.AppendUint16(b, uint16(len(m.suffixes)))
	for _, s := range m.suffixes {
		b = append(binary.LittleEndian.AppendUint32(b, s.hash), byte(s.odds), byte(s.seen))
	}
	return m.forest.marshal(b)
}

// Unmarshal reads what Marshal writes.
func Unmarshal(b []byte) (*Model, error) {
	m := &Model{}
	const fixed = len(m.lang.p) + 2*len(m.pieces) + len(m.linear.weight) + 4*(2+len(m.BurstCuts)) + 2
	if len(b) < fixed {
		return nil, errShort
	}
	b = b[copy(m.lang.p[:], b):]
	for i := range m.pieces {
		m.pieces[i] = binary.LittleEndian.Uint16(b[2*i:])
	}
	b = b[2*len(m.pieces):]
	for i := range m.linear.weight {
		m.linear.weight[i] = int8(b[i])
	}
	b = b[len(m.linear.weight):]
	next := func() float32 {
		v := math.Float32frombits(binary.LittleEndian.Uint32(b))
		b = b[4:]
		return v
	}
	m.linear.scale, m.Cut = next(), next()
	for i := range m.BurstCuts {
		m.BurstCuts[i] = next()
	}
	const suffixSize = 6
	n := int(binary.LittleEndian.Uint16(b))
	b = b[2:]
	if len(b) < n*suffixSize {
		return nil, errShort
	}
	for range n {
		s := suffix{binary.LittleEndian.Uint32(b), int8(b[4]), int8(b[5])}
		if k := len(m.suffixes); k > 0 && m.suffixes[k-1].hash >= s.hash {
			return nil, errors.New("suffixes out of order")
		}
		m.suffixes = append(m.suffixes, s)
		b = b[suffixSize:]
	}
	return m, m.forest.unmarshal(b)
}

// Score returns the odds, as a logarithm, that the name was generated.
func (m *Model) Score(name string) float32 {
	p := split(name)
	var d counts
	m.count(&d, p)
	score := m.forest.sum(&d)
	for _, o := range outside {
		if p.suffix == o {
			return score + outsideOdds
		}
	}
	return score
}

// Generated says whether one name was made by an algorithm.
func (m *Model) Generated(name string) bool { return m.Score(name) >= m.Cut }

// A Verdict is why names are called generated together: the mean score of N of them, and what it is held against.
type Verdict struct {
	N         int
	Mean, Cut float32
}

// Judge says whether names that one client asked for are generated, by their scores, the newest first.
func (m *Model) Judge(scores []float32) (Verdict, bool) {
	sum, n := float32(0), 0
	for i, size := range Bursts {
		if len(scores) < size {
			break
		}
		for ; n < size; n++ {
			sum += scores[n]
		}
		if mean := sum / float32(size); mean >= m.BurstCuts[i] {
			return Verdict{size, mean, m.BurstCuts[i]}, true
		}
	}
	return Verdict{}, false
}
