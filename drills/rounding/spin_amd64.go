package rounding

// spin multiplies for n turns in one of the four rounding modes, with FTZ and DAZ, and leaves the mode as Go expects it.
//
//go:noescape
func spin(mode uint32, n uint64)
