package app

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"net/url"
	"path/filepath"
	"slices"

	"github.com/minewarden/minewarden"
	"github.com/minewarden/minewarden/config"
	"github.com/minewarden/minewarden/console"
	"github.com/minewarden/minewarden/responders/evidence"
	"github.com/minewarden/minewarden/responders/evidence/vault"
)

// A Collector collects evidence: the desk of an agent, running or not.
type Collector interface {
	Collect(ctx context.Context, incident string, o console.Collect, who, why string) (minewarden.Receipt, error)
}

var (
	_ Collector        = (*Desk)(nil)
	_ Collector        = (*client)(nil)
	_ console.Evidence = (*Desk)(nil)
)

// Vault returns where the agent of cfg.Data keeps evidence.
func Vault(cfg *config.Config) (vault.Vault, error) {
	c := evidence.DefaultConfig()
	if err := cfg.Section("responders", evidence.Name)(&c); err != nil {
		return vault.Vault{}, err
	}
	return evidence.Vault(cfg.Data, c), nil
}

// Collect implements console.Evidence. It goes on when who asked goes away: half a collection helps nobody.
func (d *Desk) Collect(ctx context.Context, id string, o console.Collect, who, why string) (minewarden.Receipt, error) {
	actions, err := d.Plan(ctx, id)
	if err != nil {
		return minewarden.Receipt{}, err
	}
	i := slices.IndexFunc(actions, func(a minewarden.Action) bool { return a.Responder == evidence.Name && a.Op == evidence.Collect })
	if i < 0 {
		return minewarden.Receipt{}, fmt.Errorf("incident %s names nothing that could be collected any more: %w", id, minewarden.ErrNotFound)
	}
	a := actions[i]
	if o.Memory != "" {
		a.Params[evidence.ParamMemory] = o.Memory
	}
	if o.Hold {
		a.Params[evidence.ParamHold] = "yes"
	}
	if o.Path != "" {
		if !filepath.IsAbs(o.Path) {
			return minewarden.Receipt{}, fmt.Errorf("%q is no absolute path", o.Path)
		}
		a.Params[evidence.ParamPath] = filepath.Clean(o.Path)
	}
	return d.Do(context.WithoutCancel(ctx), a, who, why)
}

// vault is that of the responder; an error where it is disabled.
func (d *Desk) vault() (vault.Vault, error) {
	r, err := d.responder(evidence.Name)
	if err != nil {
		return vault.Vault{}, err
	}
	e, ok := r.(*evidence.Responder)
	if !ok {
		return vault.Vault{}, errors.New("evidence is not collected by responders/evidence")
	}
	return e.Vault(), nil
}

// Evidence implements console.Evidence.
func (d *Desk) Evidence(context.Context) ([]console.Collection, error) {
	v, err := d.vault()
	if err != nil {
		return nil, err
	}
	found, err := v.List()
	if err != nil {
		return nil, err
	}
	all := make([]console.Collection, 0, len(found))
	for i := range found {
		all = append(all, collection(&found[i]))
	}
	slices.SortStableFunc(all, func(a, b console.Collection) int {
		return cmp.Or(b.Started.Compare(a.Started), cmp.Compare(a.ID, b.ID))
	})
	return all, nil
}

func collection(i *vault.Item) console.Collection {
	m := &i.Manifest
	c := console.Collection{
		ID: m.ID, Incident: m.Incident, Host: m.Host, Who: m.Who, Why: m.Why, Started: m.Started, Done: m.Done, Memory: m.Memory,
		Partial: m.Partial, Parts: len(m.Parts), Processes: len(m.Processes), Skipped: len(m.Skipped), Bytes: i.Bytes, State: "sealed", Error: i.Err,
	}
	switch {
	case i.Open:
		c.State = "open"
	case i.Err != "":
		c.State = "unreadable"
	}
	return c
}

// VerifyEvidence implements console.Evidence.
func (d *Desk) VerifyEvidence(ctx context.Context, id, who string) (console.Verification, error) {
	v, err := d.vault()
	if err != nil {
		return console.Verification{}, err
	}
	dir, err := v.Find(id, false)
	if errors.Is(err, vault.ErrID) {
		err = errors.Join(err, minewarden.ErrNotFound)
	}
	if err != nil {
		return console.Verification{}, err
	}
	trusted, err := v.PublicKey()
	if err != nil {
		return console.Verification{}, err
	}
	r, err := vault.Verify(ctx, dir, trusted)
	if err != nil {
		return console.Verification{}, err
	}
	out := console.Verification{
		ID: filepath.Base(dir), OK: r.OK(), Faults: append([]string{}, r.Faults...), Partial: r.Partial, Parts: r.Parts, Bytes: r.Bytes, Key: r.Key,
		Expired: r.Expired, Custody: []console.CustodyEntry{},
	}
	for _, e := range r.Custody {
		out.Custody = append(out.Custody, console.CustodyEntry{Time: e.Time, Who: e.Who, What: e.What, Detail: e.Detail})
	}
	if r.OK() { // a chain that is broken is not gone on with
		err = v.Note(dir, who, vault.Verified, fmt.Sprintf("%d parts are as they were", r.Parts))
	}
	return out, err
}

// Collect implements Collector by the running agent's API.
func (c *client) Collect(ctx context.Context, id string, o console.Collect, who, why string) (out minewarden.Receipt, err error) {
	in := map[string]any{"why": why, "hold": o.Hold}
	if o.Memory != "" {
		in["memory"] = o.Memory
	}
	if o.Path != "" {
		in["path"] = o.Path
	}
	err = c.post(ctx, "/incidents/"+url.PathEscape(id)+"/evidence", in, &out, who)
	return out, err
}
