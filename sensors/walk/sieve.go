package walk

// sieveLen is how long a word must be for the sieve: the longer, the fewer bytes it looks at.
const sieveLen = 8

// sieve finds words of sieveLen bytes and more, looking at about every sixth byte: a pair of bytes that occurs in no word
// lets it jump over all words that would cover it. It is for the bulk of large files; it is immutable and may be shared.
type sieve struct {
	shift [1 << 16]uint8 // by pair of bytes: how far the window may go on; 0: a word may end here
	fold  [256]byte
	last  map[[2]byte][]int // by the last pair of the window, in lower case
}

func newSieve(words []string) *sieve {
	s := &sieve{last: map[[2]byte][]int{}}
	for i := range s.fold {
		s.fold[i] = byte(i)
		if i >= 'A' && i <= 'Z' {
			s.fold[i] += 'a' - 'A'
		}
	}
	for i := range s.shift {
		s.shift[i] = sieveLen - 1
	}
	for n, w := range words {
		if len(w) < sieveLen {
			continue
		}
		for j := range sieveLen - 1 {
			for _, a := range cases(w[j]) {
				for _, b := range cases(w[j+1]) {
					at := int(a)<<8 | int(b)
					s.shift[at] = min(s.shift[at], uint8(sieveLen-2-j))
				}
			}
		}
		key := [2]byte{w[sieveLen-2], w[sieveLen-1]}
		s.last[key] = append(s.last[key], n)
	}
	return s
}

func cases(c byte) []byte {
	if c >= 'a' && c <= 'z' {
		return []byte{c, c - 'a' + 'A'}
	}
	return []byte{c}
}

// scan calls hit at the end of each word in data.
func (s *sieve) scan(data []byte, hit func(word, end int)) {
	for i := sieveLen - 1; i < len(data); {
		if n := s.shift[int(data[i-1])<<8|int(data[i])]; n > 0 {
			i += int(n)
			continue
		}
		start := i - sieveLen + 1
		for _, n := range s.last[[2]byte{s.fold[data[i-1]], s.fold[data[i]]}] {
			if w := words[n]; start+len(w) <= len(data) && s.equal(data[start:start+len(w)], w) {
				hit(n, start+len(w))
			}
		}
		i++
	}
}

func (s *sieve) equal(data []byte, word string) bool {
	for i, c := range data {
		if s.fold[c] != word[i] {
			return false
		}
	}
	return true
}
