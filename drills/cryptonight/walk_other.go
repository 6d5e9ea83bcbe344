//go:build !amd64

package cryptonight

func supported() bool { return false }

func walk(*uint64, *[4]uint64, uint64) {}
