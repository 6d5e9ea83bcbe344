package account

import (
	"context"
	"errors"
	"math"
	"net/http"
	"strconv"
	"strings"
	"time"

	"github.com/danielgtaylor/huma/v2"
	"github.com/danielgtaylor/huma/v2/adapters/humago"

	"github.com/minewarden/minewarden"
	"github.com/minewarden/minewarden/console/access"
)

// Routes registers /session, /me and /accounts. It reads nothing of s: the document needs no accounts.
func (s *Service) Routes(api huma.API) {
	s.sessionRoutes(api)
	s.passkeyRoutes(api)
	s.meRoutes(api)
	s.accountRoutes(api)
}

func operation(need access.Role, method, path, id, summary string) huma.Operation {
	tag, _, _ := strings.Cut(strings.TrimPrefix(path, "/"), "/")
	op := huma.Operation{
		Method: method, Path: path, OperationID: id, Summary: summary, Tags: []string{tag}, Metadata: access.Need(need),
		MaxBodyBytes: maxBody, Errors: []int{http.StatusTooManyRequests},
	}
	if need == access.Public {
		op.Description = "Needs no login."
		op.Security = []map[string][]string{}
		op.Errors = append(op.Errors, http.StatusUnauthorized, http.StatusServiceUnavailable)
		return op
	}
	op.Description = "Needs the role " + need.String() + "."
	op.Security = []map[string][]string{{"session": {}}, {"token": {}}}
	if method != http.MethodGet {
		op.Errors = append(op.Errors, http.StatusForbidden, http.StatusNotFound, http.StatusConflict, http.StatusUnprocessableEntity)
	}
	return op
}

// maxBody is of any request here: a passkey's answer with its attestation is the largest.
const maxBody = 64 << 10

// request gives an operation the request itself: cookies, address, name of the console.
type request struct{ r *http.Request }

// Resolve is called by huma before the operation.
func (q *request) Resolve(ctx huma.Context) []error {
	q.r, _ = humago.Unwrap(ctx)
	return nil
}

var _ huma.Resolver = (*request)(nil)

func (q *request) visit() Visit {
	return Visit{Address: Address(q.r), Device: cookie(q.r, deviceName), Old: cookie(q.r, cookieName)}
}

// by names who asks, for the audit trail.
func by(ctx context.Context) By {
	id, _ := access.From(ctx)
	via := map[string]string{"session": "console", "token": "token " + id.ID, "socket": "cli"}[id.Via]
	return By{Who: id.Name, Via: via}
}

// own returns the account of somebody who sits at the console. What opens an account for good, such as a new password, is for
// them: neither for a token, which may have been stolen, nor for the control socket, which has no account.
func own(ctx context.Context) (access.Identity, error) {
	id, ok := access.From(ctx)
	if !ok || id.Via != "session" {
		return id, huma.Error403Forbidden("this is for somebody logged in to the console")
	}
	return id, nil
}

// problem gives an error its status.
func (s *Service) problem(ctx context.Context, err error) error {
	var status huma.StatusError
	var locked *Locked
	switch {
	case err == nil:
		return nil
	case errors.As(err, &status):
		return err
	case errors.As(err, &locked):
		return later(huma.Error429TooManyRequests(locked.Error()), locked.Wait)
	case errors.Is(err, ErrBusy):
		return later(huma.Error503ServiceUnavailable(ErrBusy.Error()), maxWait)
	case errors.Is(err, ErrWrong):
		return huma.Error401Unauthorized(err.Error())
	case errors.Is(err, ErrInvalid):
		return huma.Error422UnprocessableEntity(strings.TrimSuffix(err.Error(), ": "+ErrInvalid.Error()))
	case errors.Is(err, ErrConflict):
		return huma.Error409Conflict(strings.TrimSuffix(err.Error(), ": "+ErrConflict.Error()))
	case errors.Is(err, minewarden.ErrNotFound):
		return huma.Error404NotFound(err.Error())
	case ctx.Err() != nil:
		return huma.NewError(http.StatusServiceUnavailable, "the request ended before it was answered")
	}
	s.log.Error("a request about accounts failed", "who", access.Who(ctx), "error", err)
	return huma.Error500InternalServerError("a fault of minewarden: its log says more")
}

func later(err error, wait time.Duration) error {
	seconds := strconv.Itoa(max(1, int(math.Ceil(wait.Seconds()))))
	return huma.ErrorWithHeaders(err, http.Header{"Retry-After": {seconds}})
}

type answer[T any] struct{ Body T }

func ok[T any](v T, err error) (*answer[T], error) {
	if err != nil {
		return nil, err
	}
	return &answer[T]{Body: v}, nil
}

type list[T any] struct {
	Items []T `json:"items" nullable:"false"`
}

func items[T any](all []T) list[T] {
	if all == nil {
		all = []T{}
	}
	return list[T]{Items: all}
}
