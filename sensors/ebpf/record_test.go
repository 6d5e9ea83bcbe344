package ebpf

import (
	"encoding/binary"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/minewarden/minewarden"
)

// execRecord is a record as the kernel sends it.
func execRecord(flags uint32, filename, exe, cwd, preload, args string) []byte {
	b := make([]byte, execSize)
	le := binary.LittleEndian
	le.PutUint32(b[0:], kindExec)
	le.PutUint32(b[4:], 42)
	le.PutUint32(b[8:], 42)
	le.PutUint32(b[12:], flags)
	le.PutUint64(b[16:], 1_234_567_890)
	le.PutUint64(b[24:], 2_000_000_000)
	le.PutUint64(b[32:], 990_000_000)
	le.PutUint32(b[40:], 7)
	le.PutUint32(b[44:], 1000)
	le.PutUint32(b[48:], 1001)
	le.PutUint32(b[52:], 254<<20|3)
	le.PutUint64(b[56:], 77)
	le.PutUint64(b[64:], 88)
	le.PutUint64(b[72:], 99)
	copy(b[80:], "nginx\x00junk")
	copy(b[96:], "sh")
	for i, part := range []string{filename, exe, cwd, preload, args} {
		le.PutUint32(b[112+4*i:], uint32(len(part)))
	}
	return append(b, filename+exe+cwd+preload+args...)
}

func TestDecodeExec(t *testing.T) {
	c := clock{boot: time.Unix(1000, 0)}
	got, err := decode(execRecord(0, "./nginx\x00", "nginx\x00bin\x00usr\x00", "tmp\x00", "LD_PRELOAD=x\x00", "nginx\x00\x00-c\x00"), c)
	if err != nil {
		t.Fatal(err)
	}
	want := minewarden.Event{
		Time:    time.Unix(1002, 0),
		Process: &minewarden.Process{Key: minewarden.ProcessKey{PID: 42, Start: 123}},
		Data: &minewarden.Exec{
			Parent: minewarden.ProcessKey{PID: 7, Start: 99}, ParentName: "sh", Name: "nginx",
			Exe: "/usr/bin/nginx", Filename: "./nginx", Args: []string{"nginx", "", "-c"}, Cwd: "/tmp",
			UID: 1000, GID: 1001, CgroupID: 99, Inode: minewarden.Inode{Dev: 254<<8 | 3, Ino: 77, Mtime: 88}, Preload: "x",
		},
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
}

func FuzzDecode(f *testing.F) {
	f.Add(execRecord(flagScript|flagDetached, "./nginx\x00", "memfd:a\x00", "", "", "a"))
	for kind := range uint32(numKinds) {
		b := make([]byte, 256)
		binary.LittleEndian.PutUint32(b, kind)
		f.Add(b)
	}
	f.Fuzz(func(t *testing.T, raw []byte) {
		ev, err := decode(raw, clock{})
		if err == nil && (ev.Data == nil || ev.Process == nil) {
			t.Errorf("no error and no data: %+v", ev)
		}
	})
}

func FuzzStat(f *testing.F) {
	f.Add("1 (a) b) S 0 1 1 0 -1 4194560 1 2 3 4 5 6 7 8 20 0 1 0 22 100 200")
	f.Add("1 (")
	f.Add(")(")
	f.Fuzz(func(t *testing.T, line string) {
		if st, err := parseStat(line); err == nil && len(st.comm) > len(line) {
			t.Errorf("comm %q of %q", st.comm, line)
		}
	})
}

func FuzzCPUs(f *testing.F) {
	f.Add("0-3,8\n")
	f.Add("0-99999999")
	f.Fuzz(func(t *testing.T, list string) {
		if cpus, err := parseCPUs(list); err == nil && (len(cpus) == 0 || len(cpus) > maxCPUs) {
			t.Errorf("%d CPUs of %q", len(cpus), list)
		}
	})
}

func BenchmarkDecode(b *testing.B) {
	raw := execRecord(0, "./nginx\x00", "nginx\x00bin\x00usr\x00", "tmp\x00", "", "nginx\x00\x00-c\x00")
	connect := make([]byte, 96)
	binary.LittleEndian.PutUint32(connect, kindConnect)
	for name, raw := range map[string][]byte{"exec": raw, "connect": connect} {
		b.Run(name, func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				if _, err := decode(raw, clock{}); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}
