// Package dga judges whether a name was made by an algorithm: malware asks for hundreds of names that nobody chose, to find the
// one that its operator registered. A name is turned into counts, among them how likely its letters are after one another, and
// decision trees add up what the counts say. The table of all this is made by bench/dga.
package dga

import (
	"math"
	"strings"
)

// maxLabel is the longest label that DNS allows.
const maxLabel = 63

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

// Split returns the label that somebody chose to register, what it is registered under, and how many labels the name has before the
// suffix. Labels before the chosen one are its owner's to make up, and content networks make them up by algorithms of their own.
func Split(name string) (label, suffix string, labels int) {
	name = strings.TrimSuffix(name, ".")
	last := strings.LastIndexByte(name, '.')
	if last < 0 {
		return name, "", 1
	}
	suffix, rest := name[last+1:], name[:last]
	before := strings.LastIndexByte(rest, '.')
	if before >= 0 && (shared(rest[before+1:], suffix) || isDynamic(name[before+1:])) {
		suffix, rest = name[before+1:], rest[:before]
		before = strings.LastIndexByte(rest, '.')
	}
	return rest[before+1:], suffix, 1 + strings.Count(rest, ".")
}

// shared says that a label before the last is a country's own "com" or the like.
func shared(second, top string) bool {
	if len(top) != 2 {
		return false
	}
	switch second {
	case "ac", "co", "com", "edu", "gob", "gov", "go", "id", "info", "mil", "ne", "net", "nic", "nom", "or", "org", "sch", "ltd", "plc", "web", "in":
		return true
	}
	return false
}

func isDynamic(suffix string) bool {
	for _, d := range dynamic {
		if suffix == d {
			return true
		}
	}
	return false
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
