package sensors

import "github.com/minewarden/minewarden/sensors/walk"

// Scans returns the sensors that look once and then end: "minewarden scan" runs them, "minewarden up" does not.
func Scans() []Named {
	return []Named{
		{"walk", walk.New},
	}
}
