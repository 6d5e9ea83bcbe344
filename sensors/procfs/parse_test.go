package procfs

import (
	"bytes"
	"io"
	"net/netip"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"testing/fstest"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/minewarden/minewarden"
)

func TestParseStat(t *testing.T) {
	text := "42 (a) S (b) R 7 42 42 0 -1 4194304 1 2 3 4 150 50 0 0 39 19 3 0 9001 3133440 409 18446744073709551615 1 2 140733885646176 0 0 0 0 0 0 0 0 0 17 1 0 5 0 0 0\n"
	got, err := parseStat([]byte(text))
	if err != nil {
		t.Fatal(err)
	}
	want := stat{pid: 42, name: []byte("a) S (b"), state: 'R', parent: 7, flags: 4194304, ticks: 200, nice: 19, threads: 3, start: 9001, pages: 409, stack: 140733885646176, policy: 5}
	if diff := cmp.Diff(want, got, cmp.AllowUnexported(stat{})); diff != "" {
		t.Error(diff)
	}
	if policyName(got.policy) != "idle" {
		t.Errorf("policy %q", policyName(got.policy))
	}
}

func TestParseMaps(t *testing.T) {
	const text = `00400000-00500000 r-xp 00000000 08:01 123                                /usr/bin/x
7f0000000000-7f0010000000 rw-p 00000000 00:00 0
7f0010000000-7f0010100000 rwxp 00000000 00:00 0
7f0020000000-7f0020200000 rw-s 00000000 00:0f 77                         /anon_hugepage (deleted)
7f0030000000-7f0030001000 r-xs 00000000 00:01 9                          /memfd:jit (deleted)
7ffc00000000-7ffc00021000 rw-p 00000000 00:00 0                          [stack]
7ffc00030000-7ffc00032000 r-xp 00000000 00:00 0                          [vdso]
`
	m, err := parseMaps(strings.NewReader(text), make([]byte, 128))
	if err != nil {
		t.Fatal(err)
	}
	want := minewarden.Memory{AnonExec: 0x101000, Regions: []uint64{0x10000000, 0x200000, 0x100000, 0x1000}}
	if diff := cmp.Diff(want, m); diff != "" {
		t.Error(diff)
	}
}

func TestParseSockets(t *testing.T) {
	const text = "  sl  local_address rem_address   st tx_queue rx_queue tr tm->when retrnsmt   uid  timeout inode\n" +
		"   0: 0100007F:1F90 0200000A:0D05 01 00000000:00000000 00:00000000 00000000  1000        0 4711 1 0 20 4 0 10 -1\n" +
		"   1: 0000000000000000FFFF00000100007F:1F91 0000000000000000FFFF00000200000A:01BB 02 00000000:00000000 00:00000000 00000000  0        0 4712 1 0\n"
	got, err := parseSockets(strings.NewReader(text), make([]byte, 512), nil)
	if err != nil {
		t.Fatal(err)
	}
	if len(got) != 2 || got[0].remote != netip.MustParseAddrPort("10.0.0.2:3333") || got[0].inode != 4711 ||
		got[1].local != netip.MustParseAddrPort("127.0.0.1:8081") || got[1].state != stateSynSent {
		t.Errorf("got %+v", got)
	}
}

func TestProcMounts(t *testing.T) {
	text := "36 25 0:32 / /proc/4711 rw - tmpfs t rw\n37 25 0:33 / /proc/sys/fs/binfmt_misc rw - x y rw\n38 25 0:34 / /proc/12/fd rw - a b rw\n39 1 0:5 / /proc rw - proc proc rw\n"
	if got := procMounts([]byte(text)); !slices.Equal(got, []int32{4711, 12}) {
		t.Errorf("got %v", got)
	}
}

// TestGPU looks at a process of a fixture that holds a GPU twice through one handle.
func TestGPU(t *testing.T) {
	dir := t.TempDir()
	write := func(name, text string) {
		t.Helper()
		if err := os.MkdirAll(filepath.Dir(filepath.Join(dir, name)), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	info := func(ns string) string {
		return "pos:\t0\ndrm-driver:\ti915\ndrm-pdev:\t0000:00:02.0\ndrm-client-id:\t7\ndrm-engine-render:\t" + ns + " ns\ndrm-engine-capacity-render:\t1\n"
	}
	write("7/fdinfo/3", info("1000000000"))
	write("7/fdinfo/4", info("1000000000"))
	if err := os.MkdirAll(filepath.Join(dir, "7/fd"), 0o755); err != nil {
		t.Fatal(err)
	}
	for fd, to := range map[string]string{"3": "/dev/dri/renderD128", "4": "/dev/dri/renderD128", "5": "/dev/nvidia0", "6": "/tmp/x"} {
		if err := os.Symlink(to, filepath.Join(dir, "7/fd", fd)); err != nil {
			t.Fatal(err)
		}
	}
	tr, err := openTree(dir)
	if err != nil {
		t.Fatal(err)
	}
	defer tr.close()
	w := &watch{tree: tr, gpus: hasGPU(fstest.MapFS{"dev/dri/renderD128": {}})}
	p := &process{who: &minewarden.Process{Key: minewarden.ProcessKey{PID: 7}}}
	now := time.Unix(1000, 0)
	if used := w.gpuTime(now, p); used != 0 || !p.gpu.open {
		t.Errorf("first look: used %v, open %v", used, p.gpu.open)
	}
	write("7/fdinfo/3", info("1500000000"))
	write("7/fdinfo/4", info("1500000000"))
	if used := w.gpuTime(now.Add(time.Second), p); used != 500*time.Millisecond {
		t.Errorf("used %v, want 500ms", used)
	}
}

// FuzzParsers gives each parser the same bytes.
func FuzzParsers(f *testing.F) {
	for _, name := range []string{"/proc/self/stat", "/proc/stat", "/proc/self/maps", "/proc/net/tcp", "/proc/self/mountinfo", "/proc/self/status", "/proc/self/environ"} {
		if text, err := os.ReadFile(name); err == nil {
			f.Add(text)
		}
	}
	f.Fuzz(func(t *testing.T, text []byte) {
		if s, err := parseStat(text); err == nil && !bytes.Contains(text, s.name) {
			t.Errorf("name %q", s.name)
		}
		if h, err := parseHostStat(text); err == nil && h.cpus > len(text) {
			t.Errorf("%d processors", h.cpus)
		}
		if m, err := parseMaps(bytes.NewReader(text), make([]byte, 256)); err != nil || len(m.Regions) > maxRegions ||
			!slices.IsSortedFunc(m.Regions, func(a, b uint64) int { return -cmpUint(a, b) }) {
			t.Errorf("%+v, %v", m, err)
		}
		if all, err := parseSockets(io.LimitReader(bytes.NewReader(text), 1<<20), make([]byte, 256), nil); err != nil || len(all) > len(text) {
			t.Errorf("%d sockets, %v", len(all), err)
		}
		if len(procMounts(text)) > maxSuspects || len(splitArgs(text)) > len(text) || len(variable(text, "LD_PRELOAD=")) > len(text) {
			t.Error("more than there is")
		}
		drmTime(text)
	})
}

func cmpUint(a, b uint64) int {
	switch {
	case a < b:
		return -1
	case a > b:
		return 1
	}
	return 0
}
