package app

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"strconv"
	"sync"

	"github.com/minewarden/minewarden/audittrail"
	"github.com/minewarden/minewarden/console"
	"github.com/minewarden/minewarden/console/access"
)

// maxLate bounds entries that wait for a disk that takes none.
const maxLate = 1000

// A trail is the audit trail of a data directory, opened with the first change. It is safe for concurrent use. A nil one, which only
// tests have, writes nothing.
type trail struct {
	dir string
	log *slog.Logger

	mu   sync.Mutex
	t    *audittrail.Trail
	late []audittrail.Entry // of actions that were done although the disk took no entry
	more int                // beyond maxLate
}

// Append writes e down; nothing may be changed when it cannot.
func (t *trail) Append(e audittrail.Entry) error {
	if t == nil {
		return nil
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.append(e)
}

func (t *trail) append(e audittrail.Entry) (err error) {
	if t.t == nil {
		if t.t, err = audittrail.Open(t.dir, audittrail.Options{}); err != nil {
			return err
		}
	}
	for len(t.late) > 0 {
		if err := t.t.Append(t.late[0]); err != nil {
			return err
		}
		t.late = t.late[1:]
	}
	if t.more > 0 {
		if err := t.t.Append(audittrail.Entry{Who: "minewarden", Via: "agent", What: "trail-entries.lost", Detail: map[string]string{"entries": strconv.Itoa(t.more)}}); err != nil {
			return err
		}
		t.more = 0
	}
	return t.t.Append(e)
}

// AppendLate writes e down, now or once the disk takes it: a full disk must not keep a miner from being stopped.
func (t *trail) AppendLate(e audittrail.Entry) {
	if t == nil {
		return
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	if err := t.append(e); err != nil {
		t.log.Error("the audit trail takes no entry; it is kept in memory and tried again", "what", e.What, "target", e.Target, "error", err)
		if len(t.late) < maxLate {
			t.late = append(t.late, e)
		} else {
			t.more++
		}
	}
}

// Close gives the files back. What the disk never took is an error.
func (t *trail) Close() error {
	if t == nil {
		return nil
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	var err error
	if len(t.late) > 0 {
		e := t.late[len(t.late)-1]
		t.late = t.late[:len(t.late)-1]
		if err = t.append(e); err != nil {
			err = fmt.Errorf("%d entries of the audit trail are lost: %w", len(t.late)+1+t.more, err)
		}
	}
	if t.t != nil {
		err = errors.Join(err, t.t.Close())
		t.t = nil
	}
	return err
}

// via says by which way a change was asked for.
func via(ctx context.Context) string {
	if id, ok := access.From(ctx); ok {
		return map[string]string{"session": "console", "socket": "cli"}[id.Via] + map[string]string{"token": "token"}[id.Via]
	}
	return "agent"
}

// changing writes an entry before f changes something, and one after with how it went. Where the first cannot be written, f is
// not called.
func (t *trail) changing(ctx context.Context, e audittrail.Entry, f func() error) error {
	if e.Via == "" {
		e.Via = via(ctx)
	}
	if err := t.Append(e); err != nil {
		return fmt.Errorf("nothing was changed, for it could not be written to the audit trail: %w", err)
	}
	err := f()
	if err != nil {
		e.What += ".failed"
		e.Detail = map[string]string{"error": err.Error()}
		t.AppendLate(e)
	}
	return err
}

// trailReader shows the audit trail to the console.
type trailReader struct{ dir string }

// List implements console.Trail.
func (r trailReader) List(_ context.Context, after string, limit int) ([]console.TrailEntry, string, error) {
	q := audittrail.Query{Limit: limit + 1}
	if after != "" {
		n, err := strconv.ParseUint(after, 10, 64)
		if err != nil {
			return nil, "", badCursor(after)
		}
		q.Before = n
	}
	all, err := audittrail.List(r.dir, q)
	if errors.Is(err, audittrail.ErrNone) {
		return nil, "", nil
	}
	next := ""
	if len(all) > limit {
		all = all[:limit]
		next = strconv.FormatUint(all[limit-1].Seq, 10)
	}
	out := make([]console.TrailEntry, len(all))
	for i, e := range all {
		out[i] = console.TrailEntry{Seq: e.Seq, Time: e.Time, Who: e.Who, Via: e.Via, What: e.What, Target: e.Target, Why: e.Why, Detail: e.Detail, Hash: e.Hash}
	}
	return out, next, err
}

// Verify implements console.Trail.
func (r trailReader) Verify(context.Context) (console.TrailVerdict, error) {
	rep, err := audittrail.Verify(r.dir, audittrail.Check{})
	if errors.Is(err, audittrail.ErrNone) {
		return console.TrailVerdict{OK: true}, nil
	}
	v := console.TrailVerdict{OK: err == nil && rep.Broken == nil, Entries: rep.Last, Hash: rep.Hash}
	if rep.Broken != nil {
		v.Problem = rep.Broken.String()
	}
	return v, err
}
