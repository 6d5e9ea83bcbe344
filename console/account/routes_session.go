package account

import (
	"context"
	"encoding/json"
	"net/http"
	"time"

	"github.com/danielgtaylor/huma/v2"

	"github.com/minewarden/minewarden/console/access"
)

// A Session is who is logged in.
type Session struct {
	User    string      `json:"user"`
	Role    access.Role `json:"role"`
	CSRF    string      `json:"csrf,omitempty" doc:"send it as X-CSRF-Token with what changes something"`
	Expires *time.Time  `json:"expires,omitempty" doc:"log in again then; or after an hour without a request"`
	Means   []string    `json:"means,omitzero" nullable:"false" doc:"by which this account can log in: password, passkey; none: make one now"`
}

type sessionAnswer struct {
	SetCookie []http.Cookie `header:"Set-Cookie"`
	Body      Session
}

type ended struct {
	SetCookie []http.Cookie `header:"Set-Cookie"`
}

func hostCookie(name, value string, age int) http.Cookie {
	return http.Cookie{Name: name, Value: value, Path: "/", MaxAge: age, Secure: true, HttpOnly: true, SameSite: http.SameSiteStrictMode}
}

// enter answers a login.
func (s *Service) enter(ctx context.Context, l Login, err error) (*sessionAnswer, error) {
	if err != nil {
		return nil, s.problem(ctx, err)
	}
	body, err := s.describe(ctx, l.Identity, l.Secret)
	return &sessionAnswer{
		SetCookie: []http.Cookie{hostCookie(cookieName, l.Secret, int(sessionMost.Seconds())), hostCookie(deviceName, l.Device, int(deviceLife.Seconds()))},
		Body:      body,
	}, s.problem(ctx, err)
}

func (s *Service) describe(ctx context.Context, id access.Identity, secret string) (Session, error) {
	out := Session{User: id.Name, Role: id.Role}
	if !id.Ends.IsZero() {
		out.Expires = &id.Ends
	}
	if id.Via != "session" {
		return out, nil
	}
	out.CSRF = s.csrf(secret)
	a, err := s.Account(ctx, id.Name)
	out.Means = []string{}
	if a.Password {
		out.Means = append(out.Means, "password")
	}
	if a.Passkeys > 0 {
		out.Means = append(out.Means, "passkey")
	}
	return out, err
}

func (s *Service) sessionRoutes(api huma.API) {
	huma.Register(api, operation(access.Public, http.MethodPost, "/session", "login", "Log in with a password"), func(ctx context.Context, in *struct {
		request
		Body struct {
			Name     string `json:"name" maxLength:"200"`
			Password string `json:"password" maxLength:"1024"`
		}
	},
	) (*sessionAnswer, error) {
		l, err := s.Password(ctx, in.visit(), in.Body.Name, in.Body.Password)
		return s.enter(ctx, l, err)
	})
	huma.Register(api, operation(access.Public, http.MethodPost, "/session/link", "loginByLink", "Log in with the token of a login link, once"), func(ctx context.Context, in *struct {
		request
		Body struct {
			Token string `json:"token" maxLength:"200"`
		}
	},
	) (*sessionAnswer, error) {
		l, err := s.Link(ctx, in.visit(), in.Body.Token)
		return s.enter(ctx, l, err)
	})
	huma.Register(api, operation(access.Viewer, http.MethodGet, "/session", "session", "Who is logged in"), func(ctx context.Context, in *request) (*answer[Session], error) {
		id, _ := access.From(ctx)
		v, err := s.describe(ctx, id, cookie(in.r, cookieName))
		return ok(v, s.problem(ctx, err))
	})
	huma.Register(api, operation(access.Viewer, http.MethodDelete, "/session", "logout", "Log out"), func(ctx context.Context, _ *struct{}) (*ended, error) {
		id, err := own(ctx)
		if err == nil {
			err = s.End(ctx, by(ctx), id.Name, id.ID)
		}
		return &ended{SetCookie: []http.Cookie{hostCookie(cookieName, "", -1)}}, s.problem(ctx, err)
	})
}

// PasskeyOptions are for the browser's PublicKeyCredential.parseCreationOptionsFromJSON or parseRequestOptionsFromJSON.
type PasskeyOptions struct {
	PublicKey map[string]any `json:"publicKey"`
}

func passkeyOptions(v any, err error) (out PasskeyOptions, _ error) {
	if err != nil {
		return out, err
	}
	b, err := json.Marshal(v)
	if err == nil {
		err = json.Unmarshal(b, &out)
	}
	return out, err
}

// passkeyAnswer is PublicKeyCredential.toJSON() of the browser.
type passkeyAnswer struct {
	request
	RawBody []byte
	Body    map[string]any
}

func (s *Service) passkeyRoutes(api huma.API) {
	huma.Register(api, operation(access.Public, http.MethodPost, "/session/passkey/begin", "beginLoginByPasskey", "Ask for a passkey: what the browser needs"), func(ctx context.Context, in *struct {
		request
		Body *struct {
			Name string `json:"name,omitempty" maxLength:"200" doc:"not needed: the passkey knows whose it is"`
		}
	},
	) (*answer[PasskeyOptions], error) {
		v, err := passkeyOptions(s.BeginPasskey(ctx, in.visit(), in.r.Host))
		return ok(v, s.problem(ctx, err))
	})
	huma.Register(api, operation(access.Public, http.MethodPost, "/session/passkey/finish", "loginByPasskey", "Log in with what the browser answered"), func(ctx context.Context, in *passkeyAnswer) (*sessionAnswer, error) {
		l, err := s.FinishPasskey(ctx, in.visit(), in.RawBody)
		return s.enter(ctx, l, err)
	})
	huma.Register(api, operation(access.Viewer, http.MethodGet, "/me/passkeys", "passkeys", "Your passkeys"), func(ctx context.Context, _ *struct{}) (*answer[list[Passkey]], error) {
		id, err := own(ctx)
		if err != nil {
			return nil, err
		}
		all, err := s.Passkeys(ctx, id.Name)
		return ok(items(all), s.problem(ctx, err))
	})
	huma.Register(api, operation(access.Viewer, http.MethodPost, "/me/passkeys/begin", "beginPasskey", "Make a passkey: what the browser needs"), func(ctx context.Context, in *struct {
		request
		Body struct {
			Name string `json:"name" minLength:"1" maxLength:"100" doc:"what you call it"`
		}
	},
	) (*answer[PasskeyOptions], error) {
		id, err := own(ctx)
		if err != nil {
			return nil, err
		}
		v, err := passkeyOptions(s.BeginRegister(ctx, in.r.Host, id.Name, id.ID, in.Body.Name))
		return ok(v, s.problem(ctx, err))
	})
	huma.Register(api, operation(access.Viewer, http.MethodPost, "/me/passkeys/finish", "makePasskey", "Keep the passkey that the browser made"), func(ctx context.Context, in *passkeyAnswer) (*answer[Passkey], error) {
		id, err := own(ctx)
		if err != nil {
			return nil, err
		}
		p, err := s.FinishRegister(ctx, by(ctx), id.Name, id.ID, in.RawBody)
		return ok(p, s.problem(ctx, err))
	})
	huma.Register(api, operation(access.Viewer, http.MethodDelete, "/me/passkeys/{id}", "removePasskey", "Take a passkey of yours away"), func(ctx context.Context, in *thing) (*struct{}, error) {
		id, err := own(ctx)
		if err != nil {
			return nil, err
		}
		return nil, s.problem(ctx, s.RemovePasskey(ctx, by(ctx), id.Name, in.ID))
	})
}

// thing is the parameter of what is about one thing of somebody's.
type thing struct {
	ID string `path:"id" maxLength:"1400"`
}
