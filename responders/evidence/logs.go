package evidence

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/minewarden/minewarden"
	"github.com/minewarden/minewarden/internal/logs"
)

const (
	maxLogTail  = 16 << 20 // of a log that is read, from its end
	maxLogLines = 8 << 20  // bytes of lines that are kept of one log
	journalWait = 10 * time.Second
	journalMost = 20_000 // lines
)

// logs collects the lines that tell of the incident: those around the times that it names, and those that name its processes,
// files or containers.
func (c *collector) logs() error {
	files := map[string]bool{}
	for _, pattern := range c.config.Logs {
		found, err := filepath.Glob(pattern)
		if err != nil {
			c.skip("logs "+pattern, err)
			continue
		}
		for _, path := range found[:min(len(found), maxFiles)] {
			if files[path] {
				continue
			}
			files[path] = true
			if err := c.log(path); err != nil {
				return err
			}
		}
	}
	return c.journal()
}

func (c *collector) log(path string) error {
	f, meta, err := openRegular(path)
	if err != nil {
		c.skip("log "+path, err)
		return nil
	}
	if meta.Size > maxLogTail {
		if _, err := f.Seek(-maxLogTail, io.SeekEnd); err != nil {
			c.skip("log "+path, err)
			return f.Close()
		}
	}
	err = c.part(source{what: "log", name: path, limit: maxLogLines, sums: true, meta: meta}, func(w io.Writer) error {
		n, err := c.wish.targets.filter(w, io.LimitReader(f, maxLogTail), c.now, c.config.LogWindow)
		if err == nil && n == 0 {
			err = errNone
		}
		return err
	})
	return errors.Join(err, f.Close())
}

// window returns when the incident was.
func (c *collector) window() (since, until time.Time) {
	t := &c.wish.targets
	since, until = t.Since, t.Until
	for _, at := range t.Times {
		if since.IsZero() || at.Before(since) {
			since = at
		}
		if at.After(until) {
			until = at
		}
	}
	return since.Add(-c.config.LogWindow), until.Add(c.config.LogWindow)
}

// filter writes the lines that tell of it, and returns how many these are.
func (t *targets) filter(w io.Writer, r io.Reader, now func() time.Time, around time.Duration) (int, error) {
	terms := make([][]byte, len(t.Terms))
	for i, s := range t.Terms {
		terms[i] = []byte(s)
	}
	var at time.Time // of the last line that had a time
	d := logs.Decoder{Now: now, Location: time.Local}
	kept := 0
	lines := logs.NewLines(r)
	for {
		line, _, _, _, err := lines.Next()
		if errors.Is(err, io.EOF) {
			return kept, nil
		}
		if err != nil {
			return kept, err
		}
		// What cannot be decoded has the time of the line before, as what continues it has.
		_ = d.Line(line, func(when time.Time, _ *minewarden.Record) { at = when }) //nolint:errcheck // the line is kept or not all the same
		tells := slices.ContainsFunc(t.Times, func(o time.Time) bool { return !at.IsZero() && at.Sub(o).Abs() <= around }) ||
			slices.ContainsFunc(terms, func(s []byte) bool { return bytes.Contains(line, s) })
		if !tells {
			continue
		}
		kept++
		if _, err := w.Write(append(bytes.TrimRight(line, "\r\n"), '\n')); err != nil {
			return kept, err
		}
	}
}

// journal asks systemd's journal, by its own program, for what was written in the time of the incident.
func (c *collector) journal() error {
	tool, err := exec.LookPath("journalctl")
	if err != nil {
		return nil // this host has none
	}
	if _, err1 := os.Stat("/var/log/journal"); err1 != nil {
		if _, err2 := os.Stat("/run/log/journal"); err2 != nil {
			return nil
		}
	}
	since, until := c.window()
	if since.Before(c.now().Add(-7 * 24 * time.Hour)) {
		since = c.now().Add(-7 * 24 * time.Hour)
	}
	args := []string{
		"--no-pager", "--quiet", "--output=short-iso-precise", "--lines=" + strconv.Itoa(journalMost),
		"--since=@" + strconv.FormatInt(since.Unix(), 10), "--until=@" + strconv.FormatInt(until.Unix()+1, 10),
	}
	return c.part(source{what: "log", name: "journalctl " + strings.Join(args, " "), limit: maxLogLines, sums: true}, func(w io.Writer) error {
		ctx, cancel := context.WithTimeout(c.ctx, journalWait)
		defer cancel()
		var complaint bytes.Buffer
		cmd := exec.CommandContext(ctx, tool, args...)
		cmd.Env = []string{"LC_ALL=C", "PATH=/usr/bin:/bin", "SYSTEMD_COLORS=0"}
		cmd.Stderr = &limited{w: &complaint, left: 4 << 10}
		cmd.WaitDelay = time.Second
		out := &counter{w: w}
		cmd.Stdout = out
		if err := cmd.Run(); err != nil {
			return fmt.Errorf("journalctl: %w: %s", err, strings.TrimSpace(complaint.String()))
		}
		if out.n == 0 {
			return errNone
		}
		return nil
	})
}

type counter struct {
	w io.Writer
	n int64
}

func (c *counter) Write(b []byte) (int, error) {
	n, err := c.w.Write(b)
	c.n += int64(n)
	return n, err
}

// limited drops what is beyond left.
type limited struct {
	w    io.Writer
	left int
}

func (l *limited) Write(b []byte) (int, error) {
	k := min(len(b), l.left)
	l.left -= k
	if _, err := l.w.Write(b[:k]); err != nil {
		return 0, err
	}
	return len(b), nil
}
