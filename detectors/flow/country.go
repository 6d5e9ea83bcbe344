package flow

import (
	"fmt"
	"net/netip"
	"strings"
	"time"

	"github.com/minewarden/minewarden"
)

// A Config is the section of this detector.
type Config struct {
	// UnexpectedCountries are codes of ISO 3166, as "KP". A connection to one of them is told each hour.
	UnexpectedCountries []string `yaml:"unexpected_countries"`
}

func (c Config) unexpected() (map[string]bool, error) {
	set := map[string]bool{}
	for _, code := range c.UnexpectedCountries {
		up := strings.ToUpper(code)
		if len(up) != 2 || up[0] < 'A' || up[0] > 'Z' || up[1] < 'A' || up[1] > 'Z' {
			return nil, fmt.Errorf("unexpected_countries: %q is not a code of two letters, as DE", code)
		}
		set[up] = true
	}
	return set, nil
}

// lands are the countries that connections go to. There are less than 26 x 26 of them.
type lands struct {
	unexpected map[string]bool
	seen       map[string]bool
	start      time.Time // of the first event with a country
}

// country tells of a connection to a country that is new, once there was time to learn the usual ones, or that was configured.
// The pipeline finds the country, so nothing is told without a database.
func (d *detector) country(ev *minewarden.Event, client who, subject minewarden.Subject, to netip.Addr) []minewarden.Finding {
	code := ev.Country
	if len(code) != 2 {
		return nil // a recording may hold anything
	}
	if d.lands.start.IsZero() {
		d.lands.start = ev.Time
	}
	fresh := !d.lands.seen[code]
	if fresh && len(d.lands.seen) < maxCountries {
		d.lands.seen[code] = true
	}
	rule := ruleCountry
	switch {
	case d.lands.unexpected[code]:
		rule = ruleUnusual
		// One claim an hour for each who connects and country: the port carries the code.
		if !d.news(toldKey{rule, client, netip.AddrPortFrom(netip.Addr{}, uint16(code[0])<<8|uint16(code[1]))}, ev.Time) {
			return nil
		}
	case !fresh || ev.Time.Sub(d.lands.start) < learning:
		return nil
	}
	return []minewarden.Finding{{
		Time: ev.Time, Rule: rule, Subject: subject, Confidence: 0.2, Process: ev.Process,
		Evidence: []minewarden.Evidence{{Key: "country", Value: code}, {Key: "address", Value: to.String()}},
	}}
}

const maxCountries = 26 * 26
