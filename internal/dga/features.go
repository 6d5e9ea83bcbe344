package dga

import "math"

// Counts of a name.
const (
	fLength = iota
	fVowels
	fDigits
	fHyphens
	fRunConsonant
	fRunDigit
	fRunVowel
	fChanges   // letter to digit or back
	fAlternate // vowel to other or back
	fRare
	fEntropy
	fDistinct
	fHex
	fBefore
	fSuffixDots
	fSuffixLength
	fDynamic
	fSuffixOdds
	fSuffixSeen
	fMean // bits a letter has in names that people chose, and what else is known of them
	fSum
	fWorst2
	fWorst3
	fBest3
	fUnlikely
	fVeryUnlikely
	fEasy
	fSpread
	fFirst
	fLast
	fCovered // by pieces of names that people chose
	fUncovered
	fPieceWorth
	fPieceLongest
	fPieces4
	fPieces3
	fLinear
	fLinearMean
	nCounts
)

// counts are what the trees look at.
type counts [nCounts]float32

// A parts is what Split returns.
type parts struct {
	label, suffix string
	labels        int
}

func split(name string) parts {
	label, suffix, labels := Split(name)
	return parts{label[:min(len(label), maxLabel)], suffix, labels}
}

func vowel(c byte) bool {
	return c == 'a' || c == 'e' || c == 'i' || c == 'o' || c == 'u' || c == 'y'
}

func digit(c byte) bool { return c >= '0' && c <= '9' }

// count fills d.
func (t *tables) count(d *counts, p parts) {
	*d = counts{}
	if p.label == "" {
		return
	}
	letters(d, p.label)
	d[fBefore] = float32(min(p.labels-1, 6))
	for i := range len(p.suffix) {
		if p.suffix[i] == '.' {
			d[fSuffixDots]++
		}
	}
	d[fSuffixLength] = float32(len(p.suffix))
	if isDynamic(p.suffix) {
		d[fDynamic] = 1
	}
	d[fSuffixOdds], d[fSuffixSeen] = t.suffixes.odds(p.suffix)
	t.lang.score(d, p.label)
	t.pieces.cover(d, p.label)
	sum, n := t.linear.sum(p.label)
	d[fLinear], d[fLinearMean] = sum/float32(math.Sqrt(float64(n))), sum/float32(n)
}

// letters fills what needs no table.
func letters(d *counts, label string) {
	var seen [256]uint8
	vowels, digits, hyphens, hex, rare := 0, 0, 0, 0, 0
	var run, longest struct{ consonant, digit, vowel int }
	for i := range len(label) {
		c := label[i]
		seen[c]++
		if i > 0 && digit(c) != digit(label[i-1]) {
			d[fChanges]++
		}
		if i > 0 && vowel(c) != vowel(label[i-1]) {
			d[fAlternate]++
		}
		if digit(c) || c >= 'a' && c <= 'f' {
			hex++
		}
		switch c {
		case 'j', 'q', 'x', 'z', 'k', 'w', 'v':
			rare++
		}
		switch {
		case digit(c):
			digits++
			run.digit++
			run.consonant, run.vowel = 0, 0
		case c == '-' || c == '_':
			hyphens++
			run.consonant, run.digit, run.vowel = 0, 0, 0
		case vowel(c):
			vowels++
			run.vowel++
			run.consonant, run.digit = 0, 0
		default:
			run.consonant++
			run.digit, run.vowel = 0, 0
		}
		longest.consonant, longest.digit, longest.vowel = max(longest.consonant, run.consonant), max(longest.digit, run.digit), max(longest.vowel, run.vowel)
	}
	n := float32(len(label))
	repeated, distinct := 0.0, 0 // sum of k log2 k
	for i := range len(label) {
		k := seen[label[i]]
		if k > 0 {
			distinct++
		}
		if k > 1 {
			repeated += float64(k) * math.Log2(float64(k))
		}
		seen[label[i]] = 0
	}
	entropy := math.Log2(float64(n)) - repeated/float64(n)
	d[fLength], d[fVowels], d[fDigits], d[fHyphens] = n, float32(vowels)/n, float32(digits)/n, float32(hyphens)
	d[fRunConsonant], d[fRunDigit], d[fRunVowel] = float32(longest.consonant), float32(longest.digit), float32(longest.vowel)
	d[fAlternate] /= n
	d[fRare], d[fEntropy], d[fDistinct], d[fHex] = float32(rare)/n, float32(entropy), float32(distinct)/n, float32(hex)/n
}
