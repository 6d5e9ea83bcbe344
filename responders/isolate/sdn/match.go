package sdn

import (
	"bytes"
	"encoding/json"
	"errors"
	"io"
	"slices"
)

// maxDepth bounds the nesting of an answer.
const maxDepth = 64

// decode keeps numbers as they are written: cookies are longer than a float holds.
func decode(b []byte) (any, error) {
	d := json.NewDecoder(bytes.NewReader(b))
	d.UseNumber()
	var v any
	if err := d.Decode(&v); err != nil {
		return nil, err
	}
	if _, err := d.Token(); !errors.Is(err, io.EOF) {
		return nil, errors.New("there is more after the value")
	}
	return v, nil
}

// find returns the first object anywhere in v that holds want.
func find(v, want any, depth int) map[string]any {
	if depth > maxDepth {
		return nil
	}
	switch v := v.(type) {
	case map[string]any:
		if holds(v, want, false, depth) {
			return v
		}
		for _, k := range v {
			if m := find(k, want, depth+1); m != nil {
				return m
			}
		}
	case []any:
		for _, k := range v {
			if m := find(k, want, depth+1); m != nil {
				return m
			}
		}
	}
	return nil
}

func empty(v any) bool {
	switch v := v.(type) {
	case nil:
		return true
	case []any:
		return len(v) == 0
	case map[string]any:
		return len(v) == 0
	}
	return false
}

// holds compares. exact: an object may have no more members than wanted, for each makes what is matched narrower.
func holds(v, want any, exact bool, depth int) bool {
	if depth > maxDepth {
		return false
	}
	switch want := want.(type) {
	case nil:
		return empty(v)
	case map[string]any:
		m, ok := v.(map[string]any)
		if !ok {
			return false
		}
		for k, w := range want {
			got, there := m[k]
			if (!there && w != nil) || !holds(got, w, exact || k == "match" || k == "selector", depth+1) {
				return false
			}
		}
		for k, got := range m {
			if _, wanted := want[k]; exact && !wanted && !empty(got) {
				return false
			}
		}
		return true
	case []any:
		list, ok := v.([]any)
		if !ok || len(list) != len(want) {
			return false
		}
		left := slices.Clone(list)
		for _, w := range want {
			i := slices.IndexFunc(left, func(g any) bool { return holds(g, w, exact, depth+1) })
			if i < 0 {
				return false
			}
			left = slices.Delete(left, i, i+1)
		}
		return true
	case json.Number:
		n, ok := v.(json.Number)
		return ok && n.String() == want.String()
	}
	return v == want
}
