package app

import (
	"context"

	"github.com/minewarden/minewarden/console"
)

// deadlinesOf are those of some incidents, for a page of a list.
func (b *bookDesk) deadlinesOf(_ context.Context, incidents []string) []console.Deadline {
	var out []console.Deadline
	for _, d := range b.DeadlinesOf(incidents) {
		out = append(out, console.Deadline{Incident: d.Incident, What: d.What, Due: d.Due, State: d.State})
	}
	return out
}
