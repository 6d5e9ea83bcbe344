package source

import (
	"bytes"
	"encoding/json"
	"regexp"

	"github.com/minewarden/minewarden/responders/internal/edit"
)

var secretKey = regexp.MustCompile(`(?i)token|secret|passw|credential|authorization|api_?key|private|^env$|^header$|^data$`)

// redact hides values whose keys sound secret, and all of an environment.
func redact(v any, hide bool, depth int) any {
	if depth > 64 {
		return hiddenSecret
	}
	switch x := v.(type) {
	case map[string]any:
		out := make(map[string]any, len(x))
		for k, e := range x {
			out[k] = redact(e, hide || secretKey.MatchString(k), depth+1)
		}
		return out
	case []any:
		out := make([]any, len(x))
		for i, e := range x {
			out[i] = redact(e, hide, depth+1)
		}
		return out
	case string:
		if hide && x != "" {
			return hiddenSecret
		}
		return show(x)
	}
	return v
}

// jsonDiff shows what becomes of an object: the fields in set, or all of it gone where set is nil. Secrets are hidden.
func jsonDiff(name string, raw json.RawMessage, set map[string]any) string {
	var v map[string]any
	d := json.NewDecoder(bytes.NewReader(raw))
	d.UseNumber()
	if d.Decode(&v) != nil {
		return ""
	}
	before, err := json.MarshalIndent(redact(v, false, 0), "", "  ")
	if err != nil {
		return ""
	}
	before = append(before, '\n')
	lines := edit.Split(before)
	if set == nil {
		return edit.Diff(name, before, []edit.Hunk{{At: 0, N: len(lines)}}, show)
	}
	var hunks []edit.Hunk
	for i, l := range lines {
		for k, to := range set {
			key, err1 := json.Marshal(k)
			val, err2 := json.Marshal(to)
			head := "  " + string(key) + ": "
			if err1 == nil && err2 == nil && len(l) > len(head) && l[:len(head)] == head {
				end := "\n"
				if bytes.HasSuffix([]byte(l), []byte(",\n")) {
					end = ",\n"
				}
				hunks = append(hunks, edit.Hunk{At: i, N: 1, With: []string{head + string(val) + end}})
			}
		}
	}
	return edit.Diff(name, before, hunks, show)
}
