package audittrail

import (
	"bufio"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"golang.org/x/sys/unix"
)

func open(t testing.TB, dir string, o Options) *Trail {
	t.Helper()
	tr, err := Open(dir, o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := tr.Close(); err != nil {
			t.Error(err)
		}
	})
	return tr
}

func add(t testing.TB, tr *Trail, n int) {
	t.Helper()
	for i := range n {
		if err := tr.Append(Entry{Who: "ada", Via: "console", What: "incident.close", Target: strconv.Itoa(i), Why: "a <test> of 的 \x1b[31m", Detail: map[string]string{"b": "2", "a": "1"}}); err != nil {
			t.Fatal(err)
		}
	}
}

func verify(t testing.TB, dir string) Report {
	t.Helper()
	r, err := Verify(dir, Check{})
	if err != nil {
		t.Fatal(err)
	}
	return r
}

// whats returns what the entries of dir say, oldest first.
func whats(t testing.TB, dir string) (out []string) {
	t.Helper()
	all, err := List(dir, Query{})
	if err != nil {
		t.Fatal(err)
	}
	for i := len(all) - 1; i >= 0; i-- {
		out = append(out, all[i].What)
	}
	return out
}

func TestAppendListVerify(t *testing.T) {
	dir := t.TempDir()
	tr := open(t, dir, Options{MaxSize: 2000})
	add(t, tr, 40)
	r := verify(t, dir)
	if r.Broken != nil || r.Entries != 41 || r.Last != 41 || r.Files < 5 || r.Unsigned+r.Torn != 0 {
		t.Fatalf("report %+v, want 41 entries in several files, unbroken", r)
	}
	all, err := List(dir, Query{})
	if err != nil {
		t.Fatal(err)
	}
	for i, e := range all {
		if e.Seq != uint64(41-i) {
			t.Fatalf("entry %d has number %d", i, e.Seq)
		}
	}
	page, err := List(dir, Query{Before: 30, Limit: 3, Who: "ada", What: "incident.", Text: "TEST"})
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(all[12:15], page); diff != "" {
		t.Errorf("page before 30 (-want +got):\n%s", diff)
	}
	if r, err = Verify(dir, Check{Holds: "20:" + all[21].Hash}); err != nil || r.Broken != nil {
		t.Errorf("an entry that the trail holds: %v, %v", r.Broken, err)
	}
	if r, err = Verify(dir, Check{Holds: "20:" + zero}); err != nil || r.Broken == nil || r.Broken.Seq != 20 {
		t.Errorf("an entry that the trail does not hold: %v, %v", r.Broken, err)
	}
	if r, err = Verify(dir, Check{Holds: "42:" + zero}); err != nil || r.Broken == nil {
		t.Errorf("an entry past the end: %v, %v", r.Broken, err)
	}
	// A second writer, such as a command beside the agent, and the first again.
	add(t, open(t, dir, Options{MaxSize: 2000}), 15)
	add(t, tr, 15)
	if r := verify(t, dir); r.Broken != nil || r.Last != 71 {
		t.Errorf("two writers: %+v", r)
	}
}

func TestEntriesAreBounded(t *testing.T) {
	dir := t.TempDir()
	tr := open(t, dir, Options{})
	detail := map[string]string{}
	for i := range 100 {
		detail[fmt.Sprintf("%03d", i)+strings.Repeat("\x01", maxText)] = strings.Repeat("\xff", 2*maxText)
	}
	big := strings.Repeat("\x01", 3*maxText)
	if err := tr.Append(Entry{Who: big, Via: big, What: big, Target: big, Why: strings.Repeat("的", maxText), Detail: detail}); err != nil {
		t.Fatal(err)
	}
	if r := verify(t, dir); r.Broken != nil || r.Entries != 2 {
		t.Fatalf("%+v", r)
	}
	all, err := List(dir, Query{})
	if err != nil || len(all) != 2 {
		t.Fatal(err)
	}
	if !strings.HasSuffix(all[0].Why, "的 … (8193 bytes more)") || all[0].Detail["more"] != "68 not kept" {
		t.Errorf("why %q, more %q", all[0].Why, all[0].Detail["more"])
	}
	for _, e := range []Entry{{What: "x"}, {Who: "x"}, {Who: trailItself, What: whatKey}} {
		if err := tr.Append(e); err == nil {
			t.Errorf("%+v was taken", e)
		}
	}
}

// TestAnyFlippedBitIsFound flips each byte of each file.
func TestAnyFlippedBitIsFound(t *testing.T) {
	dir := t.TempDir()
	tr := open(t, dir, Options{MaxSize: 1200})
	add(t, tr, 7)
	files, err := filepath.Glob(filepath.Join(dir, "audit-trail*"))
	if err != nil {
		t.Fatal(err)
	}
	flipped := 0
	for _, path := range files {
		if filepath.Base(path) == lockName {
			continue
		}
		whole, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		f, err := os.OpenFile(path, os.O_RDWR, 0)
		if err != nil {
			t.Fatal(err)
		}
		for i := range whole {
			if _, err := f.WriteAt([]byte{whole[i] ^ 1<<(i%8)}, int64(i)); err != nil {
				t.Fatal(err)
			}
			if r := verify(t, dir); r.Broken == nil {
				t.Errorf("%s: byte %d changed, and not found", filepath.Base(path), i)
			}
			if _, err := f.WriteAt(whole[i:i+1], int64(i)); err != nil {
				t.Fatal(err)
			}
			flipped++
		}
		if err := f.Close(); err != nil {
			t.Fatal(err)
		}
	}
	if r := verify(t, dir); r.Broken != nil {
		t.Errorf("afterwards: %v", r.Broken)
	}
	if flipped < 10000 {
		t.Errorf("%d bytes flipped, want all of logs, head and key", flipped)
	}
}

func TestVerifyNamesTheFirstBreak(t *testing.T) {
	for _, tc := range []struct {
		name string
		do   func(lines []string) []string
		seq  uint64
		want string
	}{
		{"tail cut off", func(l []string) []string { return l[:8] }, 9, "entries 9 to 11 are missing"},
		{"all cut off", func([]string) []string { return nil }, 1, "entries 1 to 11 are missing"},
		{"one taken out", func(l []string) []string { return append(l[:4:4], l[5:]...) }, 5, "entries 5 to 5 before it are missing"},
		{"two exchanged", func(l []string) []string { l[4], l[5] = l[5], l[4]; return l }, 5, "entries 5 to 5 before it are missing"},
		{"one twice", func(l []string) []string { return append(l[:5:5], l[4:]...) }, 6, "out of order"},
		{"last rewritten", func(l []string) []string {
			e, _ := parse([]byte(l[10]))
			e.Who = "eve"
			b, _ := e.seal()
			l[10] = string(b)
			return l
		}, 11, "is not the one that was signed as the last"},
		{"middle rewritten", func(l []string) []string {
			e, _ := parse([]byte(l[4]))
			e.Who = "eve"
			b, _ := e.seal()
			l[4] = string(b)
			return l
		}, 6, "does not follow entry 5"},
		{"a space", func(l []string) []string { l[4] = " " + l[4]; return l }, 5, "not written as entries are"},
		{"an empty line", func(l []string) []string { l[4] = ""; return l }, 5, "is no entry"},
		{"a field more", func(l []string) []string { l[4] = strings.Replace(l[4], "{", `{"x":1,`, 1); return l }, 5, "is no entry"},
		{"a long line", func(l []string) []string { l[4] = strings.Repeat("x", maxLine+2); return l }, 5, "is longer than"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			dir := t.TempDir()
			add(t, open(t, dir, Options{}), 10)
			path := filepath.Join(dir, logName)
			b, err := os.ReadFile(path)
			if err != nil {
				t.Fatal(err)
			}
			out := strings.Join(tc.do(strings.Split(strings.TrimSuffix(string(b), "\n"), "\n")), "\n")
			if out != "" {
				out += "\n"
			}
			if err := os.WriteFile(path, []byte(out), 0o600); err != nil {
				t.Fatal(err)
			}
			r := verify(t, dir)
			if r.Broken == nil || r.Broken.Seq != tc.seq || !strings.Contains(r.Broken.Reason, tc.want) {
				t.Fatalf("broken: %v, want at entry %d: %s", r.Broken, tc.seq, tc.want)
			}
			// It goes on all the same, and what comes after can be checked.
			add(t, open(t, dir, Options{}), 3)
			after := verify(t, dir)
			if after.Broken == nil || after.Broken.Seq > tc.seq+1 {
				t.Errorf("after more entries: %v, want the break at entry %d still, or right after it", after.Broken, tc.seq)
			}
			all, err := List(dir, Query{Limit: 3})
			if err != nil || len(all) != 3 || all[0].Who != "ada" {
				t.Fatalf("%v %v", all, err)
			}
			if r, err := Verify(dir, Check{From: all[2].Seq}); err != nil || r.Broken != nil || r.Entries != 3 {
				t.Errorf("from entry %d: %+v, %v", all[2].Seq, r, err)
			}
		})
	}
}

func TestWhatAKilledWriterLeaves(t *testing.T) {
	for _, tc := range []struct {
		name  string
		leave func(t *testing.T, dir string)
		want  []string
	}{
		{"part of a line", func(t *testing.T, dir string) { appendTo(t, filepath.Join(dir, logName), `{"seq":3,"ti`) }, []string{whatBegun, "a.b", whatTorn, "a.c"}},
		{"no head", func(t *testing.T, dir string) { remove(t, filepath.Join(dir, headName)) }, []string{whatBegun, "a.b", whatHead, "a.c"}},
		{"no current file", func(t *testing.T, dir string) {
			if err := os.Rename(filepath.Join(dir, logName), filepath.Join(dir, rotatedName(1))); err != nil {
				t.Fatal(err)
			}
		}, []string{whatBegun, "a.b", "a.c"}},
		{"a head one behind", func(t *testing.T, dir string) {
			key, err := readKey(dir)
			if err != nil {
				t.Fatal(err)
			}
			all, err := List(dir, Query{})
			if err != nil {
				t.Fatal(err)
			}
			remove(t, filepath.Join(dir, headName))
			f, err := openHead(dir)
			if err != nil {
				t.Fatal(err)
			}
			if err := errors.Join((&headFile{f: f, key: key}).write(1, all[1].Hash), f.Close()); err != nil {
				t.Fatal(err)
			}
			if r := verify(t, dir); r.Unsigned != 1 || r.Broken != nil {
				t.Errorf("%+v, want one entry unsigned", r)
			}
		}, []string{whatBegun, "a.b", whatUnsigned, "a.c"}},
	} {
		t.Run(tc.name, func(t *testing.T) {
			dir := t.TempDir()
			for _, what := range []string{"a.b", "a.c"} {
				tr := open(t, dir, Options{})
				if err := tr.Append(Entry{Who: "ada", What: what}); err != nil {
					t.Fatal(err)
				}
				if what == "a.b" {
					tc.leave(t, dir)
				}
			}
			if diff := cmp.Diff(tc.want, whats(t, dir)); diff != "" {
				t.Errorf("entries (-want +got):\n%s", diff)
			}
			if r := verify(t, dir); r.Broken != nil || r.Torn+r.Unsigned != 0 {
				t.Errorf("%+v", r)
			}
		})
	}
}

func TestALostKeyIsSaid(t *testing.T) {
	dir := t.TempDir()
	add(t, open(t, dir, Options{}), 1)
	remove(t, filepath.Join(dir, keyName))
	if r := verify(t, dir); r.Broken == nil || r.Broken.File != keyName {
		t.Errorf("without its key: %v", r.Broken)
	}
	add(t, open(t, dir, Options{}), 1)
	if diff := cmp.Diff([]string{whatBegun, "incident.close", whatKey, whatHead, "incident.close"}, whats(t, dir)); diff != "" {
		t.Errorf("entries (-want +got):\n%s", diff)
	}
	if r := verify(t, dir); r.Broken != nil {
		t.Error(r.Broken)
	}
}

func TestConcurrentAppends(t *testing.T) {
	dir := t.TempDir()
	writers := []*Trail{open(t, dir, Options{MaxSize: 20000}), open(t, dir, Options{MaxSize: 20000})}
	var all sync.WaitGroup
	for w := range 16 {
		all.Go(func() {
			for i := range 20 {
				if err := writers[w%2].Append(Entry{Who: "w" + strconv.Itoa(w), What: "n", Target: strconv.Itoa(i)}); err != nil {
					t.Error(err)
				}
			}
		})
	}
	stop := make(chan struct{})
	reader := make(chan struct{})
	go func() {
		defer close(reader)
		for {
			select {
			case <-stop:
				return
			default:
			}
			if r, err := Verify(dir, Check{}); err != nil || r.Broken != nil || r.Torn != 0 {
				t.Errorf("while others append: %+v, %v", r, err)
			}
		}
	}()
	all.Wait()
	close(stop)
	<-reader
	entries, err := List(dir, Query{What: "n"})
	if err != nil || len(entries) != 320 {
		t.Fatalf("%d entries, %v", len(entries), err)
	}
	last := map[string]int{}
	for i := len(entries) - 1; i >= 0; i-- {
		n, err := strconv.Atoi(entries[i].Target)
		if err != nil || n != last[entries[i].Who] {
			t.Fatalf("%s: %s after %d", entries[i].Who, entries[i].Target, last[entries[i].Who])
		}
		last[entries[i].Who]++
	}
}

func TestAFullDiskRefusesAndGoesOn(t *testing.T) {
	if os.Geteuid() != 0 {
		t.Skip("mounting a small file system needs root")
	}
	dir := t.TempDir()
	if err := unix.Mount("tmpfs", dir, "tmpfs", 0, "size=64k"); err != nil {
		t.Skipf("mount: %v", err)
	}
	defer func() {
		if err := unix.Unmount(dir, unix.MNT_DETACH); err != nil {
			t.Error(err)
		}
	}()
	tr, err := Open(dir, Options{})
	if err != nil {
		t.Fatal(err)
	}
	defer tr.Close()
	written := 0
	for written < 1000 {
		if err = tr.Append(Entry{Who: "ada", What: "a.b", Why: strings.Repeat("x", 3000)}); err != nil {
			break
		}
		written++
	}
	if !errors.Is(err, unix.ENOSPC) || written == 0 {
		t.Fatalf("after %d entries: %v, want a full disk", written, err)
	}
	if r := verify(t, dir); r.Broken != nil || r.Entries != written+1 || r.Torn != 0 {
		t.Fatalf("%+v, want the %d acknowledged", r, written)
	}
	if err := unix.Mount("tmpfs", dir, "tmpfs", unix.MS_REMOUNT, "size=256k"); err != nil {
		t.Fatal(err)
	}
	add(t, tr, 3)
	if r := verify(t, dir); r.Broken != nil || r.Entries != written+4 {
		t.Errorf("%+v, want %d entries", r, written+4)
	}
}

// TestKillLosesNoAcknowledgedEntry kills a child that appends, at random moments.
func TestKillLosesNoAcknowledgedEntry(t *testing.T) {
	if dir := os.Getenv("AUDITTRAIL_CHILD"); dir != "" {
		child(dir)
		return
	}
	dir := t.TempDir()
	acked := map[string]bool{}
	kills := 40
	if testing.Short() {
		kills = 5
	}
	for i := range kills {
		cmd := exec.Command(os.Args[0], "-test.run=^TestKillLosesNoAcknowledgedEntry$")
		cmd.Env = append(os.Environ(), "AUDITTRAIL_CHILD="+dir, "AUDITTRAIL_ROUND="+strconv.Itoa(i))
		out, err := cmd.StdoutPipe()
		if err != nil {
			t.Fatal(err)
		}
		if err := cmd.Start(); err != nil {
			t.Fatal(err)
		}
		in := bufio.NewScanner(out)
		// The moment is counted in acknowledgements, and a little more that is random.
		n, after := 1+rand.IntN(60), time.Duration(rand.IntN(3000))*time.Microsecond
		for in.Scan() {
			acked[in.Text()] = true
			if n--; n == 0 {
				time.AfterFunc(after, func() { _ = cmd.Process.Kill() })
			}
		}
		if err := cmd.Wait(); err == nil {
			t.Fatal("the child ended by itself")
		}
	}
	open(t, dir, Options{})
	r := verify(t, dir)
	if r.Broken != nil {
		t.Fatal(r.Broken)
	}
	all, err := List(dir, Query{})
	if err != nil {
		t.Fatal(err)
	}
	for _, e := range all {
		delete(acked, e.Target)
	}
	if len(acked) > 0 {
		t.Errorf("%d acknowledged entries are lost", len(acked))
	}
	if len(all) < 2*kills {
		t.Errorf("%d entries only", len(all))
	}
}

func child(dir string) {
	tr, err := Open(dir, Options{MaxSize: 20000})
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(2)
	}
	var out sync.Mutex
	for w := range 4 {
		go func() {
			for i := 0; ; i++ {
				id := fmt.Sprintf("%s/%d/%d", os.Getenv("AUDITTRAIL_ROUND"), w, i)
				if err := tr.Append(Entry{Who: "child", What: "a.b", Target: id}); err != nil {
					fmt.Fprintln(os.Stderr, err)
					os.Exit(2)
				}
				out.Lock()
				fmt.Println(id)
				out.Unlock()
			}
		}()
	}
	select {}
}

func appendTo(t *testing.T, path, s string) {
	t.Helper()
	f, err := os.OpenFile(path, os.O_WRONLY|os.O_APPEND, 0)
	if err != nil {
		t.Fatal(err)
	}
	_, err = f.WriteString(s)
	if err := errors.Join(err, f.Close()); err != nil {
		t.Fatal(err)
	}
}

func remove(t *testing.T, path string) {
	t.Helper()
	if err := os.Remove(path); err != nil {
		t.Fatal(err)
	}
}

// FuzzLines reads any file forward and backward: both see the same entries up to the first that is none.
func FuzzLines(f *testing.F) {
	e := Entry{Seq: 1, Who: "a", What: "b", Prev: zero}
	line, err := e.seal()
	if err != nil {
		f.Fatal(err)
	}
	f.Add(append(line, '\n'))
	f.Add(append(append(line, '\n'), line[:20]...))
	f.Add([]byte("\n\n"))
	path := filepath.Join(f.TempDir(), "log")
	f.Fuzz(func(t *testing.T, b []byte) {
		if err := os.WriteFile(path, b, 0o600); err != nil {
			t.Fatal(err)
		}
		log, err := os.Open(path)
		if err != nil {
			t.Fatal(err)
		}
		defer log.Close()
		var forward, back []Entry
		in := newLines(log)
		var last error
		for last == nil {
			var e Entry
			if e, _, last = in.next(); last == nil {
				forward = append(forward, e)
			}
		}
		if _, err := backward(file{"log", log, int64(len(b))}, func(e *Entry) bool { back = append(back, *e); return false }); err != nil {
			t.Fatal(err)
		}
		if len(back) < len(forward) {
			t.Fatalf("%d entries forward, %d backward", len(forward), len(back))
		}
		for i, e := range forward {
			if diff := cmp.Diff(e, back[len(back)-1-i]); diff != "" {
				t.Fatal(diff)
			}
		}
	})
}

// FuzzHead reads any signed head: only one that was signed is taken.
func FuzzHead(f *testing.F) {
	key, _, err := makeKey(f.TempDir())
	if err != nil {
		f.Fatal(err)
	}
	f.Add([]byte(`{"seq":1}`))
	f.Add([]byte{})
	f.Fuzz(func(t *testing.T, b []byte) {
		if h, err := parseHead(b, public(key)); err == nil && h.Seq != 0 {
			t.Fatalf("forged: %+v", h)
		}
	})
}

func BenchmarkAppend(b *testing.B) {
	for _, n := range []int{1, 64} {
		b.Run(strconv.Itoa(n)+"-at-once", func(b *testing.B) {
			tr := open(b, b.TempDir(), Options{})
			b.SetParallelism(n)
			b.RunParallel(func(pb *testing.PB) {
				for pb.Next() {
					if err := tr.Append(Entry{Who: "ada", What: "a.b", Target: "x"}); err != nil {
						b.Error(err)
					}
				}
			})
		})
	}
}

func BenchmarkVerify(b *testing.B) {
	dir := b.TempDir()
	add(b, open(b, dir, Options{}), 1000)
	for b.Loop() {
		if r := verify(b, dir); r.Broken != nil {
			b.Fatal(r.Broken)
		}
	}
}
