// Package dga judges whether a name was made by an algorithm: malware asks for hundreds of names that nobody chose, to find the
// one that its operator registered. The model is a table of weights over short runs of letters and a few counts, made by
// bench/dga from names of known families and of lists of visited sites.
package dga

import (
	"math"
	"strings"
)

// Size of the table: runs of letters fall into one of these slots by a hash.
const (
	bitsOfSlots = 16
	slots       = 1 << bitsOfSlots
)

// Dense counts, after the slots.
const (
	fLength = iota
	fLength2
	fVowels
	fDigits
	fHyphens
	fLabels
	fEntropy
	fRunConsonant
	fRunDigit
	fDistinct
	fChanges // letter to digit or back
	fKnown   // runs that names of people's choice hold
	fKnownMin
	fUnseen
	fLikelihood
	fLikelihoodMin
	nDense
)

// maxLabel is the longest label that DNS allows.
const maxLabel = 63

// Split returns the part of a name that was chosen, and what it is registered under: the longest label before the last, or
// before the last two where both are short as in "co.uk".
func Split(name string) (label, suffix string, labels int) {
	name = strings.TrimSuffix(name, ".")
	last := strings.LastIndexByte(name, '.')
	if last < 0 {
		return name, "", 1
	}
	suffix, rest := name[last+1:], name[:last]
	if i := strings.LastIndexByte(rest, '.'); i >= 0 && len(rest)-i-1 <= 3 && len(suffix) == 2 {
		suffix, rest = name[i+1:], rest[:i]
	}
	labels = 1 + strings.Count(rest, ".")
	for rest != "" {
		one := rest
		if i := strings.IndexByte(rest, '.'); i >= 0 {
			one, rest = rest[:i], rest[i+1:]
		} else {
			rest = ""
		}
		if len(one) >= len(label) {
			label = one
		}
	}
	return label, suffix, labels
}

func hash(h uint32, s string) uint32 {
	for i := range len(s) {
		h = (h ^ uint32(s[i])) * 16777619
	}
	return h
}

func slot(h uint32) uint32 {
	h ^= h >> 15
	h *= 2246822519
	h ^= h >> 13
	return h & (slots - 1)
}

// Slots appends the table slots that a name falls into: its runs of two to four letters, with its ends, and its suffix.
func Slots(out []uint32, label, suffix string) []uint32 {
	var buf [maxLabel + 2]byte
	n := 1 + copy(buf[1:maxLabel+1], label)
	buf[0], buf[n] = '^', '$'
	n++
	s := string(buf[:n])
	for size := 2; size <= 4; size++ {
		for i := 0; i+size <= n; i++ {
			out = append(out, slot(hash(2166136261+uint32(size), s[i:i+size])))
		}
	}
	return append(out, slot(hash(99, suffix)))
}

// Dense fills d with the counts. Lang may be nil.
func Dense(d *[nDense]float32, label string, labels int, lang *Language) {
	*d = [nDense]float32{}
	n := len(label)
	if n == 0 {
		return
	}
	var seen [256]uint8
	vowels, digits, hyphens, run, longest, drun, dlongest, changes := 0, 0, 0, 0, 0, 0, 0, 0
	for i := range n {
		c := label[i]
		seen[c]++
		isDigit := c >= '0' && c <= '9'
		if i > 0 && isDigit != (label[i-1] >= '0' && label[i-1] <= '9') {
			changes++
		}
		switch {
		case isDigit:
			digits++
			drun++
			run = 0
		case c == '-' || c == '_':
			hyphens++
			run, drun = 0, 0
		case c == 'a' || c == 'e' || c == 'i' || c == 'o' || c == 'u' || c == 'y':
			vowels++
			run, drun = 0, 0
		default:
			run++
			drun = 0
		}
		longest, dlongest = max(longest, run), max(dlongest, drun)
	}
	entropy, distinct := 0.0, 0
	for _, k := range seen {
		if k > 0 {
			p := float64(k) / float64(n)
			entropy -= p * math.Log2(p)
			distinct++
		}
	}
	f := float32(n)
	d[fLength], d[fLength2] = f/16, f*f/400
	d[fVowels], d[fDigits], d[fHyphens] = float32(vowels)/f, float32(digits)/f, float32(hyphens)
	d[fLabels], d[fEntropy] = float32(min(labels, 5)-1), float32(entropy)/4
	d[fRunConsonant], d[fRunDigit], d[fDistinct], d[fChanges] = float32(min(longest, 8))/4, float32(min(dlongest, 8))/4, float32(distinct)/f, float32(min(changes, 8))/4
	if lang != nil {
		lang.score(d, label)
	}
}

// Entropy returns bits for each letter of the label, dots left out: the common rule calls more than 3.8 generated.
func Entropy(label string) float64 {
	var seen [256]uint16
	n := 0
	for i := range min(len(label), 1<<16-1) {
		if label[i] != '.' {
			seen[label[i]]++
			n++
		}
	}
	if n == 0 {
		return 0
	}
	sum := 0.0 // of k log2 k
	for i := range min(len(label), 1<<16-1) {
		if k := seen[label[i]]; k > 1 && label[i] != '.' {
			sum += float64(k) * math.Log2(float64(k))
			seen[label[i]] = 0
		}
	}
	return math.Log2(float64(n)) - sum/float64(n)
}
