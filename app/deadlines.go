package app

import (
	"context"
	"fmt"
	"net/url"
	"slices"
	"time"

	"github.com/minewarden/minewarden/audittrail"
	"github.com/minewarden/minewarden/console"
	"github.com/minewarden/minewarden/console/access"
	"github.com/minewarden/minewarden/playbooks"
)

// reported says that the report or the review of an incident was made, which meets its deadline: the first who makes it counts.
func (b *bookDesk) reported(ctx context.Context, incident, kind string) error {
	what := playbooks.Report
	if kind == "review" {
		what = playbooks.Review
	}
	if !slices.ContainsFunc(b.DeadlinesOf([]string{incident}), func(d playbooks.Due) bool { return d.What == what && d.Met.IsZero() && d.State != "dropped" }) {
		return nil
	}
	who := access.Who(ctx)
	e := audittrail.Entry{Who: who, What: "deadline.met", Target: incident, Why: "it was made", Detail: map[string]string{"deadline": what}}
	return b.agent.desk.trail.changing(ctx, e, func() error {
		if err := b.Met(incident, what, who); err != nil {
			return err
		}
		b.agent.feed.Publish("deadline", met{Incident: incident, What: what, Who: who, Time: time.Now()})
		return nil
	})
}

// Reported says to a running agent that the report or the review of an incident was made. Where none runs nobody watches deadlines.
func Reported(ctx context.Context, w Work, incident, kind string) error {
	c, ok := w.(*client)
	if !ok {
		return nil
	}
	if err := c.post(ctx, "/incidents/"+url.PathEscape(incident)+"/report", map[string]string{"kind": kind}, nil, Me()); err != nil {
		return fmt.Errorf("tell the agent that the %s was made: %w", kind, err)
	}
	return nil
}

// met is what a stream tells of a deadline that was met.
type met struct {
	Incident string    `json:"incident"`
	What     string    `json:"what"`
	Who      string    `json:"met_by"`
	Time     time.Time `json:"time"`
}

// deadlinesOf are those of some incidents, for a page of a list.
func (b *bookDesk) deadlinesOf(_ context.Context, incidents []string) []console.Deadline {
	var out []console.Deadline
	for _, d := range b.DeadlinesOf(incidents) {
		out = append(out, console.Deadline{Incident: d.Incident, What: d.What, Due: d.Due, State: d.State, Met: d.Met, By: d.By})
	}
	return out
}
