package console

import (
	"io/fs"
	"net/http"
	"path"
	"strings"
)

// web serves the browser part: files that exist, and for every other address without an extension the page itself, which reads
// the address.
func (s *Server) web() {
	if s.o.Web == nil {
		return
	}
	files := http.FileServerFS(s.o.Web)
	s.mux.HandleFunc("/", func(w http.ResponseWriter, r *http.Request) {
		if r.Method != http.MethodGet && r.Method != http.MethodHead {
			http.Error(w, "only GET", http.StatusMethodNotAllowed)
			return
		}
		name := strings.TrimPrefix(path.Clean(r.URL.Path), "/")
		if st, err := fs.Stat(s.o.Web, name); name != "" && err == nil && !st.IsDir() {
			if strings.HasPrefix(name, "assets/") { // named by their content
				w.Header().Set("Cache-Control", "public, max-age=31536000, immutable")
			} else {
				w.Header().Set("Cache-Control", "no-cache")
			}
			files.ServeHTTP(w, r)
			return
		}
		if path.Ext(name) != "" {
			http.NotFound(w, r)
			return
		}
		page, err := fs.ReadFile(s.o.Web, "index.html")
		if err != nil {
			http.Error(w, "this minewarden was built without its console: run make console, or use the API", http.StatusNotFound)
			return
		}
		w.Header().Set("Content-Type", "text/html; charset=utf-8")
		w.Header().Set("Cache-Control", "no-cache")
		if _, err := w.Write(page); err != nil {
			return // the browser is gone
		}
	})
}
