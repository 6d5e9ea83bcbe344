package rounding

// spin multiplies for n turns in one of the four rounding modes, with FZ, and leaves the mode as Go expects it.
//
//go:noescape
func spin(mode uint32, n uint64)
