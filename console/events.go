package console

import (
	"context"
	"fmt"
	"net/http"
	"time"

	"github.com/danielgtaylor/huma/v2"
	"github.com/danielgtaylor/huma/v2/adapters/humago"

	"github.com/minewarden/minewarden/console/access"
	"github.com/minewarden/minewarden/internal/terminal"
)

const (
	// beat keeps proxies from taking a quiet stream for a dead one, and ends one whose session ended.
	beat        = 20 * time.Second
	streamWrite = 10 * time.Second // for one event; a client that takes longer is gone
)

type eventsIn struct {
	Last string `header:"Last-Event-ID" maxLength:"64"`
}

func (s *Server) events() {
	op := operation(access.Viewer, http.MethodGet, "/events", "events", "What happens, as server-sent events")
	op.Description += " Each has an id, an event (incident, finding, action, sensor, drill, run, deadline, posture) and data as JSON. " +
		"lost says how many this client could not take; reset that it was away for too long and must look at everything anew."
	op.Responses = map[string]*huma.Response{"200": {Description: "The stream", Content: map[string]*huma.MediaType{"text/event-stream": {Schema: &huma.Schema{Type: "string"}}}}}
	huma.Register(s.api, op, func(ctx context.Context, in *eventsIn) (*huma.StreamResponse, error) {
		if s.o.Feed == nil {
			return nil, huma.Error404NotFound("nothing is told here")
		}
		c, missed, whole := s.o.Feed.join(access.Who(ctx), in.Last)
		if c == nil {
			return nil, huma.Error503ServiceUnavailable("too many streams are open")
		}
		return &huma.StreamResponse{Body: func(ctx huma.Context) {
			defer s.o.Feed.leave(c)
			s.stream(ctx, c, missed, whole)
		}}, nil
	})
}

func (s *Server) stream(ctx huma.Context, c *client, missed []Event, whole bool) {
	r, w := humago.Unwrap(ctx)
	rc := http.NewResponseController(w)
	w.Header().Set("Content-Type", "text/event-stream")
	w.Header().Set("X-Accel-Buffering", "no")
	if err := rc.SetReadDeadline(time.Time{}); err != nil {
		s.log.Debug("a stream keeps the server's read limit", "error", err)
	}
	write := func(text string) bool {
		if err := rc.SetWriteDeadline(time.Now().Add(streamWrite)); err != nil {
			return false
		}
		if _, err := w.Write([]byte(text)); err != nil {
			return false
		}
		return rc.Flush() == nil
	}
	send := func(e Event) bool {
		data, err := terminal.MarshalJSON(e.Data)
		if err != nil {
			s.log.Error("an event cannot be told", "event", e.Kind, "error", err)
			return true
		}
		return write(fmt.Sprintf("id: %s\nevent: %s\ndata: %s\n\n", e.ID, e.Kind, data))
	}
	if !write("retry: 2000\n\n") || !whole && !write("event: reset\ndata: {}\n\n") {
		return
	}
	for _, e := range missed {
		if !send(e) {
			return
		}
	}
	id, _ := access.From(ctx.Context())
	tick := time.NewTicker(beat)
	defer tick.Stop()
	for {
		select {
		case <-r.Context().Done():
			return
		case e, open := <-c.queue:
			if !open || !send(e) {
				return
			}
		case now := <-tick.C:
			if !s.still(ctx, id, now) || !write(": beat\n\n") {
				return
			}
		}
		if n := s.o.Feed.lost(c); n > 0 && !write(fmt.Sprintf("event: lost\ndata: {\"n\":%d}\n\n", n)) {
			return
		}
	}
}

// still reports whether who began a stream may still read it.
func (s *Server) still(ctx huma.Context, id access.Identity, now time.Time) bool {
	if id.Via == "socket" {
		return true
	}
	if !id.Ends.IsZero() && now.After(id.Ends) {
		return false
	}
	again, err := s.who(ctx)
	return err == nil && again.Name == id.Name && again.Role >= access.Viewer
}
