package cve

import (
	"fmt"
	"regexp"
	"strconv"
	"strings"
)

// A Version is a release number as these products write it: 1.10.5, 1.21.0+ent, 20.10.24+dfsg1, 18.09.1-ce, 1.11.0-rc.1.
type Version struct {
	nums   [4]uint64
	pre    []string // identifiers of a pre-release, which sorts before the release
	Distro bool     // packaged by a distribution
	inf    bool
}

// Parse reads a version. Build metadata counts only to recognize a distribution's package.
func Parse(s string) (Version, error) {
	var v Version
	t := strings.TrimPrefix(strings.TrimSpace(s), "v")
	if i := strings.IndexByte(t, ':'); i >= 0 && i < 3 { // an epoch, as Debian writes it
		t = t[i+1:]
	}
	n := 0
	for n < len(v.nums) {
		end := 0
		for end < len(t) && t[end] >= '0' && t[end] <= '9' {
			end++
		}
		if end == 0 || end > 18 {
			break
		}
		x, err := strconv.ParseUint(t[:end], 10, 64)
		if err != nil {
			break
		}
		v.nums[n] = x
		n++
		t = t[end:]
		if !strings.HasPrefix(t, ".") {
			break
		}
		t = t[1:]
	}
	if n == 0 {
		return v, fmt.Errorf("%q: %w", clip(s), ErrVersion)
	}
	v.Distro = isDistro(t)
	t, _, _ = strings.Cut(t, "+")
	if rest := strings.TrimLeft(t, "-~._"); isPre(rest) {
		v.pre = strings.FieldsFunc(rest, func(r rune) bool { return r == '.' || r == '-' || r == '~' })
	}
	return v, nil
}

func clip(s string) string {
	if len(s) > 60 {
		return s[:60] + "…"
	}
	return s
}

func isDistro(suffix string) bool {
	return regexp.MustCompile(`(?i)dfsg|deb\d|ubuntu|\bel\d|\.fc\d|\bamzn|alpine|\bbp\d|suse|-r\d+$|^-\d|^-[a-z]*\d*ubuntu|\+ds|~ds|azure`).MatchString(suffix)
}

func isPre(s string) bool {
	for _, p := range []string{"alpha", "beta", "rc", "dev", "pre", "tp"} {
		if strings.HasPrefix(strings.ToLower(s), p) {
			return true
		}
	}
	return false
}

// Compare orders versions: -1, 0 or 1. Build metadata does not count.
func (v Version) Compare(w Version) int {
	if v.inf || w.inf {
		switch {
		case v.inf && w.inf:
			return 0
		case v.inf:
			return 1
		}
		return -1
	}
	for i := range v.nums {
		if v.nums[i] != w.nums[i] {
			if v.nums[i] < w.nums[i] {
				return -1
			}
			return 1
		}
	}
	switch {
	case len(v.pre) == 0 && len(w.pre) == 0:
		return 0
	case len(v.pre) == 0:
		return 1
	case len(w.pre) == 0:
		return -1
	}
	for i := 0; i < len(v.pre) && i < len(w.pre); i++ {
		if c := comparePre(v.pre[i], w.pre[i]); c != 0 {
			return c
		}
	}
	switch {
	case len(v.pre) < len(w.pre):
		return -1
	case len(v.pre) > len(w.pre):
		return 1
	}
	return 0
}

// comparePre orders identifiers: rc9 before rc10, numbers before words.
func comparePre(a, b string) int {
	aw, an := splitNumber(a)
	bw, bn := splitNumber(b)
	if aw != bw {
		if aw < bw {
			return -1
		}
		return 1
	}
	if an != bn {
		if an < bn {
			return -1
		}
		return 1
	}
	return 0
}

func splitNumber(s string) (word string, n uint64) {
	i := len(s)
	for i > 0 && s[i-1] >= '0' && s[i-1] <= '9' {
		i--
	}
	if x, err := strconv.ParseUint(s[i:], 10, 64); err == nil {
		return s[:i], x
	}
	return s, 0
}
