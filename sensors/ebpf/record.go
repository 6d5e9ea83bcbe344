package ebpf

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"path"
	"runtime"
	"slices"
	"strings"

	"golang.org/x/sys/unix"

	"github.com/minewarden/minewarden"
)

// The kinds of bpf/event.h.
const (
	kindExec = 1 + iota
	kindFork
	kindExit
	kindConnect
	kindTune
	kindAccess
	kindSample
	numKinds
)

// What is lost is counted by kind and, after these, for tables that are full.
const (
	lostProtect = numKinds + iota
	numLosses
)

var lossNames = [numLosses]string{
	kindExec: "ring buffer, exec", kindFork: "ring buffer, fork", kindExit: "ring buffer, exit", kindConnect: "ring buffer, connect",
	kindTune: "ring buffer, tune", kindAccess: "ring buffer, access", kindSample: "ring buffer, sample",
	lostProtect: "memory made executable, the table is full",
}

// The sizes of the fixed parts of the records.
const (
	headSize = 32
	execSize = headSize + 104
)

// fields reads a record of the kernel, whose byte order is little on both architectures. After a read past the end,
// short is true and every value is zero.
type fields struct {
	rest  []byte
	short bool
}

func (f *fields) bytes(n int) []byte {
	if n < 0 || n > len(f.rest) {
		f.short, f.rest = true, nil
		return make([]byte, min(max(n, 0), 16))
	}
	b := f.rest[:n]
	f.rest = f.rest[n:]
	return b
}

func (f *fields) u16() uint16 { return binary.LittleEndian.Uint16(f.bytes(2)) }
func (f *fields) u32() uint32 { return binary.LittleEndian.Uint32(f.bytes(4)) }
func (f *fields) u64() uint64 { return binary.LittleEndian.Uint64(f.bytes(8)) }

// text reads n bytes as a string that ends at the first zero.
func (f *fields) text(n int) string {
	b := f.bytes(n)
	if f.short {
		return ""
	}
	if i := bytes.IndexByte(b, 0); i >= 0 {
		b = b[:i]
	}
	return string(b)
}

// head begins every record.
type head struct {
	kind, tgid, tid, flags uint32
	start, time            uint64
}

// decode makes an event of a record. The event keeps nothing of raw.
func decode(raw []byte, c clock) (minewarden.Event, error) {
	f := &fields{rest: raw}
	h := head{f.u32(), f.u32(), f.u32(), f.u32(), f.u64(), f.u64()}
	ev := minewarden.Event{Process: &minewarden.Process{Key: key(h.tgid, h.start)}}
	switch h.kind {
	case kindExec:
		ev.Data = decodeExec(f, h)
	case kindFork:
		child := f.u64()
		ev.Data = &minewarden.Fork{Child: key(f.u32(), child)}
	case kindExit:
		status := unix.WaitStatus(f.u32())
		exit := &minewarden.Exit{}
		if status.Signaled() {
			exit.Signal = int32(status.Signal())
		} else {
			exit.Code = int32(status >> 8 & 0xff)
		}
		ev.Data = exit
	case kindConnect:
		ev.Data = decodeConnect(f)
	case kindTune:
		ev.Data = decodeTune(f)
	case kindAccess:
		ev.Data = decodeAccess(f)
	case kindSample:
		ev.Data = decodeSample(f, h)
	default:
		return ev, fmt.Errorf("record of %d bytes is of kind %d, which is not known", len(raw), h.kind)
	}
	if f.short {
		return ev, fmt.Errorf("record of kind %d with %d bytes is too short", h.kind, len(raw))
	}
	ev.Time = c.at(h.time)
	return ev, nil
}

// The flags of bpf/process.bpf.c.
const (
	flagDetached = 1 << iota
	flagDeleted
	flagScript
	flagArgsCut
	flagArgsLost
	flagExeCut
	flagCwdCut
)

// cutMark stands where a path begins that has more parts than the program walks.
const cutMark = "…"

func decodeExec(f *fields, h head) *minewarden.Exec {
	e := &minewarden.Exec{}
	parentStart := f.u64()
	e.Parent = key(f.u32(), parentStart)
	e.UID, e.GID = f.u32(), f.u32()
	dev := f.u32()
	e.Inode = minewarden.Inode{Dev: userDev(dev), Ino: f.u64(), Mtime: int64(f.u64())}
	e.CgroupID = f.u64()
	e.Name, e.ParentName = f.text(16), f.text(16)
	filename, exe, cwd, preload, args := f.u32(), f.u32(), f.u32(), f.u32(), f.u32()
	f.u32() // args in all
	e.Filename = f.text(int(filename))
	e.Exe = joinParts(f.bytes(int(exe)))
	e.Cwd = joinParts(f.bytes(int(cwd)))
	if h.flags&flagExeCut != 0 {
		e.Exe = cutMark + e.Exe
	}
	if h.flags&flagCwdCut != 0 {
		e.Cwd = cutMark + e.Cwd
	}
	_, e.Preload, _ = strings.Cut(f.text(int(preload)), "=")
	e.Args = splitArgs(f.bytes(int(args)))
	e.ArgsTruncated = h.flags&(flagArgsCut|flagArgsLost) != 0
	if h.flags&flagDetached != 0 && strings.HasPrefix(e.Exe, "/memfd:") {
		e.Exe, e.Memfd = e.Exe[1:], true
	} else {
		e.Deleted = h.flags&flagDeleted != 0
	}
	if h.flags&flagScript != 0 {
		e.Script = absolute(e.Cwd, e.Filename)
	}
	return e
}

func decodeSample(f *fields, h head) *minewarden.Sample {
	s := &minewarden.Sample{TID: int32(h.tid), Arch: runtime.GOARCH, IP: f.u64()}
	n := f.u32()
	s.Anon = f.u32() == 1
	s.Code = slices.Clone(f.bytes(int(min(n, 256))))
	return s
}

// joinParts makes a path of its parts, which come last first, each ended by a zero.
func joinParts(parts []byte) string {
	if len(parts) == 0 {
		return "/"
	}
	path := make([]byte, 0, len(parts)+1)
	for parts = bytes.TrimSuffix(parts, []byte{0}); ; {
		i := bytes.LastIndexByte(parts, 0)
		path = append(path, '/')
		path = append(path, parts[i+1:]...)
		if i < 0 {
			return string(path)
		}
		parts = parts[:i]
	}
}

// splitArgs makes strings of zero-ended ones; the last one may lack its end.
func splitArgs(b []byte) []string {
	if len(b) == 0 {
		return nil
	}
	return strings.Split(string(bytes.TrimSuffix(b, []byte{0})), "\x00")
}

func absolute(dir, file string) string {
	if file == "" || path.IsAbs(file) {
		return file
	}
	return path.Join(dir, file)
}

// userDev turns the kernel's device number into that of stat(2).
func userDev(dev uint32) uint64 { return unix.Mkdev(dev>>20, dev&0xfffff) }
