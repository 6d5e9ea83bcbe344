package cryptonight

import "golang.org/x/sys/cpu"

func supported() bool { return cpu.X86.HasAES }

// walk goes n steps through the 2 MiB at memory, which it changes, as it does state. The masks in it keep the addresses inside.
//
//go:noescape
func walk(memory *uint64, state *[4]uint64, n uint64)
