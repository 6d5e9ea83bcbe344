package source

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"time"

	"golang.org/x/sys/unix"

	"github.com/minewarden/minewarden"
	"github.com/minewarden/minewarden/responders/internal/edit"
	"github.com/minewarden/minewarden/responders/internal/ledger"
)

// units disables a systemd unit: the links that start it are taken away, and where systemd runs it is told and the unit
// stopped.
type units struct{ *Responder }

type unitState struct {
	Active bool        `json:"active"` // it ran, by systemd's word
	Links  []edit.Link `json:"links"`
}

type unitAfter struct {
	Left map[string]unix.Timespec `json:"left"` // by link
}

const systemctlTimeout = 2 * time.Minute // a unit may take its TimeoutStopSec, 90 s by default

// booted reports whether systemd runs, as sd_booted(3) does.
func booted() bool {
	st, err := os.Lstat("/run/systemd/system")
	return err == nil && st.IsDir()
}

func (r *Responder) systemctl(ctx context.Context, args ...string) error {
	ctx, cancel := context.WithTimeout(ctx, systemctlTimeout)
	defer cancel()
	cmd := exec.CommandContext(ctx, r.conf.Systemctl, args...)
	cmd.Env = []string{"PATH=/usr/sbin:/usr/bin:/sbin:/bin", "LC_ALL=C", "SYSTEMD_PAGER="}
	var said bytes.Buffer
	cmd.Stderr = &limited{&said, 1 << 10}
	if err := cmd.Run(); err != nil {
		return fmt.Errorf("systemctl %s: %w: %s", strings.Join(args, " "), err, strings.TrimSpace(said.String()))
	}
	return nil
}

// limited keeps the first n bytes and drops the rest.
type limited struct {
	b *bytes.Buffer
	n int
}

func (l *limited) Write(p []byte) (int, error) {
	l.b.Write(p[:min(len(p), max(0, l.n-l.b.Len()))])
	return len(p), nil
}

// reload tells systemd that files of units changed.
func (r *Responder) reload(ctx context.Context) error {
	if !r.systemd() {
		return nil
	}
	return r.systemctl(ctx, "daemon-reload")
}

// Do implements ledger.Work.
func (w units) Do(ctx context.Context, a minewarden.Action, save func(any) error) (ledger.Outcome, error) {
	c, err := changeOf(&a)
	if err != nil {
		return ledger.Outcome{}, err
	}
	if !unitName(c.Unit) {
		return ledger.Outcome{}, fmt.Errorf("%q is no name of a unit", c.Unit)
	}
	f, err := w.root.Open(c.Path)
	if err != nil {
		return ledger.Outcome{}, err
	}
	if err := f.Close(); err != nil {
		return ledger.Outcome{}, err
	}
	if f.SHA != c.SHA {
		return ledger.Outcome{}, fmt.Errorf("%s: %w: plan again", c.Path, edit.ErrChanged)
	}
	s := unitState{}
	for _, l := range c.Links {
		now, err := w.root.ReadLink(l.Path)
		if err != nil {
			return ledger.Outcome{}, err
		}
		if now.Target != l.Target {
			return ledger.Outcome{}, fmt.Errorf("%s: %w: plan again", l.Path, edit.ErrChanged)
		}
		s.Links = append(s.Links, now)
	}
	told := w.systemd() && !c.User
	s.Active = told && w.systemctl(ctx, "is-active", "--quiet", c.Unit) == nil
	if err := save(s); err != nil {
		return ledger.Outcome{}, err
	}
	return w.disable(ctx, &a, &c, &s)
}

// disable does what is left to do: it is also how an action that was cut short is completed.
func (w units) disable(ctx context.Context, a *minewarden.Action, c *change, s *unitState) (ledger.Outcome, error) {
	after := unitAfter{Left: map[string]unix.Timespec{}}
	for _, l := range s.Links {
		if _, err := w.root.ReadLink(l.Path); errors.Is(err, unix.ENOENT) {
			continue
		}
		if _, err := w.root.Unlink(l, a.ID); err != nil {
			return ledger.Outcome{}, err
		}
	}
	for _, l := range s.Links { // the last link of a directory sets its time
		at, err := w.root.DirTime(l.Path)
		if err != nil {
			return ledger.Outcome{}, err
		}
		after.Left[l.Path] = at
	}
	result := fmt.Sprintf("unit %s: links taken away: %d", c.Unit, len(s.Links))
	if w.systemd() && !c.User {
		if err := w.systemctl(ctx, "daemon-reload"); err != nil {
			return ledger.Outcome{}, err
		}
		if s.Active {
			if err := w.systemctl(ctx, "stop", c.Unit); err != nil {
				return ledger.Outcome{}, err
			}
			result += ", stopped"
		}
	}
	return ledger.Outcome{Result: result, Show: map[string]string{"unit": c.Unit}, After: after}, nil
}

// Look implements ledger.Work: what was begun is completed, for each step can be made twice.
func (w units) Look(ctx context.Context, a minewarden.Action, state json.RawMessage) (ledger.Outcome, bool, error) {
	var s unitState
	c, err := changeOf(&a)
	if err == nil {
		err = json.Unmarshal(state, &s)
	}
	if err != nil {
		return ledger.Outcome{}, false, err
	}
	out, err := w.disable(ctx, &a, &c, &s)
	return out, err == nil, err
}

// Undo implements ledger.Work.
func (w units) Undo(ctx context.Context, a minewarden.Action, state, after json.RawMessage) error {
	var s unitState
	var left unitAfter
	c, err := changeOf(&a)
	if err == nil {
		err = json.Unmarshal(state, &s)
	}
	if err == nil && len(after) > 0 {
		err = json.Unmarshal(after, &left)
	}
	if err != nil {
		return err
	}
	ours := map[string]bool{} // directories that nobody else changed since
	for _, l := range s.Links {
		now, err := w.root.DirTime(l.Path)
		if err != nil {
			return err
		}
		dir := filepath.Dir(l.Path)
		if _, seen := ours[dir]; !seen {
			ours[dir] = now == left.Left[l.Path]
		}
	}
	for _, l := range s.Links {
		if err := w.root.Symlink(l, a.ID); err != nil {
			return err
		}
	}
	for _, l := range s.Links {
		if !ours[filepath.Dir(l.Path)] {
			continue
		}
		now, err := w.root.DirTime(l.Path)
		if err == nil {
			err = w.root.SetDirTime(l.Path, now, l.Dir)
		}
		if err != nil {
			return err
		}
	}
	if !w.systemd() || c.User {
		return nil
	}
	err = w.systemctl(ctx, "daemon-reload")
	if err == nil && s.Active {
		err = w.systemctl(ctx, "start", c.Unit)
	}
	return err
}

// unitName keeps what is no name of a unit, such as an option, away from systemctl.
func unitName(s string) bool {
	if len(s) < 3 || len(s) > 255 || s[0] == '-' || s[0] == '.' || !strings.Contains(s, ".") {
		return false
	}
	return !strings.ContainsFunc(s, func(r rune) bool {
		return (r < 'a' || r > 'z') && (r < 'A' || r > 'Z') && (r < '0' || r > '9') && !strings.ContainsRune(":-_.@\\", r)
	})
}
