// Package flowfilter says fast that a flow is in no table: most flows end without anybody having followed them, and a look into a
// map for each costs more than all else that is done with their end.
package flowfilter

import "github.com/minewarden/minewarden"

const slots = 1 << 14

// A Filter counts the flows of a table by their ports. The zero Filter is empty.
type Filter struct {
	counts [slots]uint32
}

func slot(k *minewarden.FlowKey) uint32 {
	return (uint32(k.Client.Port())*0x9e37 ^ uint32(k.Server.Port())*0x79b9) & (slots - 1)
}

// Add notes a flow that was entered.
func (f *Filter) Add(k *minewarden.FlowKey) { f.counts[slot(k)]++ }

// Remove forgets a flow that was entered before, once for each time it was.
func (f *Filter) Remove(k *minewarden.FlowKey) { f.counts[slot(k)]-- }

// May is false for what is not in the table; true says nothing.
func (f *Filter) May(k *minewarden.FlowKey) bool { return f.counts[slot(k)] != 0 }
