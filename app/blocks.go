package app

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/minewarden/minewarden"
	"github.com/minewarden/minewarden/responders/network"
)

// PlanBlock shows what a block of addresses, networks, ADDRESS:PORT, :PORT or names would touch. It changes nothing.
func (d *Desk) PlanBlock(_ context.Context, targets []string, lasts time.Duration) (minewarden.Action, error) {
	n, err := d.network()
	if err != nil {
		return minewarden.Action{}, err
	}
	return n.PlanBlock(targets, lasts)
}

// Block refuses connections to targets for as long as lasts; 0: as configured. No incident asks for it.
func (d *Desk) Block(ctx context.Context, targets []string, lasts time.Duration, who, why string) (minewarden.Receipt, error) {
	n, err := d.network()
	if err != nil {
		return minewarden.Receipt{}, err
	}
	if d.offline && !n.Persists() {
		return minewarden.Receipt{}, errors.New("no agent is running, and the block would end with this command: start 'minewarden up', or set persist in the section responders: network:")
	}
	a, err := n.PlanBlock(targets, lasts)
	if err != nil {
		return minewarden.Receipt{}, err
	}
	return d.Do(ctx, a, who, why)
}

func (d *Desk) network() (*network.Responder, error) {
	r, err := d.responder(network.Name)
	if err != nil {
		return nil, err
	}
	n, ok := r.(*network.Responder)
	if !ok {
		return nil, fmt.Errorf("responders/%s cannot block what no incident names", network.Name)
	}
	return n, nil
}
