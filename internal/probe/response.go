package probe

import (
	"bytes"
	"compress/gzip"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strings"
)

// A Response is an answer, whole.
type Response struct {
	Method   string
	URL      string // that answered, after redirects
	Status   int
	Header   http.Header
	Body     []byte
	Redirect string // where it sends to, when that was not followed
}

// String names the request and the status, for proofs: "GET http://h:4646/v1/jobs answered 200".
func (r *Response) String() string {
	return fmt.Sprintf("%s %s answered %d", r.Method, r.URL, r.Status)
}

// JSON decodes the body into v. It is an error when the body is not JSON, whatever its content type says; an HTML page,
// as a proxy or a login form sends, is named as such.
func (r *Response) JSON(v any) error {
	body := bytes.TrimSpace(r.Body)
	if len(body) == 0 {
		return fmt.Errorf("%s: empty body instead of JSON", r)
	}
	if body[0] == '<' {
		return fmt.Errorf("%s: an HTML page instead of JSON (a proxy or login form in front?)", r)
	}
	if err := json.Unmarshal(body, v); err != nil {
		return fmt.Errorf("%s: not the JSON expected: %w", r, err)
	}
	return nil
}

// Text returns at most the first 200 bytes of the body as one printable line.
func (r *Response) Text() string {
	b := r.Body
	if len(b) > 200 {
		b = b[:200]
	}
	return strings.Join(strings.Fields(strings.Map(func(c rune) rune {
		if c < ' ' || c == 0x7f || c == '\uFFFD' {
			return ' '
		}
		return c
	}, string(b))), " ")
}

// Has tells whether the body holds s.
func (r *Response) Has(s string) bool { return bytes.Contains(r.Body, []byte(s)) }

// PlainOnTLS tells that a TLS port was asked in plain HTTP, as Go servers answer it.
func (r *Response) PlainOnTLS() bool {
	return r.Status == http.StatusBadRequest && strings.HasPrefix(r.URL, "http:") && r.Has("Client sent an HTTP request to an HTTPS server")
}

func (r *Response) redirect(at *url.URL) *url.URL {
	switch r.Status {
	case http.StatusMovedPermanently, http.StatusFound, http.StatusSeeOther, http.StatusTemporaryRedirect, http.StatusPermanentRedirect:
	default:
		return nil
	}
	next, err := at.Parse(r.Header.Get("Location"))
	if err != nil || r.Header.Get("Location") == "" || (next.Scheme != "http" && next.Scheme != "https") {
		return nil
	}
	return next
}

// readBody reads at most limit bytes, unpacked; one byte more is ErrTooLarge, for half an answer proves nothing.
func readBody(hr *http.Response, limit int64) ([]byte, error) {
	var src io.Reader = io.LimitReader(hr.Body, limit+1)
	if enc := hr.Header.Get("Content-Encoding"); strings.EqualFold(enc, "gzip") {
		z, err := gzip.NewReader(src)
		if err != nil {
			return nil, fmt.Errorf("unpack gzip: %w", err)
		}
		src = io.LimitReader(z, limit+1)
	} else if enc != "" && !strings.EqualFold(enc, "identity") {
		return nil, fmt.Errorf("content encoding %q was not asked for", enc)
	}
	b, err := io.ReadAll(src)
	if int64(len(b)) > limit {
		return nil, fmt.Errorf("more than %d bytes: %w", limit, ErrTooLarge)
	}
	if err != nil && !errors.Is(err, io.EOF) {
		return nil, err
	}
	return b, nil
}
