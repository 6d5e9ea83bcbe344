// Package evtx_test compares our reader of Windows event logs with golang-evtx, on the same files and one core. Only this
// module links it: its licence is the GPL.
//
//	MINEWARDEN_EVTX=…/data/evtx GOMAXPROCS=1 go test -v -bench . .
package evtx_test

import (
	"bytes"
	"context"
	"io"
	"os"
	"path/filepath"
	"testing"

	theirs "github.com/0xrawsec/golang-evtx/evtx"

	"github.com/minewarden/minewarden"
	"github.com/minewarden/minewarden/sensors/evtx"
)

func files(t testing.TB) map[string][]byte {
	t.Helper()
	dir := os.Getenv("MINEWARDEN_EVTX")
	if dir == "" {
		t.Skip("MINEWARDEN_EVTX names no folder with event logs")
	}
	names, err := filepath.Glob(filepath.Join(dir, "*/*.evtx"))
	if err != nil || len(names) == 0 {
		t.Fatalf("no event logs in %s: %v", dir, err)
	}
	all := map[string][]byte{}
	for _, name := range names {
		b, err := os.ReadFile(name)
		if err != nil {
			t.Fatal(err)
		}
		all[name] = b
	}
	return all
}

func ours(t testing.TB, b []byte) (n int) {
	err := evtx.ReadFrom(context.Background(), bytes.NewReader(b), nil, func(minewarden.Event) { n++ })
	if err != nil {
		t.Fatal(err)
	}
	return n
}

// golang counts the records that golang-evtx yields: it parses each to a map, without goroutines of its own.
func golang(t testing.TB, b []byte) (n int, err error) {
	f, err := theirs.New(bytes.NewReader(b))
	if err != nil {
		return 0, err
	}
	for i := uint16(0); i < f.Header.ChunkCount; i++ {
		c, err := f.FetchChunk(int64(f.Header.ChunkDataOffset) + int64(i)*theirs.ChunkSize)
		if err != nil {
			return n, err
		}
		for ev := range c.Events() {
			if ev != nil {
				n++
			}
		}
	}
	return n, nil
}

func TestSameNumberOfRecords(t *testing.T) {
	total := 0
	for name, b := range files(t) {
		got := ours(t, b)
		want, err := golang(t, b)
		total += got
		if err != nil {
			t.Logf("%s: golang-evtx stops: %v", filepath.Base(name), err)
		}
		if got != want {
			t.Errorf("%s: %d records, golang-evtx has %d", filepath.Base(name), got, want)
		}
	}
	t.Logf("%d records", total)
}

func BenchmarkMinewarden(b *testing.B) {
	all := files(b)
	size := int64(0)
	for _, text := range all {
		size += int64(len(text))
	}
	b.SetBytes(size)
	for b.Loop() {
		for _, text := range all {
			ours(b, text)
		}
	}
}

func BenchmarkGolangEvtx(b *testing.B) {
	all := files(b)
	size := int64(0)
	for _, text := range all {
		size += int64(len(text))
	}
	b.SetBytes(size)
	for b.Loop() {
		for _, text := range all {
			if _, err := golang(b, text); err != nil && err != io.EOF {
				b.Fatal(err)
			}
		}
	}
}
