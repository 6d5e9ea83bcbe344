package dga

import "math"

// A language knows how likely a letter is after the two before it, in names that people chose.
type language struct {
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

// newLanguage counts the labels.
func newLanguage(labels []string) *language {
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
	lang := &language{}
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

// score fills what the likelihood of the letters says.
func (l *language) score(d *counts, label string) {
	a, b := end, end
	var bits [maxLabel + 1]float32
	n := 0
	for i := 0; i <= len(label) && n < len(bits); i++ {
		c := end
		if i < len(label) {
			c = symbol(label[i])
		}
		bits[n] = float32(l.p[(a*symbols+b)*symbols+c]) / 16
		n++
		a, b = b, c
	}
	f := float32(n)
	sum := float32(0)
	d[fBest3] = 99
	for i, v := range bits[:n] {
		sum += v
		switch {
		case v > 9:
			d[fVeryUnlikely] += 1 / f
			d[fUnlikely] += 1 / f
		case v > 6:
			d[fUnlikely] += 1 / f
		case v < 3:
			d[fEasy] += 1 / f
		}
		if i >= 1 {
			d[fWorst2] = max(d[fWorst2], bits[i-1]+v)
		}
		if i >= 2 {
			three := bits[i-2] + bits[i-1] + v
			d[fWorst3], d[fBest3] = max(d[fWorst3], three), min(d[fBest3], three)
		}
	}
	mean, spread := sum/f, float32(0)
	for _, v := range bits[:n] {
		spread += (v - mean) * (v - mean)
	}
	d[fMean], d[fSum], d[fSpread] = mean, sum, float32(math.Sqrt(float64(spread/f)))
	for i := range min(3, n) {
		d[fFirst] += bits[i]
		d[fLast] += bits[n-1-i]
	}
}
