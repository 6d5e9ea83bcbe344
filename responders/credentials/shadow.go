package credentials

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"slices"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"

	"github.com/minewarden/minewarden"
	"github.com/minewarden/minewarden/internal/proc"
	"github.com/minewarden/minewarden/responders/internal/accounts"
	"github.com/minewarden/minewarden/responders/internal/edit"
	"github.com/minewarden/minewarden/responders/internal/ledger"
)

const shadowPath = "/etc/shadow"

// The fields of shadow, see shadow(5).
const (
	fieldPassword = 1
	fieldChanged  = 2 // 0: it must be changed at the next login
	fieldExpires  = 7 // 1: the second day of 1970
)

// shadow changes an account's line of shadow.
type shadow struct{ *Responder }

// shadowState is what Undo needs. No password's hash is in it: a locked one begins with "!" and is otherwise as it was.
type shadowState struct {
	Before    edit.Meta     `json:"before"`
	BeforeSHA string        `json:"before_sha256"`
	AfterSHA  string        `json:"after_sha256"`
	Locked    string        `json:"locked,omitempty"` // SHA-256 of the password field as it was left
	Dir       unix.Timespec `json:"dir"`
}

// accounts plans to expire and lock the accounts that findings name or that members run as.
func (p *planner) accounts() {
	for i := range p.all {
		a := &p.all[i]
		named := slices.Contains(p.facts.names, a.Name)
		if !named && !slices.Contains(p.facts.uids, a.UID) {
			continue
		}
		target := minewarden.Subject{Type: minewarden.SubjectAccount, ID: a.Name, Name: a.Name}
		if why := p.protected(a, ""); why != nil {
			if named {
				p.refuse(OpExpire, target, why)
				p.refuse(OpLock, target, why)
			}
			continue
		}
		f, err := p.root.Open(shadowPath)
		if err != nil {
			p.refuse(OpLock, target, err)
			continue
		}
		line, at := find(f.Data, a.Name)
		if err := f.Close(); err != nil || line == nil {
			if named {
				p.refuse(OpLock, target, errors.Join(fmt.Errorf("%s has no line for account %q: it is kept elsewhere", shadowPath, a.Name), err))
			}
			continue
		}
		if a.Password && line[fieldChanged] != "0" {
			p.field(OpExpire, target, f, at, line, fmt.Sprintf("account %q must choose a new password at its next login, by key too; sessions go on", a.Name))
		}
		if a.Password || !a.NoLogin() && !a.Expired {
			if why := accounts.Last(p.root, p.all, a.Name); why != nil {
				p.refuse(OpLock, target, why)
				continue
			}
			p.field(OpLock, target, f, at, line, fmt.Sprintf("account %q cannot log in, by password or key; its crontab is not run; sessions and processes go on", a.Name))
		}
	}
}

func (p *planner) field(op string, target minewarden.Subject, f *edit.File, at int, line []string, blast string) {
	next := changed(op, line)
	if slices.Equal(next, line) {
		return
	}
	hide := func(l []string) string {
		l = slices.Clone(l)
		l[fieldPassword] = map[bool]string{true: "!"}[strings.HasPrefix(l[fieldPassword], "!")] + "[hidden]"
		return strings.Join(l, ":")
	}
	p.add(minewarden.Action{Op: op, Target: target, Blast: []string{blast}, Summary: fmt.Sprintf("%s %q", map[string]string{OpExpire: "expire the password of account", OpLock: "lock account"}[op], target.ID)},
		change{User: target.ID, Was: was(op, line)}, fmt.Sprintf("--- a%[1]s\n+++ b%[1]s\n@@ -%[2]d,1 +%[2]d,1 @@\n-%[3]s\n+%[4]s\n", shadowPath, at+1, hide(line), hide(next)))
}

// was are the fields, beside the password, that must be as they were planned for.
func was(op string, line []string) []string {
	if op == OpExpire {
		return []string{line[fieldChanged]}
	}
	return []string{line[fieldExpires], strconv.FormatBool(accounts.Usable(line[fieldPassword]))}
}

// changed returns the line as op leaves it.
func changed(op string, line []string) []string {
	next := slices.Clone(line)
	if op == OpExpire {
		next[fieldChanged] = "0"
		return next
	}
	if !strings.HasPrefix(next[fieldPassword], "!") {
		next[fieldPassword] = "!" + next[fieldPassword]
	}
	next[fieldExpires] = "1"
	return next
}

// find returns the fields of an account's line and which it is; nil: there is none.
func find(data []byte, user string) ([]string, int) {
	if user == "" || strings.ContainsAny(user, ":\n") {
		return nil, 0
	}
	for i, l := range edit.Split(data) {
		if rest, ok := strings.CutPrefix(l, user+":"); ok {
			if f := strings.Split(user+":"+strings.TrimSuffix(rest, "\n"), ":"); len(f) == 9 {
				return f, i
			}
			return nil, 0 // not of the form that we know: nothing is guessed
		}
	}
	return nil, 0
}

// with returns data with another line at.
func with(data []byte, at int, line []string) []byte {
	lines := edit.Split(data)
	end := ""
	if strings.HasSuffix(lines[at], "\n") {
		end = "\n"
	}
	lines[at] = strings.Join(line, ":") + end
	return []byte(strings.Join(lines, ""))
}

// protected says why an account is left alone: to lose it could lock everybody out who could help.
func (r *Responder) protected(a *accounts.Account, who string) error {
	switch {
	case a.UID == 0:
		return fmt.Errorf("account %q is root, who is never locked out: change its password yourself", a.Name)
	case slices.Contains(r.conf.Protect, a.Name):
		return fmt.Errorf("account %q is protected by the configuration", a.Name)
	case who != "" && (who == a.Name || strings.HasSuffix(who, " "+a.Name)):
		return fmt.Errorf("account %q is yours", a.Name)
	}
	if r.root.Dir != "/" {
		return nil
	}
	for _, uid := range runners() {
		if a.UID == uid {
			return fmt.Errorf("account %q runs minewarden", a.Name)
		}
	}
	return nil
}

// runners are the users that the agent runs as and was started by.
func runners() []uint32 {
	out := []uint32{uint32(os.Getuid()), uint32(os.Geteuid())}
	for _, s := range [...]string{os.Getenv("SUDO_UID"), os.Getenv("PKEXEC_UID")} {
		if n, err := strconv.ParseUint(s, 10, 32); err == nil {
			out = append(out, uint32(n))
		}
	}
	if b, err := proc.ReadSmall("/proc/self/loginuid"); err == nil {
		if n, err := strconv.ParseUint(strings.TrimSpace(string(b)), 10, 32); err == nil {
			out = append(out, uint32(n))
		}
	}
	return out
}

// Do implements ledger.Work.
func (w shadow) Do(ctx context.Context, a minewarden.Action, save func(any) error) (out ledger.Outcome, err error) {
	c, err := changeOf(&a)
	if err != nil {
		return out, err
	}
	unlock, err := w.root.Lock(ctx)
	if err != nil {
		return out, err
	}
	defer func() { err = errors.Join(err, unlock()) }()
	all, err := accounts.Read(w.root)
	if err != nil {
		return out, err
	}
	account := accounts.Find(all, c.User)
	if account == nil {
		return out, fmt.Errorf("there is no account %q", c.User)
	}
	if why := w.protected(account, a.Params[ParamWho]); why != nil {
		return out, why
	}
	if a.Op == OpLock {
		if why := accounts.Last(w.root, all, c.User); why != nil {
			return out, why
		}
	}
	f, err := w.root.Open(shadowPath)
	if err != nil {
		return out, err
	}
	defer func() { err = errors.Join(err, f.Close()) }()
	line, at := find(f.Data, c.User)
	if line == nil || !slices.Equal(was(a.Op, line), c.Was) {
		return out, fmt.Errorf("account %q: %w: plan again", c.User, edit.ErrChanged)
	}
	next := changed(a.Op, line)
	data := with(f.Data, at, next)
	s := shadowState{Before: f.Meta, BeforeSHA: f.SHA, AfterSHA: edit.Sum(data)}
	if a.Op == OpLock && next[fieldPassword] != line[fieldPassword] {
		s.Locked = edit.Sum([]byte(next[fieldPassword]))
	}
	if s.Dir, err = w.root.DirTime(shadowPath); err != nil {
		return out, err
	}
	if err := save(s); err != nil {
		return out, err
	}
	if err := f.Replace(a.ID, data, f.Meta, false); err != nil {
		return out, err
	}
	return w.outcome(&a, &c)
}

func (w shadow) outcome(a *minewarden.Action, c *change) (ledger.Outcome, error) {
	dir, err := w.root.DirTime(shadowPath)
	result := fmt.Sprintf("the password of account %q is expired", c.User)
	if a.Op == OpLock {
		result = fmt.Sprintf("account %q is locked", c.User)
	}
	return ledger.Outcome{Result: result, Show: map[string]string{"account": c.User}, After: edit.Left{Dir: dir}}, err
}

// Look implements ledger.Work.
func (w shadow) Look(ctx context.Context, a minewarden.Action, state json.RawMessage) (out ledger.Outcome, done bool, err error) {
	var s shadowState
	c, err := changeOf(&a)
	if err == nil {
		err = json.Unmarshal(state, &s)
	}
	if err != nil {
		return out, false, err
	}
	if err := w.root.Tidy(shadowPath, a.ID); err != nil {
		return out, false, err
	}
	f, err := w.root.Open(shadowPath)
	if errors.Is(err, fs.ErrNotExist) {
		return out, false, nil
	}
	if err != nil {
		return out, false, err
	}
	defer func() { err = errors.Join(err, f.Close()) }()
	if f.SHA != s.BeforeSHA {
		line, _ := find(f.Data, c.User)
		done = f.SHA == s.AfterSHA || line != nil && slices.Equal(line, changed(a.Op, line))
	}
	if f.Meta.Flags != s.Before.Flags {
		err = f.SetMeta(s.Before)
	}
	if err == nil && done {
		out, err = w.outcome(&a, &c)
	}
	return out, done, err
}

// Undo implements ledger.Work. Other accounts, and other fields of this one, stay as they are by now.
func (w shadow) Undo(ctx context.Context, a minewarden.Action, state, after json.RawMessage) (err error) {
	var s shadowState
	var left edit.Left
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
	unlock, err := w.root.Lock(ctx)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, unlock()) }()
	if err := w.root.Tidy(shadowPath, a.ID); err != nil {
		return err
	}
	f, err := w.root.Open(shadowPath)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, f.Close()) }()
	if f.SHA == s.BeforeSHA {
		return nil
	}
	line, at := find(f.Data, c.User)
	if line == nil {
		return fmt.Errorf("account %q is gone: %w", c.User, edit.ErrConflict)
	}
	back := slices.Clone(line)
	if a.Op == OpExpire {
		switch {
		case line[fieldChanged] == c.Was[0]:
			return nil
		case line[fieldChanged] != "0":
			return fmt.Errorf("account %q has a new password: there is nothing to take back", c.User)
		}
		back[fieldChanged] = c.Was[0]
	} else {
		if s.Locked != "" {
			if edit.Sum([]byte(line[fieldPassword])) != s.Locked {
				return fmt.Errorf("the password of account %q was changed after it was locked: %w", c.User, edit.ErrConflict)
			}
			back[fieldPassword] = strings.TrimPrefix(line[fieldPassword], "!")
		}
		if line[fieldExpires] != "1" {
			return fmt.Errorf("the expiry of account %q was changed after it was locked: %w", c.User, edit.ErrConflict)
		}
		back[fieldExpires] = c.Was[0]
	}
	data := with(f.Data, at, back)
	if f.SHA != s.AfterSHA {
		return f.Replace(a.ID, data, f.Meta, false)
	}
	if edit.Sum(data) != s.BeforeSHA {
		return fmt.Errorf("%s: what would be put back is not what was there", shadowPath)
	}
	m := f.Meta
	m.Atime, m.Mtime = s.Before.Atime, s.Before.Mtime
	return w.root.DirBack(shadowPath, left.Dir, s.Dir, func() error { return f.Replace(a.ID, data, m, true) })
}
