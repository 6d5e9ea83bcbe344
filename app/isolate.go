package app

import (
	"context"
	"errors"
	"net/netip"
	"slices"

	"github.com/minewarden/minewarden"
	"github.com/minewarden/minewarden/audittrail"
	"github.com/minewarden/minewarden/config"
	"github.com/minewarden/minewarden/responders/isolate"
)

func (d *Desk) isolation() *isolate.Responder {
	for _, r := range d.responders {
		if i, ok := r.(*isolate.Responder); ok {
			return i
		}
	}
	return nil
}

// followIsolation gives incidents and the audit trail the isolations that end by themselves.
func (d *Desk) followIsolation() {
	i := d.isolation()
	if i == nil {
		return
	}
	i.OnRelease(func(r minewarden.Receipt) {
		// It has ended, whether it can be written down or not.
		d.trail.AppendLate(audittrail.Entry{Who: "isolate", What: "action.undo", Target: r.Action.ID, Why: r.UndoneBy})
		if err := d.released(context.Background(), r); err != nil {
			d.log.Error("an isolation that ended was not recorded", "action", r.Action.ID, "error", err)
		}
	})
}

func (d *Desk) released(ctx context.Context, r minewarden.Receipt) error {
	if r.Action.Incident == "" {
		return nil
	}
	err := d.note(ctx, r)
	d.told(ctx, r)
	return err
}

// unisolate ends what a closed incident isolated.
func (d *Desk) unisolate(ctx context.Context, id string) error {
	i := d.isolation()
	if i == nil {
		return nil
	}
	over, err := i.Closed(ctx, id)
	errs := []error{err}
	for _, r := range over {
		errs = append(errs, d.released(ctx, r))
	}
	return errors.Join(errs...)
}

// operatorSeen keeps an isolation up: who can ask the console or the control socket can reach this machine.
func (d *Desk) operatorSeen(who string) {
	if i := d.isolation(); i != nil {
		i.Confirm(who)
	}
}

// withConsole adds the console's port to those by which the operator reaches this host, before the section is read over it.
func withConsole(cfg *config.Config, section func(any) error) func(any) error {
	return func(into any) error {
		if c, ok := into.(*isolate.Config); ok {
			if at, err := netip.ParseAddrPort(cfg.Listen); err == nil && at.Port() != 0 && !slices.Contains(c.Management.Ports, at.Port()) {
				c.Management.Ports = append(c.Management.Ports, at.Port())
			}
		}
		return section(into)
	}
}
