package pow

import (
	"testing"

	"github.com/minewarden/minewarden/internal/detectortest"
)

func TestRecordings(t *testing.T) { detectortest.Run(t, New) }
