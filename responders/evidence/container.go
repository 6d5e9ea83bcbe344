package evidence

import (
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"time"
)

const (
	engineWait   = 5 * time.Second // for one answer
	maxAnswer    = 16 << 20
	logLines     = 5000 // of a container
	engineAnswer = http.StatusOK
)

// containers asks the engine for the configuration, the changed files and the last output of each.
func (c *collector) containers() error {
	if len(c.wish.targets.Containers) == 0 || c.config.Docker == "" {
		return nil
	}
	client := &http.Client{Timeout: engineWait, Transport: &http.Transport{
		DisableKeepAlives: true,
		DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
			return (&net.Dialer{}).DialContext(ctx, "unix", c.config.Docker)
		},
	}}
	for _, id := range c.wish.targets.Containers {
		for _, q := range [...]struct{ name, ext, path string }{
			{"configuration", "json", "/json"},
			{"changed files", "json", "/changes"},
			{"processes", "json", "/top"},
			{"output", "log", fmt.Sprintf("/logs?stdout=1&stderr=1&timestamps=1&tail=%d", logLines)},
		} {
			s := source{what: "container", name: q.name + " of " + id, ext: id[:12] + "." + q.ext, limit: maxAnswer, sums: true}
			if err := c.part(s, func(w io.Writer) error { return c.engine(client, "/containers/"+id+q.path, w) }); err != nil {
				return err
			}
		}
	}
	return nil
}

func (c *collector) engine(client *http.Client, path string, w io.Writer) error {
	req, err := http.NewRequestWithContext(c.ctx, http.MethodGet, "http://engine"+path, nil)
	if err != nil {
		return err
	}
	resp, err := client.Do(req)
	if err != nil {
		return fmt.Errorf("ask the engine at %s: %w", c.config.Docker, err)
	}
	defer resp.Body.Close()
	if resp.StatusCode != engineAnswer {
		return fmt.Errorf("the engine at %s answers %s", c.config.Docker, resp.Status)
	}
	_, err = io.Copy(w, resp.Body)
	return err
}
