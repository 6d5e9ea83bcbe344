package evtx_test

import (
	"bytes"
	"context"
	"encoding/csv"
	"encoding/xml"
	"errors"
	"io"
	"log/slog"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/minewarden/minewarden"
	"github.com/minewarden/minewarden/app"
	"github.com/minewarden/minewarden/config"
	"github.com/minewarden/minewarden/sensors/evtx"
)

// dataDir is where the shared development data lies, outside the repository.
func dataDir(t testing.TB) string {
	t.Helper()
	dir, err := filepath.Abs("../../../shared/data")
	if err != nil {
		t.Fatal(err)
	}
	if _, err := os.Stat(filepath.Join(dir, "evtx")); err != nil {
		if os.Getenv("CI") == "true" {
			t.Fatalf("the shared data is missing: %v", err)
		}
		t.Skipf("the shared data is missing: %v", err)
	}
	return dir
}

func logs(t testing.TB) []string {
	t.Helper()
	files, err := filepath.Glob(filepath.Join(dataDir(t), "evtx/*/*.evtx"))
	if err != nil || len(files) < 200 {
		t.Fatalf("%d event logs: %v", len(files), err)
	}
	return files
}

func read(t testing.TB, b []byte) (records []*minewarden.Record, faults []error) {
	t.Helper()
	err := evtx.ReadFrom(context.Background(), bytes.NewReader(b), func(err error) { faults = append(faults, err) }, func(ev minewarden.Event) {
		records = append(records, ev.Data.(*minewarden.Record))
	})
	if err != nil {
		t.Fatal(err)
	}
	return records, faults
}

// TestEvtxexportAgrees compares every value of every file with what libevtx reads.
func TestEvtxexportAgrees(t *testing.T) {
	files := logs(t)
	tool, err := exec.LookPath("evtxexport")
	if err != nil {
		if os.Getenv("CI") == "true" {
			t.Fatalf("libevtx-utils is missing: %v", err)
		}
		t.Skip(err)
	}
	records, differ := 0, 0
	for _, name := range files {
		b, err := os.ReadFile(name)
		if err != nil {
			t.Fatal(err)
		}
		got, faults := read(t, b)
		if truncated := filepath.Base(name) == "System2.evtx"; len(faults) > 0 != truncated {
			t.Errorf("%s: %v", name, faults)
		}
		out, err := exec.Command(tool, "-f", "xml", name).Output()
		if err != nil {
			t.Logf("evtxexport cannot read %s: %v", name, err)
			continue
		}
		want := exported(t, out)
		if len(got) < len(want) || len(got) > len(want) && len(faults) == 0 {
			t.Errorf("%s: %d records, evtxexport has %d", name, len(got), len(want))
			continue
		}
		for i := range want {
			records++
			if diff := cmp.Diff(want[i], flat(got[i])); diff != "" {
				if differ++; differ < 10 {
					t.Errorf("%s: record %d differs (-evtxexport +got):\n%s", name, i, diff)
				}
			}
		}
	}
	t.Logf("%d records, %d differ", records, differ)
	if records < 2900 || differ > 0 {
		t.Errorf("%d records were compared and %d differ: want 2900 and 0", records, differ)
	}
}

var (
	padded = regexp.MustCompile(`^0x0+([0-9a-fA-F])`)
	guid   = regexp.MustCompile(`^\{[0-9a-fA-F-]{36}\}$`)
	moment = regexp.MustCompile(`^(\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{7})\d*Z$`)
)

// normal takes away differences of spelling: hexadecimal numbers are padded there, identifiers are of either case.
func normal(v string) string {
	v = strings.Map(printable, strings.TrimRight(strings.ReplaceAll(v, "\r\n", "\n"), "\x00"))
	v = strings.ReplaceAll(v, "\r", "\n")
	if guid.MatchString(v) {
		return strings.ToUpper(v)
	}
	if strings.HasPrefix(v, "0x") {
		return strings.ToLower(padded.ReplaceAllString(v, "0x$1"))
	}
	return moment.ReplaceAllString(v, "${1}Z")
}

// printable hides what XML cannot hold.
func printable(r rune) rune {
	if r < ' ' && r != '\n' && r != '\r' && r != '\t' || r == 0xfffe || r == 0xffff {
		return '?'
	}
	return r
}

// flat gives the values that are not empty, System's in the order of XML.
func flat(r *minewarden.Record) []string {
	var out []string
	for _, f := range r.Fields {
		if v := normal(f.Value); strings.TrimSpace(v) != "" {
			out = append(out, f.Name+"="+v)
		}
	}
	return out
}

// exported reads evtxexport's XML in the way the reader's contract names values.
func exported(t *testing.T, out []byte) [][]string {
	t.Helper()
	if i := bytes.Index(out, []byte("<Event ")); i >= 0 {
		out = out[i:]
	}
	dec := xml.NewDecoder(bytes.NewReader(bytes.Map(printable, out)))
	dec.Strict = false
	type node struct {
		name, title string
		text        strings.Builder
		children    bool
	}
	var all [][]string
	var first, rest []string
	var path []*node
	add := func(name, value string) {
		if value = normal(value); strings.TrimSpace(value) == "" {
			return
		}
		switch name {
		case "EventID", "Channel", "Provider_Name", "Computer":
			if len(path) <= 3 && len(path) > 1 && path[1].name == "System" {
				for len(first) < 4 {
					first = append(first, "")
				}
				first[map[string]int{"EventID": 0, "Channel": 1, "Provider_Name": 2, "Computer": 3}[name]] = name + "=" + value
				return
			}
		}
		rest = append(rest, name+"="+value)
	}
	for {
		tok, err := dec.Token()
		if errors.Is(err, io.EOF) {
			return all
		}
		if err != nil {
			t.Fatal(err)
		}
		switch tok := tok.(type) {
		case xml.StartElement:
			n := &node{name: tok.Name.Local, title: tok.Name.Local}
			if len(path) > 0 {
				path[len(path)-1].children = true
			}
			path = append(path, n)
			for _, a := range tok.Attr {
				switch {
				case a.Name.Space == "xmlns" || a.Name.Local == "xmlns":
				case len(path) == 3 && path[1].name == "EventData" && a.Name.Local == "Name":
					n.title = a.Value
				case n.name == "TimeCreated":
					add("TimeCreated", a.Value)
				case n.name == "Security":
					add(a.Name.Local, a.Value)
				case len(path) > 2:
					add(n.name+"_"+a.Name.Local, a.Value)
				}
			}
		case xml.CharData:
			if len(path) > 0 {
				path[len(path)-1].text.Write(tok)
			}
		case xml.EndElement:
			n := path[len(path)-1]
			if !n.children && len(path) > 2 {
				add(n.title, n.text.String())
			}
			path = path[:len(path)-1]
			if len(path) == 0 {
				var rec []string
				for _, f := range first {
					if f != "" {
						rec = append(rec, f)
					}
				}
				all = append(all, append(rec, rest...))
				first, rest = nil, nil
			}
		}
	}
}

// TestLabelledFilesFireTheirRule replays every file that is the positive case of a Sigma rule.
func TestLabelledFilesFireTheirRule(t *testing.T) {
	dir := dataDir(t)
	f, err := os.Open(filepath.Join(dir, "labels_evtx.csv"))
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	labels := csv.NewReader(f)
	labels.FieldsPerRecord = -1
	labels.LazyQuotes = true
	rows, err := labels.ReadAll()
	if err != nil {
		t.Fatal(err)
	}
	var paths, want []string
	for _, row := range rows {
		if len(row) > 2 && row[1] == "sigma_match" {
			_, id, _ := strings.Cut(row[2], " id=")
			paths, want = append(paths, filepath.Join(dir, row[0])), append(want, "sigma/"+id)
		}
	}
	if len(paths) < 60 {
		t.Fatalf("%d labelled files", len(paths))
	}
	conf := filepath.Join(t.TempDir(), "minewarden.yaml")
	text := "detectors:\n  sigma:\n    rules: [" + filepath.Join(dir, "sigma") + "]\n"
	if err := os.WriteFile(conf, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	cfg, err := app.LoadConfig(conf)
	if err != nil {
		t.Fatal(err)
	}
	replay(t, cfg, paths, want)
}

func replay(t *testing.T, cfg *config.Config, paths, want []string) {
	i := 0
	err := app.Replay(context.Background(), cfg, slog.New(slog.DiscardHandler), paths, func(r app.Replayed) {
		if r.Err != nil || r.Bad > 0 {
			t.Errorf("%s: %v, %d bad parts", r.Path, r.Err, r.Bad)
		}
		fired := false
		for _, f := range r.Findings {
			fired = fired || f.Rule == want[i]
		}
		if !fired {
			t.Errorf("%s does not fire %s", r.Path, want[i])
		}
		i++
	})
	if err != nil {
		t.Fatal(err)
	}
}

// TestDamagedFiles cuts every file and flips bits in it, at many places. What is not hit must be read all the same.
func TestDamagedFiles(t *testing.T) {
	rnd := rand.New(rand.NewPCG(1, 2))
	for _, name := range logs(t) {
		whole, err := os.ReadFile(name)
		if err != nil {
			t.Fatal(err)
		}
		clean, _ := read(t, whole)
		used := len(bytes.TrimRight(whole, "\x00"))
		for range 12 {
			n := rnd.IntN(used)
			got, faults := read(t, whole[:n])
			if len(got) > len(clean) {
				t.Errorf("%s cut at %d: %d records of %d", name, n, len(got), len(clean))
			}
			if len(got) < len(clean) && len(faults) == 0 && n > 4096 && n%(64<<10) != 4096 {
				t.Errorf("%s cut at %d: %d of %d records are lost without a word", name, n, len(clean)-len(got), len(clean))
			}
		}
		for range 12 {
			b := bytes.Clone(whole)
			at := rnd.IntN(used)
			b[at] ^= 1 << rnd.IntN(8)
			got, faults := read(t, b)
			if len(got) > len(clean)+2 {
				t.Errorf("%s with byte %d flipped: %d records of %d", name, at, len(got), len(clean))
			}
			if len(got) < len(clean) && len(faults) == 0 {
				t.Errorf("%s with byte %d flipped: %d of %d records are lost without a word", name, at, len(clean)-len(got), len(clean))
			}
		}
		for range 4 { // many at once
			b := bytes.Clone(whole)
			for range 200 {
				b[rnd.IntN(used)] ^= 1 << rnd.IntN(8)
			}
			read(t, b)
		}
	}
}

// TestMissingBytesAreSteppedOver takes bytes out of the middle: the chunks behind still begin where they are found.
func TestMissingBytesAreSteppedOver(t *testing.T) {
	for _, name := range logs(t) {
		whole, err := os.ReadFile(name)
		if err != nil {
			t.Fatal(err)
		}
		clean, _ := read(t, whole)
		const second = 4096 + 64<<10
		if len(whole) < second+64<<10 || len(clean) < 50 {
			continue
		}
		got, faults := read(t, append(bytes.Clone(whole[:10_000]), whole[11_111:]...))
		first, _ := read(t, whole[:second])
		if rest := len(clean) - len(first); len(got) < rest || len(faults) == 0 {
			t.Errorf("%s without 1111 bytes of its first chunk: %d records, want at least the %d of the others", name, len(got), rest)
		}
	}
}

func FuzzRead(f *testing.F) {
	var names []string
	var values []value
	for _, e := range everyType {
		names, values = append(names, e.name), append(values, e.v)
	}
	f.Add(build(names, values)[:12<<10])
	f.Fuzz(func(t *testing.T, b []byte) {
		if len(b) > 256<<10 {
			return
		}
		evtx.Match(b[:min(len(b), 4096)])
		records, _ := read(t, b)
		for _, r := range records {
			if len(r.Fields) == 0 || len(r.Fields) > 4200 {
				t.Errorf("a record with %d fields", len(r.Fields))
			}
		}
	})
}

func BenchmarkRead(b *testing.B) {
	files := logs(b)
	var all [][]byte
	size := 0
	for _, name := range files {
		text, err := os.ReadFile(name)
		if err != nil {
			b.Fatal(err)
		}
		all, size = append(all, text), size+len(text)
	}
	b.SetBytes(int64(size))
	b.ReportAllocs()
	records := 0
	for b.Loop() {
		for _, text := range all {
			err := evtx.ReadFrom(context.Background(), bytes.NewReader(text), nil, func(minewarden.Event) { records++ })
			if err != nil {
				b.Fatal(err)
			}
		}
	}
	b.ReportMetric(float64(records)/b.Elapsed().Seconds(), "records/s")
}
