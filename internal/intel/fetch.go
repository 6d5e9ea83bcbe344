package intel

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"strings"
	"time"
)

const (
	fetchWait    = 2 * time.Minute
	maxRedirects = 5
)

// errPlain is why a feed over plain HTTP is not read: whoever is in between could empty it, or add your own services.
var errPlain = errors.New("only https is taken, for anybody in between could change the feed; --insecure takes it all the same")

// client follows redirects, but never to a place that would not be taken itself.
func client(base http.RoundTripper, insecure bool) *http.Client {
	return &http.Client{Transport: base, Timeout: fetchWait, CheckRedirect: func(req *http.Request, via []*http.Request) error {
		if len(via) > maxRedirects {
			return fmt.Errorf("more than %d redirects", maxRedirects)
		}
		return checkURL(req.URL, insecure)
	}}
}

func checkURL(u *url.URL, insecure bool) error {
	switch {
	case u.Host == "":
		return fmt.Errorf("%q names no host", u)
	case u.Scheme == "https", u.Scheme == "http" && insecure:
		return nil
	case u.Scheme == "http":
		return errPlain
	}
	return fmt.Errorf("%q is not a scheme that feeds are fetched with: use https", u.Scheme)
}

// AddURL fetches a feed and adds it; Update fetches it again.
func (l Library) AddURL(ctx context.Context, via http.RoundTripper, address string, o Options) (Result, error) {
	u, err := url.Parse(address)
	if err == nil {
		err = checkURL(u, o.Insecure)
	}
	if err != nil {
		return Result{}, fmt.Errorf("add %s: %w", address, err)
	}
	s, err := l.source(address, u.Hostname()+".", o)
	if err != nil {
		return Result{}, fmt.Errorf("add %s: %w", address, err)
	}
	return l.fetch(ctx, via, s, o.Insecure)
}

// Update reads a source again from where it came from. The old list stays where the new one is not fit.
func (l Library) Update(ctx context.Context, via http.RoundTripper, s Source, insecure bool) (Result, error) {
	if strings.Contains(s.From, "://") {
		return l.fetch(ctx, via, s, insecure)
	}
	res, err := l.refreshFile(s)
	if err != nil {
		return res, fmt.Errorf("update %s: %w", s.Name, err)
	}
	return res, nil
}

func (l Library) fetch(ctx context.Context, via http.RoundTripper, s Source, insecure bool) (res Result, err error) {
	res.Source, res.Before = s, s.Count
	defer func() {
		if err != nil {
			err = fmt.Errorf("update %s from %s: %w", s.Name, s.From, err)
		}
	}()
	u, err := url.Parse(s.From)
	if err == nil {
		err = checkURL(u, insecure)
	}
	if err != nil {
		return res, err
	}
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, s.From, nil)
	if err != nil {
		return res, err
	}
	req.Header.Set("User-Agent", "minewarden")
	if s.ETag != "" {
		req.Header.Set("If-None-Match", s.ETag)
	}
	if s.Modified != "" {
		req.Header.Set("If-Modified-Since", s.Modified)
	}
	resp, err := client(via, insecure).Do(req)
	if err != nil {
		return res, err
	}
	defer resp.Body.Close()
	switch {
	case resp.StatusCode == http.StatusNotModified && s.SHA256 != "":
		res.Unchanged = true
		return res, nil
	case resp.StatusCode != http.StatusOK:
		return res, fmt.Errorf("the server answers %s", resp.Status)
	case resp.ContentLength > MaxFeed:
		return res, fmt.Errorf("it is larger than %d MiB", MaxFeed>>20)
	}
	s.ETag, s.Modified = header(resp, "ETag"), header(resp, "Last-Modified")
	return l.take(s, resp.Body)
}

// header keeps what is sent back to the server next time short.
func header(resp *http.Response, name string) string {
	if v := resp.Header.Get(name); len(v) <= 256 {
		return v
	}
	return ""
}
