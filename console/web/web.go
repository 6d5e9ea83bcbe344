// Package web holds the browser part of the console as it was built: "npm ci && npm run build" in this folder fills dist.
package web

import (
	"embed"
	"io/fs"
)

//go:embed all:dist
var dist embed.FS

// Files returns what a browser may ask for, index.html at the root. It holds no index.html where the console was not built.
func Files() fs.FS {
	files, err := fs.Sub(dist, "dist")
	if err != nil {
		panic(err) // only for a name that embed would not have taken either
	}
	return files
}
