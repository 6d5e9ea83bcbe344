package dga

import "testing"

func TestModel(t *testing.T) {
	if len(table) > 200<<10 {
		t.Errorf("the table has %d bytes, want at most 200 KiB", len(table))
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
}

func TestSplit(t *testing.T) {
	for name, want := range map[string][2]string{
		"example.com": {"example", "com"}, "www.example.co.uk": {"example", "co.uk"}, "a.longest.b.org": {"longest", "org"}, "com": {"com", ""}, "": {"", ""}, "x.com.": {"x", "com"},
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
