package intel

import (
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/minewarden/minewarden/indicators"
)

var now = time.Date(2026, 11, 21, 12, 0, 0, 0, time.UTC)

func library(t *testing.T) Library {
	t.Helper()
	return Library{Dir: filepath.Join(t.TempDir(), "indicators"), Now: func() time.Time { return now }}
}

func source(t *testing.T, l Library, name string) Source {
	t.Helper()
	all, err := l.Sources()
	if err != nil {
		t.Fatal(err)
	}
	for _, s := range all {
		if s.Name == name {
			return s
		}
	}
	t.Fatalf("no source %q in %v", name, all)
	return Source{}
}

// TestFeed walks a feed through its life: fetched, unchanged, changed, emptied, gone.
func TestFeed(t *testing.T) {
	body, asked, status := "pool.example\ntwo words\n192.0.2.0/24\n", "", http.StatusOK
	srv := httptest.NewTLSServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		asked = r.Header.Get("If-None-Match")
		w.Header().Set("ETag", fmt.Sprintf(`"%d"`, len(body)))
		if asked == fmt.Sprintf(`"%d"`, len(body)) {
			w.WriteHeader(http.StatusNotModified)
			return
		}
		w.WriteHeader(status)
		fmt.Fprint(w, body)
	}))
	defer srv.Close()
	l, via := library(t), srv.Client().Transport
	res, err := l.AddURL(t.Context(), via, srv.URL+"/feed", Options{Source: "feed", Confidence: 0.9, Lasts: 24 * time.Hour})
	if err != nil || res.Source.Count != 2 || res.Source.Unreadable != 1 || len(res.Bad) != 1 {
		t.Fatalf("%+v %v", res, err)
	}
	set, err := indicators.Load(l.Dir)
	if err != nil {
		t.Fatal(err)
	}
	hit, ok := set.Name("eu.pool.example", now)
	if !ok {
		t.Fatal("the list is not in force")
	}
	if i := hit.Indicator(); i.Source != "feed@2026-11-21" || i.Confidence != 0.9 || !i.Expires.Equal(now.Add(24*time.Hour)) {
		t.Errorf("%+v", i)
	}
	if res, err = l.Update(t.Context(), via, source(t, l, "feed"), false); err != nil || !res.Unchanged || asked == "" {
		t.Errorf("%+v %v, asked with %q", res, err, asked)
	}
	var big strings.Builder
	for n := range 1000 {
		fmt.Fprintf(&big, "p%d.example\n", n)
	}
	body = big.String()
	if res, err = l.Update(t.Context(), via, source(t, l, "feed"), false); err != nil || res.Source.Count != 1000 || res.Before != 2 {
		t.Errorf("%+v %v", res, err)
	}
	for name, bad := range map[string]string{"empty": "", "comments": "# nothing any more\n", "an error page": "<html><body>not found</body></html>\n", "shrunk": "p1.example\n"} {
		body = bad
		if _, err = l.Update(t.Context(), via, source(t, l, "feed"), false); err == nil {
			t.Errorf("%s: taken", name)
		}
		if n := source(t, l, "feed").Count; n != 1000 {
			t.Errorf("%s: %d indicators are left", name, n)
		}
	}
	body, status = "x.example\n", http.StatusInternalServerError
	if _, err = l.Update(t.Context(), via, source(t, l, "feed"), false); err == nil {
		t.Error("an error of the server was taken for a feed")
	}
	if err := l.Remove("feed"); err != nil {
		t.Fatal(err)
	}
	if err := l.Remove("feed"); err == nil {
		t.Error("removed twice")
	}
	left, err := filepath.Glob(l.Dir + "/.new-*")
	if err != nil || len(left) > 0 {
		t.Errorf("left %v %v", left, err)
	}
}

func TestOnlyHTTPS(t *testing.T) {
	plain := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { fmt.Fprintln(w, "a.example") }))
	defer plain.Close()
	secure := httptest.NewTLSServer(http.RedirectHandler(plain.URL, http.StatusFound))
	defer secure.Close()
	l := library(t)
	for _, address := range []string{plain.URL, secure.URL, "ftp://feeds.example/x", "https:///x", "file:///etc/passwd"} {
		if _, err := l.AddURL(t.Context(), secure.Client().Transport, address, Options{Source: "f", Confidence: 1}); err == nil {
			t.Errorf("%s was taken", address)
		}
	}
	if _, err := l.AddURL(t.Context(), secure.Client().Transport, secure.URL, Options{Source: "f", Confidence: 1, Insecure: true}); err != nil {
		t.Error(err)
	}
}

func TestTooLarge(t *testing.T) {
	srv := httptest.NewTLSServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		line := []byte(strings.Repeat("#", 32<<10) + "\n")
		for {
			if _, err := w.Write(line); err != nil {
				return
			}
		}
	}))
	defer srv.Close()
	l := library(t)
	if _, err := l.AddURL(t.Context(), srv.Client().Transport, srv.URL, Options{Source: "f", Confidence: 1}); err == nil || !strings.Contains(err.Error(), "larger") {
		t.Error(err)
	}
}

func TestNames(t *testing.T) {
	l := library(t)
	path := filepath.Join(t.TempDir(), "list.txt")
	if err := os.WriteFile(path, []byte("a.example\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{"../x", "a/b", ".", "-", "UPPER", Manual, strings.Repeat("x", 100)} {
		if _, err := l.AddFile(path, Options{Source: name, Confidence: 1}); err == nil {
			t.Errorf("%q is taken as a name", name)
		}
	}
	if err := l.Remove("../x"); err == nil {
		t.Error("removed outside")
	}
	if _, err := l.AddFile(path, Options{Confidence: 1}); err != nil {
		t.Fatal(err)
	}
	if _, err := l.AddValue("b.example", Options{Source: "list", Confidence: 1}); err == nil {
		t.Error("a feed was changed by hand")
	}
}
