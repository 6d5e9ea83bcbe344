//go:build amd64 || arm64

package capture

// prefetch asks for the n bytes of memory from p on to come near the processor. It reads nothing.
//
//go:noescape
func prefetch(p *byte, n int)
