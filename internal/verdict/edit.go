package verdict

import (
	"encoding/json"

	"github.com/minewarden/minewarden"
)

// Set is an edit that gives key the value.
func Set(path string, format minewarden.Format, value any, key ...string) minewarden.Edit {
	raw, err := json.Marshal(value)
	if err != nil {
		panic("verdict: a repair's value cannot be written as JSON: " + err.Error()) // values are constants of the program
	}
	return minewarden.Edit{Path: path, Format: format, Op: minewarden.EditSet, Key: key, Value: raw}
}

// Delete is an edit that takes key away.
func Delete(path string, format minewarden.Format, key ...string) minewarden.Edit {
	return minewarden.Edit{Path: path, Format: format, Op: minewarden.EditDelete, Key: key}
}

// Evidence pairs keys and values.
func Evidence(kv ...string) []minewarden.Evidence {
	var out []minewarden.Evidence
	for i := 0; i+1 < len(kv); i += 2 {
		if kv[i+1] != "" {
			out = append(out, minewarden.Evidence{Key: kv[i], Value: kv[i+1]})
		}
	}
	return out
}
