package account

import (
	"context"
	"net/http"
	"time"

	"github.com/danielgtaylor/huma/v2"

	"github.com/minewarden/minewarden/console/access"
)

func (s *Service) meRoutes(api huma.API) {
	huma.Register(api, operation(access.Viewer, http.MethodPut, "/me/password", "setPassword", "Set your password; your other sessions end"), func(ctx context.Context, in *struct {
		Body struct {
			Current  string `json:"current,omitempty" maxLength:"1024" doc:"where you have one"`
			Password string `json:"password" maxLength:"1024"`
		}
	},
	) (*struct{}, error) {
		id, err := own(ctx)
		if err != nil {
			return nil, err
		}
		return nil, s.problem(ctx, s.SetPassword(ctx, by(ctx), id.Name, in.Body.Current, in.Body.Password, id.ID))
	})
	huma.Register(api, operation(access.Viewer, http.MethodGet, "/me/tokens", "tokens", "Your API tokens"), func(ctx context.Context, _ *struct{}) (*answer[list[Token]], error) {
		id, err := own(ctx)
		if err != nil {
			return nil, err
		}
		all, err := s.Tokens(ctx, id.Name)
		return ok(items(all), s.problem(ctx, err))
	})
	huma.Register(api, operation(access.Viewer, http.MethodPost, "/me/tokens", "makeToken", "Make an API token with at most your role"), func(ctx context.Context, in *struct {
		Body struct {
			Name    string      `json:"name" minLength:"1" maxLength:"100" doc:"what you call it"`
			Role    access.Role `json:"role" enum:"viewer,analyst,responder,admin"`
			Expires *time.Time  `json:"expires,omitempty" doc:"within 366 days; absent: in 90 days"`
		}
	},
	) (*answer[NewToken], error) {
		id, err := own(ctx)
		if err != nil {
			return nil, err
		}
		var expires time.Time
		if in.Body.Expires != nil {
			expires = *in.Body.Expires
		}
		t, err := s.MakeToken(ctx, by(ctx), id.Name, in.Body.Name, in.Body.Role, expires)
		return ok(t, s.problem(ctx, err))
	})
	huma.Register(api, operation(access.Viewer, http.MethodDelete, "/me/tokens/{id}", "removeToken", "Void an API token of yours"), func(ctx context.Context, in *thing) (*struct{}, error) {
		id, err := own(ctx)
		if err != nil {
			return nil, err
		}
		return nil, s.problem(ctx, s.RemoveToken(ctx, by(ctx), id.Name, in.ID))
	})
}

// named is the parameter of what is about one account.
type named struct {
	Name string `path:"name" maxLength:"64"`
}

func (s *Service) accountRoutes(api huma.API) {
	huma.Register(api, operation(access.Admin, http.MethodGet, "/accounts", "accounts", "All accounts"), func(ctx context.Context, _ *struct{}) (*answer[list[Account]], error) {
		all, err := s.Accounts(ctx)
		return ok(items(all), s.problem(ctx, err))
	})
	huma.Register(api, operation(access.Admin, http.MethodPost, "/accounts", "addAccount", "Make an account; the answer has the link that lets its owner in, once, within a day"), func(ctx context.Context, in *struct {
		Body struct {
			Name string      `json:"name" minLength:"1" maxLength:"64"`
			Role access.Role `json:"role" enum:"viewer,analyst,responder,admin"`
		}
	},
	) (*answer[Link], error) {
		name, err := NormalName(in.Body.Name)
		if err == nil {
			err = s.Add(ctx, by(ctx), name, in.Body.Role, "")
		}
		if err != nil {
			return nil, s.problem(ctx, err)
		}
		l, err := s.Invite(ctx, by(ctx), name)
		return ok(l, s.problem(ctx, err))
	})
	huma.Register(api, operation(access.Admin, http.MethodPatch, "/accounts/{name}", "changeAccount", "Change role or whether it may log in, or unlock it: one of these at a time; its sessions end"), func(ctx context.Context, in *struct {
		Name string `path:"name" maxLength:"64"`
		Body struct {
			Role     *access.Role `json:"role,omitempty" enum:"viewer,analyst,responder,admin"`
			Disabled *bool        `json:"disabled,omitempty"`
			Unlock   bool         `json:"unlock,omitempty" doc:"let passwords be tried again at once"`
		}
	},
	) (*answer[Account], error) {
		b := in.Body
		var err error
		switch {
		case b.Role != nil && b.Disabled == nil && !b.Unlock:
			err = s.SetRole(ctx, by(ctx), in.Name, *b.Role)
		case b.Role == nil && b.Disabled != nil && !b.Unlock:
			err = s.SetDisabled(ctx, by(ctx), in.Name, *b.Disabled)
		case b.Role == nil && b.Disabled == nil && b.Unlock:
			err = s.Unlock(ctx, by(ctx), in.Name)
		default:
			err = huma.Error422UnprocessableEntity("want one of role, disabled, unlock")
		}
		if err != nil {
			return nil, s.problem(ctx, err)
		}
		a, err := s.Account(ctx, in.Name)
		return ok(a, s.problem(ctx, err))
	})
	huma.Register(api, operation(access.Admin, http.MethodPost, "/accounts/{name}/reset", "resetAccount", "Take away its password, passkeys, tokens and sessions; the answer has the link that lets its owner in again"), func(ctx context.Context, in *named) (*answer[Link], error) {
		if err := s.Reset(ctx, by(ctx), in.Name); err != nil {
			return nil, s.problem(ctx, err)
		}
		l, err := s.Invite(ctx, by(ctx), in.Name)
		return ok(l, s.problem(ctx, err))
	})
	huma.Register(api, operation(access.Admin, http.MethodDelete, "/accounts/{name}", "removeAccount", "Take an account away"), func(ctx context.Context, in *named) (*struct{}, error) {
		return nil, s.problem(ctx, s.Remove(ctx, by(ctx), in.Name))
	})
}
