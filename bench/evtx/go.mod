module github.com/minewarden/minewarden/bench/evtx

go 1.26.0

replace github.com/minewarden/minewarden => ../..

require (
	github.com/0xrawsec/golang-evtx v1.2.9
	github.com/minewarden/minewarden v0.0.0-00010101000000-000000000000
)

require github.com/0xrawsec/golang-utils v1.3.0 // indirect
