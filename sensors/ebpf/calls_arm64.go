package ebpf

// oldCalls are those that arm64 does not have.
func oldCalls(*[maxCalls]uint8) {}
