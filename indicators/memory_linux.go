package indicators

import (
	"unsafe"

	"golang.org/x/sys/unix"
)

// hugePage is the size of a huge page where pages are of 4 KiB.
const hugePage = 2 << 20

// allocate returns lines and words of zeroes, and how to give them back. Large ones are kept outside of Go's heap, which would reserve
// as much again for its next collection, and in huge pages where the kernel gives them to those who ask: with small ones, each
// look-up costs a walk through the page table as well.
func allocate(lines, words int) ([]line, []uint64, func()) {
	head := lines * int(unsafe.Sizeof(line{}))
	size := head + words*8
	if size < hugePage {
		return make([]line, lines), make([]uint64, words), nil
	}
	mem, err := unix.Mmap(-1, 0, size+hugePage, unix.PROT_READ|unix.PROT_WRITE, unix.MAP_PRIVATE|unix.MAP_ANONYMOUS)
	if err != nil {
		return make([]line, lines), make([]uint64, words), nil
	}
	// An aligned start, so that the first page is a huge one too. What is left out at both ends is never touched.
	from := -uintptr(unsafe.Pointer(unsafe.SliceData(mem))) & (hugePage - 1)
	block := mem[from : int(from)+size]
	// Where there are no huge pages this fails, and the pages are small.
	_ = unix.Madvise(block, unix.MADV_HUGEPAGE)
	l := unsafe.Slice((*line)(unsafe.Pointer(unsafe.SliceData(block))), lines)
	w := unsafe.Slice((*uint64)(unsafe.Pointer(&block[head])), words)
	return l, w, func() { _ = unix.Munmap(mem) }
}
