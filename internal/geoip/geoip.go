// Package geoip tells the country of an address by a database in the MaxMind DB format, as MaxMind, DB-IP and IPinfo publish them.
package geoip

import (
	"fmt"
	"io"
	"net/netip"
	"os"
	"slices"
	"strings"

	"github.com/oschwald/maxminddb-golang/v2"
)

// maxSize bounds the file: the largest database of cities has about 120 MB, those of countries have less than 10.
const maxSize = 256 << 20

// A DB is a database in memory: one that is written over while it is read does no harm. It is safe for concurrent use.
type DB struct {
	reader *maxminddb.Reader
}

// kinds are words in the types of databases that know countries.
var kinds = [...]string{"country", "city", "location", "enterprise", "geo"}

// paths are where the publishers keep the country, in order of preference. An address that is used elsewhere than where it is registered has both of the first two.
var paths = [...][]any{{"country", "iso_code"}, {"registered_country", "iso_code"}, {"country_code"}, {"country"}}

// Open reads the database at path.
func Open(path string) (*DB, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, fmt.Errorf("read database of countries: %w", err)
	}
	defer f.Close()
	b, err := io.ReadAll(io.LimitReader(f, maxSize+1))
	if err == nil && len(b) > maxSize {
		err = fmt.Errorf("larger than %d MiB", maxSize>>20)
	}
	if err != nil {
		return nil, fmt.Errorf("read database of countries %s: %w", path, err)
	}
	db, err := Parse(b)
	if err != nil {
		return nil, fmt.Errorf("read database of countries %s: %w", path, err)
	}
	return db, nil
}

// Parse reads a database. It keeps b.
func Parse(b []byte) (*DB, error) {
	r, err := maxminddb.OpenBytes(b)
	if err != nil {
		return nil, fmt.Errorf("not a MaxMind DB: %w", err)
	}
	// The tree is not walked to see: a damaged one may have more paths than can be followed.
	kind := strings.ToLower(r.Metadata.DatabaseType)
	if !slices.ContainsFunc(kinds[:], func(k string) bool { return strings.Contains(kind, k) }) {
		return nil, fmt.Errorf("a MaxMind DB of %q, which has no countries", r.Metadata.DatabaseType)
	}
	return &DB{reader: r}, nil
}

// Country returns the ISO 3166 code of the country of a, as "DE", or "" where it is not known. An error says that
// this part of the database is damaged.
func (db *DB) Country(a netip.Addr) (string, error) {
	if !a.IsGlobalUnicast() || a.IsPrivate() {
		return "", nil
	}
	found := db.reader.Lookup(a.Unmap().WithZone(""))
	if err := found.Err(); err != nil {
		return "", fmt.Errorf("look up the country of %s: %w", a, err)
	}
	if !found.Found() {
		return "", nil
	}
	for _, p := range paths {
		if code, err := country(found, p); err == nil && code != "" {
			return code, nil
		}
	}
	return "", nil
}

// country returns the value at path where it is a code of two letters.
func country(found maxminddb.Result, path []any) (string, error) {
	var code string
	if err := found.DecodePath(&code, path...); err != nil {
		return "", err
	}
	if len(code) != 2 || code[0] < 'A' || code[0] > 'Z' || code[1] < 'A' || code[1] > 'Z' {
		return "", nil
	}
	return code, nil
}
