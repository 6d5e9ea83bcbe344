package sockets

import (
	"os"
	"strconv"
	"strings"
)

const maxFDs = 65536 // of one process

// Holders returns the sockets that these processes hold, and by whom, by inode. What ended meanwhile is passed over.
func Holders(pids []int32) map[uint32]int32 {
	own := map[uint32]int32{}
	for _, pid := range pids {
		dir := "/proc/" + strconv.Itoa(int(pid)) + "/fd"
		d, err := os.Open(dir)
		if err != nil {
			continue
		}
		names, err := d.Readdirnames(maxFDs)
		if d.Close() != nil || (err != nil && len(names) == 0) {
			continue
		}
		for _, n := range names {
			link, err := os.Readlink(dir + "/" + n)
			if err != nil || !strings.HasPrefix(link, "socket:[") {
				continue
			}
			if inode, err := strconv.ParseUint(strings.Trim(link[len("socket:"):], "[]"), 10, 32); err == nil {
				own[uint32(inode)] = pid
			}
		}
	}
	return own
}
