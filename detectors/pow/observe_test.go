package pow

import (
	"encoding/binary"
	"encoding/json"
	"fmt"
	"testing"
	"time"
	"unsafe"

	"github.com/minewarden/minewarden"
)

var start = time.Date(2026, 11, 21, 20, 0, 0, 0, time.UTC)

func process(pid int32) *minewarden.Process {
	return &minewarden.Process{Key: minewarden.ProcessKey{Boot: "boot", PID: pid, Start: 1}, Name: "nginx", Exe: "/usr/sbin/nginx"}
}

func newDetector(t testing.TB) *detector {
	t.Helper()
	d, err := New(minewarden.Env{})
	if err != nil {
		t.Fatal(err)
	}
	return d.(*detector)
}

// run observes data about process 1, one after another in steps, and returns the rules found and after how long.
func run(t testing.TB, d *detector, step time.Duration, data ...minewarden.Data) []string {
	t.Helper()
	var got []string
	for i, x := range data {
		at := time.Duration(i) * step
		for _, f := range d.Observe(&minewarden.Event{Time: start.Add(at), Process: process(1), Data: x}) {
			got = append(got, fmt.Sprintf("%s %.2f after %s", f.Rule, f.Confidence, at))
		}
	}
	return got
}

func repeat(n int, data ...minewarden.Data) []minewarden.Data {
	var all []minewarden.Data
	for range n {
		all = append(all, data...)
	}
	return all
}

func amd64(code string) *minewarden.Sample {
	return &minewarden.Sample{TID: 1, Arch: "amd64", Code: []byte(code)}
}

func arm64(words ...uint32) *minewarden.Sample {
	var code []byte
	for _, w := range words {
		code = binary.LittleEndian.AppendUint32(code, w)
	}
	return &minewarden.Sample{TID: 1, Arch: "arm64", Code: code}
}

var (
	hashing = &minewarden.Rounding{TID: 1, Near: 6, Down: 4, Up: 4, Zero: 4, FTZ: 18}
	plain   = &minewarden.Rounding{TID: 1, Near: 6, Down: 4, Up: 4, Zero: 4}
	// generated is two scratchpad masks and four packed-double operations: and eax, imm32 (twice), mulpd, addpd, subpd, divpd.
	generated = amd64("\x25\xf8\x3f\x00\x00\x25\xf8\xff\x1f\x00\x66\x0f\x59\xc1\x66\x0f\x58\xc1\x66\x0f\x5c\xc1\x66\x0f\x5e\xc1")
	nothing   = amd64("\x90\x90\x90\x90\x90\x90\x90\x90")
	dataset   = &minewarden.Memory{Regions: []uint64{2449481728}}
	cached    = &minewarden.Memory{Regions: []uint64{268439552}}
	modified  = &minewarden.Image{Exe: "/usr/sbin/nginx", Modified: true}
	// On arm64 the same: and w16, w16, #0x3ff8; and w16, w16, #0x1ffff8; fmul, fadd, fsub, fdiv of two doubles.
	generatedARM = arm64(0x121d2a10, 0x121d4610, 0x6e62dc20, 0x4e62d420, 0x4ee2d420, 0x6e62fc20)
)

func TestObserve(t *testing.T) {
	slow := func(mode int) minewarden.Data {
		r := &minewarden.Rounding{TID: 1, FTZ: 20}
		*[]*uint32{&r.Near, &r.Down, &r.Up, &r.Zero}[mode] = 20
		return r
	}
	tests := []struct {
		name string
		step time.Duration
		data []minewarden.Data
		want []string
	}{
		{"rounding alone waits", time.Second, repeat(5, hashing), nil},
		{"rounding alone stands after five seconds", time.Second, repeat(9, hashing), []string{"pow/randomx 0.97 after 5s"}},
		{"the cache confirms", time.Second, append([]minewarden.Data{hashing, cached}, repeat(5, hashing)...), []string{"pow/randomx 0.97 after 2s"}},
		{
			"code and rounding together", time.Second, repeat(5, hashing, generated),
			[]string{"pow/randomx 0.99 after 2s"},
		},
		{"code alone", time.Second, repeat(5, generated), []string{"pow/randomx 0.97 after 2s"}},
		{
			"code joined by rounding is told again", 500 * time.Millisecond, append(repeat(4, generated), repeat(9, hashing)...),
			[]string{"pow/randomx 0.97 after 1s", "pow/randomx 0.99 after 3.5s"},
		},
		{"one report is a self-test", time.Second, repeat(1, hashing, generated, generated), nil},
		{"a burst of reports is a self-test", time.Millisecond, repeat(500, hashing), nil},
		{"plain modes decide nothing", time.Second, repeat(200, plain), nil},
		{"plain modes and code", time.Second, repeat(4, plain, generated), []string{"pow/randomx 0.99 after 2s"}},
		{"modes one after another", time.Second, repeat(30, slow(0), slow(1), slow(2), slow(3)), nil},
		{
			"plain modes with the dataset and W^X flips", time.Second,
			append([]minewarden.Data{plain, dataset, &minewarden.Protect{Flips: 3}}, repeat(80, plain)...),
			[]string{"pow/mining-like 0.60 after 1m0s"},
		},
		{"flushed modes but other code", time.Second / 50, repeat(2000, hashing, nothing, nothing), nil},
		{
			"flushed modes, other code, model-specific registers", time.Second / 50,
			append([]minewarden.Data{&minewarden.Tune{What: "msr"}}, repeat(2000, hashing, nothing, nothing)...),
			[]string{"pow/mining-like 0.60 after 1m0.02s"},
		},
		{
			"two flushed modes and a big heap, as an emulator", time.Second,
			append([]minewarden.Data{hashing, &minewarden.Memory{AnonExec: 1, Regions: []uint64{2 << 30}}},
				repeat(90, &minewarden.Rounding{Near: 10, Zero: 10, FTZ: 20})...), nil,
		},
		{"a new program starts anew", time.Second, append(repeat(5, hashing), &minewarden.Exec{Name: "x"}, hashing, hashing), nil},
		{
			"a sensor's start does not", time.Second, append(repeat(5, hashing), &minewarden.Exec{Existing: true}, hashing),
			[]string{"pow/randomx 0.97 after 6s"},
		},
		{"an exit forgets", time.Second, append(repeat(5, hashing), &minewarden.Exit{}, hashing, hashing), nil},
		{"long pauses do not add up", time.Minute, repeat(50, hashing), nil},
		{
			"idle threads are not looked at", time.Second / 10,
			append([]minewarden.Data{nothing, &minewarden.Usage{Interval: time.Second, CPU: time.Millisecond}}, repeat(40, generated)...), nil,
		},
		{"arm64: code alone decides nothing", time.Second, repeat(100, generatedARM), nil},
		{"arm64: plain modes and code", time.Second, repeat(4, plain, generatedARM), []string{"pow/randomx 0.99 after 2s"}},
		{"arm64: no code", time.Second, repeat(100, plain), nil},
		{"another processor", time.Second, repeat(100, &minewarden.Sample{Arch: "riscv64", Code: generated.Code}), nil},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			got := run(t, newDetector(t), test.step, test.data...)
			if fmt.Sprint(got) != fmt.Sprint(test.want) {
				t.Errorf("got  %q\nwant %q", got, test.want)
			}
		})
	}
}

// TestThreadChurn gives every report another thread, as a miner does that restarts its workers.
func TestThreadChurn(t *testing.T) {
	var data []minewarden.Data
	for tid := range int32(40) {
		data = append(data, &minewarden.Rounding{TID: tid, Near: 1, Down: uint32(tid % 2), Up: uint32(tid / 2 % 2), FTZ: 1 + uint32(tid%2) + uint32(tid/2%2)})
	}
	if got := run(t, newDetector(t), 250*time.Millisecond, data...); len(got) != 1 {
		t.Errorf("got %q, want one finding", got)
	}
}

func TestHashKernel(t *testing.T) {
	// ror by 2, 13, 22, 6, 11 and 25 of eax.
	sha := amd64("\xc1\xc8\x02\xc1\xc8\x0d\xc1\xc8\x16\xc1\xc8\x06\xc1\xc8\x0b\xc1\xc8\x19")
	busy := &minewarden.Usage{Interval: time.Second, CPU: 1900 * time.Millisecond}
	half := &minewarden.Usage{Interval: time.Second, CPU: time.Second}
	host := &minewarden.HostUsage{Interval: time.Second, CPUs: 2}
	tests := []struct {
		name    string
		pkg     string
		program func(*minewarden.Process)
		data    []minewarden.Data
		want    int
	}{
		{name: "sustained", data: repeat(170, host, sha, busy), want: 1},
		{name: "brief", data: repeat(30, host, sha, busy)},
		{name: "half of the machine", data: repeat(170, host, sha, half)},
		{name: "other code", data: repeat(170, host, nothing, busy)},
		{name: "packaged", pkg: "dpkg:openssl", data: repeat(170, host, sha, busy)},
		{name: "packaged, but modified", pkg: "dpkg:openssl", data: append([]minewarden.Data{modified}, repeat(170, host, sha, busy)...), want: 1},
		{name: "unknown number of processors", data: repeat(250, sha, busy)},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			d, found := newDetector(t), 0
			p := process(1)
			p.Package = test.pkg
			for i, x := range test.data {
				for _, f := range d.Observe(&minewarden.Event{Time: start.Add(time.Duration(i) * time.Second / 2), Process: p, Data: x}) {
					if found++; f.Rule != ruleKernel {
						t.Errorf("got %s", f.Rule)
					}
				}
			}
			if found != test.want {
				t.Errorf("%d findings, want %d", found, test.want)
			}
		})
	}
}

func TestMemoryIsBounded(t *testing.T) {
	d := newDetector(t)
	const miner = 7
	found := 0
	for i := range int32(3 * maxProcesses) {
		at := start.Add(time.Duration(i) * time.Millisecond)
		d.Observe(&minewarden.Event{Time: at, Process: process(1000 + i), Data: nothing})
		if i%500 == 0 { // a miner among a flood of processes is not forgotten
			found += len(d.Observe(&minewarden.Event{Time: at, Process: process(miner), Data: hashing}))
		}
	}
	if n := len(d.table.byKey); n != maxProcesses {
		t.Errorf("%d processes kept, want %d", n, maxProcesses)
	}
	n := 0
	for s := d.table.head; s != nil; s = s.next {
		n++
	}
	if n != maxProcesses {
		t.Errorf("%d processes in the list, want %d", n, maxProcesses)
	}
	if found != 1 {
		t.Errorf("miner found %d times, want once", found)
	}
	if size := unsafe.Sizeof(state{}); size > 1536 {
		t.Errorf("a process takes %d bytes", size)
	}
}

func TestNoAllocation(t *testing.T) {
	d := newDetector(t)
	host := process(1)
	for _, data := range []minewarden.Data{
		plain, &minewarden.Rounding{Near: 5}, generated, nothing, &minewarden.Usage{Interval: time.Second, CPU: time.Second},
	} {
		ev := &minewarden.Event{Time: start, Process: host, Data: data}
		d.Observe(ev)
		if n := testing.AllocsPerRun(100, func() { d.Observe(ev) }); n != 0 {
			t.Errorf("%T: %v allocations", data, n)
		}
	}
}

func TestBitmask(t *testing.T) {
	tests := []struct {
		name string
		in   uint32 // AND immediate
		want uint64
		ok   bool
	}{
		{"and w16, w16, #0x3ff8", 0x121d2a10, 0x3ff8, true},
		{"and w16, w16, #0x1ffff8", 0x121d4610, 0x1ffff8, true},
		{"and w16, w10, ScratchpadL3Mask64", 0x121a0000 | 14<<10, 0x1fffc0, true},
		{"and w20, w20, CacheLineAlignMask", 0x121a0000 | 24<<10, 0x7fffffc0, true},
		{"and x11, x10, #0x3fffff", 0x92400000 | 21<<10, 0x3fffff, true},
		{"and w0, w0, #0x55555555", 0x1200f000, 0x55555555, true},
		{"reserved", 0x1200fc00, 0, false},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			got, ok := bitmask(test.in>>22&1, test.in>>16&0x3F, test.in>>10&0x3F)
			if got != test.want || ok != test.ok {
				t.Errorf("got %#x %v, want %#x %v", got, ok, test.want, test.ok)
			}
		})
	}
}

func FuzzObserve(f *testing.F) {
	for _, data := range []minewarden.Data{hashing, plain, generated, generatedARM, dataset, modified} {
		line, err := json.Marshal(minewarden.Event{Time: start, Process: process(1), Data: data})
		if err != nil {
			f.Fatal(err)
		}
		f.Add(line)
	}
	f.Fuzz(func(t *testing.T, line []byte) {
		var ev minewarden.Event
		if ev.UnmarshalJSON(line) != nil {
			t.Skip()
		}
		d := newDetector(t)
		told := 0
		for range 20 {
			for _, found := range d.Observe(&ev) {
				if told++; len(found.Evidence) == 0 || found.Confidence <= 0 || found.Confidence > 1 {
					t.Errorf("finding %+v", found)
				}
			}
			ev.Time = ev.Time.Add(time.Second)
		}
		if told > 4 {
			t.Errorf("%d findings about one process", told)
		}
	})
}

func FuzzMeasure(f *testing.F) {
	f.Add(generated.Code)
	f.Add(generatedARM.Code)
	f.Fuzz(func(t *testing.T, code []byte) {
		var w window
		measureAMD64(code, &w)
		if int(w.instructions) > len(code) {
			t.Errorf("%d instructions in %d bytes", w.instructions, len(code))
		}
		measureARM64(code, &w)
		if int(w.instructions) != len(code)/4 {
			t.Errorf("%d instructions in %d bytes", w.instructions, len(code))
		}
	})
}
