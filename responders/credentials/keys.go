package credentials

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"slices"
	"strings"

	"github.com/minewarden/minewarden"
	"github.com/minewarden/minewarden/responders/internal/accounts"
	"github.com/minewarden/minewarden/responders/internal/edit"
	"github.com/minewarden/minewarden/responders/internal/ledger"
)

// lines takes lines out of a file.
type lines struct{ *Responder }

const maxFiles = 64 // of known hosts, of one plan

// keys plans to revoke, in the files of every account, the keys that findings are about: one key is often put into many.
func (p *planner) keys() {
	prints := map[string]bool{}
	for _, k := range p.facts.keys {
		f, err := p.root.Open(k.path)
		if errors.Is(err, fs.ErrNotExist) {
			continue
		}
		if err == nil {
			err = f.Close()
		}
		if err != nil {
			p.refuse(OpRevoke, minewarden.Subject{Type: minewarden.SubjectFile, ID: k.path}, err)
			continue
		}
		for _, l := range edit.Split(f.Data) {
			l = strings.TrimSpace(l)
			if key, ok := accounts.ParseKey(l); ok && strings.HasSuffix(strings.ToValidUTF8(l, ""), k.end) {
				prints[key.Fingerprint] = true
			}
		}
	}
	if len(prints) == 0 {
		return
	}
	seen := map[string]bool{}
	for i := range p.all {
		for _, path := range accounts.KeyFiles(&p.all[i]) {
			if !seen[path] {
				seen[path] = true
				p.keyFile(path, p.all[i].Name, prints)
			}
		}
	}
}

func (p *planner) keyFile(path, owner string, prints map[string]bool) {
	target := minewarden.Subject{Type: minewarden.SubjectFile, ID: path, Name: owner}
	f, err := p.root.Open(path)
	if errors.Is(err, fs.ErrNotExist) {
		return
	}
	if err == nil {
		err = f.Close()
	}
	if err != nil {
		p.refuse(OpRevoke, target, err)
		return
	}
	var hunks []edit.Hunk
	var blast []string
	for _, k := range accounts.Keys(f.Data) {
		if prints[k.Fingerprint] {
			hunks = append(hunks, edit.Hunk{At: k.Line, N: 1})
			blast = append(blast, fmt.Sprintf("key %s %q lets nobody in as %q any more", k.Fingerprint, k.Comment, owner))
		}
	}
	if len(hunks) == 0 {
		return
	}
	after, _, err := edit.Apply(f.Data, hunks)
	if err == nil {
		err = accounts.Locked(p.root, p.all, path, after)
	}
	if err != nil {
		p.refuse(OpRevoke, target, err)
		return
	}
	p.lines(OpRevoke, target, f, hunks, blast, fmt.Sprintf("revoke %d keys of account %q", len(hunks), owner))
}

func (p *planner) lines(op string, target minewarden.Subject, f *edit.File, hunks []edit.Hunk, blast []string, summary string) {
	p.add(minewarden.Action{Op: op, Target: target, Summary: summary, Blast: blast}, change{Path: f.Path, SHA: f.SHA, Hunks: hunks}, edit.Diff(f.Path, f.Data, hunks, printable))
}

// printable keeps control characters from acting on a screen.
func printable(s string) string {
	return strings.Map(func(r rune) rune {
		if r != '\t' && (r < ' ' || r >= 0x7f && r < 0xa0 || r >= 0x202a && r <= 0x202e || r >= 0x2066 && r <= 0x2069) {
			return '\uFFFD'
		}
		return r
	}, strings.ToValidUTF8(s, "\uFFFD"))
}

// knownHosts plans to clean the lists of hosts that the lineage could read: worms take the next machine from there, where a
// private key beside the list opens it, or where the account itself is theirs. Hashed names tell nothing and stay, as do the keys
// of authorities and revoked ones.
func (p *planner) knownHosts() {
	if !p.facts.intruder {
		return // a miner that nobody was seen to steer goes nowhere from here
	}
	n := 0
	for i := range p.all {
		a := &p.all[i]
		if !p.could(a.UID) {
			continue
		}
		for _, path := range accounts.KeyFiles(a)[:min(1, len(accounts.KeyFiles(a)))] {
			path = strings.TrimSuffix(path, "authorized_keys") + "known_hosts"
			f, err := p.root.Open(path)
			if errors.Is(err, fs.ErrNotExist) || p.seen[OpKnownHosts+"\x00"+path] {
				continue
			}
			target := minewarden.Subject{Type: minewarden.SubjectFile, ID: path, Name: a.Name}
			if err == nil {
				err = f.Close()
			}
			if err != nil {
				p.refuse(OpKnownHosts, target, err)
				continue
			}
			hunks := plain(f.Data)
			if len(hunks) == 0 || n >= maxFiles || !slices.Contains(p.facts.names, a.Name) && !p.privateKey(strings.TrimSuffix(path, "/known_hosts")) {
				continue
			}
			n++
			p.lines(OpKnownHosts, target, f, hunks, []string{
				fmt.Sprintf("%q: %d hosts with readable names are forgotten; ssh asks again whether each is the right one", path, len(hunks)),
				"those hosts may be the next: look at their logins",
			}, fmt.Sprintf("forget the hosts that account %q knows", a.Name))
		}
	}
}

// privateKey reports whether a directory holds what ssh takes for a key of its own accord.
func (p *planner) privateKey(dir string) bool {
	names, err := p.root.Names(dir)
	return err != nil || slices.ContainsFunc(names, func(n string) bool { return strings.HasPrefix(n, "id_") && !strings.HasSuffix(n, ".pub") })
}

// plain returns the lines of known_hosts whose names can be read.
func plain(data []byte) []edit.Hunk {
	var hunks []edit.Hunk
	for i, l := range edit.Split(data) {
		t := strings.TrimSpace(l)
		if t == "" || t[0] == '#' || t[0] == '|' || t[0] == '@' || len(strings.Fields(t)) < 3 {
			continue
		}
		hunks = append(hunks, edit.Hunk{At: i, N: 1})
	}
	return hunks
}

// could reports whether the lineage had the rights of uid.
func (p *planner) could(uid uint32) bool {
	return p.facts.unknown || slices.Contains(p.facts.uids, uid) || slices.Contains(p.facts.uids, 0)
}

func (w lines) plan(a *minewarden.Action) (edit.Plan, error) {
	c, err := changeOf(a)
	if err == nil && len(c.Hunks) == 0 {
		err = fmt.Errorf("action %s: it names no lines", a.ID)
	}
	return edit.Plan{Path: c.Path, SHA: c.SHA, Hunks: c.Hunks}, err
}

// Do implements ledger.Work. Whether somebody could still log in is asked again: another key may be gone since.
func (w lines) Do(_ context.Context, a minewarden.Action, save func(any) error) (ledger.Outcome, error) {
	p, err := w.plan(&a)
	if err == nil && a.Op == OpRevoke {
		err = w.ask(&p)
	}
	if err != nil {
		return ledger.Outcome{}, err
	}
	left, err := w.root.Do(a.ID, p, save)
	return outcome(&a, &p, left), err
}

func (w lines) ask(p *edit.Plan) error {
	all, err := accounts.Read(w.root)
	if err != nil {
		return err
	}
	f, err := w.root.Open(p.Path)
	if err != nil {
		return err
	}
	if err := f.Close(); err != nil {
		return err
	}
	after, _, err := edit.Apply(f.Data, p.Hunks)
	if err != nil {
		return err
	}
	return accounts.Locked(w.root, all, p.Path, after)
}

func outcome(a *minewarden.Action, p *edit.Plan, left edit.Left) ledger.Outcome {
	return ledger.Outcome{Result: fmt.Sprintf("%s: lines taken out of %s: %d; the journal keeps them", a.Op, p.Path, len(p.Hunks)), Show: map[string]string{"path": p.Path}, After: left}
}

// Look implements ledger.Work.
func (w lines) Look(_ context.Context, a minewarden.Action, state json.RawMessage) (ledger.Outcome, bool, error) {
	var s edit.State
	p, err := w.plan(&a)
	if err == nil {
		err = json.Unmarshal(state, &s)
	}
	if err != nil {
		return ledger.Outcome{}, false, err
	}
	left, done, err := w.root.Look(a.ID, p, s)
	return outcome(&a, &p, left), done, err
}

// Undo implements ledger.Work.
func (w lines) Undo(_ context.Context, a minewarden.Action, state, after json.RawMessage) error {
	var s edit.State
	var left edit.Left
	p, err := w.plan(&a)
	if err == nil {
		err = json.Unmarshal(state, &s)
	}
	if err == nil && len(after) > 0 {
		err = json.Unmarshal(after, &left)
	}
	if err != nil {
		return err
	}
	return w.root.Undo(a.ID, p, s, left)
}
