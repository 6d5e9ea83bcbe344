// Package trim gives back the parts of the program's own file that only its start needed.
package trim

import (
	"bufio"
	"errors"
	"fmt"
	"os"
	"strconv"
	"strings"
	"syscall"
	"unsafe"

	"golang.org/x/sys/unix"
)

// Program unmaps the pages of the running program's code and constants from this process; the kernel keeps them in its cache, and what is
// needed again is mapped again when it is touched. It returns how many bytes the mappings have. Reading rules, certificates and schemas
// at the start touches most of a program that later runs in a small part of itself.
func Program() (int, error) {
	exe, err := os.Readlink("/proc/self/exe")
	if err != nil {
		return 0, fmt.Errorf("trim: %w", err)
	}
	f, err := os.Open("/proc/self/maps")
	if err != nil {
		return 0, fmt.Errorf("trim: %w", err)
	}
	defer f.Close()
	total := 0
	var errs []error
	for in := bufio.NewScanner(f); in.Scan(); {
		from, to, ok := constant(in.Text(), exe)
		if !ok {
			continue
		}
		// Only clean pages of the file are let go: the mapping is private and cannot be written.
		if _, _, errno := syscall.Syscall(syscall.SYS_MADVISE, from, to-from, unix.MADV_DONTNEED); errno != 0 {
			errs = append(errs, fmt.Errorf("trim: madvise: %w", errno))
			continue
		}
		total += int(to - from)
	}
	return total, errors.Join(errs...)
}

// constant reads a line of /proc/self/maps; ok: it is a mapping of exe that cannot be written.
func constant(line, exe string) (from, to uintptr, ok bool) {
	fields := strings.SplitN(line, " ", 6)
	if len(fields) < 6 || strings.TrimLeft(fields[5], " ") != exe || strings.Contains(fields[1], "w") || !strings.HasSuffix(fields[1], "p") {
		return 0, 0, false
	}
	a, b, found := strings.Cut(fields[0], "-")
	x, err1 := strconv.ParseUint(a, 16, 8*int(unsafe.Sizeof(from)))
	y, err2 := strconv.ParseUint(b, 16, 8*int(unsafe.Sizeof(from)))
	return uintptr(x), uintptr(y), found && err1 == nil && err2 == nil && y > x
}
