// Package access says who asks the console's API, and what each operation needs of them. What authenticates them is in
// console/account; what the API serves is in console.
package access

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"time"
)

// A Role is what somebody may do; each may all that the ones before it may. The zero Role may nothing, and an operation that
// says nothing is served to nobody.
type Role uint8

// The roles. Public is for operations that need no login; nobody has it.
const (
	Public    Role = iota + 1
	Viewer         // reads
	Analyst        // also notes, assigns, closes, suppresses, reports
	Responder      // also plans, does and takes back; evidence, playbooks, drills, repairs
	Admin          // also accounts and settings
)

var names = [...]string{"", "public", "viewer", "analyst", "responder", "admin"}

// String returns the name used in JSON.
func (r Role) String() string {
	if int(r) < len(names) {
		return names[r]
	}
	return fmt.Sprintf("role(%d)", uint8(r))
}

// MarshalText writes the name.
func (r Role) MarshalText() ([]byte, error) { return []byte(r.String()), nil }

// UnmarshalText reads a role that somebody can have.
func (r *Role) UnmarshalText(text []byte) error {
	for i := Viewer; i <= Admin; i++ {
		if names[i] == string(text) {
			*r = i
			return nil
		}
	}
	return fmt.Errorf("unknown role %q: use viewer, analyst, responder or admin", text)
}

// An Identity is who asks.
type Identity struct {
	Name string    // as receipts, notes and the audit trail name them: "ada", "user root"
	Role Role      // the highest that this way in has: a token may have less than its owner
	Via  string    // "session", "token", "socket"
	ID   string    // of the session or token, for ending it; never a secret
	Ends time.Time // zero: it does not
}

// What an Authenticator answers for a request that it refuses; the API tells them apart by these.
var (
	ErrAnonymous = errors.New("log in first")
	ErrForbidden = errors.New("not allowed")                  // as a missing or wrong CSRF token
	ErrTooMany   = errors.New("too many attempts: try later") // rate limit, lock-out
)

// An Authenticator finds out who sends a request. For an unsafe method with a cookie it also checks the CSRF token. Its errors
// wrap one of those above; any other is a fault of the server.
type Authenticator interface {
	Authenticate(r *http.Request) (Identity, error)
}

type key struct{}

// With returns ctx with who asks.
func With(ctx context.Context, id Identity) context.Context { return context.WithValue(ctx, key{}, id) }

// From returns who asks; false: nobody has logged in, which only operations for Public meet.
func From(ctx context.Context) (Identity, bool) {
	id, ok := ctx.Value(key{}).(Identity)
	return id, ok
}

// Who returns the name of who asks, "" for nobody.
func Who(ctx context.Context) string {
	id, _ := From(ctx)
	return id.Name
}

const needs = "role"

// Need is the Metadata of a huma.Operation that needs a role.
func Need(r Role) map[string]any { return map[string]any{needs: r} }

// Needed returns the role that an operation's Metadata asks for; zero: it says none, and nobody may.
func Needed(metadata map[string]any) Role {
	r, _ := metadata[needs].(Role)
	return r
}
