package dga

import "math"

// A Language knows how likely a letter is after the two before it, in names that people chose.
type Language struct {
	p [symbols * symbols * symbols]uint8 // -16 log2 of the likelihood, capped
}

const symbols = 39 // 26 letters, 10 digits, hyphen, other, end

func symbol(c byte) int {
	switch {
	case c >= 'a' && c <= 'z':
		return int(c - 'a')
	case c >= '0' && c <= '9':
		return 26 + int(c-'0')
	case c == '-' || c == '_':
		return 36
	}
	return 37
}

const end = 38

// NewLanguage counts the labels.
func NewLanguage(labels []string) *Language {
	count := make([]float64, symbols*symbols*symbols)
	two := make([]float64, symbols*symbols)
	one := make([]float64, symbols)
	all := 0.0
	for _, l := range labels {
		a, b := end, end
		for i := 0; i <= len(l); i++ {
			c := end
			if i < len(l) {
				c = symbol(l[i])
			}
			count[(a*symbols+b)*symbols+c]++
			two[b*symbols+c]++
			one[c]++
			all++
			a, b = b, c
		}
	}
	sum2, sum1 := make([]float64, symbols*symbols), make([]float64, symbols)
	for i, n := range count {
		sum2[i/symbols] += n
	}
	for i, n := range two {
		sum1[i/symbols] += n
	}
	lang := &Language{}
	const k2, k1 = 4.0, 8.0 // how many sightings the shorter context weighs
	for i := range count {
		c, b := i%symbols, i/symbols%symbols
		p0 := (one[c] + 1) / (all + symbols)
		p1 := (two[b*symbols+c] + k1*p0) / (sum1[b] + k1)
		p2 := (count[i] + k2*p1) / (sum2[i/symbols] + k2)
		lang.p[i] = uint8(min(255, max(0, -16*math.Log2(p2))))
	}
	return lang
}

func (l *Language) score(d *[nDense]float32, label string) {
	a, b := end, end
	var bits [maxLabel + 1]float32
	n := 0
	sum, unlikely, very := float32(0), 0, 0
	for i := 0; i <= len(label) && n < len(bits); i++ {
		c := end
		if i < len(label) {
			c = symbol(label[i])
		}
		v := float32(l.p[(a*symbols+b)*symbols+c]) / 16
		bits[n] = v
		n++
		sum += v
		if v > 6 {
			unlikely++
		}
		if v > 9 {
			very++
		}
		a, b = b, c
	}
	worst := float32(0)
	for i := 0; i+3 <= n; i++ {
		worst = max(worst, bits[i]+bits[i+1]+bits[i+2])
	}
	f := float32(n)
	d[fLikelihood] = sum / f / 4
	d[fLikelihoodMin] = worst / 24
	d[fUnseen] = float32(very) / f * 4
	d[fKnown] = float32(unlikely) / f * 2
	d[fKnownMin] = sum / 64
}
