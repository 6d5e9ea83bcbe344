package dga

import (
	"math/rand/v2"
	"slices"
	"strconv"
	"testing"
)

func TestModel(t *testing.T) {
	if len(table) > 256<<10 {
		t.Errorf("the table has %d bytes, want at most 256 KiB", len(table))
	}
	m, err := Load()
	if err != nil {
		t.Fatal(err)
	}
	if string(m.Marshal()) != string(table) {
		t.Error("the table does not survive reading and writing")
	}
	for name, want := range map[string]bool{
		"xkqzvwjbtrpfgh.info": true, "ehewdyavanuq.bazar": true, "wikipedia.bit": false, "wjxkzqhvbnmp.org": true,
		"wikipedia.org": false, "www.example.com": false, "mail.google.com": false, "news.bbc.co.uk": false, "debian.org": false, "": false, "com": false,
	} {
		if got := m.Generated(name); got != want {
			t.Errorf("Generated(%q) = %v, score %.2f, cut %.2f", name, got, m.Score(name), m.Cut)
		}
	}
}

func TestUnmarshal(t *testing.T) {
	if _, err := Unmarshal(table[:len(table)-1]); err == nil {
		t.Error("a cut table is accepted")
	}
	if _, err := Unmarshal(append(table[:len(table):len(table)], 0)); err == nil {
		t.Error("bytes after the table are accepted")
	}
}

func TestForest(t *testing.T) {
	loop := forest{trees: [][]node{{{count: 0, left: 0}, {count: leaf}}}}
	if err := new(forest).unmarshal(loop.marshal(nil)); err == nil {
		t.Error("a tree that leads back to its root is accepted")
	}
	var x []counts
	var y, weight []float32
	for i := range 1000 {
		x = append(x, counts{fLength: float32(i % 10), fVowels: float32(i / 10 % 10)})
		y = append(y, 0)
		if (i%10 > 5) != (i/10%10 > 5) {
			y[i] = 1
		}
		weight = append(weight, 1)
	}
	f := grow(x, y, weight, 1)
	for i := range x {
		if (f.sum(&x[i]) > 0) != (y[i] > 0) {
			t.Fatalf("row %d has %.2f, want its sign to be that of %.0f", i, f.sum(&x[i]), y[i]-0.5)
		}
	}
}

func TestJudge(t *testing.T) {
	m := &Model{BurstCuts: [...]float32{3, 2, 1}}
	for _, tt := range []struct {
		scores []float32
		want   int
	}{
		{[]float32{9, 9}, 0}, {[]float32{3, 3, 3}, 3}, {[]float32{2, 2, 2, 2}, 0}, {[]float32{2, 2, 2, 2, 2}, 5}, {[]float32{1, 1, 1, 1, 1, 1, 1, 1, 1, 1}, 10}, {[]float32{9, -9, 0, 0, 0, 0, 0, 0, 0, 0}, 0},
	} {
		if v, ok := m.Judge(tt.scores); v.N != tt.want || ok != (tt.want > 0) {
			t.Errorf("Judge(%v) = %d, %v, want %d", tt.scores, v.N, ok, tt.want)
		}
	}
}

// Training twice gives the same model, and one that tells letters by chance from words.
func TestTrain(t *testing.T) {
	words := []string{"river", "stone", "garden", "market", "window", "cloud", "silver", "forest", "winter", "bridge", "house", "letter", "paper", "summer", "music", "travel"}
	r := rand.New(rand.NewPCG(1, 2))
	var names []Name
	for i := range 300 {
		chosen := words[r.IntN(len(words))] + words[r.IntN(len(words))]
		b := make([]byte, 12)
		for k := range b {
			b[k] = byte('a' + r.IntN(26))
		}
		names = append(names, Name{Name: chosen + strconv.Itoa(i%7) + ".com", Weight: 1}, Name{Name: string(b) + ".net", Family: strconv.Itoa(i % 5), Generated: true, Weight: 1})
	}
	m := Train(names, 1)
	if !slices.Equal(m.Marshal(), Train(names, 1).Marshal()) {
		t.Error("training twice gives different models")
	}
	if m.Score("xkqzvwjbtrpf.net") < m.Score("riverwindow.com")+1 {
		t.Errorf("xkqzvwjbtrpf.net has %.2f and riverwindow.com %.2f, the cut is %.2f", m.Score("xkqzvwjbtrpf.net"), m.Score("riverwindow.com"), m.Cut)
	}
}

func TestSplit(t *testing.T) {
	for name, want := range map[string][2]string{
		"example.com": {"example", "com"}, "www.example.co.uk": {"example", "co.uk"}, "a.longest.b.org": {"b", "org"}, "x.y.dyndns.org": {"y", "dyndns.org"}, "qq.ru": {"qq", "ru"}, "www.vk.ru": {"vk", "ru"}, "com": {"com", ""}, "": {"", ""}, "x.com.": {"x", "com"},
	} {
		label, suffix, _ := Split(name)
		if label != want[0] || suffix != want[1] {
			t.Errorf("Split(%q) = %q, %q", name, label, suffix)
		}
	}
}

func FuzzScore(f *testing.F) {
	m, err := Load()
	if err != nil {
		f.Fatal(err)
	}
	f.Add("a.b.c")
	f.Add("\\255\\000.x..")
	f.Fuzz(func(t *testing.T, name string) {
		if s := m.Score(name); s != s {
			t.Errorf("score of %q is not a number", name)
		}
	})
}

func FuzzUnmarshal(f *testing.F) {
	f.Add([]byte{})
	f.Add((&forest{trees: [][]node{{{count: fLength, left: 1}, {count: leaf}, {count: leaf, cut: 1}}}}).marshal(nil))
	f.Fuzz(func(t *testing.T, b []byte) {
		var one forest
		if one.unmarshal(b) == nil {
			one.sum(&counts{fLength: 3})
		}
	})
}

func BenchmarkScore(b *testing.B) {
	m, err := Load()
	if err != nil {
		b.Fatal(err)
	}
	b.ReportAllocs()
	for b.Loop() {
		m.Score("some-ordinary-name.example.com")
	}
}
