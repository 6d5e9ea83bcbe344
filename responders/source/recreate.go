package source

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"net/http"
	"net/url"
	"slices"
	"strings"
)

// recreate makes a container anew from its description, and returns its id. One that stands there already by that very
// description is it: an undo was cut short.
func (w containers) recreate(ctx context.Context, was *inspect) (string, error) {
	name := strings.TrimPrefix(was.Name, "/")
	body, more, err := createBody(was)
	if err != nil {
		return "", fmt.Errorf("read the description of container %q: %w", name, err)
	}
	now, _, err := w.container(ctx, name)
	switch {
	case err == nil:
		if now.ID != was.ID && !sameConfig(&now, was) {
			return "", fmt.Errorf("another container is called %q by now: rename it first", name)
		}
		return now.ID, nil
	case status(err) != http.StatusNotFound:
		return "", fmt.Errorf("ask Docker: %w", err)
	}
	if err := w.sameImage(ctx, was); err != nil {
		return "", err
	}
	resp, err := w.docker(ctx, http.MethodPost, "/containers/create?name="+url.QueryEscape(name), body)
	if err != nil {
		return "", fmt.Errorf("make container %q anew: %w", name, err)
	}
	var made struct {
		ID string `json:"Id"`
	}
	if err := resp.JSON(&made); err != nil || !containerID.MatchString(made.ID) {
		return "", errors.Join(fmt.Errorf("make container %q anew: Docker did not tell its id", name), err)
	}
	for _, network := range slices.Sorted(maps.Keys(more)) { // older engines take one network when a container is made
		b, err := json.Marshal(map[string]any{"Container": made.ID, "EndpointConfig": more[network]})
		if err == nil {
			_, err = w.docker(ctx, http.MethodPost, "/networks/"+url.PathEscape(network)+"/connect", b)
		}
		if err != nil {
			return "", fmt.Errorf("connect container %q to network %q: %w", name, network, err)
		}
	}
	return made.ID, nil
}

// sameImage looks whether the name that the container was made from still means the image that it had.
func (w containers) sameImage(ctx context.Context, was *inspect) error {
	var cfg struct{ Image string }
	if err := json.Unmarshal(was.Config, &cfg); err != nil {
		return err
	}
	resp, err := w.docker(ctx, http.MethodGet, "/images/"+cfg.Image+"/json", nil)
	if err != nil {
		return fmt.Errorf("look for image %q: %w", cfg.Image, err)
	}
	var image struct {
		ID string `json:"Id"`
	}
	if err := resp.JSON(&image); err != nil {
		return err
	}
	if image.ID != was.Image {
		return fmt.Errorf("image %q is another by now, %.19s instead of %.19s: tag that one again first", cfg.Image, image.ID, was.Image)
	}
	return nil
}

func sameConfig(a, b *inspect) bool {
	return bytes.Equal(compact(a.Config), compact(b.Config)) && a.Image == b.Image
}

func compact(raw json.RawMessage) []byte {
	var v any
	if json.Unmarshal(raw, &v) != nil {
		return raw
	}
	b, err := json.Marshal(v) // sorts the keys
	if err != nil {
		return raw
	}
	return b
}

// endpoint is what of a network's part in a description is asked for; the rest Docker tells.
var endpoint = [...]string{"IPAMConfig", "Links", "Aliases", "DriverOpts", "GwPriority"}

// createBody returns what makes a container by its description, and the networks that it is connected to afterwards. The host
// name stays, also where it was the beginning of the old id; volumes without a name of their own are mounted again.
func createBody(was *inspect) ([]byte, map[string]map[string]json.RawMessage, error) {
	var body map[string]json.RawMessage
	var hostConfig map[string]json.RawMessage
	if err := errors.Join(json.Unmarshal(was.Config, &body), json.Unmarshal(was.HostConfig, &hostConfig)); err != nil {
		return nil, nil, err
	}
	if body == nil || hostConfig == nil {
		return nil, nil, errors.New("it has no Config or no HostConfig")
	}
	var binds []string
	if raw := hostConfig["Binds"]; raw != nil {
		if err := json.Unmarshal(raw, &binds); err != nil {
			return nil, nil, fmt.Errorf("Binds: %w", err)
		}
	}
	var mounts []struct{ Target string }
	if raw := hostConfig["Mounts"]; raw != nil {
		if err := json.Unmarshal(raw, &mounts); err != nil {
			return nil, nil, fmt.Errorf("Mounts: %w", err)
		}
	}
	added := false
	for _, m := range was.Mounts {
		known := m.Type != "volume" || m.Name == ""
		for _, b := range binds {
			known = known || strings.Contains(b+":", ":"+m.Destination+":")
		}
		for _, o := range mounts {
			known = known || o.Target == m.Destination
		}
		if !known {
			binds, added = append(binds, m.Name+":"+m.Destination), true
		}
	}
	if added {
		raw, err := json.Marshal(binds)
		if err != nil {
			return nil, nil, err
		}
		hostConfig["Binds"] = raw
	}
	raw, err := json.Marshal(hostConfig)
	if err != nil {
		return nil, nil, err
	}
	body["HostConfig"] = raw
	var mode string
	if err := json.Unmarshal(hostConfig["NetworkMode"], &mode); err != nil {
		mode = "default"
	}
	first, more := map[string]map[string]json.RawMessage{}, map[string]map[string]json.RawMessage{}
	if mode != "none" && mode != "host" && !strings.HasPrefix(mode, "container:") {
		for name, e := range was.NetworkSettings.Networks {
			keep := map[string]json.RawMessage{}
			for _, k := range endpoint {
				if v, ok := e[k]; ok && string(v) != "null" {
					keep[k] = v
				}
			}
			dropAlias(keep, was.ID)
			if name == mode || mode == "default" && name == "bridge" {
				first[name] = keep
			} else {
				more[name] = keep
			}
		}
	}
	if body["NetworkingConfig"], err = json.Marshal(map[string]any{"EndpointsConfig": first}); err != nil {
		return nil, nil, err
	}
	out, err := json.Marshal(body)
	return out, more, err
}

// dropAlias leaves out the old id, which Docker gives as a name in the network by itself.
func dropAlias(e map[string]json.RawMessage, id string) {
	var aliases []string
	if json.Unmarshal(e["Aliases"], &aliases) != nil {
		return
	}
	aliases = slices.DeleteFunc(aliases, func(a string) bool { return len(a) >= 12 && strings.HasPrefix(id, a) })
	raw, err := json.Marshal(aliases)
	if err != nil || len(aliases) == 0 {
		delete(e, "Aliases")
		return
	}
	e["Aliases"] = raw
}
