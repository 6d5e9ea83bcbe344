package app

import (
	"github.com/danielgtaylor/huma/v2"
)

// Routes returns the routes that packages beside console bring, unbound: for the API's document.
func Routes() []func(huma.API) { return nil }
