package network

// The objects are committed, so building needs no compiler for them. Making them anew needs clang 14 and the headers of
// libbpf (Debian 12: clang, llvm, libbpf-dev).
//
//go:generate go run github.com/cilium/ebpf/cmd/bpf2go -go-package network -target amd64,arm64 -cflags "-O2 -Wall -Werror -mcpu=v3 -fno-stack-protector -Ibpf" block bpf/block.bpf.c
