package minewarden

import "time"

// An Indicator is a known-bad value in normal form, with who says so and when it goes stale.
type Indicator struct {
	Type       string    `json:"type"`   // domain, ip, cidr, ip:port, sha256, wallet, url
	Value      string    `json:"value"`  // normal form
	Source     string    `json:"source"` // "feedname@2026-11-01"
	Confidence float64   `json:"confidence"`
	Expires    time.Time `json:"expires,omitzero"` // zero: never
}
