package mem_test

import (
	"testing"

	"github.com/minewarden/minewarden"
	"github.com/minewarden/minewarden/store/mem"
	"github.com/minewarden/minewarden/store/storetest"
)

func TestStore(t *testing.T) {
	storetest.Run(t, func(*testing.T) minewarden.Store { return new(mem.Store) })
}
