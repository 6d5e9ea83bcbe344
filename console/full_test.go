package console

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"strings"
	"syscall"
	"testing"

	"github.com/danielgtaylor/huma/v2"

	"github.com/minewarden/minewarden/console/access"
)

func TestFullDiskIsTold(t *testing.T) {
	s := &Server{log: slog.New(slog.DiscardHandler)}
	full := fmt.Errorf("write /var/lib/minewarden/x: %w", syscall.ENOSPC)
	for _, c := range []struct {
		role   access.Role
		err    error
		status int
		path   bool
	}{
		{access.Analyst, full, http.StatusInsufficientStorage, false},
		{access.Responder, full, http.StatusInsufficientStorage, true},
		{access.Responder, fmt.Errorf("mount: %w", syscall.EROFS), http.StatusInsufficientStorage, false},
		{access.Responder, errors.New("its process ended"), http.StatusUnprocessableEntity, false},
	} {
		ctx := access.With(context.Background(), access.Identity{Name: "ann", Role: c.role})
		var status huma.StatusError
		if err := s.refused(ctx, "note", c.err); !errors.As(err, &status) || status.GetStatus() != c.status || strings.Contains(err.Error(), "/var/lib") != c.path {
			t.Errorf("%v is told as %v, want status %d", c.err, err, c.status)
		}
	}
}
