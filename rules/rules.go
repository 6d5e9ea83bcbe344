// Package rules holds minewarden's own Sigma rules: one file for each attack chain that it is held to, with a matching and a
// non-matching recording in testdata.
package rules

import "embed"

// FS holds the rule files.
//
//go:embed *.yml
var FS embed.FS
